// SPDX-License-Identifier: Apache-2.0

//go:build linux

package mcs

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// wanted is how many containers have to start. They draw from 66 pairs, and up to twelve hold one at a time.
const wanted = 200

func TestNoTwoHostsHaveAPairWhileTheirNetworksAreCutAndTheirProcessesKilled(t *testing.T) {
	harness.Binary(t)
	s := newSite(t, 0, 11)
	l := &ledger{holders: map[string]string{}}
	working, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var group sync.WaitGroup
	var cuts [troubles]atomic.Int32
	for _, n := range s.nodes {
		group.Go(func() { l.employ(working, t, n) })
		group.Go(func() { l.contain(working, t, s, n) })
		group.Go(func() {
			for working.Err() == nil {
				now := trouble(rand.IntN(int(troubles)))
				s.set(t, n, now)
				cuts[now].Add(1)
				time.Sleep(time.Duration(rand.IntN(2*leaseSeconds*1000)) * time.Millisecond)
				s.mend(t, n, now)
			}
		})
	}
	killed := 0
	for l.starts() < wanted && working.Err() == nil {
		time.Sleep(3 * time.Second)
		s.etcd.Kill()
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
		s.etcd.Start(t)
		killed++
	}
	stop()
	group.Wait()
	t.Logf("%d containers got a pair, %d were refused for want of etcd, the slowest after %s; etcd was killed %d times, networks cut %d and made silent %d times",
		l.taken, l.refused, l.slowest.Round(time.Millisecond), killed, cuts[cut].Load(), cuts[noAnswer].Load())
	for _, wrong := range l.unexpected {
		t.Error(wrong)
	}
	if l.taken < wanted || l.refused == 0 || l.slowest > 10*time.Second || killed == 0 || cuts[cut].Load() == 0 || cuts[noAnswer].Load() == 0 {
		t.Error("that is too little to tell anything")
	}
	s.await(t)
	for _, n := range s.nodes {
		n.bulkhead(t, "ps")
		if got := n.bulkhead(t, "label", "mcs", "sync"); got.status != 0 {
			t.Errorf("%s: sync: %s", n.name, got.stderr)
		}
	}
	for _, n := range s.nodes {
		if got := n.bulkhead(t, "label", "mcs", "ls"); got.status != 0 || strings.Count(got.stdout, "\n") != 1 {
			t.Errorf("%s: when all has ended, held are\n%s%s", n.name, got.stdout, got.stderr)
		}
	}
}

// eventually wants a command to succeed within a while.
func (n *node) eventually(t *testing.T, status int, args ...string) result {
	t.Helper()
	var got result
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if got = n.bulkhead(t, args...); got.status == status {
			return got
		}
	}
	t.Fatalf("%s: bulkhead %s: status %d, where %d is wanted: %s", n.name, strings.Join(args, " "), got.status, status, got.stderr)
	return got
}

// want runs a command that has to end with a status, in time, and with part of a text on standard error.
func (n *node) want(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	got := n.bulkhead(t, args...)
	if got.status != status || !strings.Contains(got.stderr, text) || got.took > 10*time.Second {
		t.Errorf("%s: bulkhead %s: status %d after %s, where %d and %q are wanted: %s", n.name, strings.Join(args, " "), got.status, got.took.Round(time.Millisecond), status, text, got.stderr)
	}
	if status != 0 && strings.Count(got.stderr, "bulkhead: error:") != 1 {
		t.Errorf("%s: not one line: %s", n.name, got.stderr)
	}
}

