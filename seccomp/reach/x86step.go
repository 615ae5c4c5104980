// SPDX-License-Identifier: Apache-2.0

package reach

import "golang.org/x/arch/x86/x86asm"

// step carries a state over one instruction. What it does not know makes every register that is named unknown.
func (m x86) step(c *cursor, pc uint64, code []byte, s *state) {
	in, err := x86asm.Decode(code[:min(len(code), 16)], m.mode)
	if err != nil || in.Len == 0 {
		shape, ok := m.measure(code)
		if !ok {
			*s = s.lost()
			return
		}
		for _, register := range []int{shape.register, shape.rm, shape.extra} {
			if register >= 0 && register < 16 && register != x86SP {
				s.set(register, anything())
			}
		}
		s.scribble(0, 0)
		return
	}
	switch in.Op {
	case x86asm.CALL, x86asm.LCALL, x86asm.SYSCALL, x86asm.SYSENTER, x86asm.INT:
		m.stepCall(c, pc, in, s)
	case x86asm.PUSH, x86asm.POP, x86asm.LEAVE, x86asm.ENTER, x86asm.PUSHF, x86asm.PUSHFD, x86asm.PUSHFQ, x86asm.POPF, x86asm.POPFD, x86asm.POPFQ, x86asm.RET:
		m.stepStack(c, in, s)
	case x86asm.CMP, x86asm.TEST, x86asm.NOP, x86asm.BT, x86asm.JMP:
	case x86asm.XCHG:
		a, b := m.read(in, in.Args[0], s), m.read(in, in.Args[1], s)
		m.write(in, in.Args[0], b, s)
		m.write(in, in.Args[1], a, s)
	case x86asm.CDQ, x86asm.CQO, x86asm.CWD:
		s.set(x86DX, anything())
	case x86asm.CDQE, x86asm.CWDE:
		s.set(x86AX, s.registers[x86AX]) // of a number, only the low half matters
	default:
		m.stepPlain(c, pc, in, s)
	}
}

// implicit are the registers that instructions write without naming them.
func implicit(op x86asm.Op) []int {
	switch op {
	case x86asm.CMPXCHG, x86asm.CBW:
		return []int{x86AX}
	case x86asm.MUL, x86asm.DIV, x86asm.IDIV, x86asm.CMPXCHG8B, x86asm.CMPXCHG16B, x86asm.XGETBV, x86asm.RDPMC, x86asm.RDTSC:
		return []int{x86AX, x86DX}
	case x86asm.RDTSCP, x86asm.CPUID, x86asm.RDMSR:
		return []int{x86AX, x86BX, x86CX, x86DX}
	case x86asm.LODSB, x86asm.LODSW, x86asm.LODSD, x86asm.LODSQ, x86asm.STOSB, x86asm.STOSW, x86asm.STOSD, x86asm.STOSQ, x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSQ, x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ, x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSQ,
		x86asm.LAHF, x86asm.XLATB, x86asm.IN, x86asm.INSB, x86asm.INSD, x86asm.INSW, x86asm.LOOP, x86asm.LOOPE, x86asm.LOOPNE, x86asm.AAA, x86asm.AAS, x86asm.AAM, x86asm.AAD, x86asm.DAA, x86asm.DAS, x86asm.FNSTSW:
		return []int{x86AX, x86CX, x86SI, x86DI}
	case x86asm.PCMPESTRI, x86asm.PCMPISTRI, x86asm.PCMPESTRM, x86asm.PCMPISTRM, x86asm.XBEGIN:
		return []int{x86AX, x86CX}
	case x86asm.POPA, x86asm.POPAD, x86asm.SYSEXIT, x86asm.SYSRET, x86asm.XSAVE, x86asm.MOVSD, x86asm.MOVSD_XMM, x86asm.IMUL:
		return []int{x86AX, x86CX, x86DX, x86BX, x86BP, x86SI, x86DI}
	}
	return nil
}

