// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

const (
	blockSize = store.BlockSize

	headerSize    = 104  // bytes of an inode before its contents
	maximumInline = 1024 // bytes of a file that are kept in the inode's value instead of a block
)

// Bits of inode.flags.
const (
	flagInline     = 1 << iota // the contents follow the header
	flagXattrs                 // has extended attributes, or had
	flagCapability             // has security.capability
	flagTemporary              // was made without a name, and may be given one
	knownFlags     = flagInline | flagXattrs | flagCapability | flagTemporary
)

// inode is an inode as it is kept. Encoded, integers are big endian, in this order:
//
//	0 size 8 | 8 blocks 8 | 16 modified 12 | 28 changed 12 | 40 accessed 12 | 52 created 12 (each seconds 8, nanoseconds 4)
//	64 mode 4 | 68 links 4 | 72 uid 4 | 76 gid 4 | 80 device 4 | 84 flags 4 | 88 parent 8 | 96 cookie 8 | 104 contents, if flagInline: size bytes
//
// Invariants: no block at or beyond the size; what the last block has beyond the size is zero.
type inode struct {
	size, blocks                         uint64 // bytes, and blocks that are not holes; of a directory its names, and 0
	modified, changed, accessed, created Time
	mode, links, uid, gid, device, flags uint32
	parent                               uint64 // of a directory
	cookie                               uint64 // of a directory: the one last given to a name
	inline                               []byte // never changed in place: copies of an inode share it
}

func (i *inode) isDirectory() bool { return i.mode&ModeType == ModeDirectory }
func (i *inode) isRegular() bool   { return i.mode&ModeType == ModeRegular }
func (i *inode) isInline() bool    { return i.flags&flagInline != 0 }

// held is how many blocks the size spans, holes included.
func (i *inode) held() uint64 {
	if i.isInline() || i.isDirectory() {
		return 0
	}
	return blocksOf(i.size)
}

// blocksOf returns how many blocks that many bytes need.
func blocksOf(size uint64) uint64 { return (size + blockSize - 1) / blockSize }

func (i *inode) attributes(number uint64) Attributes {
	blocks := i.blocks * (blockSize / 512)
	if i.isInline() {
		blocks = (i.size + 511) / 512 // a file with contents and no blocks would pass for a hole
	}
	return Attributes{Inode: number, Mode: i.mode, Links: i.links, UID: i.uid, GID: i.gid, Device: i.device, Size: i.size, Blocks: blocks,
		Accessed: i.accessed, Modified: i.modified, Changed: i.changed, Created: i.created}
}

// stamp moves the times of an inode whose contents or names change.
func (i *inode) stamp(now Time) { i.modified, i.changed = now, now }

// dropPrivileges clears what a write or a change of the owner ends. Source: setattr_should_drop_suidgid in the kernel's fs/attr.c.
func (i *inode) dropPrivileges() {
	if i.isDirectory() {
		return
	}
	i.mode &^= ModeSetUID
	if i.mode&ModeGroupExecute != 0 {
		i.mode &^= ModeSetGID
	}
}

func appendTime(to []byte, t Time) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(to, uint64(t.Seconds)), t.Nanoseconds)
}

// appendHeader appends the inode without its contents.
func (i *inode) appendHeader(to []byte) []byte {
	big := binary.BigEndian
	to = big.AppendUint64(big.AppendUint64(to, i.size), i.blocks)
	for _, t := range [...]Time{i.modified, i.changed, i.accessed, i.created} {
		to = appendTime(to, t)
	}
	for _, word := range [...]uint32{i.mode, i.links, i.uid, i.gid, i.device, i.flags} {
		to = big.AppendUint32(to, word)
	}
	return big.AppendUint64(big.AppendUint64(to, i.parent), i.cookie)
}

// decodeInode reads what appendHeader and the contents made. It keeps nothing of the value.
func decodeInode(value []byte) (inode, error) {
	if len(value) < headerSize {
		return inode{}, fmt.Errorf("%d bytes, fewer than a header's %d: %w", len(value), headerSize, ErrCorrupt)
	}
	big := binary.BigEndian
	at := func(offset int) Time {
		return Time{int64(big.Uint64(value[offset:])), big.Uint32(value[offset+8:])}
	}
	i := inode{
		size: big.Uint64(value), blocks: big.Uint64(value[8:]),
		modified: at(16), changed: at(28), accessed: at(40), created: at(52),
		mode: big.Uint32(value[64:]), links: big.Uint32(value[68:]), uid: big.Uint32(value[72:]), gid: big.Uint32(value[76:]),
		device: big.Uint32(value[80:]), flags: big.Uint32(value[84:]), parent: big.Uint64(value[88:]), cookie: big.Uint64(value[96:]),
	}
	if fault := i.fault(len(value) - headerSize); fault != "" {
		return inode{}, fmt.Errorf("%s: %w", fault, ErrCorrupt)
	}
	if len(value) > headerSize {
		i.inline = append([]byte(nil), value[headerSize:]...)
	}
	return i, nil
}

// fault says why no volume has the inode with that many bytes after its header, or "".
func (i *inode) fault(contents int) string {
	for _, t := range [...]Time{i.modified, i.changed, i.accessed, i.created} {
		if t.Nanoseconds >= nanosPerSecond {
			return fmt.Sprintf("time with %d nanoseconds", t.Nanoseconds)
		}
	}
	switch i.mode & ModeType {
	case ModeDirectory:
		if i.parent == 0 || i.links == 1 || i.size > i.cookie || i.flags&flagInline != 0 {
			return "impossible directory"
		}
	case ModeRegular, ModeSymlink:
		if i.size > MaximumSize {
			return fmt.Sprintf("size %d", i.size)
		}
	case ModeSocket, ModeBlock, ModeCharacter, ModePipe:
		if i.size != 0 || i.flags&flagInline != 0 {
			return "special file with contents"
		}
	default:
		return fmt.Sprintf("unknown type of mode %#o", i.mode)
	}
	switch {
	case i.flags&^uint32(knownFlags) != 0:
		return fmt.Sprintf("unknown flags %#x", i.flags)
	case i.mode&^uint32(ModeType|ModePermissions) != 0:
		return fmt.Sprintf("mode %#o", i.mode)
	case i.links > MaximumLinks:
		return fmt.Sprintf("%d links", i.links)
	case i.isInline() && (i.size > maximumInline || uint64(contents) != i.size):
		return fmt.Sprintf("%d bytes of contents in a file of %d", contents, i.size)
	case !i.isInline() && contents != 0:
		return fmt.Sprintf("%d bytes after the header", contents)
	case i.blocks > MaximumSize/blockSize+1:
		return fmt.Sprintf("%d blocks", i.blocks)
	}
	return ""
}
