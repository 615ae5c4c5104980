// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestEveryFormParsesInBothSpellings(t *testing.T) {
	cases := map[string]struct {
		spellings []string
		want      SecurityOptions
	}{
		"label disabled":            {both("label", "disable"), SecurityOptions{Label: LabelOptions{Disable: true}}},
		"label nested":              {both("label", "nested"), SecurityOptions{Label: LabelOptions{Nested: true}}},
		"label user":                {both("label", "user:system_u"), SecurityOptions{Label: LabelOptions{User: "system_u"}}},
		"label role":                {both("label", "role:system_r"), SecurityOptions{Label: LabelOptions{Role: "system_r"}}},
		"label type":                {both("label", "type:svirt_apache_t"), SecurityOptions{Label: LabelOptions{Type: "svirt_apache_t"}}},
		"label type of a block":     {both("label", "type:shop.process"), SecurityOptions{Label: LabelOptions{Type: "shop.process"}}},
		"label file type":           {both("label", "filetype:usr_t"), SecurityOptions{Label: LabelOptions{FileType: "usr_t"}}},
		"label level":               {both("label", "level:s0:c100,c200"), SecurityOptions{Label: LabelOptions{Level: "s0:c100,c200"}}},
		"label range":               {both("label", "level:s0-s0:c0.c1023"), SecurityOptions{Label: LabelOptions{Level: "s0-s0:c0.c1023"}}},
		"AppArmor profile":          {both("apparmor", "docker-default"), SecurityOptions{AppArmor: "docker-default"}},
		"AppArmor profile by path":  {both("apparmor", "/usr/sbin/nginx//worker=1"), SecurityOptions{AppArmor: "/usr/sbin/nginx//worker=1"}},
		"AppArmor off":              {both("apparmor", "unconfined"), SecurityOptions{AppArmor: Unconfined}},
		"seccomp file":              {both("seccomp", "/etc/a=b:c.json"), SecurityOptions{Seccomp: "/etc/a=b:c.json"}},
		"seccomp off":               {both("seccomp", "unconfined"), SecurityOptions{Seccomp: Unconfined}},
		"seccomp built in":          {both("seccomp", "builtin"), SecurityOptions{Seccomp: "builtin"}},
		"Landlock off":              {both("landlock", "unconfined"), SecurityOptions{Landlock: Unconfined}},
		"no new privileges, bare":   {[]string{"no-new-privileges"}, SecurityOptions{NoNewPrivileges: true}},
		"no new privileges, on":     {both("no-new-privileges", "true"), SecurityOptions{NoNewPrivileges: true}},
		"no new privileges, off":    {both("no-new-privileges", "false"), SecurityOptions{}},
		"writable cgroups, bare":    {[]string{"writable-cgroups"}, SecurityOptions{WritableCgroups: true}},
		"writable cgroups, on":      {both("writable-cgroups", "1"), SecurityOptions{WritableCgroups: true}},
		"writable cgroups, off":     {both("writable-cgroups", "false"), SecurityOptions{}},
		"system paths open":         {both("systempaths", "unconfined"), SecurityOptions{UnconfinedPaths: true}},
		"two masked paths":          {both("mask", "/proc/modules:/sys/kernel/"), SecurityOptions{Mask: []string{"/proc/modules", "/sys/kernel"}}},
		"a path masked twice":       {both("mask", "/sys/kernel:/sys//kernel"), SecurityOptions{Mask: []string{"/sys/kernel"}}},
		"everything unmasked":       {both("unmask", "ALL"), SecurityOptions{Unmask: []string{"ALL"}}},
		"everything, in small":      {both("unmask", "all"), SecurityOptions{Unmask: []string{"ALL"}}},
		"two unmasked paths":        {both("unmask", "/proc/kcore:/sys/firmware"), SecurityOptions{Unmask: []string{"/proc/kcore", "/sys/firmware"}}},
		"unmasked by shell pattern": {both("unmask", "/proc/*"), SecurityOptions{Unmask: []string{"/proc/*"}}},
		"options of proc": {both("proc-opts", "nosuid,hidepid=2,gid=5,subset=pid"),
			SecurityOptions{ProcOptions: []string{"nosuid", "hidepid=2", "gid=5", "subset=pid"}}},
		"named hidepid": {both("proc-opts", "hidepid=invisible"), SecurityOptions{ProcOptions: []string{"hidepid=invisible"}}},
	}
	for name, c := range cases {
		for _, spelling := range c.spellings {
			t.Run(name+" "+spelling, func(t *testing.T) {
				got, err := ParseSecurityOptions([]string{spelling})
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Fatalf("got %+v, want %+v", got, c.want)
				}
			})
		}
	}
}

