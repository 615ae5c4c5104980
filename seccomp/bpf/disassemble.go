// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"strconv"
	"strings"
)

// Names gives the numbers in a listing their names, "" where there is none. Both functions may be nil.
type Names struct {
	Arch func(arch uint32) string
	Call func(arch, number uint32) string
}

// Disassemble returns a listing of the program, one line for each instruction: its index, what it does, and after a semicolon the name of the architecture or
// call that is compared with. Jumps name the index that they go to. What Check refuses is listed as well as may be.
func Disassemble(order Order, program []Instruction, names Names) string {
	var out strings.Builder
	contexts := contextsOf(program)
	width := len(strconv.Itoa(max(len(program)-1, 0)))
	for pc, i := range program {
		c := contexts[pc]
		line := fmt.Sprintf("%*d: %s", width, pc, i.text(pc, order.nameOf, c.holds == holdsNumber))
		out.WriteString(line)
		if name := c.name(i, names); name != "" {
			out.WriteString(strings.Repeat(" ", max(43-len(line), 2)) + "; " + name)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// describe is the text of an instruction for errors, which do not know the byte order.
func describe(program []Instruction, pc int) string {
	return program[pc].text(pc, func(offset uint32) string { return fmt.Sprintf("data[%d]", offset) }, false)
}

// nameOf returns a word of struct seccomp_data: nr, arch, instruction_pointer.low, args[0].high.
func (o Order) nameOf(offset uint32) string {
	half := ".low"
	if o.shift(offset) != 0 {
		half = ".high"
	}
	switch {
	case offset >= dataSize || offset%4 != 0:
		return fmt.Sprintf("data[%d]", offset)
	case offset == OffsetNumber:
		return "nr"
	case offset == OffsetArch:
		return "arch"
	case offset < OffsetArgs:
		return "instruction_pointer" + half
	}
	return fmt.Sprintf("args[%d]%s", (offset-OffsetArgs)/8, half)
}

// text returns what the instruction at pc does. Numbers of calls are decimal, all other large numbers hexadecimal.
func (i Instruction) text(pc int, nameOf func(offset uint32) string, decimal bool) string {
	operand := figure(i.K, decimal)
	if i.Code&X != 0 {
		operand = "X"
	}
	switch i.Code {
	case LD | W | ABS:
		return "A = " + nameOf(i.K)
	case LD | IMM:
		return "A = " + operand
	case LDX | IMM:
		return "X = " + figure(i.K, decimal)
	case LD | W | LEN:
		return fmt.Sprintf("A = %d", dataSize)
	case LDX | W | LEN:
		return fmt.Sprintf("X = %d", dataSize)
	case LD | MEM:
		return fmt.Sprintf("A = M[%d]", i.K)
	case LDX | MEM:
		return fmt.Sprintf("X = M[%d]", i.K)
	case ST:
		return fmt.Sprintf("M[%d] = A", i.K)
	case STX:
		return fmt.Sprintf("M[%d] = X", i.K)
	case MISC | TAX:
		return "X = A"
	case MISC | TXA:
		return "A = X"
	case RET | K:
		return "return " + ValueName(i.K)
	case RET | A:
		return "return A"
	case ALU | NEG:
		return "A = -A"
	case JMP | JA:
		return fmt.Sprintf("goto %d", uint64(pc)+1+uint64(i.K))
	}
	kind := i.Code &^ (operation | X)
	if sign := sign(i.Code & operation); kind == ALU && sign != "" {
		return "A " + sign + " " + operand
	}
	if holds, fails := comparison(i.Code & operation); kind == JMP && holds != "" {
		return i.jump(pc, fmt.Sprintf(holds, operand), fmt.Sprintf(fails, operand))
	}
	return fmt.Sprintf("code %#04x jt %d jf %d k %#x", i.Code, i.True, i.False, i.K)
}

// sign returns the assignment operator of an ALU operation, "" if there is none.
func sign(operation uint16) string {
	switch operation {
	case ADD:
		return "+="
	case SUB:
		return "-="
	case MUL:
		return "*="
	case DIV:
		return "/="
	case OR:
		return "|="
	case AND:
		return "&="
	case LSH:
		return "<<="
	case RSH:
		return ">>="
	case XOR:
		return "^="
	}
	return ""
}

// comparison returns a conditional jump's condition and its contrary, as formats of the second operand, "" if there is none.
func comparison(operation uint16) (holds, fails string) {
	switch operation {
	case JEQ:
		return "A == %s", "A != %s"
	case JGT:
		return "A > %s", "A <= %s"
	case JGE:
		return "A >= %s", "A < %s"
	case JSET:
		return "A & %s != 0", "A & %s == 0"
	}
	return "", ""
}

// jump is the text of a conditional jump. A way on that leads to the next instruction is not mentioned.
func (i Instruction) jump(pc int, holds, fails string) string {
	yes, no := pc+1+int(i.True), pc+1+int(i.False)
	switch {
	case i.True == 0 && i.False != 0:
		return fmt.Sprintf("if %s goto %d", fails, no)
	case i.False == 0:
		return fmt.Sprintf("if %s goto %d", holds, yes)
	}
	return fmt.Sprintf("if %s goto %d else %d", holds, yes, no)
}

func figure(k uint32, decimal bool) string {
	if k < 256 || decimal && k < 1<<16 {
		return strconv.FormatUint(uint64(k), 10)
	}
	return fmt.Sprintf("%#x", k)
}

// ValueName returns what a program returns by the kernel's name of the action, without the prefix SECCOMP_RET_: ALLOW, ERRNO(1), KILL_PROCESS. The data
// are left out of actions that make no use of them, if they are 0. What is no action, which the kernel takes for KILL_PROCESS, is a number.
func ValueName(value uint32) string {
	name, data := action(value&0xffff0000), value&0xffff
	switch {
	case name == "":
		return fmt.Sprintf("%#08x", value)
	case data != 0, name == "ERRNO", name == "TRACE":
		return fmt.Sprintf("%s(%d)", name, data)
	}
	return name
}

// action returns the name of an action, SECCOMP_RET_* of linux/seccomp.h, "" if there is none.
func action(value uint32) string {
	switch value {
	case 0x80000000:
		return "KILL_PROCESS"
	case 0x00000000:
		return "KILL_THREAD"
	case 0x00030000:
		return "TRAP"
	case 0x00050000:
		return "ERRNO"
	case 0x7fc00000:
		return "USER_NOTIF"
	case 0x7ff00000:
		return "TRACE"
	case 0x7ffc0000:
		return "LOG"
	case allow:
		return "ALLOW"
	}
	return ""
}

// context is what is known before an instruction, whatever way the program took to it.
type context struct {
	reached bool
	holds   holds
	arch    uint32
	known   bool // all ways have compared arch with this
}

// holds is what A holds.
type holds uint8

const (
	holdsOther holds = iota
	holdsNumber
	holdsArch
)

// contextsOf returns the context of each instruction. Jumps go forward only, so that one pass sees all ways to an instruction before it.
func contextsOf(program []Instruction) []context {
	contexts := make([]context, len(program))
	if len(program) > 0 {
		contexts[0].reached = true
	}
	for pc, i := range program {
		now := contexts[pc]
		reach := func(skip uint32, c context) {
			if to := uint64(pc) + 1 + uint64(skip); now.reached && to < uint64(len(program)) {
				contexts[to].meet(c)
			}
		}
		switch {
		case i.Code&class == RET:
		case i.Code == JMP|JA:
			reach(i.K, now)
		case i.Code&class == JMP:
			reach(uint32(i.False), now)
			if i.Code == JMP|JEQ|K && now.holds == holdsArch {
				now.arch, now.known = i.K, true
			}
			reach(uint32(i.True), now)
		default:
			now.holds = i.leaves(now.holds)
			reach(0, now)
		}
	}
	return contexts
}

// leaves returns what A holds after an instruction that is no jump.
func (i Instruction) leaves(before holds) holds {
	switch {
	case i.Code == LD|W|ABS && i.K == OffsetNumber:
		return holdsNumber
	case i.Code == LD|W|ABS && i.K == OffsetArch:
		return holdsArch
	case i.Code == ST, i.Code == STX, i.Code&class == LDX, i.Code == MISC|TAX:
		return before
	}
	return holdsOther
}

// meet takes another way to the instruction into account.
func (c *context) meet(other context) {
	switch {
	case !c.reached:
		*c = other
		return
	case c.holds != other.holds:
		c.holds = holdsOther
	}
	if !c.known || !other.known || c.arch != other.arch {
		c.arch, c.known = 0, false
	}
}

// name returns the name of what a conditional jump compares with.
func (c context) name(i Instruction, names Names) string {
	switch {
	case i.Code&class != JMP || i.Code == JMP|JA || i.Code&X != 0 || i.Code&operation == JSET:
	case c.holds == holdsArch && names.Arch != nil:
		return names.Arch(i.K)
	case c.holds == holdsNumber && c.known && names.Call != nil:
		return names.Call(c.arch, i.K)
	}
	return ""
}
