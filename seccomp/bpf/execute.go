// SPDX-License-Identifier: Apache-2.0

package bpf

// Execute runs a program on a call, as the kernel of a machine of that byte order does, and returns the program's result (an action and its
// data) and how many instructions it took. All arithmetic is of 32 bits; a shift by X counts X modulo 32; a division by an X of 0 ends the
// program with result 0, which kills the thread. So does a program that Check refuses, at the instruction that is wrong.
func Execute(order Order, program []Instruction, data *Data) (value uint32, executed int) {
	var a, x uint32
	var memory [scratchWords]uint32
	for pc := 0; uint(pc) < uint(len(program)); pc++ {
		i := &program[pc]
		executed++
		switch i.Code {
		case LD | W | ABS:
			if i.K >= dataSize || i.K%4 != 0 {
				return 0, executed
			}
			a = data.Word(order, i.K)
		case LD | IMM:
			a = i.K
		case LDX | IMM:
			x = i.K
		case LD | W | LEN:
			a = dataSize
		case LDX | W | LEN:
			x = dataSize
		case LD | MEM, LDX | MEM, ST, STX:
			if i.K >= scratchWords {
				return 0, executed
			}
			transfer(i.Code, &memory[i.K], &a, &x)
		case MISC | TAX:
			x = a
		case MISC | TXA:
			a = x
		case RET | K:
			return i.K, executed
		case RET | A:
			return a, executed
		case JMP | JA:
			if i.K >= Length {
				return 0, executed
			}
			pc += int(i.K)
		default:
			skip, ok := compute(i, &a, x)
			if !ok {
				return 0, executed
			}
			pc += skip
		}
	}
	return 0, executed
}

// transfer moves a word between a register and a cell of scratch memory.
func transfer(code uint16, cell, a, x *uint32) {
	switch code {
	case LD | MEM:
		*a = *cell
	case LDX | MEM:
		*x = *cell
	case ST:
		*cell = *a
	case STX:
		*cell = *x
	}
}

// compute executes an ALU instruction or a conditional jump, of which it returns how many instructions are skipped. It is not ok if the
// program ends here: a division by zero, or no such instruction.
func compute(i *Instruction, a *uint32, x uint32) (skip int, ok bool) {
	operand := i.K
	if i.Code&X != 0 {
		operand = x
	}
	switch {
	case i.Code&^(operation|X) == ALU:
		*a, ok = arithmetic(i.Code&operation, *a, operand)
		return 0, ok && i.Code != ALU|NEG|X
	case i.Code&^(operation|X) == JMP:
		holds, ok := compare(i.Code&operation, *a, operand)
		if holds {
			return int(i.True), ok
		}
		return int(i.False), ok
	}
	return 0, false
}

// arithmetic is the result of an ALU operation, which is not ok where the kernel ends the program with result 0 (division by zero) or knows
// no such operation.
func arithmetic(operation uint16, a, operand uint32) (result uint32, ok bool) {
	switch operation {
	case ADD:
		return a + operand, true
	case SUB:
		return a - operand, true
	case MUL:
		return a * operand, true
	case DIV:
		if operand == 0 {
			return 0, false
		}
		return a / operand, true
	case OR:
		return a | operand, true
	case AND:
		return a & operand, true
	case LSH:
		return a << (operand % 32), true
	case RSH:
		return a >> (operand % 32), true
	case NEG:
		return -a, true
	case XOR:
		return a ^ operand, true
	}
	return 0, false
}

// compare says whether the condition of a jump holds, and whether there is such a condition.
func compare(operation uint16, a, operand uint32) (holds, ok bool) {
	switch operation {
	case JEQ:
		return a == operand, true
	case JGT:
		return a > operand, true
	case JGE:
		return a >= operand, true
	case JSET:
		return a&operand != 0, true
	}
	return false, false
}

// allow is SECCOMP_RET_ALLOW without data.
const allow = 0x7fff0000

// Constant reports whether the program lets a call pass by its architecture and number alone, in a way that the kernel sees when the program
// is installed: then it remembers so in a bitmap and never runs the program for that call. It sees loads of nr and arch, comparisons of A
// with constants, AND with constants, jumps, and a return of ALLOW without data; a program that does anything else before it returns is run
// each time. (The kernel asks this of the machine's own architecture and its 32-bit sibling only, and never of the numbers of x32; some calls
// that it makes for itself, uretprobe on x86_64 since 6.14, pass every filter.)
//
// Source: seccomp_is_const_allow in kernel/seccomp.c, since Linux 5.11.
func Constant(program []Instruction, arch, number uint32) bool {
	var a uint32
	for pc := 0; uint(pc) < uint(len(program)); pc++ {
		i := &program[pc]
		switch i.Code {
		case LD | W | ABS:
			switch i.K {
			case OffsetNumber:
				a = number
			case OffsetArch:
				a = arch
			default:
				return false
			}
		case RET | K:
			return i.K == allow
		case JMP | JA:
			if i.K >= Length {
				return false
			}
			pc += int(i.K)
		case ALU | AND | K:
			a &= i.K
		case JMP | JEQ | K, JMP | JGT | K, JMP | JGE | K, JMP | JSET | K:
			skip, _ := compute(i, &a, 0)
			pc += skip
		default:
			return false
		}
	}
	return false
}