func both(name, value string) []string { return []string{name + "=" + value, name + ":" + value} }

func TestOptionsAddUp(t *testing.T) {
	got, err := ParseSecurityOptions([]string{
		"label=type:a_t", "label=level:s0:c1,c2", "label=type:a_t", "mask=/a", "mask=/b:/a", "unmask=/c", "unmask=ALL",
		"proc-opts=hidepid=2", "proc-opts=nodev,hidepid=2", "no-new-privileges", "no-new-privileges:true",
	})
	want := SecurityOptions{
		Label: LabelOptions{Type: "a_t", Level: "s0:c1,c2"}, NoNewPrivileges: true,
		Mask: []string{"/a", "/b"}, Unmask: []string{"/c", "ALL"}, ProcOptions: []string{"hidepid=2", "nodev"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestWrongOptionsAreRefusedWithAHint(t *testing.T) {
	cases := map[string]struct {
		options      []string
		option       string // the one that the error must name
		reason, hint string // parts
	}{
		"category without c":          {[]string{"label=level:s0:110"}, "label=level:s0:110", "", "s0:c110"},
		"misspelt option":             {[]string{"aparmor=x"}, "aparmor=x", "unknown option", `"apparmor"`},
		"misspelt flag":               {[]string{"no-new-privs"}, "no-new-privs", "unknown option", `"no-new-privileges"`},
		"unheard-of option":           {[]string{"selinuxfs=1"}, "selinuxfs=1", "unknown option", "known are"},
		"empty option":                {[]string{""}, "", "unknown option", "known are"},
		"misspelt label part":         {[]string{"label=tpye:x"}, "label=tpye:x", `"tpye"`, `"type"`},
		"label with two equal signs":  {[]string{"label=type=x"}, "label=type=x", "unknown label option", ""},
		"label disable with a value":  {[]string{"label=disable:true"}, "label=disable:true", "no value", "label=disable"},
		"empty label type":            {[]string{"label=type:"}, "label=type:", "no type", "label=type:NAME"},
		"context instead of type":     {[]string{"label=type:a_u:b_r:c_t"}, "label=type:a_u:b_r:c_t", "offset 3", "not a whole context"},
		"empty level":                 {[]string{"label=level:"}, "label=level:", "", ""},
		"empty AppArmor profile":      {[]string{"apparmor="}, "apparmor=", "no value", "apparmor=VALUE"},
		"bare seccomp":                {[]string{"seccomp"}, "seccomp", "no value", "seccomp=VALUE"},
		"new line in a profile":       {[]string{"apparmor=a\nb"}, "apparmor=a\nb", "control character", ""},
		"flag that is no boolean":     {[]string{"no-new-privileges=maybe"}, "no-new-privileges=maybe", "boolean", "no-new-privileges=true"},
		"empty flag":                  {[]string{"no-new-privileges="}, "no-new-privileges=", "boolean", ""},
		"Landlock profile":            {[]string{"landlock=tight"}, "landlock=tight", `"tight"`, "landlock=unconfined"},
		"system paths confined":       {[]string{"systempaths=confined"}, "systempaths=confined", "unknown value", "systempaths=unconfined"},
		"relative masked path":        {[]string{"mask=proc/kcore"}, "mask=proc/kcore", "absolute", ""},
		"comma between masked paths":  {[]string{"mask=/a:,/b"}, "mask=/a:,/b", "absolute", "separate"},
		"parent in a masked path":     {[]string{"mask=/a/../b"}, "mask=/a/../b", "'..'", ""},
		"masked root":                 {[]string{"mask=/"}, "mask=/", "root directory", ""},
		"open pattern":                {[]string{"unmask=/proc/[a"}, "unmask=/proc/[a", "pattern", "["},
		"misspelt proc option":        {[]string{"proc-opts=nosiud"}, "proc-opts=nosiud", "unknown option", `"nosuid"`},
		"unknown hidepid":             {[]string{"proc-opts=hidepid=3"}, "proc-opts=hidepid=3", `"3"`, "0, 1, 2, 4"},
		"bare hidepid":                {[]string{"proc-opts=hidepid"}, "proc-opts=hidepid", "unknown value", ""},
		"flag of proc with a value":   {[]string{"proc-opts=nosuid=1"}, "proc-opts=nosuid=1", "unknown option", ""},
		"negative gid":                {[]string{"proc-opts=gid=-1"}, "proc-opts=gid=-1", "gid", ""},
		"label off and a type":        {[]string{"label=type:x", "label:disable"}, "label=type:x", `contradicts "label:disable"`, "leave out"},
		"label off and a file type":   {[]string{"label=disable", "label=filetype:x"}, "label=filetype:x", `contradicts "label=disable"`, ""},
		"label off and nested":        {[]string{"label=disable", "label=nested"}, "label=nested", "contradicts", ""},
		"two types":                   {[]string{"label=type:x", "label=type:y"}, "label=type:y", `contradicts "label=type:x"`, ""},
		"two seccomp profiles":        {[]string{"seccomp=a.json", "seccomp:unconfined"}, "seccomp:unconfined", `contradicts "seccomp=a.json"`, ""},
		"two AppArmor profiles":       {[]string{"apparmor=a", "apparmor=b"}, "apparmor=b", `contradicts "apparmor=a"`, ""},
		"privileges on and off":       {[]string{"no-new-privileges", "no-new-privileges=false"}, "no-new-privileges=false", "contradicts", ""},
		"one path masked and not":     {[]string{"mask=/a", "unmask=/a"}, "mask=/a", `contradicts "unmask=/a"`, ""},
		"two values of hidepid":       {[]string{"proc-opts=hidepid=1,hidepid=2"}, "proc-opts=hidepid=1,hidepid=2", "contradicts", ""},
		"proc read-only and writable": {[]string{"proc-opts=ro", "proc-opts=rw"}, "proc-opts=rw", `contradicts "proc-opts=ro"`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSecurityOptions(c.options)
			var refused *OptionError
			if !errors.As(err, &refused) {
				t.Fatalf("error %v, want an *OptionError", err)
			}
			if refused.Option != c.option || !strings.Contains(refused.Reason, c.reason) || !strings.Contains(refused.Hint, c.hint) {
				t.Fatalf("got %+v, want option %q, reason ...%s..., hint ...%s...", *refused, c.option, c.reason, c.hint)
			}
			if refused.Reason == "" {
				t.Fatal("no reason given")
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"label", "mask", "unmask"}
	for word, want := range map[string]string{
		"lable": "label", "labl": "label", "maks": "mask", "masc": "mask", "unmsk": "unmask", "": "", "xyz": "", strings.Repeat("label", 1000): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzParseSecurityOptions(f *testing.F) {
	for _, seed := range []string{
		"label=level:s0:c1,c2\nmask=/a:/b", "label:disable", "seccomp:unconfined\nno-new-privileges:true", "unmask=/proc/[a-\nproc-opts=hidepid=2,gid=5", "=", "::",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Split(text, "\n")
		parsed, err := ParseSecurityOptions(options)
		var refused *OptionError
		if err != nil {
			if !errors.As(err, &refused) {
				t.Fatalf("error %T, want *OptionError", err)
			}
			return
		}
		again, err := ParseSecurityOptions(append(options, options...))
		if err != nil || !reflect.DeepEqual(again, parsed) {
			t.Fatalf("repeating every option gives %+v, %v; want %+v", again, err, parsed)
		}
		for _, path := range append(parsed.Mask, parsed.Unmask...) {
			if path != "ALL" && !strings.HasPrefix(path, "/") {
				t.Fatalf("path %q is not absolute", path)
			}
		}
	})
}
