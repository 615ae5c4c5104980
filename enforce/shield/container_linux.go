// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/shield/fuse"
)

// Placeholder is the source of the empty file system that a container's configuration mounts where a volume will be: it has the OCI runtime make the directory, and
// shows that a mount has the place that was meant.
const Placeholder = "bulkhead-shield"

// Container is one that was created and whose own program does not run yet.
type Container struct {
	PID    int    // of its first process
	Target string // absolute in the container; a Placeholder is mounted there
	Label  string // SELinux label for the files; "" without SELinux
}

// MountIn mounts a volume in a container's mount namespace and nowhere else. The process ends when the last process of that namespace has.
func MountIn(volume Volume, container Container) (*Process, error) {
	volume.Log = true
	own, err := ownUserNamespace(container.PID)
	if err != nil {
		return nil, err
	}
	if own {
		return nil, &plan.UnavailableError{Layer: "shield", Reason: "the container has a user namespace of its own, whose users no mount made outside of it knows",
			Hint: "leave the user namespace out, or run the whole of bulkhead in it"}
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", container.PID))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	options := fuse.Options{Source: FileSystemSource, Context: container.Label, ReadOnly: volume.Setup.ReadOnly}
	// Looked at from within the container, /proc would be the container's.
	proc, err := os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	return serve(volume, options, func(mount *os.File) error {
		return within(namespace, func() error { return container.attach(mount, proc) })
	})
}

// FileSystemSource is what a container sees as the source of the mount: the host's path is none of its business.
const FileSystemSource = "shield"

// ownUserNamespace reports whether a process is in another user namespace than this one.
func ownUserNamespace(pid int) (bool, error) {
	var ours, theirs unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &ours); err != nil {
		return false, err
	}
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/user", pid), &theirs); err != nil {
		return false, fmt.Errorf("process %d: %w", pid, err)
	}
	return ours.Dev != theirs.Dev || ours.Ino != theirs.Ino, nil
}

// within calls a function on a thread that is in a mount namespace, at its root. The thread ends with it.
func within(namespace *os.File, call func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS)
		}
		if err != nil {
			err = fmt.Errorf("the container's mount namespace: %w", err)
		} else {
			err = call()
		}
		result <- err
	}()
	return <-result
}

// attach puts the mount onto the placeholder at the target.
func (c Container) attach(mount, proc *os.File) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	descriptor, err := unix.Openat2(unix.AT_FDCWD, c.Target, &how) // the thread's directory is the root
	if err != nil {
		return fmt.Errorf("%s in the container: %w", c.Target, err)
	}
	place := os.NewFile(uintptr(descriptor), c.Target)
	defer place.Close()
	id, err := mountID(proc, descriptor)
	if err != nil {
		return err
	}
	table, err := readAt(proc, fmt.Sprintf("%d/mountinfo", c.PID))
	if err != nil {
		return err
	}
	if err := checkPlaceholder(table, id); err != nil {
		return fmt.Errorf("%s in the container: %w", c.Target, err)
	}
	return fuse.Attach(mount, place)
}

// checkPlaceholder makes sure that a mount, by its number in mountinfo, is a whole placeholder, and that what is mounted on it will not appear in other namespaces.
func checkPlaceholder(mountinfo, id string) error {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		place, about := strings.Fields(before), strings.Fields(after)
		if len(place) < 6 || len(about) < 2 || place[0] != id {
			continue
		}
		if about[1] != Placeholder || place[3] != "/" {
			break
		}
		if strings.Contains(before, " shared:") {
			return errors.New("its mounts are shared with other namespaces")
		}
		return nil
	}
	return errors.New("not the directory where the volume was to be mounted")
}

// mountID is the number of the mount that an open file is in, as in mountinfo.
func mountID(proc *os.File, descriptor int) (string, error) {
	info, err := readAt(proc, fmt.Sprintf("self/fdinfo/%d", descriptor))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if id, found := strings.CutPrefix(line, "mnt_id:"); found {
			return strings.TrimSpace(id), nil
		}
	}
	return "", fmt.Errorf("descriptor %d has no mnt_id", descriptor)
}

func readAt(directory *os.File, path string) (string, error) {
	descriptor, err := unix.Openat(int(directory.Fd()), path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s/%s: %w", directory.Name(), path, err)
	}
	file := os.NewFile(uintptr(descriptor), path)
	defer file.Close()
	text, err := io.ReadAll(file)
	return string(text), err
}
