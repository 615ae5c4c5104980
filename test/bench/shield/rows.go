// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mebibyte  = 1 << 20
	fileSize  = 64 * mebibyte
	block     = 4096
	insertion = 10000 // rows inserted, a transaction each
	treeFiles = 3000
)

// measures are the rows, in the order of the report.
func measures(archive string) []measure {
	return []measure{
		{"sequential read by 4 KiB, warm", "MB per CPU second", warmFile, func(directory string) (float64, error) { return sequentialRead(directory, block) }},
		{"sequential read by 128 KiB, warm", "MB per CPU second", warmFile, func(directory string) (float64, error) { return sequentialRead(directory, 128<<10) }},
		{"sequential read by 128 KiB, warm, written by 4 KiB", "MB per CPU second", warmSmallFolios, func(directory string) (float64, error) { return sequentialRead(directory, 128<<10) }},
		{"random read by 4 KiB, warm", "per CPU second", warmFile, randomRead},
		{"sequential write, fsync at the end", "MB/s", nil, sequentialWrite},
		{"random write of 4 KiB, fsync at the end", "1/s", makeFile, func(directory string) (float64, error) { return randomWrite(directory, 8192, false) }},
		{"random write of 4 KiB, fsync after each", "1/s", makeFile, func(directory string) (float64, error) { return randomWrite(directory, 200, true) }},
		{"SQLite WAL, synchronous=normal, inserts", "1/s", makeDatabase, inserts},
		{fmt.Sprintf("untar %d files", treeFiles), "files/s", nil, func(directory string) (float64, error) { return untar(archive, directory) }},
	}
}

func makeFile(directory string) error { return makeFileBy(directory, mebibyte) }

func makeFileBy(directory string, size int) error {
	file, err := os.Create(filepath.Join(directory, "f"))
	if err != nil {
		return err
	}
	defer file.Close()
	for range fileSize / size {
		if _, err := file.Write(random(size)); err != nil {
			return err
		}
	}
	return file.Sync()
}

func warmFile(directory string) error { return warmFileBy(directory, mebibyte) }

// warmSmallFolios has the native file system's page cache hold single pages too: a folio there is as large as the write that made it, and FUSE has none of more
// than a page. What is then left between the two is the file system's; without it, it is the size of the folios.
func warmSmallFolios(directory string) error { return warmFileBy(directory, block) }

func warmFileBy(directory string, size int) error {
	if err := makeFileBy(directory, size); err != nil {
		return err
	}
	_, err := sequentialRead(directory, 128<<10)
	return err
}

// rate is so much a second since the start.
func rate(amount float64, start time.Time) float64 { return amount / time.Since(start).Seconds() }

// cpuTime is what this process has had of the processors. What is warm is read by nobody else, so that it is the measure that other processes do not disturb.
func cpuTime() time.Duration {
	var used unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func sequentialRead(directory string, size int) (float64, error) {
	file, err := os.Open(filepath.Join(directory, "f"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	buffer := make([]byte, size)
	start := cpuTime()
	const passes = 16
	for range passes {
		for at := int64(0); at < fileSize; at += int64(len(buffer)) {
			if _, err := file.ReadAt(buffer, at); err != nil {
				return 0, err
			}
		}
	}
	return passes * fileSize / 1e6 / (cpuTime() - start).Seconds(), nil
}

func randomRead(directory string) (float64, error) {
	file, err := os.Open(filepath.Join(directory, "f"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	buffer, places := make([]byte, block), rand.New(rand.NewPCG(1, 1))
	const reads = 400000
	start := cpuTime()
	for range reads {
		if _, err := file.ReadAt(buffer, places.Int64N(fileSize/block)*block); err != nil {
			return 0, err
		}
	}
	return reads / (cpuTime() - start).Seconds(), nil
}

func sequentialWrite(directory string) (float64, error) {
	file, err := os.Create(filepath.Join(directory, "f"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	text := random(128 << 10)
	start := time.Now()
	for range fileSize / len(text) {
		if _, err := file.Write(text); err != nil {
			return 0, err
		}
	}
	err = file.Sync()
	return rate(fileSize/1e6, start), err
}

func randomWrite(directory string, writes int, each bool) (float64, error) {
	file, err := os.OpenFile(filepath.Join(directory, "f"), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	text, places := random(block), rand.New(rand.NewPCG(1, 1))
	start := time.Now()
	for i := range writes {
		if _, err := file.WriteAt(text, places.Int64N(fileSize/block)*block); err != nil {
			return 0, err
		}
		if each || i == writes-1 {
			if err := file.Sync(); err != nil {
				return 0, err
			}
		}
	}
	return rate(float64(writes), start), nil
}

func makeDatabase(directory string) error {
	var script strings.Builder
	script.WriteString("pragma synchronous=normal;\n")
	for i := range insertion {
		fmt.Fprintf(&script, "insert into t(b) values('%0100d');\n", i)
	}
	if err := os.WriteFile(filepath.Join(directory, "script"), []byte(script.String()), 0o600); err != nil {
		return err
	}
	return command("sqlite3", filepath.Join(directory, "db"), "pragma journal_mode=wal; create table t(a integer primary key, b text);")
}

func inserts(directory string) (float64, error) {
	start := time.Now()
	err := command("sqlite3", filepath.Join(directory, "db"), ".read "+filepath.Join(directory, "script"))
	return rate(insertion, start), err
}

// makeArchive packs a tree of small files: most of them of some KiB, as sources are.
func makeArchive(archive, tree string) error {
	sizes := rand.New(rand.NewPCG(1, 1))
	for i := range treeFiles {
		path := filepath.Join(tree, fmt.Sprintf("d%d", i/50), fmt.Sprintf("file%d", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, random(int(sizes.ExpFloat64()*6000)), 0o644); err != nil {
			return err
		}
	}
	return command("tar", "-C", tree, "-cf", archive, ".")
}

func untar(archive, directory string) (float64, error) {
	start := time.Now()
	err := command("tar", "-C", directory, "-xf", archive)
	return rate(treeFiles, start), err
}
