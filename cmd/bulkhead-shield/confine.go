// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/landlock"
	"github.com/bulkhead-project/bulkhead/shield/process"
)

// harden keeps the memory of this process from everybody else, before there is anything in it: no core dump, no ptrace or /proc/PID/mem by processes of the same
// user, no swap device where its limit of locked memory can be lifted. locked says whether it could.
func harden() (locked bool, err error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return false, fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return false, fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	name, _ := unix.BytePtrFromString("bulkhead-shield")
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil {
		return false, fmt.Errorf("PR_SET_NAME: %w", err)
	}
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited) != nil {
		return false, nil // an ordinary user's: later mappings would fail at the limit
	}
	const onFault = 4 // MCL_ONFAULT: what is reserved and never used is not locked
	return unix.Mlockall(unix.MCL_CURRENT|unix.MCL_FUTURE|onFault) == nil, nil
}

// confine takes from all threads of this process what it does not need to serve: see the package comment.
func confine(setup process.Setup) error {
	if err := onAllThreads("PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	if setup.Landlock > 0 {
		if err := landlock.RestrictProcess(setup.Landlock); err != nil {
			return err
		}
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	return filter(setup.Filter)
}

func onAllThreads(what string, number, first, second, third uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(number, first, second, third); errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// dropCapabilities empties all sets of capabilities; with no_new_privs, none comes back.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := onAllThreads("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0); err != nil {
		return err
	}
	runtime.KeepAlive(&none)
	return onAllThreads("PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

// filter installs the seccomp filter on all threads.
func filter(program []byte) error {
	const instruction = 8 // bytes of struct sock_filter
	if len(program) == 0 || len(program)%instruction != 0 {
		return fmt.Errorf("seccomp: a filter of %d bytes", len(program))
	}
	description := unix.SockFprog{Len: uint16(len(program) / instruction), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&description)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
