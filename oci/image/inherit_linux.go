// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inherit gives an implied directory the owner, mode and time that it has in the layers below. Overlayfs shows those of
// the topmost layer, so that /tmp would lose its sticky bit to a layer that holds nothing but tmp/file.
func (u *unpacker) inherit(name string, e *entry) error {
	for _, below := range u.below {
		status, covered, err := look(below, name)
		if err != nil {
			return err
		}
		if status != nil {
			e.uid, e.gid, e.mode = int(status.Uid), int(status.Gid), status.Mode&0o7777
			e.modified = time.Unix(status.Mtim.Unix())
		}
		if covered {
			return nil
		}
	}
	return nil
}

// look finds the directory name in one unpacked layer. covered says that the layers below it do not count: it has the
// directory, hides it, or has something else in its place.
func look(layer, name string) (status *unix.Stat_t, covered bool, err error) {
	root, err := os.OpenRoot(layer)
	if err != nil {
		return nil, false, err
	}
	defer root.Close()
	at := ""
	for component := range strings.SplitSeq(name, "/") {
		at += component
		info, err := root.Lstat(at)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, covered, nil
		case err != nil:
			return nil, false, err
		case !info.IsDir():
			return nil, true, nil
		}
		var hides bool
		if status, hides, err = examine(root, at); err != nil {
			return nil, false, err
		}
		covered = covered || hides
		at += "/"
	}
	return status, true, nil
}

// examine reads a directory's attributes and whether it is opaque.
func examine(root *os.Root, name string) (*unix.Stat_t, bool, error) {
	file, err := root.OpenFile(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	status := &unix.Stat_t{}
	if err := unix.Fstat(int(file.Fd()), status); err != nil {
		return nil, false, err
	}
	hides, err := isOpaque(file)
	return status, hides, err
}

// isOpaque says whether a directory hides what the layers below have in it.
func isOpaque(directory *os.File) (bool, error) {
	value := make([]byte, 1)
	n, err := unix.Fgetxattr(int(directory.Fd()), opaqueAttribute, value)
	if errors.Is(err, unix.ENODATA) {
		return false, nil
	}
	return err == nil && n == 1 && value[0] == 'y', err
}
