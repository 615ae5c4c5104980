// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"debug/elf"
	"encoding/binary"
)

// Encodings of pointers in .eh_frame (Linux Standard Base, DWARF extensions): the low half says how wide, the high half what it is relative to.
const (
	pointerAbsolute = 0x00
	pointerULEB     = 0x01
	pointerU2       = 0x02
	pointerU4       = 0x03
	pointerU8       = 0x04
	pointerS2       = 0x0a
	pointerS4       = 0x0b
	pointerS8       = 0x0c
	pointerToPlace  = 0x10 // relative to the pointer's own address
	pointerOmitted  = 0xff
)

// frames is a cursor in .eh_frame. A read beyond the end sets bad and returns zeros.
type frames struct {
	data  []byte
	addr  uint64 // of data[0]
	pos   int
	order binary.ByteOrder
	word  int
	bad   bool
}

// unwound returns the functions that .eh_frame describes: every function of a compiler has an entry there, stripped or not. What is malformed
// ends the list.
func (o *object) unwound() []span {
	addr, size := o.frameTable()
	r := frames{data: o.at(addr, size), addr: addr, order: o.order, word: int(o.word)}
	encodings := map[int]byte{} // of pointers, by the place of the CIE
	var functions []span
	for r.pos+4 <= len(r.data) {
		start := r.pos
		length := int64(r.unsigned(4))
		if length == 0xffffffff {
			length = int64(r.unsigned(8))
		}
		body := r.pos
		if r.bad || length <= 0 || length > int64(len(r.data)-body) {
			break
		}
		id := int(r.unsigned(4))
		if id == 0 {
			if encoding, ok := r.common(body + int(length)); ok {
				encodings[start] = encoding
			}
		} else if encoding, ok := encodings[body-id]; ok {
			first, ok := r.pointer(encoding)
			count, ok2 := r.pointer(encoding & 0x0f)
			if ok && ok2 && !r.bad && first != 0 && count > 0 && first+count > first {
				functions = append(functions, span{first, first + count})
			}
		}
		r.bad = false
		r.pos = body + int(length)
	}
	return functions
}

// frameTable finds .eh_frame: by its section, or by the search table that PT_GNU_EH_FRAME points to.
func (o *object) frameTable() (addr, size uint64) {
	if section := o.file.Section(".eh_frame"); section != nil && section.Type != elf.SHT_NOBITS && section.Addr != 0 {
		return section.Addr, section.Size
	}
	for _, header := range o.file.Progs {
		if header.Type != elf.PT_GNU_EH_FRAME {
			continue
		}
		r := frames{data: o.at(header.Vaddr, header.Filesz), addr: header.Vaddr, order: o.order, word: int(o.word)}
		if r.unsigned(1) != 1 {
			continue
		}
		encoding := byte(r.unsigned(1))
		r.pos += 2
		if addr, ok := r.pointer(encoding); ok && !r.bad {
			return addr, 1 << 32 // up to a zero length, or the end of the segment
		}
	}
	return 0, 0
}

// common reads a CIE behind its id and returns how its FDEs encode addresses.
func (r *frames) common(end int) (encoding byte, ok bool) {
	version := r.unsigned(1)
	augmentation := terminated(r.data[min(r.pos, end):end])
	r.pos += len(augmentation) + 1
	r.leb()
	r.leb()
	if version == 1 {
		r.unsigned(1)
	} else {
		r.leb()
	}
	if augmentation == "" {
		return pointerAbsolute, !r.bad
	}
	if augmentation[0] != 'z' {
		return 0, false
	}
	r.leb()
	for _, letter := range augmentation[1:] {
		switch letter {
		case 'R':
			encoding = byte(r.unsigned(1))
		case 'L':
			r.unsigned(1)
		case 'P':
			if _, ok := r.pointer(byte(r.unsigned(1)) & 0x7f); !ok {
				return 0, false
			}
		case 'S', 'B', 'G':
		default:
			return 0, false
		}
	}
	return encoding, !r.bad && r.pos <= end
}

// unsigned reads a number of so many bytes.
func (r *frames) unsigned(size int) uint64 {
	if r.pos < 0 || size > len(r.data)-r.pos {
		r.bad, r.pos = true, len(r.data)
		return 0
	}
	data := r.data[r.pos:]
	r.pos += size
	switch size {
	case 1:
		return uint64(data[0])
	case 2:
		return uint64(r.order.Uint16(data))
	case 4:
		return uint64(r.order.Uint32(data))
	}
	return r.order.Uint64(data)
}

// leb reads a LEB128 number, unsigned.
func (r *frames) leb() (value uint64) {
	for shift := 0; shift < 70; shift += 7 {
		b := r.unsigned(1)
		value |= (b & 0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	r.bad = true
	return 0
}

// pointer reads an address; false for an encoding that linkers do not use there.
func (r *frames) pointer(encoding byte) (uint64, bool) {
	if encoding == pointerOmitted {
		return 0, false
	}
	place := r.addr + uint64(r.pos)
	var value uint64
	switch encoding & 0x0f {
	case pointerAbsolute:
		value = r.unsigned(r.word)
	case pointerULEB:
		value = r.leb()
	case pointerU2:
		value = r.unsigned(2)
	case pointerU4:
		value = r.unsigned(4)
	case pointerU8, pointerS8:
		value = r.unsigned(8)
	case pointerS2:
		value = uint64(int16(r.unsigned(2)))
	case pointerS4:
		value = uint64(int32(r.unsigned(4)))
	default:
		return 0, false
	}
	switch encoding & 0x70 {
	case 0:
	case pointerToPlace:
		if value != 0 {
			value += place
		}
	default:
		return 0, false
	}
	if r.word == 4 {
		value &= 0xffffffff
	}
	return value, true
}
