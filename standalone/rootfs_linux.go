// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Overlay is the root file system of one container: read-only layers, or a directory given by --rootfs, and a layer of its own on top.
// No lower directory is ever changed.
type Overlay struct {
	Lower   []string // directories, highest first
	State   string   // directory of the container's own, which will hold upper, work and merged
	Context string   // SELinux context of every file in it, by the mount option; "" for none
}

// Merged is where Mount puts the file system.
func (o Overlay) Merged() string { return filepath.Join(o.State, "merged") }

// Mount makes the directories in State and mounts the file system at Merged. The changes of an earlier mount are still there. After an
// error nothing is mounted.
//
// Every directory is named to the kernel through a descriptor, /proc/self/fd/N. That needs no escaping of ':', ',' and '\' (whose rules
// differ between kernels), leaves room for some 200 layers in the one page that mount(2) takes, and nothing can be swapped in between.
// (mountinfo shows these names too; the record of a container has the paths.)
// Longer lists go layer by layer through fsconfig(2), for which overlayfs needs Linux 6.7.
func (o Overlay) Mount() error {
	if len(o.Lower) == 0 {
		return errors.New("overlay: no lower directory")
	}
	if err := o.makeDirectories(); err != nil {
		return err
	}
	var open openDirectories
	defer open.close()
	options, err := o.options(&open)
	if err != nil {
		return err
	}
	if text := options.text(); len(text) < os.Getpagesize() {
		err = unix.Mount("overlay", o.Merged(), "overlay", 0, text)
	} else {
		err = options.mountBySteps(o.Merged())
	}
	if err != nil {
		return o.explain(err)
	}
	return nil
}

// makeDirectories gives a new upper, and by it the container's root, the owner and mode of the highest layer's root.
func (o Overlay) makeDirectories() error {
	for _, name := range []string{"work", "merged"} {
		if err := os.MkdirAll(filepath.Join(o.State, name), 0o700); err != nil {
			return err
		}
	}
	upper := filepath.Join(o.State, "upper")
	if err := os.Mkdir(upper, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	var root unix.Stat_t
	if err := unix.Stat(o.Lower[0], &root); err != nil {
		return &os.PathError{Op: "stat", Path: o.Lower[0], Err: err}
	}
	if err := os.Chown(upper, int(root.Uid), int(root.Gid)); err != nil {
		return err
	}
	return os.Chmod(upper, os.FileMode(root.Mode&0o777)|stickyBit(root.Mode))
}

func stickyBit(mode uint32) os.FileMode {
	if mode&unix.S_ISVTX != 0 {
		return os.ModeSticky
	}
	return 0
}

// explain adds what the kernel's EINVAL leaves out.
func (o Overlay) explain(cause error) error {
	failure := &os.PathError{Op: "mount overlay at", Path: o.Merged(), Err: cause}
	var system unix.Statfs_t
	if err := unix.Statfs(o.State, &system); err == nil && system.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%w: %s is itself on overlayfs, which cannot hold a container's changes; keep the state on a disk file system or tmpfs",
			failure, o.State)
	}
	switch {
	case errors.Is(cause, unix.ENODEV):
		return fmt.Errorf("%w: this kernel has no overlayfs", failure)
	case errors.Is(cause, unix.ELOOP):
		return fmt.Errorf("%w: a lower directory lies inside the changes kept in %s", failure, o.State)
	case errors.Is(cause, unix.EINVAL) && len(o.Lower) > 200:
		return fmt.Errorf("%w: %d layers need Linux 6.7", failure, len(o.Lower))
	case errors.Is(cause, unix.EINVAL):
		return fmt.Errorf("%w: the file system of %s must have extended attributes and file types in directories; the kernel log says which is missing",
			failure, o.State)
	}
	return failure
}

func (o Overlay) options(open *openDirectories) (overlayOptions, error) {
	var options overlayOptions
	var err error
	for _, lower := range o.Lower {
		place, err := open.add(lower)
		if err != nil {
			return options, err
		}
		options.lower = append(options.lower, place)
	}
	if options.upper, err = open.add(filepath.Join(o.State, "upper")); err != nil {
		return options, err
	}
	if options.work, err = open.add(filepath.Join(o.State, "work")); err != nil {
		return options, err
	}
	if strings.ContainsAny(o.Context, "\"\x00") {
		return options, fmt.Errorf("overlay: context %q holds a quote or zero byte", o.Context)
	}
	options.context = o.Context
	return options, nil
}

// openDirectories holds the descriptors that the options name.
type openDirectories []int

func (d *openDirectories) add(path string) (string, error) {
	descriptor, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	*d = append(*d, descriptor)
	return fmt.Sprintf("/proc/self/fd/%d", descriptor), nil
}

func (d *openDirectories) close() {
	for _, descriptor := range *d {
		unix.Close(descriptor)
	}
}

// overlayOptions are paths through descriptors, and the SELinux context.
type overlayOptions struct {
	lower       []string // highest first
	upper, work string
	context     string
}

// fixed options: nothing that a layer's extended attributes say may redirect a lookup, and the same layers serve many containers.
func (overlayOptions) fixed() [][2]string {
	return [][2]string{{"index", "off"}, {"redirect_dir", "nofollow"}, {"metacopy", "off"}}
}

// text is the data of mount(2). A context is quoted there since its categories are separated by commas.
func (o overlayOptions) text() string {
	items := []string{"lowerdir=" + strings.Join(o.lower, ":"), "upperdir=" + o.upper, "workdir=" + o.work}
	for _, option := range o.fixed() {
		items = append(items, option[0]+"="+option[1])
	}
	if o.context != "" {
		items = append(items, `context="`+o.context+`"`)
	}
	return strings.Join(items, ",")
}

func (o overlayOptions) mountBySteps(target string) error {
	system, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(system)
	steps := append([][2]string{{"source", "overlay"}}, o.fixed()...)
	for _, lower := range o.lower {
		steps = append(steps, [2]string{"lowerdir+", lower})
	}
	steps = append(steps, [2]string{"upperdir", o.upper}, [2]string{"workdir", o.work})
	if o.context != "" {
		steps = append(steps, [2]string{"context", o.context})
	}
	for _, step := range steps {
		if err := unix.FsconfigSetString(system, step[0], step[1]); err != nil {
			return fmt.Errorf("option %s: %w", step[0], err)
		}
	}
	if err := unix.FsconfigCreate(system); err != nil {
		return err
	}
	mount, err := unix.Fsmount(system, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return unix.MoveMount(mount, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// Unmount takes the file system away from Merged; it is no error if none is there. One that stays busy for half a second is detached: it
// vanishes from the tree at once, and from memory with its last user.
func (o Overlay) Unmount() error {
	const attempts, pause = 10, 50 * time.Millisecond
	var err error
	for range attempts {
		switch err = unix.Unmount(o.Merged(), unix.UMOUNT_NOFOLLOW); err {
		case nil, unix.EINVAL, unix.ENOENT: // EINVAL: not a mount point
			return nil
		case unix.EBUSY:
			time.Sleep(pause)
		default:
			return &os.PathError{Op: "unmount", Path: o.Merged(), Err: err}
		}
	}
	if err = unix.Unmount(o.Merged(), unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "detach", Path: o.Merged(), Err: err}
	}
	return nil
}
