// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// installError is a filter that the kernel did not take.
type installError struct{ errno syscall.Errno }

func (e *installError) Error() string {
	if e.errno == unix.EACCES {
		return fmt.Sprintf("seccomp: installing the filter: %v (it takes no_new_privs or CAP_SYS_ADMIN)", error(e.errno))
	}
	return fmt.Sprintf("seccomp: installing the filter: %v", error(e.errno))
}

func (e *installError) Unwrap() error { return e.errno }

// execute installs the filter on this thread and starts the program, with nothing between the two. It returns only with an error: an
// *installError, or what execve answered under the filter.
func (f *Filter) execute(proof int, program string, args, environment []string) error {
	image, err := newImage(program, args, environment)
	if err != nil {
		return err
	}
	instructions := make([]unix.SockFilter, len(f.Program)/instructionSize)
	if _, err := binary.Decode(f.Program, binary.NativeEndian, instructions); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	var handed *handover
	if f.listens() {
		handed = newHandover(proof)
	}
	debug.SetGCPercent(-1)
	restoreLimit()
	if err := resetSignals(); err != nil {
		return fmt.Errorf("seccomp: signals: %w", err)
	}
	refused, failed := installAndExecute(&filter, uintptr(f.Flags), handed, image)
	if refused != 0 {
		return &installError{refused}
	}
	return failed
}

// image is what execve takes, with its pointers made before.
type image struct {
	path                   *byte
	arguments, environment **byte
}

func newImage(program string, args, environment []string) (image, error) {
	path, err := unix.BytePtrFromString(program)
	if err != nil {
		return image{}, err
	}
	arguments, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return image{}, err
	}
	variables, err := syscall.SlicePtrFromStrings(environment)
	if err != nil {
		return image{}, err
	}
	return image{path, &arguments[0], &variables[0]}, nil
}

// installAndExecute is all that happens under the filter. Nothing in it enters Go's runtime: no stack grows and no goroutine is preempted,
// since it calls only functions that are nosplit themselves, and signals, by which the runtime preempts loops, have no handlers any more.
//
//go:nosplit
func installAndExecute(filter *unix.SockFprog, flags uintptr, handed *handover, image image) (refused, failed syscall.Errno) {
	listener, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(filter)))
	if errno != 0 {
		return errno, 0
	}
	if handed != nil {
		handed.listener.Store(int32(listener))
		for !handed.taken.Load() { // without a system call, for the filter may have any of them wait for an answer
		}
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(image.path)), uintptr(unsafe.Pointer(image.arguments)), uintptr(unsafe.Pointer(image.environment)))
	return 0, errno
}

// restoreLimit gives back the soft limit of open files, which Go raises when it starts. Go remembers what it was in syscall.Exec alone, which
// sets it before it calls execve: one that cannot succeed.
func restoreLimit() {
	syscall.Exec("", nil, nil)
}

// resetSignals gives every signal that Go catches its default action, as execve does: a signal that comes under the filter, such as the SIGURG
// by which Go's runtime preempts a thread, must not run a handler, which would have to return by a system call.
func resetSignals() error {
	type action struct {
		handler     uintptr
		flags       uint64
		restorer    uintptr
		mask, spare uint64
	}
	const lastSignal, setSize = 64, 8
	for number := uintptr(1); number <= lastSignal; number++ {
		var now, standard action
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, 0, uintptr(unsafe.Pointer(&now)), setSize, 0, 0); errno != 0 {
			return errno
		}
		const byDefault, ignored = 0, 1 // SIG_DFL, SIG_IGN
		if now.handler == byDefault || now.handler == ignored {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&standard)), 0, setSize, 0, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// handover tells the host of the listener from a thread without the filter, while the one that has it waits without a system call.
type handover struct {
	listener atomic.Int32 // -1 until the filter is there
	taken    atomic.Bool
}

// HandoverLimit is how long the host may take to fetch the listener's descriptor.
const HandoverLimit = 60 * time.Second

func newHandover(proof int) *handover {
	// The waiting thread keeps its place among those that run Go: there has to be another.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	handed := &handover{}
	handed.listener.Store(-1)
	running := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(running)
		if err := handed.tell(proof); err != nil {
			fmt.Fprintln(os.Stderr, "bulkhead: error: seccomp: the listener:", err)
			unix.Exit(ExitUnheld)
		}
	}()
	<-running
	return handed
}

// tell writes the listener's number into the file and waits until the host has answered there.
func (h *handover) tell(proof int) error {
	const pause = 200 * time.Microsecond
	for h.listener.Load() < 0 {
		sleep(pause)
	}
	if _, err := unix.Write(proof, fmt.Appendf(nil, "%s%d\n", listenerWord, h.listener.Load())); err != nil {
		return err
	}
	content := make([]byte, 256)
	for deadline := time.Now().Add(HandoverLimit); time.Now().Before(deadline); sleep(pause) {
		read, err := unix.Pread(proof, content, 0)
		if err != nil {
			return err
		}
		if taken(content[:read]) {
			h.taken.Store(true)
			return nil
		}
	}
	return fmt.Errorf("nobody took it within %s", HandoverLimit)
}

// sleep suspends the thread, without Go's timers: those run on whichever thread is free.
func sleep(duration time.Duration) {
	pause := unix.NsecToTimespec(int64(duration))
	unix.Nanosleep(&pause, nil)
}
