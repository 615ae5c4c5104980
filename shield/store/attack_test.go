// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// victim is a store with something of every kind in it, and a way back to earlier states of its image.
type victim struct {
	*Store
	t       *testing.T
	backing *recorder
	blocks  map[Location]Pointer
	older   []byte // the image, some epochs before
	former  []byte // the image at the end of the epoch before, with a log
	begun   []byte // the image in this epoch, with one group of the log fewer
	forked  []byte // an image of this epoch number with another history
	bare    bool   // opened without an anchor
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, backing: newRecorder(nil), blocks: map[Location]Pointer{}}
	var err error
	if v.Store, err = Create(v.backing, testOptions(t, v.backing)); err != nil {
		t.Fatal(err)
	}
	stop(v.Store)
	for i := range 600 {
		v.put(fmt.Sprintf("key %04d", i), strings.Repeat("v", 400))
	}
	for file := range uint64(3) {
		for index := range uint64(8) {
			v.write(Location{1 + file, index}, byte(file*8+index))
		}
	}
	v.must(v.Store.Checkpoint())
	v.older = bytes.Clone(v.backing.bytes)
	for rounds := 0; rounds < 8 || v.reused() == 0; rounds++ { // the space of the older blocks is used again
		if rounds == 100 {
			t.Fatal("no page is where another was")
		}
		for i := range 600 {
			v.put(fmt.Sprintf("key %04d", i), strings.Repeat("w", 400))
		}
		v.write(Location{1, 0}, 'x')
		v.must(v.Store.Checkpoint())
	}
	v.put("logged", "of the epoch before")
	v.write(Location{2, 0}, 'e')
	v.must(v.Store.Sync())
	v.former = bytes.Clone(v.backing.bytes)
	v.must(v.Store.Checkpoint())
	v.put("logged", "one")
	v.must(v.Store.Sync())
	v.put("logged", "two")
	v.must(v.Store.Sync())
	v.begun = bytes.Clone(v.backing.bytes)
	v.write(Location{3, 0}, 'z')
	v.must(v.Store.Sync())
	return v
}

func (v *victim) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) put(key, value string) {
	v.t.Helper()
	var b Batch
	b.Put([]byte(key), []byte(value))
	v.must(v.Apply(&b))
}

func (v *victim) write(at Location, fill byte) {
	v.t.Helper()
	var b Batch
	out := make([]Pointer, 1)
	v.must(v.WriteBlocks(at, bytes.Repeat([]byte{fill}, BlockSize), out))
	if old, ok := v.blocks[at]; ok {
		v.Free(&b, old)
	}
	b.Put(blockKey(at), out[0][:])
	v.must(v.Apply(&b))
	v.blocks[at] = out[0]
}

func emitBlocks(key, value []byte, emit func(Location, Pointer)) {
	if key[0] == 'B' {
		emit(keyLocation(key), Pointer(value))
	}
}

// use reads everything through the running store, as its users would.
func (v *victim) use() error {
	v.cache.mutex.Lock()
	for _, p := range v.cache.ring {
		p.content.Store(nil)
	}
	v.cache.ring, v.cache.hand = nil, 0
	v.cache.mutex.Unlock()
	_, err := contents(v.Store)
	return err
}

func (v *victim) verify() error {
	_, err := v.Verify(nil, emitBlocks)
	return err
}

// reopen is what a new server finds after the old one was killed.
func (v *victim) reopen() error {
	next := newRecorder(v.backing.bytes)
	next.anchors = v.backing.anchors
	o := testOptions(v.t, next)
	if v.bare {
		o.Anchor = nil
	}
	s, err := Open(next, o)
	if err != nil {
		return err
	}
	stop(s)
	_, err = contents(s)
	return err
}

// leaf and inner are the addresses of pages of the tree.
func (v *victim) page(level uint8) uint64 {
	p := v.root.Load()
	for p.level > level {
		c, err := v.load(p)
		v.must(err)
		p = c.children[len(c.children)-1]
	}
	if p.level != level || p.state.Load() != stored {
		p = v.stored(v.root.Load(), level)
	}
	return p.pointer.address()
}

func (v *victim) stored(p *page, level uint8) *page {
	if p.level == level {
		if p.state.Load() == stored {
			return p
		}
		return nil
	}
	c, err := v.load(p)
	v.must(err)
	for _, child := range c.children {
		if q := v.stored(child, level); q != nil {
			return q
		}
	}
	return nil
}

func (v *victim) flip(address uint64, offset int) {
	v.backing.bytes[address*BlockSize+uint64(offset)] ^= 4
}

func (v *victim) block(image []byte, address uint64) []byte {
	return image[address*BlockSize:][:BlockSize]
}

func (v *victim) restore(from []byte, first, blocks uint64) {
	copy(v.backing.bytes[first*BlockSize:], from[first*BlockSize:(first+blocks)*BlockSize])
}

