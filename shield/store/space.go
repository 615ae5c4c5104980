// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
)

const (
	groupBlocks = 8192 // blocks that one value of the free map stands for: 32 MiB
	groupWords  = groupBlocks / 64

	marginData   = 512  // blocks that only batches may use, so that a full image can be emptied
	marginRelief = 64   // blocks that only a checkpoint may use
	growLeast    = 1024 // blocks
	growMost     = 65536
)

// groups are sets of blocks by group.
type groups map[uint64]*[groupWords]uint64

// run is consecutive blocks.
type run struct {
	address uint64
	blocks  int
}

// space knows which blocks hold something. A block is live from its allocation until it is freed, and stays busy from then until the checkpoint
// that no longer needs it is on storage. The live ones are what a checkpoint writes down.
type space struct {
	mutex   sync.Mutex
	grow    func(blocks uint64) error
	blocks  uint64 // of the image
	live    []uint64
	busy    []uint64
	vacant  []int // blocks of each group that are not busy
	lives   uint64
	busies  uint64
	cursor  uint64              // where the next search begins
	high    uint64              // behind the last block that was ever busy
	changed map[uint64]struct{} // groups whose live blocks the newest checkpoint does not have
	freed   groups              // since the last checkpoint began
	pages   uint64              // pages that the next checkpoint and one under way have to write
}

func newSpace(blocks uint64, grow func(uint64) error) *space {
	s := &space{grow: grow, changed: map[uint64]struct{}{}, freed: groups{}}
	s.extend(blocks)
	return s
}

// extend makes the maps as long as the image.
func (s *space) extend(blocks uint64) {
	words, count := (blocks+63)/64, (blocks+groupBlocks-1)/groupBlocks
	s.live = append(s.live, make([]uint64, words-uint64(len(s.live)))...)
	s.busy = append(s.busy, make([]uint64, words-uint64(len(s.busy)))...)
	s.vacant = append(s.vacant, make([]int, count-uint64(len(s.vacant)))...)
	for at := s.blocks; at < blocks; {
		next := min(blocks, (at/groupBlocks+1)*groupBlocks)
		s.vacant[at/groupBlocks] += int(next - at)
		at = next
	}
	s.blocks = blocks
}

func (s *space) count() (blocks, live, busy uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.blocks, s.lives, s.busies
}

// reserved is how many blocks data may not have.
func (s *space) reserved() uint64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.needs() + marginData
}

// unwritten is how many pages of the tree are in memory only.
func (s *space) unwritten() uint64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.pages
}

// settle says how many pages the next checkpoint has to write.
func (s *space) settle(pages uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.pages = pages
}

// needs is how many blocks the next checkpoint takes at most. A group of the free map that changed may take a page of its own.
func (s *space) needs() uint64 { return s.pages + uint64(len(s.changed)) }

// ensure makes room for n blocks more than what is spoken for, growing the image if it has to.
func (s *space) ensure(n uint64) error {
	vacant := s.blocks - s.busies
	if vacant >= n {
		return nil
	}
	missing := n - vacant
	step := max(missing, min(growMost, max(growLeast, s.blocks/8)))
	err := s.grow(s.blocks + step)
	if err != nil && step > missing && KindOf(err) == Full {
		step = missing
		err = s.grow(s.blocks + step)
	}
	if err != nil {
		return err
	}
	s.extend(s.blocks + step)
	return nil
}

// allocateData takes n blocks for data, in as few runs as there are.
func (s *space) allocateData(n int) ([]run, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.ensure(uint64(n) + s.needs() + marginData); err != nil {
		return nil, err
	}
	return s.allocate(n), nil
}

// allocate takes n blocks that ensure has found to be there. The mutex is held.
func (s *space) allocate(n int) []run {
	var runs []run
	if s.cursor >= s.high && (s.high-s.busies)*4 > s.high { // a quarter of what was written once is vacant: file systems sync that faster than what was not
		s.cursor = firstFree
	}
	for n > 0 {
		r := s.search(n)
		s.mark(r)
		s.cursor = r.address + uint64(r.blocks)
		n -= r.blocks
		runs = append(runs, r)
	}
	return runs
}

// search finds the first vacant blocks from the cursor on, at most n of them.
func (s *space) search(n int) run {
	at := s.cursor
	for {
		if at >= s.blocks {
			at = 0
		}
		if at%groupBlocks == 0 && s.vacant[at/groupBlocks] == 0 {
			at += groupBlocks
			continue
		}
		word := ^s.busy[at/64] >> (at % 64)
		if word == 0 {
			at = (at/64 + 1) * 64
			continue
		}
		if at += uint64(bits.TrailingZeros64(word)); at < s.blocks {
			break
		}
	}
	end := at + 1
	for end < s.blocks && end-at < uint64(n) && s.busy[end/64]>>(end%64)&1 == 0 {
		end++
	}
	return run{at, int(end - at)}
}

// mark makes blocks live and busy; those that are already stay so.
func (s *space) mark(r run) {
	s.high = max(s.high, r.address+uint64(r.blocks))
	for at := r.address; at < r.address+uint64(r.blocks); at++ {
		word, bit := at/64, uint64(1)<<(at%64)
		if s.busy[word]&bit == 0 {
			s.busy[word] |= bit
			s.busies++
			s.vacant[at/groupBlocks]--
		}
		if s.live[word]&bit == 0 {
			s.live[word] |= bit
			s.lives++
			s.changed[at/groupBlocks] = struct{}{}
		}
	}
}

