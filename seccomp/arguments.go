// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// question is one thing to ask of an argument: which of some values it has, or whether masked bits of it have one value.
type question struct {
	view
	mask, value uint64 // mask 0: the argument's value itself
}

// demand is what a rule demands of the answer to one question.
type demand struct {
	question int
	values   []interval // unless the question has a mask, where the answer has to be yes
}

// contest decides which of several rules holds, by asking one question after the other. The rules that can still hold after some answers, and the number of
// the next question, are all that a decision depends on, so equal ones are made once.
type contest struct {
	graph     *bpf.Graph
	order     bpf.Order
	questions []question
	numbers   map[question]int
	demands   [][]demand // by rule, ascending
	last      []int      // by rule: the last question that it demands something of, -1 = none
	actions   []bpf.Ref  // by rule
	otherwise bpf.Ref
	budget    *int // of steps
	memo      map[string]bpf.Ref
}

// maximumSteps bounds the decisions on arguments over all calls of a policy, in rules looked at.
const maximumSteps = 1 << 22

// stateSteps is what a new state costs beside the rules looked at: making it known takes so much longer.
const stateSteps = 16

// argumentDecision returns the node that decides a call by its arguments. It reports false when the budget is used up.
func argumentDecision(graph *bpf.Graph, abi *syscalls.ABI, call syscalls.Call, o outcome, budget *int) (bpf.Ref, bool) {
	c := &contest{graph: graph, order: bpf.Order(abi.BigEndian), otherwise: graph.Return(uint32(o.otherwise)), budget: budget, numbers: map[question]int{}, memo: map[string]bpf.Ref{}}
	active := make([]int, 0, len(o.rules))
	for i, rule := range o.rules {
		c.actions = append(c.actions, graph.Return(uint32(rule.Action)))
		c.demands, c.last = append(c.demands, nil), append(c.last, -1)
		if c.enter(i, rule, abi, call) {
			active = append(active, i)
		}
		if len(c.questions) > bpf.Length { // each takes an instruction
			return 0, false
		}
	}
	c.arrange()
	return c.decide(0, c.union(active))
}

// union makes one of neighbouring rules that have the same action and look at the value of the same argument alone: long lists of allowed values are written so.
func (c *contest) union(active []int) []int {
	out := active[:0]
	for _, rule := range active {
		if last := len(out) - 1; last >= 0 && c.onlyValue(rule) && c.onlyValue(out[last]) && c.last[out[last]] == c.last[rule] && c.actions[out[last]] == c.actions[rule] {
			d := &c.demands[out[last]][0]
			d.values = append(d.values, c.demands[rule][0].values...)
			continue
		}
		out = append(out, rule)
	}
	for _, rule := range out {
		if c.onlyValue(rule) {
			c.demands[rule][0].values = joined(c.demands[rule][0].values)
		}
	}
	return out
}

// onlyValue reports whether a rule demands something of one question only, which is one without a mask.
func (c *contest) onlyValue(rule int) bool {
	return len(c.demands[rule]) == 1 && c.questions[c.last[rule]].mask == 0
}

// joined sorts intervals and makes one of those that touch.
func joined(list []interval) []interval {
	if len(list) < 2 {
		return list
	}
	slices.SortFunc(list, func(a, b interval) int { return cmp.Compare(a.low, b.low) })
	out := list[:1]
	for _, r := range list[1:] {
		if last := &out[len(out)-1]; last.high == math.MaxUint64 || r.low <= last.high+1 {
			last.high = max(last.high, r.high)
			continue
		}
		out = append(out, r)
	}
	return out
}

// enter notes what a rule demands, and reports whether it can hold at all.
func (c *contest) enter(i int, rule Rule, abi *syscalls.ABI, call syscalls.Call) bool {
	for _, condition := range rule.Conditions {
		v := viewOf(condition, abi.Argument(call, condition.Index), abi.Word)
		var values []interval
		if condition.Op != MaskedEqual {
			values = v.values(condition)
		} else if mask, value := v.masked(condition); mask == v.mask() {
			values = []interval{{value, value}}
		} else {
			if mask != 0 {
				c.demand(i, question{v.raw(), mask, value})
			}
			continue
		}
		d, made := c.demand(i, question{view: v.raw()})
		if made {
			values = intersect(d.values, values)
		}
		d.values = values
		if len(values) == 0 {
			return false
		}
	}
	return true
}

