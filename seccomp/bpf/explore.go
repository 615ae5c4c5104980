// SPDX-License-Identifier: Apache-2.0

package bpf

import "fmt"

// ExploreSteps is a limit for Explore, Compare and Diff that no filter made by a compiler comes near, and that is reached within about a second.
const ExploreSteps = 1 << 26

// enumerable is the width up to which a word that cannot be followed is divided into its single values, which always can.
const enumerable = 1 << 10

// Explore calls visit for every path of the program that a call of the region start can take, with the calls that take it and what the program
// returns for them. The regions do not overlap, and together they are start. The region is valid during the call of visit; a copy of it stays valid.
//
// Exact are comparisons of words of the call with numbers, after any chain of AND, OR, XOR, shifts, and additions without carry, or of additions,
// subtractions and NEG alone, through X and scratch memory too; and all else where it depends on no word, or on words of which the region has few
// values. Anything more is an ErrInexact that names the instruction; so is a need of more steps than the limit, a step being an instruction executed or
// a condition looked at. An error of visit ends the exploration and is returned as it is.
func Explore(program []Instruction, start Region, limit int, visit func(region *Region, value uint32) error) error {
	if err := Check(program); err != nil {
		return err
	}
	if start.empty {
		return nil
	}
	e := explorer{program: program, region: &start, limit: limit, steps: &limit, visit: visit}
	return e.walk(0, registers{})
}

type explorer struct {
	program []Instruction
	title   string  // of the program, in errors
	region  *Region // narrowed on the way down, restored on the way back
	limit   int
	steps   *int // left
	visit   func(region *Region, value uint32) error
}

// registers are A, X and scratch memory. A nil memory has not been written to; one that is shared is never changed.
type registers struct {
	a, x   symbol
	memory *[scratchWords]symbol
}

func (e *explorer) walk(pc int, r registers) error {
	for {
		if *e.steps--; *e.steps < 0 {
			return e.exhausted()
		}
		i := &e.program[pc]
		switch i.Code {
		case RET | K:
			return e.visit(e.region, i.K)
		case RET | A:
			if v := e.value(r.a); v.form == number {
				return e.visit(e.region, v.k)
			}
			return e.enumerate(pc, r, "returns what it calculated from the call")
		case JMP | JA:
			pc += int(i.K) + 1
			continue
		case LD | W | ABS:
			r.a = loaded(uint8(i.K / 4))
		case LD | IMM:
			r.a = constant(i.K)
		case LDX | IMM:
			r.x = constant(i.K)
		case LD | W | LEN:
			r.a = constant(dataSize)
		case LDX | W | LEN:
			r.x = constant(dataSize)
		case LD | MEM:
			r.a = r.memory[i.K]
		case LDX | MEM:
			r.x = r.memory[i.K]
		case ST:
			r.store(i.K, r.a)
		case STX:
			r.store(i.K, r.x)
		case MISC | TAX:
			r.x = r.a
		case MISC | TXA:
			r.a = r.x
		default:
			next, done, err := e.compute(pc, i, &r)
			if done || err != nil {
				return err
			}
			pc = next
			continue
		}
		pc++
	}
}

func (e *explorer) exhausted() error {
	return fmt.Errorf("%s%w: more than %d steps", e.title, ErrInexact, e.limit)
}

func (r *registers) store(cell uint32, value symbol) {
	var memory [scratchWords]symbol
	if r.memory != nil {
		memory = *r.memory
	}
	memory[cell] = value
	r.memory = &memory
}

// value returns the symbol as a number if the region leaves its word no choice.
func (e *explorer) value(s symbol) symbol {
	if s.form != number {
		if w := e.region.spans[s.word]; w.low == w.high {
			return constant(s.apply(w.low))
		}
	}
	return s
}

