// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/cpio"
	"github.com/bulkhead-project/bulkhead/internal/vm/wire"
)

const (
	disk      = "/dev/vda"
	killGrace = 3 * time.Second // between SIGQUIT, for Go's stack traces, and SIGKILL
	pipeGrace = 2 * time.Second // for what the command left in the background
)

// run prepares the restored machine and runs the command of the job.
func run(port io.Writer, job wire.Job) (wire.Exit, error) {
	failed := wire.Exit{Code: 125}
	if err := wake(job); err != nil {
		return failed, err
	}
	if err := unpackDisk(); err != nil {
		return failed, err
	}
	exit, err := execute(port, job)
	if err != nil {
		return failed, err
	}
	for _, path := range job.Collect {
		if err := collect(port, path); err != nil {
			return exit, err
		}
	}
	return exit, nil
}

// wake sets the clock, which stood still, and the random state, which is that of
// every other machine restored from the same state.
func wake(job wire.Job) error {
	now := unix.NsecToTimespec(job.Now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	random, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer random.Close()
	// struct rand_pool_info: entropy in bits, size in bytes, the bytes.
	pool := binary.NativeEndian.AppendUint32(nil, uint32(8*len(job.Seed)))
	pool = binary.NativeEndian.AppendUint32(pool, uint32(len(job.Seed)))
	pool = append(pool, job.Seed...)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, random.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool[0]))); errno != 0 {
		return fmt.Errorf("add entropy: %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, random.Fd(), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return fmt.Errorf("reseed: %w", errno)
	}
	return nil
}

// unpackDisk unpacks the archive that is the disk's content. The kernel may have
// read the disk, which was another one, before the state was saved.
func unpackDisk() error {
	file, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.IoctlSetInt(int(file.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("%s: flush: %w", disk, err)
	}
	archive := cpio.NewReader(bufio.NewReaderSize(file, 1<<20))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = unpack(header, archive)
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
}

func unpack(header cpio.Header, content io.Reader) error {
	path := filepath.Join("/", header.Name)
	switch header.Type() {
	case cpio.Directory:
		return os.MkdirAll(path, 0o755)
	case cpio.Symlink:
		target, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Symlink(string(target), path)
	case cpio.Regular:
		return unpackFile(path, header.Mode&0o7777, content)
	}
	return fmt.Errorf("%s: file type %#o", path, header.Type())
}

// unpackFile replaces the file: writing through a link that busybox put there
// would write into busybox.
func unpackFile(path string, mode uint32, content io.Reader) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, unix.Fchmod(int(file.Fd()), mode), file.Close())
}

func execute(port io.Writer, job wire.Job) (wire.Exit, error) {
	path, err := lookPath(job.Command[0])
	if err != nil {
		return wire.Exit{}, err
	}
	shared := &sharedWriter{output: port}
	command := exec.Command(path)
	command.Args, command.Env, command.Dir = job.Command, job.Env, job.Dir
	command.Stdout = frameWriter{shared, wire.KindStdout}
	command.Stderr = frameWriter{shared, wire.KindStderr}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.WaitDelay = pipeGrace
	if err := start(command, job.Label); err != nil {
		return wire.Exit{}, err
	}
	timedOut := make(chan bool, 1)
	timer := time.AfterFunc(job.Timeout, func() {
		timedOut <- true
		// The process group may be gone already; then there is nothing to kill.
		_ = unix.Kill(-command.Process.Pid, unix.SIGQUIT)
		time.Sleep(killGrace)
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
	})
	err = command.Wait()
	timer.Stop()
	if command.ProcessState == nil {
		return wire.Exit{}, err
	}
	exit := exitOf(command.ProcessState)
	select {
	case exit.TimedOut = <-timedOut:
		exit.Error = fmt.Sprintf("timeout after %s", job.Timeout)
	default:
	}
	return exit, nil
}

// lookPath finds a bare name as execvp does, in the PATH which jobs get.
func lookPath(name string) (string, error) {
	if err := os.Setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"); err != nil {
		return "", err
	}
	return exec.LookPath(name)
}

// start starts the command in the SELinux context label. attr/exec belongs to the
// thread that writes it, so the same thread has to fork.
func start(command *exec.Cmd, label string) error {
	if label == "" {
		return command.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := os.WriteFile("/proc/thread-self/attr/exec", []byte(label), 0); err != nil {
		return fmt.Errorf("context %s: %w", label, err)
	}
	err := command.Start()
	return errors.Join(err, os.WriteFile("/proc/thread-self/attr/exec", nil, 0))
}

func exitOf(state *os.ProcessState) wire.Exit {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return wire.Exit{Code: 128 + int(status.Signal()), Error: "killed: " + status.Signal().String()}
	}
	return wire.Exit{Code: state.ExitCode()}
}

// collect sends back the regular files at or below path; a path that the command
// did not make is no error.
func collect(port io.Writer, path string) error {
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == path {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return wire.WriteValue(port, wire.KindFile, wire.File{Path: name, Data: data})
	})
}

// sharedWriter keeps frames whole: stdout and stderr are copied concurrently.
type sharedWriter struct {
	lock   sync.Mutex
	output io.Writer
}

type frameWriter struct {
	shared *sharedWriter
	kind   wire.Kind
}

func (w frameWriter) Write(data []byte) (int, error) {
	w.shared.lock.Lock()
	defer w.shared.lock.Unlock()
	if err := wire.Write(w.shared.output, w.kind, data); err != nil {
		return 0, err
	}
	return len(data), nil
}
