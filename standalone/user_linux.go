// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// maxAccountFile bounds a container's passwd and group files, in bytes.
const maxAccountFile = 4 << 20

// ResolveUser resolves USER[:GROUP] in the container's own /etc/passwd and /etc/group, below the directory rootfs. The image may be hostile:
// a link that leads out of rootfs, anything but a regular file, and a file over 4 MiB are errors. A missing file counts as empty.
func ResolveUser(rootfs, text string) (User, error) {
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return User{}, err
	}
	defer root.Close()
	passwd, err := readInside(root, "etc/passwd", maxAccountFile)
	if err != nil {
		return User{}, err
	}
	group, err := readInside(root, "etc/group", maxAccountFile)
	if err != nil {
		return User{}, err
	}
	return findUser(text, bytes.NewReader(passwd), bytes.NewReader(group))
}

// readInside looks before it opens, since opening a FIFO waits and opening a device may act, and again afterwards, since it may have changed.
func readInside(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("container's /%s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("container's /%s: not a regular file but %s", name, info.Mode())
	}
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("container's /%s: %w", name, err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("container's /%s: not a regular file", name)
	}
	return readBounded(file, limit)
}

func readBounded(file *os.File, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", file.Name(), limit)
	}
	return content, nil
}
