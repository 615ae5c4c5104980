// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

const opaqueAttribute = "trusted.overlay.opaque"

// unpacker makes the entries of one layer below root.
type unpacker struct {
	root       *os.Root
	below      []string // directories of the layers below, topmost first
	maxEntries int64
	maxBytes   int64

	entries int64   // made so far, implied directories included
	bytes   int64   // of files so far, holes included
	current *folder // where the last entry was made; the next is mostly there too
	buffer  []byte
}

// unpack fills the empty directory into with a layer's tar and returns without syncing it.
func unpack(ctx context.Context, source io.Reader, into string, below []string, maxEntries, maxBytes int64) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, below: below, maxEntries: maxEntries, maxBytes: maxBytes, buffer: make([]byte, readBuffer)}
	err = u.every(ctx, tar.NewReader(source))
	return errors.Join(err, u.leave())
}

// every unpacks the entries until the end of the tar.
func (u *unpacker) every(ctx context.Context, reader *tar.Reader) error {
	last := "the start"
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("after %s: %w", last, err)
		}
		last = "entry " + quote(header.Name)
		if err := u.count(); err != nil {
			return fmt.Errorf("%s: %w", last, err)
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e, err := check(header)
		if err == nil {
			err = u.make(e, reader)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", last, err)
		}
	}
}

func (u *unpacker) count() error {
	if u.entries++; u.entries > u.maxEntries {
		return fmt.Errorf("is past the limit of %d entries", u.maxEntries)
	}
	return nil
}

func (u *unpacker) make(e entry, content io.Reader) error {
	in, err := u.enter(e.parent)
	if err != nil {
		return err
	}
	switch e.kind {
	case whiteout:
		return in.whiteout(e.base)
	case opaque:
		return in.setOpaque()
	case hardLink:
		return u.link(in, e)
	case directory:
		if e.base != "." {
			if _, err := u.mkdir(in, e.base, false); err != nil {
				return err
			}
		}
	case regular:
		err = u.write(in, e, content)
	default:
		err = u.create(in, e.base, func() error { return in.special(e) })
	}
	if err != nil {
		return err
	}
	return in.describe(e)
}

// create calls make, and once more after removing what is in its way: a later entry replaces an earlier one.
func (u *unpacker) create(in *folder, base string, make func() error) error {
	err := make()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := u.remove(in, base); err != nil {
		return err
	}
	return make()
}

func (u *unpacker) remove(in *folder, base string) error {
	err := unix.Unlinkat(in.fd(), base, 0)
	if errors.Is(err, unix.EISDIR) {
		return u.root.RemoveAll(in.path + "/" + base)
	}
	return err
}

func (u *unpacker) write(in *folder, e entry, content io.Reader) error {
	if e.size > u.maxBytes-u.bytes {
		return fmt.Errorf("files of more than %d bytes in all", u.maxBytes)
	}
	u.bytes += e.size
	file := -1
	err := u.create(in, e.base, func() (err error) {
		file, err = unix.Openat(in.fd(), e.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	err = u.copy(file, e, content)
	return errors.Join(err, unix.Close(file))
}

func (u *unpacker) copy(file int, e entry, content io.Reader) error {
	var offset int64
	for offset < e.size {
		n, err := io.ReadFull(content, u.buffer[:min(int64(len(u.buffer)), e.size-offset)])
		if err != nil {
			return cut(err)
		}
		if !e.sparse || !isZero(u.buffer[:n]) {
			if err := writeAll(file, u.buffer[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
	}
	if e.sparse { // the last block may be a hole
		return unix.Ftruncate(file, e.size)
	}
	return nil
}

func writeAll(file int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(file, data, offset)
		if err != nil && err != unix.EINTR {
			return err
		}
		n = max(n, 0)
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

func isZero(data []byte) bool {
	return len(data) == 0 || data[0] == 0 && bytes.Equal(data[1:], data[:len(data)-1])
}

// link makes a hard link. The target is reached without following any symbolic link.
func (u *unpacker) link(in *folder, e entry) error {
	target, err := u.seek(e.target)
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", quote(e.target), err)
	}
	defer target.close()
	base := path.Base(e.target)
	var have, old unix.Stat_t
	err = unix.Fstatat(target.fd(), base, &have, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && isWhiteout(have):
		return fmt.Errorf("hard link to %s, which is not in this layer", quote(e.target))
	case err != nil:
		return fmt.Errorf("hard link to %s: %w", quote(e.target), err)
	case have.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("hard link to %s, which is a directory", quote(e.target))
	}
	err = unix.Fstatat(in.fd(), e.base, &old, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && old.Dev == have.Dev && old.Ino == have.Ino {
		return nil // the file listed twice
	}
	return u.create(in, e.base, func() error { return unix.Linkat(target.fd(), base, in.fd(), e.base, 0) })
}
