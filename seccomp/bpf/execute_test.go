// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"slices"
	"testing"
)

func TestExecution(t *testing.T) {
	data := Data{Number: 59, Arch: 0xc000003e, InstructionPointer: 0x1111111122222222, Args: [6]uint64{0x3333333344444444, 5, 6, 7, 8, 0x99999999aaaaaaaa}}
	result := Instruction{RET | A, 0, 0, 0}
	for name, c := range map[string]struct {
		program       []Instruction
		little, big   uint32
		executedSteps int
	}{
		"Number":                      {[]Instruction{{LD | W | ABS, 0, 0, 0}, result}, 59, 59, 2},
		"Arch":                        {[]Instruction{{LD | W | ABS, 0, 0, 4}, result}, 0xc000003e, 0xc000003e, 2},
		"FirstHalfOfThePointer":       {[]Instruction{{LD | W | ABS, 0, 0, 8}, result}, 0x22222222, 0x11111111, 2},
		"FirstHalfOfAnArgument":       {[]Instruction{{LD | W | ABS, 0, 0, 16}, result}, 0x44444444, 0x33333333, 2},
		"SecondHalfOfTheLastArgument": {[]Instruction{{LD | W | ABS, 0, 0, 60}, result}, 0x99999999, 0xaaaaaaaa, 2},
		"Length":                      {[]Instruction{{LD | W | LEN, 0, 0, 0}, result}, 64, 64, 2},
		"RegistersStartAtZero":        {[]Instruction{{ALU | ADD | X, 0, 0, 0}, result}, 0, 0, 2},
		"SumsWrap":                    {[]Instruction{{LD | IMM, 0, 0, whole}, {ALU | ADD | K, 0, 0, 3}, result}, 2, 2, 3},
		"ProductsWrap":                {[]Instruction{{LD | IMM, 0, 0, 0x10001}, {ALU | MUL | K, 0, 0, 0x10001}, result}, 0x20001, 0x20001, 3},
		"DivisionIsUnsigned":          {[]Instruction{{LD | IMM, 0, 0, whole}, {ALU | DIV | K, 0, 0, 2}, result}, 0x7fffffff, 0x7fffffff, 3},
		"ShiftToTheRightIsUnsigned":   {[]Instruction{{LD | IMM, 0, 0, whole}, {ALU | RSH | K, 0, 0, 31}, result}, 1, 1, 3},
		"ShiftsByXAreModulo32":        {[]Instruction{{LDX | IMM, 0, 0, 33}, {LD | IMM, 0, 0, 3}, {ALU | LSH | X, 0, 0, 0}, result}, 6, 6, 4},
		"Negation":                    {[]Instruction{{LD | IMM, 0, 0, 1}, {ALU | NEG, 0, 0, 77}, result}, whole, whole, 3},
		"DivisionByZeroKills":         {[]Instruction{{LD | IMM, 0, 0, 1}, {ALU | DIV | X, 0, 0, 0}, result}, 0, 0, 2},
		"ScratchMemory":               {[]Instruction{{LD | IMM, 0, 0, 9}, {ST, 0, 0, 15}, {LDX | MEM, 0, 0, 15}, {STX, 0, 0, 0}, {LD | W | LEN, 0, 0, 0}, {LD | MEM, 0, 0, 0}, result}, 9, 9, 7},
		"ComparisonsAreUnsigned":      {[]Instruction{{LD | IMM, 0, 0, whole}, {JMP | JGT | K, 0, 1, 1}, {RET | K, 0, 0, 5}, {RET | K, 0, 0, 6}}, 5, 5, 3},
		"JumpAlways":                  {[]Instruction{{JMP | JA, 0, 0, 1}, {RET | K, 0, 0, 5}, {RET | K, 0, 0, 6}}, 6, 6, 2},
		"JumpOnXAfterTransfer":        {[]Instruction{{LD | IMM, 0, 0, 4}, {MISC | TAX, 0, 0, 0}, {JMP | JEQ | X, 1, 0, 99}, {RET | K, 0, 0, 5}, {MISC | TXA, 0, 0, 0}, result}, 4, 4, 5},
	} {
		if err := Check(c.program); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for order, want := range map[Order]uint32{LittleEndian: c.little, BigEndian: c.big} {
			if value, executed := Execute(order, c.program, &data); value != want || executed != c.executedSteps {
				t.Errorf("%s: %#x after %d instructions", name, value, executed)
			}
		}
	}
}

