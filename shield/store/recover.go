// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// recover reads the newest state: root block, free map, log.
func (s *Store) recover() error {
	size, err := s.backing.Size()
	if err != nil {
		return lost("the image", err)
	}
	var known State
	if s.anchor != nil {
		if known, err = s.anchor.Load(s.keyring.keys.volume); err != nil {
			return lost("the anchor", err)
		}
	}
	blocks := uint64(max(size, 0)) / BlockSize
	if blocks < firstFree {
		return tampered("the image", fmt.Sprintf("has %d bytes, and the least that one can have is %d: it was cut off", size, firstFree*BlockSize))
	}
	if err := s.chooseRoot(known); err != nil {
		return err
	}
	switch {
	case blocks < s.image.blocks:
		return tampered("the image", fmt.Sprintf("has %d blocks, and its root block says %d: it was cut off", blocks, s.image.blocks))
	case s.image.clean && (blocks != s.image.blocks || size%BlockSize != 0):
		return tampered("the image", fmt.Sprintf("has %d bytes, and was closed with %d: something was appended", size, s.image.blocks*BlockSize))
	}
	if err := s.loadSpace(); err != nil {
		return err
	}
	if err := s.replay(known, blocks); err != nil {
		return err
	}
	if counted, _, _ := s.space.count(); counted*BlockSize != uint64(size) && !s.options.ReadOnly {
		if err := s.resize(counted); err != nil { // grown and not used before a crash, or by whoever has the storage
			return err
		}
	}
	s.generation.Store(uint32(s.image.generation))
	if !s.image.clean {
		s.image.seals += sealsAtOnce // what was sealed after the root block is not known
	}
	if known.Epoch > s.state.Epoch { // an accepted rollback
		s.state.Epoch = known.Epoch
	}
	s.batch++
	return nil
}

// chooseRoot takes the newer root block of those that authenticate, and holds it against the anchor.
func (s *Store) chooseRoot(known State) error {
	var found [rootBlocks]image
	var tags [rootBlocks][16]byte
	var faults [rootBlocks]error
	for i := range uint64(rootBlocks) {
		block := make([]byte, BlockSize)
		if faults[i] = s.read(block, i, fmt.Sprintf("block %d (root block)", i)); faults[i] == nil {
			found[i], tags[i], faults[i] = s.keyring.openRoot(block, i)
		}
		if kind := KindOf(faults[i]); kind == Lost || kind == Format {
			return faults[i]
		}
	}
	newest := 0
	if faults[0] != nil || faults[1] == nil && found[1].epoch > found[0].epoch {
		newest = 1
	}
	other := 1 - newest
	switch {
	case faults[newest] != nil: // neither authenticates
		if KindOf(faults[other]) == Tampered {
			return faults[other]
		}
		return faults[newest]
	case faults[other] != nil && KindOf(faults[other]) == WrongKey:
		faults[other] = tampered(fmt.Sprintf("block %d (root block)", other), "does not authenticate")
	}
	s.recovery.TornRoot = faults[other] != nil
	s.image = found[newest]
	s.state = State{Epoch: s.image.epoch, Root: tags[newest], Clean: s.image.clean}
	switch {
	case s.options.AcceptRollback:
		return nil
	case known.Epoch > s.image.epoch && faults[other] != nil:
		return errors.Join(faults[other], rolledBack(s.state, known)) // it held what the anchor knows
	case known.Epoch > s.image.epoch, known.Epoch == s.image.epoch && known.Root != s.state.Root:
		return rolledBack(s.state, known)
	}
	return nil
}

func rolledBack(found, known State) *Error {
	what := fmt.Sprintf("is at epoch %d, group %d of its log; the anchor knows epoch %d, group %d", found.Epoch, found.Sequence, known.Epoch, known.Sequence)
	if found.Epoch == known.Epoch && found.Root != known.Root {
		what = fmt.Sprintf("has another root block of epoch %d than the anchor knows: its history was forked", found.Epoch)
	}
	return &Error{Kind: RolledBack, Place: "the image", What: what, Hint: "it was replaced by an older copy; if that was you, restoring a backup, open it once accepting the rollback"}
}

