// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the classic BPF programs that seccomp(2) takes: their instructions, what the kernel makes of them, and how they are
// assembled from decision graphs.
package bpf

// Instruction is one struct sock_filter.
type Instruction struct {
	Code        uint16 // BPF_CLASS | BPF_SIZE | BPF_MODE and so on, linux/bpf_common.h
	True, False uint8  // jt, jf: instructions to skip
	K           uint32
}

// Data is one struct seccomp_data: the call that a filter decides.
type Data struct {
	Number             uint32 // nr; x32 has bit 30 set
	Arch               uint32 // AUDIT_ARCH_*
	InstructionPointer uint64
	Args               [6]uint64
}

// Length is the kernel's limit of a program, BPF_MAXINSNS, in instructions.
const Length = 4096
