// SPDX-License-Identifier: Apache-2.0

// Package cli tests the verbs as people type them, on this machine's own kernel.
package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Private(m)) }

// result is what a command did.
type result struct {
	stdout, stderr string
	status         int
}

// bulkhead runs the binary, with input where it is not empty.
func bulkhead(t *testing.T, input string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary(t), args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("bulkhead %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), withoutNotices(stderr.String()), command.ProcessState.ExitCode()}
}

// withoutNotices leaves out what is said of the layers that the test's kernel may lack.
func withoutNotices(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "bulkhead: notice: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// must runs the binary and wants status 0 and nothing on stderr.
func must(t *testing.T, args ...string) string {
	t.Helper()
	got := bulkhead(t, "", args...)
	if got.status != 0 || got.stderr != "" {
		t.Fatalf("bulkhead %s: status %d, stderr %q", strings.Join(args, " "), got.status, got.stderr)
	}
	return got.stdout
}

// nothingLeft fails if a container, a mount, a record or a pair is there.
func nothingLeft(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"/var/lib/bulkhead/containers/*", "/var/lib/bulkhead/containers/.*", "/var/lib/bulkhead/names/*",
		"/run/bulkhead/containers/*", "/run/bulkhead/containers/.*", "/run/bulkhead/runc/*", "/var/lib/bulkhead/mcs/c*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if base := filepath.Base(path); base != "." && base != ".." {
				t.Errorf("left behind: %s", path)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/bulkhead/containers/") {
			t.Errorf("left mounted: %s", line)
		}
	}
}
