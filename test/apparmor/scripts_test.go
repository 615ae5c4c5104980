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

// The suite's programs that start the parser, with ours in its place.
func TestScriptsOfTheParser(t *testing.T) {
	t.Parallel()
	suite, parser := reference.Suite(t), dropIn(t)
	for _, script := range []struct {
		name    string
		command []string
		passed  string // what its output says at the end
	}{
		{"minimize.sh", []string{"sh", "minimize.sh"}, `Minimize profiles audit deny xtrans ok\n$`},
		{"dirtest.sh", []string{"sh", "dirtest.sh"}, `PASS\n$`},
		{"errors.py", []string{"/usr/bin/python3", "errors.py", "-p", parser}, `Ran 14 tests in .*\n\nOK\n$`},
		{"caching.py", []string{"/usr/bin/python3", "caching.py", "-p", parser}, `Ran 66 tests in .*\n\nOK \(skipped=\d\)\n$`},
	} {
		t.Run(script.name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), script.command[0], script.command[1:]...)
			command.Dir = suite
			command.Env = append(os.Environ(), "LANG=C", "PYTHONDONTWRITEBYTECODE=1", "APPARMOR_PARSER="+parser+" --config-file=./parser.conf", "tmpdir="+filepath.Join(t.TempDir(), "script"))
			out, err := command.CombinedOutput()
			if err != nil || !regexp.MustCompile(script.passed).Match(out) {
				t.Errorf("%v\n%s", err, out)
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