func TestACutOffHostStartsNothingAndKeepsItsPairsUntilSomebodyReleasesThem(t *testing.T) {
	s := newSite(t, 0, 11)
	a, b := s.nodes[0], s.nodes[1]
	start := func(name string) []string {
		return []string{"run", "-d", "--name", name, "--rootfs", s.root, "/bin/sleep", "1000"}
	}
	a.want(t, 0, "", start("web")...)
	t.Cleanup(func() { a.bulkhead(t, "rm", "-f", "web") })
	pair, _, err := a.find(t, "web")
	if err != nil {
		t.Fatal(err)
	}
	s.set(t, a, cut)
	a.want(t, 3, `category pairs of node "a" in etcd`, start("new")...)
	if _, _, err := a.find(t, "web"); err != nil {
		t.Errorf("the container does not go on: %v", err)
	}
	a.want(t, 0, "", "exec", "web", "/bin/true")
	b.want(t, 4, `node "a" has it`, "label", "mcs", "reserve", pair)
	b.want(t, 4, "its lease has not ended", "label", "mcs", "release", "--node", "a")
	time.Sleep((leaseSeconds + 1) * time.Second)
	b.want(t, 4, `node "a" has it`, "label", "mcs", "reserve", pair)
	list := strings.Fields(b.bulkhead(t, "label", "mcs", "nodes").stdout)
	if len(list) != 12 || strings.Join(list[4:7], " ") != "a silent 1" || strings.Join(list[8:11], " ") != "b lives 0" {
		t.Errorf("the nodes are %q", list)
	}
	// An operator who believes that the host is off frees its pairs, which it is not.
	b.eventually(t, 0, "label", "mcs", "release", "--node", "a")
	b.want(t, 0, "", "label", "mcs", "reserve", pair)
	s.mend(t, a, cut)
	time.Sleep(200 * time.Millisecond)
	if got := a.bulkhead(t, start("new")...); got.status != 3 || !strings.Contains(got.stderr, "pair "+pair+" of ") || !strings.Contains(got.stderr, `held by node "b"`) {
		t.Errorf("a host that was released gives out pairs: status %d: %s", got.status, got.stderr)
	}
	a.want(t, 0, "", "rm", "-f", "web")
	a.eventually(t, 0, start("new")...)
	a.want(t, 0, "", "rm", "-f", "new")
	if got := b.bulkhead(t, "label", "mcs", "who", pair); !strings.Contains(got.stdout, "reserved") {
		t.Errorf("b has lost the pair: %s%s", got.stdout, got.stderr)
	}
}

// Hosts that share storage share volumes: the label on one tells whose it is, on whichever host that runs.
func TestAVolumeOfAnotherHostsContainerIsNotTaken(t *testing.T) {
	s := newSite(t, 0, 11)
	a, b := s.nodes[0], s.nodes[1]
	volume := t.TempDir()
	start := func(name, mode string) []string {
		return []string{"run", "-d", "--name", name, "--rootfs", s.root, "-v", volume + ":/v:" + mode, "/bin/sleep", "1000"}
	}
	level := strings.TrimSpace(a.bulkhead(t, "label", "mcs", "reserve", "--name", "web").stdout)
	a.want(t, 0, "", "label", "set", "--level", level, volume)
	b.want(t, 4, "container web of node a", start("db", "Z")...)
	b.want(t, 4, "container web of node a", start("db", "z")...)
	// Who names the pair means to share it, as the containers of a pod do; two nodes count as two containers do.
	b.want(t, 0, "", "label", "mcs", "reserve", "--share", "--name", "pod", level)
	if got := a.bulkhead(t, "label", "mcs", "who", level); !strings.Contains(got.stdout, "node b") || !strings.Contains(got.stdout, "reserved") {
		t.Errorf("the hosts do not share the pair: %s%s", got.stdout, got.stderr)
	}
	b.want(t, 0, "", "label", "mcs", "release", level)
	b.want(t, 4, "container web of node a", start("db", "Z")...)
	s.set(t, b, cut)
	b.want(t, 3, `category pairs of node "b" in etcd`, start("db", "Z")...)
	s.mend(t, b, cut)
	a.want(t, 0, "", "label", "mcs", "release", "--name", "web", level)
	b.eventually(t, 0, start("db", "Z")...)
	b.want(t, 0, "", "rm", "-f", "db")
}

