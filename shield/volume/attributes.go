// SPDX-License-Identifier: Apache-2.0

package volume

import "time"

// Types of files as in st_mode, and the bits of permissions that operations look at. Source: inode(7).
const (
	ModeType      = 0o170000 // S_IFMT
	ModeSocket    = 0o140000
	ModeSymlink   = 0o120000
	ModeRegular   = 0o100000
	ModeBlock     = 0o060000
	ModeDirectory = 0o040000
	ModeCharacter = 0o020000
	ModePipe      = 0o010000

	ModeSetUID       = 0o4000
	ModeSetGID       = 0o2000
	ModeGroupExecute = 0o0010
	ModePermissions  = 0o7777
)

// Limits of a volume.
const (
	MaximumName    = 255       // bytes of a name, and of an extended attribute's
	MaximumTarget  = 4095      // bytes of a symbolic link
	MaximumXattr   = 64 << 10  // bytes of an extended attribute's value
	MaximumSize    = 1<<60 - 1 // bytes of a file
	MaximumLinks   = 1<<31 - 1 // names of a file; subdirectories of a directory
	RootInode      = 1         // the number of the root directory
	nanosPerSecond = 1e9
)

// Time is a point in time as inodes keep it: seconds since 1970, and nanoseconds below 1e9 that are added.
type Time struct {
	Seconds     int64
	Nanoseconds uint32
}

// TimeOf returns t as inodes keep it.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

func (t Time) before(u Time) bool {
	return t.Seconds < u.Seconds || t.Seconds == u.Seconds && t.Nanoseconds < u.Nanoseconds
}

// Attributes are what stat(2) says of a file. A directory's Size is the number of its names.
type Attributes struct {
	Inode                                uint64
	Mode                                 uint32 // type and permissions
	Links, UID, GID                      uint32
	Device                               uint32 // of a character or block device, as the kernel encodes it
	Size                                 uint64
	Blocks                               uint64 // of 512 bytes, what the data holds in the image
	Accessed, Modified, Changed, Created Time
}

// Change says which parts of Changes hold.
type Change uint32

const (
	ChangeMode Change = 1 << iota
	ChangeUID
	ChangeGID
	ChangeSize
	ChangeAccessed
	ChangeModified
	ChangeChanged // otherwise the time of change is now
	ChangeAccessedNow
	ChangeModifiedNow
	ChangeDropSetID // of a new size, by somebody without CAP_FSETID: set-user-ID and set-group-ID go
)

// Changes are new attributes of a file, as setattr has them.
type Changes struct {
	Valid                       Change
	Mode                        uint32 // permissions; the type stays
	UID, GID                    uint32
	Size                        uint64
	Accessed, Modified, Changed Time
}

// Credentials say who creates a file. The group of a directory with S_ISGID goes before GID.
type Credentials struct{ UID, GID, Umask uint32 }

// WriteFlags say what a write does besides.
type WriteFlags uint8

const (
	// DropSetID clears set-user-ID, and set-group-ID where the group may execute: the writer has no CAP_FSETID.
	DropSetID WriteFlags = 1 << iota
	// FromCache is a write of pages that the kernel kept for a while. Other writes remove security.capability, as the kernel does at write(2); these came
	// before whatever the attribute says by now.
	FromCache
)

// Flags of Rename. Source: rename(2).
const (
	RenameNoReplace = 1 << 0
	RenameExchange  = 1 << 1
)

// Flags of SetXattr. Source: setxattr(2).
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// Modes of Allocate that are supported, besides 0. Source: fallocate(2).
const (
	AllocateKeepSize  = 0x01
	AllocatePunchHole = 0x02
	AllocateZeroRange = 0x10
)

// Whence of Seek. Source: lseek(2).
const (
	SeekData = 3
	SeekHole = 4
)

// Entry is a name in a directory. Cookies grow from 1 in the order of creation and stay with the name; none is used twice in a directory.
type Entry struct {
	Name   string
	Inode  uint64
	Mode   uint32 // the type alone
	Cookie uint64
}

// Statistics are what statfs(2) says of the volume, in blocks of BlockSize bytes.
type Statistics struct {
	BlockSize                         uint32
	Blocks, Free                      uint64
	Inodes, InodesFree, InodesMaximum uint64 // used; how many more the free blocks could hold; their sum
}
