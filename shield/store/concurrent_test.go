// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestManyAtOnceSeeWhatEachOfThemWrote(t *testing.T) {
	backing := NewMemory(1 << 30)
	o := Options{Keys: testKeys(t, PolicyEncrypted), CachePages: 32, CheckpointAfter: time.Millisecond}
	s, err := Create(backing, o)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	faults := make(chan error, 16)
	for worker := range uint64(6) {
		group.Go(func() {
			if err := workAlone(s, worker); err != nil {
				faults <- fmt.Errorf("worker %d: %w", worker, err)
			}
		})
	}
	group.Go(func() {
		for range 30 {
			if err := pairsAgree(s); err != nil {
				faults <- err
				return
			}
		}
	})
	group.Wait()
	close(faults)
	for err := range faults {
		t.Error(err)
	}
	if report, err := s.Verify(nil, emitBlocks); err != nil || report.Leaked != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(backing, o); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pairsAgree(s), s.Close()); err != nil {
		t.Error(err)
	}
}

// workAlone changes keys and a file that nobody else changes, and reads them back.
func workAlone(s *Store, worker uint64) error {
	r := rand.New(rand.NewPCG(worker, 3))
	values, blocks := map[string][]byte{}, map[uint64]byte{}
	plain, out := make([]byte, 4*BlockSize), make([]Pointer, 4)
	var b Batch
	for range 300 {
		b.Reset()
		key := fmt.Sprintf("w%d %03d", worker, r.IntN(200))
		value := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(500))
		b.Put([]byte(key), value)
		b.Put([]byte("x"+key), value) // a pair, for pairsAgree
		at := Location{1 + worker, r.Uint64N(100)}
		fill := byte(r.Uint32())
		for i := range plain {
			plain[i] = fill
		}
		if err := s.WriteBlocks(at, plain, out); err != nil {
			return err
		}
		for i := range uint64(4) {
			old, err := s.Get(blockKey(Location{at.File, at.Index + i}), nil)
			if err != nil {
				return err
			}
			if old != nil {
				s.Free(&b, Pointer(old))
			}
			b.Put(blockKey(Location{at.File, at.Index + i}), out[i][:])
		}
		if err := s.Apply(&b); err != nil {
			return err
		}
		values[key] = value
		for i := range uint64(4) {
			blocks[at.Index+i] = fill
		}
		if r.IntN(10) == 0 {
			if err := s.Sync(); err != nil {
				return err
			}
		}
		if err := readAlone(s, worker, values, blocks); err != nil {
			return err
		}
	}
	return nil
}

// readAlone reads back a few of the worker's own things.
func readAlone(s *Store, worker uint64, values map[string][]byte, blocks map[uint64]byte) error {
	some := 0
	for key, want := range values {
		if got, err := s.Get([]byte(key), nil); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s: %d bytes, want %d: %v", key, len(got), len(want), err)
		}
		if some++; some == 5 {
			break
		}
	}
	plain := make([]byte, BlockSize)
	for index, fill := range blocks {
		at := Location{1 + worker, index}
		p, err := s.Get(blockKey(at), nil)
		if err != nil {
			return err
		}
		if err := s.ReadBlocks(at, []Pointer{Pointer(p)}, plain); err != nil {
			return err
		}
		if plain[0] != fill || plain[BlockSize-1] != fill {
			return fmt.Errorf("%v: %d, want %d", at, plain[0], fill)
		}
		if some++; some == 10 {
			break
		}
	}
	return nil
}

// pairsAgree holds that a scan sees each batch whole.
func pairsAgree(s *Store) error {
	pairs := map[string][]byte{}
	if err := s.Scan([]byte("w"), []byte("x"), func(key, value []byte) bool { return true }); err != nil {
		return err
	}
	var fault error
	err := s.Scan([]byte("w"), nil, func(key, value []byte) bool {
		if key[0] == 'w' {
			pairs[string(key)] = bytes.Clone(value)
		} else if want := pairs[string(key[1:])]; !bytes.Equal(want, value) {
			fault = fmt.Errorf("%s: %d bytes, and its pair has %d", key, len(value), len(want))
		} else {
			delete(pairs, string(key[1:]))
		}
		return fault == nil
	})
	if err == nil && fault == nil && len(pairs) > 0 {
		fault = fmt.Errorf("%d keys without their pair", len(pairs))
	}
	return errors.Join(err, fault)
}