// unmark gives back at once what nothing on storage refers to.
func (s *space) unmark(r run) {
	for at := r.address; at < r.address+uint64(r.blocks); at++ {
		word, bit := at/64, uint64(1)<<(at%64)
		s.busy[word] &^= bit
		s.live[word] &^= bit
		s.busies--
		s.lives--
		s.vacant[at/groupBlocks]++
		s.changed[at/groupBlocks] = struct{}{}
	}
}

// occupy marks blocks from at on, as the log or Create say, in an image that has so many blocks.
func (s *space) occupy(at uint64, blocks int, has uint64) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	end := at + uint64(blocks)
	if end > has || end < at {
		return tampered(place(at, blocks), fmt.Sprintf("beyond the end of the image, which has %d blocks", has))
	}
	if end > s.blocks {
		s.extend(end)
	}
	s.mark(run{at, blocks})
	return nil
}

// giveBack frees blocks that WriteBlocks took and did not write.
func (s *space) giveBack(runs []run) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, r := range runs {
		s.unmark(r)
	}
}

// free makes blocks available after the next checkpoint: all of them, or none if one was not in use. The mutex is held.
func (s *space) free(runs []run) error {
	for i, r := range runs {
		for at := r.address; at < r.address+uint64(r.blocks); at++ {
			if at < firstFree || at >= s.blocks || s.live[at/64]>>(at%64)&1 == 0 {
				s.unfree(append(slices.Clone(runs[:i]), run{r.address, int(at - r.address)}))
				return &Error{Kind: Format, Place: place(at, 1), What: "was freed, and is not in use"}
			}
			s.live[at/64] &^= 1 << (at % 64)
			s.lives--
			group := at / groupBlocks
			s.changed[group] = struct{}{}
			if s.freed[group] == nil {
				s.freed[group] = new([groupWords]uint64)
			}
			s.freed[group][at%groupBlocks/64] |= 1 << (at % 64)
		}
	}
	return nil
}

func (s *space) unfree(runs []run) {
	for _, r := range runs {
		for at := r.address; at < r.address+uint64(r.blocks); at++ {
			s.live[at/64] |= 1 << (at % 64)
			s.lives++
			s.changed[at/groupBlocks] = struct{}{}
			s.freed[at/groupBlocks][at%groupBlocks/64] &^= 1 << (at % 64)
		}
	}
}

// release makes what was freed available.
func (s *space) release(freed groups) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for group, set := range freed {
		for i, word := range set {
			at := group*groupWords + uint64(i)
			if word == 0 {
				continue
			}
			word &= s.busy[at]
			s.busy[at] &^= word
			s.busies -= uint64(bits.OnesCount64(word))
			s.vacant[group] += bits.OnesCount64(word)
		}
	}
}

// The free map in the tree: a key for each group with live blocks. Its value is groupBlocks bits, the lowest of each byte first, or the single
// byte 1 where all are set.

const mapPrefix = "\x00F"

func mapKey(group uint64) []byte { return binary.BigEndian.AppendUint64([]byte(mapPrefix), group) }

// takeChanged returns the keys whose values changed, and their values (nil: none is live), in order. The mutex is held.
func (s *space) takeChanged() (keys, values [][]byte) {
	for _, group := range slices.Sorted(maps.Keys(s.changed)) {
		keys, values = append(keys, mapKey(group)), append(values, s.mapValue(group))
	}
	clear(s.changed)
	return keys, values
}

func (s *space) mapValue(group uint64) []byte {
	words := s.live[group*groupWords : min(uint64(len(s.live)), (group+1)*groupWords)]
	set := 0
	value := make([]byte, 0, groupBlocks/8)
	for _, word := range words {
		set += bits.OnesCount64(word)
		value = binary.LittleEndian.AppendUint64(value, word)
	}
	switch set {
	case 0:
		return nil
	case groupBlocks:
		return []byte{1}
	}
	return value[:groupBlocks/8]
}

// load takes over one value of the free map.
func (s *space) load(key, value []byte) error {
	group := binary.BigEndian.Uint64(key[len(mapPrefix):])
	full := len(value) == 1 && value[0] == 1
	if !full && len(value) != groupBlocks/8 || group > s.blocks/groupBlocks {
		return tampered("the free map", fmt.Sprintf("group %d, %d bytes", group, len(value)))
	}
	for i := range uint64(groupWords) {
		word := ^uint64(0)
		if !full {
			word = binary.LittleEndian.Uint64(value[i*8:])
		}
		if word == 0 {
			continue
		}
		at := group*groupWords + i
		if last := at*64 + uint64(63-bits.LeadingZeros64(word)); last >= s.blocks {
			return tampered("the free map", fmt.Sprintf("block %d is in use, and the image has %d", last, s.blocks))
		}
		s.live[at], s.busy[at] = word, word
		s.high = max(s.high, at*64+uint64(64-bits.LeadingZeros64(word)))
		n := bits.OnesCount64(word)
		s.lives, s.busies, s.vacant[group] = s.lives+uint64(n), s.busies+uint64(n), s.vacant[group]-n
	}
	return nil
}