// loadSpace reads the free map of the tree, for as many blocks as the root block says: memory for it must not depend on the size of a file.
func (s *Store) loadSpace() error {
	s.space = newSpace(s.image.blocks, s.resize)
	if s.image.root == (Pointer{}) {
		return tampered("the free map", "is empty")
	}
	root := &page{level: s.image.level, pointer: s.image.root}
	root.state.Store(stored)
	s.root.Store(root)
	var fault error
	_, err := s.walk(root, []byte{0}, []byte{1}, func(key, value []byte) bool {
		if len(key) != len(mapPrefix)+8 || string(key[:len(mapPrefix)]) != mapPrefix {
			fault = tampered("the tree", fmt.Sprintf("has key %q", key))
		} else {
			fault = s.space.load(key, value)
		}
		return fault == nil
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return err
	}
	for at := range uint64(firstFree) {
		if s.space.live[at/64]>>(at%64)&1 == 0 {
			return tampered("the free map", fmt.Sprintf("block %d is free", at))
		}
	}
	s.space.cursor = firstFree
	clear(s.space.changed)
	return nil
}

// replay reads the log and makes its changes again, in memory.
func (s *Store) replay(known State, blocks uint64) error {
	box, err := s.keyring.ofLog(s.image.epoch)
	if err != nil {
		return lost("the keys", err)
	}
	region := make([]byte, logBlocks*BlockSize)
	if err := s.read(region, logStart, "the log"); err != nil {
		return err
	}
	l := logReader{store: s, box: box, region: region}
	for {
		g, ok, err := l.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := s.replayGroup(g, blocks); err != nil {
			return &Error{Kind: Tampered, Place: fmt.Sprintf("group %d of the log", l.group), Err: err}
		}
	}
	s.state.Sequence = l.group
	s.state.Clean = s.image.clean && l.group == 0
	s.recovery.Groups = l.group
	if known.Epoch == s.image.epoch && known.Sequence > l.group && !s.options.AcceptRollback {
		if err := l.tail(); err != nil {
			return err
		}
		e := rolledBack(s.state, known)
		if l.data { // the log is there, and what it says was written is not
			e.Kind = Tampered
		}
		if l.fault != nil {
			e.Place = l.fault.Place
		}
		return e
	}
	return l.tail()
}

// replayGroup makes the changes of one group, in an image of so many blocks.
func (s *Store) replayGroup(g group, blocks uint64) error {
	for _, r := range g.runs {
		if r.address < firstFree {
			return fmt.Errorf("data at block %d", r.address)
		}
		if err := s.space.occupy(r.address, r.blocks, blocks); err != nil {
			return err
		}
	}
	for _, batch := range g.batches {
		if err := s.change(batch); err != nil {
			return err
		}
	}
	return nil
}

// logReader reads groups of the log until one is not whole.
type logReader struct {
	store  *Store
	box    box
	region []byte
	at     int    // block
	group  uint64 // the last whole one
	fault  *Error // why the next one is not whole
	data   bool   // of its data and not of itself
}

// next is the next group, or false at the end of the log: where a block does not authenticate, or data that was written with a group is not there.
// An attacker can make an end by changing a block, but only of the last group, since tail looks for later ones, and only as far as the anchor
// does not know that it was synced.
func (l *logReader) next() (group, bool, error) {
	var stream []byte
	at := l.at
	for number, of := 0, 1; number < of; number++ {
		if at == logBlocks {
			return group{}, false, nil
		}
		block := l.region[at*BlockSize:][:BlockSize]
		b, err := l.store.keyring.openLog(l.box, l.store.image.epoch, at, l.store.state.Root, block)
		if err != nil {
			l.fault = tampered(fmt.Sprintf("block %d (the log, group %d)", logStart+at, l.group+1), "does not authenticate")
			return group{}, false, nil
		}
		if number == 0 {
			of = b.of
		}
		if b.group != l.group+1 || b.number != number || b.of != of {
			return group{}, false, tampered(fmt.Sprintf("block %d (the log)", logStart+at), fmt.Sprintf("block %d of %d of group %d in the place of block %d of %d of group %d", b.number, b.of, b.group, number, of, l.group+1))
		}
		stream = append(stream, b.payload...)
		at++
	}
	g, err := decodeGroup(stream)
	if err != nil {
		return group{}, false, &Error{Kind: Tampered, Place: fmt.Sprintf("group %d of the log", l.group+1), Err: err}
	}
	for _, b := range g.blocks {
		if err := l.store.ReadBlocks(b.at, []Pointer{b.pointer}, make([]byte, BlockSize)); err != nil {
			if KindOf(err) != Tampered {
				return group{}, false, err
			}
			l.data = errors.As(err, &l.fault)
			return group{}, false, nil
		}
	}
	l.at = at
	l.group++
	return g, true, nil
}

// tail looks at what follows the end. A block of a later group than the one that is not whole was written after that one was synced, so it was
// whole once.
func (l *logReader) tail() error {
	for at := l.at; at < logBlocks; at++ {
		b, err := l.store.keyring.openLog(l.box, l.store.image.epoch, at, l.store.state.Root, l.region[at*BlockSize:][:BlockSize])
		if err != nil {
			continue
		}
		l.store.recovery.TornTail = true
		if b.group > l.group+1 {
			if l.fault != nil {
				return l.fault
			}
			return tampered("the log", fmt.Sprintf("group %d is missing, and group %d is there", l.group+1, b.group))
		}
	}
	return nil
}
