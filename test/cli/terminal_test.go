// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// onTerminal runs the binary on a terminal of its own, with script(1), and types the input there.
func onTerminal(t *testing.T, input string, args ...string) (string, int) {
	t.Helper()
	words := []string{harness.Binary(t)}
	for _, arg := range args {
		words = append(words, "'"+arg+"'")
	}
	command := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(words, " "), "/dev/null")
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

const terminalScript = `test -t 0 && test -t 1 && test -t 2 && echo on a terminal; read line; echo "got $line"; exit 3`

func TestTerminalOfRunAndExec(t *testing.T) {
	root := harness.RootFS(t)
	for _, mode := range [][]string{{"--rm"}, {"--name", "tty"}} {
		args := append(append([]string{"run", "-it"}, mode...), "--rootfs", root, "sh", "-c", terminalScript)
		out, status := onTerminal(t, "typed\n", args...)
		if status != 3 || !strings.Contains(out, "on a terminal\r\n") || !strings.Contains(out, "got typed\r\n") {
			t.Errorf("run %v: status %d, %q", mode, status, out)
		}
	}
	if got := bulkhead(t, "", "logs", "tty"); !strings.Contains(got.stdout, "got typed") {
		t.Errorf("logs: %+v", got)
	}
	must(t, "rm", "tty")

	must(t, "run", "-d", "-t", "--name", "box", "--rootfs", root, "sh", "-c", "test -t 1 && echo on a terminal; sleep 1000")
	await(t, func() bool { return strings.Contains(must(t, "logs", "box"), "on a terminal") })
	out, status := onTerminal(t, "typed\n", "exec", "-it", "box", "sh", "-c", terminalScript)
	if status != 3 || !strings.Contains(out, "on a terminal\r\n") || !strings.Contains(out, "got typed\r\n") {
		t.Errorf("exec: status %d, %q", status, out)
	}
	must(t, "rm", "-f", "box")
	nothingLeft(t)
}

func TestTerminalIsRefusedWithoutOne(t *testing.T) {
	got := bulkhead(t, "", "run", "--rm", "-it", "--rootfs", harness.RootFS(t), "true")
	if got.status != 2 || !strings.Contains(got.stderr, "not a terminal") {
		t.Errorf("%+v", got)
	}
	nothingLeft(t)
}
