// SPDX-License-Identifier: Apache-2.0

package store

import "encoding/binary"

// Pointer says where a block is and what must be found there: generation of its key (2 bytes), address in blocks (6), nonce (12), tag (16).
// The zero Pointer is a hole.
type Pointer [36]byte

// Location says which block of which file a data block is. It is bound into the tag. File 0 is the store's own.
type Location struct {
	File  uint64
	Index uint64 // in blocks
}

const addressBits = 48

func makePointer(address uint64, generation uint16) (p Pointer) {
	binary.BigEndian.PutUint64(p[:], uint64(generation)<<addressBits|address)
	return p
}

func (p *Pointer) address() uint64    { return binary.BigEndian.Uint64(p[:]) & (1<<addressBits - 1) }
func (p *Pointer) generation() uint16 { return binary.BigEndian.Uint16(p[:]) }
func (p *Pointer) nonce() []byte      { return p[8:20] }
func (p *Pointer) tag() []byte        { return p[20:36] }
