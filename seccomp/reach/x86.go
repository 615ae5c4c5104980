// SPDX-License-Identifier: Apache-2.0

package reach

import "golang.org/x/arch/x86/x86asm"

// x86 is i386 (mode 32) or x86_64 (mode 64).
type x86 struct{ mode int }

// Registers by the numbers that instructions give them.
const (
	x86AX = iota
	x86CX
	x86DX
	x86BX
	x86SP
	x86BP
	x86SI
	x86DI
)

func (m x86) enter() state        { return entered(x86SP, int64(m.mode/8)) }
func (m x86) numberRegister() int { return x86AX }

// pushed is what a call puts on the stack: the return address.
func (m x86) pushed() int64 { return int64(m.mode / 8) }

func (m x86) decode(c *cursor, pc uint64, code []byte) instruction {
	in, err := x86asm.Decode(code[:min(len(code), 16)], m.mode)
	if err != nil || in.Len == 0 {
		return m.unknown(c, pc, code)
	}
	result := instruction{size: in.Len}
	next := pc + uint64(in.Len)
	switch in.Op {
	case 0, x86asm.NOP, x86asm.FNOP:
		result.idle = true // 0 = a prefix alone, before what it does not belong to
		return result
	case x86asm.XCHG:
		result.idle = in.Args[0] == in.Args[1]
	case x86asm.LEA:
		mem, _ := in.Args[1].(x86asm.Mem)
		result.idle = in.Args[0] == x86asm.Arg(mem.Base) && mem.Index == 0 && mem.Disp == 0
	case x86asm.SYSCALL:
		result.trap = trapNative
		if m.mode == 32 {
			result.trap = trapCompat
		}
	case x86asm.SYSENTER:
		result.trap = trapCompat
	case x86asm.INT:
		switch in.Args[0] {
		case x86asm.Imm(0x80):
			result.trap = trapCompat
		case x86asm.Imm(3):
			result.idle = true // what fills the room between functions
		}
	case x86asm.CALL, x86asm.JMP, x86asm.LCALL, x86asm.LJMP:
		result.flow = flowJump
		if in.Op == x86asm.CALL || in.Op == x86asm.LCALL {
			result.flow = flowCall
		}
		m.transfer(c, &result, in, next)
		return result
	case x86asm.RET, x86asm.LRET, x86asm.IRET, x86asm.IRETD, x86asm.IRETQ, x86asm.HLT, x86asm.UD1, x86asm.UD2, x86asm.SYSRET:
		result.flow, result.returns = flowStop, in.Op == x86asm.RET || in.Op == x86asm.LRET
		if bytes, ok := in.Args[0].(x86asm.Imm); ok {
			result.pops = int(uint16(bytes))
		}
	default:
		if rel, ok := in.Args[0].(x86asm.Rel); ok {
			result.flow, result.target, result.direct = flowBranch, m.truncate(next+uint64(int64(rel))), true
			return result
		}
	}
	m.references(c, &result, in, next)
	return result
}

// transfer fills in where a call or jump goes.
func (m x86) transfer(c *cursor, result *instruction, in x86asm.Inst, next uint64) {
	switch to := in.Args[0].(type) {
	case x86asm.Rel:
		result.target, result.direct = m.truncate(next+uint64(int64(to))), true
	case x86asm.Mem:
		if m.gate(in) {
			result.flow, result.trap = flowNext, trapCompat
			return
		}
		if addr, ok := m.address(c, to, next); ok && to.Index == 0 {
			result.slot, result.bySlot = addr, true
			return
		}
		m.references(c, result, in, next)
	}
}

// gate reports whether a call is i386's into the vDSO, which enters the kernel: through tcbhead_t.sysinfo in the thread's control block.
func (m x86) gate(in x86asm.Inst) bool {
	to, ok := in.Args[0].(x86asm.Mem)
	return ok && in.Op == x86asm.CALL && m.mode == 32 && to.Segment == x86asm.GS && to.Base == 0 && to.Disp == 0x10
}

// thunk returns the register that a function at an address does nothing but load its return address into: how i386 code finds itself.
func (m x86) thunk(c *cursor, addr uint64) (register int, ok bool) {
	code := c.o.codeFrom(addr)
	if m.mode != 32 || len(code) < 4 || code[0] != 0x8b || code[1]&0xc7 != 0x04 || code[2] != 0x24 || code[3] != 0xc3 {
		return 0, false
	}
	return int(code[1] >> 3 & 7), true
}

// references collects the addresses that an instruction mentions.
func (m x86) references(c *cursor, result *instruction, in x86asm.Inst, next uint64) {
	for _, arg := range in.Args {
		switch arg := arg.(type) {
		case x86asm.Mem:
			if addr, ok := m.address(c, arg, next); ok {
				result.refer(addr, in.Op == x86asm.LEA || arg.Index != 0)
			}
		case x86asm.Imm:
			if !c.o.relocated && arg > 0 || m.mode == 32 {
				result.refer(m.truncate(uint64(arg)), true)
			}
		}
	}
}

// address returns what a memory operand names, if that is known without running: relative to the program counter, absolute, or, in i386 code
// that may be loaded anywhere, relative to the global offset table, whose address some register holds there.
func (m x86) address(c *cursor, mem x86asm.Mem, next uint64) (uint64, bool) {
	switch {
	case mem.Segment == x86asm.FS || mem.Segment == x86asm.GS:
		return 0, false
	case mem.Base == x86asm.RIP:
		return next + uint64(displacement(mem)), true
	case mem.Base == 0 && displacement(mem) != 0:
		return m.truncate(uint64(displacement(mem))), true
	case m.mode == 32 && c.o.got != 0 && mem.Base != 0 && mem.Base != x86asm.ESP && mem.Base != x86asm.EBP:
		return m.truncate(c.o.got + uint64(displacement(mem))), true
	}
	return 0, false
}

