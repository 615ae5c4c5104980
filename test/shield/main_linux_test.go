// SPDX-License-Identifier: Apache-2.0

// Package shield tests volumes as containers and people use them, on this machine's own kernel: what programs see, what the host sees, and what is left when
// somebody is killed. Whatever could hang in FUSE has a time limit.
package shield

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == exerciseVerb {
		os.Exit(exerciseMain(os.Args[2:]))
	}
	os.Exit(harness.Private(m))
}

// limit is how long anything here may take.
const limit = time.Minute

// volume is one that was made for a test, and its key.
type volume struct{ directory, key string }

func newVolume(t *testing.T, options ...string) volume {
	t.Helper()
	v := volume{filepath.Join(t.TempDir(), "volume"), newKey(t)}
	if out, err := run(t, append([]string{"shield", "init", "--key-file", v.key}, append(options, v.directory)...)...); err != nil {
		t.Fatalf("shield init: %v: %s", err, out)
	}
	return v
}

func newKey(t *testing.T) string {
	t.Helper()
	path, material := filepath.Join(t.TempDir(), "key"), make([]byte, 32)
	rand.Read(material)
	if err := os.WriteFile(path, material, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs bulkhead and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Binary(t), args...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

// mounted is a volume that `bulkhead shield mount` holds.
type mounted struct {
	t      *testing.T
	path   string
	mount  *exec.Cmd
	stderr *bytes.Buffer
	server int // process
}

func (v volume) mount(t *testing.T, options ...string) *mounted {
	t.Helper()
	m := &mounted{t: t, path: t.TempDir(), stderr: &bytes.Buffer{}}
	m.mount = exec.Command(harness.Binary(t), append([]string{"shield", "mount", "--key-file", v.key}, append(options, v.directory, m.path)...)...)
	said := make(chan string, 1)
	m.mount.Stderr = &lines{buffer: m.stderr, wanted: "served by process ", found: said}
	if err := m.mount.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.end)
	ended := make(chan error, 1)
	go func() { ended <- m.mount.Wait() }()
	select {
	case line := <-said:
		if err := json.Unmarshal([]byte(strings.TrimSpace(line)), &m.server); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatalf("shield mount: %v: %s", err, m.stderr)
	case <-time.After(limit):
		t.Fatal("shield mount does not mount")
	}
	return m
}

// lines keeps what is written, and sends what follows the wanted words in a line.
type lines struct {
	buffer *bytes.Buffer
	wanted string
	found  chan<- string
}

func (l *lines) Write(text []byte) (int, error) {
	l.buffer.Write(text)
	if _, rest, ok := strings.Cut(l.buffer.String(), l.wanted); ok && l.found != nil && strings.Contains(rest, "\n") {
		line, _, _ := strings.Cut(rest, "\n")
		l.found <- line
		l.found = nil
	}
	return len(text), nil
}

// unmount unmounts and waits until the volume is closed.
func (m *mounted) unmount() {
	m.t.Helper()
	if err := unix.Unmount(m.path, 0); err != nil {
		m.t.Fatalf("unmount: %v", err)
	}
	m.awaitServer()
}

func (m *mounted) awaitServer() {
	m.t.Helper()
	awaitEnd(m.t, m.server)
}

// awaitEnd waits until a process is gone or waits to be reaped.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	descriptor, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(descriptor)
	if count, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, int(limit.Milliseconds())); count != 1 {
		t.Fatalf("process %d does not end: %v", pid, err)
	}
}

func (m *mounted) end() {
	unix.Unmount(m.path, unix.MNT_DETACH)
	m.mount.Process.Kill()
	unix.Kill(m.server, unix.SIGKILL)
}

// shell runs a script in a directory of a mount, and returns what it prints and how it ended.
func (m *mounted) shell(script string) (string, error) { return shell(m.path, script) }

func shell(directory, script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-ec", script)
	command.Dir, command.WaitDelay = directory, time.Second
	out, err := command.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err() // it hung
	}
	return strings.TrimSpace(string(out)), err
}

func (m *mounted) must(script string) string {
	m.t.Helper()
	out, err := m.shell(script)
	if err != nil {
		m.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return out
}

// report reads what the volume's process says of itself.
func report(t *testing.T) process.Status {
	t.Helper()
	found, err := filepath.Glob("/run/bulkhead/shield/*.json")
	if err != nil || len(found) == 0 {
		t.Fatalf("no report: %v", err)
	}
	var newest process.Status
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var status process.Status
		if err := json.Unmarshal(text, &status); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if status.Started.After(newest.Started) {
			newest = status
		}
	}
	return newest
}
