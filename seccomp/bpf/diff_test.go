// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

const testSteps = 1 << 22

func TestAProgramEqualsItsOtherForms(t *testing.T) {
	load := Instruction{LD | W | ABS, 0, 0, 16}
	allowed, denied := Instruction{RET | K, 0, 0, allow}, Instruction{RET | K, 0, 0, 0x50001}
	for name, c := range map[string][2][]Instruction{
		"GreaterIsAtLeastOneMore":      {{load, {JMP | JGT | K, 0, 1, 9}, allowed, denied}, {load, {JMP | JGE | K, 0, 1, 10}, allowed, denied}},
		"ABitSetIsAMaskNotZero":        {{load, {JMP | JSET | K, 0, 1, 8}, allowed, denied}, {load, {ALU | AND | K, 0, 0, 8}, {JMP | JEQ | K, 1, 0, 0}, allowed, denied}},
		"TopBitSetIsUpperHalf":         {{load, {JMP | JSET | K, 0, 1, 1 << 31}, allowed, denied}, {load, {JMP | JGE | K, 0, 1, 1 << 31}, allowed, denied}},
		"DifferenceIsZeroWhenEqual":    {{load, {ALU | SUB | K, 0, 0, 7}, {JMP | JEQ | K, 0, 1, 0}, allowed, denied}, {load, {JMP | JEQ | K, 0, 1, 7}, allowed, denied}},
		"RangeBySubtraction":           {{load, {ALU | SUB | K, 0, 0, 7}, {JMP | JGT | K, 1, 0, 3}, allowed, denied}, {load, {JMP | JGE | K, 0, 2, 7}, {JMP | JGT | K, 1, 0, 10}, allowed, denied}},
		"SignedOrderByFlippingTheSign": {{load, {ALU | XOR | K, 0, 0, 1 << 31}, {JMP | JGE | K, 0, 1, 1 << 31}, allowed, denied}, {load, {JMP | JSET | K, 1, 0, 1 << 31}, allowed, denied}},
		"ThroughScratchMemoryAndX":     {{load, {ST, 0, 0, 2}, {LD | IMM, 0, 0, 5}, {LDX | MEM, 0, 0, 2}, {JMP | JEQ | X, 0, 1, 0}, allowed, denied}, {load, {JMP | JEQ | K, 0, 1, 5}, allowed, denied}},
		"ShiftsAreMasks":               {{load, {ALU | RSH | K, 0, 0, 4}, {ALU | LSH | K, 0, 0, 4}, {JMP | JEQ | K, 0, 1, 0x120}, allowed, denied}, {load, {ALU | AND | K, 0, 0, 0xfffffff0}, {JMP | JEQ | K, 0, 1, 0x120}, allowed, denied}},
	} {
		if c[1][len(c[1])-1] == c[1][len(c[1])-2] {
			t.Fatal(name)
		}
		if difference, err := Diff(LittleEndian, c[0], c[1], testSteps); err != nil || difference != nil {
			t.Errorf("%s: %+v, %v", name, difference, err)
		}
		// One constant changed makes a difference, and the witness shows it.
		other := slices.Clone(c[1])
		for pc := range other {
			if other[pc].Code&class == JMP {
				other[pc].K ^= 4
			}
		}
		difference, err := Diff(LittleEndian, c[0], other, testSteps)
		if err != nil || difference == nil {
			t.Errorf("%s: no difference found to another program: %v", name, err)
			continue
		}
		holdsWitness(t, LittleEndian, c[0], other, difference)
	}
}

func holdsWitness(t *testing.T, order Order, a, b []Instruction, d *Difference) {
	t.Helper()
	ofA, _ := Execute(order, a, &d.Data)
	ofB, _ := Execute(order, b, &d.Data)
	if ofA == ofB || ofA != d.A || ofB != d.B {
		t.Errorf("for %+v the programs return %#x and %#x, not %#x and %#x", d.Data, ofA, ofB, d.A, d.B)
	}
}

