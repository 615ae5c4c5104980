// SPDX-License-Identifier: Apache-2.0

package posix

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// largest is how far files reach, in bytes.
const largest = 300_000

// side is one of the two file systems.
type side struct {
	root string
	open [4]int // descriptors of files that stay open; -1: none
}

// driver makes the same system calls on both sides and wants the same of both.
type driver struct {
	random *rand.Rand
	sides  [2]*side // the mount; what it is held against
	log    []string
}

// drive exercises a directory against another until the time is over. It runs in a process of its own: a program that serves a file system must not wait for it.
func drive(directory, against string, seed uint64, duration time.Duration) error {
	runtime.LockOSThread() // which changes its user
	unix.Umask(0o022)
	end := time.Now().Add(duration)
	for round := uint64(0); time.Now().Before(end); round++ {
		d := driver{random: rand.New(rand.NewPCG(seed, round))}
		for i, parent := range []string{directory, against} {
			root := filepath.Join(parent, fmt.Sprint(round))
			if err := errors.Join(os.Mkdir(root, 0), os.Chmod(root, 0o777)); err != nil {
				return err
			}
			d.sides[i] = &side{root, [4]int{-1, -1, -1, -1}}
		}
		err := d.round(2000, end)
		for _, s := range d.sides {
			for _, fd := range s.open {
				if fd >= 0 {
					unix.Close(fd)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("seed %d, round %d: %w\nafter:\n%s", seed, round, err, strings.Join(d.log[max(0, len(d.log)-40):], "\n"))
		}
		for _, s := range d.sides {
			if err := os.RemoveAll(s.root); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *driver) round(operations int, end time.Time) error {
	for i := range operations {
		if i%50 == 0 && time.Now().After(end) {
			break
		}
		var err error
		switch d.pick(3) {
		case 0:
			err = d.names()
		case 1:
			err = d.attributes()
		case 2:
			err = d.contents()
		}
		if err == nil && i%100 == 99 {
			err = d.same("the trees", func(s *side) string { return tree(s.root) })
		}
		if err != nil {
			return err
		}
	}
	return d.same("the trees", func(s *side) string { return tree(s.root) })
}

func (d *driver) pick(count int) int { return d.random.IntN(count) }

// same does a thing on both sides and compares what came of it.
func (d *driver) same(what string, do func(*side) string) error {
	var results [2]string
	for i, s := range d.sides {
		results[i] = do(s)
	}
	d.log = append(d.log, fmt.Sprintf("%s = %.100s", what, results[1]))
	if results[0] == results[1] {
		return nil
	}
	at := 0
	for at < min(len(results[0]), len(results[1])) && results[0][at] == results[1][at] {
		at++
	}
	from := max(0, strings.LastIndexByte(results[0][:at], '\n'))
	return fmt.Errorf("%s:\n  %.400s\nshould be\n  %.400s", what, results[0][from:], results[1][from:])
}

// as runs a system call as root or as an ordinary user of this thread alone.
func as(uid int, call func() error) error {
	if uid == 0 {
		return call()
	}
	set := func(number uintptr, id int) {
		if _, _, errno := unix.RawSyscall(number, ^uintptr(0), uintptr(id), ^uintptr(0)); errno != 0 {
			panic(errno)
		}
	}
	set(unix.SYS_SETRESGID, uid)
	set(unix.SYS_SETRESUID, uid)
	defer func() {
		set(unix.SYS_SETRESUID, 0)
		set(unix.SYS_SETRESGID, 0)
	}()
	return call()
}

func (d *driver) user() int { return []int{0, 0, 1000, 1001}[d.pick(4)] }

func (d *driver) path() string {
	parts := make([]string, 1+d.pick(3))
	for i := range parts {
		parts[i] = string(rune('a' + d.pick(4)))
	}
	return filepath.Join(parts...)
}

// state is what stat says of paths, without sizes of directories and without times.
func state(root string, names ...string) string {
	var out strings.Builder
	for _, name := range names {
		var s unix.Stat_t
		err := unix.Lstat(filepath.Join(root, name), &s)
		if s.Mode&unix.S_IFMT == unix.S_IFDIR {
			s.Size = 0
		}
		fmt.Fprintf(&out, "; %s: %v %o links %d owner %d:%d device %d size %d", name, err, s.Mode, s.Nlink, s.Uid, s.Gid, s.Rdev, s.Size)
	}
	return out.String()
}

func (d *driver) call(what string, uid int, names []string, call func(root string) error) error {
	return d.same(fmt.Sprintf("%s (user %d)", what, uid), func(s *side) string {
		err := as(uid, func() error { return call(s.root) })
		return fmt.Sprint(err) + state(s.root, names...)
	})
}

// names are calls about names.
func (d *driver) names() error {
	name, other, uid := d.path(), d.path(), d.user()
	touched := []string{name, filepath.Dir(name), other, filepath.Dir(other)}
	mode := []uint32{0o644, 0o777, 0o4755, 0o2755, 0o600, 0o1777}[d.pick(6)]
	switch d.pick(9) {
	case 0, 1:
		kind := []uint32{unix.S_IFREG, unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR}[d.pick(5)]
		return d.call(fmt.Sprintf("mknod %s %o", name, kind|mode), uid, touched, func(root string) error { return unix.Mknod(filepath.Join(root, name), kind|mode, 0x501) })
	case 2, 3:
		return d.call(fmt.Sprintf("mkdir %s %o", name, mode), uid, touched, func(root string) error { return unix.Mkdir(filepath.Join(root, name), mode) })
	case 4:
		return d.call("unlink "+name, uid, touched, func(root string) error { return unix.Unlink(filepath.Join(root, name)) })
	case 5:
		return d.call("rmdir "+name, uid, touched, func(root string) error { return unix.Rmdir(filepath.Join(root, name)) })
	case 6:
		return d.call("link "+name+" "+other, uid, touched, func(root string) error { return unix.Link(filepath.Join(root, name), filepath.Join(root, other)) })
	case 7:
		target := strings.Repeat(other, 1+d.pick(500))
		return d.call("symlink "+name, uid, touched, func(root string) error { return unix.Symlink(target, filepath.Join(root, name)) })
	}
	flags := []uint{0, 0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[d.pick(5)]
	return d.call(fmt.Sprintf("rename %s %s %d", name, other, flags), uid, touched, func(root string) error {
		return unix.Renameat2(unix.AT_FDCWD, filepath.Join(root, name), unix.AT_FDCWD, filepath.Join(root, other), flags)
	})
}

// attributes are calls about owners, permissions, times and extended attributes.
func (d *driver) attributes() error {
	name, uid := d.path(), d.user()
	touched := []string{name}
	value := bytes.Repeat([]byte("v"), d.pick(500))
	xattr := []string{"user.a", "user.b", "trusted.c"}[d.pick(3)]
	switch d.pick(6) {
	case 0:
		mode := []uint32{0o644, 0o777, 0o6755, 0o2771, 0o4777, 0o1777, 0o700}[d.pick(7)] // set-group-ID only where the group may execute: see Known
		return d.call(fmt.Sprintf("chmod %s %o", name, mode), uid, touched, func(root string) error {
			return unix.Fchmodat(unix.AT_FDCWD, filepath.Join(root, name), mode, 0)
		})
	case 1:
		owner, group := []int{-1, 0, 1000, 1001}[d.pick(4)], []int{-1, 0, 1000, 1001}[d.pick(4)]
		if owner == -1 && group == -1 {
			return nil // see the known differences
		}
		return d.call(fmt.Sprintf("chown %s %d %d", name, owner, group), uid, touched, func(root string) error { return unix.Lchown(filepath.Join(root, name), owner, group) })
	case 2:
		times := []unix.Timespec{{Sec: int64(d.pick(1 << 31)), Nsec: int64(d.pick(1e9))}, {Sec: int64(d.pick(1 << 31)), Nsec: int64(d.pick(1e9))}}
		return d.same("utimens "+name, func(s *side) string {
			err := as(uid, func() error {
				return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(s.root, name), times, unix.AT_SYMLINK_NOFOLLOW)
			})
			var after unix.Stat_t
			if err == nil {
				err = unix.Lstat(filepath.Join(s.root, name), &after)
			}
			return fmt.Sprint(err, after.Atim, after.Mtim)
		})
	case 3, 4:
		flags := []int{0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE}[d.pick(4)]
		return d.call(fmt.Sprintf("setxattr %s %s %d %d", name, xattr, len(value), flags), uid, touched, func(root string) error {
			return unix.Lsetxattr(filepath.Join(root, name), xattr, value, flags)
		})
	}
	return d.call("removexattr "+name+" "+xattr, uid, touched, func(root string) error { return unix.Lremovexattr(filepath.Join(root, name), xattr) })
}

func (d *driver) data() []byte {
	sizes := []int{1, 100, 1024, 4095, 4096, 4097, 10000, 65536, 131072}
	data := make([]byte, sizes[d.pick(len(sizes))])
	for i := range data {
		data[i] = byte(d.random.Uint32())
	}
	return data
}

// contents are calls about what is in files, by descriptors that may outlive the name.
func (d *driver) contents() error {
	slot, uid := d.pick(4), d.user()
	if d.pick(8) == 0 || d.sides[0].open[slot] < 0 {
		return d.reopen(slot, uid)
	}
	offset, data := int64(d.pick(largest)), d.data()
	if d.pick(2) == 0 {
		offset &^= 4095
	}
	length := int64(1 + d.pick(100_000))
	what := fmt.Sprintf("of file %d, %d bytes at %d (user %d)", slot, len(data), offset, uid)
	on := func(name string, call func(fd int) error) error {
		return d.same(name+" "+what, func(s *side) string {
			err := as(uid, func() error { return call(s.open[slot]) })
			var after unix.Stat_t
			return fmt.Sprint(err, unix.Fstat(s.open[slot], &after), fmt.Sprintf(" %o links %d size %d", after.Mode, after.Nlink, after.Size))
		})
	}
	choice := d.pick(12)
	var before unix.Stat_t
	if err := unix.Fstat(d.sides[1].open[slot], &before); err != nil {
		return err
	}
	if before.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && (choice == 4 || choice == 8) {
		return nil // see the known differences
	}
	switch choice {
	case 0, 1, 2:
		return on("write", func(fd int) error { return counted(unix.Pwrite(fd, data, offset)) })
	case 3:
		return on("truncate", func(fd int) error { return unix.Ftruncate(fd, offset) })
	case 4:
		mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE}[d.pick(4)]
		return on(fmt.Sprintf("fallocate %d %d", mode, length), func(fd int) error { return unix.Fallocate(fd, mode, offset, length) })
	case 5:
		return on("fsync", unix.Fsync)
	case 6, 7:
		return on("store through a map", func(fd int) error { return throughMap(fd, offset, data) })
	case 8:
		target := int64(d.pick(largest))
		return on(fmt.Sprintf("copy_file_range to %d", target), func(fd int) error {
			from, to := offset, target
			return counted(unix.CopyFileRange(fd, &from, fd, &to, min(int(length), 4096), 0))
		})
	case 9:
		return d.same("read through a map "+what, func(s *side) string { return readMap(s.open[slot]) })
	}
	return d.same("read "+what, func(s *side) string {
		buffer := make([]byte, length)
		n, err := unix.Pread(s.open[slot], buffer, offset)
		return fmt.Sprintf("%d %v %x", n, err, sha256.Sum256(buffer[:max(n, 0)]))
	})
}

func (d *driver) reopen(slot, uid int) error {
	name := d.path()
	flags := []int{unix.O_RDWR, unix.O_RDWR | unix.O_CREAT, unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, unix.O_RDWR | unix.O_TRUNC, unix.O_RDWR | unix.O_APPEND | unix.O_CREAT, unix.O_RDONLY}[d.pick(6)]
	return d.same(fmt.Sprintf("open %s %#x as file %d (user %d)", name, flags, slot, uid), func(s *side) string {
		if s.open[slot] >= 0 {
			unix.Close(s.open[slot])
		}
		s.open[slot] = -1
		full := filepath.Join(s.root, name)
		var before unix.Stat_t
		if unix.Lstat(full, &before) == nil && before.Mode&unix.S_IFMT != unix.S_IFREG {
			return "not a regular file" // pipes wait, devices are refused on the mount
		}
		err := as(uid, func() (err error) {
			s.open[slot], err = unix.Open(full, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o666)
			return err
		})
		return fmt.Sprint(err) + state(s.root, name, filepath.Dir(name))
	})
}

func counted(n int, err error) error {
	if err == nil {
		return fmt.Errorf("%d bytes", n)
	}
	return err
}

// throughMap stores data into what the file has at an offset.
func throughMap(fd int, offset int64, data []byte) error {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || offset >= s.Size {
		return err
	}
	m, err := unix.Mmap(fd, 0, int(s.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m[offset:], data)
	return unix.Munmap(m)
}

func readMap(fd int) string {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || s.Size == 0 {
		return fmt.Sprint(err)
	}
	m, err := unix.Mmap(fd, 0, int(s.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(m)
	return fmt.Sprintf("%x %v", sum, unix.Munmap(m))
}

// tree is all that a directory holds, with contents.
func tree(root string) string {
	var lines []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		line := state(root, name)
		var names [500]byte
		if n, err := unix.Llistxattr(path, names[:]); err == nil {
			list := strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 })
			slices.Sort(list)
			for _, xattr := range list {
				var value [600]byte
				n, err := unix.Lgetxattr(path, xattr, value[:])
				line += fmt.Sprintf(" %s=%x %v", xattr, sha256.Sum256(value[:max(n, 0)]), err)
			}
		}
		switch {
		case entry.Type().IsRegular():
			data, err := os.ReadFile(path)
			line += fmt.Sprintf(" %x %v", sha256.Sum256(data), err)
		case entry.Type() == os.ModeSymlink:
			target, err := os.Readlink(path)
			line += fmt.Sprintf(" %s %v", target, err)
		}
		lines = append(lines, line)
		return nil
	})
	slices.Sort(lines)
	return fmt.Sprintln(err) + strings.Join(lines, "\n")
}