// newestRoot and olderRoot are the root blocks.
func (v *victim) newestRoot() uint64 { return v.image.epoch % rootBlocks }
func (v *victim) olderRoot() uint64  { return 1 - v.newestRoot() }

// attack is a change of the image that storage can make.
type attack struct {
	do     func(v *victim)
	kind   Kind
	place  func(v *victim) string
	opened bool // found when it is opened again, or when everything is read then
	used   bool // found by reading everything through the running store
	bare   bool // opened again without an anchor
}

func (a attack) isNamed(t *testing.T, v *victim, replaced bool) {
	place := a.place(v)
	v.bare = a.bare
	a.do(v)
	err := v.reopen()
	switch {
	case !a.opened && err != nil:
		t.Errorf("opened again: %v", err)
	case a.opened && (KindOf(err) != a.kind || !strings.Contains(err.Error(), place)):
		t.Errorf("opened again: %v, want %v at %q", err, a.kind, place)
	}
	if a.used {
		if err := v.use(); KindOf(err) != Tampered {
			t.Errorf("used: %v", err)
		}
	}
	if err := v.verify(); (err == nil) != replaced || err != nil && KindOf(err) != Tampered && KindOf(err) != RolledBack {
		t.Errorf("verified: %v", err)
	}
}

func TestEachAttackIsNamed(t *testing.T) {
	data := Location{2, 3}
	rootPlace := func(v *victim) string { return fmt.Sprintf("block %d (root block)", v.newestRoot()) }
	dataPlace := func(v *victim) string {
		return fmt.Sprintf("block %d (data: file 2, block 3)", new(v.blocks[data]).address())
	}
	for name, attack := range map[string]attack{
		"BitInDataBlock":             {func(v *victim) { v.flip(new(v.blocks[data]).address(), 77) }, Tampered, dataPlace, true, true, false},
		"BitInLeaf":                  {func(v *victim) { v.flip(v.page(0), 4095) }, Tampered, func(*victim) string { return "page of level 0" }, true, true, false},
		"BitInInnerPage":             {func(v *victim) { v.flip(v.stored(v.oldRoot(), 1).pointer.address(), 0) }, Tampered, func(*victim) string { return "page of level 1" }, true, false, false},
		"BitInNewestRootBlock":       {func(v *victim) { v.flip(v.newestRoot(), 500) }, Tampered, rootPlace, true, false, false},
		"BitInTagOfNewestRootBlock":  {func(v *victim) { v.flip(v.newestRoot(), rootClear+rootSalt) }, Tampered, rootPlace, true, false, false},
		"BitInSaltOfNewestRootBlock": {func(v *victim) { v.flip(v.newestRoot(), rootClear) }, Tampered, rootPlace, true, false, false},
		"BitInMagicOfRootBlock":      {func(v *victim) { v.flip(v.newestRoot(), 0) }, Tampered, rootPlace, true, false, false},
		"BitInKeyCheckOfRootBlock":   {func(v *victim) { v.flip(v.newestRoot(), 20) }, Tampered, rootPlace, true, false, false},
		"BitInOlderRootBlock":        {func(v *victim) { v.flip(v.olderRoot(), 4000) }, Tampered, func(v *victim) string { return fmt.Sprintf("block %d (root block)", v.olderRoot()) }, false, false, false},
		"BothRootBlocksZeroed":       {func(v *victim) { clear(v.backing.bytes[:2*BlockSize]) }, Tampered, func(*victim) string { return "block 0 (root block)" }, true, false, true},
		"BitInLogInTheMiddle":        {func(v *victim) { v.flip(logStart, 1000) }, Tampered, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart) }, true, false, true},
		"BitInNonceOfLogBlock":       {func(v *victim) { v.flip(logStart+1, 3) }, Tampered, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart+1) }, true, false, true},
		"BitInLastLogBlock":          {func(v *victim) { v.flip(logStart+2, 1000) }, RolledBack, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart+2) }, true, false, false},
		"BitInDataOfLastGroup":       {func(v *victim) { v.flip(new(v.blocks[Location{3, 0}]).address(), 9) }, Tampered, func(*victim) string { return "data: file 3, block 0" }, true, true, false},
		"LogBlocksSwapped":           {func(v *victim) { v.swap(logStart, logStart+1) }, Tampered, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart) }, true, false, true},
		"LogOfTheEpochBefore":        {func(v *victim) { v.restore(v.former, logStart, logBlocks) }, RolledBack, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart) }, true, false, false},
		"LogOfEarlierInThisEpoch":    {func(v *victim) { v.restore(v.begun, logStart, logBlocks) }, RolledBack, func(*victim) string { return fmt.Sprintf("block %d (the log, group 3)", logStart+2) }, true, false, false},
		"LogZeroed":                  {func(v *victim) { clear(v.backing.bytes[logStart*BlockSize : firstFree*BlockSize]) }, RolledBack, func(*victim) string { return fmt.Sprintf("block %d (the log", logStart) }, true, false, false},
		"PagesSwapped":               {func(v *victim) { v.swap(v.page(0), v.otherLeaf()) }, Tampered, func(*victim) string { return "page of level 0" }, true, true, false},
		"DataBlocksSwapped": {func(v *victim) {
			v.swap(new(v.blocks[data]).address(), new(v.blocks[Location{2, 4}]).address())
		}, Tampered, dataPlace, true, true, false},
		"BlocksOfFilesSwapped": {func(v *victim) {
			v.swap(new(v.blocks[data]).address(), new(v.blocks[Location{3, 3}]).address())
		}, Tampered, dataPlace, true, true, false},
		"DataBlockZeroed":           {func(v *victim) { clear(v.block(v.backing.bytes, new(v.blocks[data]).address())) }, Tampered, dataPlace, true, true, false},
		"OlderCopyOfAPage":          {func(v *victim) { v.restore(v.older, v.reused(), 1) }, Tampered, func(*victim) string { return "of the tree" }, true, true, false},
		"OlderCopyOfOneRootBlock":   {func(v *victim) { v.restore(v.older, v.newestRoot(), 1) }, RolledBack, func(*victim) string { return "" }, true, false, false},
		"OlderCopyOfBothRootBlocks": {func(v *victim) { v.restore(v.older, 0, 2) }, RolledBack, func(*victim) string { return "" }, true, false, false},
		"OlderRootBlocksNoAnchor":   {func(v *victim) { v.restore(v.older, 0, 2) }, Tampered, func(*victim) string { return "of the tree" }, true, false, true},
		"RootBlocksSwapped":         {func(v *victim) { v.swap(0, 1) }, Tampered, func(*victim) string { return "block 0 (root block)" }, true, false, false},
		"OlderCopyOfTheWholeImage":  {func(v *victim) { v.backing.bytes = bytes.Clone(v.older) }, RolledBack, func(*victim) string { return "the image" }, true, true, false},
		"ImageOfTheEpochBefore":     {func(v *victim) { v.backing.bytes = bytes.Clone(v.former) }, RolledBack, func(*victim) string { return "the image" }, true, false, false},
		"ImageOfEarlierInThisEpoch": {func(v *victim) { v.backing.bytes = bytes.Clone(v.begun) }, RolledBack, func(*victim) string { return "group 3" }, true, false, false},
		"ImageOfAnotherHistory":     {func(v *victim) { v.fork() }, RolledBack, func(*victim) string { return "the image" }, true, false, false},
		"ImageCutOffBelowTheTree":   {func(v *victim) { v.backing.bytes = v.backing.bytes[:(firstFree+2)*BlockSize] }, Tampered, func(*victim) string { return "the image" }, true, false, false},
		"ImageCutOffByABlock":       {func(v *victim) { v.backing.bytes = v.backing.bytes[:len(v.backing.bytes)-BlockSize] }, Tampered, func(*victim) string { return "the image" }, true, false, false},
		"ImageEmpty":                {func(v *victim) { v.backing.bytes = nil }, Tampered, func(*victim) string { return "the image" }, true, false, true},
		"ImageZeroed":               {func(v *victim) { clear(v.backing.bytes) }, Tampered, func(*victim) string { return "root block" }, true, true, true},
		"ImageExtendedWhileInUse":   {func(v *victim) { v.backing.bytes = append(v.backing.bytes, make([]byte, BlockSize)...) }, Tampered, func(*victim) string { return "the image" }, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			attack.isNamed(t, newVictim(t), name == "BitInInnerPage") // which memory had replaced already
		})
	}
}

