// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

const minimal = `{"process":{"args":["sh"]},"root":{"path":"rootfs"}}`

func mustParse(t testing.TB, text string) *Config {
	t.Helper()
	config, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestUnreadableConfigurations(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"Empty":                 {"", "config.json: empty"},
		"OnlySpace":             {" \n ", "config.json: empty"},
		"Truncated":             {"{\n \"process\": {\n  \"args\": [\"sh\"", "config.json: 3:15: ends in the middle"},
		"NotJSON":               {"{\n \"process\": sh}", "config.json: 2:13: invalid character 's'"},
		"WrongType":             {"{\n \"process\": {\"args\": \"sh\"},\n \"root\": {\"path\": \"r\"}}", "config.json: 2:25: json: cannot unmarshal string"},
		"Null":                  {"null", "null is not a configuration"},
		"Array":                 {"[1]", "config.json: 1:1: json: cannot unmarshal array"},
		"Number":                {"7", "cannot unmarshal number"},
		"TrailingGarbage":       {minimal + " x", "something follows the value"},
		"TwoValues":             {minimal + minimal, "something follows the value"},
		"NoProcess":             {`{"root":{"path":"r"}}`, "no process"},
		"NullProcess":           {`{"process":null,"root":{"path":"r"}}`, "no process"},
		"NoArguments":           {`{"process":{},"root":{"path":"r"}}`, "process.args is empty"},
		"EmptyArguments":        {`{"process":{"args":[]},"root":{"path":"r"}}`, "process.args is empty"},
		"NoRoot":                {`{"process":{"args":["sh"]}}`, "no root.path"},
		"EmptyRootPath":         {`{"process":{"args":["sh"]},"root":{"path":""}}`, "no root.path"},
		"TooLarge":              {strings.Repeat(" ", MaximumConfig) + minimal, "larger than"},
		"NestedTooDeep":         {`{"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + "}", "exceeded max depth"},
		"MountsAreNoList":       {`{"mounts":{},"process":{"args":["sh"]},"root":{"path":"r"}}`, "cannot unmarshal object"},
		"NumberTooLarge":        {`{"process":{"args":["sh"],"user":{"uid":4294967296}},"root":{"path":"r"}}`, "4294967296"},
		"OtherCase":             {`{"Process":{"args":["sh"]},"root":{"path":"r"}}`, `field "Process": the specification spells it "process"`},
		"OtherCaseInside":       {`{"process":{"args":["sh"],"ARGS":["x"]},"root":{"path":"r"}}`, `field "process.ARGS"`},
		"OtherCaseByUnicode":    {`{"process":{"args":["sh"],"arg` + "\u017f" + `":["x"]},"root":{"path":"r"}}`, `the specification spells it "args"`},
		"OtherCaseInAList":      {`{"mounts":[{},{"Source":"/"}],"process":{"args":["sh"]},"root":{"path":"r"}}`, `field "mounts[1].Source"`},
		"SecondProcessIsNull":   {`{"process":{"args":["sh"]},"process":null,"root":{"path":"r"}}`, "no process"},
		"SecondProcessIsEmpty":  {`{"process":{"args":["sh"]},"process":{},"root":{"path":"r"}}`, "process.args is empty"},
		"FirstProcessMistyped":  {`{"process":7,"process":null,"root":{"path":"r"}}`, "no process"},
		"UnclosedStringAtStart": {`{"`, "config.json: 1:2: ends in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := Parse([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || config != nil {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestKnownAndUnknownFieldsSurvive(t *testing.T) {
	config := mustParse(t, `{
		"ociVersion": "1.2.0", "futureField": {"deep": [1, 2.50, {"html": "<&>"}]}, "big": 18446744073709551615, "precise": 0.1234567890123456789,
		"annotations": {"Process": "a key of the user's own, in any case"},
		"process": {"args": ["sh"], "futureProcess": true, "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 18446744073709551615, "soft": 1}]},
		"root": {"path": "rootfs", "futureRoot": 1},
		"linux": {"futureLinux": "x", "resources": {"memory": {"limit": 9223372036854775807}}}
	}`)
	if err := config.Edit(compileFor(t, config), Place{Bundle: "/bundle", Program: "/program", Probe: 3}); err != nil {
		t.Fatal(err)
	}
	encoded, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"futureField":{"deep":[1,2.50,{"html":"<&>"}]}`, `"big":18446744073709551615`, `"precise":0.1234567890123456789`, `"futureProcess":true`,
		`"hard":18446744073709551615`, `"futureRoot":1`, `"futureLinux":"x"`, `"limit":9223372036854775807`, `"Process":"a key`, `"path":"/bundle/rootfs"`} {
		if !bytes.Contains(encoded, []byte(want)) {
			t.Errorf("lost %s in\n%s", want, encoded)
		}
	}
	again := mustParse(t, string(encoded))
	if twice, err := again.Encode(); err != nil || !bytes.Equal(encoded, twice) {
		t.Errorf("encoding again gives other bytes, %v", err)
	}
}

// compileFor plans the configuration for a kernel with Landlock and without mandatory access control.
func compileFor(t testing.TB, config *Config) plan.Compiled {
	t.Helper()
	compiled, err := tryCompile(config, plainKernel)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

var (
	plainKernel   = kernel.Facts{Release: "6.18.0", Landlock: kernel.Landlock{ABI: 7}, Seccomp: kernel.Seccomp{Actions: []string{"errno", "allow"}}}
	selinuxKernel = kernel.Facts{Release: "6.12.0", Landlock: kernel.Landlock{ABI: 6}, Seccomp: plainKernel.Seccomp,
		SELinux: kernel.SELinux{Active: true, Enforcing: true, MLS: true, ContainerTypes: true}}
)

func tryCompile(config *Config, facts kernel.Facts) (plan.Compiled, error) {
	p, err := plan.Make(config.Request("c1", "/bundle"), facts)
	if err != nil {
		return plan.Compiled{}, err
	}
	return p.Compile(p.MCS.Level)
}

func TestEditMatchesTheGoldenFiles(t *testing.T) {
	for name, test := range map[string]struct {
		facts  kernel.Facts
		change func(*plan.Compiled)
	}{
		"landlock": {plainKernel, nil},
		"selinux":  {selinuxKernel, nil},
		"nested":   {selinuxKernel, func(c *plan.Compiled) { c.NestedLabels = true }},
	} {
		t.Run(name, func(t *testing.T) {
			asked, err := os.ReadFile(filepath.Join("testdata", "asked.json"))
			if err != nil {
				t.Fatal(err)
			}
			if !test.facts.SELinux.Active { // an engine on such a host asks for no label
				asked = bytes.ReplaceAll(bytes.ReplaceAll(asked, []byte(`"system_u:system_r:container_t:s0:c5,c9"`), []byte(`""`)), []byte(`"system_u:object_r:container_file_t:s0:c5,c9"`), []byte(`""`))
			}
			config := mustParse(t, string(asked))
			compiled, err := tryCompile(config, test.facts)
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(&compiled)
			}
			compiled.Inside.Seccomp.Program = []byte("program.") // the files do not show what the compiler makes
			if err := config.Edit(compiled, Place{Bundle: "/run/engine/c1", Program: "/var/lib/bulkhead/inside/0123456789abcdef", Probe: 3}); err != nil {
				t.Fatal(err)
			}
			encoded, err := config.Encode()
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, encoded, "", "  "); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "edited-"+name+".json")
			if *update {
				if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(indented.Bytes(), want) {
				t.Errorf("%s: got\n%s\n(-update writes the files anew)", path, indented.Bytes())
			}
		})
	}
}

func TestEditMakesPathsAbsolute(t *testing.T) {
	config := mustParse(t, `{"process":{"args":["sh"]},"root":{"path":"./rootfs/"},"mounts":[
		{"destination":"/a","source":"vol","type":"bind"}, {"destination":"/b","source":"../up","options":["rbind"]},
		{"destination":"/c","source":"/host//x","type":"bind"}, {"destination":"/d","source":"tmpfs","type":"tmpfs"}, {"destination":"/e","type":"bind"}]}`)
	if err := config.Edit(plan.Compiled{}, Place{Bundle: "/bundle"}); err != nil {
		t.Fatal(err)
	}
	encoded, _ := config.Encode()
	edited := mustParse(t, string(encoded)).Spec
	var sources []string
	for _, mount := range edited.Mounts {
		sources = append(sources, mount.Source)
	}
	if want := []string{"/bundle/vol", "/up", "/host/x", "tmpfs", ""}; !reflect.DeepEqual(sources, want) || edited.Root.Path != "/bundle/rootfs" {
		t.Errorf("got %q and root %q", sources, edited.Root.Path)
	}
}

func TestEditTakesAwayWhatWasNotCompiled(t *testing.T) {
	config := mustParse(t, `{"process":{"args":["sh"],"selinuxLabel":"a:b:c:s0","apparmorProfile":"p","noNewPrivileges":true},"root":{"path":"r"},"linux":{"mountLabel":"x","seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}}`)
	if err := config.Edit(plan.Compiled{}, Place{Bundle: "/bundle"}); err != nil {
		t.Fatal(err)
	}
	encoded, _ := config.Encode()
	for _, gone := range []string{"selinuxLabel", "apparmorProfile", "mountLabel", "seccomp", `"noNewPrivileges":true`} {
		if bytes.Contains(encoded, []byte(gone)) {
			t.Errorf("%s is still there: %s", gone, encoded)
		}
	}
}

func TestFilterGoesToTheProgramInside(t *testing.T) {
	filter := &inside.Filter{Program: []byte("8 bytes."), Flags: inside.FilterListener}
	for name, test := range map[string]struct {
		compiled plan.Compiled
		probe    int
	}{
		"Alone":        {plan.Compiled{Seccomp: filter, Inside: inside.Spec{Seccomp: filter}}, 0},
		"WithListener": {plan.Compiled{Seccomp: filter, Listener: &plan.Listener{Path: "/agent"}, Inside: inside.Spec{Seccomp: filter}}, 3},
	} {
		config := mustParse(t, `{"process":{"args":["sh"]},"root":{"path":"r"},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}}}`)
		if err := config.Edit(test.compiled, Place{Bundle: "/bundle", Program: "/program", Probe: 3}); err != nil {
			t.Fatal(err)
		}
		encoded, _ := config.Encode()
		edited := mustParse(t, string(encoded)).Spec
		spec, args, err := inside.Parse(edited.Process.Args)
		if err != nil || !slices.Equal(args, []string{"sh"}) || !reflect.DeepEqual(spec, inside.Spec{Seccomp: filter, Probe: test.probe}) {
			t.Errorf("%s: %+v %q, %v", name, spec, args, err)
		}
		if edited.Linux.Seccomp != nil || len(edited.Mounts) != 1 || edited.Mounts[0].Destination != inside.Directory || edited.Mounts[0].Source != "/program" {
			t.Errorf("%s: %s", name, encoded)
		}
	}
}

func TestFilterIsReadWhereItStands(t *testing.T) {
	for text, want := range map[string]string{
		"{\"a\":1,\n \"linux\": {\"seccomp\": {\n\"defaultAction\": \"SCMP_ACT_ALLOW\"}}, \"z\":1}": strings.Repeat(" ", 7) + "\n" + strings.Repeat(" ", 22) + "{\n\"defaultAction\": \"SCMP_ACT_ALLOW\"}",
		`{"linux":{"seccomp":{"old":1}},"linux":{"seccomp":{"new":1}}}`:                             strings.Repeat(" ", 50) + `{"new":1}`,
		`{"linu\u0078":{"secc\u006fmp" : [1,"]\"",{"a":"}"}]  ,"z":0}}`:                             strings.Repeat(" ", 32) + `[1,"]\"",{"a":"}"}]`,
		`{"linux":{"seccomp":7}}`:                   strings.Repeat(" ", 20) + "7",
		`{"linux":{"seccomp":true ,"a":1}}`:         strings.Repeat(" ", 20) + "true",
		`{"linux":[{"seccomp":1}]}`:                 "",
		`{"linux":{"x":{"seccomp":1}},"seccomp":2}`: "",
		`{}`: "",
		`[]`: "",
		`{"x":{"same":1},"linux":{"seccomp":{"same":1}}}`: strings.Repeat(" ", 35) + `{"same":1}`,
		`{"linux":{"seccomp":{"same":1}},"x":{"same":1}}`: strings.Repeat(" ", 20) + `{"same":1}`,
	} {
		if got := cutOut([]byte(text), "linux", "seccomp"); string(got) != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestProgramInsideHasItsPlace(t *testing.T) {
	for destination, allowed := range map[string]bool{
		"/.bulkhead": false, "/.bulkhead/": false, "//.bulkhead": false, "/x/../.bulkhead": false, ".bulkhead": false, "./.bulkhead": false, "/.bulkhead/init": false,
		"../../.bulkhead": false, "/./.bulkhead/x/..": false, "/": false, "/.": false, "//": false, ".": false, "": false, "/a/..": false,
		"/.bulkheads": true, "/x/.bulkhead": true, "/.bulkhea": true, "/data": true, "data": true,
	} {
		config := mustParse(t, minimal)
		config.Spec.Mounts = []specs.Mount{{Destination: "/proc"}, {Destination: destination}}
		err := config.CheckMounts()
		var refused *plan.RefusedError
		if allowed != (err == nil) || !allowed && !errors.As(err, &refused) {
			t.Errorf("mount on %q: %v", destination, err)
		}
	}
}

func TestProgramInsideIsMountedLast(t *testing.T) {
	config := mustParse(t, `{"process":{"args":["sh"]},"root":{"path":"r"},"mounts":[{"destination":"/x","type":"tmpfs"}]}`)
	if err := config.Edit(compileFor(t, config), Place{Bundle: "/bundle", Program: "/program", Probe: 5}); err != nil {
		t.Fatal(err)
	}
	encoded, _ := config.Encode()
	edited := mustParse(t, string(encoded)).Spec
	last := edited.Mounts[len(edited.Mounts)-1]
	if last.Destination != "/.bulkhead" || last.Source != "/program" || last.Options[1] != "ro" || edited.Process.Args[0] != "/.bulkhead/init" || edited.Process.Args[3] != "sh" {
		t.Errorf("got %+v and %q", last, edited.Process.Args)
	}
	if !strings.Contains(edited.Process.Args[1], "probe=5 ") {
		t.Errorf("spec %s", edited.Process.Args[1])
	}
}

func TestExecIsEditedLikeTheContainer(t *testing.T) {
	exec, err := ParseExec([]byte(`{"args":["id"],"future":12345678901234567890,"selinuxLabel":"a:b:c:s0","capabilities":{"bounding":["CAP_KILL"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(plan.Request{ID: "c1", Engine: &plan.EngineChoices{}, Process: Process(&exec.Process)}, plainKernel)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := p.Compile("")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Edit(compiled, 4); err != nil {
		t.Fatal(err)
	}
	encoded, err := exec.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var process specs.Process
	if err := json.Unmarshal(encoded, &process); err != nil {
		t.Fatal(err)
	}
	if process.Args[0] != "/.bulkhead/init" || process.SelinuxLabel != "" || !reflect.DeepEqual(process.Capabilities.Bounding, []string{"CAP_KILL", "CAP_SYS_ADMIN", "CAP_SETPCAP"}) {
		t.Errorf("got %s", encoded)
	}
	if !bytes.Contains(encoded, []byte("12345678901234567890")) {
		t.Error("an unknown field was lost")
	}
}

func TestUnreadableProcesses(t *testing.T) {
	for text, want := range map[string]string{
		"": "empty", "null": "null is not a process", "{}": "args is empty", "[]": "1:1", `{"args":["x"]`: "1:13: ends in the middle", "{\n\"args\":7}": "2:8",
		`{"args":["x"]}{}`: "something follows", `{"Args":["x"]}`: `spells it "args"`, strings.Repeat(" ", MaximumConfig+1): "larger than",
	} {
		if _, err := ParseExec([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "process.json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %q", text, err, want)
		}
	}
}

func TestNewExecKeepsTheProcess(t *testing.T) {
	process := specs.Process{Args: []string{"a", "b"}, Cwd: "/", User: specs.User{UID: 7}, NoNewPrivileges: true}
	exec, err := NewExec(process)
	if err != nil || !reflect.DeepEqual(exec.Process, process) {
		t.Errorf("got %+v, %v", exec.Process, err)
	}
	if _, err := NewExec(specs.Process{}); err == nil {
		t.Error("a process without arguments was taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(`{"Mounts":[{"type":"bind","source":"a"}],"process":{"args":["sh"]},"root":{"path":"r"}}`))
	f.Add([]byte(`{"mounts":[{"type":"bind","source":"a"}],"mounts":[null],"process":{"args":["sh"]},"root":{"path":"r"},"linux":{"seccomp":{}}}`))
	asked, err := os.ReadFile(filepath.Join("testdata", "asked.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(asked)
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse(data)
		if err != nil {
			return
		}
		compiled, err := tryCompile(config, plainKernel)
		if err != nil {
			return
		}
		if err := config.Edit(compiled, Place{Bundle: "/bundle", Program: "/program", Probe: 3}); err != nil {
			t.Fatal(err)
		}
		encoded, err := config.Encode()
		if err != nil {
			t.Fatal(err)
		}
		edited, err := Parse(encoded)
		if err != nil {
			t.Fatalf("what was edited cannot be read: %v\n%s", err, encoded)
		}
		if edited.Spec.Process.Args[0] != "/.bulkhead/init" && compiled.Landlock {
			t.Fatalf("the program inside is bypassed: %s", encoded)
		}
	})
}

func FuzzParseExec(f *testing.F) {
	f.Add([]byte(`{"args":["id"],"capabilities":{"bounding":["CAP_KILL"]},"user":{"uid":1}}`))
	f.Add([]byte(`{"args":["id"],"Args":["x"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		exec, err := ParseExec(data)
		if err != nil {
			return
		}
		if err := exec.Edit(plan.Compiled{}, 3); err != nil {
			t.Fatal(err)
		}
		encoded, err := exec.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseExec(encoded); err != nil {
			t.Fatalf("what was edited cannot be read: %v\n%s", err, encoded)
		}
	})
}

// What is cut out is what a decoder finds there, and nothing makes it panic.
func FuzzCutOut(f *testing.F) {
	f.Add([]byte(`{"linux":{"seccomp":{"a":[1,"}",null]},"x":-1.5e3}}`))
	f.Add([]byte("{\"linux\" : { \"seccomp\" :\n true } , \"a\\u0062\":[[],{}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := cutOut(data, "linux", "seccomp")
		if !json.Valid(data) || !utf8.Valid(data) {
			return
		}
		var want json.RawMessage
		var outer, inner map[string]json.RawMessage
		if json.Unmarshal(data, &outer) == nil && json.Unmarshal(outer["linux"], &inner) == nil {
			want = inner["seccomp"]
		}
		if !bytes.Equal(bytes.TrimLeft(got, " \n"), want) {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	})
}
