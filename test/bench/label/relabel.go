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

// relabelling measures the labelling of a tree that has another label, and then of one that has the very label.
func relabelling(directory string, files int) error {
	tree, err := os.MkdirTemp(directory, "bench-label-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := makeTree(filepath.Join(tree, "tree"), files); err != nil {
		return err
	}
	programs := []string{"bulkhead", "chcon -R", "go-selinux Chcon"}
	first, again := map[string][]cost{}, map[string][]cost{}
	for round := range relabelRounds {
		for turn := range programs {
			program := programs[(turn+round)%len(programs)]
			context := fmt.Sprintf("system_u:object_r:container_file_t:s0:c%d,c%d", round, 100+turn)
			for _, into := range []map[string][]cost{first, again} {
				took, err := relabel(program, context, filepath.Join(tree, "tree"))
				if err != nil {
					return fmt.Errorf("%s: %w", program, err)
				}
				into[program] = append(into[program], took)
			}
			if err := check(filepath.Join(tree, "tree"), context); err != nil {
				return fmt.Errorf("%s: %w", program, err)
			}
		}
	}
	fmt.Printf("## Relabelling %d files, median of %d turns\n\n| program | first, wall | CPU | unchanged, wall | CPU | peak memory |\n|---|--:|--:|--:|--:|--:|\n", files, relabelRounds)
	for _, program := range programs {
		one, two := median(first[program]), median(again[program])
		fmt.Printf("| %s | %.2f s | %.2f s | %.3f s | %.3f s | %.1f MB |\n", program, one.wall.Seconds(), one.cpu.Seconds(), two.wall.Seconds(), two.cpu.Seconds(), float64(one.memory)/1000)
	}
	faster := func(costs map[string][]cost) time.Duration {
		return min(median(costs[programs[1]]).wall, median(costs[programs[2]]).wall)
	}
	fmt.Printf("\nOf the faster one's wall time: first %.2f, unchanged %.2f. Only bulkhead's can be undone: its time has the journal in it.\n\n",
		median(first["bulkhead"]).wall.Seconds()/faster(first).Seconds(), median(again["bulkhead"]).wall.Seconds()/faster(again).Seconds())
	return nil
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
	if program == "chcon -R" {
		command = exec.Command("chcon", "-R", context, tree)
	}
	unix.Sync()
	started := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		return cost{}, fmt.Errorf("%w: %s", err, out)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{time.Since(started), command.ProcessState.UserTime() + command.ProcessState.SystemTime(), usage.Maxrss}, nil
}

// work of a process that is started by relabel.
func workRelabel(program, context, tree string) error {
	if program != "bulkhead" {
		return peer.Chcon(tree, context, true)
	}
	_, err := label.Set(tree, label.Change{Label: context}, tree+".journal", label.Options{})
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
