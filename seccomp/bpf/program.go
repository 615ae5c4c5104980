// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the classic BPF programs that seccomp(2) takes: their instructions, what the kernel makes of them, and how they are
// assembled from decision graphs.
//
// The meaning of a program is stated three times, and the tests hold the three together: Execute runs it on one call as the kernel does,
// Explore gives the exact set of calls behind each of its paths, and Constant says which calls the kernel answers without running it.
// Check accepts exactly what the kernel does. Programs that come from elsewhere are safe to hand to every function of this package: what
// Check refuses never panics, and Execute answers it by killing the thread.
//
// Source: Linux, net/core/filter.c and kernel/seccomp.c, as of 6.18.
package bpf

import (
	"encoding/binary"
	"fmt"
)

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

// Limits of the kernel.
const (
	Length          = 4096 // instructions of a program, BPF_MAXINSNS
	scratchWords    = 16   // cells of scratch memory, BPF_MEMWORDS
	dataSize        = 64   // bytes of struct seccomp_data
	instructionSize = 8    // bytes of struct sock_filter
)

// Order is the byte order of a machine: whether the first byte of a number is its highest. It decides where in struct seccomp_data the halves of an
// argument lie: a program loads words, and the word at OffsetArgs is the low half of the first argument on a little endian machine and its
// high half on a big endian one.
type Order bool

// The byte orders.
const (
	LittleEndian Order = false
	BigEndian    Order = true
)

func (o Order) String() string {
	if o == BigEndian {
		return "big endian"
	}
	return "little endian"
}

// ArgumentLow returns the offset in struct seccomp_data of the low half of an argument, 0 to 5.
func (o Order) ArgumentLow(index int) uint32 { return o.half(OffsetArgs+8*uint32(index), false) }

// ArgumentHigh returns the offset in struct seccomp_data of the high half of an argument, 0 to 5.
func (o Order) ArgumentHigh(index int) uint32 { return o.half(OffsetArgs+8*uint32(index), true) }

// half returns the offset of a half of the number of 64 bits at offset.
func (o Order) half(offset uint32, high bool) uint32 {
	if high != bool(o) {
		return offset + 4
	}
	return offset
}

// Word returns the word that a program loads from an offset, a multiple of 4 below 64.
func (d *Data) Word(order Order, offset uint32) uint32 {
	switch offset {
	case OffsetNumber:
		return d.Number
	case OffsetArch:
		return d.Arch
	}
	return uint32(*d.pair(offset) >> order.shift(offset))
}

// SetWord replaces the word at an offset, a multiple of 4 below 64.
func (d *Data) SetWord(order Order, offset, value uint32) {
	switch offset {
	case OffsetNumber:
		d.Number = value
	case OffsetArch:
		d.Arch = value
	default:
		pair, shift := d.pair(offset), order.shift(offset)
		*pair = *pair&^(0xffffffff<<shift) | uint64(value)<<shift
	}
}

// pair returns the number of 64 bits of which the word at the offset is a half.
func (d *Data) pair(offset uint32) *uint64 {
	if offset < OffsetArgs {
		return &d.InstructionPointer
	}
	return &d.Args[(offset-OffsetArgs)/8]
}

// shift returns where in its number of 64 bits the word at the offset is.
func (o Order) shift(offset uint32) uint32 {
	if (offset%8 != 0) != bool(o) {
		return 32
	}
	return 0
}

// Encode returns the program as an array of struct sock_filter of a machine of that byte order.
func Encode(order Order, program []Instruction) []byte {
	to := binary.AppendByteOrder(binary.LittleEndian)
	if order == BigEndian {
		to = binary.BigEndian
	}
	raw := make([]byte, 0, len(program)*instructionSize)
	for _, i := range program {
		raw = to.AppendUint16(raw, i.Code)
		raw = append(raw, i.True, i.False)
		raw = to.AppendUint32(raw, i.K)
	}
	return raw
}

// Decode reads an array of struct sock_filter. It takes any instructions, as Check is who judges them, but no more of them than a program
// may have.
func Decode(order Order, raw []byte) ([]Instruction, error) {
	if extra := len(raw) % instructionSize; extra != 0 {
		return nil, fmt.Errorf("program of %d bytes: the last instruction has only %d of %d", len(raw), extra, instructionSize)
	}
	if len(raw) > Length*instructionSize {
		return nil, fmt.Errorf("program of %d instructions: the kernel takes at most %d", len(raw)/instructionSize, Length)
	}
	from := binary.ByteOrder(binary.LittleEndian)
	if order == BigEndian {
		from = binary.BigEndian
	}
	program := make([]Instruction, len(raw)/instructionSize)
	for i := range program {
		at := raw[i*instructionSize:]
		program[i] = Instruction{Code: from.Uint16(at), True: at[2], False: at[3], K: from.Uint32(at[4:])}
	}
	return program, nil
}
