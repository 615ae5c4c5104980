// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"strings"
	"testing"
)

var testNames = Names{
	Arch: func(arch uint32) string {
		return map[uint32]string{0xc000003e: "x86_64", 0x40000003: "x86"}[arch]
	},
	Call: func(arch, number uint32) string {
		return map[uint64]string{0xc000003e<<32 | 59: "execve", 0xc000003e<<32 | 257: "openat", 0x40000003<<32 | 11: "execve"}[uint64(arch)<<32|uint64(number)]
	},
}

func TestListing(t *testing.T) {
	program := []Instruction{
		{LD | W | ABS, 0, 0, 4},
		{JMP | JEQ | K, 2, 0, 0xc000003e},
		{JMP | JEQ | K, 6, 0, 0x40000003},
		{RET | K, 0, 0, 0},
		{LD | W | ABS, 0, 0, 0},
		{JMP | JEQ | K, 0, 1, 59},
		{RET | K, 0, 0, 0x00050001},
		{JMP | JGE | K, 4, 5, 257},
		{RET | K, 0, 0, 0x80000000},
		{LD | W | ABS, 0, 0, 0},
		{JMP | JEQ | K, 1, 0, 11},
		{JMP | JA, 0, 0, 1},
		{RET | K, 0, 0, 0x7fff0000},
		{LD | W | ABS, 0, 0, 36},
		{ALU | AND | K, 0, 0, 0xffff},
		{JMP | JSET | K, 0, 1, 0x300},
		{RET | K, 0, 0, 0x7ff00007},
		{RET | K, 0, 0, 0x12340000},
	}
	want := strings.TrimPrefix(`
 0: A = arch
 1: if A == 0xc000003e goto 4              ; x86_64
 2: if A == 0x40000003 goto 9              ; x86
 3: return KILL_THREAD
 4: A = nr
 5: if A != 59 goto 7                      ; execve
 6: return ERRNO(1)
 7: if A >= 257 goto 12 else 13            ; openat
 8: return KILL_PROCESS
 9: A = nr
10: if A == 11 goto 12                     ; execve
11: goto 13
12: return ALLOW
13: A = args[2].high
14: A &= 0xffff
15: if A & 0x300 == 0 goto 17
16: return TRACE(7)
17: return 0x12340000
`, "\n")
	if err := Check(program); err != nil {
		t.Fatal(err)
	}
	if got := Disassemble(LittleEndian, program, testNames); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := Disassemble(BigEndian, program, Names{}); got != strings.ReplaceAll(stripNames(want), "args[2].high", "args[2].low") {
		t.Errorf("big endian, without names:\n%s", got)
	}
}

func stripNames(listing string) string {
	var out strings.Builder
	for line := range strings.Lines(listing) {
		line, _, _ = strings.Cut(line, ";")
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

func TestInstructionsAsText(t *testing.T) {
	for want, i := range map[string]Instruction{
		"A = instruction_pointer.low":        {LD | W | ABS, 0, 0, 8},
		"A = instruction_pointer.high":       {LD | W | ABS, 0, 0, 12},
		"A = args[0].low":                    {LD | W | ABS, 0, 0, 16},
		"A = args[5].high":                   {LD | W | ABS, 0, 0, 60},
		"A = data[64]":                       {LD | W | ABS, 0, 0, 64},
		"A = data[3]":                        {LD | W | ABS, 0, 0, 3},
		"A = 7":                              {LD | IMM, 0, 0, 7},
		"X = 0x12345":                        {LDX | IMM, 0, 0, 0x12345},
		"A = 64":                             {LD | W | LEN, 0, 0, 0},
		"X = 64":                             {LDX | W | LEN, 0, 0, 9},
		"A = M[3]":                           {LD | MEM, 0, 0, 3},
		"X = M[15]":                          {LDX | MEM, 0, 0, 15},
		"M[0] = A":                           {ST, 0, 0, 0},
		"M[1] = X":                           {STX, 0, 0, 1},
		"X = A":                              {MISC | TAX, 0, 0, 0},
		"A = X":                              {MISC | TXA, 0, 0, 0},
		"return A":                           {RET | A, 0, 0, 5},
		"A = -A":                             {ALU | NEG, 0, 0, 0},
		"A <<= 3":                            {ALU | LSH | K, 0, 0, 3},
		"A >>= X":                            {ALU | RSH | X, 0, 0, 3},
		"A /= X":                             {ALU | DIV | X, 0, 0, 3},
		"goto 4294967301":                    {JMP | JA, 0, 0, 0xffffffff},
		"if A > X goto 7 else 8":             {JMP | JGT | X, 1, 2, 1},
		"if A <= X goto 8":                   {JMP | JGT | X, 0, 2, 1},
		"if A & 4 != 0 goto 6":               {JMP | JSET | K, 0, 0, 4},
		"if A < 300 goto 12":                 {JMP | JGE | K, 0, 6, 300},
		"code 0x0094 jt 1 jf 2 k 0x3":        {ALU | MOD | K, 1, 2, 3},
		"code 0x0028 jt 0 jf 0 k 0xfffff000": {LD | 0x08 | ABS, 0, 0, 0xfffff000}, // a half word
		"code 0xffff jt 0 jf 0 k 0x0":        {0xffff, 0, 0, 0},
		"return ALLOW(1)":                    {RET | K, 0, 0, 0x7fff0001},
		"return ERRNO(0)":                    {RET | K, 0, 0, 0x00050000},
		"return TRAP":                        {RET | K, 0, 0, 0x00030000},
		"return USER_NOTIF":                  {RET | K, 0, 0, 0x7fc00000},
		"return LOG":                         {RET | K, 0, 0, 0x7ffc0000},
		"return KILL_THREAD(3)":              {RET | K, 0, 0, 3},
	} {
		if got := i.text(5, LittleEndian.nameOf, true); got != want {
			t.Errorf("%#v: %q, not %q", i, got, want)
		}
	}
}

func TestNumbersOfCallsAreDecimal(t *testing.T) {
	program := []Instruction{{LD | W | ABS, 0, 0, 0}, {JMP | JEQ | K, 0, 1, 4000}, {LD | W | ABS, 0, 0, 16}, {JMP | JEQ | K, 0, 0, 4000}, {RET | A, 0, 0, 0}}
	listing := Disassemble(LittleEndian, program, Names{})
	for _, want := range []string{"1: if A != 4000 goto 3\n", "3: if A == 0xfa0 goto 4\n"} {
		if !strings.Contains(listing, want) {
			t.Errorf("no %q in\n%s", want, listing)
		}
	}
}

func FuzzDisassembleEveryProgram(f *testing.F) {
	random := seeded(3)
	for range 20 {
		f.Add(Encode(LittleEndian, anything.program(random, 12)), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, big bool) {
		program, err := Decode(Order(big), raw)
		if err != nil {
			return
		}
		listing := Disassemble(Order(big), program, testNames)
		if lines := strings.Count(listing, "\n"); lines != len(program) {
			t.Fatalf("%d lines for %d instructions", lines, len(program))
		}
		for pc, line := range strings.Split(strings.TrimSuffix(listing, "\n"), "\n") {
			if index, text, ok := strings.Cut(strings.TrimLeft(line, " "), ": "); len(program) > 0 && (!ok || index != fmt.Sprint(pc) || text == "") {
				t.Fatalf("line %d is %q", pc, line)
			}
		}
		if again := Disassemble(Order(big), program, testNames); again != listing {
			t.Fatal("the second listing differs")
		}
	})
}