// wrong are programs that the kernel refuses, with what Check says of them.
var wrong = map[string][]Instruction{
	"program of 0 instructions: the kernel takes 1 to 4096":                                             {},
	"program of 4097 instructions: the kernel takes 1 to 4096":                                          slices.Repeat([]Instruction{{RET | K, 0, 0, allow}}, 4097),
	"instruction 0 (A = 1): the last instruction is no return":                                          {{LD | IMM, 0, 0, 1}},
	"instruction 0 (A = data[64]): offset 64 is none of a word in the 64 bytes of struct seccomp_data":  {{LD | W | ABS, 0, 0, 64}, {RET | K, 0, 0, allow}},
	"instruction 0 (A = data[18]): offset 18 is none of a word in the 64 bytes of struct seccomp_data":  {{LD | W | ABS, 0, 0, 18}, {RET | K, 0, 0, allow}},
	"instruction 0 (code 0x0094 jt 0 jf 0 k 0x3): no instruction that filters of calls may have":        {{ALU | MOD | K, 0, 0, 3}, {RET | K, 0, 0, allow}},
	"instruction 0 (code 0xff06 jt 0 jf 0 k 0x7fff0000): no instruction that filters of calls may have": {{0xff06, 0, 0, allow}},
	"instruction 0 (A /= 0): divides by 0":                                                              {{ALU | DIV | K, 0, 0, 0}, {RET | K, 0, 0, allow}},
	"instruction 0 (A <<= 32): shifts by 32 bits of 32":                                                 {{ALU | LSH | K, 0, 0, 32}, {RET | K, 0, 0, allow}},
	"instruction 1 (goto 3): jumps to 3, beyond the last of 3 instructions":                             {{RET | K, 0, 0, 0}, {JMP | JA, 0, 0, 1}, {RET | K, 0, 0, allow}},
	"instruction 0 (goto 4294967296): jumps to 4294967296, beyond the last of 2 instructions":           {{JMP | JA, 0, 0, whole}, {RET | K, 0, 0, allow}},
	"instruction 0 (if A == 0 goto 3 else 2): jumps to 3, beyond the last of 2 instructions":            {{JMP | JEQ | K, 2, 1, 0}, {RET | K, 0, 0, allow}},
	"instruction 0 (if A < X goto 2): jumps to 2, beyond the last of 2 instructions":                    {{JMP | JGE | X, 0, 1, 0}, {RET | K, 0, 0, allow}},
	"instruction 0 (M[16] = A): cell 16 of 16 of scratch memory":                                        {{ST, 0, 0, 16}, {RET | K, 0, 0, allow}},
	"instruction 1 (A = M[1]): cell 1 of scratch memory may not have been written":                      {{ST, 0, 0, 0}, {LD | MEM, 0, 0, 1}, {RET | K, 0, 0, allow}},
	"instruction 2 (X = M[0]): cell 0 of scratch memory may not have been written":                      {{JMP | JEQ | K, 0, 1, 0}, {STX, 0, 0, 0}, {LDX | MEM, 0, 0, 0}, {RET | K, 0, 0, allow}},
	"instruction 1 (if A & X != 0 goto 3): jumps to 3, beyond the last of 3 instructions":               {{LD | IMM, 0, 0, 0}, {JMP | JSET | X, 1, 0, 9}, {RET | A, 0, 0, 0}},
}

func TestCheckNamesTheInstruction(t *testing.T) {
	for want, program := range wrong {
		if err := Check(program); err == nil || err.Error() != want {
			t.Errorf("got %v, not %s", err, want)
		}
	}
}

func TestWrongProgramsKill(t *testing.T) {
	for name, program := range map[string][]Instruction{
		"Nothing":          {},
		"NoReturn":         {{LD | IMM, 0, 0, allow}},
		"Offset":           wrong["instruction 0 (A = data[64]): offset 64 is none of a word in the 64 bytes of struct seccomp_data"],
		"Unaligned":        wrong["instruction 0 (A = data[18]): offset 18 is none of a word in the 64 bytes of struct seccomp_data"],
		"Remainder":        {{ALU | MOD | K, 0, 0, 3}, {RET | K, 0, 0, allow}},
		"UnknownCode":      {{0xffff, 0, 0, 3}, {RET | K, 0, 0, allow}},
		"UnknownJump":      {{JMP | 0xf0, 0, 0, 3}, {RET | K, 0, 0, allow}},
		"NegationOfX":      {{ALU | NEG | X, 0, 0, 3}, {RET | K, 0, 0, allow}},
		"JumpOut":          {{JMP | JA, 0, 0, whole}, {RET | K, 0, 0, allow}},
		"JumpJustOut":      {{JMP | JA, 0, 0, 1}, {RET | K, 0, 0, allow}},
		"ScratchMemoryEnd": {{ST, 0, 0, 16}, {RET | K, 0, 0, allow}},
		"DivisionByZero":   {{ALU | DIV | K, 0, 0, 0}, {RET | K, 0, 0, allow}},
	} {
		if value, _ := Execute(LittleEndian, program, &Data{}); value != 0 {
			t.Errorf("%s: %#x", name, value)
		}
		if Constant(program, 0, 0) {
			t.Errorf("%s is constant", name)
		}
	}
}

