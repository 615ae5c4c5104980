// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"fmt"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// transfer is the memory of one read or write.
type transfer struct {
	old, fresh []store.Pointer
	buffer     []byte // whole blocks
	groups     []uint64
}

const keptBuffer = 2 << 20 // bytes of a buffer that a transfer keeps for the next one

func (v *Volume) transfer() *transfer { return v.moves.Get().(*transfer) }

func (v *Volume) finish(t *transfer) {
	if cap(t.buffer) > keptBuffer {
		t.buffer = nil
	}
	v.moves.Put(t)
}

// blocks returns a buffer of so many blocks, with what it had last.
func (t *transfer) blocks(count uint64) []byte {
	if need := int(count) * blockSize; cap(t.buffer) < need {
		t.buffer = make([]byte, need)
	}
	return t.buffer[:count*blockSize]
}

// pointers sets t.old to those of count blocks from first on.
func (v *Volume) pointers(t *transfer, number uint64, i *inode, first, count uint64) error {
	t.old = t.old[:0]
	var key keyBuffer
	var buffer [groupSize * pointerSize]byte
	for block, held := first, i.held(); block < first+count; {
		group := block / groupSize
		var value []byte
		if block < held && i.blocks > 0 {
			var err error
			if value, err = v.store.Get(key.numbers(kindBlocks, number, group), buffer[:0]); err != nil {
				return err
			}
			if len(value)%pointerSize != 0 || len(value) > len(buffer) {
				return fmt.Errorf("inode %d: pointers of %d bytes: %w", number, len(value), ErrCorrupt)
			}
		}
		for ; block < first+count && block/groupSize == group; block++ {
			var p store.Pointer
			if at := int(block%groupSize) * pointerSize; at < len(value) {
				p = store.Pointer(value[at:])
			}
			t.old = append(t.old, p)
		}
	}
	return nil
}

// putPointers puts the pointers of the blocks from first on into a batch.
func putPointers(b *store.Batch, number, first uint64, pointers []store.Pointer) {
	var key keyBuffer
	var buffer [groupSize * pointerSize]byte
	for len(pointers) > 0 {
		group, from := first/groupSize, int(first%groupSize)
		count := min(groupSize-from, len(pointers))
		value := buffer[:0]
		for i := range pointers[:count] {
			value = append(value, pointers[i][:]...)
		}
		b.Patch(key.numbers(kindBlocks, number, group), from*pointerSize, value)
		first, pointers = first+uint64(count), pointers[count:]
	}
}

// free frees blocks in a batch, and returns how many of the pointers were no holes.
func (v *Volume) free(b *store.Batch, pointers []store.Pointer) uint64 {
	var count uint64
	for i := range pointers {
		if pointers[i] != (store.Pointer{}) {
			count++
		}
	}
	if count > 0 {
		v.store.Free(b, pointers...)
	}
	return count
}

// abandon gives back blocks that were written and will not be reachable.
func (v *Volume) abandon(pointers []store.Pointer) {
	if len(pointers) == 0 {
		return
	}
	b := v.batch()
	defer v.done(b)
	v.store.Free(b, pointers...)
	_ = v.apply(b) // else they are lost until the volume is opened again
}

// Read reads from an offset on, and returns how many bytes: fewer than asked for at the end of the file. It is fastest with whole blocks; bytes of into
// beyond those that it returns may change.
func (v *Volume) Read(inode uint64, offset int64, into []byte) (int, error) {
	n, err := v.shared(inode)
	if err != nil {
		return 0, err
	}
	defer v.releaseShared(n)
	switch {
	case n.isDirectory():
		return 0, ErrIsDirectory
	case offset < 0 || !n.isRegular():
		return 0, ErrInvalid
	}
	read, err := v.read(n, uint64(offset), into)
	if err == nil && !v.store.ReadOnly() {
		v.touch(n)
	}
	return read, err
}

func (v *Volume) read(n *node, offset uint64, into []byte) (int, error) {
	if offset >= n.size || len(into) == 0 {
		return 0, nil
	}
	length := min(uint64(len(into)), n.size-offset)
	if n.isInline() {
		return copy(into, n.inline[offset:]), nil
	}
	t := v.transfer()
	defer v.finish(t)
	first, skip := offset/blockSize, offset%blockSize
	count := blocksOf(skip + length)
	if err := v.pointers(t, n.number, &n.inode, first, count); err != nil {
		return 0, err
	}
	direct := into
	if skip != 0 || uint64(len(into)) < count*blockSize {
		direct = t.blocks(count)
	}
	if err := v.store.ReadBlocks(store.Location{File: n.number, Index: first}, t.old, direct[:count*blockSize]); err != nil {
		return 0, err
	}
	if skip != 0 || uint64(len(into)) < count*blockSize {
		copy(into, direct[skip:skip+length])
	}
	return int(length), nil
}

// Write writes data at an offset, all of it or nothing.
func (v *Volume) Write(inode uint64, offset int64, data []byte, how WriteFlags) (int, error) {
	switch {
	case offset < 0:
		return 0, ErrInvalid
	case len(data) == 0:
		return 0, nil
	case uint64(offset)+uint64(len(data)) > MaximumSize:
		return 0, ErrFileTooBig
	}
	n, err := v.shared(inode)
	if err != nil {
		return 0, err
	}
	defer v.unpin(n)
	err = n.writable()
	n.RUnlock()
	if err != nil {
		return 0, err
	}
	t := v.transfer()
	defer v.finish(t)
	t.fresh = t.fresh[:0]
	if offset%blockSize == 0 && len(data)%blockSize == 0 { // whole blocks need nothing of the file: encrypted outside its lock
		t.fresh = append(t.fresh, make([]store.Pointer, len(data)/blockSize)...)
		if err := v.store.WriteBlocks(store.Location{File: inode, Index: uint64(offset) / blockSize}, data, t.fresh); err != nil {
			return 0, err
		}
	}
	n.Lock()
	defer n.Unlock()
	if err = n.fault; err == nil {
		err = v.write(n, t, uint64(offset), data, how)
	}
	if err != nil {
		v.abandon(t.fresh)
		return 0, err
	}
	return len(data), nil
}

