// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// FileSystem is the subtype that mounts have: fuse.bulkhead in /proc/mounts.
const FileSystem = "bulkhead"

// Options of a mount.
type Options struct {
	Source   string // first field in /proc/mounts
	Context  string // SELinux label of everything in it; "" leaves that to the policy
	ReadOnly bool
}

// Mount makes a file system that is mounted nowhere yet, in the user namespace of the calling thread: attach puts it into the tree. It is gone when
// mount is closed before that. Requests wait until a server answers on device; when device is closed, they fail with ENOTCONN.
func Mount(options Options) (device, mount *os.File, err error) {
	// The kernel wants the device opened in the user namespace that mounts it.
	device, err = os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("FUSE: %w (modprobe fuse?)", err)
	}
	defer func() {
		if err != nil {
			device.Close()
		}
	}()
	context, err := unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("fsopen fuse: %w", err)
	}
	defer unix.Close(context)
	settings := [][2]string{{"source", options.Source}, {"subtype", FileSystem}, {"fd", strconv.Itoa(int(device.Fd()))}, {"rootmode", "40000"},
		{"user_id", strconv.Itoa(os.Geteuid())}, {"group_id", strconv.Itoa(os.Getegid())}, {"max_read", strconv.Itoa(transfer)}}
	if options.Context != "" {
		settings = append(settings, [2]string{"context", options.Context})
	}
	for _, setting := range settings {
		if err := unix.FsconfigSetString(context, setting[0], setting[1]); err != nil {
			return nil, nil, fmt.Errorf("fsconfig fuse %s=%s: %w%s", setting[0], setting[1], err, reasons(context))
		}
	}
	for _, flag := range []string{"default_permissions", "allow_other"} {
		if err := unix.FsconfigSetFlag(context, flag); err != nil {
			return nil, nil, fmt.Errorf("fsconfig fuse %s: %w%s", flag, err, reasons(context))
		}
	}
	if options.ReadOnly {
		if err := unix.FsconfigSetFlag(context, "ro"); err != nil {
			return nil, nil, fmt.Errorf("fsconfig fuse ro: %w%s", err, reasons(context))
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, nil, fmt.Errorf("fsconfig fuse: %w%s", err, reasons(context))
	}
	attributes := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	if options.ReadOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	descriptor, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, nil, fmt.Errorf("fsmount fuse: %w%s", err, reasons(context))
	}
	return device, os.NewFile(uintptr(descriptor), "mount"), nil
}

// reasons reads what the kernel logs about a file system that it is told to make.
func reasons(context int) (text string) {
	var line [512]byte
	for {
		count, err := unix.Read(context, line[:])
		if err != nil || count <= 0 {
			return text
		}
		text += ": " + string(line[:count])
	}
}

// Attach puts a mount that Mount made onto a directory, which is open.
func Attach(mount, directory *os.File) error {
	err := unix.MoveMount(int(mount.Fd()), "", int(directory.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("move_mount onto %s: %w", directory.Name(), err)
	}
	return nil
}

// detachDescriptor takes the descriptor out of a file, in blocking mode: go-fuse reads it from threads of its own.
func detachDescriptor(file *os.File) (int, error) {
	descriptor, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(descriptor, false)
	}
	return descriptor, errors.Join(err, file.Close())
}
