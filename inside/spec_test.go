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
			Capabilities: &Capabilities{1<<63 | 1, 1 << 40, 1<<53 + 1, 0, 1}, Seccomp: &Filter{Program: []byte("\x06\x00\x00\x00\x00\x00\xff\x7f"), Flags: FilterListener}},
		"LongestFilter":       {Seccomp: &Filter{Program: make([]byte, maximumFilterSize)}},
		"NoCapabilitiesAtAll": {Capabilities: &Capabilities{}},
	} {
		for _, args := range [][]string{{"sh"}, {"sh", "-c", "exit --"}, {"--", "--"}, {"", "x"}} {
			line, err := spec.Arguments(args)
			if err != nil {
				t.Fatal(err)
			}
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
		"NoProgram":         {[]string{Path, "{}", "--"}, "usage"},
		"NoDashes":          {[]string{Path, "{}", "sh", "x"}, "usage"},
		"NotJSON":           {[]string{Path, "{", "--", "sh"}, "spec: "},
		"UnknownField":      {[]string{Path, `{"landlok":{}}`, "--", "sh"}, `unknown field "landlok"`},
		"UnknownInside":     {[]string{Path, `{"landlock":{"scope":1}}`, "--", "sh"}, `unknown field "scope"`},
		"WrongType":         {[]string{Path, `{"probe":"3"}`, "--", "sh"}, "spec: "},
		"TooLarge":          {[]string{Path, `{"capabilities":{"bounding":18446744073709551616}}`, "--", "sh"}, "spec: "},
		"TwoValues":         {[]string{Path, "{}{}", "--", "sh"}, "more than one"},
		"ClosedTwice":       {[]string{Path, "{}}", "--", "sh"}, "more than one"},
		"Empty":             {[]string{Path, "", "--", "sh"}, "spec: "},
		"NoProgramText":     {[]string{Path, `{"seccomp":{"program":"not base64"}}`, "--", "sh"}, "spec: "},
		"EmptyFilter":       {[]string{Path, `{"seccomp":{"program":""}}`, "--", "sh"}, "spec: seccomp: a program of 0 bytes"},
		"HalfAnInstruction": {[]string{Path, `{"seccomp":{"program":"AAAAAA=="}}`, "--", "sh"}, "spec: seccomp: a program of 4 bytes"},
		"UnknownFlags":      {[]string{Path, `{"seccomp":{"program":"AAAAAAAAAAA=","flags":1}}`, "--", "sh"}, "spec: seccomp: flags 0x1"},
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
	f.Add(`{"selinux_label":"a:b:c","probe":3,"capabilities":{"bounding":1}}`, "sh")
	f.Add(`{"landlock":{"abi":7,"handled":65535,"scoped":3}}`, "--")
	f.Add(`{"seccomp":{"program":"BgAAAAAA/38=","flags":6}}`, "sh")
	f.Fuzz(func(t *testing.T, text, program string) {
		spec, args, err := Parse([]string{Path, text, "--", program})
		if err != nil {
			return
		}
		line, err := spec.Arguments(args)
		if err != nil {
			t.Fatal(err)
		}
		again, rest, err := Parse(line)
		if err != nil || !reflect.DeepEqual(again, spec) || !slices.Equal(rest, args) {
			t.Fatalf("%q became %+v %q, %v", text, again, rest, err)
		}
	})
}
