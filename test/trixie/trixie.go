// SPDX-License-Identifier: Apache-2.0

// Package trixie fetches what the tests want of Debian 13, once, into the user's cache: references newer than this machine's, and their source packages.
package trixie

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

//go:embed apt.sh
var prelude string

// Fetch returns the directory NAME of the cache with what the script leaves; the first process to want it fetches, others wait. The script runs behind apt.sh, which says what it
// finds, and fills $work/done.
func Fetch(name, script string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	directory := filepath.Join(cache, "bulkhead-test", name)
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(directory+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	if out, err := exec.Command("sh", "-c", prelude+script+keep, "fetch.sh", directory).CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch %s of Debian 13: %w: %s", name, err, out)
	}
	return directory, nil
}

// keep ends a script: the directory is there as a whole or not at all.
const keep = `
rm -rf "$directory.partial"
cp -R "$work/done" "$directory.partial"
mv "$directory.partial" "$directory"
`

// Loader returns the command that starts the program at path in root, a directory with packages of Debian 13, with the C library that is there.
func Loader(root, path string) ([]string, error) {
	loaders, err := filepath.Glob(filepath.Join(root, "usr/lib/*/ld-linux*.so.*"))
	if err != nil || len(loaders) != 1 {
		return nil, fmt.Errorf("dynamic loaders in %s: %q, %v", root, loaders, err)
	}
	return []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), filepath.Join(root, path)}, nil
}
