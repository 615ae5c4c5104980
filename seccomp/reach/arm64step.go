// SPDX-License-Identifier: Apache-2.0

package reach

// step carries a state over one instruction. The groups are those of bits 28 to 25.
func (m arm64) step(c *cursor, pc uint64, code []byte, s *state) {
	if len(code) < 4 {
		*s = s.lost()
		return
	}
	word := uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24
	switch group := word >> 25 & 15; {
	case group>>1 == 4:
		m.stepImmediate(word, s)
	case group>>1 == 5:
		m.stepBranch(c, pc, word, s)
	case group&5 == 4:
		m.stepMemory(word, s)
	case group&7 == 5:
		m.stepRegister(word, s)
	case group&7 == 7: // floating point and vectors, of which some write a general register
		m.write(word&31, anything(), s)
	default: // reserved, SVE, SME
		for i := range uint32(31) {
			m.write(i, anything(), s)
		}
		s.scribble(0, 0)
	}
}

// write sets a general register; 31 is the zero register here.
func (arm64) write(register uint32, v value, s *state) {
	if register != arm64SP {
		s.set(int(register), v)
	}
}

// read returns a general register; 31 is zero.
func (arm64) read(register uint32, s *state) value {
	if register == arm64SP {
		return constant(0)
	}
	return s.registers[register]
}

// stepImmediate handles the constants that instructions carry.
func (m arm64) stepImmediate(word uint32, s *state) {
	d, n := word&31, word>>5&31
	immediate, shift := uint64(word>>5&0xffff), word>>21&3*16
	switch {
	case word&0x7f800000 == 0x52800000: // movz
		m.write(d, constant(immediate<<shift), s)
	case word&0x7f800000 == 0x12800000: // movn
		m.write(d, constant(^(immediate << shift)), s)
	case word&0x7f800000 == 0x72800000: // movk
		m.write(d, s.registers[d].mapped(func(old uint64) uint64 { return old&^(0xffff<<shift) | immediate<<shift }), s)
	case word&0x1f800000 == 0x11000000: // add, sub
		m.stepSum(word, d, n, s)
	case word&0x7f800000 == 0x32000000: // orr, which is how bit patterns such as 63 are moved
		pattern, ok := bitPattern(word)
		if !ok || n != arm64SP {
			m.write(d, anything(), s)
			return
		}
		m.write(d, constant(pattern), s)
	default:
		m.write(d, anything(), s)
	}
}

// bitPattern is the immediate of logical instructions: so many ones, rotated, in elements of 2 to 64 bits that repeat (DecodeBitMasks).
func bitPattern(word uint32) (uint64, bool) {
	rotate, ones := uint(word>>16&63), uint(word>>10&63)
	size := uint(64)
	if word>>22&1 == 0 {
		size = 32
		for ; size > 1 && ones&size != 0; size >>= 1 {
		}
	}
	ones, rotate = ones&(size-1)+1, rotate&(size-1)
	if size < 2 || ones == size {
		return 0, false
	}
	element := uint64(1)<<ones - 1
	element = element>>rotate | element<<(size-rotate)
	if size < 64 {
		element &= 1<<size - 1
	}
	for ; size < 64; size *= 2 {
		element |= element << size
	}
	return element, true
}

// stepSum adds or subtracts an immediate. Register 31 is the stack pointer, but as the target of the forms that set flags, which compare.
func (m arm64) stepSum(word, d, n uint32, s *state) {
	amount := int64(word >> 10 & 0xfff)
	if word>>22&1 == 1 {
		amount <<= 12
	}
	if word>>30&1 == 1 {
		amount = -amount
	}
	v := s.registers[n]
	switch {
	case v.framed && word>>31 == 1:
		v = frameAddress(v.offset + amount)
	case amount != 0 || v.framed:
		v = v.mapped(func(c uint64) uint64 { return c + uint64(amount) })
	}
	if word>>29&1 == 1 && d == arm64SP {
		return
	}
	s.set(int(d), v)
}

// stepRegister handles moves and selections between registers.
func (m arm64) stepRegister(word uint32, s *state) {
	d, n, other := word&31, word>>5&31, word>>16&31
	switch {
	case word&0x7fe0ffe0 == 0x2a0003e0: // mov
		m.write(d, m.read(other, s), s)
	case word&0x3fe00000 == 0x1a800000: // csel, csinc, csinv, csneg
		second := m.read(other, s)
		switch word>>30&1<<1 | word>>10&1 {
		case 1:
			second = second.mapped(func(c uint64) uint64 { return c + 1 })
		case 2:
			second = second.mapped(func(c uint64) uint64 { return ^c })
		case 3:
			second = second.mapped(func(c uint64) uint64 { return -c })
		}
		v := join(m.read(n, s), second)
		s.expose(m.read(n, s))
		s.expose(second)
		m.write(d, v, s)
	default:
		s.expose(m.read(n, s))
		s.expose(m.read(other, s))
		m.write(d, anything(), s)
	}
}

