// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func testKeys(t testing.TB, policy uint8) Keys {
	t.Helper()
	k, err := NewKeys(bytes.Repeat([]byte{7}, 32), [16]byte{1, 2, 3}, 1, policy)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// model is what a store must hold.
type model struct {
	values map[string][]byte
	blocks map[Location][32]byte // digests
}

func newModel() *model { return &model{map[string][]byte{}, map[Location][32]byte{}} }

func blockKey(at Location) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{'B'}, at.File), at.Index)
}

// step makes one random batch in both.
func (m *model) step(t testing.TB, s *Store, r *rand.Rand) error {
	var b Batch
	values, blocks := map[string][]byte{}, map[Location][32]byte{}
	get := func(key string) []byte {
		if v, ok := values[key]; ok {
			return v
		}
		return m.values[key]
	}
	for range 1 + r.IntN(8) {
		key := fmt.Sprintf("k%0*d", 1+r.IntN(1+r.IntN(200)), r.IntN(2000))
		switch r.IntN(6) {
		case 0, 1, 2:
			value := make([]byte, r.IntN(1+r.IntN(maximumValue)))
			for i := range value {
				value[i] = byte(r.Uint32())
			}
			b.Put([]byte(key), value)
			values[key] = value
		case 3:
			b.Delete([]byte(key))
			values[key] = nil
		case 4:
			offset, with := r.IntN(600), bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(600))
			b.Patch([]byte(key), offset, with)
			old := get(key)
			value := make([]byte, max(len(old), offset+len(with)))
			copy(value, old)
			copy(value[offset:], with)
			values[key] = value
		case 5:
			at := Location{1 + r.Uint64N(5), r.Uint64N(64)}
			n := 1 + r.IntN(1+r.IntN(1+r.IntN(150)))
			plain := make([]byte, n*BlockSize)
			for i := range n {
				binary.BigEndian.PutUint64(plain[i*BlockSize:], r.Uint64())
			}
			out := make([]Pointer, n)
			if err := s.WriteBlocks(at, plain, out); err != nil {
				return err
			}
			for i := range n {
				here := Location{at.File, at.Index + uint64(i)}
				key := string(blockKey(here))
				if old := get(key); old != nil {
					s.Free(&b, Pointer(old))
				}
				b.Put([]byte(key), out[i][:])
				values[key] = bytes.Clone(out[i][:])
				blocks[here] = sha256.Sum256(plain[i*BlockSize:][:BlockSize])
			}
		}
	}
	if err := s.Apply(&b); err != nil {
		return err
	}
	for key, value := range values {
		if value == nil {
			delete(m.values, key)
		} else {
			m.values[key] = value
		}
	}
	for at, block := range blocks {
		m.blocks[at] = block
	}
	return nil
}

func (m *model) clone() *model {
	c := newModel()
	for k, v := range m.values {
		c.values[k] = v
	}
	for k, v := range m.blocks {
		c.blocks[k] = v
	}
	return c
}

// check holds everything in the store against the model.
func (m *model) check(s *Store) error {
	var keys []string
	for key := range m.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	i := 0
	var fault error
	err := s.Scan(nil, nil, func(key, value []byte) bool {
		if i >= len(keys) || keys[i] != string(key) || !bytes.Equal(value, m.values[keys[i]]) {
			fault = fmt.Errorf("key %d of %d is %.60q", i, len(keys), key)
		}
		i++
		return fault == nil
	})
	if err == nil {
		err = fault
	}
	if err == nil && i != len(keys) {
		err = fmt.Errorf("%d keys, want %d", i, len(keys))
	}
	if err != nil {
		return err
	}
	plain := make([]byte, BlockSize)
	for at, want := range m.blocks {
		pointer, err := s.Get(blockKey(at), nil)
		if err != nil {
			return err
		}
		if err := s.ReadBlocks(at, []Pointer{Pointer(pointer)}, plain); err != nil {
			return err
		}
		if sha256.Sum256(plain) != want {
			return fmt.Errorf("%v holds something else", at)
		}
	}
	return nil
}

// spaceIsExact holds the free map against what the tree and the model's pointers refer to.
func spaceIsExact(s *Store, m *model) error {
	if err := s.Checkpoint(); err != nil {
		return err
	}
	used := map[uint64]bool{}
	for at := range uint64(firstFree) {
		used[at] = true
	}
	var walk func(p *page) error
	walk = func(p *page) error {
		c, err := s.load(p)
		if err != nil {
			return err
		}
		if used[p.pointer.address()] {
			return fmt.Errorf("block %d is used twice", p.pointer.address())
		}
		used[p.pointer.address()] = true
		for _, child := range c.children {
			if err := walk(child); err != nil {
				return err
			}
		}
		return nil
	}
	if root := s.root.Load(); root != nil {
		if err := walk(root); err != nil {
			return err
		}
	}
	for at := range m.blocks {
		p := Pointer(m.values[string(blockKey(at))])
		if used[p.address()] {
			return fmt.Errorf("block %d is used twice", p.address())
		}
		used[p.address()] = true
	}
	for at := range s.space.blocks {
		if live := s.space.live[at/64]>>(at%64)&1 == 1; live != used[at] {
			return fmt.Errorf("block %d: live is %v, used is %v", at, live, used[at])
		}
		if busy := s.space.busy[at/64]>>(at%64)&1 == 1; busy != used[at] {
			return fmt.Errorf("block %d: busy is %v, used is %v", at, busy, used[at])
		}
	}
	return nil
}

func TestStoreEqualsAModelOverReopenings(t *testing.T) {
	for _, policy := range []uint8{PolicyEncrypted, PolicyAuthenticated} {
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, uint64(policy)))
			backing := NewMemory(1 << 30)
			o := Options{Keys: testKeys(t, policy), CachePages: 16 << (seed % 4 * 2), CheckpointAfter: -1}
			s, err := Create(backing, o)
			if err != nil {
				t.Fatal(err)
			}
			m := newModel()
			for step := range 400 {
				if err := m.step(t, s, r); err != nil {
					t.Fatal(err)
				}
				switch r.IntN(40) {
				case 0:
					err = s.Checkpoint()
				case 1, 2, 3:
					err = s.Sync()
				case 4:
					if err = m.check(s); err == nil {
						err = spaceIsExact(s, m)
					}
				case 5:
					if err = s.Close(); err == nil {
						s, err = Open(backing, o)
					}
				case 6: // as after kill -9
					if err = s.Sync(); err == nil {
						close(s.done)
						s.ended.Wait()
						s, err = Open(backing, o)
					}
				}
				if err != nil {
					t.Fatalf("policy %d, seed %d, step %d: %v", policy, seed, step, err)
				}
			}
			if err := m.check(s); err != nil {
				t.Fatal(err)
			}
			if err := spaceIsExact(s, m); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
