// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// agree holds the leaves of a program against its execution: calls that are in exactly one leaf, which has the value that they return. The calls are
// random ones, the witnesses, and those at the ends of each word's values and just beyond.
func agree(t *testing.T, random *rand.Rand, order Order, program []Instruction, found []leaf, calls int) {
	t.Helper()
	check := func(data *Data) {
		t.Helper()
		value, _ := Execute(order, program, data)
		inside := 0
		for i := range found {
			if found[i].region.Contains(order, data) {
				inside++
				if found[i].value != value {
					t.Fatalf("%+v: a region says %#x, the program %#x\n%#v", *data, found[i].value, value, program)
				}
			}
		}
		if inside != 1 {
			t.Fatalf("%+v is in %d regions of %d\n%#v", *data, inside, len(found), program)
		}
	}
	for i := range found {
		witness := found[i].region.Witness(order)
		check(&witness)
		for offset := uint32(0); offset < dataSize; offset += 4 {
			if low, high := found[i].region.Range(offset); low != 0 || high != whole {
				for _, value := range []uint32{low - 1, low + 1, high, high + 1, low + (high-low)/2} {
					data := witness
					data.SetWord(order, offset, value)
					check(&data)
				}
			}
		}
	}
	for range calls {
		data := someData(random)
		check(&data)
	}
}

func TestRegionsPartitionAllCallsAndSayWhatTheProgramDoes(t *testing.T) {
	for name, c := range map[string]struct {
		program  func(random *rand.Rand, length int) []Instruction
		programs int
		exact    int // so many programs have to be followed to the end
		regions  int // and have so many paths, both a little below what they are
	}{
		"Filters":  {filters.program, 4000, 4000, 11000},
		"Anything": {anything.program, 8000, 5800, 10000},
		"Chains":   {chains, 4000, 1800, 8000},
	} {
		t.Run(name, func(t *testing.T) {
			random := seeded(1)
			exact, total, most := 0, 0, 0
			for range c.programs {
				program := c.program(random, 2+random.IntN(24))
				found, err := leaves(t, program, Everything())
				if errors.Is(err, ErrInexact) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				exact++
				total += len(found)
				most = max(most, len(found))
				agree(t, random, Order(random.IntN(2) == 0), program, found, 60)
			}
			t.Logf("%d of %d programs exact, %d regions, at most %d", exact, c.programs, total, most)
			if exact < c.exact || total < c.regions {
				t.Errorf("only %d programs were followed, with %d regions", exact, total)
			}
		})
	}
}

// startOf narrows all calls by the tests of another program, so that explorations start in all kinds of regions.
func startOf(random *rand.Rand, t testing.TB) Region {
	t.Helper()
	found, err := leaves(t, filters.program(random, 8), Everything())
	if err != nil {
		t.Fatal(err)
	}
	return found[random.IntN(len(found))].region
}

func TestExplorationStaysInItsStart(t *testing.T) {
	random := seeded(12)
	narrow, inside := 0, 0
	for range 2000 {
		start := startOf(random, t)
		program := filters.program(random, 12)
		found, err := leaves(t, program, start)
		if err != nil {
			t.Fatal(err)
		}
		if start.conditions != nil {
			narrow++
		}
		for range 30 {
			data := someData(random)
			count := 0
			for i := range found {
				if found[i].region.Contains(LittleEndian, &data) {
					count++
				}
			}
			if in := start.Contains(LittleEndian, &data); in != (count == 1) || count > 1 {
				t.Fatalf("%+v in the start: %v, in %d regions", data, in, count)
			} else if in {
				inside++
			}
		}
		for i := range found {
			if data := found[i].region.Witness(LittleEndian); !start.Contains(LittleEndian, &data) {
				t.Fatalf("%+v is not in the start", data)
			}
		}
	}
	if narrow < 400 || inside < 10000 {
		t.Errorf("only %d starts with conditions, %d calls inside", narrow, inside)
	}
}

func TestVisitEndsTheExploration(t *testing.T) {
	stop := errors.New("enough")
	visited := 0
	err := Explore(tree(t), Everything(), ExploreSteps, func(*Region, uint32) error {
		if visited++; visited == 5 {
			return stop
		}
		return nil
	})
	if err != stop || visited != 5 {
		t.Errorf("%v after %d", err, visited)
	}
}

// TestPathsAreBounded explores a program whose paths double with every fourth instruction.
func TestPathsAreBounded(t *testing.T) {
	var program []Instruction
	for bit := range 32 {
		for _, offset := range []uint32{16, 20} {
			program = append(program, Instruction{LD | W | ABS, 0, 0, offset}, Instruction{JMP | JSET | K, 0, 1, 1 << bit}, Instruction{LD | IMM, 0, 0, 0})
		}
	}
	program = append(program, Instruction{RET | K, 0, 0, 0})
	err := Explore(program, Everything(), 100000, func(*Region, uint32) error { return nil })
	if !errors.Is(err, ErrInexact) || err.Error() != "cannot be explored exactly: more than 100000 steps" {
		t.Error(err)
	}
	if _, err = Diff(BigEndian, program, program, 100000); !errors.Is(err, ErrInexact) {
		t.Error(err)
	}
}

