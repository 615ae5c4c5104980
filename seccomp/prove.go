// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"math"
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

// proof walks every path of a program and compares what it returns with the direct meaning of the rules, for every number and for all arguments: arguments one after
// the other, each divided where the program or a rule makes a difference. Two paths that meet with the same rules still open are one from there on.
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
	abi   *syscalls.ABI // nil: of an ABI that the policy does not have
	call  syscalls.Call // 0: none
}

// Prove compares a filter with the policy, exactly. It takes filters with the instructions that Compile writes, which test arguments in ascending order. The error is
// a *MismatchError, or tells why there is no proof.
func (f *Filter) Prove(policy *Policy) error {
	c, err := newCompiler(policy)
	if err != nil {
		return err
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
	return p.walk(0, bpf.Word{}, bpf.Everything(), noArgument, p.numbered)
}

// cells divides the numbers of an AUDIT_ARCH into calls and what lies between them.
func cells(group []*syscalls.ABI) []cell {
	out := make([]cell, 0, 1024)
	add := func(c cell) {
		if last := len(out) - 1; last >= 0 && out[last].start == c.start {
			out[last] = c
			return
		}
		out = append(out, c)
	}
	fill := func(base uint32) {
		var owner *syscalls.ABI
		for _, abi := range group {
			if abi.Base&x32Bit == base || abi.Audit != auditX86 {
				owner = abi
			}
		}
		add(cell{start: base, abi: owner})
		if owner == nil {
			return
		}
		for number, call := range owner.Numbers() {
			add(cell{number, owner, call})
			if number < math.MaxUint32 {
				add(cell{start: number + 1, abi: owner})
			}
		}
	}
	fill(0)
	if group[0].Audit == auditX86 {
		fill(x32Bit)
		add(cell{start: math.MaxUint32, abi: group[0]})
	}
	return out
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

// numbered compares what happens from an instruction on with the policy, for all calls of a region whose architecture and number the program has looked at.
func (p *proof) numbered(pc int, region bpf.Region) error {
	for i, group := range p.groups {
		in, out, err := region.Equal(bpf.Whole(bpf.OffsetArch), group[0].Audit)
		if err != nil {
			return err
		}
		if !in.Empty() {
			if err := p.inGroup(pc, in, p.cells[i]); err != nil {
				return err
			}
		}
		region = out
		if region.Empty() {
			return nil
		}
	}
	return p.returns(pc, region, KillThread, "")
}

// inGroup is numbered for one AUDIT_ARCH.
func (p *proof) inGroup(pc int, region bpf.Region, cells []cell) error {
	low, high := region.Range(bpf.OffsetNumber)
	first := sort.Search(len(cells), func(i int) bool { return cells[i].start > low }) - 1
	for i := first; i < len(cells) && cells[i].start <= high; i++ {
		if p.certain(pc, cells[i]) {
			continue
		}
		end := uint32(math.MaxUint32)
		if i+1 < len(cells) {
			end = cells[i+1].start - 1
		}
		inside, err := between(region, bpf.Whole(bpf.OffsetNumber), cells[i].start, end)
		if err != nil {
			return err
		}
		if inside.Empty() {
			continue
		}
		if err := p.inCell(pc, inside, cells[i], p.cellOutcome(cells[i])); err != nil {
			return err
		}
	}
	return nil
}

// certain reports whether the program returns here what the policy wants for the numbers of a cell, which need not be looked for in the region then.
func (p *proof) certain(pc int, c cell) bool {
	if p.program[pc].Code != codeReturn {
		return false
	}
	if want, ok := p.fixed(c.call); ok && c.call != 0 && c.abi != nil {
		return want == Action(p.program[pc].K)
	}
	want, ok := p.cellOutcome(c).constant()
	return ok && want == Action(p.program[pc].K)
}

func (p *proof) cellOutcome(c cell) outcome {
	switch {
	case c.abi == nil:
		return outcome{otherwise: KillThread}
	case c.call == 0:
		return outcome{otherwise: p.policy.unknown(c.abi)}
	}
	return p.outcome(c.abi, c.call)
}

// between narrows a region to words from low to high.
func between(region bpf.Region, word bpf.Word, low, high uint32) (bpf.Region, error) {
	region, _, err := region.AtLeast(word, low)
	if err == nil && high < math.MaxUint32 {
		_, region, err = region.AtLeast(word, high+1)
	}
	return region, err
}

// returns checks that the program returns the wanted action here.
func (p *proof) returns(pc int, region bpf.Region, want Action, name string) error {
	if i := p.program[pc]; i.Code != codeReturn || Action(i.K) != want {
		return &MismatchError{Call: region.Witness(p.order), Got: Action(i.K), Want: want, Name: name}
	}
	return nil
}
