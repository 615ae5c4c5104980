// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// testSealed shows that the engine's log has ciphertext where the annotation asks for it, and that the recipient reads it.
func (c *ctr) testSealed(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	options := []string{"-d", "--log-uri", "file://" + log, "--annotation", "org.bulkhead.shield-stdio=" + key.Recipient().String()}
	// containerd 1.6 loses what a task prints at its very end at times, under any runtime: hence the sleep.
	args, name := c.arguments(t, ours, options, "sh", "-c", "echo the secret; echo another secret >&2; sleep 1; exit 3")
	run(t, nil, "", nil, args...).must(t)
	eventually(t, "the task has stopped", func() bool { return strings.Contains(c.do(t, "tasks", "ls").out, "STOPPED") })
	if got := c.do(t, "tasks", "rm", name); !strings.Contains(got.err, "exit code 3") {
		t.Errorf("exit status: %+v", got)
	}
	c.do(t, "containers", "rm", name).must(t)
	var opened result
	eventually(t, "the log has the ends of both streams", func() bool {
		text, err := os.ReadFile(log)
		if err != nil || strings.Contains(string(text), "secret") {
			t.Fatalf("the log: %q, %v", text, err)
		}
		opened = run(t, nil, string(text)+"\n", nil, harness.Binary(t), "logs", "--identity", identity, "-")
		return opened.status == 0
	})
	if opened.out != "the secret\n" || !strings.HasSuffix(opened.err, "another secret\n") {
		t.Errorf("opened: %+v", opened)
	}
	args, _ = c.arguments(t, ours, []string{"-d", "--annotation", "org.bulkhead.shield-stdio=age1nobody"}, "true")
	if got := run(t, nil, "", nil, args...); got.status == 0 || !strings.Contains(got.err, "is no age recipient") {
		t.Errorf("a recipient that is none: %+v", got)
	}
	noOrphans(t)
}

func (e *engine) testSealedRefused(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sealed outputs of a terminal are refused", func(t *testing.T) {
		e.refused(t, "a terminal goes from the OCI runtime to the engine", "-t", "--annotation", "org.bulkhead.shield-stdio="+key.Recipient().String(), image, "true")
	})
	t.Run("sealed outputs whose end conmon would not read are refused", func(t *testing.T) {
		e.refused(t, "conmon does not wait for output", "--annotation", "org.bulkhead.shield-stdio="+key.Recipient().String(), image, "true")
	})
}
