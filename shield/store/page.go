// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// page is one version of one page of the tree. Once the root above it is published its content never changes; what its pointer says is set by
// the checkpoint that writes it.
type page struct {
	level   uint8 // 0: a leaf
	batch   uint64
	pointer Pointer // address 0: not on storage yet, and no place for it
	state   atomic.Uint32
	used    atomic.Bool // since the cache's hand came by
	content atomic.Pointer[content]
}

// States of a page.
const (
	fresh    = iota // made by a batch; exists in memory only
	assigned        // taken up by a checkpoint, with an address, not written yet
	stored          // on storage: the content may be dropped and read again
)

// content of a page: of a leaf keys and values; of others children and, between each two of them, the least key that the right one may have.
type content struct {
	keys     [][]byte
	values   [][]byte
	children []*page
}

const (
	pageHeader  = 4 // level, zero, number of keys (2)
	leafEntry   = 4 // lengths of key (2) and value (2)
	innerEntry  = 2 + len(Pointer{})
	maximumTree = 24 // levels: more than any image has blocks for
)

func (c *content) isLeaf() bool { return c.children == nil }

// size in bytes of the page.
func (c *content) size() int {
	if c.isLeaf() {
		return pageHeader + c.span(0, len(c.keys))
	}
	return pageHeader + len(Pointer{}) + c.span(0, len(c.keys))
}

// span is the size in bytes of the entries from i up to j.
func (c *content) span(i, j int) int {
	n := 0
	if c.isLeaf() {
		for ; i < j; i++ {
			n += leafEntry + len(c.keys[i]) + len(c.values[i])
		}
		return n
	}
	for ; i < j; i++ {
		n += innerEntry + len(c.keys[i])
	}
	return n
}

// child is the index of the child in which a key is.
func (c *content) child(key []byte) int {
	low, high := 0, len(c.keys)
	for low < high {
		if middle := int(uint(low+high) >> 1); bytes.Compare(c.keys[middle], key) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// find is the index of the first key that is not less, and whether it is equal.
func (c *content) find(key []byte) (int, bool) {
	low, high := 0, len(c.keys)
	for low < high {
		if middle := int(uint(low+high) >> 1); bytes.Compare(c.keys[middle], key) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(c.keys) && bytes.Equal(c.keys[low], key)
}

// encode writes the page into block, which is BlockSize long.
func (c *content) encode(level uint8, block []byte) {
	block[0], block[1] = level, 0
	binary.BigEndian.PutUint16(block[2:], uint16(len(c.keys)))
	at := pageHeader
	if !c.isLeaf() {
		at += copy(block[at:], c.children[0].pointer[:])
	}
	for i, key := range c.keys {
		binary.BigEndian.PutUint16(block[at:], uint16(len(key)))
		at += 2
		if c.isLeaf() {
			binary.BigEndian.PutUint16(block[at:], uint16(len(c.values[i])))
			at += 2
		}
		at += copy(block[at:], key)
		if c.isLeaf() {
			at += copy(block[at:], c.values[i])
		} else {
			at += copy(block[at:], c.children[i+1].pointer[:])
		}
	}
	clear(block[at:])
}

// reader takes a page's bytes apart.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.err, r.rest = errors.New("ends in the middle of an entry"), nil
		return make([]byte, n)
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) length(limit int) int {
	n := int(binary.BigEndian.Uint16(r.take(2)))
	if n > limit && r.err == nil {
		r.err = fmt.Errorf("a length of %d, where at most %d is possible", n, limit)
	}
	return min(n, limit)
}

func (r *reader) child(level uint8) *page {
	p := &page{level: level - 1, pointer: Pointer(r.take(len(Pointer{})))}
	p.state.Store(stored)
	if p.pointer.address() < firstFree && r.err == nil {
		r.err = fmt.Errorf("a child at block %d", p.pointer.address())
	}
	return p
}

// decodePage reads a page of the level that its parent says. The result keeps block.
func decodePage(block []byte, level uint8) (*content, error) {
	if block[0] != level || block[1] != 0 {
		return nil, fmt.Errorf("a page of level %d where one of %d is wanted", block[0], level)
	}
	n := int(binary.BigEndian.Uint16(block[2:]))
	if n > BlockSize/leafEntry {
		return nil, fmt.Errorf("%d entries", n)
	}
	r := reader{rest: block[pageHeader:BlockSize]}
	c := &content{keys: make([][]byte, 0, n+1)}
	if level > 0 {
		c.children = append(make([]*page, 0, n+2), r.child(level))
	} else {
		c.values = make([][]byte, 0, n+1)
	}
	for range n {
		length, valueLength := r.length(maximumKey), 0
		if level == 0 {
			valueLength = r.length(maximumValue)
		}
		key := r.take(length)
		if last := len(c.keys) - 1; last >= 0 && bytes.Compare(c.keys[last], key) >= 0 && r.err == nil {
			r.err = errors.New("keys out of order")
		}
		if length == 0 && r.err == nil {
			r.err = errors.New("an empty key")
		}
		c.keys = append(c.keys, key)
		if level == 0 {
			c.values = append(c.values, r.take(valueLength))
		} else {
			c.children = append(c.children, r.child(level))
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	if r.err == nil && len(bytes.TrimLeft(r.rest, "\x00")) != 0 {
		r.err = errors.New("bytes after the last entry")
	}
	if r.err == nil && level == 0 && n == 0 {
		r.err = errors.New("an empty leaf")
	}
	return c, r.err
}

// rebase is the content with its keys and values in block, which it was encoded into, and the same children.
func (c *content) rebase(block []byte) (*content, error) {
	compact, err := decodePage(block, block[0])
	if err != nil {
		return nil, err
	}
	compact.children = c.children
	return compact, nil
}
