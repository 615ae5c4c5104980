// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// MismatchError is a filter that does not do what its policy says. Where the filter comes from Compile, that is a fault of the compiler.
type MismatchError struct {
	Call      bpf.Data // on which they differ
	Got, Want Action
	Name      string // of the call; "" = none of the policy's
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the filter answers %s to call %d (%s) of architecture %#x with arguments %#x, where the policy says %s",
		e.Got, e.Call.Number, e.Name, e.Call.Arch, e.Call.Args, e.Want)
}

// maximumProof bounds a proof, in places of the program that are reached with different rules still open.
const maximumProof = 1 << 18

// errTangled is a policy of which no filter is found, or proved, within the bounds.
var errTangled = errors.New("seccomp: the rules on a call's arguments depend on each other in too many ways")

// proof walks every path of a program and compares what it returns with the direct meaning of the rules, for every number and for all arguments: first the
// architectures and numbers, then arguments one after the other, each divided where the program or a rule makes a difference. Two paths that meet with the
// same rules still open are one from there on.
type proof struct {
	*compiler
	program []bpf.Instruction
	order   bpf.Order
	steps   int
	cells   [][]cell // by group: all numbers, ascending
	seen    map[string]bool
	proved  map[claim]bool
}

// cell is the numbers from start to before the next cell's start, which are one call, or none.
type cell struct {
	start uint32
	call  syscalls.Call // 0: none
	abi   int8          // index in the group; foreign: an ABI that the policy does not have
}

const foreign = -1

// Prove compares a filter with the policy, exactly. It takes filters with the instructions that Compile writes, which test arguments in ascending order. The error is
// a *MismatchError, or tells why there is no proof.
func (f *Filter) Prove(policy *Policy) error {
	c, err := newCompiler(policy)
	if err != nil {
		return err
	}
	if f.BigEndian != policy.ABIs[0].BigEndian {
		return fmt.Errorf("seccomp: a filter of a %s machine for %s", f.Order(), policy.ABIs[0].Name)
	}
	return c.prove(f)
}

func (c *compiler) prove(f *Filter) error {
	if err := bpf.Check(f.Program); err != nil {
		return err
	}
	p := &proof{compiler: c, program: f.Program, order: f.Order(), proved: map[claim]bool{}}
	for _, group := range c.groups {
		p.cells = append(p.cells, cells(group))
	}
	everything := span{0, math.MaxUint32}
	return p.walkNumbers(0, unloaded, box{everything, everything})
}

// cells divides the numbers of an AUDIT_ARCH into calls and what lies between them.
func cells(group []*syscalls.ABI) []cell {
	out := make([]cell, 0, 512*len(group))
	if group[0].Audit != auditX86 {
		return appendCells(out, 0, 0, group[0])
	}
	for _, base := range []uint32{0, x32Bit} {
		owner := slices.IndexFunc(group, func(abi *syscalls.ABI) bool { return abi.Base == base })
		if owner == foreign {
			out = append(out, cell{start: base, abi: foreign})
			continue
		}
		out = appendCells(out, base, int8(owner), group[owner])
	}
	return append(out, cell{start: math.MaxUint32}) // a tracer has skipped the call
}

// appendCells appends the numbers from first on, which are those of an ABI.
func appendCells(out []cell, first uint32, owner int8, abi *syscalls.ABI) []cell {
	next := first // the first number that no cell is about
	for number, call := range abi.Numbers() {
		if number > next {
			out = append(out, cell{start: next, abi: owner})
		}
		out = append(out, cell{number, call, owner})
		next = number + 1
	}
	return append(out, cell{start: next, abi: owner})
}

// noArgument stands for the words of seccomp_data before the arguments.
const noArgument = -1

// argumentAt returns the argument that an offset in seccomp_data is in, or noArgument.
func argumentAt(offset uint32) int {
	if offset < bpf.OffsetArgs {
		return noArgument
	}
	return int(offset-bpf.OffsetArgs) / 8
}

// walk follows the program from an instruction, for the calls of a region, until it returns or loads a word that is not of the given argument, and calls visit
// there. The word is what the accumulator holds.
func (p *proof) walk(pc int, held bpf.Word, region bpf.Region, argument int, visit func(pc int, region bpf.Region) error) error {
	for {
		if p.steps++; p.steps > maximumProof {
			return errTangled
		}
		i := p.program[pc]
		switch i.Code {
		case codeReturn:
			return visit(pc, region)
		case codeLoad:
			if argumentAt(i.K) != argument {
				return visit(pc, region)
			}
			held = bpf.Whole(i.K)
			pc++
		case codeAnd:
			held.Mask &= i.K
			pc++
		case codeJump:
			pc += 1 + int(i.K)
		case codeEqual, codeAtLeast:
			divide := region.Equal
			if i.Code == codeAtLeast {
				divide = region.AtLeast
			}
			yes, no, err := divide(held, i.K)
			if err != nil {
				return err
			}
			if no.Empty() {
				pc += 1 + int(i.True)
				continue
			}
			if !yes.Empty() {
				if err := p.walk(pc+1+int(i.True), held, yes, argument, visit); err != nil {
					return err
				}
			}
			region = no
			pc += 1 + int(i.False)
		default:
			return fmt.Errorf("seccomp: instruction %d is none that the compiler writes", pc)
		}
	}
}