// stepPlain is for instructions whose first operand is what they write.
func (m x86) stepPlain(c *cursor, pc uint64, in x86asm.Inst, s *state) {
	for _, register := range implicit(in.Op) {
		s.set(register, anything())
	}
	first, second := in.Args[0], in.Args[1]
	if first == nil {
		return
	}
	switch in.Op {
	case x86asm.MOV:
		v := m.read(in, second, s)
		if second != x86asm.Arg(x86asm.RSP) && second != x86asm.Arg(x86asm.ESP) || first != x86asm.Arg(x86asm.RBP) && first != x86asm.Arg(x86asm.EBP) {
			s.expose(v)
		}
		m.write(in, first, v, s)
	case x86asm.LEA:
		v := m.effective(c, pc, in, second.(x86asm.Mem), s)
		if register, _ := x86Register(first); register != x86SP && !(register == x86BP && c.o.goProgram) { // in Go, that is always the frame's
			s.expose(v)
		}
		m.write(in, first, v, s)
	case x86asm.MOVSXD, x86asm.MOVSX, x86asm.MOVZX:
		if _, bits := x86Register(second); bits == 32 || in.Op == x86asm.MOVSXD || in.MemBytes >= 4 {
			m.write(in, first, m.read(in, second, s), s)
			return
		}
		m.write(in, first, anything(), s)
	case x86asm.ADD, x86asm.SUB, x86asm.AND, x86asm.OR, x86asm.XOR, x86asm.SHL, x86asm.SHR, x86asm.INC, x86asm.DEC, x86asm.NEG, x86asm.NOT, x86asm.SBB, x86asm.IMUL:
		m.stepArithmetic(in, s)
	default:
		m.stepOther(in, s)
	}
}

// stepOther handles conditional moves and sets, and forgets what any other instruction may write.
func (m x86) stepOther(in x86asm.Inst, s *state) {
	switch in.Op {
	case x86asm.CMOVA, x86asm.CMOVAE, x86asm.CMOVB, x86asm.CMOVBE, x86asm.CMOVE, x86asm.CMOVG, x86asm.CMOVGE, x86asm.CMOVL, x86asm.CMOVLE,
		x86asm.CMOVNE, x86asm.CMOVNO, x86asm.CMOVNP, x86asm.CMOVNS, x86asm.CMOVO, x86asm.CMOVP, x86asm.CMOVS:
		v := m.read(in, in.Args[1], s)
		s.expose(v)
		m.write(in, in.Args[0], join(m.read(in, in.Args[0], s), v), s)
		return
	case x86asm.SETA, x86asm.SETAE, x86asm.SETB, x86asm.SETBE, x86asm.SETE, x86asm.SETG, x86asm.SETGE, x86asm.SETL, x86asm.SETLE,
		x86asm.SETNE, x86asm.SETNO, x86asm.SETNP, x86asm.SETNS, x86asm.SETO, x86asm.SETP, x86asm.SETS:
		m.write(in, in.Args[0], value{constants: []uint64{0, 1}}, s)
		return
	}
	for _, arg := range in.Args {
		if _, bits := x86Register(arg); bits != 0 {
			s.expose(m.read(in, arg, s))
		}
	}
	m.write(in, in.Args[0], anything(), s)
	if in.Op == x86asm.XADD || in.Op == x86asm.CMPXCHG || in.Op == x86asm.MULX {
		m.write(in, in.Args[1], anything(), s)
	}
}

// stepArithmetic computes with constants, and with the stack pointer.
func (m x86) stepArithmetic(in x86asm.Inst, s *state) {
	first, second := in.Args[0], in.Args[1]
	a, b := m.read(in, first, s), value{}
	if second != nil {
		b = m.read(in, second, s)
	}
	result := anything()
	switch in.Op {
	case x86asm.ADD, x86asm.SUB:
		result = m.sum(in.Op, a, b, first, s)
	case x86asm.AND:
		result = combined(a, b, func(a, b uint64) uint64 { return a & b })
		if b.onlyConstant() && b.constants[0] == 0 {
			result = constant(0)
		}
	case x86asm.OR:
		result = combined(a, b, func(a, b uint64) uint64 { return a | b })
		if b.onlyConstant() && len(b.constants) == 1 && uint32(b.constants[0]) == 0xffffffff {
			result = b
		}
	case x86asm.XOR:
		result = combined(a, b, func(a, b uint64) uint64 { return a ^ b })
	case x86asm.SHL:
		result = combined(a, b, func(a, b uint64) uint64 { return a << (b & 31) })
	case x86asm.INC:
		result = a.mapped(func(a uint64) uint64 { return a + 1 })
	case x86asm.DEC:
		result = a.mapped(func(a uint64) uint64 { return a - 1 })
	case x86asm.NEG:
		result = a.mapped(func(a uint64) uint64 { return -a })
	case x86asm.NOT:
		result = a.mapped(func(a uint64) uint64 { return ^a })
	}
	if register, bits := x86Register(first); bits >= 32 && second == first {
		switch in.Op {
		case x86asm.XOR, x86asm.SUB:
			result = constant(0)
		case x86asm.SBB: // the carry, spread over all bits
			result = value{constants: []uint64{0, 1<<64 - 1}}
		case x86asm.AND, x86asm.OR:
			result = s.registers[register]
		}
	}
	m.write(in, first, result, s)
}