// writable says what a write to the file is answered with.
func (i *inode) writable() error {
	switch {
	case i.isDirectory():
		return ErrIsDirectory
	case !i.isRegular():
		return ErrInvalid
	}
	return nil
}

// write writes to an exclusive node. t.fresh has what was written of it already; what it writes besides is added there, to be abandoned on an error.
func (v *Volume) write(n *node, t *transfer, offset uint64, data []byte, how WriteFlags) error {
	b := v.batch()
	defer v.done(b)
	next := n.inode
	if err := v.written(b, n.number, &next, how); err != nil {
		return err
	}
	end := offset + uint64(len(data))
	next.size = max(n.size, end)
	if n.isInline() && next.size <= maximumInline {
		next.inline = make([]byte, next.size)
		copy(next.inline, n.inline)
		copy(next.inline[offset:], data)
	} else if err := v.writeBlocks(b, n, &next, t, offset, data); err != nil {
		return err
	}
	return v.commit(b, n, &next)
}

// written notes in next that the contents change: times and privileges.
func (v *Volume) written(b *store.Batch, number uint64, next *inode, how WriteFlags) error {
	next.stamp(v.now())
	if how&DropSetID != 0 {
		next.dropPrivileges()
	}
	if how&FromCache != 0 {
		return nil
	}
	return v.dropCapability(b, number, next)
}

// commit applies a batch by which the node becomes next.
func (v *Volume) commit(b *store.Batch, n *node, next *inode) error {
	whole := save(b, n.number, &n.inode, next)
	if err := v.apply(b); err != nil {
		return err
	}
	n.became(next, whole)
	return nil
}

// became notes that the store has next as the inode, the time of access too if the whole header was written.
func (n *node) became(next *inode, whole bool) {
	n.inode = *next
	n.accessed = n.accessed && !whole
}

// writeBlocks is write where the contents are in blocks, or will be.
func (v *Volume) writeBlocks(b *store.Batch, n *node, next *inode, t *transfer, offset uint64, data []byte) error {
	first, end := offset/blockSize, offset+uint64(len(data))
	count := blocksOf(end) - first
	if err := v.pointers(t, n.number, &n.inode, first, count); err != nil {
		return err
	}
	if len(t.fresh) == 0 {
		whole, err := v.fill(n, t, first, count, offset, data)
		if err != nil {
			return err
		}
		if err := v.writeNew(n.number, first, whole, t); err != nil {
			return err
		}
	}
	if first == 0 { // what was in the inode is in the first block by now
		next.flags &^= flagInline
		next.inline = nil
	} else if err := v.spill(b, n.number, next, t); err != nil {
		return err
	}
	putPointers(b, n.number, first, t.fresh[:count])
	next.blocks += count - v.free(b, t.old)
	return nil
}

// writeNew writes whole blocks and adds their pointers to t.fresh, where they are abandoned on a later error.
func (v *Volume) writeNew(number, first uint64, whole []byte, t *transfer) error {
	have := len(t.fresh)
	t.fresh = append(t.fresh, make([]store.Pointer, len(whole)/blockSize)...)
	if err := v.store.WriteBlocks(store.Location{File: number, Index: first}, whole, t.fresh[have:]); err != nil {
		t.fresh = t.fresh[:have]
		return err
	}
	return nil
}

// fill returns whole blocks for data that begin or end within one: what the file has there around them. t.old are the pointers.
func (v *Volume) fill(n *node, t *transfer, first, count, offset uint64, data []byte) ([]byte, error) {
	whole := t.blocks(count)
	end := offset + uint64(len(data))
	head, tail := offset%blockSize != 0, end%blockSize != 0
	if head || tail && count == 1 {
		if err := v.block(n, first, t.old[0], whole[:blockSize]); err != nil {
			return nil, err
		}
	}
	if tail && count > 1 {
		if err := v.block(n, first+count-1, t.old[count-1], whole[(count-1)*blockSize:]); err != nil {
			return nil, err
		}
	}
	copy(whole[offset-first*blockSize:], data)
	return whole, nil
}

// block reads one block of a file, as it is or as it would be, were the contents not in the inode.
func (v *Volume) block(n *node, index uint64, pointer store.Pointer, into []byte) error {
	if pointer == (store.Pointer{}) {
		clear(into)
		if index == 0 {
			copy(into, n.inline)
		}
		return nil
	}
	return v.store.ReadBlocks(store.Location{File: n.number, Index: index}, []store.Pointer{pointer}, into)
}

// spill moves contents from the inode, if they are there, into the file's first block.
func (v *Volume) spill(b *store.Batch, number uint64, next *inode, t *transfer) error {
	contents := next.inline
	next.flags &^= flagInline
	next.inline = nil
	if len(contents) == 0 {
		return nil
	}
	block := make([]byte, blockSize)
	copy(block, contents)
	have := len(t.fresh)
	if err := v.writeNew(number, 0, block, t); err != nil {
		return err
	}
	putPointers(b, number, 0, t.fresh[have:])
	next.blocks++
	return nil
}
