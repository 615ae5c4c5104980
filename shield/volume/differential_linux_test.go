// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// seeds is how many random runs are made: some for every day, as many as there is time for a soak.
var seeds = flag.Uint64("seeds", 6, "random runs of the differential test")

// errnos are the errors of the system calls that ours stand for.
var errnos = map[error]unix.Errno{
	ErrNotExist: unix.ENOENT, ErrExist: unix.EEXIST, ErrNotEmpty: unix.ENOTEMPTY, ErrNotDirectory: unix.ENOTDIR, ErrIsDirectory: unix.EISDIR,
	ErrNotPermitted: unix.EPERM, ErrNameTooLong: unix.ENAMETOOLONG, ErrNoSpace: unix.ENOSPC, ErrInvalid: unix.EINVAL, ErrFileTooBig: unix.EFBIG,
	ErrTooManyLinks: unix.EMLINK, ErrNoAttribute: unix.ENODATA, ErrAttributeTooBig: unix.E2BIG, ErrAttributeName: unix.ERANGE, ErrBeyondEnd: unix.ENXIO,
	ErrNotSupported: unix.EOPNOTSUPP,
}

func errnoOf(err error) unix.Errno {
	if err == nil {
		return 0
	}
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	for sentinel, number := range errnos {
		if errors.Is(err, sentinel) {
			return number
		}
	}
	return unix.EIO
}

// handle is a file that is open on both sides.
type handle struct {
	inode uint64
	fd    int
}

// differential holds a volume against a directory of this machine's file system.
type differential struct {
	*fixture
	t       *testing.T
	root    string
	random  *rand.Rand
	handles []handle
	log     []string
}

func (d *differential) fatalf(format string, arguments ...any) {
	d.t.Helper()
	d.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, arguments...), strings.Join(d.log[max(0, len(d.log)-25):], "\n"))
}

func (d *differential) pick(count int) int { return d.random.IntN(count) }

func (d *differential) path() string {
	parts := make([]string, 1+d.pick(3))
	for i := range parts {
		parts[i] = string(rune('a' + d.pick(5)))
	}
	return path.Join(parts...)
}

// resolve returns the inode of a path in the volume, as a walk that follows no symbolic links finds it.
func (d *differential) resolve(name string) (uint64, error) {
	inode := uint64(RootInode)
	if name == "." {
		return inode, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		a, err := d.Lookup(inode, part)
		if err != nil {
			return 0, err
		}
		inode = a.Inode
	}
	return inode, nil
}

// parent returns the directory of a path on the volume, if it is a directory on both sides.
func (d *differential) parent(name string) (uint64, bool) {
	directory := path.Dir(name)
	inode, err := d.resolve(directory)
	info, oracle := os.Lstat(filepath.Join(d.root, directory))
	if err != nil {
		if oracle == nil && info.IsDir() {
			d.fatalf("%s: %v, but it is there", directory, err)
		}
		return 0, false
	}
	if oracle != nil {
		d.fatalf("%s: there, but %v", directory, oracle)
	}
	return inode, info.IsDir()
}

// watched is an object on both sides, as it was before an operation.
type watched struct {
	name   string
	inode  uint64
	fd     int
	ours   Attributes
	theirs unix.Stat_t
}

func (d *differential) watch(names ...string) []*watched {
	var list []*watched
	for _, name := range names {
		inode, err := d.resolve(name)
		if err != nil || slices.ContainsFunc(list, func(w *watched) bool { return w.inode == inode }) {
			continue
		}
		w := &watched{name: name, inode: inode}
		if w.fd, err = unix.Open(filepath.Join(d.root, name), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
			d.fatalf("%s: %v, but the volume has it", name, err)
		}
		if w.ours, err = d.Attributes(inode); err != nil {
			d.fatalf("%s: %v", name, err)
		}
		if err := unix.Fstat(w.fd, &w.theirs); err != nil {
			d.fatalf("%s: %v", name, err)
		}
		list = append(list, w)
	}
	return list
}

