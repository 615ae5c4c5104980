// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"encoding/binary"
	"math"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// stepGroups is how many groups one batch frees, unless a test says otherwise: 8 MiB of data.
const stepGroups = 64

const noBlock = math.MaxUint64

var allBlocks = span{0, noBlock}

// span is a range of blocks, end excluded.
type span struct{ first, end uint64 }

func (s span) empty() bool { return s.first >= s.end }

// freeSpan frees blocks of a file in a batch, at most those of v.step groups, and says whether these were all.
func (v *Volume) freeSpan(b *store.Batch, number uint64, next *inode, s span) (complete bool, err error) {
	if s.empty() || next.blocks == 0 {
		return true, nil
	}
	t := v.transfer()
	defer v.finish(t)
	t.old, t.groups = t.old[:0], t.groups[:0]
	complete = true
	var from, to keyBuffer
	var fault error
	err = v.store.Scan(from.numbers(kindBlocks, number, s.first/groupSize), to.numbers(kindBlocks, number, (s.end-1)/groupSize+1), func(key, value []byte) bool {
		if len(t.groups) == v.step {
			complete = false
			return false
		}
		t.groups = append(t.groups, binary.BigEndian.Uint64(key[9:]))
		if t.old, fault = decodePointers(t.old, value); fault != nil {
			return false
		}
		for len(t.old) < len(t.groups)*groupSize {
			t.old = append(t.old, store.Pointer{})
		}
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return false, err
	}
	for i, group := range t.groups {
		next.blocks -= v.freeOfGroup(b, number, group, t.old[i*groupSize:(i+1)*groupSize], s)
	}
	return complete, nil
}

// freeOfGroup frees those pointers of a group that lie in a span, and returns how many were no holes.
func (v *Volume) freeOfGroup(b *store.Batch, number, group uint64, pointers []store.Pointer, s span) uint64 {
	start := group * groupSize
	from, to := int(max(s.first, start)-start), int(min(s.end-start, groupSize))
	rest := false
	for i, p := range pointers {
		rest = rest || (i < from || i >= to) && p != (store.Pointer{})
	}
	freed := v.free(b, pointers[from:to])
	var key keyBuffer
	switch {
	case !rest:
		b.Delete(key.numbers(kindBlocks, number, group))
	case freed > 0:
		var holes [groupSize * pointerSize]byte
		b.Patch(key.numbers(kindBlocks, number, group), from*pointerSize, holes[:(to-from)*pointerSize])
	}
	return freed
}

// commitFreeing is commit of a change that also frees a span. If that takes more than one batch, the first one leaves a note of the rest. An error with n.fault
// set came after the first one.
func (v *Volume) commitFreeing(b *store.Batch, n *node, next *inode, s span) error {
	complete, err := v.freeSpan(b, n.number, next, s)
	if err != nil {
		return err
	}
	if !complete {
		putNote(b, n.number, s)
	}
	if err := v.commit(b, n, next); err != nil || complete {
		return err
	}
	if err := v.finishFreeing(n, s); err != nil {
		n.fault = err // what the note says has to come before any other change: at the next Open
		return err
	}
	return nil
}

// finishFreeing frees what a note says, and removes it.
func (v *Volume) finishFreeing(n *node, s span) error {
	for complete := false; !complete; {
		b := v.batch()
		next := n.inode
		var err error
		if complete, err = v.freeSpan(b, n.number, &next, s); err == nil {
			if complete && n.links > 0 { // without a name it keeps one, whatever that says
				dropNote(b, n.number)
			}
			err = v.commit(b, n, &next)
		}
		v.done(b)
		if err != nil {
			return err
		}
	}
	return nil
}

// resize puts a new size into next and the batch, and returns the blocks that are to be freed with it.
func (v *Volume) resize(b *store.Batch, n *node, next *inode, t *transfer, size uint64) (span, error) {
	next.size = size
	switch {
	case next.isInline() && size <= maximumInline:
		contents := make([]byte, size)
		copy(contents, next.inline)
		next.inline = contents
		return span{}, nil
	case next.isInline():
		return span{}, v.spill(b, n.number, next, t)
	case size >= n.size:
		return span{}, nil
	case size == 0:
		next.flags |= flagInline
		return allBlocks, nil
	}
	if err := v.clearPart(b, n, next, t, size/blockSize, size%blockSize, blockSize); err != nil {
		return span{}, err
	}
	if blocksOf(size) == blocksOf(n.size) {
		return span{}, nil
	}
	return span{blocksOf(size), noBlock}, nil
}

// clearPart zeroes the bytes from..to of a block that is in the image; nothing for from = 0 and to = the block's end, since such a block is freed.
func (v *Volume) clearPart(b *store.Batch, n *node, next *inode, t *transfer, index, from, to uint64) error {
	if from >= to || from == 0 && to == blockSize {
		return nil
	}
	if err := v.pointers(t, n.number, &n.inode, index, 1); err != nil {
		return err
	}
	if t.old[0] == (store.Pointer{}) {
		return nil
	}
	block := t.blocks(1)
	if err := v.block(n, index, t.old[0], block); err != nil {
		return err
	}
	clear(block[from:to])
	have := len(t.fresh)
	if err := v.writeNew(n.number, index, block, t); err != nil {
		return err
	}
	putPointers(b, n.number, index, t.fresh[have:])
	next.blocks += 1 - v.free(b, t.old)
	return nil
}

// punch zeroes the bytes offset..end of a file, and returns the blocks that are to be freed for it.
func (v *Volume) punch(b *store.Batch, n *node, next *inode, t *transfer, offset, end uint64) (span, error) {
	if end = min(end, n.size); offset >= end {
		return span{}, nil
	}
	if n.isInline() {
		next.inline = append([]byte(nil), next.inline...)
		clear(next.inline[offset:end])
		return span{}, nil
	}
	if end == n.size {
		end = blocksOf(end) * blockSize // what the last block has beyond the size is zero as it is
	}
	first, last := offset/blockSize, end/blockSize
	if first == last {
		return span{}, v.clearPart(b, n, next, t, first, offset%blockSize, end%blockSize)
	}
	if offset%blockSize != 0 {
		if err := v.clearPart(b, n, next, t, first, offset%blockSize, blockSize); err != nil {
			return span{}, err
		}
		first++
	}
	return span{first, last}, v.clearPart(b, n, next, t, last, 0, end%blockSize)
}

// Allocate is fallocate(2): 0 makes a file longer if need be, AllocateKeepSize promises space, AllocatePunchHole (with AllocateKeepSize) and AllocateZeroRange
// zero. Space is promised as far as there is some now: since nothing is written in place, none can be set aside.
func (v *Volume) Allocate(inode uint64, mode uint32, offset, length int64, how WriteFlags) error {
	switch {
	case offset < 0 || length <= 0:
		return ErrInvalid
	case mode&^(AllocateKeepSize|AllocatePunchHole|AllocateZeroRange) != 0, mode&AllocatePunchHole != 0 && mode != AllocatePunchHole|AllocateKeepSize:
		return ErrNotSupported
	case uint64(offset)+uint64(length) > MaximumSize:
		return ErrFileTooBig
	}
	n, err := v.exclusive(inode)
	if err != nil {
		return err
	}
	defer v.release(n)
	if err := n.writable(); err != nil {
		return err
	}
	t, b := v.transfer(), v.batch()
	defer v.finish(t)
	defer v.done(b)
	t.fresh = t.fresh[:0]
	if err = v.allocate(b, n, t, mode, uint64(offset), uint64(offset)+uint64(length), how); err != nil && n.fault == nil {
		v.abandon(t.fresh)
	}
	return err
}

func (v *Volume) allocate(b *store.Batch, n *node, t *transfer, mode uint32, offset, end uint64, how WriteFlags) error {
	next := n.inode
	if err := v.written(b, n.number, &next, how); err != nil {
		return err
	}
	var freed span
	var err error
	if mode&(AllocatePunchHole|AllocateZeroRange) != 0 {
		freed, err = v.punch(b, n, &next, t, offset, end)
	} else if _, _, free := v.store.Usage(); blocksOf(end)-offset/blockSize > free+n.blocks {
		err = ErrNoSpace // even with all that the file has
	}
	if err == nil && mode&AllocateKeepSize == 0 && end > n.size {
		_, err = v.resize(b, n, &next, t, end)
	}
	if err != nil {
		return err
	}
	return v.commitFreeing(b, n, &next, freed)
}