// mutated returns the program with one operand or jump changed.
func mutated(random *rand.Rand, program []Instruction) []Instruction {
	for {
		other := slices.Clone(program)
		i := &other[random.IntN(len(other))]
		switch random.IntN(3) {
		case 0:
			i.K ^= 1 << random.IntN(32)
		case 1:
			i.K++
		default:
			i.True, i.False = i.False, i.True
		}
		if Check(other) == nil {
			return other
		}
	}
}

func TestDifferencesAreRealAndNoneIsMissed(t *testing.T) {
	random := seeded(2)
	different, equal := 0, 0
	for range 3000 {
		d := filters
		if random.IntN(3) == 0 {
			d = anything
		}
		a := d.program(random, 2+random.IntN(20))
		b := mutated(random, a)
		order := Order(random.IntN(2) == 0)
		difference, err := Diff(order, a, b, testSteps)
		if errors.Is(err, ErrInexact) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if difference != nil {
			different++
			holdsWitness(t, order, a, b, difference)
			continue
		}
		equal++
		for range 200 {
			data := someData(random)
			ofA, _ := Execute(order, a, &data)
			if ofB, _ := Execute(order, b, &data); ofA != ofB {
				t.Fatalf("called equal, but for %+v they return %#x and %#x:\n%s\n%s", data, ofA, ofB, Disassemble(order, a, Names{}), Disassemble(order, b, Names{}))
			}
		}
	}
	t.Logf("%d different, %d equal", different, equal)
	if different < 300 || equal < 500 {
		t.Errorf("only %d pairs differ and %d are equal", different, equal)
	}
}

