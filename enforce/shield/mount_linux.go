// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/shield/fuse"
)

// Mount mounts a volume onto a directory. The process serves it until it is unmounted.
func Mount(volume Volume, directory string) (*Process, error) {
	place, err := os.OpenFile(directory, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	return serve(volume, fuse.Options{Source: volume.Directory, ReadOnly: volume.Setup.ReadOnly}, func(mount *os.File) error { return fuse.Attach(mount, place) })
}

// serve makes a mount, has a process serve it, and attaches it once the volume is open. Where anything fails, nothing is left.
func serve(volume Volume, options fuse.Options, attach func(mount *os.File) error) (*Process, error) {
	device, mount, err := fuse.Mount(options)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOSYS) {
		return nil, &plan.UnavailableError{Layer: "shield", Reason: err.Error(), Hint: "the shield needs FUSE in the kernel (modprobe fuse) and Linux 5.12 or later"}
	}
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	served, err := start(volume, device)
	device.Close()
	if err != nil {
		return nil, err
	}
	if _, err := served.reply(); err != nil {
		return nil, err
	}
	if err := attach(mount); err != nil {
		return nil, errors.Join(err, served.Kill())
	}
	if err := served.release(); err != nil {
		return nil, fmt.Errorf("shield process: %w", errors.Join(err, served.Kill()))
	}
	return served, nil
}

// Verify reads every block of a volume that nobody serves. progress is called now and then, with numbers of blocks.
func Verify(volume Volume, progress func(done, total uint64)) error {
	volume.Setup.Verify = true
	reader, err := start(volume, nil)
	if err != nil {
		return err
	}
	for {
		reply, err := reader.reply()
		if err != nil {
			return err
		}
		if progress != nil && reply.Total > 0 {
			progress(reply.Done, reply.Total)
		}
		if reply.Ready {
			return reader.Wait()
		}
	}
}
