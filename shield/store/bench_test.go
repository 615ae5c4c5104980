// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

const groupPointers = 32 // pointers that a volume keeps in one value

func benchStore(b *testing.B, file bool) *Store {
	b.Helper()
	var backing Backing = NewMemory(4 << 30)
	if file {
		f, err := CreateFile(filepath.Join(b.TempDir(), "blocks"))
		if err != nil {
			b.Fatal(err)
		}
		backing = f
	}
	s, err := Create(backing, Options{Keys: testKeys(b, PolicyEncrypted)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// overwrite writes blocks and puts their pointers where a volume would.
func overwrite(b *testing.B, s *Store, batch *Batch, at Location, plain []byte, out []Pointer) {
	b.Helper()
	if err := s.WriteBlocks(at, plain, out); err != nil {
		b.Fatal(err)
	}
	batch.Reset()
	var key [17]byte
	var value [groupPointers * len(Pointer{})]byte
	for i := 0; i < len(out); {
		index := at.Index + uint64(i)
		key[0] = 'B'
		binary.BigEndian.PutUint64(key[1:], at.File)
		binary.BigEndian.PutUint64(key[9:], index/groupPointers)
		first := int(index % groupPointers)
		n := min(groupPointers-first, len(out)-i)
		old, err := s.Get(key[:], value[:])
		if err != nil {
			b.Fatal(err)
		}
		var with []byte
		for j := range n {
			if at := (first + j) * len(Pointer{}); at+len(Pointer{}) <= len(old) {
				s.Free(batch, Pointer(old[at:]))
			}
			with = append(with, out[i+j][:]...)
		}
		batch.Patch(key[:], first*len(Pointer{}), with)
		i += n
	}
	if err := s.Apply(batch); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWriteSequential128K(b *testing.B) {
	s := benchStore(b, false)
	plain, out, batch := make([]byte, 128<<10), make([]Pointer, 32), new(Batch)
	b.SetBytes(int64(len(plain)))
	for i := uint64(0); b.Loop(); i++ {
		overwrite(b, s, batch, Location{1, i % 4096 * 32}, plain, out)
	}
}

func BenchmarkWriteRandom4K(b *testing.B) {
	s := benchStore(b, false)
	plain, out, batch := make([]byte, BlockSize), make([]Pointer, 1), new(Batch)
	b.SetBytes(BlockSize)
	for b.Loop() {
		overwrite(b, s, batch, Location{1, rand.Uint64N(65536)}, plain, out)
	}
}

func BenchmarkReadSequential128K(b *testing.B) {
	s := benchStore(b, false)
	plain, out, batch := make([]byte, 128<<10), make([]Pointer, 32), new(Batch)
	overwrite(b, s, batch, Location{1, 0}, plain, out)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if err := s.ReadBlocks(Location{1, 0}, out, plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadRandom4K(b *testing.B) {
	s := benchStore(b, false)
	plain, out, batch := make([]byte, 128<<10), make([]Pointer, 32), new(Batch)
	overwrite(b, s, batch, Location{1, 0}, plain, out)
	b.SetBytes(BlockSize)
	for b.Loop() {
		at := rand.Uint64N(32)
		if err := s.ReadBlocks(Location{1, at}, out[at:at+1], plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplySmall(b *testing.B) {
	s := benchStore(b, false)
	batch, value := new(Batch), make([]byte, 120)
	for b.Loop() {
		batch.Reset()
		key := binary.BigEndian.AppendUint64([]byte{'I'}, rand.Uint64N(100_000))
		batch.Put(key, value)
		if err := s.Apply(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite4KAndSyncInAFile(b *testing.B) {
	s := benchStore(b, true)
	plain, out, batch := make([]byte, BlockSize), make([]Pointer, 1), new(Batch)
	for b.Loop() {
		overwrite(b, s, batch, Location{1, rand.Uint64N(65536)}, plain, out)
		if err := s.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