// sum adds or subtracts. The stack pointer moves so; any other register that comes to hold an address of the frame exposes it.
func (m x86) sum(op x86asm.Op, a, b value, to x86asm.Arg, s *state) value {
	sign := int64(1)
	if op == x86asm.SUB {
		sign = -1
	}
	if a.framed && b.onlyConstant() && len(b.constants) == 1 {
		v := frameAddress(a.offset + sign*int64(b.constants[0]))
		if register, _ := x86Register(to); register != x86SP {
			s.expose(v)
		}
		return v
	}
	return combined(a, b, func(a, b uint64) uint64 { return a + uint64(sign)*b })
}

// stepCall forgets what a call may change: registers that it need not keep, and what it can write of the frame.
func (m x86) stepCall(c *cursor, pc uint64, in x86asm.Inst, s *state) {
	clobbered := []int{x86AX, x86CX, x86DX}
	call := (in.Op == x86asm.CALL || in.Op == x86asm.LCALL) && !m.gate(in)
	switch {
	case !call:
		clobbered = []int{x86AX, 11}
		if in.Op == x86asm.SYSCALL {
			clobbered = []int{x86AX, x86CX, 11}
		}
	case c.o.goProgram: // Go's conventions keep no register but the stack pointer
		clobbered = []int{x86AX, x86CX, x86DX, x86BX, x86BP, x86SI, x86DI, 8, 9, 10, 11, 12, 13, 14, 15}
	case m.mode == 64:
		clobbered = []int{x86AX, x86CX, x86DX, x86SI, x86DI, 8, 9, 10, 11}
	}
	if rel, ok := in.Args[0].(x86asm.Rel); ok {
		if register, ok := m.thunk(c, m.truncate(pc+uint64(in.Len)+uint64(int64(rel)))); ok {
			s.set(register, anything())
			return
		}
		if at := s.registers[x86SP]; rel == 0 && at.framed { // a call to the next instruction is a push
			s.registers[x86SP] = frameAddress(at.offset - s.word)
		}
	}
	for _, register := range clobbered {
		s.set(register, anything())
	}
	if rel, ok := in.Args[0].(x86asm.Rel); ok && s.registers[x86SP].framed {
		s.registers[x86SP].offset += c.o.pops[m.truncate(pc+uint64(in.Len)+uint64(int64(rel)))]
	}
	sp := s.registers[x86SP]
	switch {
	case !call:
		s.scribble(0, 0)
	case !sp.framed:
		*s = s.lost()
	case c.o.goProgram:
		rel, direct := in.Args[0].(x86asm.Rel)
		written := c.o.goWritten(m.truncate(pc+uint64(in.Len)+uint64(int64(rel))), direct)
		s.scribble(-1<<62, min(0, sp.offset+written)) // below the stack pointer, and the arguments
	default:
		s.scribble(-1<<62, sp.offset+8*s.word)
	}
}

// stepStack moves the stack pointer.
func (m x86) stepStack(c *cursor, in x86asm.Inst, s *state) {
	sp := s.registers[x86SP]
	switch {
	case in.Op == x86asm.LEAVE:
		s.registers[x86SP] = s.registers[x86BP]
		m.pop(x86asm.Arg(x86asm.RBP), in, s)
	case !sp.framed:
		for _, arg := range in.Args {
			m.write(in, arg, anything(), s)
		}
	case in.Op == x86asm.PUSH:
		v := m.read(in, in.Args[0], s)
		s.expose(v)
		s.registers[x86SP] = frameAddress(sp.offset - s.word)
		s.store(sp.offset-s.word, int(s.word), v)
	case in.Op == x86asm.POP:
		m.pop(in.Args[0], in, s)
	case in.Op == x86asm.PUSHF || in.Op == x86asm.PUSHFD || in.Op == x86asm.PUSHFQ:
		s.registers[x86SP] = frameAddress(sp.offset - s.word)
		s.store(sp.offset-s.word, int(s.word), anything())
	case in.Op == x86asm.POPF || in.Op == x86asm.POPFD || in.Op == x86asm.POPFQ:
		s.registers[x86SP] = frameAddress(sp.offset + s.word)
	case in.Op == x86asm.ENTER:
		*s = s.lost()
	}
}

func (m x86) pop(to x86asm.Arg, in x86asm.Inst, s *state) {
	sp := s.registers[x86SP]
	if !sp.framed {
		m.write(in, to, anything(), s)
		return
	}
	v := s.load(sp.offset)
	s.registers[x86SP] = frameAddress(sp.offset + s.word)
	m.write(in, to, v, s)
}

