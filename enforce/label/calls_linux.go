// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls that are made for each file take names as the kernel gave them, ending with a zero byte, so that none allocates.

// attributeText is Attribute as the kernel takes it.
var attributeText = [...]byte{'s', 'e', 'c', 'u', 'r', 'i', 't', 'y', '.', 's', 'e', 'l', 'i', 'n', 'u', 'x', 0}

// labelRoom is how much a buffer for labels holds. A longer label, of up to 64 KiB, is read a second time.
const labelRoom = 256

func statx(directory int, name []byte, into *unix.Statx_t) error {
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(directory), uintptr(unsafe.Pointer(unsafe.SliceData(name))), flags,
		unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, uintptr(unsafe.Pointer(into)), 0)
	return asError(errno)
}

func statxDescriptor(descriptor int, into *unix.Statx_t) error {
	const flags = unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT
	return unix.Statx(descriptor, "", flags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, into)
}

func asError(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// attributeArguments is struct xattr_args, see include/uapi/linux/xattr.h.
type attributeArguments struct {
	value uint64
	size  uint32
	flags uint32
}

// getxattrat reads a label by a name in a directory, without following a symbolic link. Linux has it since 6.13.
func getxattrat(directory int, name []byte, buffer []byte) (int, error) {
	arguments := &attributeArguments{value: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buffer)))), size: uint32(len(buffer))}
	size, _, errno := unix.Syscall6(unix.SYS_GETXATTRAT, uintptr(directory), uintptr(unsafe.Pointer(unsafe.SliceData(name))), unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(&attributeText)), uintptr(unsafe.Pointer(arguments)), unsafe.Sizeof(*arguments))
	runtime.KeepAlive(buffer)
	return int(size), asError(errno)
}

// hasGetxattrat asks the kernel, and what filters its calls, in a way that opens nothing.
func hasGetxattrat() bool {
	_, err := getxattrat(-1, []byte{'.', 0}, nil)
	return errors.Is(err, unix.EBADF)
}

func fgetxattr(descriptor int, buffer []byte) (int, error) {
	size, _, errno := unix.Syscall6(unix.SYS_FGETXATTR, uintptr(descriptor), uintptr(unsafe.Pointer(&attributeText)),
		uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), 0, 0)
	return int(size), asError(errno)
}

func fsetxattr(descriptor int, value []byte) error {
	_, _, errno := unix.Syscall6(unix.SYS_FSETXATTR, uintptr(descriptor), uintptr(unsafe.Pointer(&attributeText)),
		uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), 0, 0)
	return asError(errno)
}

// openName is openat2 of one name in a directory.
func openName(directory int, name []byte, flags int, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags) | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolve}
	descriptor, _, errno := unix.Syscall6(unix.SYS_OPENAT2, uintptr(directory), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
		uintptr(unsafe.Pointer(how)), unsafe.Sizeof(*how), 0, 0)
	return int(descriptor), asError(errno)
}

// directoryEntry is a name that getdents64 returned.
type directoryEntry struct {
	inode uint64
	kind  byte   // unix.DT_*
	name  []byte // with a zero byte at the end, in the buffer that was read into
}

// nextEntry takes the first entry off what getdents64 returned, see struct linux_dirent64. "." and ".." are passed over.
func nextEntry(text []byte) (found directoryEntry, rest []byte, ok bool) {
	const place = 19 // of the name
	for len(text) > place {
		size := int(*(*uint16)(unsafe.Pointer(&text[16])))
		if size <= place || size > len(text) {
			return found, nil, false
		}
		name := text[place:size]
		end := 0
		for end < len(name)-1 && name[end] != 0 {
			end++
		}
		found = directoryEntry{*(*uint64)(unsafe.Pointer(&text[0])), text[18], name[: end+1 : end+1]}
		text = text[size:]
		if !(end == 1 && name[0] == '.' || end == 2 && name[0] == '.' && name[1] == '.') {
			return found, text, true
		}
	}
	return found, nil, false
}

// handle is the path by which calls that take no O_PATH descriptor reach what it names, a symbolic link itself included.
func handle(descriptor int) string { return "/proc/self/fd/" + strconv.Itoa(descriptor) }

// pinned is an open file, which stays the same whatever its name leads to.
type pinned struct {
	descriptor int
	onlyPath   bool // O_PATH
}

func (p pinned) get(buffer []byte) (int, error) {
	if p.onlyPath {
		return unix.Getxattr(handle(p.descriptor), Attribute, buffer)
	}
	return fgetxattr(p.descriptor, buffer)
}

// label returns nil for a file without one. What is returned may lie in buffer.
func (p pinned) label(buffer []byte) ([]byte, error) { return readLabel(p.get, buffer) }

func (p pinned) setLabel(value []byte) error {
	if p.onlyPath {
		return unix.Setxattr(handle(p.descriptor), Attribute, value, 0)
	}
	return fsetxattr(p.descriptor, value)
}

func (p pinned) removeLabel() error {
	if p.onlyPath {
		return unix.Removexattr(handle(p.descriptor), Attribute)
	}
	return unix.Fremovexattr(p.descriptor, Attribute)
}

// readLabel returns nil for a file without a label. What is returned may lie in buffer.
func readLabel(get func(into []byte) (int, error), buffer []byte) ([]byte, error) {
	size, err := get(buffer)
	if errors.Is(err, unix.ERANGE) {
		buffer = make([]byte, maximumLabel)
		size, err = get(buffer)
	}
	if errors.Is(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return buffer[:size:size], nil
}

// maximumLabel is XATTR_SIZE_MAX.
const maximumLabel = 1 << 16

// labelOf reads the label of a file by its name in a directory.
func (t *tree) labelOf(directory int, name, buffer []byte) ([]byte, error) {
	return readLabel(func(into []byte) (int, error) {
		if t.byName {
			return getxattrat(directory, name, into)
		}
		return unix.Lgetxattr(handle(directory)+"/"+strings.TrimSuffix(string(name), "\x00"), Attribute, into)
	}, buffer)
}
