// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is the OCI runtime as a process to be started.
//
// It is not os/exec's: this process lives for as long as its child does and has nothing to do meanwhile, so that it waits in one poll(2) of one
// thread. Goroutines and timers that wait keep Go's scheduler looking for work, which cost more CPU than all else that is done here.
type child struct {
	path        string
	args        []string         // after the path
	environment []string         // nil: this process's
	signals     <-chan os.Signal // to be passed on; nil: those of this process while the child runs
	files       []*os.File       // its descriptors from 0 on; nil is /dev/null
	slack       int              // its timer slack in ns; 0: that of the thread that starts it
}

// start starts the child, and returns a descriptor of it. The kernel kills it when the thread that started it ends. That is when this process
// does: Go ends a thread only together with a goroutine that was locked to it.
func (c child) start() (pid, descriptor int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer null.Close()
	if c.slack != 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(c.slack), 0, 0, 0); err != nil {
			return 0, 0, fmt.Errorf("timer slack: %w", err)
		}
	}
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

// Signals catches the signals that an OCI runtime is to have.
func Signals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGINT)
	return signals
}

// supervise runs the OCI runtime, which dies with this process, passes signals on to it and has what it starts verified; arrival may be nil.
func supervise(command child, arrival *arrival) (int, error) {
	signals := command.signals
	if signals == nil {
		caught := Signals()
		defer signal.Stop(caught)
		signals = caught
	}
	pid, descriptor, err := command.start()
	if err != nil {
		return 0, err
	}
	defer unix.Close(descriptor)
	over := make(chan struct{})
	defer close(over)
	go forward(signals, descriptor, over)
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
func forward(signals <-chan os.Signal, descriptor int, over <-chan struct{}) {
	for {
		select {
		case received := <-signals:
			// A terminal sends its own signals to the whole group, the child included.
			if number, ok := received.(syscall.Signal); ok && number != unix.SIGINT {
				unix.PidfdSendSignal(descriptor, number, nil, 0)
			}
		case <-over:
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
	verify  func(pid int) error

	arrived bool
	err     error // of the verification
}

// arrivalPause is between two looks at a PID file. Each costs 0.1 ms of CPU time, most of it Go's scheduler's. inotify would need one look only, but
// its end waits for the kernel for longer than all of them take.
const arrivalPause = 10 * time.Millisecond

// follow waits until the child has ended, and verifies what it starts as soon as that is known.
func (a *arrival) follow(child int) {
	for a != nil && !a.arrived && !ended(child, arrivalPause) {
		a.look()
	}
	ended(child, -1)
	if a != nil {
		a.look() // the file may have been written last
	}
}

func (a *arrival) look() {
	if a.arrived {
		return
	}
	if pid := readPID(a.pidFile); pid != 0 {
		a.arrived, a.err = true, a.verify(pid)
	}
}

// outcome is what came of a process that was to be started. One that failed without a process never got that far; one that ran and whose
// process the OCI runtime did not name could not be looked at.
func (a *arrival) outcome(status int) (int, error) {
	if a.arrived || status != 0 {
		return status, a.err
	}
	return 0, errNoProcess
}

// ended waits until a process has ended, at most for the limit where that is not negative, and reports whether it has.
func ended(process int, limit time.Duration) bool {
	list, timeout := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, -1
	if limit >= 0 {
		timeout = int(limit.Milliseconds())
	}
	for {
		if count, err := unix.Poll(list, timeout); !errors.Is(err, unix.EINTR) {
			return count > 0
		}
	}
}