func TestComparedRegionsPartitionTheStart(t *testing.T) {
	random := seeded(4)
	total := 0
	for range 500 {
		a, b := filters.program(random, 12), filters.program(random, 12)
		var found []leaf
		var values [][2]uint32
		err := Compare(a, b, Everything(), testSteps, func(region *Region, ofA, ofB uint32) error {
			found = append(found, leaf{*region, 0})
			values = append(values, [2]uint32{ofA, ofB})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		total += len(found)
		for range 50 {
			data := someData(random)
			ofA, _ := Execute(LittleEndian, a, &data)
			ofB, _ := Execute(LittleEndian, b, &data)
			inside := 0
			for i := range found {
				if found[i].region.Contains(LittleEndian, &data) {
					inside++
					if values[i] != [2]uint32{ofA, ofB} {
						t.Fatalf("region says %#x, the programs %#x and %#x", values[i], ofA, ofB)
					}
				}
			}
			if inside != 1 {
				t.Fatalf("%+v is in %d regions", data, inside)
			}
		}
	}
	if total < 2000 {
		t.Errorf("only %d regions", total)
	}
}

func TestErrorsOfComparisonsNameTheProgram(t *testing.T) {
	good := []Instruction{{RET | K, 0, 0, 0}}
	opaque := []Instruction{{LD | W | ABS, 0, 0, 16}, {ALU | MUL | K, 0, 0, 3}, {RET | A, 0, 0, 0}}
	for want, pair := range map[string][2][]Instruction{
		"first program: instruction 1 (A = M[0]): cell 0 of scratch memory may not have been written":                                                  {{{LD | IMM, 0, 0, 0}, {LD | MEM, 0, 0, 0}, {RET | A, 0, 0, 0}}, good},
		"second program: program of 0 instructions: the kernel takes 1 to 4096":                                                                        {good, nil},
		"first program: cannot be explored exactly: instruction 1 (A *= 3): the result depends on the call in a way that is not followed":              {opaque, good},
		"second program: cannot be explored exactly: instruction 1 (A *= 3): the result depends on the call in a way that is not followed":             {good, opaque},
		"first program: cannot be explored exactly: instruction 1 (return A): returns what it calculated from the call":                                {{{LD | W | ABS, 0, 0, 16}, {RET | A, 0, 0, 0}}, good},
		"first program: cannot be explored exactly: instruction 3 (if A == X goto 5): the condition depends on the call in a way that is not followed": {{{LD | W | ABS, 0, 0, 16}, {MISC | TAX, 0, 0, 0}, {LD | W | ABS, 0, 0, 20}, {JMP | JEQ | X, 1, 0, 0}, {RET | K, 0, 0, 0}, {RET | K, 0, 0, 1}}, good},
	} {
		_, err := Diff(LittleEndian, pair[0], pair[1], testSteps)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, not %s", err, want)
		}
	}
}

func FuzzDiff(f *testing.F) {
	random := seeded(5)
	for range 20 {
		a := filters.program(random, 10)
		f.Add(Encode(LittleEndian, a), Encode(LittleEndian, mutated(random, a)), uint64(1))
		f.Add(Encode(LittleEndian, a), Encode(LittleEndian, a), uint64(1))
	}
	f.Fuzz(func(t *testing.T, rawA, rawB []byte, seed uint64) {
		a, errA := Decode(LittleEndian, rawA)
		b, errB := Decode(LittleEndian, rawB)
		if errA != nil || errB != nil {
			return
		}
		difference, err := Diff(LittleEndian, a, b, 1<<16)
		if err != nil {
			if Check(a) == nil && Check(b) == nil && !errors.Is(err, ErrInexact) {
				t.Fatal(err)
			}
			return
		}
		if difference != nil {
			holdsWitness(t, LittleEndian, a, b, difference)
			return
		}
		random := seeded(seed)
		for range 50 {
			data := someData(random)
			ofA, _ := Execute(LittleEndian, a, &data)
			if ofB, _ := Execute(LittleEndian, b, &data); ofA != ofB {
				t.Fatalf("called equal, but for %+v they return %#x and %#x", data, ofA, ofB)
			}
		}
	})
}

// listAndTree are two filters by number that decide alike: one compares with number after number, the other halves them.
func listAndTree(t testing.TB, random *rand.Rand) (list, tree []Instruction) {
	t.Helper()
	const numbers = 500
	g := NewGraph()
	list = []Instruction{{LD | W | ABS, 0, 0, OffsetNumber}}
	var runs []Run
	for number := range uint32(numbers) {
		value := []uint32{allow, allow, 0x50001, 0x50026}[random.IntN(4)]
		list = append(list, Instruction{JMP | JEQ | K, 0, 1, number}, Instruction{RET | K, 0, 0, value})
		runs = append(runs, Run{Start: number, To: g.Return(value), Weight: 1})
	}
	list = append(list, Instruction{RET | K, 0, 0, 0})
	root := g.Switch(Word{Offset: OffsetNumber, Mask: whole}, append(runs, Run{Start: numbers, To: g.Return(0), Weight: 1}))
	tree, err := g.Assemble(root)
	if err != nil {
		t.Fatal(err)
	}
	return list, tree
}

func TestAListAndATreeThatDecideAlikeAreEqual(t *testing.T) {
	random := seeded(18)
	list, tree := listAndTree(t, random)
	for _, pair := range [][2][]Instruction{{list, tree}, {tree, list}} {
		if difference, err := Diff(LittleEndian, pair[0], pair[1], testSteps); err != nil || difference != nil {
			t.Errorf("%+v, %v", difference, err)
		}
	}
	for range 20 {
		changed := slices.Clone(list)
		at := 2 * (1 + random.IntN(400))
		changed[at].K = 0x50063
		difference, err := Diff(BigEndian, changed, tree, testSteps)
		if err != nil || difference == nil {
			t.Fatalf("no difference: %v", err)
		}
		if difference.Data.Number != list[at-1].K || difference.A != 0x50063 {
			t.Errorf("the programs differ on call %d, not on %+v", list[at-1].K, difference)
		}
		holdsWitness(t, BigEndian, changed, tree, difference)
	}
}

func BenchmarkDiffListAndTree(b *testing.B) {
	list, tree := listAndTree(b, seeded(18))
	b.ReportMetric(float64(len(list)), "list")
	b.ReportMetric(float64(len(tree)), "tree")
	for b.Loop() {
		if difference, err := Diff(LittleEndian, list, tree, ExploreSteps); err != nil || difference != nil {
			b.Fatal(difference, err)
		}
	}
}