// stepBranch handles calls and system calls. Every other branch leaves the registers alone.
func (m arm64) stepBranch(c *cursor, pc uint64, word uint32, s *state) {
	switch {
	case word&0xfc000000 == 0x94000000, word&0xfe600000 == 0xd6200000: // bl, blr
		last := uint32(18)
		if c.o.goProgram {
			last = 29
		}
		for i := range last + 1 {
			if i != 29 {
				s.expose(m.read(i, s))
			}
			m.write(i, anything(), s)
		}
		m.write(30, anything(), s)
		sp := s.registers[arm64SP]
		switch {
		case !sp.framed:
			*s = s.lost()
		case c.o.goProgram:
			target := pc + uint64(int64(int32(word<<6)>>4))
			written := c.o.goWritten(target, word>>31 == 1 && word>>26 == 0x25)
			s.scribble(-1<<62, min(0, sp.offset+s.word+written)) // the link register is saved below the arguments
		default:
			s.scribble(-1<<62, sp.offset+8*s.word)
		}
	case word&0xff000000 == 0xd4000000: // svc and its like
		for i := range uint32(8) {
			s.expose(m.read(i, s))
		}
		m.write(0, anything(), s)
		s.scribble(0, 0)
	case word&0xfff00000 == 0xd5300000: // mrs
		m.write(word&31, anything(), s)
	}
}

// access is a load or store, taken apart.
type access struct {
	base    uint32
	size    int // bytes of one register
	offset  int64
	before  bool // the address is the base with the offset, not the base
	back    bool // the base becomes the address with the offset
	load    bool
	vector  bool
	first   uint32
	second  uint32 // of a pair; 31 = none
	unknown bool   // not of a form that is followed
}

// accessOf takes a load or store apart.
func accessOf(word uint32) access {
	a := access{base: word >> 5 & 31, size: 1 << (word >> 30), vector: word>>26&1 == 1, load: word>>22&3 != 0, first: word & 31, second: 31}
	switch {
	case word&0x3b000000 == 0x39000000:
		a.offset, a.before = int64(word>>10&0xfff)<<(word>>30), true
	case word&0x3b200000 == 0x38000000:
		a.offset = int64(int32(word<<11) >> 23)
		a.before, a.back = word>>10&3 != 1, word>>10&1 == 1
	case word&0x3a000000 == 0x28000000:
		a.size, a.second, a.load = 4<<(word>>31), word>>10&31, word>>22&1 == 1
		if a.vector {
			a.size = 4 << (word >> 30)
		}
		a.offset = int64(int32(word<<10)>>25) * int64(a.size)
		a.before, a.back = word>>23&3 != 1, word>>23&1 == 1
	default:
		a.unknown = true
	}
	if a.vector && a.second == 31 {
		a.size = 16
	}
	return a
}

func (m arm64) stepMemory(word uint32, s *state) {
	a := accessOf(word)
	if a.unknown { // literals, register offsets, exclusive, atomic: whatever is named may be written
		for _, register := range []uint32{word & 31, word >> 10 & 31, word >> 16 & 31} {
			if word&0x04000000 == 0 {
				s.expose(m.read(register, s))
				m.write(register, anything(), s)
			}
		}
		if base := s.registers[word>>5&31]; base.framed {
			s.expose(base)
		}
		s.scribble(0, 0)
		return
	}
	base := s.registers[a.base]
	moved := anything()
	if base.framed {
		moved = frameAddress(base.offset + a.offset)
	}
	place := base
	if a.before {
		place = moved
	}
	m.transfer(a, a.first, place, 0, s)
	if a.second != 31 || word&0x3a000000 == 0x28000000 {
		m.transfer(a, a.second, place, int64(a.size), s)
	}
	if a.back {
		s.set(int(a.base), moved)
	}
}

// transfer moves one register of an access.
func (m arm64) transfer(a access, register uint32, place value, beyond int64, s *state) {
	switch {
	case a.load && a.vector:
	case a.load && place.framed && a.size >= 4:
		m.write(register, s.load(place.offset+beyond), s)
	case a.load:
		m.write(register, anything(), s)
	case !place.framed:
		s.expose(m.read(register, s))
		s.scribble(0, 0)
	case a.vector:
		s.store(place.offset+beyond, a.size, anything())
	default:
		v := m.read(register, s)
		if register != 29 {
			s.expose(v)
		}
		s.store(place.offset+beyond, a.size, v)
	}
}

// refine adds what cbz and cbnz say of their register.
func (m arm64) refine(c *cursor, _, branch placed, taken bool, s *state) {
	code := c.o.codeFrom(branch.pc)
	if len(code) < 4 {
		return
	}
	word := uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24
	if word&0x7e000000 == 0x34000000 && (word>>24&1 == 0) == taken {
		m.write(word&31, constant(0), s)
	}
}
