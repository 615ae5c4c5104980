// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"encoding/binary"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Seek returns the first offset not before the given one that lies in data (SeekData) or in a hole (SeekHole); every file ends with a hole.
func (v *Volume) Seek(inode uint64, offset int64, whence int) (int64, error) {
	n, err := v.shared(inode)
	if err != nil {
		return 0, err
	}
	defer v.releaseShared(n)
	switch {
	case whence != SeekData && whence != SeekHole:
		return 0, ErrInvalid
	case !n.isRegular():
		return 0, n.writable()
	case offset < 0 || uint64(offset) >= n.size:
		return 0, ErrBeyondEnd
	case n.isInline() && whence == SeekData:
		return offset, nil
	case n.isInline():
		return int64(n.size), nil
	}
	first := uint64(offset) / blockSize
	found, err := v.seek(n, first, whence == SeekData)
	switch {
	case err != nil:
		return 0, err
	case found == noBlock && whence == SeekData:
		return 0, ErrBeyondEnd
	case found == first:
		return offset, nil
	case found >= n.held(): // a hole
		return int64(n.size), nil
	}
	return int64(found * blockSize), nil
}

// seek returns the first block from one on that is data, or noBlock; or the first that is a hole, at the latest that after the file's last.
func (v *Volume) seek(n *node, block uint64, data bool) (uint64, error) {
	var from, to keyBuffer
	var fault error
	found := false
	var pointers []store.Pointer
	err := v.store.Scan(from.numbers(kindBlocks, n.number, block/groupSize), to.numbers(kindBlocks, n.number+1), func(key, value []byte) bool {
		start := binary.BigEndian.Uint64(key[9:]) * groupSize
		if pointers, fault = decodePointers(pointers[:0], value); fault != nil {
			return false
		}
		if start > block && !data { // the groups between have none
			found = true
			return false
		}
		for block = max(block, start); block < start+groupSize; block++ {
			present := block-start < uint64(len(pointers)) && pointers[block-start] != (store.Pointer{})
			if found = present == data; found {
				return false
			}
		}
		return true
	})
	if err == nil {
		err = fault
	}
	if !found && data {
		block = noBlock
	}
	return block, err
}

const copyStep = 256 // blocks

// Copy copies length bytes between two files or two places of one, which must not overlap (copy_file_range(2)), and returns how many: fewer at the end of
// the source, or with the error that came in between. Blocks are bound to their file, so that they are encrypted anew.
func (v *Volume) Copy(from uint64, fromOffset int64, to uint64, toOffset, length int64, how WriteFlags) (int64, error) {
	if length < 0 || from == to && fromOffset < toOffset+length && toOffset < fromOffset+length {
		return 0, ErrInvalid
	}
	t := v.transfer()
	defer v.finish(t)
	var done int64
	for done < length {
		buffer := t.blocks(copyStep)
		read, err := v.Read(from, fromOffset+done, buffer[:min(int64(len(buffer)), length-done)])
		if err != nil || read == 0 {
			return done, err
		}
		written, err := v.Write(to, toOffset+done, buffer[:read], how)
		if done += int64(written); err != nil {
			return done, err
		}
	}
	return done, nil
}
