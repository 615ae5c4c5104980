// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exerciseVerb has the test binary be the program that exercises a file: a process of its own can be killed when the file system hangs.
const exerciseVerb = "exercise-a-file"

var exerciseTime = flag.Duration("exercise", time.Minute, "for how long a file is exercised")

// Random operations on one file, as fsx of Apple and the LTP does them: each read, by read(2) or through a map, is compared with a copy in memory.
func TestRandomOperationsOnAFile(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	seed := uint64(time.Now().UnixNano())
	limit := *exerciseTime + time.Minute
	command := exec.Command("timeout", "-s", "KILL", fmt.Sprint(int(limit.Seconds())), os.Args[0], exerciseVerb, filepath.Join(m.path, "f"), fmt.Sprint(seed), exerciseTime.String())
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("seed %d: %v: %s", seed, err, out)
	}
	t.Log(strings.TrimSpace(string(out)))
	_, sum, _ := strings.Cut(strings.TrimSpace(string(out)), "sha256 ")
	m.unmount()
	if got := v.mount(t).must("sha256sum f"); !strings.HasPrefix(got, sum) || sum == "" {
		t.Errorf("seed %d: %s after remounting, was %s", seed, got, sum)
	}
}

// exercise is a file and what it must hold.
type exercise struct {
	random *rand.Rand
	path   string
	file   *os.File
	model  []byte
	done   map[string]int
}

// largest is the size that the file gets at most.
const largest = 1 << 20

func exerciseMain(args []string) int {
	seed, _ := strconv.ParseUint(args[1], 10, 64)
	duration, err := time.ParseDuration(args[2])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	e := &exercise{random: rand.New(rand.NewPCG(seed, 1)), path: args[0], done: map[string]int{}}
	if e.file, err = os.OpenFile(e.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		fmt.Println(err)
		return 1
	}
	steps := []struct {
		name string
		do   func() error
	}{{"write", e.write}, {"write", e.write}, {"append", e.append}, {"read", e.read}, {"read", e.read}, {"truncate", e.truncate}, {"map read", e.mapRead}, {"map write", e.mapWrite},
		{"punch", e.punch}, {"zero", e.zero}, {"allocate", e.allocate}, {"sync", func() error { return e.file.Sync() }}, {"reopen", e.reopen}, {"drop", e.drop}, {"copy", e.copy}}
	for start, count := time.Now(), 0; time.Since(start) < duration; count++ {
		step := steps[e.random.IntN(len(steps))]
		if err := step.do(); err != nil {
			fmt.Printf("step %d, %s: %v\n", count, step.name, err)
			return 1
		}
		e.done[step.name]++
	}
	if err := e.file.Sync(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("%v; sha256 %x\n", e.done, sha256.Sum256(e.model))
	return 0
}

// span is a random part of the file, or of what it could become.
func (e *exercise) span(size int) (from, to int) {
	if size == 0 {
		return 0, 0
	}
	from = e.random.IntN(size)
	return from, min(size, from+1+e.random.IntN(1+e.random.IntN(1<<e.random.IntN(18))))
}

func (e *exercise) grow(size int) {
	if size > len(e.model) {
		e.model = append(e.model, make([]byte, size-len(e.model))...)
	}
}

func (e *exercise) noise(size int) []byte {
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(e.random.Uint32())
	}
	return text
}

func (e *exercise) write() error {
	from, to := e.span(largest)
	text := e.noise(to - from)
	e.grow(to)
	copy(e.model[from:], text)
	_, err := e.file.WriteAt(text, int64(from))
	return err
}

func (e *exercise) append() error {
	if len(e.model) > largest-5000 {
		return nil
	}
	text := e.noise(1 + e.random.IntN(5000))
	from := len(e.model)
	e.model = append(e.model, text...)
	_, err := e.file.WriteAt(text, int64(from))
	return err
}

func (e *exercise) compare(got []byte, from int) error {
	if !bytes.Equal(got, e.model[from:from+len(got)]) {
		for i := range got {
			if got[i] != e.model[from+i] {
				return fmt.Errorf("byte %d of %d is %#x, not %#x", from+i, len(e.model), got[i], e.model[from+i])
			}
		}
	}
	return nil
}

func (e *exercise) read() error {
	from, to := e.span(len(e.model))
	got := make([]byte, to-from)
	if _, err := e.file.ReadAt(got, int64(from)); err != nil {
		return err
	}
	if status, err := e.file.Stat(); err != nil || status.Size() != int64(len(e.model)) {
		return fmt.Errorf("size %d, not %d, %v", status.Size(), len(e.model), err)
	}
	return e.compare(got, from)
}

func (e *exercise) truncate() error {
	size := e.random.IntN(largest)
	if e.random.IntN(3) > 0 {
		size = e.random.IntN(len(e.model) + 10000)
	}
	e.grow(size)
	e.model = e.model[:size:size]
	return e.file.Truncate(int64(size))
}

func (e *exercise) mapped(protection int, use func(memory []byte, from int) error) error {
	from, to := e.span(len(e.model))
	from -= from % os.Getpagesize()
	if to <= from {
		return nil
	}
	memory, err := unix.Mmap(int(e.file.Fd()), int64(from), to-from, protection, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(memory)
	return use(memory, from)
}

func (e *exercise) mapRead() error { return e.mapped(unix.PROT_READ, e.compare) }

func (e *exercise) mapWrite() error {
	return e.mapped(unix.PROT_READ|unix.PROT_WRITE, func(memory []byte, from int) error {
		copy(memory, e.noise(len(memory)))
		copy(e.model[from:], memory)
		if e.random.IntN(3) == 0 {
			return unix.Msync(memory, unix.MS_SYNC)
		}
		return nil
	})
}

func (e *exercise) fallocate(mode uint32, size int, change func(from, to int)) error {
	from, to := e.span(size)
	if to == from {
		return nil
	}
	change(from, to)
	return unix.Fallocate(int(e.file.Fd()), mode, int64(from), int64(to-from))
}

func (e *exercise) punch() error {
	return e.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, len(e.model), func(from, to int) { clear(e.model[from:to]) })
}

func (e *exercise) zero() error {
	return e.fallocate(unix.FALLOC_FL_ZERO_RANGE, largest, func(from, to int) { e.grow(to); clear(e.model[from:to]) })
}

func (e *exercise) allocate() error {
	return e.fallocate(0, largest, func(_, to int) { e.grow(to) })
}

// copy copies within the file, between parts that do not overlap.
func (e *exercise) copy() error {
	from, to := e.span(len(e.model) / 2)
	if to == from {
		return nil
	}
	source, target := int64(from), int64(len(e.model)/2+e.random.IntN(len(e.model)/2))
	e.grow(int(target) + to - from)
	copy(e.model[target:], e.model[from:to])
	for left := to - from; left > 0; {
		count, err := unix.CopyFileRange(int(e.file.Fd()), &source, int(e.file.Fd()), &target, left, 0)
		if err != nil {
			return err
		}
		if count == 0 {
			return fmt.Errorf("copy_file_range ends %d bytes early", left)
		}
		left -= count
	}
	return nil
}

func (e *exercise) reopen() (err error) {
	if err := e.file.Close(); err != nil {
		return err
	}
	e.file, err = os.OpenFile(e.path, os.O_RDWR, 0)
	return err
}

// drop has the kernel forget what it has cached of the file, so that the next reads come from the volume.
func (e *exercise) drop() error {
	if err := e.file.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(e.file.Fd()), 0, 0, unix.FADV_DONTNEED)
}
