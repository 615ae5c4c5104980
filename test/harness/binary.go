// SPDX-License-Identifier: Apache-2.0

// Package harness is what the tests of the whole program share: the binary under test, bundles and root file systems.
package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build = sync.OnceValues(buildBinary)

// Binary returns the path of bulkhead, with bulkhead-runtime beside it: the one that BULKHEAD_BIN names, or one built from this source.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("BULKHEAD_BIN"); path != "" {
		return path
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Runtime returns the path of bulkhead-runtime.
func Runtime(t testing.TB) string {
	return filepath.Join(filepath.Dir(Binary(t)), "bulkhead-runtime")
}

func buildBinary() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	command := exec.Command("make", "-s", "build")
	command.Dir = root
	command.Stderr = os.Stderr
	return filepath.Join(root, "bin", "bulkhead"), command.Run()
}

// moduleRoot finds the directory of go.mod above the working directory.
func moduleRoot() (string, error) {
	directory, err := os.Getwd()
	for ; err == nil; directory = filepath.Dir(directory) {
		if _, err = os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory, nil
		}
		if directory == "/" {
			return "", os.ErrNotExist
		}
		err = nil
	}
	return "", err
}
