// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	peer "github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// takers is how many processes, or goroutines of go-selinux's one process, take and free pairs at once.
const takers = 16

// tally is what takers came to.
type tally struct {
	Taken, Duplicates int
	Last              time.Duration // for the last free pair
	Full              time.Duration // until it was said that there is none; 0: never
}

// allocation measures taking and freeing, then the last free pair of all.
func allocation(directory string, duration time.Duration) error {
	memory, err := ours("/dev/shm", duration)
	if err != nil {
		return err
	}
	disk, err := ours(directory, duration)
	if err != nil {
		return err
	}
	theirs, err := measurePeer(duration)
	if err != nil {
		return err
	}
	fmt.Printf("## Category pairs: %d take and free for %s\n\n", takers, duration)
	fmt.Println("go-selinux keeps its pairs in the memory of one process, so that its takers are goroutines of one, and two processes may have the same. The registry's are processes,",
		"which hold the pair by a file and its content, synced before it has its name. A duplicate is a pair that another taker had at the same moment, found by a table that neither side knows of.",
		"The last pair is that which is left when the other 523,775 are taken, without the time for these; median of five.")
	fmt.Print("\n| | takers | pairs per second | duplicates | last free pair, ms | none free is said after, ms |\n|---|---|--:|--:|--:|--:|\n")
	row := func(name, who string, t tally) {
		full := "never"
		if t.Full > 0 {
			full = fmt.Sprintf("%.1f", t.Full.Seconds()*1e3)
		}
		fmt.Printf("| %s | %s | %.0f | %d | %.1f | %s |\n", name, who, float64(t.Taken)/duration.Seconds(), t.Duplicates, t.Last.Seconds()*1e3, full)
	}
	row("Bulkhead, registry in memory", fmt.Sprintf("%d processes", takers), memory)
	row("Bulkhead, registry on disk", fmt.Sprintf("%d processes", takers), disk)
	row("go-selinux", fmt.Sprintf("%d goroutines", takers), theirs)
	return nil
}

func ours(place string, duration time.Duration) (tally, error) {
	directory, err := os.MkdirTemp(place, "bench-label-")
	if err != nil {
		return tally{}, err
	}
	defer os.RemoveAll(directory)
	registry := mcs.Registry{Dir: filepath.Join(directory, "mcs")}
	marks := filepath.Join(directory, "marks")
	if err := errors.Join(os.WriteFile(marks, nil, 0o600), os.Truncate(marks, markSize)); err != nil {
		return tally{}, err
	}
	var total tally
	var group sync.WaitGroup
	var lock sync.Mutex
	for range takers {
		group.Go(func() {
			one, failed := runSelf("-worker", registry.Dir, "-marks", marks, "-duration", duration.String())
			lock.Lock()
			defer lock.Unlock()
			total.Taken, total.Duplicates, err = total.Taken+one.Taken, total.Duplicates+one.Duplicates, errors.Join(err, failed)
		})
	}
	if group.Wait(); err != nil {
		return tally{}, err
	}
	total.Last, total.Full, err = lastPair(registry)
	return total, err
}

func runSelf(args ...string) (tally, error) {
	command := exec.Command("/proc/self/exe", args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return tally{}, err
	}
	var read tally
	return read, json.Unmarshal(out, &read)
}

// marks counts for each pair who has it now: a table that processes share.
type marks []atomic.Int32

const markSize = selinux.MaxCategories * selinux.MaxCategories * 4

func (m marks) of(pair mcs.Pair) *atomic.Int32 {
	return &m[int(pair.Low)*selinux.MaxCategories+int(pair.High)]
}

func openMarks(path string) (marks, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := unix.Mmap(int(file.Fd()), 0, markSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*atomic.Int32)(unsafe.Pointer(&data[0])), markSize/4), nil
}