// same says in what attributes differ, or "".
func same(ours Attributes, theirs *unix.Stat_t) string {
	size := int64(ours.Size)
	if ours.Mode&ModeType == ModeDirectory {
		size = theirs.Size
	}
	if ours.Mode != theirs.Mode || uint64(ours.Links) != uint64(theirs.Nlink) || ours.UID != theirs.Uid || ours.GID != theirs.Gid || size != theirs.Size || uint64(ours.Device) != theirs.Rdev {
		return fmt.Sprintf("mode %o links %d owner %d:%d size %d device %d, should be mode %o links %d owner %d:%d size %d device %d", ours.Mode, ours.Links, ours.UID, ours.GID,
			ours.Size, ours.Device, theirs.Mode, theirs.Nlink, theirs.Uid, theirs.Gid, theirs.Size, theirs.Rdev)
	}
	return ""
}

func (d *differential) compare(list []*watched) {
	d.t.Helper()
	for _, w := range list {
		var theirs unix.Stat_t
		if err := unix.Fstat(w.fd, &theirs); err != nil {
			d.fatalf("%s: %v", w.name, err)
		}
		_ = unix.Close(w.fd)
		ours, err := d.Attributes(w.inode)
		if err != nil {
			if theirs.Nlink != 0 {
				d.fatalf("%s: %v, with %d links", w.name, err, theirs.Nlink)
			}
			continue
		}
		if theirs.Nlink == 0 && theirs.Mode&ModeType == ModeDirectory {
			continue // some count 0 links, some 1, some 2
		}
		if fault := same(ours, &theirs); fault != "" {
			d.fatalf("%s: %s", w.name, fault)
		}
		if ours, theirs := ours.Modified != w.ours.Modified, theirs.Mtim != w.theirs.Mtim; ours != theirs {
			d.fatalf("%s: time of modification moved: %v, should be %v", w.name, ours, theirs)
		}
		if ours, theirs := ours.Changed != w.ours.Changed, theirs.Ctim != w.theirs.Ctim; ours != theirs {
			d.fatalf("%s: time of change moved: %v, should be %v", w.name, ours, theirs)
		}
	}
}

// withoutSetID runs an operation as somebody without CAP_FSETID would.
func (d *differential) withoutSetID(operation func() error) error {
	const fsetid = 4
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, less [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		d.t.Fatal(err)
	}
	less = had
	less[0].Effective &^= 1 << fsetid
	if err := unix.Capset(&header, &less[0]); err != nil {
		d.t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &had[0]); err != nil {
			panic(err)
		}
	}()
	return operation()
}

// step runs an operation on both sides and holds the outcomes against each other.
func (d *differential) step(name string, watch []string, ours, theirs func() error) {
	d.t.Helper()
	list := d.watch(watch...)
	d.log = append(d.log, name)
	our, their := errnoOf(ours()), errnoOf(theirs())
	d.log[len(d.log)-1] += fmt.Sprintf(" = %v", their)
	if our != their {
		d.fatalf("%s: %v (%d), should be %v (%d)", name, our, our, their, their)
	}
	d.compare(list)
	d.compare(d.watch(watch...))
}

func (d *differential) data() []byte {
	sizes := []int{1, 10, 500, 1024, 1025, 4095, 4096, 4097, 8192, 12288, 50000, 200000}
	data := make([]byte, sizes[d.pick(len(sizes))])
	for i := range data {
		data[i] = byte(d.random.Uint32())
	}
	return data
}

func (d *differential) offset() int64 {
	offsets := []int64{0, 0, 0, 1, 100, 1000, 1024, 4096, 4000, 8192, 100_000, 131072, 1 << 20, 9 << 20, 30 << 20}
	return offsets[d.pick(len(offsets))] + []int64{0, 0, 0, 1, -1, 4096}[d.pick(6)]*int64(d.pick(2))
}

