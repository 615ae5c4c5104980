// SPDX-License-Identifier: Apache-2.0

package landlock

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights that a domain of a process of our own denies besides those of Ruleset: LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP, of ABI 4.
const networkTCP = 1<<0 | 1<<1

// RestrictProcess puts all threads of this process into a domain in which no file can be opened, made, renamed or removed, no TCP socket bound or connected, and nobody
// outside be signalled, as far as the kernel's ABI goes. What is open stays open. All threads need no_new_privs. It cannot be undone, and is not for programs
// that use cgo.
func RestrictProcess(abi int) error {
	const all = File | ReadDir | RemoveDir | RemoveFile | MakeChar | MakeDir | MakeRegular | MakeSocket | MakeFIFO | MakeBlock | MakeSymlink | Refer
	attr := struct{ fs, net, scoped uint64 }{fs: uint64(handledBy(abi, all))}
	size := unsafe.Sizeof(attr.fs)
	if abi >= 4 {
		attr.net, size = networkTCP, size+unsafe.Sizeof(attr.net)
	}
	if abi >= 6 {
		attr.scoped, size = uint64(ScopeAbstractSocket|ScopeSignal), unsafe.Sizeof(attr)
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: landlock_create_ruleset: %w", errno)
	}
	defer unix.Close(int(ruleset))
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: landlock_restrict_self: %w", errno)
	}
	return nil
}

// handledBy leaves the rights that an ABI knows.
func handledBy(abi int, access AccessFS) AccessFS {
	if abi < 2 {
		access &^= Refer
	}
	if abi < 3 {
		access &^= Truncate
	}
	if abi < 5 {
		access &^= IoctlDev
	}
	return access
}
