// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package mcs has three hosts agree on category pairs in one etcd, over networks that are cut and mended at random: each host is a network namespace with a
// mount namespace that has its own registry and configuration. No two hosts may ever have the same pair at a time, by a record that the test keeps itself.
package mcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// The environment that makes another program of the test's binary.
const (
	keeperVariable = "MCS_TEST_KEEPER" // the configuration of the host
	workerVariable = "MCS_TEST_WORKER" // its name
)

func TestMain(m *testing.M) {
	if os.Getenv(keeperVariable) != "" {
		os.Exit(keepNode(os.Getenv(keeperVariable)))
	}
	if os.Getenv(workerVariable) != "" {
		os.Exit(work(os.Getenv(workerVariable)))
	}
	os.Exit(harness.Private(m))
}

// leaseSeconds is how long a host may be silent; partitions are shorter and longer.
const leaseSeconds = 2

// site is three hosts and the one with etcd.
type site struct {
	etcd   *harness.Etcd
	middle *node // where etcd runs
	nodes  []*node
	root   string // of containers
}

// node is one host.
type node struct {
	name    string
	address string // its own; the other end of its cable, where etcd listens, is gateway
	gateway string
	cable   string // the name of etcd's end
	keeper  *exec.Cmd
}

// newSite starts everything. What the containers draw from is low to high.
func newSite(t *testing.T, low, high int) *site {
	t.Helper()
	s := &site{root: harness.RootFS(t), middle: startNode(t, &node{name: "middle"}, "{}")}
	for i, name := range []string{"a", "b", "c"} {
		n := &node{name: name, address: fmt.Sprintf("10.77.%d.2", i), gateway: fmt.Sprintf("10.77.%d.1", i), cable: "to-" + name}
		startNode(t, n, fmt.Sprintf(`{"categories":[%d,%d],"etcd":{"endpoints":["http://%s:2379"],"node":%q,"lease":%d}}`, low, high, n.gateway, name, leaseSeconds))
		s.nodes = append(s.nodes, n)
		s.middle.must(t, "ip", "link", "add", "name", n.cable, "type", "veth", "peer", "name", "uplink", "netns", strconv.Itoa(n.keeper.Process.Pid))
		s.middle.must(t, "ip", "address", "add", n.gateway+"/30", "dev", n.cable)
		s.middle.must(t, "ip", "link", "set", n.cable, "up")
		n.must(t, "ip", "address", "add", n.address+"/30", "dev", "uplink")
		n.must(t, "ip", "link", "set", "uplink", "up")
	}
	s.etcd = harness.StartEtcd(t, "http://0.0.0.0:2379", []string{"--heartbeat-interval", "50", "--election-timeout", "500"}, s.middle.prefix()...)
	s.await(t)
	return s
}

// await waits until the first host reaches etcd.
func (s *site) await(t *testing.T) {
	t.Helper()
	var got result
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = s.nodes[0].bulkhead(t, "label", "mcs", "nodes"); got.status == 0 {
			return
		}
	}
	t.Fatalf("etcd is not reached: %s", got.stderr)
}

// startNode starts the process that keeps the namespaces; they end with it.
func startNode(t *testing.T, n *node, config string) *node {
	t.Helper()
	n.keeper = exec.Command("/proc/self/exe")
	n.keeper.Env = append(os.Environ(), keeperVariable+"="+config)
	n.keeper.Stderr = os.Stderr
	n.keeper.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	ready, err := n.keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.keeper.Process.Kill(); n.keeper.Wait() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("node %s: %v", n.name, err)
	}
	return n
}

// keepNode makes the host's places, writes its configuration and stays.
func keepNode(config string) int {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for _, place := range []string{"/etc/bulkhead", "/var/lib/bulkhead", "/run/bulkhead", "/run/runc"} {
		err = errors.Join(err, unix.Mount("tmpfs", place, "tmpfs", unix.MS_NOSUID, "mode=0755"))
	}
	err = errors.Join(err, os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(config), 0o644))
	if out, failed := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); failed != nil {
		err = errors.Join(err, fmt.Errorf("ip: %w: %s", failed, out))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	return stay()
}

// stay waits to be killed, in a system call: Go ends a program in which nothing can happen any more.
func stay() int {
	for {
		unix.Pause()
	}
}

// prefix is what starts a program on the host.
func (n *node) prefix() []string {
	return []string{"nsenter", "--target", strconv.Itoa(n.keeper.Process.Pid), "--net", "--mount", "--"}
}

func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(n.prefix(), args...)
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// must runs a program that has to succeed.
func (n *node) must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := n.command(t.Context(), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %s: %v: %s", n.name, strings.Join(args, " "), err, out)
	}
}

type result struct {
	stdout, stderr string
	status         int
	took           time.Duration
}

// run runs a program on the host.
func (n *node) run(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := n.command(ctx, args...)
	command.Stdout, command.Stderr = &stdout, &stderr
	started := time.Now()
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Errorf("%s: %s: %v", n.name, strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode(), time.Since(started)}
}

// bulkhead runs bulkhead on the host.
func (n *node) bulkhead(t *testing.T, args ...string) result {
	t.Helper()
	return n.run(t, append([]string{harness.Binary(t)}, args...)...)
}

// trouble is a state of a host's network.
type trouble int

const (
	whole    trouble = iota
	cut              // nothing goes through
	noAnswer         // what the host sends arrives, and nothing comes back
	troubles
)

// set changes the host's network; it is whole before.
func (s *site) set(t *testing.T, n *node, now trouble) {
	t.Helper()
	switch now {
	case cut:
		s.middle.must(t, "ip", "link", "set", n.cable, "down")
	case noAnswer:
		s.middle.must(t, "ip", "route", "add", "blackhole", n.address+"/32")
	}
}

// mend makes it whole again.
func (s *site) mend(t *testing.T, n *node, before trouble) {
	t.Helper()
	switch before {
	case cut:
		s.middle.must(t, "ip", "link", "set", n.cable, "up")
	case noAnswer:
		s.middle.must(t, "ip", "route", "del", "blackhole", n.address+"/32")
	}
}
