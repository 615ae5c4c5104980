// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// inCell compares the rest of the program with the rules of one call (0: of numbers that are none).
func (p *proof) inCell(pc int, sample bpf.Data, abi *syscalls.ABI, call syscalls.Call, o outcome) error {
	if want, ok := o.constant(); ok && p.program[pc].Code == codeReturn {
		return p.returns(pc, sample, want, call.String())
	}
	k := newClaim(pc, abi, call, o)
	if p.proved[k] {
		return nil
	}
	open := make([]int, len(o.rules))
	for i := range open {
		open[i] = i
	}
	p.seen = map[string]bool{}
	p.proved[k] = true
	a := &argued{abi: abi, call: call, outcome: o, sample: sample, demands: make([][]proofDemand, len(o.rules))}
	for i, rule := range o.rules {
		for _, condition := range rule.Conditions {
			a.demands[i] = append(a.demands[i], newProofDemand(condition, viewOf(condition, abi.Argument(call, condition.Index), abi.Word)))
		}
	}
	return p.arguments(a, pc, 0, open)
}

// claim is what is decided, or proved, of a call on one ABI. On another one the same types and the same rules need no second decision, and the same
// instructions no second proof.
type claim struct {
	pc        int
	call      syscalls.Call
	otherwise Action
	word      int
	types     [6]syscalls.Type
	served    *syscalls.ABI // nil but for a multiplexer, whose rules are of the ABI
}

func newClaim(pc int, abi *syscalls.ABI, call syscalls.Call, o outcome) claim {
	k := claim{pc: pc, call: call, otherwise: o.otherwise, word: abi.Word}
	for i := range k.types {
		k.types[i] = abi.Argument(call, i)
	}
	if len(abi.Multiplexed(call)) > 0 {
		k.served = abi
	}
	return k
}

// argued is a call whose arguments are compared, and a sample of those that lead to where the comparison is.
type argued struct {
	abi  *syscalls.ABI
	call syscalls.Call
	outcome
	sample  bpf.Data
	demands [][]proofDemand // by rule
}

// proofDemand is a condition, and the values for which it holds as seccomp_data shows them, unless it looks at masked bits.
type proofDemand struct {
	Condition
	view
	values []interval
}

func newProofDemand(c Condition, v view) proofDemand {
	d := proofDemand{Condition: c, view: v}
	if c.Op != MaskedEqual {
		d.values = v.values(c)
	}
	return d
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
		return p.divide(a, region, argument, open, nil, func(region bpf.Region, open []int) error {
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

// divide divides a region by what rules say of one argument, and calls visit for each part with the rules that are open in it: those kept so far, and of the
// open ones those that can still hold.
func (p *proof) divide(a *argued, region bpf.Region, argument int, open, kept []int, visit func(bpf.Region, []int) error) error {
	kept = slices.Clip(kept)
	for at, rule := range open {
		holds, fails := p.evidentRule(&region, a.demands[rule], argument)
		if fails {
			continue
		}
		if !holds {
			in, out, err := p.holding(region, a.demands[rule], argument)
			if err != nil {
				return err
			}
			for _, part := range in {
				if err := p.divide(a, part, argument, open[at+1:], append(kept, rule), visit); err != nil {
					return err
				}
			}
			for _, part := range out {
				if err := p.divide(a, part, argument, open[at+1:], kept, visit); err != nil {
					return err
				}
			}
			return nil
		}
		kept = append(kept, rule)
		if lastArgument(a.rules[rule]) <= argument { // holds: those after it are never asked
			break
		}
	}
	return visit(region, kept)
}

// evidentRule reports whether all conditions of a rule on one argument hold, or one fails, for all of a region, as far as the ends of the region tell.
func (p *proof) evidentRule(region *bpf.Region, demands []proofDemand, argument int) (holds, fails bool) {
	holds = true
	for i := range demands {
		if demands[i].view.index == argument {
			all, none := p.evident(region, &demands[i])
			holds, fails = holds && all, fails || none
		}
	}
	return holds, fails
}

// holding divides a region by whether all conditions of a rule on one argument hold.
func (p *proof) holding(region bpf.Region, demands []proofDemand, argument int) (in, out []bpf.Region, err error) {
	in = []bpf.Region{region}
	for i := range demands {
		if demands[i].view.index != argument {
			continue
		}
		var holds []bpf.Region
		for _, part := range in {
			yes, no, err := p.condition(part, &demands[i])
			if err != nil {
				return nil, nil, err
			}
			holds, out = append(holds, yes...), append(out, no...)
		}
		in = holds
		if p.steps += len(in) + len(out); p.steps > maximumProof {
			return nil, nil, errTangled
		}
	}
	return in, out, nil
}

// evident reports whether a condition holds for all or for none of a region, as far as the ends of the region tell.
func (p *proof) evident(region *bpf.Region, d *proofDemand) (all, none bool) {
	low, high := region.Range(p.order.ArgumentLow(d.view.index))
	least, greatest := uint64(low), uint64(high)
	if d.bits > 32 {
		low, high = region.Range(p.order.ArgumentHigh(d.view.index))
		least, greatest = uint64(low)<<32|least, uint64(high)<<32|greatest
		if low != high {
			least, greatest = uint64(low)<<32, uint64(high)<<32|math.MaxUint32
		}
	}
	if d.bits < 32 || d.Op == MaskedEqual {
		return false, false
	}
	for _, r := range d.values {
		if r.low <= least && greatest <= r.high {
			return true, false
		}
		if r.low <= greatest && least <= r.high {
			return false, false
		}
	}
	return false, true
}

// condition divides a region by one condition.
func (p *proof) condition(region bpf.Region, d *proofDemand) (in, out []bpf.Region, err error) {
	low, high := argumentWords(d.view, p.order)
	if d.Op == MaskedEqual {
		mask, value := d.masked(d.Condition)
		low.Mask, high.Mask = uint32(mask), uint32(mask>>32)
		return equals(region, low, high, value)
	}
	if len(d.values) == 1 && d.values[0].low == d.values[0].high {
		return equals(region, low, high, d.values[0].low)
	}
	rest := []bpf.Region{region}
	for _, r := range d.values {
		below, inside, above, err := cutOut(rest, low, high, d.view, r)
		if err != nil {
			return nil, nil, err
		}
		in, out = append(in, inside...), append(out, below...)
		rest = above
	}
	return in, append(out, rest...), nil
}

// equals divides a region by whether both halves of an argument, as far as they are looked at, are those of a value.
func equals(region bpf.Region, low, high bpf.Word, value uint64) (in, out []bpf.Region, err error) {
	yes, no, err := region.Equal(low, uint32(value))
	if err != nil {
		return nil, nil, err
	}
	out = keep(nil, no)
	if high.Mask != 0 {
		yes, no, err = yes.Equal(high, uint32(value>>32))
		out = keep(out, no)
	}
	return keep(nil, yes), out, err
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
