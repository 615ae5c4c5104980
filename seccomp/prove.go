// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
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

// proof walks every path of a program and compares what it returns with the direct meaning of the rules, for every number and for all arguments: arguments one after
// the other, each divided where the program or a rule makes a difference. Two paths that meet with the same rules still open are one from there on.
type proof struct {
	*compiler
	program []bpf.Instruction
	order   bpf.Order
	steps   int
	cells   [][]cell // by group: all numbers, ascending
	seen    map[string]bool
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
	p := &proof{compiler: c, program: f.Program, order: f.Order()}
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
			return errors.New("seccomp: the rules on arguments depend on each other in too many ways to be proved")
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
		o := p.cellOutcome(cells[i])
		if want, ok := o.constant(); ok && p.program[pc].Code == codeReturn && Action(p.program[pc].K) == want {
			continue // whether the numbers are in the region or not
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
		if err := p.inCell(pc, inside, cells[i], o); err != nil {
			return err
		}
	}
	return nil
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

// inCell compares the rest of the program with the rules of one call.
func (p *proof) inCell(pc int, region bpf.Region, c cell, o outcome) error {
	if want, ok := o.constant(); ok && p.program[pc].Code == codeReturn {
		return p.returns(pc, region, want, c.call.String())
	}
	if c.abi == nil {
		return errors.New("seccomp: arguments are tested of calls that the policy does not have")
	}
	open := make([]int, len(o.rules))
	for i := range open {
		open[i] = i
	}
	p.seen = map[string]bool{}
	return p.arguments(&argued{c, o, region.Witness(p.order)}, pc, 0, open)
}

// returns checks that the program returns the wanted action here.
func (p *proof) returns(pc int, region bpf.Region, want Action, name string) error {
	if i := p.program[pc]; i.Code != codeReturn || Action(i.K) != want {
		return &MismatchError{Call: region.Witness(p.order), Got: Action(i.K), Want: want, Name: name}
	}
	return nil
}

// argued is a call whose arguments are compared, and a sample of those that lead to where the comparison is.
type argued struct {
	cell
	outcome
	sample bpf.Data
}

// arguments compares the program from an instruction on with the rules that are still open, by the arguments from the given one on.
func (p *proof) arguments(a *argued, pc, argument int, open []int) error {
	for i, rule := range open {
		if lastArgument(a.rules[rule]) < argument { // holds: those after it are never asked
			open = open[:i+1]
			break
		}
	}
	decided := len(open) == 0 || lastArgument(a.rules[open[0]]) < argument
	if argument == len(a.sample.Args) || decided && p.program[pc].Code == codeReturn {
		return p.compare(a, pc, open)
	}
	key := proofKey(pc, argument, open)
	if p.seen[key] {
		return nil
	}
	p.seen[key] = true
	return p.walk(pc, bpf.Word{}, bpf.Everything(), argument, func(pc int, region bpf.Region) error {
		if i := p.program[pc]; i.Code == codeLoad && argumentAt(i.K) < argument {
			return fmt.Errorf("seccomp: instruction %d goes back to a word that has been looked at", pc)
		}
		return p.divide(a, region, argument, open, 0, func(region bpf.Region, open []int) error {
			witness := region.Witness(p.order)
			next := *a
			next.sample.Args[argument] = witness.Args[argument]
			return p.arguments(&next, pc, argument+1, open)
		})
	})
}

// lastArgument returns the last argument that a rule looks at, or noArgument.
func lastArgument(rule Rule) int {
	last := noArgument
	for _, c := range rule.Conditions {
		last = max(last, c.Index)
	}
	return last
}

func proofKey(pc, argument int, open []int) string {
	key := binary.AppendUvarint(nil, uint64(pc))
	key = append(key, byte(argument))
	for _, rule := range open {
		key = binary.AppendUvarint(key, uint64(rule))
	}
	return string(key)
}

// compare checks one return against the first rule that is still open, all of whose conditions hold, and against the direct meaning of all rules on the sample.
func (p *proof) compare(a *argued, pc int, open []int) error {
	want := a.otherwise
	if len(open) > 0 {
		want = a.rules[open[0]].Action
	}
	i := p.program[pc]
	if direct, _ := a.decide(a.abi, a.call, a.sample.Args); i.Code == codeReturn && (Action(i.K) != want || want != direct) {
		return &MismatchError{Call: a.sample, Got: Action(i.K), Want: direct, Name: a.call.String()}
	}
	if i.Code != codeReturn {
		return fmt.Errorf("seccomp: instruction %d tests more than the arguments", pc)
	}
	return nil
}

// divide divides a region by what the open rules from the given place on say of one argument, and calls visit for each part with the rules that are open in it.
func (p *proof) divide(a *argued, region bpf.Region, argument int, open []int, from int, visit func(bpf.Region, []int) error) error {
	if region.Empty() {
		return nil
	}
	for ; from < len(open); from++ {
		pieces, err := p.holding(a, region, argument, a.rules[open[from]])
		if err != nil {
			return err
		}
		if pieces == nil {
			continue
		}
		for _, piece := range pieces.in {
			if err := p.divide(a, piece, argument, open, from+1, visit); err != nil {
				return err
			}
		}
		closed := slices.Delete(slices.Clone(open), from, from+1)
		for _, piece := range pieces.out {
			if err := p.divide(a, piece, argument, closed, from, visit); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(region, open)
}

// pieces are disjoint parts of a region.
type pieces struct{ in, out []bpf.Region }

// holding divides a region by whether all conditions of a rule on one argument hold; nil: it has none.
func (p *proof) holding(a *argued, region bpf.Region, argument int, rule Rule) (*pieces, error) {
	var all *pieces
	for _, condition := range rule.Conditions {
		if condition.Index != argument {
			continue
		}
		if all == nil {
			all = &pieces{in: []bpf.Region{region}}
		}
		v := viewOf(condition, a.abi.Argument(a.call, argument), a.abi.Word)
		var in []bpf.Region
		for _, part := range all.in {
			divided, err := p.condition(part, v, condition)
			if err != nil {
				return nil, err
			}
			in = append(in, divided.in...)
			all.out = append(all.out, divided.out...)
		}
		all.in = in
		if p.steps += len(all.in) + len(all.out); p.steps > maximumProof {
			return nil, errors.New("seccomp: the rules on arguments depend on each other in too many ways to be proved")
		}
	}
	return all, nil
}

// condition divides a region by one condition.
func (p *proof) condition(region bpf.Region, v view, c Condition) (pieces, error) {
	low, high := argumentWords(v, p.order)
	switch values := v.values(Condition{Op: Equal, Value: c.Value}); {
	case c.Op == MaskedEqual:
		mask, value := v.masked(c)
		low.Mask, high.Mask = uint32(mask), uint32(mask>>32)
		return equals(region, low, high, value)
	case c.Op == Equal && len(values) > 0:
		return equals(region, low, high, values[0].low)
	case c.Op == NotEqual && len(values) > 0:
		equal, err := equals(region, low, high, values[0].low)
		return pieces{in: equal.out, out: equal.in}, err
	}
	rest := []bpf.Region{region}
	var out pieces
	for _, r := range v.values(c) {
		below, inside, above, err := cutOut(rest, low, high, v, r)
		if err != nil {
			return out, err
		}
		out.in, out.out = append(out.in, inside...), append(out.out, below...)
		rest = above
	}
	out.out = append(out.out, rest...)
	return out, nil
}

// equals divides a region by whether both halves of an argument, as far as they are looked at, are those of a value.
func equals(region bpf.Region, low, high bpf.Word, value uint64) (pieces, error) {
	yes, no, err := region.Equal(low, uint32(value))
	if err != nil {
		return pieces{}, err
	}
	out := keep(nil, no)
	if value>>32 != 0 || high.Mask != 0 {
		yes, no, err = yes.Equal(high, uint32(value>>32))
		out = keep(out, no)
	}
	return pieces{in: keep(nil, yes), out: out}, err
}

// keep appends a region that has calls.
func keep(to []bpf.Region, region bpf.Region) []bpf.Region {
	if region.Empty() {
		return to
	}
	return append(to, region)
}

// cutOut divides regions into what is below, in and above an interval of an argument's values.
func cutOut(regions []bpf.Region, low, high bpf.Word, v view, r interval) (below, inside, above []bpf.Region, err error) {
	for _, region := range regions {
		from, under, err := atLeast(region, low, high, v, r.low)
		if err != nil {
			return nil, nil, nil, err
		}
		below = append(below, under...)
		for _, part := range from {
			if r.high == v.mask() {
				inside = keep(inside, part)
				continue
			}
			over, in, err := atLeast(part, low, high, v, r.high+1)
			if err != nil {
				return nil, nil, nil, err
			}
			inside, above = append(inside, in...), append(above, over...)
		}
	}
	return below, inside, above, nil
}

// atLeast divides a region by whether an argument is at least value, which takes a look at the low half only where the high halves are equal.
func atLeast(region bpf.Region, low, high bpf.Word, v view, value uint64) (holds, fails []bpf.Region, err error) {
	if v.bits <= 32 {
		yes, no, err := region.AtLeast(low, uint32(value))
		return keep(nil, yes), keep(nil, no), err
	}
	from, under, err := region.AtLeast(high, uint32(value>>32))
	if err != nil {
		return nil, nil, err
	}
	same, over, err := from.Equal(high, uint32(value>>32))
	if err != nil {
		return nil, nil, err
	}
	yes, no, err := same.AtLeast(low, uint32(value))
	return keep(keep(nil, over), yes), keep(keep(nil, under), no), err
}
