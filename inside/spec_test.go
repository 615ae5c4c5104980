// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/landlock"
)

func TestSpecSurvivesTheCommandLine(t *testing.T) {
	rules, _ := landlock.Container(7, true, true)
	for name, spec := range map[string]Spec{
		"Empty": {},
		"Full": {SELinuxLabel: "a:b:c:s0:c1,c2", AppArmorProfile: `with "quotes" and <html>`, Landlock: &rules, Probe: 7,
			Capabilities: &Capabilities{1<<63 | 1, 1 << 40, 1<<53 + 1, 0, 1}, Seccomp: &Filter{Program: []byte("\x06\x00\x00\x00\x00\x00\xff\x7f"), Flags: FilterListener}, TimerSlack: 50_000},
		"LongestFilter":       {Seccomp: &Filter{Program: make([]byte, maximumFilterSize)}},
		"NoCapabilitiesAtAll": {Capabilities: &Capabilities{}},
	} {
		for _, args := range [][]string{{"sh"}, {"sh", "-c", "exit --"}, {"--", "--"}, {"", "x"}} {
			line := spec.Arguments(args)
			got, rest, err := Parse(line)
			if err != nil || !reflect.DeepEqual(got, spec) || !slices.Equal(rest, args) {
				t.Errorf("%s: %q became %+v %q, %v", name, line, got, rest, err)
			}
		}
	}
}

func TestCommandLinesThatAreNoSpec(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"Nothing":           {nil, "usage"},
		"NoProgram":         {[]string{Path, "end", "--"}, "usage"},
		"NoDashes":          {[]string{Path, "end", "sh", "x"}, "usage"},
		"Empty":             {[]string{Path, "", "--", "sh"}, `spec: no "end"`},
		"CutOff":            {[]string{Path, "probe=3", "--", "sh"}, `spec: no "end"`},
		"NoField":           {[]string{Path, "{end", "--", "sh"}, "spec: byte 0: no field"},
		"UnknownField":      {[]string{Path, "probe=3 landlok=7,1,1 end", "--", "sh"}, "spec: landlok: unknown field"},
		"FieldTwice":        {[]string{Path, "probe=3 probe=4 end", "--", "sh"}, "spec: probe is there twice"},
		"WrongType":         {[]string{Path, `probe="3" end`, "--", "sh"}, "spec: probe: "},
		"TooLarge":          {[]string{Path, "capabilities=18446744073709551616,0,0,0,0 end", "--", "sh"}, "spec: capabilities: "},
		"TooFewNumbers":     {[]string{Path, "capabilities=1,2,3,4 end", "--", "sh"}, "spec: capabilities: 4 numbers, want 5"},
		"ABIOutOfRange":     {[]string{Path, "landlock=9223372036854775808,1,1 end", "--", "sh"}, "spec: landlock: ABI"},
		"TwoSpaces":         {[]string{Path, "probe=3  probe=4 end", "--", "sh"}, "spec: "},
		"EndTwice":          {[]string{Path, "probe=3 end end", "--", "sh"}, "spec: byte 8: no field"},
		"NoSpaceAtTheEnd":   {[]string{Path, "probe=3end", "--", "sh"}, "spec: byte 7: no space"},
		"LabelWithoutQuote": {[]string{Path, "selinux_label=a:b:c end", "--", "sh"}, "spec: selinux_label: "},
		"LabelNotClosed":    {[]string{Path, `selinux_label="a:b:c end`, "--", "sh"}, "spec: selinux_label: "},
		"NothingBetween":    {[]string{Path, `selinux_label="a"probe=3 end`, "--", "sh"}, "spec: byte 17: no space"},
		"NoProgramText":     {[]string{Path, "seccomp_program=not-base64 end", "--", "sh"}, "spec: seccomp_program: "},
		"EmptyFilter":       {[]string{Path, "seccomp_flags=0x0 end", "--", "sh"}, "spec: seccomp: a program of 0 bytes"},
		"HalfAnInstruction": {[]string{Path, "seccomp_program=AAAAAA== end", "--", "sh"}, "spec: seccomp: a program of 4 bytes"},
		"UnknownFlags":      {[]string{Path, "seccomp_flags=1 seccomp_program=AAAAAAAAAAA= end", "--", "sh"}, "spec: seccomp: flags 0x1"},
	} {
		if _, _, err := Parse(test.args); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestLookPathIsExecvps(t *testing.T) {
	files := map[string]error{"/bin/sh": nil, "/bin/plain": fs.ErrPermission, "/usr/bin/plain": nil, "/usr/bin/both": fs.ErrPermission, "./here": nil, "/bin/here": nil}
	executable := func(path string) error {
		err, ok := files[path]
		if !ok {
			return fs.ErrNotExist
		}
		return err
	}
	for name, test := range map[string]struct {
		program, path, want string
		err                 error
	}{
		"FirstThatIsThere":          {"sh", "/usr/bin:/bin", "/bin/sh", nil},
		"RefusedOnesArePassedBy":    {"plain", "/bin:/usr/bin", "/usr/bin/plain", nil},
		"RefusedIsNotUnfound":       {"both", "/bin:/usr/bin:/sbin", "", fs.ErrPermission},
		"Unfound":                   {"nothing", "/bin:/usr/bin", "", fs.ErrNotExist},
		"EmptyName":                 {"", "/bin", "", fs.ErrNotExist},
		"SlashTakesNoPath":          {"./sh", "/bin", "./sh", nil},
		"SlashInside":               {"a/b", "/bin", "a/b", nil},
		"EmptyEntryIsHere":          {"here", ":/bin", "./here", nil},
		"LastEmptyEntryIsHere":      {"here", "/usr/bin:", "./here", nil},
		"DotIsHere":                 {"here", ".:/bin", "./here", nil},
		"EmptyPathIsHere":           {"here", "", "./here", nil},
		"OrderDecides":              {"here", "/bin:.", "/bin/here", nil},
		"DirectoriesAreNotSearched": {"bin/sh", "/", "bin/sh", nil},
	} {
		got, err := lookPath(test.program, test.path, executable)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add(`selinux_label="a:b:c" probe=3 capabilities=0x1,2,3,4,5 end`, "sh")
	f.Add(`apparmor_profile="x \" y" landlock=7,0xffff,0x3 end`, "--")
	f.Add("seccomp_flags=0x6 seccomp_program=BgAAAAAA/38= end", "sh")
	f.Fuzz(func(t *testing.T, text, program string) {
		spec, args, err := Parse([]string{Path, text, "--", program})
		if err != nil {
			return
		}
		line := spec.Arguments(args)
		again, rest, err := Parse(line)
		if err != nil || !reflect.DeepEqual(again, spec) || !slices.Equal(rest, args) {
			t.Fatalf("%q became %+v %q, %v", text, again, rest, err)
		}
	})
}
