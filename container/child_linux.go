// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/inside"
)

// child is the OCI runtime as a process to be started.
//
// It is not os/exec's: this process lives for as long as its child does and has nothing to do meanwhile, so that it waits in one poll(2) of one
// thread. Goroutines and timers that wait keep Go's scheduler looking for work, which cost more CPU than all else that is done here.
type child struct {
	path        string
	args        []string   // after the path
	environment []string   // nil: this process's
	files       []*os.File // its descriptors from 0 on; nil is /dev/null
}

// start starts the child, which dies with the calling thread, and returns a descriptor of it.
func (c child) start() (pid, descriptor int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer null.Close()
	attributes := &syscall.ProcAttr{Env: c.environment, Sys: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, PidFD: &descriptor}}
	if attributes.Env == nil {
		attributes.Env = os.Environ()
	}
	for _, file := range c.files {
		if file == nil {
			file = null
		}
		attributes.Files = append(attributes.Files, file.Fd())
	}
	pid, err = syscall.ForkExec(c.path, append([]string{c.path}, c.args...), attributes)
	runtime.KeepAlive(c.files)
	if err == nil && descriptor < 0 {
		err = errors.Join(errors.New("Linux gives no descriptor of a process: 5.3 or later is needed"), unix.Kill(pid, unix.SIGKILL))
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", c.path, err)
	}
	return pid, descriptor, nil
}

// supervise runs the OCI runtime, which dies with this process, passes signals on to it and has what it starts verified; arrival may be nil.
func supervise(command child, arrival *arrival) (int, error) {
	// The kernel sends the signal when the thread that started the child ends, so that thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGINT, unix.SIGWINCH)
	defer signal.Stop(signals)
	if arrival != nil {
		arrival.watch()
		defer arrival.close()
	}
	pid, descriptor, err := command.start()
	if err != nil {
		return 0, err
	}
	defer unix.Close(descriptor)
	ended := make(chan struct{})
	defer close(ended)
	go forward(signals, descriptor, ended)
	arrival.follow(descriptor)
	var status unix.WaitStatus
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", command.path, err)
	}
	return exitStatus(status), nil
}

// forward passes signals on to a child until that has ended.
func forward(signals <-chan os.Signal, descriptor int, ended <-chan struct{}) {
	for {
		select {
		case received := <-signals:
			// A terminal sends its own signals to the whole group, the child included.
			if number, ok := received.(syscall.Signal); ok && number != unix.SIGINT && number != unix.SIGWINCH {
				unix.PidfdSendSignal(descriptor, number, nil, 0)
			}
		case <-ended:
			return
		}
	}
}

// exitStatus is the shell's: 128 and the signal for a process that was killed.
func exitStatus(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// arrival is a process of a container that the OCI runtime is starting: when its number is known, it is verified, once.
type arrival struct {
	pidFile string
	probe   string // directory of the probe, "" where none is given
	verify  func(pid int, pause pause) error

	events  int // inotify; -1 where there is none to be had
	arrived bool
	err     error // of the verification
}

// shortestPause is between two looks at a PID file where nothing tells that there is something to see.
const shortestPause = 2 * time.Millisecond

// watch asks to be woken when the PID file has been written, and when the program inside has written its proof, which is right before it
// becomes the container's program. Where the host has no more inotify instances to give, waiting is looking again and again.
func (a *arrival) watch() {
	var err error
	if a.events, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		a.events = -1
		return
	}
	_, err = unix.InotifyAddWatch(a.events, filepath.Dir(a.pidFile), unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_ONLYDIR)
	if err == nil && a.probe != "" {
		_, err = unix.InotifyAddWatch(a.events, filepath.Join(a.probe, inside.ProbeFile), unix.IN_CLOSE_WRITE)
	}
	if err != nil {
		a.close()
	}
}

func (a *arrival) close() {
	if a.events >= 0 {
		unix.Close(a.events)
	}
	a.events = -1
}

// follow waits until the child has ended, and verifies what it starts as soon as that is known.
func (a *arrival) follow(child int) {
	for a != nil && !a.arrived && !a.pause(child, -1) {
		a.look()
	}
	poll(-1, child)
	if a != nil {
		a.look() // the file may have been written last
	}
}

func (a *arrival) look() {
	if a.arrived {
		return
	}
	if pid := readPID(a.pidFile); pid != 0 {
		a.arrived = true
		a.err = a.verify(pid, func(process int, limit time.Duration) { a.pause(process, limit) })
	}
}

// pause waits for an event, for the end of the process or for the limit, none where it is negative, and reports whether the process has ended.
func (a *arrival) pause(process int, limit time.Duration) bool {
	if a.events < 0 && limit < 0 {
		limit = shortestPause
	}
	ended := poll(limit, process, a.events)
	var events [1024]byte
	if a.events >= 0 {
		unix.Read(a.events, events[:]) // which it was does not matter: whoever waits looks for himself
	}
	return ended
}

// poll waits until one of the descriptors can be read, and reports whether the first can. Negative ones are left out.
func poll(limit time.Duration, descriptors ...int) bool {
	list := make([]unix.PollFd, len(descriptors))
	for i, descriptor := range descriptors {
		list[i] = unix.PollFd{Fd: int32(descriptor), Events: unix.POLLIN}
	}
	timeout := -1
	if limit >= 0 {
		timeout = int(max(limit, time.Millisecond).Milliseconds())
	}
	for {
		if _, err := unix.Poll(list, timeout); !errors.Is(err, unix.EINTR) {
			return list[0].Revents != 0
		}
	}
}
