// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apparmorVerb runs `bulkhead apparmor ARG...` and returns what it prints and its exit status.
func apparmorVerb(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, warnings bytes.Buffer
	command := apparmorCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetOut(&out)
	command.SetErr(&warnings)
	command.SetArgs(args)
	var code exitCode
	switch err := command.Execute(); {
	case err == nil:
	case errors.As(err, &code):
		status = int(code)
	default:
		var usage usageError
		if status = report(&warnings, err, exitFailed); errors.As(err, &usage) {
			status = exitUsage
		}
	}
	return out.String(), warnings.String(), status
}

// policies writes texts that verbs are asked about, and changes into their directory.
func policies(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"web":      "profile web {\n  /srv/** r,\n  deny /srv/secret r,\n  network inet stream,\n}\n",
		"same":     "profile other {\n  network inet stream,\n  /srv/** r,\n  deny /srv/secret r,\n}\n",
		"more":     "profile web {\n  /srv/** rw,\n  deny /srv/secret r,\n  network inet stream,\n}\n",
		"wrong":    "profile a {\n  /x zz,\n  network mars,\n}\nprofile b {\n  nonsense\n}\n",
		"included": "include <part/x>\nprofile i {\n  @{X} r,\n}\n",
		"part/x":   "@{X} = /one /two\n",
		"userns":   "profile u {\n  deny userns,\n}\n",
		"spaces":   "profile :a:x { }\nprofile :b:y { }\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApparmorCompileWritesPolicyAndMap(t *testing.T) {
	policies(t)
	out, warnings, status := apparmorVerb(t, "compile", "--kernel", "6.1", "-I", ".", "-o", "out", "web", "included", "--json")
	var shown compiledPolicy
	if err := json.Unmarshal([]byte(out), &shown); err != nil || status != 0 || warnings != "" {
		t.Fatalf("%d %q %v", status, warnings, err)
	}
	if len(shown.Profiles) != 2 || shown.Profiles[0].Name != "web" || shown.Profiles[0].Rules != 3 || shown.Profiles[1].Name != "i" || len(shown.SHA256) != 64 {
		t.Errorf("%+v", shown)
	}
	stream, err := os.ReadFile("out")
	if err != nil || len(stream) != shown.Bytes {
		t.Errorf("%d bytes, %v", len(stream), err)
	}
	for question, want := range map[string]string{
		"file /srv/x r": "allow", "file /srv/secret r": "deny", "file /srv/x w": "deny", "network inet stream": "allow",
	} {
		out, warnings, status := apparmorVerb(t, append([]string{"decide", "--kernel", "6.1", "out", "web"}, strings.Fields(question)...)...)
		if status != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %d %s%s", question, status, out, warnings)
		}
	}
	if out, _, _ := apparmorVerb(t, "decide", "--kernel", "6.1", "out", "i", "file", "/two", "r"); !strings.HasPrefix(out, "allow") {
		t.Errorf("an include's variable: %s", out)
	}
}

func TestApparmorCompileIsDeterministic(t *testing.T) {
	policies(t)
	first, _, _ := apparmorVerb(t, "compile", "--kernel", "6.12", "-o", "-", "web", "userns")
	second, _, _ := apparmorVerb(t, "compile", "--kernel", "6.12", "-o", "-", "web", "userns")
	if first == "" || first != second {
		t.Errorf("%d bytes, then %d", len(first), len(second))
	}
}

func TestApparmorVerbsFail(t *testing.T) {
	policies(t)
	for name, test := range map[string]struct {
		args   []string
		status int
		says   []string
	}{
		"every bad rule":       {[]string{"compile", "--kernel", "6.1", "wrong"}, 1, []string{"wrong:2:", "wrong:3:", "wrong:6:"}},
		"a rule not enforced":  {[]string{"compile", "--kernel", "6.1", "--strict", "userns"}, 1, []string{"userns:2:3:"}},
		"no such kernel":       {[]string{"compile", "--kernel", "2.4", "web"}, 2, []string{"neither host, nor one of"}},
		"no file":              {[]string{"compile", "--kernel", "6.1", "gone"}, 1, []string{"gone"}},
		"one profile twice":    {[]string{"compile", "--kernel", "6.1", "web", "more"}, 1, []string{"profile web is in two of the files"}},
		"output and JSON":      {[]string{"compile", "--kernel", "6.1", "-o", "-", "--json", "web"}, 2, []string{"both write"}},
		"no such profile":      {[]string{"decide", "--kernel", "6.1", "web", "db", "file", "/x", "r"}, 2, []string{`no profile "db"`, "it has web"}},
		"no such question":     {[]string{"decide", "--kernel", "6.1", "web", "web", "fly", "/x"}, 2, []string{"fly"}},
		"neither file nor not": {[]string{"decide", "--kernel", "6.1", "gone", "x", "file", "/x", "r"}, 3, []string{"neither a file nor a loaded profile"}},
		"no subject":           {[]string{"diff", "web"}, 2, nil},
	} {
		_, warnings, status := apparmorVerb(t, test.args...)
		if status != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, status, test.status, warnings)
		}
		for _, words := range test.says {
			if !strings.Contains(warnings, words) {
				t.Errorf("%s: %q does not say %q", name, warnings, words)
			}
		}
	}
}

