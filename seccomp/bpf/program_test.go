// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestBytesOfAProgram(t *testing.T) {
	program := []Instruction{{LD | W | ABS, 0, 0, 4}, {JMP | JEQ | K, 1, 2, 0xc000003e}, {ALU | AND | X, 0, 0, 0}, {RET | K, 0, 0, allow}}
	for order, want := range map[Order]string{
		LittleEndian: "2000000004000000" + "150001023e0000c0" + "5c00000000000000" + "060000000000ff7f",
		BigEndian:    "0020000000000004" + "00150102c000003e" + "005c000000000000" + "000600007fff0000",
	} {
		raw := Encode(order, program)
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("%v: %s", order, got)
		}
		if back, err := Decode(order, raw); err != nil || !slices.Equal(back, program) {
			t.Errorf("%v: %v, %v", order, back, err)
		}
	}
}

func TestBytesThatAreNoProgram(t *testing.T) {
	for want, raw := range map[string][]byte{
		"program of 9 bytes: the last instruction has only 1 of 8":    make([]byte, 9),
		"program of 4097 instructions: the kernel takes at most 4096": make([]byte, 8*4097),
	} {
		if _, err := Decode(LittleEndian, raw); err == nil || err.Error() != want {
			t.Errorf("got %v, not %s", err, want)
		}
	}
	if program, err := Decode(BigEndian, make([]byte, 8*4096)); err != nil || len(program) != 4096 {
		t.Errorf("%d instructions, %v", len(program), err)
	}
}

func TestWordsOfACall(t *testing.T) {
	data := Data{Number: 1, Arch: 2, InstructionPointer: 0x0000000400000003}
	for i := range data.Args {
		data.Args[i] = uint64(2*i+6)<<32 | uint64(2*i+5)
	}
	for index, offset := 0, uint32(0); offset < dataSize; index, offset = index+1, offset+4 {
		little, big := uint32(index+1), uint32(index+1)
		if index >= 2 {
			big = uint32(index ^ 1 + 1)
		}
		if got := data.Word(LittleEndian, offset); got != little {
			t.Errorf("little endian, offset %d: %d", offset, got)
		}
		if got := data.Word(BigEndian, offset); got != big {
			t.Errorf("big endian, offset %d: %d", offset, got)
		}
		for _, order := range []Order{LittleEndian, BigEndian} {
			var other Data
			for at := uint32(0); at < dataSize; at += 4 {
				other.SetWord(order, at, whole) // so that all that is set twice shows
				other.SetWord(order, at, data.Word(order, at))
			}
			if other != data {
				t.Errorf("%v: %+v", order, other)
			}
		}
	}
	for i := range data.Args {
		for _, order := range []Order{LittleEndian, BigEndian} {
			low, high := data.Word(order, order.ArgumentLow(i)), data.Word(order, order.ArgumentHigh(i))
			if uint64(high)<<32|uint64(low) != data.Args[i] {
				t.Errorf("%v, argument %d: %d and %d", order, i, low, high)
			}
		}
	}
	if name := LittleEndian.String() + ", " + BigEndian.String(); name != "little endian, big endian" {
		t.Error(name)
	}
}

func FuzzDecode(f *testing.F) {
	random := seeded(16)
	for range 20 {
		f.Add(Encode(LittleEndian, anything.program(random, 9)), false)
		f.Add(Encode(BigEndian, filters.program(random, 9)), true)
	}
	f.Add(make([]byte, 15), true)
	f.Fuzz(func(t *testing.T, raw []byte, big bool) {
		program, err := Decode(Order(big), raw)
		if valid := len(raw)%8 == 0 && len(raw) <= 8*Length; valid != (err == nil) {
			t.Fatalf("%d bytes: %v", len(raw), err)
		}
		if err == nil && !bytes.Equal(Encode(Order(big), program), raw) {
			t.Fatal("the program has other bytes")
		}
		if other, err := Decode(Order(!big), raw); err == nil && !bytes.Equal(Encode(Order(!big), other), raw) {
			t.Fatal("the program has other bytes in the other order")
		}
	})
}

// FuzzCheck makes sure that what Check accepts executes to its end: each execution returns where the program has a return, or divides by zero. And
// that nothing panics on what it refuses.
func FuzzCheck(f *testing.F) {
	random := seeded(17)
	for range 40 {
		f.Add(Encode(LittleEndian, anything.program(random, 9)), uint64(1))
	}
	for _, program := range wrong {
		f.Add(Encode(LittleEndian, program), uint64(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		program, err := Decode(LittleEndian, raw)
		if err != nil {
			return
		}
		err = Check(program)
		if err != nil && !strings.HasPrefix(err.Error(), "instruction ") && len(program) > 0 {
			t.Fatalf("the error names no instruction: %v", err)
		}
		random := seeded(seed)
		for range 10 {
			data := someData(random)
			value, executed := Execute(LittleEndian, program, &data)
			if executed > len(program) {
				t.Fatalf("%d instructions of %d were executed", executed, len(program))
			}
			Constant(program, data.Arch, data.Number)
			if err == nil && value == 0 && !mayReturnZero(program) {
				t.Fatalf("a program that is accepted ends without a return:\n%s", Disassemble(LittleEndian, program, Names{}))
			}
		}
	})
}

// mayReturnZero reports whether the program has an instruction that can make 0 its result.
func mayReturnZero(program []Instruction) bool {
	return slices.ContainsFunc(program, func(i Instruction) bool {
		return i.Code == RET|A || i.Code == RET|K && i.K == 0 || i.Code == ALU|DIV|X
	})
}
