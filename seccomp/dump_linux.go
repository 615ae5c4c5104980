// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// maximumFilters bounds the filters of one process: the kernel lets them have 32,768 instructions together, and counts 4 more for each.
const maximumFilters = 32768 / 5

// Dump reads the filters of a running process from the kernel, the one installed first first. (ptrace(2) has it the other way round.) It takes CAP_SYS_ADMIN, no filter on the caller itself, and a kernel
// with CONFIG_CHECKPOINT_RESTORE; the process is stopped for as long as it takes.
func Dump(pid int) ([][]bpf.Instruction, error) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := seizeAndStop(pid); err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.PtraceDetach(pid)
	var filters [][]bpf.Instruction
	for index := range maximumFilters {
		program, err := filterAt(pid, index)
		switch {
		case errors.Is(err, unix.ENOENT):
			return filters, nil
		case errors.Is(err, unix.EINVAL):
			return nil, fmt.Errorf("process %d has no filters", pid)
		case errors.Is(err, unix.EACCES):
			return nil, fmt.Errorf("the filters of process %d: %w (CAP_SYS_ADMIN is needed, and no filter on this process itself)", pid, err)
		case err != nil:
			return nil, fmt.Errorf("filter %d of process %d: %w", index, pid, err)
		}
		filters = append(filters, program)
	}
	return filters, nil
}

func seizeAndStop(pid int) error {
	if err := unix.PtraceSeize(pid); err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	if err := unix.PtraceInterrupt(pid); err != nil {
		return errors.Join(fmt.Errorf("ptrace: %w", err), unix.PtraceDetach(pid))
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err == nil && status.Exited() {
			return unix.ESRCH
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// filterAt reads one filter by PTRACE_SECCOMP_GET_FILTER, which gives the number of instructions and copies them.
func filterAt(pid, index int) ([]bpf.Instruction, error) {
	count, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), uintptr(index), 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	program := make([]bpf.Instruction, count)
	if count == 0 || count > bpf.Length {
		return nil, fmt.Errorf("the kernel tells of %d instructions", count)
	}
	_, _, errno = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), uintptr(index), uintptr(unsafe.Pointer(&program[0])), 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return program, nil // struct sock_filter is laid out as Instruction is
}
