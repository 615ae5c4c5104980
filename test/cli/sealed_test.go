// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// keys returns a recipient and the file with its identity.
func keys(t *testing.T) (recipient, file string) {
	t.Helper()
	made, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, []byte(made.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return made.Recipient().String(), file
}

func TestSealedOutputIsReadByTheRecipientAlone(t *testing.T) {
	root := harness.RootFS(t)
	recipient, identity := keys(t)
	_, other := keys(t)
	const script = `echo the secret; echo the other secret >&2; head -c 300000 /dev/zero | tr '\0' x; exit 3`
	got := bulkhead(t, "", "run", "--name", "sealed", "--shield-stdio", recipient, "--rootfs", root, "sh", "-c", script)
	if got.status != 3 || strings.Contains(got.stdout+got.stderr, "secret") || !strings.Contains(got.stdout, "bulkhead.1.f.") {
		t.Errorf("run: status %d, %.300q, %q", got.status, got.stdout, got.stderr)
	}
	if opened := bulkhead(t, got.stdout+got.stderr, "logs", "--identity", identity, "-"); opened.status != 0 || !strings.HasPrefix(opened.stdout, "the secret\nxxx") || len(opened.stdout) != 11+300000 ||
		withoutNotices(opened.stderr) != "the other secret\n" {
		t.Errorf("what run printed: status %d, %d bytes, %q", opened.status, len(opened.stdout), opened.stderr)
	}
	if plain := bulkhead(t, "", "logs", "sealed"); strings.Contains(plain.stdout+plain.stderr, "secret") {
		t.Errorf("logs without an identity: %.300q", plain.stdout)
	}
	if opened := bulkhead(t, "", "logs", "--identity", identity, "-t", "sealed"); opened.status != 0 || !strings.Contains(opened.stdout, "Z the secret\n") || !strings.Contains(opened.stderr, "the other secret\n") {
		t.Errorf("logs: status %d, %.300q, %q", opened.status, opened.stdout, opened.stderr)
	}
	if opened := bulkhead(t, "", "logs", "--identity", other, "sealed"); opened.status != 1 || opened.stdout != "" || !strings.Contains(opened.stderr, "sealed for other recipients") {
		t.Errorf("another identity: %+v", opened)
	}
	lines := strings.SplitAfter(got.stdout+got.stderr, "\n")
	if cut := bulkhead(t, strings.Join(append(lines[:2:2], lines[3:]...), ""), "logs", "--identity", identity, "-"); cut.status != 1 || !strings.Contains(cut.stderr, "frame 1 is missing") {
		t.Errorf("a line less: %d, %q", cut.status, cut.stderr)
	}
	must(t, "rm", "sealed")
	nothingLeft(t)
}

func TestSealedOutputOfARunningContainerAndOfATerminal(t *testing.T) {
	root := harness.RootFS(t)
	recipient, identity := keys(t)
	must(t, "run", "-d", "--name", "lasting", "--shield-stdio", recipient, "--rootfs", root, "sh", "-c", "echo the secret; sleep 1000")
	await(t, func() bool { return must(t, "logs", "--identity", identity, "lasting") == "the secret\n" })
	must(t, "rm", "-f", "lasting")

	out, status := onTerminal(t, "", "run", "-t", "--name", "terminal", "--shield-stdio", recipient, "--rootfs", root, "sh", "-c", "test -t 1 && echo the secret")
	if status != 0 || strings.Contains(out, "secret") {
		t.Errorf("terminal: status %d, %q", status, out)
	}
	var shown strings.Builder // but for the notices of run, which are on the terminal, too
	for line := range strings.Lines(out) {
		if strings.Contains(line, "bulkhead.1.") {
			shown.WriteString(line)
		}
	}
	if opened := bulkhead(t, shown.String(), "logs", "--identity", identity, "-"); opened.status != 0 || !strings.HasSuffix(opened.stdout, "the secret\r\n") {
		t.Errorf("what the terminal showed: %+v", opened)
	}
	must(t, "rm", "terminal")
	nothingLeft(t)
}

func TestSealedOutputUsage(t *testing.T) {
	_, identity := keys(t)
	for want, args := range map[string][]string{
		"no age recipient":       {"run", "--rm", "--shield-stdio", "age1nobody", "--rootfs", "/", "true"},
		"--tail with --identity": {"logs", "--identity", identity, "--tail", "3", "x"},
		"opened with --identity": {"logs", "-"},
	} {
		if got := bulkhead(t, "", args...); got.status != 2 || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if got := bulkhead(t, "nothing\n", "logs", "--identity", identity, "-"); got.status != 1 || !strings.Contains(got.stderr, "no sealed stream") {
		t.Errorf("%+v", got)
	}
}
