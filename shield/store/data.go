// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"sync"
)

const (
	verifiedBlocks = 64      // data blocks whose tags a group of the log carries at most; of more, the data is synced first
	hastyBlocks    = 1 << 16 // data blocks after which a checkpoint is due
	sealsMost      = 1 << 31 // seals under one generation of keys: random nonces of 96 bits collide with a chance of 2^-35
	sealsAtOnce    = 1 << 24 // seals between two checkpoints, which count them
)

// written is what WriteBlocks wrote since the last group of the log or checkpoint took it up.
type written struct {
	mutex  sync.Mutex
	runs   []run
	blocks []placed // with their tags, the first verifiedBlocks of them
	count  int
}

type placed struct {
	at      Location
	pointer Pointer
}

func (w *written) add(at Location, pointers []Pointer, runs []run) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for i := 0; i < len(pointers) && len(w.blocks) < verifiedBlocks; i++ {
		w.blocks = append(w.blocks, placed{Location{at.File, at.Index + uint64(i)}, pointers[i]})
	}
	for _, r := range runs {
		if last := len(w.runs) - 1; last >= 0 && w.runs[last].address+uint64(w.runs[last].blocks) == r.address {
			w.runs[last].blocks += r.blocks
			continue
		}
		w.runs = append(w.runs, r)
	}
	w.count += len(pointers)
	return w.count
}

func (w *written) take() (runs []run, blocks []placed, count int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	runs, blocks, count = w.runs, w.blocks, w.count
	w.runs, w.blocks, w.count = nil, nil, 0
	return runs, blocks, count
}

// restore puts back what take took.
func (w *written) restore(runs []run, blocks []placed, count int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.runs, w.blocks, w.count = append(runs, w.runs...), append(blocks, w.blocks...), w.count+count
}

// buffers of up to 32 blocks and the tag after the last.
type buffer [32*BlockSize + tagSize]byte

// WriteBlocks seals len(plaintext)/BlockSize blocks of a file, from at on, writes them to new places and sets out to what a value must keep to
// read them again. Until a batch puts the pointers somewhere nothing refers to them; blocks that are not wanted after all go back by Free.
func (s *Store) WriteBlocks(at Location, plaintext []byte, out []Pointer) error {
	n := len(plaintext) / BlockSize
	if len(plaintext)%BlockSize != 0 || len(out) < n || at.File == treeFile {
		return &Error{Kind: Format, Place: fmt.Sprintf("file %d", at.File), What: fmt.Sprintf("%d bytes for %d pointers", len(plaintext), len(out))}
	}
	if err := s.failed(); err != nil || n == 0 {
		return err
	}
	box, generation, err := s.sealer(at.File, n)
	if err != nil {
		return err
	}
	runs, err := s.space.allocateData(n)
	if KindOf(err) == Full && s.Checkpoint() == nil {
		runs, err = s.space.allocateData(n)
	}
	if err != nil {
		return err
	}
	into, seal := out, at
	for _, r := range runs {
		if err := s.writeRun(seal, r, plaintext[:r.blocks*BlockSize], into, box, generation); err != nil {
			s.space.giveBack(runs)
			return err
		}
		plaintext, into = plaintext[r.blocks*BlockSize:], into[r.blocks:]
		seal.Index += uint64(r.blocks)
	}
	if s.written.add(at, out[:n], runs) > hastyBlocks {
		s.hasten()
	}
	return nil
}

// sealer is the box for n blocks of a file, counted against what its key may seal.
func (s *Store) sealer(file uint64, n int) (box, uint16, error) {
	if s.seals.Add(uint64(n)) > sealsAtOnce {
		if err := s.Checkpoint(); err != nil {
			return box{}, 0, err
		}
	}
	generation := uint16(s.generation.Load())
	b, err := s.keyring.of(file, generation)
	return b, generation, err
}

// writeRun seals and writes blocks to consecutive places.
func (s *Store) writeRun(at Location, r run, plaintext []byte, out []Pointer, box box, generation uint16) error {
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	var additional [40]byte
	nonces := make([]byte, nonceSize*r.blocks)
	random(nonces)
	for done := 0; done < r.blocks; {
		n := min(r.blocks-done, len(buf)/BlockSize)
		for i := range n {
			p := &out[done+i]
			*p = makePointer(r.address+uint64(done+i), generation)
			copy(p.nonce(), nonces[(done+i)*nonceSize:])
			block := plaintext[(done+i)*BlockSize:][:BlockSize]
			// The tag comes behind the block, where the next one overwrites it.
			sealed := box.seal(buf[i*BlockSize:i*BlockSize], p.nonce(), block, s.keyring.ofDataBlock(Location{at.File, at.Index + uint64(done+i)}, additional[:]))
			copy(p.tag(), sealed[BlockSize:])
		}
		if err := s.write(buf[:n*BlockSize], r.address+uint64(done)); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// ReadBlocks reads blocks of a file, from at on, into plaintext, which has room for all of them; holes are zeros. The caller must keep others
// from freeing the blocks meanwhile, or what took their place since is found in them and reported as Tampered.
func (s *Store) ReadBlocks(at Location, pointers []Pointer, plaintext []byte) error {
	if len(plaintext) < len(pointers)*BlockSize {
		return &Error{Kind: Format, Place: fmt.Sprintf("file %d", at.File), What: fmt.Sprintf("%d bytes for %d blocks", len(plaintext), len(pointers))}
	}
	for i := 0; i < len(pointers); {
		n := 1
		if pointers[i] == (Pointer{}) {
			clear(plaintext[i*BlockSize:][:BlockSize])
			i++
			continue
		}
		for i+n < len(pointers) && n < len(buffer{})/BlockSize && pointers[i+n].address() == pointers[i].address()+uint64(n) {
			n++
		}
		if err := s.readRun(Location{at.File, at.Index + uint64(i)}, pointers[i:i+n], plaintext[i*BlockSize:][:n*BlockSize]); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// readRun reads blocks from consecutive places.
func (s *Store) readRun(at Location, pointers []Pointer, plaintext []byte) error {
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	n := len(pointers)
	first := pointers[0].address()
	if err := s.read(buf[:n*BlockSize], first, fmt.Sprintf("%s (data: file %d, from block %d)", place(first, n), at.File, at.Index)); err != nil {
		return err
	}
	var additional [40]byte
	for i := n - 1; i >= 0; i-- { // from the end, since the tag goes behind the block
		p := &pointers[i]
		box, err := s.keyring.of(at.File, p.generation())
		if err != nil {
			return lost("the keys", err)
		}
		here := Location{at.File, at.Index + uint64(i)}
		copy(buf[(i+1)*BlockSize:], p.tag())
		if _, err := box.open(plaintext[i*BlockSize:i*BlockSize], p.nonce(), buf[i*BlockSize:(i+1)*BlockSize+tagSize], s.keyring.ofDataBlock(here, additional[:])); err != nil {
			return tampered(fmt.Sprintf("block %d (data: file %d, block %d)", p.address(), here.File, here.Index), "does not authenticate")
		}
	}
	return nil
}
