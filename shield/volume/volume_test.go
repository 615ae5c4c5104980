// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func try[T any](_ T, err error) error { return err }

// must ends a test at the first error.
type must struct {
	*fixture
	t testing.TB
}

func (m must) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m must) refuses(err, want error) {
	m.t.Helper()
	if !errors.Is(err, want) {
		m.t.Fatalf("%v, should be %v", err, want)
	}
}

func (m must) make(parent uint64, name string, mode uint32) uint64 {
	m.t.Helper()
	a, err := m.Make(parent, name, mode, 0, Credentials{})
	m.ok(err)
	return a.Inode
}

func (m must) file(name string) uint64 {
	m.t.Helper()
	return m.make(RootInode, name, ModeRegular|0o644)
}
func (m must) directory(name string) uint64 {
	m.t.Helper()
	return m.make(RootInode, name, ModeDirectory|0o755)
}

func (m must) write(inode uint64, offset int64, data []byte) {
	m.t.Helper()
	n, err := m.Write(inode, offset, data, 0)
	if err != nil || n != len(data) {
		m.t.Fatalf("%d of %d bytes: %v", n, len(data), err)
	}
}

func (m must) change(inode uint64, c Changes) Attributes {
	m.t.Helper()
	a, err := m.Change(inode, c)
	m.ok(err)
	return a
}

func (m must) truncate(inode, size uint64) {
	m.t.Helper()
	m.change(inode, Changes{Valid: ChangeSize, Size: size})
}

func (m must) contents(inode uint64) []byte {
	m.t.Helper()
	a := m.attributes(inode)
	data := make([]byte, a.Size)
	n, err := m.Read(inode, 0, data)
	if err != nil || n != len(data) {
		m.t.Fatalf("%d of %d bytes: %v", n, len(data), err)
	}
	return data
}

func (m must) attributes(inode uint64) Attributes {
	m.t.Helper()
	a, err := m.Attributes(inode)
	m.ok(err)
	return a
}

func (m must) used() uint64 { _, used, _ := m.store.Usage(); return used }

func (m must) names(directory, cookie uint64) (names []string) {
	m.t.Helper()
	m.ok(m.Directory(directory, cookie, func(e Entry) bool { names = append(names, e.Name); return true }))
	return names
}

func pattern(length int, seed byte) []byte {
	data := make([]byte, length)
	for i := range data {
		data[i] = byte(i>>8) ^ byte(i)*3 ^ seed | 1 // never zero
	}
	return data
}