// compute executes an ALU instruction or a conditional jump. Done means that everything behind the instruction has been walked; otherwise the walk goes
// on at next.
func (e *explorer) compute(pc int, i *Instruction, r *registers) (next int, done bool, err error) {
	if t, ok := i.test(); ok && r.a.isWord() && i.True != i.False { // by far the commonest case: what follows would come to the same
		return e.branch(r.a.word, t, pc+1+int(i.True), pc+1+int(i.False), r)
	}
	a, b := e.value(r.a), constant(i.K)
	if i.Code&X != 0 {
		b = e.value(r.x)
	}
	operation := i.Code & operation
	if i.Code&class == ALU {
		if operation == DIV && b == constant(0) {
			return 0, true, e.visit(e.region, 0)
		}
		v, ok := calculate(operation, a, b)
		if !ok {
			return 0, true, e.enumerate(pc, *r, "the result depends on the call in a way that is not followed")
		}
		r.a = v
		return pc + 1, false, nil
	}
	yes, no := pc+1+int(i.True), pc+1+int(i.False)
	if yes == no {
		return yes, false, nil
	}
	if a.form == number && b.form == number {
		if holds, _ := compare(operation, a.k, b.k); holds {
			return yes, false, nil
		}
		return no, false, nil
	}
	q, ok := ask(operation, a, b)
	if !ok {
		return 0, true, e.enumerate(pc, *r, "the condition depends on the call in a way that is not followed")
	}
	if !q.divides {
		if q.contrary {
			yes, no = no, yes
		}
		return e.branch(q.word, q.test, yes, no, r)
	}
	s := e.region.spans[q.word]
	for _, cut := range q.cuts {
		if s.low < cut && cut <= s.high {
			return e.branch(q.word, atLeast(whole, 0, cut), pc, pc, r)
		}
	}
	if holds, _ := compare(operation, a.apply(s.low), b.apply(s.low)); holds {
		return yes, false, nil
	}
	return no, false, nil
}

// test returns what a comparison of A with a number asks of a word in A. JGT with a number that nothing is greater than is left to others.
func (i *Instruction) test() (test, bool) {
	switch i.Code {
	case JMP | JEQ | K:
		return test{mask: whole, value: i.K}, true
	case JMP | JGE | K:
		return test{mask: whole, value: i.K, ordered: true}, true
	case JMP | JGT | K:
		return test{mask: whole, value: i.K + 1, ordered: true}, i.K != whole
	}
	return test{}, false
}

// branch goes on at yes with the calls of which the word passes the test, and at no with the others. If there are only calls of one kind, it
// returns where they go on instead.
func (e *explorer) branch(word uint8, t test, yes, no int, r *registers) (next int, done bool, err error) {
	holds, fails := e.region.split(word, t, e.steps)
	switch {
	case *e.steps < 0:
		return 0, true, e.exhausted()
	case !fails.exists:
		return yes, false, nil
	case !holds.exists:
		return no, false, nil
	}
	region := e.region
	before, conditions, conditional := region.spans[word], region.conditions, region.conditional
	region.set(word, holds)
	err = e.walk(yes, *r)
	region.conditions, region.conditional = conditions, conditional
	if err == nil {
		region.set(word, fails)
		err = e.walk(no, *r)
	}
	region.spans[word], region.conditions, region.conditional = before, conditions, conditional
	return 0, true, err
}

// enumerate executes the instruction at pc for each value that a word of its operands has, if they are few: that it cannot follow them is the reason of
// the error otherwise.
func (e *explorer) enumerate(pc int, r registers, reason string) error {
	operands := [2]symbol{r.a, r.x}
	for _, s := range operands {
		if e.value(s).form == number {
			continue
		}
		if w := e.region.spans[s.word]; w.high-w.low < enumerable {
			_, _, err := e.branch(s.word, atLeast(whole, 0, w.low+(w.high-w.low)/2+1), pc, pc, &r)
			return err
		}
	}
	return fmt.Errorf("%s%w: instruction %d (%s): %s", e.title, ErrInexact, pc, describe(e.program, pc), reason)
}
