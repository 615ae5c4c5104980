// SPDX-License-Identifier: Apache-2.0

// Package entry calls the kernel by each way that a process of x86_64 has: as one of 64 bits, by int 0x80 as one of 32, and as x32. It
// loads filters onto the calling thread, as raw calls.
package entry

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// Native enters as 64 bits do. A result from -4095 to -1 is a negative errno.
func Native(number uint64, args [6]uint64) int64 {
	result, _, errno := syscall.RawSyscall6(uintptr(number), uintptr(args[0]), uintptr(args[1]), uintptr(args[2]), uintptr(args[3]), uintptr(args[4]), uintptr(args[5]))
	if errno != 0 {
		return -int64(errno)
	}
	return int64(result)
}

// X32 enters as x32 does.
func X32(number uint64, args [6]uint64) int64 { return Native(number|0x40000000, args) }

// Compat enters as i386 does, by int 0x80: the kernel executes the lower halves of the registers, and shows all of them to a filter.
func Compat(number uint64, args [6]uint64) int64 {
	return int64(compat(number, args[0], args[1], args[2], args[3], args[4], args[5]))
}

//go:noescape
func compat(number, a, b, c, d, e, f uint64) int32

// Load sets no_new_privs, which the kernel asks of those without CAP_SYS_ADMIN, and installs a program.
func Load(program []bpf.Instruction, flags uint64) (int, error) {
	raw, err := Raw(program)
	if err != nil {
		return -1, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("no_new_privs: %w", err)
	}
	return Install(raw, flags)
}

// Raw is the program as the kernel takes it.
func Raw(program []bpf.Instruction) ([]unix.SockFilter, error) {
	if len(program) == 0 || len(program) > bpf.Length {
		return nil, fmt.Errorf("a program of %d instructions", len(program))
	}
	raw := make([]unix.SockFilter, len(program))
	for i, instruction := range program {
		raw[i] = unix.SockFilter{Code: instruction.Code, Jt: instruction.True, Jf: instruction.False, K: instruction.K}
	}
	return raw, nil
}

// Install installs a program on the calling thread, or on all with unix.SECCOMP_FILTER_FLAG_TSYNC, and returns what seccomp(2) does: with
// unix.SECCOMP_FILTER_FLAG_NEW_LISTENER a descriptor.
func Install(raw []unix.SockFilter, flags uint64) (int, error) {
	filter := unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}
	fd, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return -1, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}
