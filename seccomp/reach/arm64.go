// SPDX-License-Identifier: Apache-2.0

package reach

// arm64 is AArch64 with little-endian data. Instructions are taken apart here by their bits (Arm ARM, DDI 0487, C4.1): every branch and every
// exception is in one group, whatever extensions a processor has, so that an instruction that is not known is neither.
type arm64 struct{}

const (
	arm64Number = 8
	arm64SP     = 31
)

func (arm64) enter() state        { return entered(arm64SP, 8) }
func (arm64) numberRegister() int { return arm64Number }
func (arm64) pushed() int64       { return 0 }

// tables: entries of one, two or four bytes that count instructions from a place in code, or bytes from the table; and addresses.
func (arm64) tables() []tableForm {
	return []tableForm{{bytes: 1, scale: 4}, {bytes: 2, scale: 4}, {bytes: 4, scale: 4}, {bytes: 4, scale: 1}, {bytes: 8, absolute: true}}
}

func (m arm64) decode(c *cursor, pc uint64, code []byte) instruction {
	result := instruction{size: 4}
	if len(code) < 4 {
		return instruction{size: len(code), bad: true}
	}
	word := uint32(code[0]) | uint32(code[1])<<8 | uint32(code[2])<<16 | uint32(code[3])<<24
	switch {
	case word&0xfc000000 == 0x14000000, word&0xfc000000 == 0x94000000: // b, bl
		result.flow, result.target, result.direct = flowJump, pc+uint64(int64(int32(word<<6)>>4)), true
		if word>>31 == 1 {
			result.flow = flowCall
		}
	case word&0xff000000 == 0x54000000, word&0x7e000000 == 0x34000000: // b.cond, cbz, cbnz
		result.flow, result.target, result.direct = flowBranch, pc+uint64(int64(int32(word<<8)>>13<<2)), true
	case word&0x7e000000 == 0x36000000: // tbz, tbnz
		result.flow, result.target, result.direct = flowBranch, pc+uint64(int64(int32(word<<13)>>18<<2)), true
	case word&0xfe000000 == 0xd6000000: // br, blr, ret, and with pointer authentication
		m.branchRegister(c, word, &result)
	case word&0xffe0001f == 0xd4000001: // svc
		result.trap = trapNative
	case word&0xffff0000 == 0: // udf
		result.flow = flowStop
	default:
		m.addresses(c, pc, word, &result)
	}
	if result.flow == flowCall {
		for i := range uint32(19) {
			c.set(i, 0, 0)
		}
	}
	return result
}

// branchRegister reads br, blr and ret. A stub for an import loads its target from the word that the dynamic linker fills.
func (arm64) branchRegister(c *cursor, word uint32, result *instruction) {
	register := word >> 5 & 31
	switch word >> 21 & 3 {
	case 1:
		result.flow = flowCall
	case 2:
		result.flow, result.returns = flowStop, true
		return
	default:
		result.flow = flowJump
	}
	if c.loaded[register] != 0 {
		result.slot, result.bySlot = c.loaded[register], true
	}
}

// addresses follows how code forms addresses: adr; adrp, then add or a load or store with an offset.
func (arm64) addresses(c *cursor, pc uint64, word uint32, result *instruction) {
	d, page := word&31, c.pages[word>>5&31]
	switch {
	case word&0x9f000000 == 0x10000000: // adr
		c.set(d, 0, 0)
		result.refer(pc+uint64(pageOffset(word)), true)
	case word&0x9f000000 == 0x90000000: // adrp
		c.set(d, pc&^0xfff+uint64(pageOffset(word)<<12), 0)
	case word&0xff800000 == 0x91000000 && page != 0: // add x, x, #
		offset := uint64(word >> 10 & 0xfff << (word >> 22 & 1 * 12))
		result.refer(page+offset, true)
		c.set(d, page+offset, 0)
	case word&0x3b000000 == 0x39000000: // load or store with an unsigned offset, scaled
		place := page + uint64(word>>10&0xfff)<<(word>>30)
		if page != 0 {
			result.refer(place, false)
		}
		if word&0x04c00000 != 0 && word&0x04000000 == 0 {
			c.set(d, 0, 0)
		}
		if page != 0 && word>>22 == 0x3e5 { // ldr x
			c.set(d, 0, place)
		}
	case word == 0xd503201f: // nop
		result.idle = true
	case word>>25&7 == 5 || word>>26&7 == 4 || word&0x0a400000 == 0x08400000: // data processing; other loads
		c.set(d, 0, 0)
		if word&0x3a000000 == 0x28000000 { // pairs
			c.set(word>>10&31, 0, 0)
		}
	}
}

// pageOffset is the immediate of adr and adrp.
func pageOffset(word uint32) int64 { return int64(int32(word<<8)>>13<<2 | int32(word>>29&3)) }

// set notes what a register of a cursor holds: an address, or the word at one.
func (c *cursor) set(register uint32, page, loaded uint64) {
	c.pages[register], c.loaded[register] = page, loaded
}
