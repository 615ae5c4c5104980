// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
)

// Export copies the image as it is when it begins into an empty backing, block by block and still sealed, while the store is in use. The copy
// opens with the same keys; where there is an anchor it is a rollback to be accepted, since the volume went on. What storage changed is copied
// as it is: Verify the copy. progress is in blocks.
func (s *Store) Export(to Backing, progress func(done, total uint64)) error {
	if size, err := to.Size(); err != nil || size != 0 {
		return &Error{Kind: Format, Place: "the copy", What: fmt.Sprintf("has %d bytes where an empty one is wanted", size), Err: err}
	}
	still, err := s.still()
	if err != nil {
		return err
	}
	defer s.leave(still.came)
	if err := to.Resize(int64(still.blocks) * BlockSize); err != nil {
		return lost("the copy", err)
	}
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	for at, done := uint64(firstFree), uint64(0); at < still.blocks; {
		n := uint64(0)
		for at+n < still.blocks && n < uint64(len(buf)/BlockSize) && still.used[(at+n)/64]>>((at+n)%64)&1 == 1 {
			n++
		}
		if n == 0 {
			at++
			continue
		}
		if err := s.read(buf[:n*BlockSize], at, place(at, int(n))); err != nil {
			return err
		}
		if _, err := to.WriteAt(buf[:n*BlockSize], int64(at)*BlockSize); err != nil {
			return lost("the copy", err)
		}
		if at, done = at+n, done+n; progress != nil {
			progress(done, still.total)
		}
	}
	if err := to.Sync(); err != nil { // before the root blocks make it an image
		return lost("the copy", err)
	}
	if _, err := to.WriteAt(still.fixed, 0); err != nil {
		return lost("the copy", err)
	}
	if err := to.Sync(); err != nil {
		return lost("the copy", err)
	}
	return nil
}

// stillness is a state that does not change until its reader leaves.
type stillness struct {
	fixed  []byte   // root blocks and log
	used   []uint64 // all blocks that it may reach, and some more
	blocks uint64   // of the image
	total  uint64   // that are used
	came   uint64
}

func (s *Store) still() (stillness, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	if !s.options.ReadOnly {
		if err := s.failed(); err != nil {
			return stillness{}, err
		}
		if err := s.checkpoint(false); err != nil {
			return stillness{}, err
		}
	}
	still := stillness{fixed: make([]byte, firstFree*BlockSize), blocks: s.image.blocks}
	if err := s.read(still.fixed, 0, "the root blocks and the log"); err != nil {
		return stillness{}, err
	}
	s.space.mutex.Lock()
	defer s.space.mutex.Unlock()
	if s.options.ReadOnly { // what the log has may be behind what the root block knows
		still.blocks = s.space.blocks
	}
	still.used, still.total = slices.Clone(s.space.busy), s.space.busies // what was freed since is reached by that state
	still.came = s.readers.enter()
	return still, nil
}
