// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package stress starts many containers at once and kills many of them with -9 together with the processes that run them: no two that live may
// ever have the same category pair, and nothing of them may stay behind.
package stress

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Private(m)) }

const atOnce = 8

// hull is one run of the test.
type hull struct {
	t      *testing.T
	root   string // root file system
	engine string // --root of bulkhead-runtime
	mark   string // in the command line of every process of the containers
}

// narrow leaves 190 pairs, so that a registry that gives one out twice is found out by a few dozen containers.
const narrow = `{"categories": [0, 19]}`

func TestManyContainersOfWhichAThirdAreKilled(t *testing.T) {
	count := 200
	if testing.Short() {
		count = 40
	}
	if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(narrow), 0o644); err != nil {
		t.Fatal(err)
	}
	h := &hull{t: t, root: harness.RootFS(t), engine: t.TempDir(), mark: fmt.Sprintf("stress-%d", os.Getpid())}
	before := mounts(t)
	detector := watch(t)
	var workers sync.WaitGroup
	numbers := make(chan int)
	for range atOnce {
		workers.Go(func() {
			for number := range numbers {
				h.live(number)
			}
		})
	}
	started := time.Now()
	for number := range count {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	h.awaitQuiet()
	detector.stop()
	t.Logf("%d containers in %s; %d were seen alive", count, time.Since(started).Round(time.Second), len(detector.seen))
	if len(detector.seen) < count/3 || len(detector.known) < count/2 {
		t.Errorf("only %d of %d containers were seen, %d of them alive: the detector does not look", len(detector.known), count, len(detector.seen))
	}
	h.cleanUp(count)
	h.checkNothingLeft(before)
	h.checkControlGroups(detector.known)
}

// live runs one container, by `bulkhead run` or under an engine, and kills every third.
func (h *hull) live(number int) {
	// The number is the exit status, so that a container's end cannot be taken for another's.
	script := fmt.Sprintf("sleep 0.%d; exit %d # %s", 1+rand.IntN(4), number%100, h.mark)
	command := h.standalone(number, script)
	if number%2 == 1 {
		command = h.underEngine(number, script)
	}
	var out bytes.Buffer
	log, err := os.CreateTemp(h.t.TempDir(), "log")
	if err != nil {
		h.t.Error(err)
		return
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		h.t.Error(err)
		return
	}
	if number%3 == 0 {
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		killTree(command.Process.Pid, number%2 == 0 || rand.IntN(2) == 0)
		command.Wait()
		return
	}
	command.Wait()
	if status := command.ProcessState.ExitCode(); status != number%100 {
		text, _ := os.ReadFile(log.Name())
		h.t.Errorf("container %d: exit status %d: %s%s", number, status, text, &out)
	}
}

func (h *hull) id(number int) string { return fmt.Sprintf("%s-%d", h.mark, number) }

func (h *hull) standalone(number int, script string) *exec.Cmd {
	return exec.Command(harness.Binary(h.t), "run", "--rm", "--name", h.id(number), "--rootfs", h.root, "/bin/sh", "-c", script)
}

func (h *hull) underEngine(number int, script string) *exec.Cmd {
	bundle := harness.Bundle(h.t, h.root, script, func(spec *specs.Spec) { spec.Root.Readonly = true })
	return exec.Command(harness.Runtime(h.t), "--root", h.engine, "run", "--bundle", bundle, h.id(number))
}

// awaitQuiet waits until the containers whose keepers were killed have ended by themselves.
func (h *hull) awaitQuiet() {
	for deadline := time.Now().Add(time.Minute); len(processes(h.mark)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("these do not end: %v", processes(h.mark))
		}
	}
}

// cleanUp does what an engine does with containers whose runtime was killed, and what the next use of bulkhead does with its own.
func (h *hull) cleanUp(count int) {
	for number := 1; number < count; number += 2 {
		if out, err := exec.Command(harness.Runtime(h.t), "--root", h.engine, "delete", "--force", h.id(number)).CombinedOutput(); err != nil {
			h.t.Errorf("delete of %d: %v: %s", number, err, out)
		}
	}
	// What is half made is given a minute to be made whole. It is made older here instead of waiting.
	for _, pattern := range []string{"/var/lib/bulkhead/containers/.*", "/run/bulkhead/containers/.*"} {
		halves, err := filepath.Glob(pattern)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, half := range halves {
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(half, old, old); err != nil {
				h.t.Error(err)
			}
		}
	}
	if out, err := exec.Command(harness.Binary(h.t), "ps", "--all").CombinedOutput(); err != nil || bytes.Contains(out, []byte("bulkhead:")) || bytes.Count(out, []byte("\n")) != 1 {
		h.t.Errorf("ps: %v: %s", err, out)
	}
}

func (h *hull) checkNothingLeft(mountsBefore []string) {
	for what, pattern := range map[string]string{
		"records":                 "/run/bulkhead/containers/*",
		"half made records":       "/run/bulkhead/containers/.[!.]*",
		"pairs":                   "/var/lib/bulkhead/mcs/c*",
		"containers":              "/var/lib/bulkhead/containers/*",
		"half made containers":    "/var/lib/bulkhead/containers/.[!.]*",
		"names":                   "/var/lib/bulkhead/names/*",
		"journals":                "/var/lib/bulkhead/journal/*",
		"state of runc":           "/run/bulkhead/runc/*",
		"state of runc, engine's": h.engine + "/*",
		"consoles":                "/run/bulkhead/*.sock",
	} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(left) > 0 {
			h.t.Errorf("left behind: %d %s: %v", len(left), what, left[:min(len(left), 4)])
		}
	}
	if after := mounts(h.t); len(after) != len(mountsBefore) {
		h.t.Errorf("left behind: %d mounts; there are now %v", len(after)-len(mountsBefore), after)
	}
	if left := processes(h.mark); len(left) > 0 {
		h.t.Errorf("left behind: processes %v", left)
	}
}

// checkControlGroups also finds processes that hold on: a group with one in it cannot have been removed.
func (h *hull) checkControlGroups(ids map[string]bool) {
	for id := range ids {
		left, err := filepath.Glob("/sys/fs/cgroup/*/" + id)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(left) > 0 {
			members, _ := os.ReadFile(filepath.Join(left[0], "cgroup.procs"))
			h.t.Errorf("left behind: %d control groups: %s with processes %q", len(left), left[0], members)
		}
	}
}