// names are operations on names.
func (d *differential) names() {
	name, other := d.path(), d.path()
	parent, ok := d.parent(name)
	otherParent, both := d.parent(other)
	if !ok {
		return
	}
	base, full := path.Base(name), filepath.Join(d.root, name)
	watch := []string{name, path.Dir(name)}
	who := Credentials{}
	switch choice := d.pick(20); {
	case choice < 5:
		mode := []uint32{ModeRegular, ModeRegular, ModePipe, ModeSocket, ModeCharacter, ModeBlock}[d.pick(6)] | []uint32{0o644, 0o755, 0o4755, 0o600}[d.pick(4)]
		device := uint32(unix.Mkdev(5, 1))
		d.step(fmt.Sprintf("mknod %s %o", name, mode), watch, func() error { return try(d.Make(parent, base, mode, device, who)) },
			func() error { return unix.Mknod(full, mode, int(device)) })
	case choice < 9:
		d.step("mkdir "+name, watch, func() error { return try(d.Make(parent, base, ModeDirectory|0o755, 0, who)) }, func() error { return unix.Mkdir(full, 0o755) })
	case choice < 10:
		target := strings.Repeat("t", []int{1, 100, 1024, 1025, 4095}[d.pick(5)])
		d.step("symlink "+name, watch, func() error { return try(d.Symlink(parent, base, target, who)) }, func() error { return unix.Symlink(target, full) })
	case choice < 12:
		d.step("unlink "+name, watch, func() error { return d.Unlink(parent, base) }, func() error { return unix.Unlink(full) })
	case choice < 13:
		d.step("rmdir "+name, watch, func() error { return d.RemoveDirectory(parent, base) }, func() error { return unix.Rmdir(full) })
	case !both:
	case choice < 15:
		if inode, err := d.resolve(name); err == nil {
			d.step("link "+name+" "+other, append(watch, other, path.Dir(other)), func() error { return try(d.Link(inode, otherParent, path.Base(other))) },
				func() error { return unix.Link(full, filepath.Join(d.root, other)) })
		}
	default:
		flags := []uint32{0, 0, RenameNoReplace, RenameExchange, 3}[d.pick(5)]
		d.step(fmt.Sprintf("rename %s %s %d", name, other, flags), append(watch, other, path.Dir(other)), func() error { return d.Rename(parent, base, otherParent, path.Base(other), flags) },
			func() error {
				return unix.Renameat2(unix.AT_FDCWD, full, unix.AT_FDCWD, filepath.Join(d.root, other), uint(flags))
			})
	}
}

// attributes are operations on attributes.
func (d *differential) attributes() {
	name := d.path()
	inode, err := d.resolve(name)
	if err != nil {
		return
	}
	full, watch := filepath.Join(d.root, name), []string{name}
	a, err := d.Attributes(inode)
	if err != nil {
		d.fatalf("%s: %v", name, err)
	}
	change := func(c Changes) func() error { return func() error { return try(d.Change(inode, c)) } }
	xattr := "user." + strings.Repeat("x", 1+d.pick(3))
	value := bytes.Repeat([]byte{byte(d.pick(256))}, d.pick(1100)) // so that ext4 has room for all of a file's
	plain := a.Mode&ModeType == ModeRegular || a.Mode&ModeType == ModeDirectory
	switch choice := d.pick(10); {
	case choice < 2 && a.Mode&ModeType != ModeSymlink:
		mode := []uint32{0o644, 0o755, 0o6755, 0o2755, 0o4644, 0o1777}[d.pick(6)]
		d.step(fmt.Sprintf("chmod %s %o", name, mode), watch, change(Changes{Valid: ChangeMode, Mode: mode}), func() error { return unix.Chmod(full, mode) })
	case choice < 4:
		uid, gid := d.pick(3), d.pick(3)
		d.step(fmt.Sprintf("chown %s %d %d", name, uid, gid), watch, change(Changes{Valid: ChangeUID | ChangeGID, UID: uint32(uid), GID: uint32(gid)}), func() error { return unix.Lchown(full, uid, gid) })
	case choice < 6:
		stamp := Time{int64(d.pick(1 << 31)), uint32(d.pick(1e9))}
		times := []unix.Timespec{{Sec: stamp.Seconds, Nsec: int64(stamp.Nanoseconds)}, {Sec: stamp.Seconds, Nsec: int64(stamp.Nanoseconds)}}
		d.step("utimens "+name, watch, change(Changes{Valid: ChangeAccessed | ChangeModified, Accessed: stamp, Modified: stamp}),
			func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, full, times, unix.AT_SYMLINK_NOFOLLOW) })
	case choice < 8 && plain:
		flags := []uint32{0, 0, XattrCreate, XattrReplace}[d.pick(4)]
		d.step(fmt.Sprintf("setxattr %s %s %d %d", name, xattr, len(value), flags), watch, func() error { return d.SetXattr(inode, xattr, value, flags) },
			func() error { return unix.Lsetxattr(full, xattr, value, int(flags)) })
	case plain:
		d.step("removexattr "+name+" "+xattr, watch, func() error { return d.RemoveXattr(inode, xattr) }, func() error { return unix.Lremovexattr(full, xattr) })
	}
}