// work is one process that takes and frees. Each holds eight pairs at a time, so that there is something to collide with.
func work(directory, path string, duration time.Duration) error {
	table, err := openMarks(path)
	if err != nil {
		return err
	}
	holder, err := mcs.Self(fmt.Sprint("bench", os.Getpid()))
	if err != nil {
		return err
	}
	registry := mcs.Registry{Dir: directory, Low: 0, High: 31} // 496 pairs for 128 at a time
	var done tally
	var held []mcs.Pair
	free := func() error {
		pair := held[0]
		held = held[1:]
		table.of(pair).Add(-1)
		return registry.Release(pair, holder.ID)
	}
	for deadline := time.Now().Add(duration); time.Now().Before(deadline); {
		pair, err := registry.Take(holder)
		if err != nil {
			return err
		}
		if table.of(pair).Add(1) != 1 {
			done.Duplicates++
		}
		done.Taken++
		if held = append(held, pair); len(held) == 8 {
			if err := free(); err != nil {
				return err
			}
		}
	}
	for len(held) > 0 {
		if err := free(); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

// lastPair takes all pairs but one, by links to the files of a few, and measures taking that one and then none.
func lastPair(registry mcs.Registry) (last, full time.Duration, err error) {
	holder, err := mcs.Self("bench")
	if err != nil {
		return 0, 0, err
	}
	free := mcs.Pair{Low: 417, High: 901}
	source, count := "", 0
	for low := range uint16(selinux.MaxCategories) {
		for high := low + 1; high < selinux.MaxCategories; high++ {
			pair := mcs.Pair{Low: low, High: high}
			path := filepath.Join(registry.Dir, pair.String())
			switch {
			case pair == free:
				continue
			case count%60000 == 0: // ext4 allows 65,000 links to one file
				source, err = path, registry.Reserve(pair, holder, false)
			default:
				err = os.Link(source, path)
			}
			if err != nil {
				return 0, 0, err
			}
			count++
		}
	}
	if _, err := registry.Take(holder); err != nil { // the links were made behind its back: now it knows
		return 0, 0, err
	}
	var times []time.Duration
	for range 5 {
		if err := registry.Release(free, holder.ID); err != nil {
			return 0, 0, err
		}
		start := time.Now()
		pair, err := registry.Take(holder)
		if times = append(times, time.Since(start)); err != nil || pair != free {
			return 0, 0, fmt.Errorf("took %s, where %s is free: %w", pair, free, err)
		}
	}
	slices.Sort(times)
	start := time.Now()
	if pair, err := registry.Take(holder); !errors.Is(err, mcs.ErrFull) {
		return 0, 0, fmt.Errorf("took %s, where none is free: %w", pair, err)
	}
	return times[len(times)/2], time.Since(start), nil
}

// measurePeer starts go-selinux's process where it finds a context file, which it needs for drawing pairs, also where SELinux does not run.
func measurePeer(duration time.Duration) (tally, error) {
	command := exec.Command("/proc/self/exe", "-peer", "-duration", duration.String())
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return tally{}, err
	}
	var read tally
	return read, json.Unmarshal(out, &read)
}

const peerContexts = "process = \"system_u:system_r:container_t:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n"

func workPeer(duration time.Duration) error {
	const place = "/usr/share"
	err := errors.Join(unix.Mount("none", place, "tmpfs", 0, ""), os.MkdirAll(place+"/containers/selinux", 0o755),
		os.WriteFile(place+"/containers/selinux/contexts", []byte(peerContexts), 0o644))
	if err != nil {
		return err
	}
	var taken, duplicates atomic.Int64
	var used sync.Map
	var group sync.WaitGroup
	failures := make([]error, takers)
	deadline := time.Now().Add(duration)
	for i := range takers {
		group.Go(func() { failures[i] = drawPeer(deadline, &used, &taken, &duplicates) })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	done := tally{Taken: int(taken.Load()), Duplicates: int(duplicates.Load())}
	if done.Last, err = lastOfPeer(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func drawPeer(deadline time.Time, used *sync.Map, taken, duplicates *atomic.Int64) error {
	var held []string
	for time.Now().Before(deadline) {
		label, err := peer.InitContainerLabel()
		if err != nil {
			return err
		}
		if _, twice := used.LoadOrStore(label, true); twice {
			duplicates.Add(1)
		}
		taken.Add(1)
		if held = append(held, label); len(held) == 8 {
			used.Delete(held[0])
			peer.ReleaseLabel(held[0])
			held = held[1:]
		}
	}
	for _, label := range held {
		used.Delete(label)
		peer.ReleaseLabel(label)
	}
	return nil
}

// lastOfPeer draws every pair but the one that go-selinux keeps for itself, c1022,c1023, and returns what the last took. Another draw would not return.
func lastOfPeer() (time.Duration, error) {
	for range mcs.Pairs - 2 {
		if _, err := peer.InitContainerLabel(); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	_, err := peer.InitContainerLabel()
	return time.Since(start), err
}