func (v *victim) swap(a, b uint64) {
	one := bytes.Clone(v.block(v.backing.bytes, a))
	copy(v.block(v.backing.bytes, a), v.block(v.backing.bytes, b))
	copy(v.block(v.backing.bytes, b), one)
}

// oldRoot is the tree as the newest root block has it.
func (v *victim) oldRoot() *page {
	p := &page{level: v.image.level, pointer: v.image.root}
	p.state.Store(stored)
	return p
}

func (v *victim) otherLeaf() uint64 {
	first := v.page(0)
	var other uint64
	var walk func(p *page)
	walk = func(p *page) {
		if p.level == 0 {
			if p.state.Load() == stored && p.pointer.address() != first {
				other = p.pointer.address()
			}
			return
		}
		c, err := v.load(p)
		v.must(err)
		for _, child := range c.children {
			walk(child)
		}
	}
	walk(v.root.Load())
	return other
}

// reused is the address of a page where another one was in the older image, or 0.
func (v *victim) reused() uint64 {
	var found uint64
	var walk func(p *page)
	walk = func(p *page) {
		at := p.pointer.address()
		if p.state.Load() == stored && len(bytes.Trim(v.block(v.older, at), "\x00")) > 0 && !bytes.Equal(v.block(v.older, at), v.block(v.backing.bytes, at)) {
			found = at
		}
		c, err := v.load(p)
		v.must(err)
		for _, child := range c.children {
			walk(child)
		}
	}
	walk(v.root.Load())
	return found
}

