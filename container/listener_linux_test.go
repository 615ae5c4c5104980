// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/inside"
)

// speaker is a process that says in its probe what it likes.
func speaker(t *testing.T, says string) (pidfd int, probe string, process *os.Process) {
	t.Helper()
	probe = filepath.Join(t.TempDir(), "probe")
	if err := errors.Join(makeProbe(probe), os.WriteFile(filepath.Join(probe, inside.ProbeFile), []byte(says), 0)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sleep", "600")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	pidfd, err := unix.PidfdOpen(command.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pidfd) })
	return pidfd, probe, command.Process
}

// What a process names must be a listener: another descriptor of its own choice is never handed on.
func TestOnlyAListenerIsTaken(t *testing.T) {
	for says, want := range map[string]string{"refused\nlistener 0\n": "and no listener", "listener 999\n": "pidfd_getfd: bad file descriptor"} {
		pidfd, probe, _ := speaker(t, says)
		if file, err := fetchListener(pidfd, probe); err == nil || file != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", says, err)
		}
	}
}

func TestProcessThatEndsWithoutAListenerIsNotWaitedFor(t *testing.T) {
	pidfd, probe, process := speaker(t, "refused\n")
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchListener(pidfd, probe); !errors.Is(err, evidence.ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestListenerGoesWithTheWholeState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	agent, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	state := bytes.Repeat([]byte("{}"), 1<<19) // more than a socket holds
	sent := make(chan error, 1)
	go func() {
		file, err := os.Open(os.DevNull)
		if err == nil {
			defer file.Close()
			err = sendListener(path, state, file)
		}
		sent <- err
	}()
	connection, err := agent.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	rights, buffer := make([]byte, 64), make([]byte, 1<<16)
	n, rightsLength, _, _, err := connection.ReadMsgUnix(buffer, rights)
	if err != nil {
		t.Fatal(err)
	}
	got := bytes.Clone(buffer[:n])
	for {
		n, err := connection.Read(buffer)
		got = append(got, buffer[:n]...)
		if err != nil {
			break
		}
	}
	if err := <-sent; err != nil || !bytes.Equal(got, state) {
		t.Errorf("%d bytes of %d, %v", len(got), len(state), err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLength])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		t.Fatalf("descriptors %v, %v", descriptors, err)
	}
	unix.Close(descriptors[0])
}

func TestProofIsAcknowledgedBehindWhatIsThere(t *testing.T) {
	_, probe, _ := speaker(t, "refused\nlistener 7\n")
	if err := acknowledge(probe); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(probe, inside.ProbeFile))
	if err != nil || string(text) != "refused\nlistener 7\ntaken\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if proof := readProof(probe); !proof.Refused || proof.Listener != 7 {
		t.Errorf("got %+v", proof)
	}
	if proof := readProof(probe + "s"); proof.Refused || proof.Listener != -1 {
		t.Errorf("without a file: %+v", proof)
	}
}