// read returns what an operand holds.
func (m x86) read(in x86asm.Inst, arg x86asm.Arg, s *state) value {
	switch arg := arg.(type) {
	case x86asm.Imm:
		return constant(uint64(arg))
	case x86asm.Reg:
		if register, bits := x86Register(arg); bits >= 32 {
			return s.registers[register]
		}
	case x86asm.Mem:
		if at := m.framePlace(arg, s); at.framed && in.MemBytes >= 4 {
			return s.load(at.offset)
		}
	}
	return anything()
}

// write sets an operand. Eight and sixteen bits into a register change a part of it.
func (m x86) write(in x86asm.Inst, arg x86asm.Arg, v value, s *state) {
	switch arg := arg.(type) {
	case x86asm.Reg:
		register, bits := x86Register(arg)
		switch {
		case bits == 0:
		case bits >= 32:
			s.set(register, v)
		default:
			mask := uint64(1)<<bits - 1
			if arg >= x86asm.AH && arg <= x86asm.BH {
				v = anything()
			}
			s.set(register, combined(s.registers[register], v, func(old, part uint64) uint64 { return old&^mask | part&mask }))
		}
	case x86asm.Mem:
		size := max(in.MemBytes, 1)
		switch at := m.framePlace(arg, s); {
		case at.framed && in.Op != x86asm.MOV && size > int(s.word): // vectors, floating point
			s.store(at.offset, max(size, 64), anything())
		case at.framed && arg.Index == 0:
			s.store(at.offset, size, v)
		default:
			s.scribble(0, 0)
		}
	}
}

// framePlace returns the address in the frame that a memory operand names; unknown if it names something else.
func (m x86) framePlace(mem x86asm.Mem, s *state) value {
	base, bits := x86Register(mem.Base)
	if bits == 0 || mem.Base == x86asm.RIP || mem.Segment == x86asm.FS || mem.Segment == x86asm.GS || !s.registers[base].framed {
		return anything()
	}
	if mem.Index != 0 {
		s.expose(frameAddress(s.registers[base].offset + displacement(mem)))
		return anything()
	}
	return frameAddress(s.registers[base].offset + displacement(mem))
}

// effective returns the address that lea computes.
func (m x86) effective(c *cursor, pc uint64, in x86asm.Inst, mem x86asm.Mem, s *state) value {
	if at := m.framePlace(mem, s); at.framed {
		return at
	}
	if mem.Base == x86asm.RIP {
		return constant(pc + uint64(in.Len) + uint64(displacement(mem)))
	}
	base, bits := x86Register(mem.Base)
	if bits == 0 || mem.Index != 0 {
		return anything()
	}
	return s.registers[base].mapped(func(c uint64) uint64 { return c + uint64(displacement(mem)) })
}

// x86Register returns a general register's number and its width in bits; 0 bits for anything else.
func x86Register(arg x86asm.Arg) (number, bits int) {
	register, ok := arg.(x86asm.Reg)
	switch {
	case !ok:
		return 0, 0
	case register >= x86asm.AL && register <= x86asm.BL:
		return int(register - x86asm.AL), 8
	case register >= x86asm.AH && register <= x86asm.BH:
		return int(register - x86asm.AH), 8
	case register >= x86asm.SPB && register <= x86asm.DIB:
		return int(register-x86asm.SPB) + 4, 8
	case register >= x86asm.R8B && register <= x86asm.R15B:
		return int(register-x86asm.R8B) + 8, 8
	case register >= x86asm.AX && register <= x86asm.R15W:
		return int(register - x86asm.AX), 16
	case register >= x86asm.EAX && register <= x86asm.R15L:
		return int(register - x86asm.EAX), 32
	case register >= x86asm.RAX && register <= x86asm.R15:
		return int(register - x86asm.RAX), 64
	}
	return 0, 0
}

// refine adds what a conditional jump says of a register that the instruction before compares with a constant.
func (m x86) refine(c *cursor, compare, branch placed, taken bool, s *state) {
	jump, err := x86asm.Decode(c.o.codeFrom(branch.pc), m.mode)
	if err != nil || taken && jump.Op != x86asm.JE || !taken && jump.Op != x86asm.JNE {
		return
	}
	in, err := x86asm.Decode(c.o.codeFrom(compare.pc), m.mode)
	if err != nil {
		return
	}
	register, bits := x86Register(in.Args[0])
	immediate, constantOperand := in.Args[1].(x86asm.Imm)
	switch {
	case bits < 32 || register == x86SP:
	case in.Op == x86asm.TEST && in.Args[0] == in.Args[1]:
		s.set(register, constant(0))
	case in.Op == x86asm.CMP && constantOperand:
		s.set(register, constant(uint64(immediate)))
	}
}