// contents are operations on what is in a file, which may have lost its name.
func (d *differential) contents() {
	var h handle
	name := "a handle"
	var watch []string
	if len(d.handles) > 0 && d.pick(3) == 0 {
		h = d.handles[d.pick(len(d.handles))]
	} else {
		name = d.path()
		inode, err := d.resolve(name)
		if err != nil {
			return
		}
		if a, err := d.Attributes(inode); err != nil || a.Mode&ModeType != ModeRegular {
			return
		}
		h.inode = inode
		if h.fd, err = unix.Open(filepath.Join(d.root, name), unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
			d.fatalf("%s: %v", name, err)
		}
		watch = []string{name}
		if len(d.handles) < 5 && d.pick(4) == 0 {
			if err := d.Opened(inode); err != nil {
				d.fatalf("%s: %v", name, err)
			}
			d.handles = append(d.handles, h)
		} else {
			defer func() { _ = unix.Close(h.fd) }()
		}
	}
	d.onHandle(h, name, watch)
}

func (d *differential) onHandle(h handle, name string, watch []string) {
	offset, data := max(d.offset(), 0), d.data()
	length := int64(len(data)) + 1
	if d.pick(10) == 0 {
		length = 20 << 20
	}
	switch choice := d.pick(20); {
	case choice < 10:
		d.step(fmt.Sprintf("write %s %d %d", name, offset, len(data)), watch, func() error { return try(d.Write(h.inode, offset, data, DropSetID)) },
			func() error { return d.withoutSetID(func() error { return try(unix.Pwrite(h.fd, data, offset)) }) })
	case choice < 13:
		size := offset + int64(d.pick(2))*int64(len(data))
		changes := Changes{Valid: ChangeSize | ChangeDropSetID | ChangeModifiedNow, Size: uint64(size)}
		d.step(fmt.Sprintf("ftruncate %s %d", name, size), watch, func() error { return try(d.Change(h.inode, changes)) },
			func() error { return d.withoutSetID(func() error { return unix.Ftruncate(h.fd, size) }) })
	case choice < 16:
		mode := []uint32{0, AllocateKeepSize, AllocatePunchHole | AllocateKeepSize, AllocateZeroRange, AllocateZeroRange | AllocateKeepSize, AllocatePunchHole}[d.pick(6)]
		d.step(fmt.Sprintf("fallocate %s %d %d %d", name, mode, offset, length), watch, func() error { return d.Allocate(h.inode, mode, offset, length, DropSetID) },
			func() error {
				return d.withoutSetID(func() error { return unix.Fallocate(h.fd, mode, offset, length) })
			})
	case choice < 17:
		var stat unix.Stat_t
		if err := unix.Fstat(h.fd, &stat); err != nil {
			d.t.Fatal(err)
		}
		if offset+length < stat.Size-length {
			d.step(fmt.Sprintf("copy within %s %d %d", name, offset, length), watch, func() error { return try(d.Copy(h.inode, offset, h.inode, stat.Size-length, length, DropSetID)) }, func() error {
				block := make([]byte, length)
				return errors.Join(try(unix.Pread(h.fd, block, offset)), d.withoutSetID(func() error { return try(unix.Pwrite(h.fd, block, stat.Size-length)) }))
			})
		}
	default:
		d.readBoth(h.inode, h.fd, name, offset, len(data))
	}
}

func (d *differential) readBoth(inode uint64, fd int, name string, offset int64, length int) {
	ours, theirs := make([]byte, length), make([]byte, length)
	n, err := d.Read(inode, offset, ours)
	m, oracle := unix.Pread(fd, theirs, offset)
	if err != nil || oracle != nil || n != m || !bytes.Equal(ours[:n], theirs[:m]) {
		at := 0
		for at < min(n, m) && ours[at] == theirs[at] {
			at++
		}
		d.fatalf("%s: read %d bytes at %d: %d %v, should be %d %v; first difference at %d", name, length, offset, n, err, m, oracle, at)
	}
}

