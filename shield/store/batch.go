// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Batch is changes that happen together or not at all, in their order. The zero Batch is empty and ready. It copies what it is given.
type Batch struct {
	encoded []byte // as the log has it
	changes int
	adds    bool // something may grow
	err     error
}

// Operations of a batch: what follows the letter.
const (
	operationPut    = 'P' // lengths of key and value (2 each), key, value
	operationDelete = 'X' // length of key (2), key
	operationPatch  = 'W' // length of key, offset, length (2 each), key, bytes
	operationFree   = 'F' // address (8), number of blocks (4)
)

// Put sets a key (1 to 300 bytes, the first not zero) to a value (at most 1200 bytes).
func (b *Batch) Put(key, value []byte) {
	b.check(key, len(value))
	b.begin(operationPut, key)
	b.encoded = binary.BigEndian.AppendUint16(b.encoded, uint16(len(value)))
	b.encoded = append(append(b.encoded, key...), value...)
	b.adds = true
}

// Delete removes a key, if it is there.
func (b *Batch) Delete(key []byte) {
	b.check(key, 0)
	b.begin(operationDelete, key)
	b.encoded = append(b.encoded, key...)
}

// Patch overwrites a part of a value. One that is shorter, or absent, grows with zeros first.
func (b *Batch) Patch(key []byte, offset int, with []byte) {
	b.check(key, offset+len(with))
	if offset < 0 && b.err == nil {
		b.err = fmt.Errorf("a patch at offset %d", offset)
	}
	b.begin(operationPatch, key)
	b.encoded = binary.BigEndian.AppendUint16(b.encoded, uint16(offset))
	b.encoded = binary.BigEndian.AppendUint16(b.encoded, uint16(len(with)))
	b.encoded = append(append(b.encoded, key...), with...)
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { *b = Batch{encoded: b.encoded[:0]} }

func (b *Batch) check(key []byte, value int) {
	switch {
	case b.err != nil:
	case len(key) == 0 || len(key) > maximumKey || key[0] == 0:
		b.err = fmt.Errorf("key %.40q: 1 to %d bytes are wanted, the first not zero", key, maximumKey)
	case value > maximumValue:
		b.err = fmt.Errorf("key %.40q: a value of %d bytes, more than %d", key, value, maximumValue)
	}
}

func (b *Batch) begin(operation byte, key []byte) {
	b.changes++
	b.encoded = binary.BigEndian.AppendUint16(append(b.encoded, operation), uint16(len(key)))
}

// Free gives back blocks as a part of the batch. Until then each block that WriteBlocks wrote is taken, whether a value has its pointer or not;
// holes are passed over. The space is used again after the checkpoint that no longer needs it.
func (s *Store) Free(b *Batch, pointers ...Pointer) {
	var r run
	for i := range pointers {
		at := pointers[i].address()
		if at == 0 {
			continue
		}
		if r.blocks > 0 && at == r.address+uint64(r.blocks) {
			r.blocks++
			continue
		}
		b.free(r)
		r = run{at, 1}
	}
	b.free(r)
}

func (b *Batch) free(r run) {
	if r.blocks > 0 {
		b.encoded = binary.BigEndian.AppendUint64(append(b.encoded, operationFree), r.address)
		b.encoded = binary.BigEndian.AppendUint32(b.encoded, uint32(r.blocks))
	}
}

// Apply makes the changes of a batch: all of them, visible to every later call, or none. They are durable after Sync or Checkpoint. Full is
// returned before anything was changed; a batch that only deletes, patches and frees finds room where others do not.
func (s *Store) Apply(b *Batch) error {
	if b.err != nil {
		return &Error{Kind: Format, Place: "the batch", Err: b.err}
	}
	if len(b.encoded) == 0 {
		return s.failed()
	}
	encoded := bytes.Clone(b.encoded)
	s.warm(encoded)
	if s.space.unwritten() > uint64(4*s.options.CachePages) { // the checkpoints do not keep up, and memory is bounded
		if err := s.Checkpoint(); err != nil {
			return err
		}
	}
	err := s.applyOnce(encoded, b)
	if KindOf(err) == Full && s.Checkpoint() == nil {
		err = s.applyOnce(encoded, b)
	}
	return err
}

func (s *Store) applyOnce(encoded []byte, b *Batch) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	if err := s.room(b); err != nil {
		return err
	}
	if err := s.change(encoded); err != nil {
		return err
	}
	s.log.add(encoded)
	if s.pages > s.options.CachePages {
		s.hasten()
	}
	return nil
}

