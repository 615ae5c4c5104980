// SPDX-License-Identifier: Apache-2.0

// Command shield measures what a shielded volume costs beside the file system that it lies on and beside gocryptfs on the same, in alternating rounds. It prints
// medians, and of ratios to the native file system the medians of rounds.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	binary    = flag.String("bulkhead", "bin/bulkhead", "the program under test")
	directory = flag.String("directory", "/var/tmp", "where volumes are made: the native file system")
	rounds    = flag.Int("rounds", 5, "alternating rounds")
	only      = flag.String("only", "", "rows whose names hold this")
)

func main() {
	flag.Parse()
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-shield:", err)
		os.Exit(1)
	}
}

// place is a file system that is measured.
type place struct {
	name    string
	path    string
	unmount func() error
}

// measure is one row: how much of something a second, in a directory of its own that is there and empty.
type measure struct {
	name, unit string
	prepare    func(directory string) error
	run        func(directory string) (amount float64, err error)
}

func bench() (err error) {
	work, err := os.MkdirTemp(*directory, "bench-shield-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	places, err := mountAll(work)
	defer func() {
		for _, place := range places {
			err = errors.Join(err, place.unmount())
		}
	}()
	if err != nil {
		return err
	}
	archive := filepath.Join(work, "tree.tar")
	if err := makeArchive(archive, filepath.Join(work, "tree")); err != nil {
		return err
	}
	describe(work)
	for _, row := range measures(archive) {
		if !strings.Contains(row.name, *only) {
			continue
		}
		if err := compare(row, places); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	fmt.Print(notes)
	return nil
}

// notes say what the figures alone do not.
const notes = `
What is warm is read from the kernel's page cache alone: the shield process is not asked. The cache of ext4 holds folios as large as the writes that made them, that of FUSE
single pages, and finding and copying many small ones takes longer. The row of a file written by 4 KiB has single pages on both sides. No flag of FUSE's INIT
asks for larger ones, and readahead has no part in it.
`

func describe(work string) {
	var kernel unix.Utsname
	unix.Uname(&kernel)
	fs, _ := exec.Command("stat", "-f", "-c", "%T", work).Output()
	version, _ := exec.Command("gocryptfs", "-version").Output()
	fmt.Printf("# What a shielded volume costs\n\n`make bench-shield`: %d processors, Linux %s, %s, %s; %d alternating rounds, medians, in brackets the ratio to native.\n\n",
		runtime.NumCPU(), unix.ByteSliceToString(kernel.Release[:]), strings.TrimSpace(string(fs)), strings.Split(string(version), ";")[0], *rounds)
	fmt.Println("| | unit | native | shield | gocryptfs |\n|---|---|---|---|---|")
}

// mountAll makes the three file systems. What it made is returned on an error too.
func mountAll(work string) (places []place, err error) {
	native := filepath.Join(work, "native")
	if err := os.Mkdir(native, 0o700); err != nil {
		return nil, err
	}
	places = []place{{"native", native, func() error { return nil }}}
	for _, mount := range []func(string) (place, error){mountShield, mountGocryptfs} {
		mounted, err := mount(work)
		if err != nil {
			return places, err
		}
		places = append(places, mounted)
	}
	return places, nil
}

func mountShield(work string) (place, error) {
	key, volume, path := filepath.Join(work, "key"), filepath.Join(work, "volume"), filepath.Join(work, "shield")
	if err := errors.Join(os.Mkdir(path, 0o700), command(*binary, "shield", "init", "--new-key-file", key, volume)); err != nil {
		return place{}, err
	}
	server := exec.Command(*binary, "shield", "mount", "--key-file", key, volume, path)
	if err := server.Start(); err != nil {
		return place{}, err
	}
	return place{"shield", path, func() error { return errors.Join(unmount(path), server.Wait()) }}, await(path)
}

func mountGocryptfs(work string) (place, error) {
	password, volume, path := filepath.Join(work, "password"), filepath.Join(work, "gocryptfs-volume"), filepath.Join(work, "gocryptfs")
	err := errors.Join(os.WriteFile(password, []byte("bench\n"), 0o600), os.Mkdir(volume, 0o700), os.Mkdir(path, 0o700))
	err = errors.Join(err, command("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", password, volume), command("gocryptfs", "-q", "-passfile", password, volume, path))
	if err != nil {
		return place{}, err
	}
	return place{"gocryptfs", path, func() error { return unmount(path) }}, await(path)
}

// unmount waits until nobody looks at the file system any more.
func unmount(path string) (err error) {
	for range 50 {
		if err = unix.Unmount(path, 0); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.Join(err, unix.Unmount(path, unix.MNT_DETACH))
}

// await waits until a FUSE file system is mounted.
func await(path string) error {
	const fuse = 0x65735546 // FUSE_SUPER_MAGIC
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var stat unix.Statfs_t
		if unix.Statfs(path, &stat) == nil && stat.Type == fuse {
			return nil
		}
	}
	return fmt.Errorf("%s is not mounted", path)
}

func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// compare measures one row in all places, one after the other in each round, and prints it.
func compare(row measure, places []place) error {
	results := make([][]float64, len(places))
	for round := range *rounds {
		for i := range places { // in another order each round
			i = (i + round) % len(places)
			amount, err := once(row, places[i])
			if err != nil {
				return fmt.Errorf("%s: %w", places[i].name, err)
			}
			results[i] = append(results[i], amount)
		}
	}
	line := fmt.Sprintf("| %s | %s | %s", row.name, row.unit, figure(median(results[0])))
	for _, amounts := range results[1:] {
		ratios := make([]float64, len(amounts))
		for round, amount := range amounts {
			ratios[round] = amount / results[0][round]
		}
		line += fmt.Sprintf(" | %s (%.2f)", figure(median(amounts)), median(ratios))
	}
	fmt.Println(line + " |")
	return nil
}

func once(row measure, at place) (amount float64, err error) {
	directory := filepath.Join(at.path, "row")
	if err := os.Mkdir(directory, 0o700); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if row.prepare != nil {
		if err := row.prepare(directory); err != nil {
			return 0, err
		}
	}
	unix.Sync()
	return row.run(directory)
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.SortFunc(sorted, cmp.Compare[float64])
	return sorted[len(sorted)/2]
}

func figure(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// random is the content of files: what does not compress.
func random(size int) []byte {
	text := make([]byte, size)
	rand.Read(text)
	return text
}
