// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	peer "github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/enforce/label"
)

// relabelRounds is how often each program labels the tree, in turn.
const relabelRounds = 5

// cost is what one relabelling took.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // peak, in kilobytes
}

// program is one that labels a tree.
type program struct {
	name  string
	again string // the program that labels the tree a second time, "" for none
}

// The programs, of which the peers are those that ours is held against.
const (
	bulkheadQuick, bulkheadFull = "bulkhead", "bulkhead, all read"
	peerChcon, peerLibrary      = "chcon -R", "go-selinux Chcon"
)

// relabelling measures the labelling of a tree that has another label, and then of one that has the very label.
func relabelling(directory string, files int) error {
	base, err := os.MkdirTemp(directory, "bench-label-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	tree := filepath.Join(base, "tree")
	if err := makeTree(tree, files); err != nil {
		return err
	}
	programs := []program{{bulkheadQuick, bulkheadQuick}, {bulkheadFull, bulkheadFull}, {peerChcon, peerChcon}, {peerLibrary, peerLibrary}}
	for _, name := range floors {
		programs = append(programs, program{name: name})
	}
	first, again := map[string][]cost{}, map[string][]cost{}
	for round := range relabelRounds {
		for turn := range programs {
			program := programs[(turn+round)%len(programs)]
			context := fmt.Sprintf("system_u:object_r:container_file_t:s0:c%d,c%d", round, 100+turn)
			if err := turnOf(program.name, context, tree, first); err != nil {
				return err
			}
			if program.again != "" {
				if err := turnOf(program.again, context, tree, again); err != nil {
					return err
				}
			}
			for _, kept := range []string{".journal", ".journal.stamps"} {
				if err := os.Remove(tree + kept); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
	}
	printRelabelling(programs, first, again, files)
	return nil
}

func turnOf(name, context, tree string, into map[string][]cost) error {
	took, err := relabel(name, context, tree)
	if err == nil {
		err = check(tree, context)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	into[name] = append(into[name], took)
	return nil
}

func printRelabelling(programs []program, first, again map[string][]cost, files int) {
	fmt.Printf("## Relabelling %d files, median of %d turns\n\n| program | first, wall | CPU | unchanged, wall | CPU | peak memory |\n|---|--:|--:|--:|--:|--:|\n", files, relabelRounds)
	for _, program := range programs {
		one, two, unchanged, memory := median(first[program.name]), cost{}, "| ", " "
		if program.again != "" {
			two = median(again[program.again])
			unchanged = fmt.Sprintf("%.3f s | %.3f s", two.wall.Seconds(), two.cpu.Seconds())
			memory = fmt.Sprintf("%.1f MB", float64(max(one.memory, two.memory))/1000)
		}
		fmt.Printf("| %s | %.2f s | %.2f s | %s | %s |\n", program.name, one.wall.Seconds(), one.cpu.Seconds(), unchanged, memory)
	}
	faster := func(costs map[string][]cost) float64 {
		return min(median(costs[peerChcon]).wall, median(costs[peerLibrary]).wall).Seconds()
	}
	fmt.Printf("\nOf the faster one's wall time: first %.2f, unchanged %.2f, with all labels read again %.2f. Only bulkhead's can be undone: its time has the journal in it, synced twice. `bulkhead` is what `run` does, which "+
		"trusts directories that have not changed, `all read` what `label set` does.\n\n", median(first[bulkheadQuick]).wall.Seconds()/faster(first), median(again[bulkheadQuick]).wall.Seconds()/faster(again), median(again[bulkheadFull]).wall.Seconds()/faster(again))
	fmt.Printf("The floors are loops of the bare calls, on all processors, over names that are known: of the faster one's wall time, writing labels alone takes %.2f, reading the old one and writing the new one %.2f, and all calls that "+
		"a file takes so that nothing outside the tree can be reached %.2f.\n\n", median(first[floors[0]]).wall.Seconds()/faster(first), median(first[floors[1]]).wall.Seconds()/faster(first), median(first[floors[2]]).wall.Seconds()/faster(first))
}

// makeTree makes directories of 100 files each, three deep.
func makeTree(root string, files int) error {
	for i := range files {
		directory := filepath.Join(root, strconv.Itoa(i/10000), strconv.Itoa(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(directory, strconv.Itoa(i)), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// relabel runs a program as a process of its own. What others left to be written is on the disk before.
func relabel(program, context, tree string) (cost, error) {
	command := exec.Command("/proc/self/exe", "-relabel", program, "-context", context, tree)
	if program == peerChcon {
		command = exec.Command("chcon", "-R", context, tree)
	}
	unix.Sync()
	started := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		return cost{}, fmt.Errorf("%w: %s", err, out)
	}
	if slices.Contains(floors, program) { // it measures the loop alone
		var wall, cpu time.Duration
		_, err := fmt.Sscan(string(out), &wall, &cpu)
		return cost{wall: wall, cpu: cpu}, err
	}
	took := time.Since(started)
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{took, command.ProcessState.UserTime() + command.ProcessState.SystemTime(), usage.Maxrss}, nil
}

// workRelabel is what a process does that relabel starts.
func workRelabel(program, context, tree string) error {
	switch {
	case slices.Contains(floors, program):
		return workFloor(program, context, tree)
	case program == peerLibrary:
		return peer.Chcon(tree, context, true)
	}
	_, err := label.Set(tree, label.Change{Label: context}, tree+".journal", label.Options{Quick: program == bulkheadQuick})
	return err
}

// check looks at some of the files.
func check(tree, context string) error {
	for _, path := range []string{tree, filepath.Join(tree, "0"), filepath.Join(tree, "0/0/0"), filepath.Join(tree, "0/0/99")} {
		if got, err := label.Read(path); err != nil || got != context {
			return fmt.Errorf("%s has the label %q, not %q, %v", path, got, context, err)
		}
	}
	return nil
}

func median(costs []cost) cost {
	sorted := slices.SortedFunc(slices.Values(costs), func(a, b cost) int { return int(a.wall - b.wall) })
	return sorted[len(sorted)/2]
}