// everything compares the whole trees.
func (d *differential) everything() {
	seen := 0
	var walk func(inode uint64, name string)
	walk = func(inode uint64, name string) {
		full := filepath.Join(d.root, name)
		var stat unix.Stat_t
		if err := unix.Lstat(full, &stat); err != nil {
			d.fatalf("%s: %v", name, err)
		}
		a, err := d.Attributes(inode)
		if err != nil {
			d.fatalf("%s: %v", name, err)
		}
		if fault := same(a, &stat); fault != "" {
			d.fatalf("%s: %s", name, fault)
		}
		seen++
		d.xattrs(inode, name)
		switch a.Mode & ModeType {
		case ModeRegular:
			fd, err := unix.Open(full, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				d.fatalf("%s: %v", name, err)
			}
			for offset := int64(0); offset <= stat.Size; offset += 1 << 20 {
				d.readBoth(inode, fd, name, offset, 1<<20)
			}
			_ = unix.Close(fd)
		case ModeSymlink:
			ours, err := d.Readlink(inode)
			if theirs, _ := os.Readlink(full); err != nil || ours != theirs {
				d.fatalf("%s: %q %v, should be %q", name, ours, err, theirs)
			}
		case ModeDirectory:
			cookie := uint64(0)
			if err := d.Directory(inode, 0, func(e Entry) bool {
				if e.Cookie <= cookie {
					d.fatalf("%s: cookie %d after %d", name, e.Cookie, cookie)
				}
				cookie = e.Cookie
				if a, err := d.Lookup(inode, e.Name); err != nil || a.Inode != e.Inode || a.Mode&ModeType != e.Mode {
					d.fatalf("%s/%s: %v %v", name, e.Name, a, err)
				}
				walk(e.Inode, path.Join(name, e.Name))
				return true
			}); err != nil {
				d.fatalf("%s: %v", name, err)
			}
		}
	}
	walk(RootInode, ".")
	there := 0
	if err := filepath.WalkDir(d.root, func(string, fs.DirEntry, error) error { there++; return nil }); err != nil || there != seen {
		d.fatalf("%d files, should be %d (%v)", seen, there, err)
	}
}

func (d *differential) xattrs(inode uint64, name string) {
	full := filepath.Join(d.root, name)
	var list [1000]byte
	n, err := unix.Llistxattr(full, list[:])
	if err != nil {
		d.t.Fatal(err)
	}
	theirs := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(theirs)
	ours, err := d.ListXattrs(inode)
	if err != nil || !slices.Equal(ours, theirs) {
		d.fatalf("%s: attributes %q %v, should be %q", name, ours, err, theirs)
	}
	for _, xattr := range theirs {
		var want [4096]byte
		n, _ := unix.Lgetxattr(full, xattr, want[:])
		if got, err := d.Xattr(inode, xattr); err != nil || !bytes.Equal(got, want[:n]) {
			d.fatalf("%s: %s has %d bytes (%v), should have %d", name, xattr, len(got), err, n)
		}
	}
}

func (d *differential) close(index int) {
	h := d.handles[index]
	d.handles = slices.Delete(d.handles, index, index+1)
	d.log = append(d.log, "close")
	if err := d.Forgotten(h.inode); err != nil {
		d.fatalf("close: %v", err)
	}
	_ = unix.Close(h.fd)
}

func (d *differential) run(operations int) {
	for i := range operations {
		switch choice := d.pick(100); {
		case choice < 45:
			d.names()
		case choice < 60:
			d.attributes()
		case choice < 97:
			d.contents()
		case choice < 98 && len(d.handles) > 0:
			d.close(d.pick(len(d.handles)))
		case choice == 98 && d.pick(3) == 0:
			for len(d.handles) > 0 {
				d.close(0)
			}
			if d.pick(2) == 0 {
				d.log = append(d.log, "reopen")
				d.reopen(d.t)
			} else {
				d.log = append(d.log, "crash")
				d.crash(d.t)
			}
		}
		if i%100 == 99 {
			d.everything()
			d.check(d.t)
		}
	}
	for len(d.handles) > 0 {
		d.close(0)
	}
	d.everything()
}

// TestBehavesAsTheFileSystemOfThisMachine runs random operations on a volume and on a directory beside it, and wants the same results, errors, attributes, moved
// times and contents.
func TestBehavesAsTheFileSystemOfThisMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("owners and devices need root")
	}
	defer unix.Umask(unix.Umask(0))
	for seed := range *seeds {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) {
			runtime.LockOSThread() // which loses CAP_FSETID at times
			defer runtime.UnlockOSThread()
			root := t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			d := &differential{fixture: newFixture(t, 1<<20), t: t, root: root, random: rand.New(rand.NewPCG(seed, 7))}
			d.nodes = int(seed * 2)
			d.cache.limit = d.nodes
			d.run(1500)
		})
	}
}