// fork opens the former image without the anchor and brings it to the same epoch on another way.
func (v *victim) fork() {
	other := newRecorder(v.former)
	o := testOptions(v.t, other)
	o.Anchor = nil
	s, err := Open(other, o)
	v.must(err)
	stop(s)
	for s.image.epoch < v.image.epoch {
		v.must(s.checkpoint(false))
	}
	v.backing.bytes = other.bytes
}

func TestClosedImageHasTheSizeThatItWasClosedWith(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"Longer":        func(b []byte) []byte { return append(b, make([]byte, 5*BlockSize)...) },
		"LongerByAByte": func(b []byte) []byte { return append(b, 0) },
		"Shorter":       func(b []byte) []byte { return b[:len(b)-BlockSize] },
	} {
		backing := NewMemory(1 << 30)
		s, err := Create(backing, Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		backing.bytes = change(backing.bytes)
		if _, err := Open(backing, Options{Keys: testKeys(t, PolicyEncrypted)}); KindOf(err) != Tampered {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// vast is a backing that says it is larger than any memory until it is resized.
type vast struct {
	*Memory
	resized bool
}

func (v *vast) Size() (int64, error) {
	if !v.resized {
		return 1 << 60, nil
	}
	return v.Memory.Size()
}

func (v *vast) Resize(size int64) error {
	v.resized = true
	return v.Memory.Resize(size)
}

func TestMemoryDoesNotDependOnTheSizeOfTheFile(t *testing.T) {
	v := newVictim(t)
	backing := &vast{NewMemory(1 << 30), false}
	backing.bytes = v.backing.bytes
	s, err := Open(backing, Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := contents(s); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil || !backing.resized {
		t.Error(err)
	}
}

func TestAnotherKeyIsToldFromTampering(t *testing.T) {
	v := newVictim(t)
	for name, derive := range map[string]func() (Keys, error){
		"Master": func() (Keys, error) {
			return NewKeys(bytes.Repeat([]byte{8}, 32), [16]byte{1, 2, 3}, 1, PolicyEncrypted)
		},
		"Volume": func() (Keys, error) {
			return NewKeys(bytes.Repeat([]byte{7}, 32), [16]byte{1, 2, 4}, 1, PolicyEncrypted)
		},
		"Policy": func() (Keys, error) {
			return NewKeys(bytes.Repeat([]byte{7}, 32), [16]byte{1, 2, 3}, 1, PolicyAuthenticated)
		},
	} {
		keys, err := derive()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(newRecorder(v.backing.bytes), Options{Keys: keys}); KindOf(err) != WrongKey {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRollbackIsAcceptedOnlyWhenAskedFor(t *testing.T) {
	v := newVictim(t)
	next := newRecorder(v.older)
	next.anchors = v.backing.anchors
	o := testOptions(t, next)
	if _, err := Open(next, o); KindOf(err) != RolledBack {
		t.Fatal(err)
	}
	o.AcceptRollback = true
	s, err := Open(next, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.state.Epoch <= v.state.Epoch {
		t.Errorf("epoch %d is used again", s.state.Epoch)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.AcceptRollback = false
	if s, err = Open(next, o); err != nil {
		t.Fatal(err)
	}
	stop(s)
	v.backing.bytes = v.former // what was newest before the rollback is older now
	late := newRecorder(v.former)
	late.anchors = next.anchors
	if _, err := Open(late, testOptions(t, late)); KindOf(err) != RolledBack {
		t.Error(err)
	}
}

// Any byte of the image, changed at random, is found by opening and reading, or by Verify, or belongs to nothing.
func TestAnyByteThatMattersIsFound(t *testing.T) {
	v := newVictim(t)
	v.must(v.Store.Checkpoint())
	r := rand.New(rand.NewPCG(1, 2))
	clean := bytes.Clone(v.backing.bytes)
	for range 150 {
		at := r.Uint64N(uint64(len(clean)))
		block := at / BlockSize
		v.backing.bytes[at] ^= 1 << r.IntN(8)
		err := v.verify()
		matters := block < rootBlocks || block >= firstFree && v.space.live[block/64]>>(block%64)&1 == 1
		if matters != (err != nil) {
			t.Errorf("byte %d of block %d: %v", at%BlockSize, block, err)
		}
		copy(v.backing.bytes, clean)
	}
}