func TestApparmorWarnsOfWhatIsNotEnforced(t *testing.T) {
	policies(t)
	if _, warnings, status := apparmorVerb(t, "compile", "--kernel", "6.1", "userns"); status != 0 || !strings.Contains(warnings, "not enforced: userns:2:3:") {
		t.Errorf("%d %q", status, warnings)
	}
	if _, warnings, status := apparmorVerb(t, "compile", "--kernel", "6.12", "--strict", "userns"); status != 0 || warnings != "" {
		t.Errorf("%d %q", status, warnings)
	}
}

func TestApparmorDiffSaysOnWhatPoliciesDiffer(t *testing.T) {
	policies(t)
	apparmorVerb(t, "compile", "--kernel", "6.1", "-o", "web.bin", "web")
	if out, warnings, status := apparmorVerb(t, "diff", "--kernel", "6.1", "web.bin", "web"); out != "equal\n" || status != 0 {
		t.Errorf("%d %s%s", status, out, warnings)
	}
	if out, _, status := apparmorVerb(t, "diff", "--kernel", "6.1", "--access", "web", "same"); out != "equal\n" || status != 0 {
		t.Errorf("other names and order: %d %s", status, out)
	}
	out, _, status := apparmorVerb(t, "diff", "--kernel", "6.1", "--json", "web.bin", "more")
	var shown struct {
		Equal       bool
		Differences []struct{ Profile, Operation, A, B string }
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil || status != 1 || shown.Equal || len(shown.Differences) == 0 || !strings.HasPrefix(shown.Differences[0].Operation, "file /srv/") {
		t.Errorf("%d %s %v", status, out, err)
	}
}

// parser runs apparmor_parser in the test's directory, with features of 6.1.
func parser(t *testing.T, input string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, warnings bytes.Buffer
	status = parserMain(append([]string{"--config-file=/nowhere", "-M", "features"}, args...), strings.NewReader(input), &out, &warnings)
	return out.String(), warnings.String(), status
}

func parserFiles(t *testing.T) {
	t.Helper()
	policies(t)
	features, _, status := apparmorVerb(t, "features", "6.1")
	if status != 0 {
		t.Fatal(status)
	}
	if err := os.WriteFile("features", []byte(features), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestParserTakesTheOptionsOfTheReference(t *testing.T) {
	parserFiles(t)
	for name, test := range map[string]struct {
		input  string
		args   []string
		status int
		out    string
		says   string
	}{
		"together":               {"", []string{"-QKv", "web"}, 0, "Addition succeeded for \"web\".\n", ""},
		"abbreviated":            {"", []string{"--skip-k", "--skip-cache", "--verb", "--repl", "web"}, 0, "Replacement succeeded for \"web\".\n", ""},
		"behind the file":        {"", []string{"web", "-QKRv"}, 0, "Removal succeeded for \"web\".\n", ""},
		"names":                  {"", []string{"-N", "web", "spaces"}, 0, "web\n:a://x\n:b://y\n", ""},
		"standard input":         {"profile in { }", []string{"-QKv"}, 0, "Addition succeeded for \"in\".\n", ""},
		"quiet":                  {"", []string{"-QKq", "web"}, 0, "", ""},
		"after --":               {"", []string{"-QK", "--", "web"}, 0, "", ""},
		"jobs":                   {"", []string{"-QKj8", "--max-jobs=x2", "web"}, 0, "", ""},
		"optimizations":          {"", []string{"-QK", "-O", "no-expr-simplify", "--Optimize=compress-fast", "web"}, 0, "", ""},
		"unknown option":         {"", []string{"--fly"}, 1, "", "apparmor_parser: unrecognized option '--fly'\n"},
		"unknown letter":         {"", []string{"-Z"}, 1, "", "apparmor_parser: invalid option -- 'Z'\n"},
		"ambiguous":              {"", []string{"--skip"}, 1, "", "ambiguous"},
		"without its value":      {"", []string{"-I"}, 1, "", "requires an argument"},
		"with a value":           {"", []string{"--quiet=yes"}, 1, "", "doesn't allow an argument"},
		"two actions":            {"", []string{"-a", "-R", "web"}, 1, "", "Too many actions"},
		"unknown dump":           {"", []string{"-D", "bogus", "web"}, 1, "", "Invalid --Dump option bogus"},
		"unknown optimization":   {"", []string{"-O", "bogus", "web"}, 1, "", "Invalid --Optimize option bogus"},
		"unknown warning":        {"", []string{"--warn=bogus", "web"}, 1, "", "Invalid --warn option bogus"},
		"file that is not there": {"", []string{"-QK", "gone"}, 2, "", "File gone not found, skipping...\n"},
		"bad rule":               {"", []string{"-QK", "wrong"}, 1, "", "AppArmor parser error for wrong in profile wrong at line 2: "},
		"bad input":              {"profile {", []string{"-QK"}, 1, "", "AppArmor parser error at line 1: "},
		"missing include":        {"", []string{"-QK", "included"}, 1, "", "AppArmor parser error for included in profile included at line 1: Could not open 'part/x'\n"},
		"include":                {"", []string{"-QKv", "-I", ".", "included"}, 0, "Addition succeeded for \"i\".\n", ""},
		"no warning":             {"", []string{"-QK", "userns"}, 0, "", ""},
		"warning":                {"", []string{"-QK", "--warn=rule-not-enforced", "userns"}, 0, "", "Warning from userns (userns line 2): "},
		"warning as an error":    {"", []string{"-QK", "--Werror=rule-not-enforced", "userns"}, 1, "", "Warning from userns"},
	} {
		out, warnings, status := parser(t, test.input, test.args...)
		if status != test.status || out != test.out || test.says == "" && warnings != "" || !strings.Contains(warnings, test.says) {
			t.Errorf("%s: status %d, %q %q", name, status, out, warnings)
		}
	}
	if out, _, _ := parser(t, "", "--version"); !strings.HasPrefix(out, "AppArmor parser version 4.1.0\n") {
		t.Errorf("%q: engines take the last word of the first line", out)
	}
}

func TestParserWritesWhatCompileWrites(t *testing.T) {
	parserFiles(t)
	apparmorVerb(t, "compile", "--kernel", "6.1", "-o", "web.bin", "web")
	want, err := os.ReadFile("web.bin")
	if err != nil {
		t.Fatal(err)
	}
	if out, warnings, status := parser(t, "", "-S", "web"); status != 0 || out != string(want) {
		t.Errorf("%d %d bytes %s", status, len(out), warnings)
	}
	if _, warnings, status := parser(t, "", "-o", "two.bin", "web", "userns"); status != 0 || warnings != "" {
		t.Errorf("%d %s", status, warnings)
	}
	if got, err := os.ReadFile("two.bin"); err != nil || !strings.HasPrefix(string(got), string(want)) || len(got) == len(want) {
		t.Errorf("%d bytes %v", len(got), err)
	}
	if out, warnings, status := parser(t, "", "-QBrv", "web.bin"); status != 0 || !strings.HasPrefix(out, "Cached reload succeeded for ") {
		t.Errorf("%d %s%s", status, out, warnings)
	}
}

func TestParserSkipsAndForcesByLinks(t *testing.T) {
	parserFiles(t)
	for _, name := range []string{"base/disable/web", "base/force-complain/more"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("gone", name); err != nil {
			t.Fatal(err)
		}
	}
	if out, warnings, status := parser(t, "", "-QKrv", "-b", "base", "web"); status != 0 || out != "" || warnings != "Skipping profile in base/disable: web\n" {
		t.Errorf("%d %q %q", status, out, warnings)
	}
	if out, warnings, status := parser(t, "", "-QKrv", "-b", "base", "more"); status != 0 || !strings.Contains(out, "Replacement") || !strings.Contains(warnings, "forcing complain mode") {
		t.Errorf("%d %q %q", status, out, warnings)
	}
}

func TestParserDirectoryIsItsProfiles(t *testing.T) {
	parserFiles(t)
	for name, text := range map[string]string{"d/a": "profile a { }", "d/b": "profile b { }", "d/.hidden": "wrong", "d/c.dpkg-old": "wrong", "d/e~": "wrong", "d/sub/x": "wrong"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, warnings, status := parser(t, "", "-N", "d"); status != 0 || out != "a\nb\n" {
		t.Errorf("%d %q %q", status, out, warnings)
	}
	if err := os.Symlink("gone", "d/link"); err != nil {
		t.Fatal(err)
	}
	if out, warnings, status := parser(t, "", "-N", "d"); status != 1 || out != "a\nb\n" || warnings != "There was an error while loading profiles from d\n" {
		t.Errorf("%d %q %q", status, out, warnings)
	}
}

func TestParserCacheHoldsForTheTextsThatItIsOf(t *testing.T) {
	parserFiles(t)
	run := func(args ...string) string {
		t.Helper()
		out, warnings, status := parser(t, "", append([]string{"-QrvkL", "cache", "-I", "."}, args...)...)
		if status != 0 {
			t.Fatalf("%d %s", status, warnings)
		}
		return out + warnings
	}
	hit := func(args ...string) bool {
		t.Helper()
		return strings.Contains(run(args...), "Cached reload succeeded")
	}
	if hit("included") || hit("included") {
		t.Error("there is a cache that nobody asked for")
	}
	if hit("-W", "included") || !hit("included") {
		t.Error("what was written is not found")
	}
	if hit("-T", "included") || hit("-K", "included") {
		t.Error("read against -T or -K")
	}
	for _, when := range []time.Duration{time.Hour, -time.Hour} {
		at := time.Now().Add(when)
		if err := os.Chtimes("part/x", at, at); err != nil {
			t.Fatal(err)
		}
		if when < 0 {
			if err := os.Chtimes("included", at, at); err != nil {
				t.Fatal(err)
			}
		}
		if hit("included") {
			t.Errorf("found with texts that are %v newer", when)
		}
		if run("-W", "included"); !hit("included") {
			t.Errorf("not written again (%v)", when)
		}
	}
	out, _, _ := parser(t, "", "-L", "cache", "--print-cache-dir")
	directory := strings.TrimSpace(out)
	if err := os.WriteFile(filepath.Join(directory, ".features"), []byte("others"), 0o644); err != nil {
		t.Fatal(err)
	}
	if hit("included") {
		t.Error("found beside other features")
	}
	if other, _, _ := parser(t, "", "-L", "cache", "--print-cache-dir"); other == out || !strings.HasSuffix(strings.TrimSpace(other), ".1") {
		t.Errorf("%q for features that another directory is not for", other)
	}
	if _, _, status := parser(t, "", "-L", "cache", "--purge-cache"); status != 0 {
		t.Error(status)
	}
	if entries, err := os.ReadDir("cache"); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestCacheDirectoryIsNamedAsTheReferenceNamesIt(t *testing.T) {
	// By apparmor_parser 3.0.8 and 4.1.0, for features files of these texts.
	for text, want := range map[string]uint32{"a {b\n}\n": 0x067c5492, "a {c\n}\n": 0xffdadc29} {
		if got := featuresHash(text); got != want {
			t.Errorf("%q: %08x, want %08x", text, got, want)
		}
	}
}

func TestParserForcesCompiledPolicyToComplain(t *testing.T) {
	parserFiles(t)
	apparmorVerb(t, "compile", "--kernel", "6.1", "-o", "web.bin", "web")
	plain, _, _ := parser(t, "", "-BS", "web.bin")
	forced, warnings, status := parser(t, "", "-BSC", "web.bin")
	if status != 0 || len(forced) != len(plain) || forced == plain {
		t.Errorf("%d %s", status, warnings)
	}
	if _, warnings, status := parser(t, "", "-QBr", "web"); status != 1 || warnings == "" {
		t.Errorf("a text is taken for compiled policy: %d %q", status, warnings)
	}
}

func FuzzParserOptions(f *testing.F) {
	for _, line := range []string{"-Kr x", "-rWL cache x", "-QKS -M features", "--cache-loc=a,b\\,c --jobs=x2", "-O no-expr-simplify --dump dfa-states", "--Werror --warn=all --", "-j", "--=", "-d2"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o := parserDefaults()
		if err := o.parse(strings.Fields(line)); err == nil && o.jobs < 0 {
			t.Errorf("%q: %d jobs", line, o.jobs)
		}
	})
}
