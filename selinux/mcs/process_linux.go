// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// Self returns a holder that lives as long as the calling process.
func Self(id string) (Holder, error) {
	return Holder{ID: id}.WithProcess("/proc", os.Getpid())
}

// WithProcess returns the holder with another process to live by, such as the container's first one once it is known.
func (h Holder) WithProcess(proc string, pid int) (Holder, error) {
	boot, err := readBootID(proc)
	if err != nil {
		return Holder{}, err
	}
	process, err := readProcess(proc, pid)
	if err != nil {
		return Holder{}, err
	}
	h.PID, h.StartTime, h.BootID = pid, process.startTime, boot
	return h, nil
}

func readBootID(proc string) (string, error) {
	path := filepath.Join(proc, "sys/kernel/random/boot_id")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	if id == "" {
		return "", fmt.Errorf("%s: empty", path)
	}
	return id, nil
}

// process is what /proc/PID/stat says.
type process struct {
	state     byte
	threads   int
	startTime uint64 // clock ticks since boot; with the PID it names one process of a boot
}

func readProcess(proc string, pid int) (process, error) {
	path := filepath.Join(proc, strconv.Itoa(pid), "stat")
	text, err := os.ReadFile(path)
	if err != nil {
		return process{}, err
	}
	read, err := parseStat(string(text))
	if err != nil {
		return process{}, fmt.Errorf("%s: %w", path, err)
	}
	return read, nil
}

// parseStat takes fields 3, 20 and 22 of proc_pid_stat(5). Field 2, the command, may itself hold spaces and
// parentheses, so counting starts at the last closing one.
func parseStat(text string) (process, error) {
	const state, threads, startTime = 3 - 3, 20 - 3, 22 - 3
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) <= startTime {
		return process{}, fmt.Errorf("%d fields after the command", len(fields))
	}
	count, err := strconv.Atoi(fields[threads])
	if err != nil {
		return process{}, fmt.Errorf("thread count %.32q is not a number", fields[threads])
	}
	start, err := strconv.ParseUint(fields[startTime], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("start time %.32q is not a number", fields[startTime])
	}
	return process{fields[state][0], count, start}, nil
}

// ended reports a zombie or dead process. A first thread that ended while others run is shown as a zombie too.
func (p process) ended() bool {
	return (p.state == 'Z' || p.state == 'X') && p.threads <= 1
}

// witness tells living holders from those that are gone. What it cannot find out, it takes for living.
type witness struct {
	proc   string
	bootID string // "" when unknown: then no process is known to be gone
}

func newWitness(proc string) witness {
	boot, err := readBootID(proc)
	if err != nil {
		boot = ""
	}
	return witness{proc, boot}
}

func (w witness) alive(h Holder) bool { return h.Reserved || recordExists(h.Record) || w.running(h) }

// living returns the holders that are not gone, and what is left of the others: volumes that have the pair's label still.
func (w witness) living(pair Pair, holders []Holder) []Holder {
	var living []Holder
	for _, holder := range holders {
		if w.alive(holder) {
			living = append(living, holder)
			continue
		}
		left := holder
		if len(holder.Labelled) == 0 {
			left = holder.remains()
		}
		left.Labelled = labelled(pair, left.Labelled)
		if len(left.Labelled) > 0 {
			living = withRemains(living, left)
		}
	}
	return living
}

// without returns the holders when one of them releases the pair.
func without(pair Pair, holders []Holder, i int) []Holder {
	left := holders[i].remains()
	holders = slices.Delete(slices.Clone(holders), i, i+1)
	if left.Labelled = labelled(pair, left.Labelled); len(left.Labelled) > 0 {
		holders = withRemains(holders, left)
	}
	return holders
}

// labelled returns the paths whose label has the pair's categories, or may have: what cannot be read is not taken for relabelled.
func labelled(pair Pair, paths []string) []string {
	var found []string
	for _, path := range paths {
		if hasLabel(pair, path) {
			found = append(found, path)
		}
	}
	return found
}

func hasLabel(pair Pair, path string) bool {
	text := make([]byte, 4096) // a context of two categories; longer ones have more
	size, err := unix.Lgetxattr(path, "security.selinux", text)
	if errors.Is(err, unix.ERANGE) || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false
	}
	if err != nil {
		return true
	}
	context, err := selinux.ParseContext(strings.TrimRight(string(text[:size]), "\x00"))
	if err != nil || context.NoRange {
		return false
	}
	found, ok := PairOf(context.Range.High.Categories)
	return ok && found == pair
}

func recordExists(path string) bool {
	if path == "" {
		return false
	}
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR)
}

func (w witness) running(h Holder) bool {
	if h.PID == 0 {
		return false
	}
	if w.bootID == "" {
		return true
	}
	if h.BootID != w.bootID {
		return false
	}
	process, err := readProcess(w.proc, h.PID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return false
	}
	return err != nil || process.startTime == h.StartTime && !process.ended()
}