// raw is the view of the same bits as seccomp_data shows them, without a sign.
func (v view) raw() view {
	v.signed = false
	return v
}

// demand returns what a rule demands of a question, and whether it did so before. A new question is entered.
func (c *contest) demand(rule int, q question) (d *demand, made bool) {
	number, ok := c.numbers[q]
	if !ok {
		number = len(c.questions)
		c.questions, c.numbers[q] = append(c.questions, q), number
	}
	if d := c.demanded(rule, number); d != nil {
		return d, true
	}
	c.demands[rule] = append(c.demands[rule], demand{question: number})
	return &c.demands[rule][len(c.demands[rule])-1], false
}

// demanded returns what a rule demands of a question, nil if nothing.
func (c *contest) demanded(rule, question int) *demand {
	for i := range c.demands[rule] {
		if d := &c.demands[rule][i]; d.question == question {
			return d
		}
	}
	return nil
}

// arrange puts the questions in the order of arguments, masked ones first.
func (c *contest) arrange() {
	order := make([]int, len(c.questions))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		p, q := c.questions[a], c.questions[b]
		switch {
		case p.index != q.index:
			return p.index - q.index
		case p.mask != 0 && q.mask == 0:
			return -1
		case p.mask == 0 && q.mask != 0:
			return 1
		}
		return 0
	})
	questions, numbers := make([]question, len(order)), make([]int, len(order))
	for at, from := range order {
		questions[at], numbers[from] = c.questions[from], at
	}
	c.questions = questions
	for rule, demands := range c.demands {
		for i := range demands {
			demands[i].question = numbers[demands[i].question]
			c.last[rule] = max(c.last[rule], demands[i].question)
		}
	}
}

// decide returns the node that decides among the active rules by the questions from the given one on. It reports false when the budget is used up.
func (c *contest) decide(from int, active []int) (bpf.Ref, bool) {
	for i, rule := range active {
		if c.last[rule] < from { // holds: those after it are never asked
			active = active[:i+1]
			break
		}
	}
	if len(active) == 0 {
		return c.otherwise, true
	}
	if c.last[active[0]] < from {
		return c.actions[active[0]], true
	}
	from = c.next(from, active)
	key := stateKey(from, active)
	if ref, ok := c.memo[key]; ok {
		return ref, true
	}
	var ref bpf.Ref
	var ok bool
	if c.questions[from].mask != 0 {
		ref, ok = c.askMasked(from, active)
	} else {
		ref, ok = c.askValue(from, active)
	}
	c.memo[key] = ref
	return ref, ok
}

// next returns the first question from the given one on that a rule demands something of.
func (c *contest) next(from int, active []int) int {
	first := math.MaxInt
	for _, rule := range active {
		for i := range c.demands[rule] {
			if at := c.demands[rule][i].question; at >= from {
				first = min(first, at)
			}
		}
	}
	return first
}

func stateKey(from int, active []int) string {
	key := make([]byte, 0, 2*len(active)+2)
	key = binary.AppendUvarint(key, uint64(from))
	for _, rule := range active {
		key = binary.AppendUvarint(key, uint64(rule))
	}
	return string(key)
}

func (c *contest) askMasked(from int, active []int) (bpf.Ref, bool) {
	if *c.budget -= len(active) + stateSteps; *c.budget < 0 {
		return 0, false
	}
	granted, refused := make([]int, 0, len(active)), make([]int, 0, len(active))
	for _, rule := range active {
		yes, no := c.remains(rule, from)
		if yes {
			granted = append(granted, rule)
		}
		if no {
			refused = append(refused, rule)
		}
	}
	yes, ok := c.decide(from+1, granted)
	if !ok {
		return 0, false
	}
	no, ok := c.decide(from+1, refused)
	if !ok {
		return 0, false
	}
	return c.maskedEqual(c.questions[from], yes, no), true
}