// displacement returns a memory operand's offset. x86asm gives those of 32 bits without their sign.
func displacement(mem x86asm.Mem) int64 {
	if mem.Disp == int64(uint32(mem.Disp)) {
		return int64(int32(mem.Disp))
	}
	return mem.Disp
}

func (m x86) truncate(addr uint64) uint64 {
	if m.mode == 32 {
		return addr & 0xffffffff
	}
	return addr
}

// unknown measures an instruction that x/arch does not know: by its prefixes, its map of opcodes and its operands. Such ones are neither calls
// nor jumps.
func (m x86) unknown(c *cursor, pc uint64, code []byte) instruction {
	shape, ok := m.measure(code)
	if !ok {
		return instruction{size: 1, bad: true}
	}
	result := instruction{size: shape.size}
	if shape.relative {
		result.refer(pc+uint64(shape.size)+uint64(int64(shape.displacement)), false)
	}
	return result
}

// shape is what can be said of an instruction without knowing it.
type shape struct {
	size         int
	register, rm int  // operands that may be written; -1 = memory
	extra        int  // the third operand of VEX and EVEX
	relative     bool // memory relative to the program counter
	displacement int32
}

// measure follows the encoding of Intel's manual, volume 2, chapter 2.
func (m x86) measure(code []byte) (shape, bool) {
	s := shape{register: -1, rm: -1, extra: -1}
	i := 0
	rex := byte(0)
	for ; i < len(code) && i < 14; i++ {
		switch code[i] {
		case 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
			continue
		}
		break
	}
	if i < len(code) && m.mode == 64 && code[i]&0xf0 == 0x40 {
		rex = code[i]
		i++
	}
	if i+3 > len(code) {
		return s, false
	}
	page, opcode := 1, byte(0)
	r, b := int(rex>>2&1)<<3, int(rex&1)<<3
	switch {
	case code[i] == 0xc5 && (m.mode == 64 || code[i+1] >= 0xc0):
		r, s.extra = int(^code[i+1]>>7&1)<<3, int(^code[i+1]>>3&15)
		opcode, i = code[i+2], i+3
	case code[i] == 0xc4 && i+4 <= len(code) && (m.mode == 64 || code[i+1] >= 0xc0):
		r, b, page, s.extra = int(^code[i+1]>>7&1)<<3, int(^code[i+1]>>5&1)<<3, int(code[i+1]&31), int(^code[i+2]>>3&15)
		opcode, i = code[i+3], i+4
	case code[i] == 0x62 && i+5 <= len(code) && (m.mode == 64 || code[i+1] >= 0xc0):
		r, b, page, s.extra = int(^code[i+1]>>7&1)<<3, int(^code[i+1]>>5&1)<<3, int(code[i+1]&7), int(^code[i+2]>>3&15)
		opcode, i = code[i+4], i+5
	case code[i] == 0x0f && code[i+1] == 0x38:
		page, opcode, i = 2, code[i+2], i+3
	case code[i] == 0x0f && code[i+1] == 0x3a:
		page, opcode, i = 3, code[i+2], i+3
	case code[i] == 0x0f:
		opcode, i = code[i+1], i+2
	default:
		return s, false
	}
	if page == 1 && opcode == 0x77 { // emms, vzeroupper: no operands
		s.size = i
		return s, true
	}
	i = m.operands(code, i, &s, r, b)
	if i < 0 || page < 1 || page > 6 {
		return s, false
	}
	if page == 3 || page == 1 && (opcode >= 0x70 && opcode <= 0x73 || opcode == 0xc2 || opcode >= 0xc4 && opcode <= 0xc6 || opcode == 0xba || opcode == 0xa4 || opcode == 0xac) {
		i++
	}
	s.size = i
	return s, i <= len(code) && i <= 15
}

// operands reads ModRM, SIB and displacement and returns where they end; -1 if that is beyond the code.
func (m x86) operands(code []byte, i int, s *shape, r, b int) int {
	if i >= len(code) {
		return -1
	}
	mod, reg, rm := code[i]>>6, int(code[i]>>3&7), int(code[i]&7)
	i++
	s.register = reg | r
	if mod == 3 {
		s.rm = rm | b
		return i
	}
	wide := 0
	switch mod {
	case 1:
		wide = 1
	case 2:
		wide = 4
	}
	if rm == 4 {
		if i >= len(code) {
			return -1
		}
		if mod == 0 && code[i]&7 == 5 {
			wide = 4
		}
		i++
	} else if mod == 0 && rm == 5 {
		wide, s.relative = 4, m.mode == 64
	}
	if i+wide > len(code) {
		return -1
	}
	if s.relative {
		s.displacement = int32(uint32(code[i]) | uint32(code[i+1])<<8 | uint32(code[i+2])<<16 | uint32(code[i+3])<<24)
	}
	return i + wide
}

// tables: offsets from the table where code may be loaded anywhere, addresses elsewhere.
func (m x86) tables() []tableForm {
	return []tableForm{{bytes: 4, scale: 1}, {bytes: m.mode / 8, absolute: true}}
}