// The codes that bpf.Assemble writes.
const (
	codeReturn  = bpf.RET | bpf.K
	codeLoad    = bpf.LD | bpf.W | bpf.ABS
	codeAnd     = bpf.ALU | bpf.AND | bpf.K
	codeJump    = bpf.JMP | bpf.JA
	codeEqual   = bpf.JMP | bpf.JEQ | bpf.K
	codeAtLeast = bpf.JMP | bpf.JGE | bpf.K
)

// span is the words from low to high, both included.
type span struct{ low, high uint32 }

// box is calls by their architectures and numbers.
type box struct{ arch, number span }

// unloaded stands for the accumulator before anything is loaded.
const unloaded = math.MaxUint32

// walkNumbers follows the program from an instruction, for the calls of a box, until it returns or loads an argument. It is told the offset of the word that the
// accumulator holds.
func (p *proof) walkNumbers(pc int, held uint32, b box) error {
	for {
		if p.steps++; p.steps > maximumProof {
			return errTangled
		}
		i := &p.program[pc]
		switch {
		case i.Code == codeReturn, i.Code == codeLoad && i.K >= bpf.OffsetArgs:
			return p.settle(pc, b)
		case i.Code == codeLoad:
			held = i.K
			pc++
			continue
		case i.Code == codeJump:
			pc += 1 + int(i.K)
			continue
		case i.Code != codeEqual && i.Code != codeAtLeast:
			return fmt.Errorf("seccomp: instruction %d is none that the compiler writes", pc)
		}
		s := &b.number
		if held == bpf.OffsetArch {
			s = &b.arch
		} else if held != bpf.OffsetNumber {
			return fmt.Errorf("seccomp: instruction %d does not come after a load of the architecture, the number or an argument", pc)
		}
		all, yes, no := *s, pc+1+int(i.True), pc+1+int(i.False)
		switch {
		case i.Code == codeAtLeast && i.K <= all.low, i.Code == codeEqual && all == span{i.K, i.K}:
			pc = yes
			continue
		case i.K > all.high, i.Code == codeEqual && i.K < all.low:
			pc = no
			continue
		case i.Code == codeAtLeast:
			*s = span{i.K, all.high}
		default:
			*s = span{i.K, i.K}
		}
		if err := p.walkNumbers(yes, held, b); err != nil {
			return err
		}
		if i.Code == codeEqual && i.K < all.high {
			*s = span{i.K + 1, all.high}
			if i.K > all.low {
				if err := p.walkNumbers(no, held, b); err != nil {
					return err
				}
			}
		}
		if i.K > all.low {
			*s = span{all.low, i.K - 1}
		}
		pc = no
	}
}

// settle compares what happens from an instruction on with the policy, for all calls of a box, whose architectures and numbers the program has looked at.
func (p *proof) settle(pc int, b box) error {
	others := uint64(b.arch.high-b.arch.low) + 1 // architectures that the policy does not have
	sample := b.arch.low
	for i, group := range p.groups {
		if arch := group[0].Audit; b.arch.low <= arch && arch <= b.arch.high {
			if err := p.inGroup(pc, b.number, group, p.cells[i]); err != nil {
				return err
			}
			others--
		}
	}
	if others == 0 {
		return nil
	}
	for slices.ContainsFunc(p.groups, func(group []*syscalls.ABI) bool { return group[0].Audit == sample }) {
		sample++
	}
	return p.returns(pc, bpf.Data{Arch: sample, Number: b.number.low}, KillThread, "")
}

// inGroup is settle for one AUDIT_ARCH.
func (p *proof) inGroup(pc int, numbers span, group []*syscalls.ABI, cells []cell) error {
	returns := p.program[pc].Code == codeReturn
	first := sort.Search(len(cells), func(i int) bool { return cells[i].start > numbers.low }) - 1
	for i := first; i < len(cells) && cells[i].start <= numbers.high; i++ {
		c := cells[i]
		if want, ok := p.fixed(c.call); ok && returns && c.abi != foreign && want == Action(p.program[pc].K) {
			continue
		}
		sample := bpf.Data{Arch: group[0].Audit, Number: max(c.start, numbers.low)}
		if c.abi == foreign {
			if err := p.returns(pc, sample, KillThread, ""); err != nil {
				return err
			}
			continue
		}
		abi := group[c.abi]
		o := outcome{otherwise: p.policy.unknown(abi)}
		if c.call != 0 {
			o = p.outcome(abi, c.call)
		}
		if err := p.inCell(pc, sample, abi, c.call, o); err != nil {
			return err
		}
	}
	return nil
}

// returns checks that the program returns the wanted action here.
func (p *proof) returns(pc int, sample bpf.Data, want Action, name string) error {
	switch i := p.program[pc]; {
	case i.Code != codeReturn:
		return fmt.Errorf("seccomp: instruction %d looks at arguments of calls that the policy does not have", pc)
	case Action(i.K) != want:
		return &MismatchError{Call: sample, Got: Action(i.K), Want: want, Name: name}
	}
	return nil
}