// hasten asks for a checkpoint soon.
func (s *Store) hasten() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// room sees to it that the next checkpoint can be written after the batch too.
func (s *Store) room(b *Batch) error {
	height := 1
	if root := s.root.Load(); root != nil {
		height += int(root.level)
	}
	pages := b.changes/2 + 2*height + marginRelief // neighbours share pages
	if b.adds {
		pages = b.changes*(height+2) + marginData
	}
	s.space.mutex.Lock()
	defer s.space.mutex.Unlock()
	return s.space.ensure(s.space.needs() + uint64(pages))
}

// change makes a new tree of the newest and publishes it, and frees what the operations free. The apply lock is held.
func (s *Store) change(encoded []byte) error {
	t := &change{store: s, batch: s.batch + 1, root: s.root.Load()}
	var freed []run
	err := operations(encoded, func(o operation) (err error) {
		switch o.letter {
		case operationPut:
			err = t.put(o.key, o.value)
		case operationDelete:
			err = t.remove(o.key)
		case operationPatch:
			err = t.patch(o.key, o.offset, o.value)
		case operationFree:
			freed = append(freed, o.run)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, at := range t.freed {
		freed = append(freed, run{at, 1})
	}
	s.space.mutex.Lock()
	defer s.space.mutex.Unlock()
	if err := s.space.free(freed); err != nil {
		return err
	}
	s.batch++
	s.pages += t.pages
	s.space.pages = uint64(s.pages + s.pagesTaken)
	s.root.Store(t.root)
	return nil
}

// warm reads the pages that a batch will need before it holds up others.
func (s *Store) warm(encoded []byte) {
	came := s.readers.enter()
	defer s.leave(came)
	root := s.root.Load()
	_ = operations(encoded, func(o operation) error {
		if o.key != nil {
			_, _ = s.find(root, o.key) // an error comes again when the batch is applied
		}
		return nil
	})
}

// operation is one operation of a batch.
type operation struct {
	letter     byte
	key, value []byte
	offset     int
	run        run
}

// operations takes an encoded batch apart. Slices are of encoded.
func operations(encoded []byte, visit func(operation) error) error {
	r := reader{rest: encoded}
	for len(r.rest) > 0 {
		o := operation{letter: r.take(1)[0]}
		switch o.letter {
		case operationPut:
			length, value := r.length(maximumKey), r.length(maximumValue)
			o.key, o.value = r.take(length), r.take(value)
		case operationDelete:
			o.key = r.take(r.length(maximumKey))
		case operationPatch:
			length, offset, with := r.length(maximumKey), r.length(maximumValue), r.length(maximumValue)
			o.key, o.offset, o.value = r.take(length), offset, r.take(with)
			if offset+with > maximumValue {
				return errors.New("a patch beyond what a value can be")
			}
		case operationFree:
			o.run = run{binary.BigEndian.Uint64(r.take(8)), int(binary.BigEndian.Uint32(r.take(4)))}
		default:
			return fmt.Errorf("operation %#x", o.letter)
		}
		if r.err == nil && o.letter != operationFree && (len(o.key) == 0 || o.key[0] == 0) {
			r.err = errors.New("a key that no batch may have")
		}
		if r.err != nil {
			return r.err
		}
		if err := visit(o); err != nil {
			return err
		}
	}
	return nil
}

// Get copies a key's value into into[:0], which may be nil, and returns it; nil: the key is absent.
func (s *Store) Get(key, into []byte) ([]byte, error) {
	came := s.readers.enter()
	defer s.leave(came)
	value, err := s.find(s.root.Load(), key)
	if err != nil || value == nil {
		return nil, err
	}
	if into == nil {
		into = make([]byte, 0, len(value))
	}
	return append(into[:0], value...), nil
}

// Scan visits the keys from <= key < to in ascending order, as they were when it began, until visit returns false. An empty to is the end.
// visit may call the store; what it is given it must not change.
func (s *Store) Scan(from, to []byte, visit func(key, value []byte) bool) error {
	came := s.readers.enter()
	defer s.leave(came)
	root := s.root.Load()
	if root == nil {
		return nil
	}
	_, err := s.walk(root, ownKeys(from), to, visit)
	return err
}

// Last is the greatest key in from <= key < to, and its value; nil: there is none. An empty to is the end.
func (s *Store) Last(from, to []byte) (key, value []byte, err error) {
	came := s.readers.enter()
	defer s.leave(came)
	root := s.root.Load()
	if root == nil {
		return nil, nil, nil
	}
	key, value, err = s.last(root, ownKeys(from), to)
	return bytes.Clone(key), bytes.Clone(value), err
}

// ownKeys leaves the store's own keys out of a range.
func ownKeys(from []byte) []byte {
	if len(from) == 0 || from[0] == 0 {
		return []byte{1}
	}
	return from
}
