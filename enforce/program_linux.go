// SPDX-License-Identifier: Apache-2.0

// Package enforce performs what was compiled, on the host: it puts the program inside where containers can have it, labels files and pipes,
// asks the kernel whether it knows the labels, and undoes what it did. It needs root.
package enforce

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/plan"
)

//go:embed initbin
var embedded embed.FS

// Program is the program inside, installed on the host.
type Program struct {
	Directory string // mounted read-only at inside.Directory in every container
	Probe     string // directory outside every container that holds inside.ProbeFile, of one process
}

// Path is the host's path of the program.
func (p Program) Path() string { return filepath.Join(p.Directory, filepath.Base(inside.Path)) }

// InstallProgram makes sure that the program inside lies under state, in a directory named by its digest, owned by root and unchanged, and
// returns where. Containers that run keep the one that they were started with.
func InstallProgram(state string) (Program, error) {
	digest, err := embedded.ReadFile("initbin/bulkhead-init.sha256")
	if errors.Is(err, fs.ErrNotExist) {
		return Program{}, errors.New("this binary was built without the program inside: build it with `make build`")
	}
	if err != nil {
		return Program{}, err
	}
	program := Program{Directory: filepath.Join(state, "inside", string(digest[:16]))}
	// Every user in a container must be able to reach the program through its mount; on the host the directory above is closed.
	if err := os.MkdirAll(filepath.Dir(program.Directory), 0o700); err != nil {
		return Program{}, err
	}
	return program, installFile(program.Path(), "initbin/bulkhead-init", 0o755)
}

// installFile makes path, in a directory of its own, hold what is embedded. A file that is there, of that size, root's and as it was
// installed, is left alone: only root could have written it, and reading it at every start would cost more than the rest of the start.
func installFile(path, name string, mode fs.FileMode) error {
	source, err := embedded.Open(name)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if installed(path, info.Size(), mode) {
		return nil
	}
	directory := filepath.Dir(path)
	// Chmod: the mask of whoever starts the first container must not close the directory to the users of all.
	if err := errors.Join(os.MkdirAll(directory, 0o755), os.Chmod(directory, 0o755)); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(directory), ".install-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = io.Copy(file, source)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(file.Name(), path)
}

func installed(path string, size int64, mode fs.FileMode) bool {
	var stat unix.Stat_t
	return unix.Lstat(path, &stat) == nil && stat.Mode == unix.S_IFREG|uint32(mode) && stat.Uid == uint32(os.Geteuid()) && stat.Size == size
}

// CheckPlace refuses a root file system in which the program's directory would not be mounted on a child of the root itself: through a
// symbolic link it would land where the container can move it.
func CheckPlace(root string) error {
	path := filepath.Join(root, inside.Directory)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &plan.RefusedError{Subject: root, Reason: "its " + inside.Directory + " is no directory, and the program that confines the container has its place there",
			Hint: "take it out of the image"}
	}
	return nil
}

// SamePlace asks, for a container that runs, whether what a process that is added to it will start as the program inside is the program.
func (p Program) SamePlace(proc string, pid int) error {
	var here unix.Stat_t
	if err := unix.Stat(p.Path(), &here); err != nil {
		return err
	}
	namespace, err := os.Open(filepath.Join(proc, fmt.Sprint(pid), "ns", "mnt"))
	if err != nil {
		return err
	}
	defer namespace.Close()
	there, err := statIn(namespace, inside.Path)
	if err != nil {
		return fmt.Errorf("%s in the container: %w", inside.Path, err)
	}
	if here.Dev != there.Dev || here.Ino != there.Ino {
		return fmt.Errorf("%s in the container is another program than the one that was mounted there", inside.Path)
	}
	return nil
}

// statIn looks at a path from the root of a mount namespace, where an added process starts. /proc/PID/root may be elsewhere: a process may
// have changed its root since.
func statIn(namespace *os.File, path string) (stat unix.Stat_t, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread would not end, and what it sees is what /proc/self shows: it is held while another one looks.
			stat, err = statIn(namespace, path)
			runtime.UnlockOSThread()
			return
		}
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			return
		}
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS); err == nil {
			err = unix.Lstat(path, &stat)
		}
	}()
	<-done
	return stat, err
}
