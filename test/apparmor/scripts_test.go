// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

// dropIn returns the path of our program under the name apparmor_parser.
func dropIn(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "apparmor_parser")
	if err := os.Symlink(harness.Binary(t), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// script is one of the suite's programs that start the parser.
type script struct {
	command   []string
	stdin     func(text string) string // what a shell reads instead of the script
	complete  string                   // expression for the output of a run that came to its end
	failed    string                   // of which the first group is the name of a check that failed
	otherwise map[string]string        // checks that fail, each with its reason
}

func scripts(parser string) map[string]script {
	return map[string]script{
		"dirtest.sh": {command: []string{"sh", "dirtest.sh"}, complete: `PASS\n$`, failed: `^(.*failed.*)$`},
		"caching.py": {command: []string{"/usr/bin/python3", "caching.py", "-p", parser}, complete: `Ran 66 tests in`, failed: `^(?:FAIL|ERROR): (\w+)`},
		"errors.py": {command: []string{"/usr/bin/python3", "errors.py", "-p", parser}, complete: `Ran 14 tests in`, failed: `^(?:FAIL|ERROR): (\w+)`, otherwise: map[string]string{
			"test_modefail": "the reference's message names the symbols of its grammar, TOK_ID and TOK_MODE; ours says what is there and what was expected",
		}},
		"minimize.sh": {
			command: []string{"sh", "-s"}, complete: `audit deny xtrans .*\n$`, failed: `^(.*) failed$`,
			stdin: func(text string) string { return strings.ReplaceAll(text, "exit 1;", "continue=1") }, // every check
			otherwise: map[string]string{
				"Minimize profiles extended no-filter audit deny perms": "what is denied is always left out of automata, so no states come of it",
			},
		},
	}
}

// The suite's programs with ours in the parser's place.
func TestScriptsOfTheParser(t *testing.T) {
	t.Parallel()
	suite, parser := reference.Suite(t), dropIn(t)
	for name, script := range scripts(parser) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), script.command[0], script.command[1:]...)
			command.Dir = suite
			command.Env = append(os.Environ(), "LANG=C", "PYTHONDONTWRITEBYTECODE=1", "APPARMOR_PARSER="+parser+" --config-file=./parser.conf", "tmpdir="+filepath.Join(t.TempDir(), "script"))
			if script.stdin != nil {
				text, err := os.ReadFile(filepath.Join(suite, name))
				if err != nil {
					t.Fatal(err)
				}
				command.Stdin = strings.NewReader(script.stdin(string(text)))
			}
			out, err := command.CombinedOutput()
			if err != nil && len(script.otherwise) == 0 || !regexp.MustCompile(script.complete).Match(out) {
				t.Fatalf("%v\n%s", err, out)
			}
			failures := map[string]bool{}
			for _, match := range regexp.MustCompile("(?m)"+script.failed).FindAllSubmatch(out, -1) {
				failures[string(match[1])] = true
			}
			for check := range failures {
				if script.otherwise[check] == "" {
					t.Errorf("%s fails:\n%s", check, out)
				}
			}
			for check, reason := range script.otherwise {
				if !failures[check] {
					t.Errorf("%s passes, though the list says: %s", check, reason)
				}
			}
		})
	}
}

// What the program writes is what the compiler makes in the process, on some of the suite's cases.
func TestProgramCompilesAsThePackageDoes(t *testing.T) {
	t.Parallel()
	parser, from := dropIn(t), suiteSources(t)
	written, _ := reference.Cases(t)
	for _, c := range sample(written, 100) {
		want, refused := compile(t.Context(), from, "-", c.Text)
		command := exec.CommandContext(t.Context(), parser, "--config-file=/dev/null", "-M", from.Features, "-S", "-I", from.Include[0])
		var stdout, stderr bytes.Buffer
		command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(c.Text), &stdout, &stderr
		err := command.Run()
		if (err == nil) != (refused == nil) || err == nil && !bytes.Equal(stdout.Bytes(), want) {
			t.Errorf("%s: the program: %v, %d bytes, %s; the package: %v, %d bytes", c.Name, err, stdout.Len(), strings.TrimSpace(stderr.String()), refused, len(want))
		}
	}
}
