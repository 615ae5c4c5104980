// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var full = Facts{
	Release: "6.18.0", LSMs: []string{"capability", "selinux", "bpf", "landlock"},
	SELinux:  SELinux{Active: true, Enforcing: true, PolicyVersion: 33, MLS: true, ContainerTypes: true},
	AppArmor: AppArmor{Active: true, Profiles: []Profile{{"a", "enforce"}, {"b", "complain"}}},
	BPF:      BPF{Active: true}, Landlock: Landlock{ABI: 7}, Seccomp: Seccomp{Actions: []string{"kill_process", "allow"}}, UserNS: UserNS{Maximum: 100}, FUSE: FUSE{Active: true},
}

func change(change func(*Facts)) Facts {
	facts := full
	change(&facts)
	return facts
}

func rowOf(facts Facts, layer string) Row {
	rows := facts.Report()
	return rows[slices.IndexFunc(rows, func(r Row) bool { return r.Layer == layer })]
}

func TestReportRows(t *testing.T) {
	for name, test := range map[string]struct {
		facts Facts
		want  Row
	}{
		"SELinuxEnforcing":     {full, Row{"selinux", "enforcing", "policy 33", "", ""}},
		"SELinuxPermissive":    {change(func(f *Facts) { f.SELinux.Enforcing = false }), Row{"selinux", "permissive", "policy 33", "setenforce 1: a permissive kernel only logs", ""}},
		"SELinuxNoTypes":       {change(func(f *Facts) { f.SELinux.ContainerTypes = false }), Row{"selinux", "enforcing", "policy 33", "", "the loaded policy has no container types: Bulkhead's own are put onto it when a container starts"}},
		"SELinuxNoLevels":      {change(func(f *Facts) { f.SELinux.MLS, f.SELinux.ContainerTypes = false, false }), Row{"selinux", "enforcing", "policy 33", "a policy with levels: the loaded one can give a container no category pair", ""}},
		"SELinuxNoPolicy":      {change(func(f *Facts) { f.SELinux = SELinux{} }), Row{"selinux", "absent", "", "a loaded policy", ""}},
		"SELinuxNotBooted":     {Facts{LSMs: []string{"capability", "yama"}}, Row{"selinux", "absent", "", "boot with lsm=...,selinux on a kernel built with it (active: capability,yama)", ""}},
		"AppArmorEnforcing":    {full, Row{"apparmor", "enforcing", "2 profiles loaded", "", ""}},
		"AppArmorNotBooted":    {Facts{}, Row{"apparmor", "absent", "", "boot with lsm=...,apparmor on a kernel built with it (active: )", ""}},
		"AppArmorNoSecurityfs": {Facts{LSMs: []string{"apparmor"}}, Row{"apparmor", "absent", "", "securityfs on /sys/kernel/security", ""}},
		"BPF":                  {full, Row{"bpf", "available", "", "", ""}},
		"BPFAbsent":            {Facts{BPF: BPF{Reason: "why"}}, Row{"bpf", "absent", "", "why", ""}},
		"Landlock":             {full, Row{"landlock", "available", "ABI 7", "", ""}},
		"LandlockAbsent":       {Facts{Landlock: Landlock{Reason: "why"}}, Row{"landlock", "absent", "", "why", ""}},
		"Seccomp":              {full, Row{"seccomp", "available", "kill_process allow", "", ""}},
		"SeccompAbsent":        {Facts{}, Row{"seccomp", "absent", "", "a kernel built with CONFIG_SECCOMP_FILTER", ""}},
		"UserNS":               {full, Row{"userns", "available", "at most 100", "", ""}},
		"UserNSAbsent":         {Facts{UserNS: UserNS{Reason: "why"}}, Row{"userns", "absent", "", "why", ""}},
		"FUSE":                 {full, Row{"fuse", "available", "", "", ""}},
		"FUSEAbsent":           {Facts{FUSE: FUSE{Reason: "why"}}, Row{"fuse", "absent", "", "why", ""}},
	} {
		if got := rowOf(test.facts, test.want.Layer); got != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestReportHasEveryLayerInOrder(t *testing.T) {
	var names []string
	for _, row := range (Facts{}).Report() {
		names = append(names, row.Layer)
		if row.Present() || row.State != "absent" {
			t.Errorf("the zero value has %s: %+v", row.Layer, row)
		}
	}
	if !slices.Equal(names, LayerNames()) {
		t.Errorf("got %v", names)
	}
	LayerNames()[0] = "changed"
	if LayerNames()[0] != "selinux" {
		t.Error("a caller can change the list")
	}
}

func TestRequire(t *testing.T) {
	permissive := change(func(f *Facts) { f.SELinux.Enforcing = false })
	for name, test := range map[string]struct {
		facts     Facts
		layers    []string
		supported bool // false: the error is an ErrNotSupported
		want      string
	}{
		"Nothing":                     {Facts{}, nil, true, ""},
		"AllThere":                    {full, LayerNames(), true, ""},
		"OneMissing":                  {Facts{LSMs: []string{"landlock"}}, []string{"selinux"}, false, "selinux is not there: boot with"},
		"PermissiveIsNotThere":        {permissive, []string{"landlock", "selinux"}, false, "selinux is not there: setenforce 1"},
		"FirstOfTheReportIsNamed":     {Facts{}, []string{"fuse", "apparmor"}, false, "apparmor is not there"},
		"UnknownName":                 {full, []string{"selinux", "selinus"}, true, `unknown layer "selinus"`},
		"UnknownNameGoesBeforeAbsent": {Facts{}, []string{"selinux", "x"}, true, `unknown layer "x"`},
		"EmptyName":                   {full, []string{""}, true, `unknown layer ""`},
	} {
		err := test.facts.Require(test.layers...)
		if errors.Is(err, ErrNotSupported) == test.supported || (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFactsSurviveJSON(t *testing.T) {
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var read Facts
	if err := json.Unmarshal(text, &read); err != nil || !reflect.DeepEqual(read, full) {
		t.Errorf("got %+v, %v", read, err)
	}
}

func TestProfileLines(t *testing.T) {
	for line, want := range map[string]Profile{
		"docker-default (enforce)":            {"docker-default", "enforce"},
		"/usr/sbin/cupsd (complain)":          {"/usr/sbin/cupsd", "complain"},
		"a name (with) words (kill)":          {"a name (with) words", "kill"},
		"x (enforce) (unconfined)":            {"x (enforce)", "unconfined"},
		":ns:profile//hat (enforce)":          {":ns:profile//hat", "enforce"},
		"cri-containerd.apparmor.d (enforce)": {"cri-containerd.apparmor.d", "enforce"},
		"":                                    {}, "docker-default": {}, " (enforce)": {}, "x (enforce": {}, "x(enforce)": {}, "x (": {},
	} {
		got, ok := parseProfileLine(line)
		if got != want || ok != (want != Profile{}) {
			t.Errorf("%q: got %+v, %v", line, got, ok)
		}
	}
}

func FuzzParseProfileLine(f *testing.F) {
	f.Add("docker-default (enforce)")
	f.Add(" ()")
	f.Fuzz(func(t *testing.T, line string) {
		profile, ok := parseProfileLine(line)
		if ok && profile.Name+" ("+profile.Mode+")" != line {
			t.Errorf("%q became %+v", line, profile)
		}
	})
}

func TestFindProfile(t *testing.T) {
	if profile, ok := full.AppArmor.Find("b"); !ok || profile.Mode != "complain" {
		t.Errorf("got %+v, %v", profile, ok)
	}
	if profile, ok := full.AppArmor.Find("c"); ok || profile != (Profile{}) {
		t.Errorf("got %+v, %v", profile, ok)
	}
}
