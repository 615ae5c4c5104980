// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package kernel

import (
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// trap is what SIGSYS tells of a call, siginfo_t of x86_64.
type trap struct {
	Signal, Errno, Code, _ int32
	Address                uint64
	Call, Arch             uint32
	_                      [96]byte
}

// tracer attaches to one thread. All its methods have to run on the thread that made it.
type tracer struct {
	thread int
	trap   *trap  // of the SIGSYS that it has seen, and withheld
	data   uint64 // of the SECCOMP_RET_TRACE that it has seen
	calls  int    // of those
}

func attach(t *testing.T, thread int) *tracer {
	t.Helper()
	if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(thread), 0, unix.PTRACE_O_TRACESECCOMP, 0, 0); errno != 0 {
		t.Fatalf("seize thread %d: %v", thread, errno)
	}
	return &tracer{thread: thread}
}

// follow continues the thread until it has ended, and has change see the registers of a call that the filter hands to the tracer.
func (tr *tracer) follow(change func(*unix.PtraceRegs)) error {
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(tr.thread, &status, unix.WALL, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			return nil
		}
		signal := int(status.StopSignal())
		switch event := status >> 16; {
		case event == unix.PTRACE_EVENT_SECCOMP:
			signal = 0
			if err := tr.seccomp(change); err != nil {
				return err
			}
		case event != 0:
			signal = 0
		case signal == int(unix.SIGSYS):
			signal, tr.trap = 0, &trap{}
			if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GETSIGINFO, uintptr(tr.thread), 0, uintptr(unsafe.Pointer(tr.trap)), 0, 0); errno != 0 {
				return fmt.Errorf("siginfo: %w", errno)
			}
		}
		if err := unix.PtraceCont(tr.thread, signal); err == unix.ESRCH {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (tr *tracer) seccomp(change func(*unix.PtraceRegs)) error {
	data, err := unix.PtraceGetEventMsg(tr.thread)
	if err != nil {
		return err
	}
	tr.data = uint64(data)
	tr.calls++
	var registers unix.PtraceRegs
	if err := unix.PtraceGetRegs(tr.thread, &registers); err != nil {
		return err
	}
	change(&registers)
	return unix.PtraceSetRegs(tr.thread, &registers)
}
