// SPDX-License-Identifier: Apache-2.0

package bpf

// The parts of an instruction's code, without the kernel's prefix BPF_ (linux/bpf_common.h, linux/filter.h): JMP|JEQ|K jumps on A == K.
const (
	// Classes.
	LD   = 0x00
	LDX  = 0x01
	ST   = 0x02
	STX  = 0x03
	ALU  = 0x04
	JMP  = 0x05
	RET  = 0x06
	MISC = 0x07

	// Sizes of loads. Of a filter's data only words can be loaded.
	W = 0x00

	// Modes of loads.
	IMM = 0x00
	ABS = 0x20
	MEM = 0x60
	LEN = 0x80

	// Operations of ALU. MOD is known to the kernel, but not let through in filters of calls.
	ADD = 0x00
	SUB = 0x10
	MUL = 0x20
	DIV = 0x30
	OR  = 0x40
	AND = 0x50
	LSH = 0x60
	RSH = 0x70
	NEG = 0x80
	MOD = 0x90
	XOR = 0xa0

	// Operations of JMP.
	JA   = 0x00
	JEQ  = 0x10
	JGT  = 0x20
	JGE  = 0x30
	JSET = 0x40

	// Second operands of ALU and JMP, results of RET.
	K = 0x00
	X = 0x08
	A = 0x10

	// Operations of MISC.
	TAX = 0x00
	TXA = 0x80

	operation = 0xf0 // the bits of a code that say which ALU or JMP it is, BPF_OP
	class     = 0x07 // BPF_CLASS
)