func TestConstantCalls(t *testing.T) {
	const arch = 0xc000003e
	allowed := Instruction{RET | K, 0, 0, allow}
	for name, c := range map[string]struct {
		program []Instruction
		want    bool
	}{
		"Allow":                  {[]Instruction{allowed}, true},
		"AllowWithData":          {[]Instruction{{RET | K, 0, 0, allow + 1}}, false},
		"Log":                    {[]Instruction{{RET | K, 0, 0, 0x7ffc0000}}, false},
		"AllowFromA":             {[]Instruction{{LD | IMM, 0, 0, allow}, {RET | A, 0, 0, 0}}, false},
		"ByNumber":               {[]Instruction{{LD | W | ABS, 0, 0, 0}, {JMP | JEQ | K, 0, 1, 7}, allowed, {RET | K, 0, 0, 0}}, true},
		"ByArchThroughAJump":     {[]Instruction{{LD | W | ABS, 0, 0, 4}, {JMP | JGT | K, 0, 2, arch - 1}, {JMP | JA, 0, 0, 0}, allowed, {RET | K, 0, 0, 0}}, true},
		"ByMaskAndBit":           {[]Instruction{{LD | W | ABS, 0, 0, 0}, {ALU | AND | K, 0, 0, 6}, {JMP | JSET | K, 0, 1, 1}, {RET | K, 0, 0, 0}, {JMP | JGE | K, 0, 1, 6}, allowed, {RET | K, 0, 0, 0}}, true},
		"ArgumentNotLookedAt":    {[]Instruction{{LD | W | ABS, 0, 0, 0}, {JMP | JEQ | K, 1, 0, 7}, {LD | W | ABS, 0, 0, 16}, allowed}, true},
		"ArgumentLoadedInVain":   {[]Instruction{{LD | W | ABS, 0, 0, 16}, allowed}, false},
		"OtherArithmeticInVain":  {[]Instruction{{ALU | OR | K, 0, 0, 0}, allowed}, false},
		"TransferInVain":         {[]Instruction{{MISC | TAX, 0, 0, 0}, allowed}, false},
		"ComparisonWithXInVain":  {[]Instruction{{JMP | JEQ | X, 0, 0, 0}, allowed}, false},
		"ImmediateInVain":        {[]Instruction{{LD | IMM, 0, 0, 0}, allowed}, false},
		"ComparisonBeforeALoad":  {[]Instruction{{JMP | JEQ | K, 0, 1, 0}, allowed, {RET | K, 0, 0, 0}}, true},
		"InstructionPointerLoad": {[]Instruction{{LD | W | ABS, 0, 0, 8}, allowed}, false},
	} {
		if err := Check(c.program); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := Constant(c.program, arch, 7); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestConstantCallsAreAllowedWhateverTheirArguments holds Constant against Explore, and against the execution of the program in which all that the
// kernel does not follow ends with another result.
func TestConstantCallsAreAllowedWhateverTheirArguments(t *testing.T) {
	followed := []uint16{LD | W | ABS, JMP | JA, JMP | JEQ | K, JMP | JGT | K, JMP | JGE | K, JMP | JSET | K, ALU | AND | K, RET | K}
	random := seeded(15)
	constants, others := 0, 0
	for range 4000 {
		d := filters
		if random.IntN(3) == 0 {
			d = anything
		}
		program := d.program(random, 2+random.IntN(12))
		for pc := range program {
			if program[pc].Code == RET|K && random.IntN(2) == 0 {
				program[pc].K = allow
			}
		}
		data := someData(random)
		poisoned := slices.Clone(program)
		for pc, i := range poisoned {
			if !slices.Contains(followed, i.Code) || i.Code == LD|W|ABS && i.K > OffsetArch {
				poisoned[pc] = Instruction{RET | K, 0, 0, 1}
			}
		}
		value, _ := Execute(LittleEndian, poisoned, &data)
		got := Constant(program, data.Arch, data.Number)
		if got != (value == allow) {
			t.Fatalf("constant: %v, executed: %#x\n%s", got, value, Disassemble(LittleEndian, program, Names{}))
		}
		if !got {
			others++
			continue
		}
		constants++
		start := Everything()
		start, _, _ = start.Equal(Word{OffsetArch, whole}, data.Arch)
		start, _, _ = start.Equal(Word{OffsetNumber, whole}, data.Number)
		found, err := leaves(t, program, start)
		if err != nil || len(found) != 1 || found[0].value != allow {
			t.Fatalf("constant, but %+v, %v", found, err)
		}
	}
	if constants < 300 || others < 300 {
		t.Errorf("only %d constant and %d other calls", constants, others)
	}
}
