// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// values are the constants that random programs compare with and that random calls hold: near each other and near the ends, so that tests meet.
var values = []uint32{0, 1, 2, 3, 7, 8, 15, 16, 40, 0xff, 0x100, 0xffff, 0x10000, 0x40000000, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0, 0xfffffffe, 0xffffffff}

func someValue(random *rand.Rand) uint32 {
	switch random.IntN(8) {
	case 0:
		return random.Uint32()
	case 1, 2:
		return uint32(random.IntN(40))
	}
	return values[random.IntN(len(values))]
}

// someData is a call whose words are those that random programs compare with.
func someData(random *rand.Rand) Data {
	var data Data
	for offset := uint32(0); offset < dataSize; offset += 4 {
		data.SetWord(LittleEndian, offset, someValue(random))
	}
	return data
}

// dialect is which instructions a random program is made of.
type dialect struct {
	codes []uint16
	words []uint32 // offsets that are loaded
	ends  uint16   // the code of the last instruction
}

// filters are what compilers of filters write; anything is whatever the kernel accepts.
var (
	conditions = []uint16{JMP | JEQ | K, JMP | JGT | K, JMP | JGE | K, JMP | JSET | K}
	filters    = dialect{slices.Concat([]uint16{LD | W | ABS, LD | W | ABS, LD | W | ABS, ALU | AND | K, JMP | JA, RET | K}, conditions, conditions, conditions), []uint32{0, 4, 16, 20, 24}, RET | K}
	anything   = dialect{slices.Concat(accepted(), conditions, []uint16{LD | W | ABS, LD | W | ABS, LD | W | ABS, LD | W | ABS}), everyWord, RET | K}
	// calculations return what they have calculated; no other return cuts them short.
	calculations = dialect{slices.DeleteFunc(accepted(), func(code uint16) bool { return code&class == RET }), everyWord, RET | A}
	everyWord    = []uint32{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60}
)

// accepted returns all codes that the kernel accepts, from the list in kernel/seccomp.c.
func accepted() []uint16 {
	codes := append([]uint16{LD | W | ABS, LD | W | ABS, LD | W | ABS, LD | W | LEN, LDX | W | LEN, RET | K, RET | A, LD | IMM, LDX | IMM, MISC | TAX, MISC | TAX, MISC | TXA, LD | MEM, LDX | MEM, ST, STX, JMP | JA, ALU | NEG},
		conditions...)
	for _, code := range conditions {
		codes = append(codes, code|X)
	}
	for _, operation := range []uint16{ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, XOR} {
		codes = append(codes, ALU|operation|K, ALU|operation|X)
	}
	return codes
}

// program returns a random program that Check accepts.
func (d dialect) program(random *rand.Rand, length int) []Instruction {
	for {
		program := make([]Instruction, length)
		for pc := range program {
			program[pc] = d.instruction(random, length-pc-1)
		}
		if program[0].Code != LD|W|ABS && random.IntN(8) != 0 {
			continue
		}
		if Check(program) == nil {
			return program
		}
	}
}

// instruction returns a random instruction that can stand that far from the end.
func (d dialect) instruction(random *rand.Rand, left int) Instruction {
	i := Instruction{Code: d.codes[random.IntN(len(d.codes))], K: someValue(random)}
	if left == 0 {
		i.Code = d.ends
	}
	near := func() int { return random.IntN(min(left, 6)) }
	switch {
	case i.Code == LD|W|ABS:
		i.K = d.words[random.IntN(len(d.words))]
	case i.Code == JMP|JA:
		i.K = uint32(near())
	case i.Code&class == JMP:
		i.True, i.False = uint8(near()), uint8(near())
	case i.Code == LD|MEM, i.Code == LDX|MEM, i.Code == ST, i.Code == STX:
		i.K = uint32(random.IntN(3))
	case i.Code == ALU|LSH|K, i.Code == ALU|RSH|K:
		i.K %= 32
	case i.Code == ALU|DIV|K:
		i.K |= 1
	case i.Code == RET|K:
		i.K = uint32(random.IntN(5))
	}
	return i
}

// chains returns a random program that loads a word, calculates with numbers in ways that are followed exactly, and compares, again and again.
func chains(random *rand.Rand, length int) []Instruction {
	for {
		var program []Instruction
		for len(program) < length {
			program = append(program, Instruction{LD | W | ABS, 0, 0, []uint32{0, 16, 20}[random.IntN(3)]})
			for range random.IntN(4) {
				program = append(program, step(random)...)
			}
			jump := Instruction{conditions[random.IntN(len(conditions))], uint8(random.IntN(6)), uint8(random.IntN(6)), someValue(random)}
			if random.IntN(3) == 0 { // a number compared with the word, or the word with a number in X
				jump.Code |= X
				load := Instruction{LDX | IMM, 0, 0, jump.K}
				if random.IntN(2) == 0 {
					program = append(program, Instruction{MISC | TAX, 0, 0, 0})
					load.Code = LD | IMM
				}
				program = append(program, load)
			}
			program = append(program, jump, Instruction{[]uint16{ST, STX, JMP | JA, RET | K}[random.IntN(4)], 0, 0, uint32(random.IntN(2))})
			if random.IntN(3) == 0 {
				program = append(program, Instruction{LD | MEM, 0, 0, uint32(random.IntN(2))}, jump)
			}
		}
		for value := range uint32(6) {
			program = append(program, Instruction{RET | K, 0, 0, value})
		}
		program = append([]Instruction{{LD | W | ABS, 0, 0, 16}, {ST, 0, 0, 0}, {STX, 0, 0, 1}}, program...)
		if Check(program) == nil {
			return program
		}
	}
}

// step is a calculation with a number.
func step(random *rand.Rand) []Instruction {
	few := uint32(random.IntN(8))
	i := Instruction{[]uint16{ALU | ADD | K, ALU | SUB | K, ALU | OR | K, ALU | AND | K, ALU | XOR | K, ALU | LSH | K, ALU | RSH | K, ALU | NEG, ALU | MUL | K, ALU | DIV | K}[random.IntN(10)], 0, 0, someValue(random)}
	switch i.Code & operation {
	case LSH, RSH:
		i.K = few
	case MUL, DIV:
		i.K = 1 << few
	}
	if i.Code == ALU|NEG || random.IntN(4) != 0 {
		return []Instruction{i}
	}
	load := Instruction{LDX | IMM, 0, 0, i.K}
	i.Code, i.K = i.Code|X, 0
	if random.IntN(2) == 0 {
		return []Instruction{load, i}
	}
	load.Code = LD | IMM
	return []Instruction{{MISC | TAX, 0, 0, 0}, load, i}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// leaf is a region that Explore found, with its value.
type leaf struct {
	region Region
	value  uint32
}

func leaves(t testing.TB, program []Instruction, start Region) ([]leaf, error) {
	t.Helper()
	var found []leaf
	err := Explore(program, start, 1<<22, func(region *Region, value uint32) error {
		if region.Empty() {
			t.Fatal("an empty region is visited")
		}
		found = append(found, leaf{*region, value})
		return nil
	})
	return found, err
}
