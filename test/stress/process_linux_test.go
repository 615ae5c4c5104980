// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stress

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// process is one line of the process table. A number and a start time name one process of a boot.
type process struct {
	pid, parent int
	started     string
	ended       bool // a zombie
}

func readProcess(pid int) (process, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	return process{pid, parent, fields[19], fields[0] == "Z" || fields[0] == "X"}, err == nil
}

func (p process) alive() bool {
	now, ok := readProcess(p.pid)
	return ok && now.started == p.started && !now.ended
}

func pids() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// killTree kills a process with -9, and with whole all that it has started, children first being known.
func killTree(pid int, whole bool) {
	children := map[int][]int{}
	for _, other := range pids() {
		if p, ok := readProcess(other); ok {
			children[p.parent] = append(children[p.parent], other)
		}
	}
	unix.Kill(pid, unix.SIGKILL)
	for below := children[pid]; whole && len(below) > 0; below = append(below[1:], children[below[0]]...) {
		unix.Kill(below[0], unix.SIGKILL)
	}
}

// processes lists the living ones whose command line holds the mark.
func processes(mark string) []string {
	var found []string
	for _, pid := range pids() {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err == nil && strings.Contains(string(text), mark) {
			found = append(found, strconv.Itoa(pid)+" "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

func mounts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
