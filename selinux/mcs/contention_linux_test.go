// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The environment that turns the test binary into a worker process.
const (
	workerRegistry = "MCS_TEST_REGISTRY"
	workerMarkers  = "MCS_TEST_MARKERS"
	workerDuration = "MCS_TEST_DURATION"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(workerRegistry); dir != "" {
		os.Exit(runWorker(crowded(dir), os.Getenv(workerMarkers), os.Getenv(workerDuration)))
	}
	os.Exit(m.Run())
}

// crowded is a registry of 15 pairs, so that takers meet all the time.
func crowded(dir string) Registry { return Registry{Dir: dir, Low: 0, High: 5} }

func runWorker(registry Registry, markers, duration string) int {
	length, err := time.ParseDuration(duration)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	fmt.Println("started")
	deadline := time.Now().Add(length)
	results := make(chan error, 2)
	for i := range cap(results) {
		go func() { results <- contend(registry, markers, fmt.Sprintf("%d-%d", os.Getpid(), i), deadline) }()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// contend takes and releases pairs until the deadline, with all that can go on meanwhile.
func contend(registry Registry, markers, id string, deadline time.Time) error {
	holder, err := Self(id)
	if err != nil {
		return err
	}
	held := 0
	for time.Now().Before(deadline) {
		pair, err := registry.Take(holder)
		if errors.Is(err, ErrFull) {
			if _, err := registry.Sweep(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := useAlone(registry, markers, pair, holder); err != nil {
			return err
		}
		held++
	}
	if held == 0 {
		return fmt.Errorf("%s never had a pair", id)
	}
	return nil
}

// useAlone holds the pair's marker, which the registry knows nothing of, from after Take to before Release.
func useAlone(registry Registry, markers string, pair Pair, holder Holder) error {
	marker, err := os.OpenFile(filepath.Join(markers, pair.String()), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// The kernel drops this lock with its process, so a killed holder is never counted.
	if err := unix.Flock(int(marker.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is held twice, also by %s: %w", pair, holder.ID, err)
	}
	if err := disturb(registry, pair, holder); err != nil {
		return err
	}
	entry, _, err := registry.Who(pair)
	if err != nil || len(entry.Holders) != 1 || entry.Holders[0].ID != holder.ID {
		return fmt.Errorf("%s of %s is held by %v (%v)", pair, holder.ID, entry.Holders, err)
	}
	marker.Close()
	return registry.Release(pair, holder.ID)
}

func disturb(registry Registry, pair Pair, holder Holder) error {
	switch rand.IntN(4) {
	case 0:
		holder.Runtime = strings.Repeat("x", rand.IntN(100))
		return registry.Update(pair, holder)
	case 1:
		sharer := holder
		sharer.ID += "-sharer"
		return errors.Join(registry.Reserve(pair, sharer, true), registry.Release(pair, sharer.ID))
	case 2:
		_, err := registry.Sweep()
		return err
	}
	return nil
}

func startWorker(t *testing.T, registry Registry, markers, duration string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), workerRegistry+"="+registry.Dir, workerMarkers+"="+markers, workerDuration+"="+duration)
	output := new(strings.Builder)
	command.Stdout, command.Stderr = output, output
	must(t, command.Start())
	return command, output
}

func checkEmpty(t *testing.T, registry Registry) {
	t.Helper()
	if entries, err := registry.List(); err != nil || len(entries) != 0 {
		t.Errorf("left over: %+v, %v", entries, err)
	}
}

func TestSixteenGoroutinesNeverShareAPair(t *testing.T) {
	registry, markers := crowded(memoryDirectory(t)), t.TempDir()
	deadline := time.Now().Add(time.Second)
	failures := make([]error, 16)
	var group sync.WaitGroup
	for i := range failures {
		group.Go(func() { failures[i] = contend(registry, markers, fmt.Sprint(i), deadline) })
	}
	group.Wait()
	must(t, errors.Join(failures...))
	checkEmpty(t, registry)
}

func TestSixteenProcessesNeverShareAPair(t *testing.T) {
	registry, markers := crowded(memoryDirectory(t)), t.TempDir()
	type worker struct {
		command *exec.Cmd
		output  *strings.Builder
	}
	var workers []worker
	for range 16 {
		command, output := startWorker(t, registry, markers, "2s")
		workers = append(workers, worker{command, output})
	}
	for _, worker := range workers {
		if err := worker.command.Wait(); err != nil {
			t.Errorf("%v: %s", err, worker.output)
		}
	}
	checkEmpty(t, registry)
}

// Processes are killed at random moments while others go on. What a killed one had is swept, by name; what a living
// one has is not; and no half-written file is ever seen.
func TestKilledProcessesLeaveOnlyWhatASweepFrees(t *testing.T) {
	registry, markers := crowded(memoryDirectory(t)), t.TempDir()
	keeper := Pair{2, 4}
	must(t, registry.Reserve(keeper, self(t, "keeper"), false))
	survivor, output := startWorker(t, registry, markers, "3s")
	orphans := 0
	for range 60 {
		orphans += killOne(t, registry, markers)
	}
	if err := survivor.Wait(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
	_, err := registry.Sweep()
	must(t, err)
	entries, err := registry.List()
	if err != nil || len(entries) != 1 || entries[0].Pair != keeper || entries[0].Holders[0].ID != "keeper" {
		t.Errorf("left over: %+v, %v", entries, err)
	}
	if orphans == 0 {
		t.Error("no process was killed while it held a pair: the test shows nothing")
	}
	checkNames(t, registry)
}

// killOne starts a worker, kills it and counts the pairs it still had then.
func killOne(t *testing.T, registry Registry, markers string) int {
	t.Helper()
	worker, output := startWorker(t, registry, markers, "1m")
	time.Sleep(time.Duration(15+rand.IntN(25)) * time.Millisecond)
	must(t, worker.Process.Kill())
	if err := worker.Wait(); err != nil && worker.ProcessState.Exited() {
		t.Fatalf("ended by itself: %v: %s", err, output)
	}
	entries, err := registry.List()
	must(t, err)
	count := 0
	for _, entry := range entries {
		if entry.Err != nil {
			t.Fatalf("half-written: %v", entry.Err)
		}
		if entry.Holders[0].PID == worker.Process.Pid {
			count++
		}
	}
	return count
}

// checkNames holds the directory to the names that are documented: no drafts are left behind.
func checkNames(t *testing.T, registry Registry) {
	t.Helper()
	files, err := os.ReadDir(registry.Dir)
	must(t, err)
	for _, file := range files {
		if _, isPair := pairFromName(file.Name()); !isPair && !slices.Contains([]string{lockName, draftName, occupiedName}, file.Name()) {
			t.Errorf("left behind: %s", file.Name())
		}
	}
}

func TestASweepFreesExactlyTheKilledProcesssPairs(t *testing.T) {
	registry := newRegistry(t)
	child := exec.Command("sleep", "60")
	must(t, child.Start())
	dying, err := Holder{ID: "dying"}.WithProcess("/proc", child.Process.Pid)
	must(t, err)
	var theirs, ours []Pair
	for range 20 {
		pair, err := registry.Take(dying)
		must(t, err)
		theirs = append(theirs, pair)
		pair, err = registry.Take(self(t, "living"))
		must(t, err)
		ours = append(ours, pair)
	}
	must(t, child.Process.Kill())
	child.Wait()
	freed, err := registry.Sweep()
	must(t, err)
	order := func(a, b Pair) int { return int(a.Low)*1024 + int(a.High) - int(b.Low)*1024 - int(b.High) }
	slices.SortFunc(theirs, order)
	if !slices.Equal(freed, theirs) {
		t.Errorf("freed %v, want %v", freed, theirs)
	}
	for _, pair := range ours {
		if got := holders(t, registry, pair); got != "living" {
			t.Errorf("%s is held by %q", pair, got)
		}
	}
}

// One pair only: holders that are gone leave it behind, sweepers free it, takers take it at once. A sweeper that
// removed by name what it had read before would remove a taker's file.
func TestASweepNeverRemovesASuccessorsFile(t *testing.T) {
	registry := Registry{Dir: memoryDirectory(t), Low: 0, High: 1}
	deadline := time.Now().Add(time.Second)
	living, dead := self(t, "living"), gone(t, "dead")
	failures := make([]error, 6)
	var group sync.WaitGroup
	for i := range failures {
		group.Go(func() { failures[i] = raceForOne(registry, i, living, dead, deadline) })
	}
	group.Wait()
	must(t, errors.Join(failures...))
}

func raceForOne(registry Registry, number int, living, dead Holder, deadline time.Time) error {
	living.ID += fmt.Sprint(number)
	for time.Now().Before(deadline) {
		if number < 2 {
			if _, err := registry.Sweep(); err != nil {
				return err
			}
			continue
		}
		if pair, err := registry.Take(living); err == nil {
			for range 20 {
				if entry, taken, err := registry.Who(pair); err != nil || !taken || entry.Holders[0].ID != living.ID {
					return fmt.Errorf("%s lost its pair to %v (%v)", living.ID, entry.Holders, err)
				}
			}
			if err := registry.Release(pair, living.ID); err != nil {
				return err
			}
		} else if !errors.Is(err, ErrFull) {
			return err
		}
		if _, err := registry.Take(dead); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
	}
	return nil
}
