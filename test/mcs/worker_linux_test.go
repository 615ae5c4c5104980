// SPDX-License-Identifier: Apache-2.0

//go:build linux

package mcs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/selinux/mcs/etcd"
)

// A worker is a process of a host that takes and releases pairs as containers do, without their programs. It tells of each on standard output:
//
//	took ID PAIR
//	refused ID MILLISECONDS ERROR
//	leaving ID             and it waits for a line of standard input before it releases the pair
//
// It ends when standard input does, and what it held then is swept.
func work(name string) int {
	host, err := container.OpenHost()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	registry := host.Registry
	registry.Cluster.Call = (&etcd.Gateway{Endpoints: host.Config.Etcd.Endpoints}).Call
	input := make(chan string)
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			input <- lines.Text()
		}
		os.Exit(0)
	}()
	var waiting sync.Map // of ID to what is closed when it may go
	go func() {
		for id := range input {
			if wake, ok := waiting.LoadAndDelete(id); ok {
				close(wake.(chan struct{}))
			}
		}
	}()
	for slot := range 3 {
		go func() {
			for number := 0; ; number++ {
				live(registry, fmt.Sprintf("%s-%d-%d", name, slot, number), &waiting)
			}
		}()
	}
	return stay()
}

func live(registry mcs.Registry, id string, waiting *sync.Map) {
	holder, err := mcs.Self(id)
	if err != nil {
		panic(err)
	}
	started := time.Now()
	pair, err := registry.Take(holder)
	if errors.Is(err, mcs.ErrFull) {
		registry.Sweep()
	}
	if err != nil {
		fmt.Printf("refused %s %d %s\n", id, time.Since(started).Milliseconds(), strings.ReplaceAll(err.Error(), "\n", "; "))
		time.Sleep(50 * time.Millisecond)
		return
	}
	wake := make(chan struct{})
	waiting.Store(id, wake)
	fmt.Printf("took %s %s\n", id, pair)
	time.Sleep(time.Duration(100+rand.IntN(900)) * time.Millisecond)
	fmt.Printf("leaving %s\n", id)
	<-wake
	if err := registry.Release(pair, id); err != nil {
		fmt.Printf("failed %s %v\n", id, err)
	}
}

// ledger is the test's record of who has which pair: from when it heard of it until the release begins.
type ledger struct {
	sync.Mutex
	holders    map[string]string // of pairs
	taken      int               // containers that got a pair
	refused    int               // and that did not, for want of etcd
	slowest    time.Duration     // of those
	unexpected []string
}

func (l *ledger) add(pair, holder string) {
	l.Lock()
	defer l.Unlock()
	l.taken++
	if other := l.holders[pair]; other != "" {
		l.unexpected = append(l.unexpected, fmt.Sprintf("%s is of %s and of %s", pair, other, holder))
	}
	l.holders[pair] = holder
}

// forget takes a holder out, or with a slash at its end all of one worker.
func (l *ledger) forget(holder string) {
	l.Lock()
	defer l.Unlock()
	for pair, other := range l.holders {
		if other == holder || strings.HasSuffix(holder, "/") && strings.HasPrefix(other, holder) {
			delete(l.holders, pair)
		}
	}
}

// refuse notes a container that did not start. It must be for the network's sake, and soon.
func (l *ledger) refuse(who string, took time.Duration, reason string) {
	l.Lock()
	defer l.Unlock()
	switch {
	case strings.Contains(reason, "in etcd: "):
		l.refused++
		l.slowest = max(l.slowest, took)
	case !strings.Contains(reason, mcs.ErrFull.Error()):
		l.unexpected = append(l.unexpected, who+" was refused: "+reason)
	}
}

func (l *ledger) starts() int {
	l.Lock()
	defer l.Unlock()
	return l.taken
}