func TestWordsOfFewValuesAreEnumerated(t *testing.T) {
	// The product with 3 is not followed as a function, but a word below 1024 is taken value by value.
	program := []Instruction{
		{LD | W | ABS, 0, 0, 16},
		{JMP | JGE | K, 3, 0, 1000},
		{ALU | MUL | K, 0, 0, 3},
		{ALU | ADD | K, 0, 0, 0x50000},
		{RET | A, 0, 0, 0},
		{RET | K, 0, 0, allow},
	}
	found, err := leaves(t, program, Everything())
	if err != nil || len(found) != 1001 {
		t.Fatalf("%d regions, %v", len(found), err)
	}
	agree(t, seeded(13), LittleEndian, program, found, 50)
	program[1].K = 5000
	if _, err := leaves(t, program, Everything()); !errors.Is(err, ErrInexact) {
		t.Errorf("5000 values: %v", err)
	}
}

func FuzzExplore(f *testing.F) {
	random := seeded(14)
	for range 30 {
		f.Add(Encode(LittleEndian, filters.program(random, 14)), false, uint64(1))
		f.Add(Encode(BigEndian, anything.program(random, 14)), true, uint64(2))
	}
	f.Fuzz(func(t *testing.T, raw []byte, big bool, seed uint64) {
		order, random := Order(big), seeded(seed)
		program, err := Decode(order, raw)
		if err != nil {
			return
		}
		var found []leaf
		tooMany := errors.New("too many to hold against each other")
		err = Explore(program, Everything(), 1<<16, func(region *Region, value uint32) error {
			found = append(found, leaf{*region, value})
			if len(found) > 500 {
				return tooMany
			}
			return nil
		})
		if refused := Check(program) != nil; err != nil && err != tooMany && refused == errors.Is(err, ErrInexact) {
			t.Fatalf("refused: %v, but %v", refused, err)
		}
		if err == nil {
			agree(t, random, order, program, found, 30)
			return
		}
		for i := range found { // what was found before the end is right all the same
			data := found[i].region.Witness(order)
			if value, _ := Execute(order, program, &data); value != found[i].value {
				t.Fatalf("%+v: a region says %#x, the program %#x", data, found[i].value, value)
			}
		}
	})
}

// tree is a filter as large as that of Docker's default profile: three ways into the kernel, a tree of calls in each, arguments of some.
func tree(t testing.TB) []Instruction {
	t.Helper()
	g := NewGraph()
	allowed, denied, unknown := g.Return(allow), g.Return(0x50001), g.Return(0x50026)
	whole := func(offset uint32) Word { return Word{Offset: offset, Mask: ^uint32(0)} }
	random := seeded(8)
	calls := func(base uint32, runs int) Ref {
		ranges := []Run{{Start: 0, To: allowed, Weight: 1}}
		for at, i := uint32(0), 0; i < runs; i++ {
			at += 1 + random.Uint32N(6)
			to := []Ref{allowed, denied, unknown}[random.IntN(3)]
			if i%20 == 0 {
				to = g.Equal(whole(OffsetArgs+4), 0, g.AtLeast(whole(OffsetArgs), uint32(10+i), denied, allowed), denied)
			}
			if i%30 == 5 {
				to = g.Equal(Word{Offset: OffsetArgs + 8, Mask: 0x7e020000}, 0, allowed, denied)
			}
			ranges = append(ranges, Run{Start: base + at, To: to, Weight: 1})
		}
		return g.Switch(whole(OffsetNumber), append(ranges, Run{Start: base + 600, To: unknown, Weight: 1}))
	}
	native := g.AtLeast(whole(OffsetNumber), 0x40000000, calls(0x40000000, 50), calls(0, 66))
	root := g.Equal(whole(OffsetArch), 0xc000003e, native, g.Equal(whole(OffsetArch), 0x40000003, calls(0, 60), g.Return(0)))
	program, err := g.Assemble(root)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func BenchmarkExploreFilter(b *testing.B) {
	program := tree(b)
	regions := 0
	b.ReportAllocs()
	for b.Loop() {
		regions = 0
		if err := Explore(program, Everything(), ExploreSteps, func(*Region, uint32) error { regions++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(program)), "instructions")
	b.ReportMetric(float64(regions), "regions")
}

func BenchmarkCheckFilter(b *testing.B) {
	program := tree(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := Check(program); err != nil {
			b.Fatal(err)
		}
	}
}
