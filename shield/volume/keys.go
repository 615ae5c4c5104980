// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Kinds of keys in the store; the first byte. Numbers that follow are 8 bytes, big endian.
const (
	kindBlocks   = 'B' // inode, group -> pointers of up to groupSize blocks
	kindName     = 'D' // directory, name -> inode 8, type 1, cookie 8
	kindCookie   = 'E' // directory, cookie -> inode 8, type 1, name
	kindInode    = 'I' // inode -> inode
	kindOrphan   = 'O' // inode -> first 8, end 8: its blocks from first to before end are to be freed; if it has no name, all of it
	kindCounters = 'V' // -> next inode 8, inodes 8
	kindXattr    = 'X' // inode, name, 0, part 1 -> part of the value, in part 0 after its length 4
)

const (
	groupSize   = 32   // blocks of one value of kindBlocks
	pointerSize = 36   // bytes of a store.Pointer
	partSize    = 1024 // bytes of an extended attribute in one value
	keySize     = 1 + 8 + MaximumName + 2
)

// keyBuffer has room for any key.
type keyBuffer [keySize]byte

func (k *keyBuffer) numbers(kind byte, numbers ...uint64) []byte {
	key := append(k[:0], kind)
	for _, number := range numbers {
		key = binary.BigEndian.AppendUint64(key, number)
	}
	return key
}

func (k *keyBuffer) name(directory uint64, name string) []byte {
	return append(k.numbers(kindName, directory), name...)
}

func (k *keyBuffer) xattr(inode uint64, name string, part int) []byte {
	return append(append(k.numbers(kindXattr, inode), name...), 0, byte(part))
}

// putNote puts a note of what is to be freed into a batch. It patches, so that a batch which frees goes through where the store is full.
func putNote(b *store.Batch, inode uint64, s span) {
	var key keyBuffer
	var value [16]byte
	b.Patch(key.numbers(kindOrphan, inode), 0, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(value[:0], s.first), s.end))
}

func dropNote(b *store.Batch, inode uint64) {
	var key keyBuffer
	b.Delete(key.numbers(kindOrphan, inode))
}

// decodeNote reads what putNote puts.
func decodeNote(key, value []byte) (inode uint64, s span, err error) {
	if len(key) != 9 || len(value) != 16 {
		return 0, span{}, fmt.Errorf("note of %d and %d bytes: %w", len(key), len(value), ErrCorrupt)
	}
	big := binary.BigEndian
	return big.Uint64(key[1:]), span{big.Uint64(value), big.Uint64(value[8:])}, nil
}

// entry is what a name in a directory means.
type entry struct {
	inode  uint64
	mode   uint32 // the type alone
	cookie uint64
}

func (e entry) isDirectory() bool { return e.mode == ModeDirectory }

func appendEntry(to []byte, inode uint64, mode uint32) []byte {
	return append(binary.BigEndian.AppendUint64(to, inode), byte(mode>>12))
}

func (e entry) appendName(to []byte) []byte {
	return binary.BigEndian.AppendUint64(appendEntry(to, e.inode, e.mode), e.cookie)
}

func decodeType(b byte) (mode uint32, err error) {
	switch mode = uint32(b) << 12; mode {
	case ModeSocket, ModeSymlink, ModeRegular, ModeBlock, ModeDirectory, ModeCharacter, ModePipe:
		return mode, nil
	}
	return 0, fmt.Errorf("unknown type %d: %w", b, ErrCorrupt)
}

// decodeName reads the value of a name.
func decodeName(value []byte) (entry, error) {
	if len(value) != 17 {
		return entry{}, fmt.Errorf("name with a value of %d bytes: %w", len(value), ErrCorrupt)
	}
	mode, err := decodeType(value[8])
	e := entry{binary.BigEndian.Uint64(value), mode, binary.BigEndian.Uint64(value[9:])}
	if err == nil && (e.inode == 0 || e.cookie == 0) {
		err = fmt.Errorf("name of inode %d with cookie %d: %w", e.inode, e.cookie, ErrCorrupt)
	}
	return e, err
}

// decodeCookie reads a key of kindCookie with its value.
func decodeCookie(key, value []byte) (Entry, error) {
	if len(key) != 17 || len(value) < 10 || len(value) > 9+MaximumName {
		return Entry{}, fmt.Errorf("place in a directory with %d and %d bytes: %w", len(key), len(value), ErrCorrupt)
	}
	mode, err := decodeType(value[8])
	return Entry{string(value[9:]), binary.BigEndian.Uint64(value), mode, binary.BigEndian.Uint64(key[9:])}, err
}

// decodePointers appends the pointers of a group's value.
func decodePointers(to []store.Pointer, value []byte) ([]store.Pointer, error) {
	if len(value)%pointerSize != 0 || len(value) > groupSize*pointerSize {
		return to, fmt.Errorf("pointers of %d bytes: %w", len(value), ErrCorrupt)
	}
	for ; len(value) > 0; value = value[pointerSize:] {
		to = append(to, store.Pointer(value))
	}
	return to, nil
}

// Blocks calls emit for each block of data that the value of a key points to, and nothing for values of other kinds: what store.Verify asks.
func Blocks(key, value []byte, emit func(store.Location, store.Pointer)) {
	if len(key) != 17 || key[0] != kindBlocks {
		return
	}
	inode, group := binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:])
	for i := 0; i < groupSize && len(value) >= (i+1)*pointerSize; i++ {
		if p := store.Pointer(value[i*pointerSize:]); p != (store.Pointer{}) {
			emit(store.Location{File: inode, Index: group*groupSize + uint64(i)}, p)
		}
	}
}
