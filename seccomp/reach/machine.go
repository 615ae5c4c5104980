// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"debug/elf"
	"fmt"
)

// machine reads the instructions of an architecture.
type machine interface {
	// decode says where an instruction leads and what it mentions. It never returns a size of 0.
	decode(c *cursor, pc uint64, code []byte) instruction
	// step carries what is known of registers and stack over an instruction.
	step(c *cursor, pc uint64, code []byte, s *state)
	// refine adds to a state what follows from a conditional jump being taken or not, given the instruction before it.
	refine(c *cursor, before, branch placed, taken bool, s *state)
	// enter returns the state at a function's start; its number register and stack pointer are those of the architecture.
	enter() state
	// numberRegister is the register of a system call's number.
	numberRegister() int
	// pushed is how many bytes a call puts on the stack.
	pushed() int64
	// tables are the forms that the jump tables of compilers have.
	tables() []tableForm
}

// machineOf returns the machine of a file, or says which it is that is not understood.
func machineOf(file *elf.File) (machine, error) {
	switch {
	case file.Machine == elf.EM_X86_64 && file.Class == elf.ELFCLASS64 && file.Data == elf.ELFDATA2LSB:
		return x86{64}, nil
	case file.Machine == elf.EM_386 && file.Class == elf.ELFCLASS32 && file.Data == elf.ELFDATA2LSB:
		return x86{32}, nil
	case file.Machine == elf.EM_AARCH64 && file.Class == elf.ELFCLASS64 && file.Data == elf.ELFDATA2LSB:
		return arm64{}, nil
	}
	return nil, fmt.Errorf("code of %s, %s, %s is not understood: only of x86_64, i386 and little-endian arm64", file.Machine, file.Class, file.Data)
}

// abiNames returns the names of a file's ways into the kernel: its own, and i386's from x86_64 code.
func abiNames(file *elf.File) (native, compat string) {
	switch file.Machine {
	case elf.EM_X86_64:
		return "x86_64", "x86"
	case elf.EM_386:
		return "x86", "x86"
	}
	return "aarch64", "aarch64"
}

// cursor goes over the code of one function.
type cursor struct {
	o *object
	// arm64: the address that adrp and add have put into a register, and the one that a register was loaded from; 0 = not known.
	pages, loaded [machineRegisters]uint64
}

// flow is where control may go after an instruction.
type flow uint8

const (
	flowNext   flow = iota
	flowCall        // elsewhere and back
	flowJump        // elsewhere
	flowBranch      // to the target or on
	flowStop        // out of the function, or nowhere
)

// trap is how an instruction enters the kernel.
type trap uint8

const (
	trapNone   trap = iota
	trapNative      // by the architecture's own table of calls
	trapCompat      // by that of i386
)

// instruction is what reachability needs to know of one.
type instruction struct {
	size     int
	flow     flow
	trap     trap
	direct   bool // target is known
	bySlot   bool // the target is in the word at slot
	bad      bool // no instruction that is known
	idle     bool // without any effect
	returns  bool // to the caller, of flowStop
	pops     int  // bytes of arguments that a return takes off the stack
	mentions int  // how many of mentioned are used
	target   uint64
	slot     uint64
	// mentioned are addresses that the instruction names: formed ones are values that it computes, others memory that it uses.
	mentioned [2]mention
}

type mention struct {
	addr   uint64
	formed bool
}

// refer notes an address.
func (in *instruction) refer(addr uint64, formed bool) {
	if in.mentions < len(in.mentioned) {
		in.mentioned[in.mentions] = mention{addr, formed}
		in.mentions++
	}
}

// indirect reports a jump whose target is computed.
func (in *instruction) indirect() bool { return in.flow == flowJump && !in.direct && !in.bySlot }

// tableForm is a form of jump table: entries of so many bytes, signed, times scale, from a base.
type tableForm struct {
	bytes    int
	scale    int64
	absolute bool // entries are addresses
}