// employ has a worker on the host until the context ends, and kills it now and then.
func (l *ledger) employ(ctx context.Context, t *testing.T, n *node) {
	for generation := 0; ctx.Err() == nil; generation++ {
		name := fmt.Sprintf("%s%d", n.name, generation)
		binary, err := os.Executable()
		if err != nil {
			t.Error(err)
			return
		}
		worker := n.command(context.Background(), binary)
		worker.Env = append(os.Environ(), workerVariable+"="+name)
		worker.Stderr = os.Stderr
		if err := l.follow(ctx, worker, name); err != nil {
			t.Error(err)
			return
		}
	}
}

// follow reads what a worker tells until it is killed.
func (l *ledger) follow(ctx context.Context, worker *exec.Cmd, name string) error {
	answers, err := worker.StdinPipe()
	if err != nil {
		return err
	}
	reports, err := worker.StdoutPipe()
	if err != nil {
		return err
	}
	if err := worker.Start(); err != nil {
		return err
	}
	var lock sync.Mutex
	dying := false
	go func() {
		life, cancel := context.WithTimeout(ctx, time.Duration(2+rand.IntN(6))*time.Second)
		defer cancel()
		<-life.Done()
		lock.Lock() // what it still tells does not count: it may be dead when it is heard
		dying = true
		l.forget(name + "/")
		lock.Unlock()
		worker.Process.Signal(unix.SIGKILL)
	}()
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		lock.Lock()
		if !dying {
			l.heard(name, strings.SplitN(lines.Text(), " ", 4))
			if id, leaving := strings.CutPrefix(lines.Text(), "leaving "); leaving {
				fmt.Fprintln(answers, id)
			}
		}
		lock.Unlock()
	}
	worker.Wait()
	return nil
}

func (l *ledger) heard(worker string, words []string) {
	if len(words) < 2 {
		return
	}
	id := worker + "/" + words[1]
	switch {
	case words[0] == "took" && len(words) == 3:
		l.add(words[2], id)
	case words[0] == "leaving":
		l.forget(id)
	case words[0] == "refused" && len(words) == 4:
		took, _ := time.ParseDuration(words[2] + "ms")
		l.refuse(id, took, words[3])
	default:
		l.refuse(id, 0, strings.Join(words, " "))
	}
}

// contain runs real containers on the host, one after the other, until the context ends.
func (l *ledger) contain(ctx context.Context, t *testing.T, s *site, n *node) {
	for number := 0; ctx.Err() == nil; number++ {
		name := fmt.Sprintf("real-%s-%d", n.name, number)
		got := n.bulkhead(t, "run", "-d", "--name", name, "--rootfs", s.root, "/bin/sleep", "100")
		if got.status != 0 {
			if got.status != 3 && !strings.Contains(got.stderr, mcs.ErrFull.Error()) {
				t.Errorf("%s: status %d: %s", name, got.status, got.stderr)
			}
			l.refuse(name, got.took, got.stderr)
			continue
		}
		pair, pid, err := n.find(t, name)
		if err != nil {
			t.Error(err)
			return
		}
		l.add(pair, name)
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		l.forget(name)
		if rand.IntN(3) == 0 { // as a host does that loses its power: nobody says good-bye
			for _, process := range []int{parent(pid), pid} {
				if process > 1 { // 0 would be the test's own group
					unix.Kill(process, unix.SIGKILL)
				}
			}
		}
		if got := n.bulkhead(t, "rm", "-f", name); got.status != 0 {
			t.Errorf("rm %s: status %d: %s", name, got.status, got.stderr)
		}
	}
}

// find returns the pair and the first process of a real container.
func (n *node) find(t *testing.T, name string) (pair string, pid int, err error) {
	t.Helper()
	got := n.bulkhead(t, "ps", "--json")
	var list []struct {
		Name, Level string
		PID         int
	}
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil {
		return "", 0, fmt.Errorf("%s: ps: %w: %s", n.name, err, got.stderr)
	}
	for _, c := range list {
		if c.Name == name {
			return strings.TrimPrefix(c.Level, "s0:"), c.PID, nil
		}
	}
	return "", 0, fmt.Errorf("%s: %s is not among %s", n.name, name, got.stdout)
}

// parent returns the process that keeps a container, by the container's first one.
func parent(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if err != nil || len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	if parent <= 1 {
		return 0
	}
	return parent
}