// findings are what holds of each operation, on a fresh volume.
var findings = map[string]func(must){
	"RestOfTheLastBlockIsZeroAfterCuttingAndGrowing": func(m must) {
		for _, sizes := range [][3]int{{5000, 4097, 6000}, {5000, 100, 5000}, {900, 10, 1000}, {900, 10, 9000}, {8192, 4096, 8192}, {4096, 1, 70000}} {
			inode := m.make(RootInode, fmt.Sprint(sizes), ModeRegular)
			m.write(inode, 0, pattern(sizes[0], 1))
			m.truncate(inode, uint64(sizes[1]))
			m.truncate(inode, uint64(sizes[2]))
			want := append(pattern(sizes[1], 1), make([]byte, sizes[2]-sizes[1])...)
			if !bytes.Equal(m.contents(inode), want) {
				m.t.Errorf("%v: old bytes came back", sizes)
			}
		}
	},
	"WriteBeyondTheEndLeavesAHole": func(m must) {
		inode := m.file("f")
		m.write(inode, 0, []byte("small"))
		m.write(inode, 1<<30, []byte("end"))
		a := m.attributes(inode)
		if a.Size != 1<<30+3 || a.Blocks != 16 {
			m.t.Errorf("%d bytes in %d blocks", a.Size, a.Blocks)
		}
		var middle [5]byte
		_, err := m.Read(inode, 3, middle[:])
		m.ok(err)
		if string(middle[:]) != "ll\x00\x00\x00" {
			m.t.Errorf("%q", middle)
		}
	},
	"NamesHave255BytesAtMost": func(m must) {
		longest := strings.Repeat("n", 255)
		inode := m.file(longest)
		if a, err := m.Lookup(RootInode, longest); err != nil || a.Inode != inode {
			m.t.Errorf("%v %v", a, err)
		}
		_, err := m.Make(RootInode, longest+"n", ModeRegular, 0, Credentials{})
		m.refuses(err, ErrNameTooLong)
		_, err = m.Lookup(RootInode, longest+"n")
		m.refuses(err, ErrNameTooLong)
		m.refuses(m.Rename(RootInode, longest, RootInode, longest+"n", 0), ErrNameTooLong)
		for _, name := range []string{"", ".", "..", "a/b", "a\x00"} {
			_, err := m.Make(RootInode, name, ModeRegular, 0, Credentials{})
			m.refuses(err, ErrInvalid)
		}
	},
	"TargetsHave4095BytesAtMost": func(m must) {
		for _, length := range []int{1, 1024, 1025, 4095} {
			target := strings.Repeat("t", length)
			a, err := m.Symlink(RootInode, fmt.Sprint(length), target, Credentials{Umask: 0o77})
			m.ok(err)
			m.reopen(m.t)
			if got, err := m.Readlink(a.Inode); err != nil || got != target || a.Mode != ModeSymlink|0o777 || a.Size != uint64(length) {
				m.t.Errorf("%d bytes: %d, %v, %+v", length, len(got), err, a)
			}
		}
		_, err := m.Symlink(RootInode, "long", strings.Repeat("t", 4096), Credentials{})
		m.refuses(err, ErrNameTooLong)
		_, err = m.Symlink(RootInode, "empty", "", Credentials{})
		m.refuses(err, ErrInvalid)
		_, err = m.Readlink(m.file("f"))
		m.refuses(err, ErrInvalid)
	},
	"FileInUseOutlivesItsName": func(m must) {
		inode := m.file("f")
		m.ok(m.Opened(inode))
		m.write(inode, 0, pattern(100000, 1))
		before := m.used()
		m.ok(m.Unlink(RootInode, "f"))
		m.write(inode, 100000, pattern(5000, 2))
		if a := m.attributes(inode); a.Links != 0 || a.Size != 105000 {
			m.t.Errorf("%+v", a)
		}
		if !bytes.Equal(m.contents(inode)[:100000], pattern(100000, 1)) {
			m.t.Error("contents are gone")
		}
		_, err := m.Link(inode, RootInode, "again")
		m.refuses(err, ErrNotExist)
		m.ok(m.Forgotten(inode))
		_, err = m.Attributes(inode)
		m.refuses(err, ErrNotExist)
		m.refuses(m.Opened(inode), ErrNotExist)
		if m.used() >= before {
			m.t.Errorf("%d blocks, before %d", m.used(), before)
		}
	},
	"DirectoryInUseOutlivesItsName": func(m must) {
		inode := m.directory("d")
		m.ok(m.Opened(inode))
		m.ok(m.RemoveDirectory(RootInode, "d"))
		if a := m.attributes(inode); a.Links != 0 {
			m.t.Errorf("%+v", a)
		}
		_, err := m.Make(inode, "f", ModeRegular, 0, Credentials{})
		m.refuses(err, ErrNotExist)
		m.ok(m.Forgotten(inode))
		_, err = m.Attributes(inode)
		m.refuses(err, ErrNotExist)
	},
	"WithoutANameItIsGoneAfterACrash": func(m must) {
		empty := m.used()
		large, small, folder := m.file("large"), m.file("small"), m.directory("folder")
		m.write(large, 0, pattern(3<<20, 1))
		m.write(small, 0, []byte("small"))
		m.ok(m.SetXattr(small, "user.a", make([]byte, MaximumXattr), 0))
		for _, inode := range []uint64{large, small, folder} {
			m.ok(m.Opened(inode))
		}
		m.ok(m.Unlink(RootInode, "large"))
		m.ok(m.Unlink(RootInode, "small"))
		m.ok(m.RemoveDirectory(RootInode, "folder"))
		if m.Statistics().Inodes != 4 {
			m.t.Errorf("%+v", m.Statistics())
		}
		m.crash(m.t)
		for _, inode := range []uint64{large, small, folder} {
			_, err := m.Attributes(inode)
			m.refuses(err, ErrNotExist)
		}
		if m.Statistics().Inodes != 1 || m.used() > empty+8 {
			m.t.Errorf("%+v, %d blocks of %d", m.Statistics(), m.used(), empty)
		}
	},
	"TemporaryFileMayGetAName": func(m must) {
		made, err := m.MakeTemporary(RootInode, 0o600, Credentials{UID: 7})
		m.ok(err)
		m.ok(m.Opened(made.Inode))
		m.write(made.Inode, 0, []byte("contents"))
		a, err := m.Link(made.Inode, RootInode, "f")
		m.ok(err)
		m.ok(m.Forgotten(made.Inode))
		m.crash(m.t)
		if a.Links != 1 || a.UID != 7 || string(m.contents(made.Inode)) != "contents" {
			m.t.Errorf("%+v", a)
		}
		nameless, err := m.MakeTemporary(RootInode, 0o600, Credentials{})
		m.ok(err)
		m.ok(m.Opened(nameless.Inode))
		m.ok(m.Forgotten(nameless.Inode))
		_, err = m.Attributes(nameless.Inode)
		m.refuses(err, ErrNotExist)
	},
	"SetGroupIDOfADirectoryGivesTheGroup": func(m must) {
		inode := m.directory("d")
		m.change(inode, Changes{Valid: ChangeMode | ChangeGID, Mode: 0o2775, GID: 99})
		m.change(inode, Changes{Valid: ChangeMode, Mode: 0o2775})
		file, err := m.Make(inode, "f", ModeRegular|0o666, 0, Credentials{UID: 1, GID: 2, Umask: 0o022})
		m.ok(err)
		directory, err := m.Make(inode, "d", ModeDirectory|0o777, 0, Credentials{UID: 1, GID: 2, Umask: 0o027})
		m.ok(err)
		if file.GID != 99 || file.UID != 1 || file.Mode != ModeRegular|0o644 || directory.GID != 99 || directory.Mode != ModeDirectory|0o2750 {
			m.t.Errorf("%+v %+v", file, directory)
		}
	},
	"NewOwnerEndsSetID": func(m must) {
		for mode, want := range map[uint32]uint32{0o6755: 0o755, 0o4755: 0o755, 0o2755: 0o755, 0o2745: 0o2745, 0o6644: 0o2644, 0o1755: 0o1755} {
			inode := m.make(RootInode, fmt.Sprintf("%o", mode), ModeRegular|mode)
			m.ok(m.SetXattr(inode, "security.capability", []byte("cap"), 0))
			if a := m.change(inode, Changes{Valid: ChangeGID}); a.Mode != ModeRegular|want {
				m.t.Errorf("%o: %o, should be %o", mode, a.Mode, want)
			}
			_, err := m.Xattr(inode, "security.capability")
			m.refuses(err, ErrNoAttribute)
		}
		if a := m.change(m.make(RootInode, "d", ModeDirectory|0o6755), Changes{Valid: ChangeUID, UID: 1}); a.Mode != ModeDirectory|0o6755 {
			m.t.Errorf("%o of a directory", a.Mode)
		}
	},
	"WriteEndsPrivileges": func(m must) {
		for _, finding := range []struct {
			name       string
			change     func(inode uint64) error
			mode       uint32
			capability bool
		}{
			{"ByRoot", func(i uint64) error { return try(m.Write(i, 0, []byte("x"), 0)) }, 0o6755, false},
			{"ByOthers", func(i uint64) error { return try(m.Write(i, 0, []byte("x"), DropSetID)) }, 0o755, false},
			{"FromCache", func(i uint64) error { return try(m.Write(i, 0, []byte("x"), FromCache)) }, 0o6755, true},
			{"Nothing", func(i uint64) error { return try(m.Write(i, 0, nil, DropSetID)) }, 0o6755, true},
			{"TruncateByRoot", func(i uint64) error { return try(m.Change(i, Changes{Valid: ChangeSize, Size: 9})) }, 0o6755, false},
			{"TruncateByOthers", func(i uint64) error { return try(m.Change(i, Changes{Valid: ChangeSize | ChangeDropSetID})) }, 0o755, false},
			{"AllocateByOthers", func(i uint64) error { return m.Allocate(i, 0, 0, 1, DropSetID) }, 0o755, false},
			{"Times", func(i uint64) error { return try(m.Change(i, Changes{Valid: ChangeModifiedNow})) }, 0o6755, true},
		} {
			inode := m.make(RootInode, finding.name, ModeRegular|0o6755)
			m.ok(m.SetXattr(inode, "security.capability", []byte("cap"), 0))
			m.ok(finding.change(inode))
			if a := m.attributes(inode); a.Mode != ModeRegular|finding.mode {
				m.t.Errorf("%s: %o, should be %o", finding.name, a.Mode, finding.mode)
			}
			if _, err := m.Xattr(inode, "security.capability"); (err == nil) != finding.capability {
				m.t.Errorf("%s: capability: %v", finding.name, err)
			}
		}
	},
	"AttributesHave64KiBAtMost": func(m must) {
		inode, directory := m.file("f"), m.directory("d")
		longest := "user." + strings.Repeat("x", 250)
		for _, length := range []int{0, 1, 1019, 1020, 1021, 5000, MaximumXattr, 100} {
			value := pattern(length, byte(length))
			m.ok(m.SetXattr(inode, longest, value, 0))
			m.ok(m.SetXattr(directory, longest[:200], value, 0))
			m.ok(m.SetXattr(inode, longest[:254], []byte("neighbour"), 0))
			m.reopen(m.t)
			if got, err := m.Xattr(inode, longest); err != nil || !bytes.Equal(got, value) {
				m.t.Errorf("%d bytes: %d, %v", length, len(got), err)
			}
			if got, err := m.Xattr(inode, longest[:254]); err != nil || string(got) != "neighbour" {
				m.t.Errorf("neighbour: %q, %v", got, err)
			}
		}
		if names, err := m.ListXattrs(inode); err != nil || !slices.Equal(names, []string{longest[:254], longest}) {
			m.t.Errorf("%q %v", names, err)
		}
		m.refuses(m.SetXattr(inode, "user.a", make([]byte, MaximumXattr+1), 0), ErrAttributeTooBig)
		m.refuses(m.SetXattr(inode, longest+"x", nil, 0), ErrAttributeName)
		m.refuses(m.SetXattr(inode, longest, nil, XattrCreate), ErrExist)
		m.refuses(m.SetXattr(inode, "user.a", nil, XattrReplace), ErrNoAttribute)
		m.refuses(m.RemoveXattr(inode, "user.a"), ErrNoAttribute)
		m.ok(m.RemoveXattr(inode, longest))
		_, err := m.Xattr(inode, longest)
		m.refuses(err, ErrNoAttribute)
		if names, err := m.ListXattrs(directory); err != nil || len(names) != 1 {
			m.t.Errorf("%q %v", names, err)
		}
	},
	"CookiesStayWithNames": func(m must) {
		for i := range 300 {
			m.file(fmt.Sprintf("f%03d", i))
		}
		var half uint64
		count := 0
		m.ok(m.Directory(RootInode, 0, func(e Entry) bool { count++; half = e.Cookie; return count < 150 }))
		for i := 0; i < 300; i += 3 {
			m.ok(m.Unlink(RootInode, fmt.Sprintf("f%03d", i)))
		}
		m.ok(m.Rename(RootInode, "f001", RootInode, "f298", 0)) // f298 keeps its place
		m.reopen(m.t)
		rest := m.names(RootInode, half)
		if len(rest) != 100 || rest[0] != "f151" && rest[0] != "f150" || rest[99] != "f299" && rest[99] != "f298" {
			m.t.Errorf("%d names after the cookie: %q", len(rest), rest)
		}
		if all := m.names(RootInode, 0); len(all) != 199 {
			m.t.Errorf("%d names", len(all))
		}
	},
	"DirectoryMayChangeWhileItIsRead": func(m must) {
		for i := range 500 {
			m.file(fmt.Sprint(i))
		}
		seen := 0
		m.ok(m.Directory(RootInode, 0, func(e Entry) bool { seen++; m.ok(m.Unlink(RootInode, e.Name)); return true }))
		if seen != 500 || len(m.names(RootInode, 0)) != 0 {
			m.t.Errorf("%d names seen, %d left", seen, len(m.names(RootInode, 0)))
		}
	},
	"LinksHaveALimit": func(m must) {
		inode, directory := m.file("f"), m.directory("d")
		for _, number := range []uint64{inode, directory} {
			n, err := m.exclusive(number)
			m.ok(err)
			n.links += MaximumLinks - 2
			if number == inode {
				n.links++
			}
			m.release(n)
		}
		_, err := m.Link(inode, RootInode, "g")
		m.refuses(err, ErrTooManyLinks)
		_, err = m.Make(directory, "sub", ModeDirectory, 0, Credentials{})
		m.refuses(err, ErrTooManyLinks)
		m.directory("other")
		m.refuses(m.Rename(RootInode, "other", directory, "other", 0), ErrTooManyLinks)
	},
	"LargeFileIsFreedInSteps": func(m must) {
		inode := m.file("f")
		empty := m.used()
		for i := range int64(24) {
			m.write(inode, i<<20, pattern(1<<20, byte(i)))
		}
		m.ok(m.Allocate(inode, AllocatePunchHole|AllocateKeepSize, 1<<20+1, 20<<20, 0))
		if a := m.attributes(inode); a.Blocks != (3<<20+2*4096-4096)/512 && a.Blocks != (4<<20+4096)/512 {
			m.t.Errorf("%d blocks", a.Blocks)
		}
		if !bytes.Equal(m.contents(inode)[23<<20:], pattern(1<<20, 23)) || m.contents(inode)[1<<20] == 0 || m.contents(inode)[1<<20+1] != 0 {
			m.t.Error("the wrong bytes are zero")
		}
		m.truncate(inode, 100)
		m.truncate(inode, 30<<20)
		if a := m.attributes(inode); a.Blocks != 8 || !bytes.Equal(m.contents(inode)[100:], make([]byte, 30<<20-100)) {
			m.t.Errorf("old bytes in %d blocks", a.Blocks)
		}
		m.ok(m.Unlink(RootInode, "f"))
		if m.used() > empty+8 {
			m.t.Errorf("%d blocks, once %d", m.used(), empty)
		}
	},
	"OffsetsHaveALimit": func(m must) {
		inode := m.file("f")
		m.write(inode, MaximumSize-3, []byte("end"))
		_, err := m.Write(inode, MaximumSize-2, []byte("end"), 0)
		m.refuses(err, ErrFileTooBig)
		_, err = m.Change(inode, Changes{Valid: ChangeSize, Size: MaximumSize + 1})
		m.refuses(err, ErrFileTooBig)
		m.refuses(m.Allocate(inode, 0, MaximumSize, 1, 0), ErrFileTooBig)
		_, err = m.Write(inode, -1, []byte("x"), 0)
		m.refuses(err, ErrInvalid)
		_, err = m.Read(inode, -1, make([]byte, 1))
		m.refuses(err, ErrInvalid)
		if at, err := m.Seek(inode, 0, SeekData); err != nil || at != (MaximumSize-3)/4096*4096 {
			m.t.Errorf("%d %v", at, err)
		}
		m.truncate(inode, 0)
	},
	"SeekFindsDataAndHoles": func(m must) {
		inode := m.file("f")
		m.write(inode, 8192, pattern(4096, 1))
		m.write(inode, 1<<20, pattern(300000, 1))
		m.truncate(inode, 2<<20)
		for _, finding := range []struct {
			offset int64
			whence int
			want   int64
			err    error
		}{{0, SeekData, 8192, nil}, {0, SeekHole, 0, nil}, {8192, SeekHole, 12288, nil}, {9000, SeekData, 9000, nil}, {12288, SeekData, 1 << 20, nil},
			{1<<20 + 5, SeekHole, (1<<20 + 300000 + 4095) / 4096 * 4096, nil}, {2<<20 - 1, SeekData, 0, ErrBeyondEnd}, {2 << 20, SeekHole, 0, ErrBeyondEnd}, {-1, SeekHole, 0, ErrBeyondEnd}, {0, 1, 0, ErrInvalid}} {
			if got, err := m.Seek(inode, finding.offset, finding.whence); got != finding.want || !errors.Is(err, finding.err) {
				m.t.Errorf("%d, %d: %d %v, should be %d %v", finding.offset, finding.whence, got, err, finding.want, finding.err)
			}
		}
		m.truncate(inode, 1<<20+300000)
		if got, err := m.Seek(inode, 1<<20, SeekHole); err != nil || got != 1<<20+300000 {
			m.t.Errorf("hole at the end: %d %v", got, err)
		}
		small := m.file("small")
		m.write(small, 0, []byte("small"))
		if got, err := m.Seek(small, 2, SeekHole); err != nil || got != 5 {
			m.t.Errorf("small: %d %v", got, err)
		}
	},
	"AllocateRefusesWhatItCannot": func(m must) {
		inode := m.file("f")
		for _, mode := range []uint32{0x02, 0x08, 0x20, 0x40, 0x12, 0x100} {
			m.refuses(m.Allocate(inode, mode, 0, 4096, 0), ErrNotSupported)
		}
		m.refuses(m.Allocate(inode, 0, 0, 0, 0), ErrInvalid)
		m.refuses(m.Allocate(inode, 0, -1, 5, 0), ErrInvalid)
		m.refuses(m.Allocate(RootInode, 0, 0, 5, 0), ErrIsDirectory)
		m.refuses(m.Allocate(inode, 0, 0, 1<<50, 0), ErrNoSpace)
		m.refuses(m.Allocate(inode, AllocateKeepSize, 0, 1<<50, 0), ErrNoSpace)
		m.ok(m.Allocate(inode, AllocateKeepSize, 0, 5000, 0))
		if a := m.attributes(inode); a.Size != 0 {
			m.t.Errorf("%d bytes", a.Size)
		}
	},
	"DirectoriesDoNotMoveIntoThemselves": func(m must) {
		a := m.directory("a")
		b := m.make(a, "b", ModeDirectory)
		c := m.make(b, "c", ModeDirectory)
		m.refuses(m.Rename(RootInode, "a", b, "x", 0), ErrInvalid)
		m.refuses(m.Rename(RootInode, "a", a, "x", 0), ErrInvalid)
		m.refuses(m.Rename(RootInode, "a", b, "c", RenameExchange), ErrInvalid)
		m.refuses(m.Rename(b, "c", RootInode, "a", RenameExchange), ErrInvalid)
		m.refuses(m.Rename(b, "c", RootInode, "a", 0), ErrNotEmpty)
		m.refuses(m.Rename(RootInode, "a", RootInode, "n", RenameExchange), ErrNotExist)
		m.refuses(m.Rename(RootInode, "a", RootInode, "n", 4), ErrInvalid)
		m.ok(m.Rename(b, "c", RootInode, "c", 0))
		if parent, err := m.Parent(c); err != nil || parent != RootInode {
			m.t.Errorf("%d %v", parent, err)
		}
	},
	"ReadMovesTheTimeOfAccessWhenItIsOlder": func(m must) {
		inode := m.file("f")
		m.write(inode, 0, []byte("x"))
		old := Time{Seconds: 1_600_000_000}
		for name, finding := range map[string]struct {
			changes Changes
			moves   bool
		}{
			"OlderThanTheModification": {Changes{Valid: ChangeAccessed, Accessed: old}, true},
			"ADayOld":                  {Changes{Valid: ChangeAccessed | ChangeModified | ChangeChanged, Accessed: old, Modified: Time{}, Changed: Time{}}, true},
			"Newer":                    {Changes{Valid: ChangeAccessed | ChangeModified | ChangeChanged, Accessed: Time{Seconds: 1_699_999_999}, Modified: old, Changed: old}, false},
		} {
			before := m.change(inode, finding.changes)
			_, err := m.Read(inode, 0, make([]byte, 1))
			m.ok(err)
			after := m.attributes(inode)
			if (after.Accessed != before.Accessed) != finding.moves || after.Changed != before.Changed {
				m.t.Errorf("%s: %+v after %+v", name, after, before)
			}
			m.reopen(m.t)
			if again := m.attributes(inode); again != after {
				m.t.Errorf("%s: %+v, before closing %+v", name, again, after)
			}
		}
	},
	"NumbersAreNeverUsedAgain": func(m must) {
		last := uint64(0)
		for i := range 20 {
			inode := m.file("f")
			if inode <= last {
				m.t.Fatalf("%d after %d", inode, last)
			}
			last = inode
			m.ok(m.Unlink(RootInode, "f"))
			if i%2 == 0 {
				m.crash(m.t)
			} else {
				m.reopen(m.t)
			}
		}
	},
	"GivenTimesAreKept": func(m must) {
		inode := m.file("f")
		want := m.attributes(inode)
		want.Accessed, want.Modified, want.Changed = Time{-5, 999_999_999}, Time{1 << 40, 1}, Time{7, 8}
		m.change(inode, Changes{Valid: ChangeAccessed | ChangeModified | ChangeChanged, Accessed: want.Accessed, Modified: want.Modified, Changed: want.Changed})
		m.reopen(m.t)
		if got := m.attributes(inode); got != want {
			m.t.Errorf("%+v, should be %+v", got, want)
		}
		_, err := m.Change(inode, Changes{Valid: ChangeModified, Modified: Time{0, nanosPerSecond}})
		m.refuses(err, ErrInvalid)
	},
	"CopyCopies": func(m must) {
		from, to := m.file("from"), m.file("to")
		m.write(from, 0, pattern(3<<20, 1))
		if n, err := m.Copy(from, 5, to, 3, 1<<30, 0); err != nil || n != 3<<20-5 {
			m.t.Errorf("%d %v", n, err)
		}
		if !bytes.Equal(m.contents(to)[3:], pattern(3<<20, 1)[5:]) {
			m.t.Error("other bytes")
		}
		_, err := m.Copy(from, 0, from, 10, 20, 0)
		m.refuses(err, ErrInvalid)
	},
	"WrongTypesAreRefused": func(m must) {
		inode, pipe := m.file("f"), m.make(RootInode, "p", ModePipe|0o600)
		_, err := m.Lookup(inode, "x")
		m.refuses(err, ErrNotDirectory)
		_, err = m.Lookup(99, "x")
		m.refuses(err, ErrNotExist)
		_, err = m.Make(inode, "x", ModeRegular, 0, Credentials{})
		m.refuses(err, ErrNotDirectory)
		_, err = m.Make(RootInode, "x", 0o644, 0, Credentials{})
		m.refuses(err, ErrInvalid)
		_, err = m.Read(RootInode, 0, make([]byte, 1))
		m.refuses(err, ErrIsDirectory)
		_, err = m.Write(RootInode, 0, make([]byte, 4096), 0)
		m.refuses(err, ErrIsDirectory)
		_, err = m.Write(pipe, 0, make([]byte, 1), 0)
		m.refuses(err, ErrInvalid)
		m.refuses(m.Directory(inode, 0, nil), ErrNotDirectory)
		_, err = m.Parent(inode)
		m.refuses(err, ErrNotDirectory)
		_, err = m.Link(RootInode, RootInode, "x")
		m.refuses(err, ErrNotPermitted)
		m.refuses(Format(m.store, Attributes{}), ErrExist)
	},
}

func TestFindings(t *testing.T) {
	for name, finding := range findings {
		t.Run(name, func(t *testing.T) { finding(must{newFixture(t, 1<<20), t}) })
	}
}
