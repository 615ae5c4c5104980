// SPDX-License-Identifier: Apache-2.0

// Package swtpm starts Debian's swtpm, a TPM 2.0 in software, for tests.
package swtpm

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Start starts a TPM that was just made, and returns the Unix socket that it answers on, one connection at a time. It ends with the test.
func Start(t testing.TB) string {
	t.Helper()
	state, err := os.MkdirTemp("", "swtpm") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	socket := filepath.Join(state, "tpm")
	var log bytes.Buffer
	command := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatalf("%v: Debian's package swtpm has it", err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	for range 500 {
		if connection, err := net.Dial("unix", socket); err == nil {
			connection.Close()
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("swtpm does not answer: %s", &log)
	return ""
}
