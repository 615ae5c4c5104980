// SPDX-License-Identifier: Apache-2.0

package landlock

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flags of landlock_restrict_self(2), ABI 7. The program to be confined is started by the next execve, and its denials are the ones worth a record.
const logNewExecOn = 1 << 1

// Restrict puts the calling thread, which must be locked to it (runtime.LockOSThread) and about to call execve, into the domain. The
// thread needs no_new_privs or CAP_SYS_ADMIN in its user namespace. It cannot be undone.
//
// Standard input, output and error may be reopened (/dev/stdout) in the mode in which they are open, where they are files of the host: a
// rule for each file itself, never for a directory.
func (r Ruleset) Restrict() error {
	if r.ABI < MinimumABI {
		return fmt.Errorf("landlock: ruleset for ABI %d, which cannot hold a container", r.ABI)
	}
	ruleset, err := r.create()
	if err != nil {
		return err
	}
	defer unix.Close(ruleset)
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("landlock: open /: %w", err)
	}
	defer unix.Close(root)
	if err := addPath(ruleset, root, r.Handled); err != nil {
		return fmt.Errorf("landlock: rule for /: %w", err)
	}
	for descriptor := range 3 {
		if err := addOpenFile(ruleset, descriptor, r.Handled); err != nil {
			return fmt.Errorf("landlock: rule for descriptor %d: %w", descriptor, err)
		}
	}
	var flags uintptr
	if r.ABI >= 7 {
		flags = logNewExecOn
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), flags, 0); errno != 0 {
		return fmt.Errorf("landlock: landlock_restrict_self: %w", errno)
	}
	return nil
}

func (r Ruleset) create() (int, error) {
	attr := struct{ fs, net, scoped uint64 }{fs: uint64(r.Handled), scoped: uint64(r.Scoped)}
	size := unsafe.Sizeof(attr)
	if r.ABI < 6 { // older kernels know a shorter structure, and refuse what follows it unless it is zero
		size = unsafe.Sizeof(attr.fs)
	}
	descriptor, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	switch errno {
	case 0:
		return int(descriptor), nil
	case unix.EPERM, unix.ENOSYS:
		return -1, fmt.Errorf("landlock: landlock_create_ruleset: %w (does the container's seccomp filter deny it?)", errno)
	default:
		return -1, fmt.Errorf("landlock: landlock_create_ruleset: %w", errno)
	}
}

func addPath(ruleset, descriptor int, access AccessFS) error {
	const pathBeneath = 1 // LANDLOCK_RULE_PATH_BENEATH
	// struct landlock_path_beneath_attr is packed: 8 + 4 bytes, which the first 12 of this one are.
	attr := struct {
		access uint64
		parent int32
	}{uint64(access), int32(descriptor)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), pathBeneath, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// addOpenFile allows a file that is open already to be opened again in the same mode.
func addOpenFile(ruleset, descriptor int, handled AccessFS) error {
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		if errors.Is(err, unix.EBADF) {
			return nil // closed: nothing to reopen
		}
		return err
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFCHR {
		return nil // pipes and sockets lie in file systems of the kernel's own, which Landlock leaves alone; directories are never given
	}
	flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags&unix.O_PATH != 0 {
		return nil // not open for anything
	}
	access := map[int]AccessFS{
		unix.O_RDONLY: ReadFile | IoctlDev,
		unix.O_WRONLY: WriteFile | Truncate | IoctlDev,
		unix.O_RDWR:   ReadFile | WriteFile | Truncate | IoctlDev,
	}[flags&unix.O_ACCMODE]
	err = addPath(ruleset, descriptor, access&handled)
	if errors.Is(err, unix.EBADFD) {
		return nil // a file of a kernel-internal file system (memfd): not mediated
	}
	return err
}
