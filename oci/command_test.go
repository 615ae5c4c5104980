// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func flagOption(name, value string) Option { return Option{Name: name, Value: value, Flag: true} }

func TestCommandLines(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want Command
	}{
		"Nothing":             {"", Command{}},
		"GlobalsOnly":         {"--version", Command{Globals: Options{flagOption("version", "")}}},
		"ShortVersion":        {"-v", Command{Globals: Options{flagOption("version", "")}}},
		"DockersCreate":       {"--root /run/docker --log /l.json --log-format json create --bundle /b --pid-file /p c1", Command{Options{{Name: "root", Value: "/run/docker"}, {Name: "log", Value: "/l.json"}, {Name: "log-format", Value: "json"}}, "create", Options{{Name: "bundle", Value: "/b"}, {Name: "pid-file", Value: "/p"}}, []string{"c1"}}},
		"EqualsForm":          {"--root=/r create --bundle=/b=c c1", Command{Options{{Name: "root", Value: "/r"}}, "create", Options{{Name: "bundle", Value: "/b=c"}}, []string{"c1"}}},
		"EmptyEqualsForm":     {"create --bundle= c1", Command{Verb: "create", Options: Options{{Name: "bundle"}}, Arguments: []string{"c1"}}},
		"SingleDash":          {"-root /r create -b /b c1", Command{Options{{Name: "root", Value: "/r"}}, "create", Options{{Name: "bundle", Value: "/b"}}, []string{"c1"}}},
		"ShortEquals":         {"create -b=/b c1", Command{Verb: "create", Options: Options{{Name: "bundle", Value: "/b"}}, Arguments: []string{"c1"}}},
		"ValueLikeAnOption":   {"exec --env --process=x c1 id", Command{Verb: "exec", Options: Options{{Name: "env", Value: "--process=x"}}, Arguments: []string{"c1", "id"}}},
		"OptionsAfterTheID":   {"exec -t c1 ls --process x", Command{Verb: "exec", Options: Options{flagOption("tty", "")}, Arguments: []string{"c1", "ls", "--process", "x"}}},
		"DoubleDash":          {"exec -- c1 -x", Command{Verb: "exec", Arguments: []string{"c1", "-x"}}},
		"GlobalDoubleDash":    {"--debug -- start c1", Command{Globals: Options{flagOption("debug", "")}, Verb: "start", Arguments: []string{"c1"}}},
		"RepeatedOptions":     {"exec -e A=1 --env B=2 c1 id", Command{Verb: "exec", Options: Options{{Name: "env", Value: "A=1"}, {Name: "env", Value: "B=2"}}, Arguments: []string{"c1", "id"}}},
		"FlagSwitchedOff":     {"run --detach=false c1", Command{Verb: "run", Options: Options{flagOption("detach", "false")}, Arguments: []string{"c1"}}},
		"OtherVerbsUntouched": {"--root /r kill --all c1 -x KILL", Command{Globals: Options{{Name: "root", Value: "/r"}}, Verb: "kill", Arguments: []string{"--all", "c1", "-x", "KILL"}}},
		"DeleteForce":         {"delete -f c1", Command{Verb: "delete", Options: Options{flagOption("force", "")}, Arguments: []string{"c1"}}},
		"DashAloneIsNoOption": {"exec c1 -", Command{Verb: "exec", Arguments: []string{"c1", "-"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCommand(strings.Fields(test.line))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Arguments) == 0 {
				got.Arguments = nil
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestCommandLinesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"UnknownGlobal":         {[]string{"--rooot", "/r", "create", "c1"}, `unknown option "--rooot"`},
		"UnknownOption":         {[]string{"create", "--no-seccomp", "c1"}, `create: unknown option "--no-seccomp"`},
		"UnknownShort":          {[]string{"exec", "-x", "c1"}, `unknown option "-x"`},
		"CombinedShort":         {[]string{"exec", "-td", "c1"}, `unknown option "-td"`},
		"ThreeDashes":           {[]string{"create", "---bundle", "c1"}, "unknown option"},
		"OptionOfAnotherVerb":   {[]string{"create", "--process", "x", "c1"}, "unknown option"},
		"NoValue":               {[]string{"create", "--bundle"}, `option "--bundle" needs a value`},
		"NoID":                  {[]string{"create", "--bundle", "/b"}, "create: no container ID"},
		"NoIDAfterDashes":       {[]string{"delete", "--"}, "no container ID"},
		"IDLeavesItsDirectory":  {[]string{"create", "../x"}, `container ID "../x"`},
		"IDIsDotDot":            {[]string{"delete", ".."}, "container ID"},
		"IDIsDot":               {[]string{"delete", "."}, "container ID"},
		"IDIsEmpty":             {[]string{"start", ""}, "container ID"},
		"IDHasASlash":           {[]string{"start", "a/b"}, "container ID"},
		"IDHasANewline":         {[]string{"start", "a\n"}, "container ID"},
		"IDHasANUL":             {[]string{"start", "a\x00b"}, "container ID"},
		"IDLooksLikeAnOption":   {[]string{"create", "--", "--no-pivot"}, "container ID"},
		"IDIsTooLong":           {[]string{"create", strings.Repeat("a", 241)}, "container ID"},
		"FlagIsNeither":         {[]string{"run", "--detach=maybe", "c1"}, "neither true nor false"},
		"VerbLooksLikeAnOption": {[]string{"--", "--debug", "create"}, `"--debug" is not a command`},
		"VerbIsEmpty":           {[]string{"", "create"}, `"" is not a command`},
		"VerbIsADash":           {[]string{"-"}, `"-" is not a command`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCommand(test.args)
			var usage *UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestErrorsComeWithTheGlobalsBeforeThem(t *testing.T) {
	command, err := ParseCommand([]string{"--log", "/l.json", "exec", "--frob", "c1"})
	if err == nil || command.Globals.Get("log") != "/l.json" {
		t.Errorf("got %+v, %v", command, err)
	}
	command, err = ParseCommand([]string{"--log", "/l.json", "--frob", "exec", "c1"})
	if err == nil || command.Globals.Get("log") != "/l.json" {
		t.Errorf("got %+v, %v", command, err)
	}
}

func TestFlagsAreSetAsTheirLastWordSays(t *testing.T) {
	for line, want := range map[string]bool{"run c": false, "run -d c": true, "run --detach=true c": true, "run --detach=1 c": true, "run --detach=0 c": false, "run --detach=F c": false,
		"run -d --detach=false c": false, "run --detach=false -d c": true} {
		command, err := ParseCommand(strings.Fields(line))
		if err != nil || command.Options.Has("detach") != want {
			t.Errorf("%s: %v, %v", line, command.Options.Has("detach"), err)
		}
	}
}

func TestOptionsAreTakenAndReplaced(t *testing.T) {
	command, err := ParseCommand(strings.Fields("exec -e A=1 -p /one -t --process /two -e B=2 c1 id"))
	if err != nil {
		t.Fatal(err)
	}
	options := command.Options
	if options.Get("process") != "/two" || !reflect.DeepEqual(options.All("env"), []string{"A=1", "B=2"}) || options.Get("cwd") != "" {
		t.Errorf("got %+v", options)
	}
	changed := options.Without("process", "env").With("pid-file", "/p")
	if got := strings.Join(changed.Args(), " "); got != "--tty --pid-file /p" {
		t.Errorf("got %q", got)
	}
	if len(options) != 5 {
		t.Error("Without changed what it was called on")
	}
}

func TestBundleOf(t *testing.T) {
	for option, want := range map[string]string{"": "/work", "/b": "/b", "b": "/work/b", "../b/": "/b", "/b/../c": "/c"} {
		command := Command{Options: Options{{Name: "bundle", Value: option}}}
		if got := command.BundleOf("/work"); got != want {
			t.Errorf("bundle %q is %q, want %q", option, got, want)
		}
	}
}

// FuzzParseCommand holds that what is passed on is read in the same way again, so that no option is smuggled past.
func FuzzParseCommand(f *testing.F) {
	for _, line := range []string{"--root /r create --bundle /b c1", "exec -t -e A=1 c1 sh -c x", "-- delete --force=true c1", "kill --all c1", "--log= start c1", "run -d=0 -- c1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		command, err := ParseCommand(strings.Split(line, " "))
		if err != nil {
			return
		}
		again, err := ParseCommand(command.Args())
		if err != nil {
			t.Fatalf("%q: its own words are refused: %v", command.Args(), err)
		}
		if !reflect.DeepEqual(again.Args(), command.Args()) || again.Verb != command.Verb || len(again.Options) != len(command.Options) {
			t.Fatalf("%q became %q", command.Args(), again.Args())
		}
	})
}