func TestFullImageCanBeEmptiedAndFilledAgain(t *testing.T) {
	for name, open := range map[string]func() (*Memory, Options){
		"Backing":  func() (*Memory, Options) { return NewMemory(12 << 20), Options{} },
		"Capacity": func() (*Memory, Options) { return NewMemory(1 << 30), Options{Capacity: 12 << 20 / BlockSize} },
	} {
		t.Run(name, func(t *testing.T) {
			backing, o := open()
			o.Keys, o.CheckpointAfter = testKeys(t, PolicyEncrypted), -1
			s, err := Create(backing, o)
			if err != nil {
				t.Fatal(err)
			}
			for round := range 3 {
				written := fill(t, s)
				if least := uint64(12<<20/BlockSize) / 2; written < least {
					t.Errorf("round %d: %d blocks written, fewer than %d", round, written, least)
				}
				if report, err := s.Verify(nil, emitBlocks); err != nil || report.Blocks != written || report.Leaked != 0 {
					t.Fatalf("%+v, %v", report, err)
				}
				if round == 1 { // full, killed, and open again
					if err := s.Sync(); err != nil {
						t.Fatal(err)
					}
					stop(s)
					if s, err = Open(backing, o); err != nil {
						t.Fatal(err)
					}
				}
				empty(t, s, written)
			}
			if _, used, _ := s.Usage(); used > firstFree+8 {
				t.Errorf("%d blocks are used by nothing", used-firstFree)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fill writes blocks until there is no room, and returns how many.
func fill(t *testing.T, s *Store) uint64 {
	t.Helper()
	out := make([]Pointer, 1)
	for index := uint64(0); ; index++ {
		at := Location{1, index}
		var b Batch
		if err := s.WriteBlocks(at, bytes.Repeat([]byte{byte(index)}, BlockSize), out); err != nil {
			if KindOf(err) != Full {
				t.Fatal(err)
			}
			return index
		}
		b.Put(blockKey(at), out[0][:])
		if err := s.Apply(&b); err != nil {
			if KindOf(err) != Full {
				t.Fatal(err)
			}
			b.Reset()
			s.Free(&b, out[0])
			if err := s.Apply(&b); err != nil {
				t.Fatal(err)
			}
			return index
		}
	}
}

// empty deletes what fill wrote, in batches as rm makes them.
func empty(t *testing.T, s *Store, written uint64) {
	t.Helper()
	for index := uint64(0); index < written; {
		var b Batch
		for range 64 {
			if index == written {
				break
			}
			key := blockKey(Location{1, index})
			p, err := s.Get(key, nil)
			if err != nil || p == nil {
				t.Fatal(err)
			}
			b.Delete(key)
			s.Free(&b, Pointer(p))
			index++
		}
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeakedBlocksAreCountedAndReclaimed(t *testing.T) {
	backing := NewMemory(1 << 30)
	o := Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1}
	s, err := Create(backing, o)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	out := make([]Pointer, 1000)
	if err := s.WriteBlocks(Location{1, 0}, make([]byte, len(out)*BlockSize), out); err != nil {
		t.Fatal(err)
	}
	b.Put(blockKey(Location{1, 0}), out[0][:])
	if err := errors.Join(s.Apply(&b), s.Checkpoint()); err != nil { // the batch with the other pointers never comes
		t.Fatal(err)
	}
	stop(s)
	if s, err = Open(backing, o); err != nil {
		t.Fatal(err)
	}
	report, err := s.Reclaim(nil, emitBlocks)
	if err != nil || report.Leaked != uint64(len(out)-1) {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err = s.Verify(nil, emitBlocks); err != nil || report.Leaked != 0 || report.Blocks != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestRefusedBatchLeavesNoGroupBehind(t *testing.T) {
	backing := newRecorder(nil)
	s, err := Create(backing, testOptions(t, backing))
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Put([]byte("k"), []byte("one"))
	if err := errors.Join(s.Apply(&b), s.Sync()); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Put([]byte("k"), []byte("two"))
	s.Free(&b, makePointer(initialBlocks-1, 0))
	if err := s.Apply(&b); KindOf(err) != Format {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil || s.State().Sequence != 1 {
		t.Errorf("%+v, %v", s.State(), err)
	}
	stop(s)
	next := newRecorder(backing.bytes)
	next.anchors = backing.anchors
	if s, err = Open(next, testOptions(t, next)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get([]byte("k"), nil); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
	stop(s)
}

// failing is a backing that fails from one write or sync on.
type failing struct {
	*Memory
	left int
}

var errBroken = errors.New("input/output error")

func (f *failing) WriteAt(p []byte, offset int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errBroken
	}
	return f.Memory.WriteAt(p, offset)
}

func (f *failing) Sync() error {
	if f.left--; f.left < 0 {
		return errBroken
	}
	return nil
}

func TestFailedStorageEndsWritingAndKeepsReading(t *testing.T) {
	for left := range 40 {
		backing := &failing{NewMemory(1 << 30), 1 << 30}
		o := Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1}
		s, err := Create(backing, o)
		if err != nil {
			t.Fatal(err)
		}
		backing.left = left
		synced := 0
		for i := 1; ; i++ {
			var b Batch
			b.Put([]byte("k"), fmt.Append(nil, i))
			if err = s.Apply(&b); err == nil {
				err = s.Sync()
			}
			if i%5 == 0 && err == nil {
				err = s.Checkpoint()
			}
			if err != nil {
				break
			}
			synced = i
		}
		if KindOf(err) != Lost || !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		backing.left = 1 << 30
		var b Batch
		b.Put([]byte("k"), nil)
		if err := errors.Join(s.Apply(&b), s.Sync()); KindOf(err) != Lost {
			t.Fatalf("it wrote on after %d writes: %v", left, err)
		}
		if _, err := s.Get([]byte("k"), nil); err != nil {
			t.Error(err)
		}
		stop(s)
		if s, err = Open(backing, o); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get([]byte("k"), nil); err != nil || synced > 0 && string(got) != fmt.Sprint(synced) && string(got) != fmt.Sprint(synced+1) {
			t.Errorf("%q after %d was synced: %v", got, synced, err)
		}
		stop(s)
	}
}

func TestConcurrentSyncsShareOne(t *testing.T) {
	backing := newRecorder(nil)
	o := testOptions(t, backing)
	s, err := Create(backing, o)
	if err != nil {
		t.Fatal(err)
	}
	before := s.State().Sequence
	s.commit.Lock() // as if a sync were under way
	var group sync.WaitGroup
	for i := range 20 {
		var b Batch
		b.Put(fmt.Append(nil, "k", i), nil)
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	s.commit.Unlock()
	group.Wait()
	if groups := s.State().Sequence - before; groups > 2 {
		t.Errorf("20 syncs took %d groups", groups)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
