// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Etcd is one member of Debian's etcd, for a test.
type Etcd struct {
	URL  string   // where clients connect
	Args []string // more of its command line
	Wrap []string // what it is started by, such as ip netns exec NAME

	directory string
	process   *exec.Cmd
}

// StartEtcd starts an etcd that listens for clients at url, "" for a free port of 127.0.0.1. It is killed when the test ends.
func StartEtcd(t testing.TB, url string, args []string, wrap ...string) *Etcd {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Fatalf("%v: ./packages.sh etcd-server", err)
	}
	if url == "" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		url = "http://" + listener.Addr().String()
		listener.Close()
	}
	// In memory where there is tmpfs: it waits for the disk at each change, and the disk of a busy machine is another test's.
	root, err := os.MkdirTemp("/dev/shm", "etcd")
	if err != nil {
		root = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	e := &Etcd{URL: url, Args: args, Wrap: wrap, directory: filepath.Join(root, "etcd")}
	t.Cleanup(e.Kill)
	e.Start(t)
	return e
}

// Start starts it, again with what it had on disk.
func (e *Etcd) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(e.directory+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// Peers, if there are any, are of Args: port 0 is one that nobody else has.
	args := append(append([]string{}, e.Wrap...), "etcd", "--data-dir", e.directory, "--listen-client-urls", e.URL, "--advertise-client-urls", e.URL,
		"--listen-peer-urls", "http://127.0.0.1:0")
	args = append(args, e.Args...)
	e.process = exec.Command(args[0], args[1:]...)
	e.process.Stdout, e.process.Stderr = log, log
	e.process.SysProcAttr = endsWithTest()
	if err := e.process.Start(); err != nil {
		t.Fatal(err)
	}
}

// Await waits until it answers to a client; nil: one without certificates.
func (e *Etcd) Await(t testing.TB, client *http.Client) {
	t.Helper()
	if client == nil {
		client = http.DefaultClient
	}
	var failed error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var answer *http.Response
		if answer, failed = client.Post(e.URL+"/v3/kv/range", "application/json", strings.NewReader(`{"key":"YQ=="}`)); failed == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
			failed = fmt.Errorf("%s", answer.Status)
		}
	}
	log, _ := os.ReadFile(e.directory + ".log")
	t.Fatalf("etcd does not answer: %v\n%s", failed, log)
}

// Kill ends it with SIGKILL, as a power cut would.
func (e *Etcd) Kill() {
	if e.process != nil {
		e.process.Process.Kill()
		e.process.Wait()
		e.process = nil
	}
}

// Signal sends it a signal.
func (e *Etcd) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := e.process.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