// remains reports whether a rule can still hold after yes and after no to a masked question, as far as its other masked demands on the argument tell.
func (c *contest) remains(rule, asked int) (yes, no bool) {
	q := c.questions[asked]
	yes, no = true, true
	for i := range c.demands[rule] {
		at := c.demands[rule][i].question
		if other := c.questions[at]; at >= asked && other.index == q.index && other.mask != 0 {
			differ := (q.value ^ other.value) & q.mask & other.mask
			yes = yes && differ == 0
			no = no && (differ != 0 || q.mask&^other.mask != 0) // else a yes to the other one is a yes to this one
		}
	}
	return yes, no
}

// askValue cuts the argument's values where what some rule demands begins or ends, and decides each piece.
func (c *contest) askValue(from int, active []int) (bpf.Ref, bool) {
	starts := []uint64{0}
	for _, rule := range active {
		d := c.demanded(rule, from)
		if d == nil {
			continue
		}
		for _, r := range d.values {
			starts = append(starts, r.low)
			if r.high < c.questions[from].view.mask() {
				starts = append(starts, r.high+1)
			}
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	runs := make([]run, 0, len(starts))
	remaining := make([]int, 0, len(active))
	for _, start := range starts {
		remaining = remaining[:0]
		looked := 0
		for _, rule := range active {
			looked++
			if d := c.demanded(rule, from); d == nil || contains(d.values, start) {
				remaining = append(remaining, rule)
				if c.last[rule] <= from { // holds: those after it are never asked
					break
				}
			}
		}
		if *c.budget -= looked + stateSteps; *c.budget < 0 {
			return 0, false
		}
		to, ok := c.decide(from+1, slices.Clone(remaining))
		if !ok {
			return 0, false
		}
		if last := len(runs) - 1; last < 0 || runs[last].to != to {
			runs = append(runs, run{start, to})
		}
	}
	return c.switchOn(c.questions[from].view, runs), true
}

// run is the values from start to the next run's start, which go one way.
type run struct {
	start uint64
	to    bpf.Ref
}

// argumentWords returns the halves of an argument as the view sees them.
func argumentWords(v view, order bpf.Order) (low, high bpf.Word) {
	low = bpf.Word{Offset: order.ArgumentLow(v.index), Mask: uint32(v.mask())}
	return low, bpf.Word{Offset: order.ArgumentHigh(v.index), Mask: uint32(v.mask() >> 32)}
}

func (c *contest) maskedEqual(q question, yes, no bpf.Ref) bpf.Ref {
	low, high := argumentWords(q.view, c.order)
	ref := yes
	for _, half := range []struct {
		word        bpf.Word
		mask, value uint32
	}{{high, uint32(q.mask >> 32), uint32(q.value >> 32)}, {low, uint32(q.mask), uint32(q.value)}} {
		if half.mask != 0 {
			half.word.Mask = half.mask
			ref = c.graph.Equal(half.word, half.value, ref, no)
		}
	}
	return ref
}

// switchOn decides by an argument's value, first by its high half.
func (c *contest) switchOn(v view, runs []run) bpf.Ref {
	low, high := argumentWords(v, c.order)
	if v.bits <= 32 {
		return c.graph.Switch(low, lowRuns(runs, 0))
	}
	var starts []uint64 // of high halves that are decided alike
	for _, r := range runs {
		starts = append(starts, r.start>>32)
		if uint32(r.start) != 0 && r.start>>32 < math.MaxUint32 {
			starts = append(starts, r.start>>32+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	halves := make([]bpf.Run, 0, len(starts))
	for _, start := range starts {
		halves = append(halves, bpf.Run{Start: uint32(start), To: c.graph.Switch(low, lowRuns(runs, start)), Weight: 1})
	}
	return c.graph.Switch(high, halves)
}

// lowRuns returns the runs of low halves under one high half.
func lowRuns(runs []run, high uint64) []bpf.Run {
	first := high << 32
	from := sort.Search(len(runs), func(i int) bool { return runs[i].start > first }) - 1
	var out []bpf.Run
	for _, r := range runs[from:] {
		if r.start > first|math.MaxUint32 {
			break
		}
		out = append(out, bpf.Run{Start: uint32(max(r.start, first)), To: r.to, Weight: 1})
	}
	return out
}
