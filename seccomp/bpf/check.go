// SPDX-License-Identifier: Apache-2.0

package bpf

import "fmt"

// Check returns why the kernel refuses the program as a filter of calls, nil if it takes it. The error names the instruction.
//
// Source: bpf_check_classic and check_load_and_stores in net/core/filter.c, seccomp_check_filter in kernel/seccomp.c.
func Check(program []Instruction) error {
	if len(program) == 0 || len(program) > Length {
		return fmt.Errorf("program of %d instructions: the kernel takes 1 to %d", len(program), Length)
	}
	memory := false
	for pc := range program {
		fault, usesMemory := fault(program, pc)
		if fault != "" {
			return fmt.Errorf("instruction %d (%s): %s", pc, describe(program, pc), fault)
		}
		memory = memory || usesMemory
	}
	if last := len(program) - 1; program[last].Code&class != RET {
		return fmt.Errorf("instruction %d (%s): the last instruction is no return", last, describe(program, last))
	}
	if memory {
		return checkMemory(program)
	}
	return nil
}

// fault says what is wrong with an instruction by itself, and whether it uses scratch memory.
func fault(program []Instruction, pc int) (fault string, memory bool) {
	i := &program[pc]
	switch i.Code {
	case LD | IMM, LDX | IMM, LD | W | LEN, LDX | W | LEN, MISC | TAX, MISC | TXA, RET | K, RET | A:
	case ALU | ADD | K, ALU | SUB | K, ALU | MUL | K, ALU | OR | K, ALU | AND | K, ALU | XOR | K, ALU | NEG:
	case ALU | ADD | X, ALU | SUB | X, ALU | MUL | X, ALU | OR | X, ALU | AND | X, ALU | XOR | X, ALU | DIV | X, ALU | LSH | X, ALU | RSH | X:
	case ALU | DIV | K:
		if i.K == 0 {
			return "divides by 0", false
		}
	case ALU | LSH | K, ALU | RSH | K:
		if i.K >= 32 {
			return fmt.Sprintf("shifts by %d bits of 32", i.K), false
		}
	case LD | W | ABS:
		if i.K >= dataSize || i.K%4 != 0 {
			return fmt.Sprintf("offset %d is none of a word in the %d bytes of struct seccomp_data", i.K, dataSize), false
		}
	case LD | MEM, LDX | MEM, ST, STX:
		if i.K >= scratchWords {
			return fmt.Sprintf("cell %d of %d of scratch memory", i.K, scratchWords), false
		}
		return "", true
	case JMP | JA:
		if uint64(pc)+1+uint64(i.K) >= uint64(len(program)) {
			return fmt.Sprintf("jumps to %d, beyond the last of %d instructions", uint64(pc)+1+uint64(i.K), len(program)), false
		}
	case JMP | JEQ | K, JMP | JGT | K, JMP | JGE | K, JMP | JSET | K, JMP | JEQ | X, JMP | JGT | X, JMP | JGE | X, JMP | JSET | X:
		if farthest := pc + 1 + int(max(i.True, i.False)); farthest >= len(program) {
			return fmt.Sprintf("jumps to %d, beyond the last of %d instructions", farthest, len(program)), false
		}
	default:
		return "no instruction that filters of calls may have", false
	}
	return "", false
}

// checkMemory makes sure that no cell of scratch memory is read before it is written, whatever way the program takes. Jumps go forward only, so that one
// pass sees all ways to an instruction before the instruction. What follows a jump and is the target of none is never executed and may read anything.
func checkMemory(program []Instruction) error {
	written := make([]uint16, len(program)) // by every way to the instruction, a bit for each cell
	for pc := range written {
		written[pc] = 1<<scratchWords - 1
	}
	now := uint16(0)
	for pc := range program {
		now &= written[pc]
		i := &program[pc]
		switch {
		case i.Code == ST, i.Code == STX:
			now |= 1 << i.K
		case i.Code == LD|MEM, i.Code == LDX|MEM:
			if now&(1<<i.K) == 0 {
				return fmt.Errorf("instruction %d (%s): cell %d of scratch memory may not have been written", pc, describe(program, pc), i.K)
			}
		case i.Code == JMP|JA:
			written[pc+1+int(i.K)] &= now
			now = 1<<scratchWords - 1
		case i.Code&class == JMP:
			written[pc+1+int(i.True)] &= now
			written[pc+1+int(i.False)] &= now
			now = 1<<scratchWords - 1
		}
	}
	return nil
}
