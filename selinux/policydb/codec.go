// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"encoding/binary"
	"fmt"
)

// codec goes through a policy in the order of the file, in one of two directions: with input it fills what it is shown from the file, without it writes
// it. One description of the format serves both, so that they cannot differ.
type codec struct {
	reading bool
	text    string // the file; strings are parts of it
	data    []byte
	offset  int
	out     []byte
	words   []uint64 // room for bitmaps
	version uint32
	err     error
}

// FormatError is a file that is no policy, or a broken one.
type FormatError struct {
	Offset int // bytes into the file
	Reason string
}

func (e *FormatError) Error() string { return fmt.Sprintf("policy: byte %d: %s", e.Offset, e.Reason) }

// fail keeps the first error. What follows it reads zeros and ends soon, as counts are zero, too.
func (c *codec) fail(format string, arguments ...any) {
	if c.err == nil {
		c.err = &FormatError{c.offset, fmt.Sprintf(format, arguments...)}
	}
}

// need reports whether so many bytes are left.
func (c *codec) need(size int) bool {
	if c.err == nil && len(c.data)-c.offset < size {
		c.fail("the file ends where %d bytes are to follow", size)
	}
	return c.err == nil
}

func (c *codec) u8(value *uint8) {
	switch {
	case !c.reading:
		c.out = append(c.out, *value)
	case c.need(1):
		*value = c.data[c.offset]
		c.offset++
	}
}

func (c *codec) u16(value *uint16) {
	switch {
	case !c.reading:
		c.out = binary.LittleEndian.AppendUint16(c.out, *value)
	case c.need(2):
		*value = binary.LittleEndian.Uint16(c.data[c.offset:])
		c.offset += 2
	}
}

func (c *codec) u32(values ...*uint32) {
	if !c.reading {
		for _, value := range values {
			c.out = binary.LittleEndian.AppendUint32(c.out, *value)
		}
		return
	}
	if !c.need(4 * len(values)) {
		return
	}
	for _, value := range values {
		*value = binary.LittleEndian.Uint32(c.data[c.offset:])
		c.offset += 4
	}
}

func (c *codec) u64(value *uint64) {
	switch {
	case !c.reading:
		c.out = binary.LittleEndian.AppendUint64(c.out, *value)
	case c.need(8):
		*value = binary.LittleEndian.Uint64(c.data[c.offset:])
		c.offset += 8
	}
}

// constant is a number that the format or the version prescribes.
func (c *codec) constant(want uint32, what string) {
	got := want
	c.u32(&got)
	if got != want {
		c.fail("%s is %d, expected %d", what, got, want)
	}
}

// length is the length of a string that follows later.
func (c *codec) length(name string) uint32 {
	length := uint32(len(name))
	c.u32(&length)
	return length
}

// string is the text whose length came before.
func (c *codec) string(value *string, length uint32) {
	switch {
	case !c.reading:
		c.out = append(c.out, *value...)
	case length > 1<<16:
		c.fail("a name of %d bytes", length)
	case c.need(int(length)):
		*value = c.text[c.offset : c.offset+int(length)]
		c.offset += int(length)
	}
}

// list is a list whose length precedes it; size is that of its smallest element in bytes.
func list[T any](c *codec, values *[]T, size int, each func(*T)) {
	count := uint32(len(*values))
	c.u32(&count)
	elements(c, values, count, size, each)
}

// elements is a list whose length is known. The file must have room for the count, so that memory is bounded by the file.
func elements[T any](c *codec, values *[]T, count uint32, size int, each func(*T)) {
	if c.reading {
		if int64(count)*int64(size) > int64(len(c.data)-c.offset) {
			c.fail("%d elements, for which the rest of the file is too short", count)
		}
		if c.err != nil || count == 0 {
			return
		}
		*values = make([]T, count)
	}
	for i := range *values {
		if each(&(*values)[i]); c.err != nil {
			return
		}
	}
}

// bitmap is the file's ebitmap: 64, the rounded-up highest bit, and the words that are not zero with their first bits.
func (c *codec) bitmap(b *Bitmap) {
	c.constant(wordBits, "the width of a bitmap's words")
	if !c.reading {
		c.writeBitmap(*b)
		return
	}
	var high, count uint32
	c.u32(&high, &count)
	const size = 12
	if int64(count)*size > int64(len(c.data)-c.offset) {
		c.fail("a bitmap of %d words, for which the rest of the file is too short", count)
	}
	if c.err != nil {
		return
	}
	if high%wordBits != 0 || high > 1<<20 || (count == 0) != (high == 0) {
		c.fail("a bitmap of %d bits in %d words", high, count)
		return
	}
	words := c.room(int(high / wordBits))
	next := uint32(0)
	for range count {
		start := binary.LittleEndian.Uint32(c.data[c.offset:])
		word := binary.LittleEndian.Uint64(c.data[c.offset+4:])
		if start%wordBits != 0 || start < next || start >= high || word == 0 {
			c.fail("a bitmap's word %#x at bit %d, after those up to bit %d of %d", word, start, next, high)
			return
		}
		words[start/wordBits] = word
		next = start + wordBits
		c.offset += size
	}
	if count > 0 && next != high {
		c.fail("a bitmap of %d bits ends at bit %d", high, next)
		return
	}
	*b = words
}

// room carves a bitmap's words out of a larger piece: there are thousands of bitmaps.
func (c *codec) room(words int) Bitmap {
	if words == 0 {
		return nil
	}
	if len(c.words) < words {
		c.words = make([]uint64, max(words, 1<<13))
	}
	room := c.words[:words:words]
	c.words = c.words[words:]
	return room
}

func (c *codec) writeBitmap(b Bitmap) {
	count := uint32(0)
	for _, word := range b {
		if word != 0 {
			count++
		}
	}
	high := b.highBit()
	c.u32(&high, &count)
	for i, word := range b {
		if word != 0 {
			start := uint32(i) * wordBits
			c.u32(&start)
			c.u64(&word)
		}
	}
}