func TestWhatOperatorsAskForWronglyIsSaid(t *testing.T) {
	s := newSite(t, 0, 11)
	a := s.nodes[0]
	a.want(t, 2, "--node releases every pair of a host", "label", "mcs", "release", "--node", "b", "c1,c2")
	a.want(t, 2, "PAIR or --node is missing", "label", "mcs", "release")
	a.want(t, 2, `node name "b/c"`, "label", "mcs", "release", "--node", "b/c")
	a.want(t, 1, `node "nobody" has no pairs`, "label", "mcs", "release", "--node", "nobody")
	s.middle.want(t, 1, "this host agrees with no others", "label", "mcs", "nodes")
	s.middle.want(t, 1, "this host agrees with no others", "label", "mcs", "sync")
	configure := func(config string) {
		a.must(t, "sh", "-c", "printf %s '"+config+"' >/etc/bulkhead/bulkhead.json")
	}
	configure(`{"etcd":{"endpoints":["https://10.77.0.1"]}}`)
	a.want(t, 125, `/etc/bulkhead/bulkhead.json: etcd.endpoints[0]: "https://10.77.0.1": no port`, "run", "--rootfs", s.root, "/bin/true")
	configure(`{"etcd":{"endpoints":["https://10.77.0.1:2379"],"authority":"/nowhere/ca.pem"}}`)
	a.want(t, 3, "open /nowhere/ca.pem: no such file", "run", "--rootfs", s.root, "/bin/true")
	a.want(t, 3, "open /nowhere/ca.pem: no such file", "label", "mcs", "reserve")
}

// Engines start bulkhead-runtime, which has no client of etcd.
func TestAnEnginesContainerAsksEtcdToo(t *testing.T) {
	s := newSite(t, 0, 11)
	a, b := s.nodes[0], s.nodes[1]
	engine := t.TempDir()
	runtime := func(args ...string) result {
		return a.run(t, append([]string{harness.Runtime(t), "--root", engine}, args...)...)
	}
	bundle := harness.Bundle(t, s.root, "cat /proc/self/timerslack_ns; sleep 1000", func(spec *specs.Spec) { spec.Linux.CgroupsPath = "mcs-test" })
	if got := a.run(t, "sh", "-c", harness.Runtime(t)+" --root "+engine+" run -d --bundle "+bundle+" one >"+engine+"/out 2>&1 </dev/null; s=$?; cat "+engine+"/out; exit $s"); got.status != 0 {
		t.Fatalf("status %d: %s", got.status, got.stdout)
	}
	// What the runtime changes of itself before it goes on as another program is not the container's.
	var out []byte
	slack := regexp.MustCompile(`(?m)^50000$`)
	for deadline := time.Now().Add(10 * time.Second); !slack.Match(out) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, _ = os.ReadFile(filepath.Join(engine, "out"))
	}
	if !slack.Match(out) {
		t.Errorf("timer slack: %q", out)
	}
	list := b.eventually(t, 0, "label", "mcs", "ls").stdout
	if !strings.Contains(list, "node a") {
		t.Errorf("b does not see the pair of a's container:\n%s", list)
	}
	a.want(t, 0, "", "label", "mcs", "ls")
	s.etcd.Kill()
	if got := runtime("run", "--bundle", bundle, "two"); got.status != 3 || !strings.Contains(got.stderr, "in etcd: ") || got.took > 10*time.Second {
		t.Errorf("without etcd: status %d after %s: %s", got.status, got.took, got.stderr)
	}
	if got := runtime("delete", "--force", "one"); got.status != 0 {
		t.Errorf("delete without etcd: status %d: %s", got.status, got.stderr)
	}
	s.etcd.Start(t)
	a.eventually(t, 0, "label", "mcs", "sync")
	if list := b.eventually(t, 0, "label", "mcs", "ls").stdout; strings.Contains(list, "node a") {
		t.Errorf("what was deleted while etcd was lost is held still:\n%s", list)
	}
}
