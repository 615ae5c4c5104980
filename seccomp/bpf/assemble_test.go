// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// checkAssembly assembles the graph and compares the program with it on calls near the graph's constants.
func checkAssembly(t *testing.T, random *rand.Rand, g *Graph, root Ref) []Instruction {
	t.Helper()
	program, err := g.Assemble(root)
	if long := new(LengthError); errors.As(err, &long) && long.Instructions > Length {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(program); err != nil {
		t.Fatal(err)
	}
	constants := g.constants()
	for range 200 {
		order := Order(random.IntN(2) == 0)
		data := near(random, order, constants)
		if got, _ := Execute(order, program, &data); got != g.decide(order, root, &data) {
			t.Fatalf("%+v: program %d, graph %d", data, got, g.decide(order, root, &data))
		}
	}
	return program
}

func TestProgramsDecideAsTheirGraphs(t *testing.T) {
	random := seeded(1)
	for range 400 {
		g, root := grown(random, 1+random.IntN(1500), 1+random.IntN(40))
		first := checkAssembly(t, random, g, root)
		if again, _ := g.Assemble(root); first != nil && !slices.Equal(again, first) {
			t.Fatal("another program")
		}
	}
}

func FuzzAssemble(f *testing.F) {
	f.Add(uint64(1), uint16(10), uint8(3))
	f.Add(uint64(2), uint16(3000), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, tests uint16, returns uint8) {
		random := seeded(seed)
		g, root := grown(random, 1+int(tests)%4000, 1+int(returns))
		checkAssembly(t, random, g, root)
	})
}

// count returns how many instructions of the program have the code.
func count(program []Instruction, code uint16) (n int) {
	for _, i := range program {
		if i.Code == code {
			n++
		}
	}
	return n
}

func TestWaysOutOfReach(t *testing.T) {
	number := Whole(OffsetNumber)
	list := func(g *Graph, length int, yes, no Ref) Ref {
		ref := no
		for value := range length {
			ref = g.Equal(number, uint32(value), yes, ref)
		}
		return ref
	}
	for _, test := range []struct {
		name           string
		make           func(*Graph) Ref
		returns, jumps int // of the program
		length         int
	}{
		{"AllInReach", func(g *Graph) Ref { return list(g, 255, g.Return(1), g.Return(2)) }, 2, 0, 258},
		{"ReturnsAreWrittenAgain", func(g *Graph) Ref { return list(g, 300, g.Return(1), g.Return(2)) }, 3, 0, 304},
		{"ReturnsAreWrittenAgainWhereverTheyAreFar", func(g *Graph) Ref { return list(g, 1000, g.Return(1), g.Return(2)) }, 5, 0, 1006},
		{"TestsAreJumpedTo", func(g *Graph) Ref {
			far := g.Equal(Whole(OffsetArgs), 1, g.Return(1), g.Return(2)) // load, test, two returns
			return list(g, 300, far, g.Return(3))
		}, 3, 1, 307},
		{"JumpsAreShared", func(g *Graph) Ref {
			far := g.Equal(Whole(OffsetArgs), 1, g.Return(1), g.Return(2))
			return list(g, 500, far, g.Return(3))
		}, 3, 1, 507},
		{"JumpsToJumps", func(g *Graph) Ref {
			far := g.Equal(Whole(OffsetArgs), 1, g.Return(1), g.Return(2))
			return list(g, 700, far, g.Return(3))
		}, 3, 2, 708},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewGraph()
			program := checkAssembly(t, seeded(2), g, test.make(g))
			if r, j := count(program, codeReturn), count(program, codeJump); r != test.returns || j != test.jumps || len(program) != test.length {
				t.Errorf("%d returns, %d jumps, %d instructions", r, j, len(program))
			}
		})
	}
}

func TestWordsAreLoadedWhereTheAccumulatorHasAnother(t *testing.T) {
	number, low, masked := Whole(OffsetNumber), Whole(OffsetArgs), Word{OffsetArgs, 0xf}
	for _, test := range []struct {
		name        string
		make        func(*Graph) Ref
		loads, ands int
	}{
		{"OnceForOneWord", func(g *Graph) Ref {
			return g.Equal(number, 1, g.Return(1), g.Equal(number, 2, g.Return(2), g.Return(3)))
		}, 1, 0},
		{"AgainForAnotherWord", func(g *Graph) Ref {
			return g.Equal(number, 1, g.Equal(low, 2, g.Return(2), g.Return(3)), g.Return(1))
		}, 2, 0},
		{"AgainForOtherBits", func(g *Graph) Ref {
			return g.Equal(low, 1, g.Equal(masked, 2, g.Return(2), g.Return(3)), g.Return(1))
		}, 2, 1},
		{"AgainAfterBits", func(g *Graph) Ref {
			return g.Equal(masked, 1, g.Equal(low, 17, g.Return(2), g.Return(3)), g.Return(1))
		}, 2, 1},
		{"OnlyForThoseWhoNeedIt", func(g *Graph) Ref { // one comes with the word, the other without
			shared := g.Equal(number, 9, g.Return(1), g.Return(2))
			return g.Equal(number, 1, g.Equal(low, 2, shared, g.Return(3)), shared)
		}, 3, 0},
		{"NoneForReturns", func(g *Graph) Ref { return g.Return(1) }, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewGraph()
			program := checkAssembly(t, seeded(3), g, test.make(g))
			if loads, ands := count(program, codeLoad), count(program, codeAnd); loads != test.loads || ands != test.ands {
				t.Errorf("%d loads, %d ands:\n%v", loads, ands, program)
			}
		})
	}
}

func TestSharedTreesAreWrittenOnce(t *testing.T) {
	g := NewGraph()
	shared := g.Equal(Whole(OffsetArgs), 1, g.Return(1), g.Return(2))
	root := g.Equal(Whole(OffsetNumber), 1, shared, g.Equal(Whole(OffsetNumber), 2, shared, g.Return(3)))
	if program := checkAssembly(t, seeded(4), g, root); len(program) != 8 { // two loads, three tests, three returns
		t.Errorf("%d instructions: %v", len(program), program)
	}
}

func TestWhatIsTooLongSaysByHowMuch(t *testing.T) {
	for _, test := range []struct{ tests, want int }{{4000, 0}, {5000, 5022}, {200_000, 200_000}} {
		g := NewGraph()
		ref := g.Return(1)
		for value := range test.tests {
			ref = g.Equal(Whole(OffsetNumber), uint32(value), g.Return(2), ref)
		}
		program, err := g.Assemble(ref)
		var long *LengthError
		if errors.As(err, &long) != (test.want > 0) || err == nil && len(program) > Length {
			t.Fatalf("%d tests: %d instructions, %v", test.tests, len(program), err)
		}
		if test.want > 0 && (long.Instructions < test.want || program != nil || !strings.Contains(err.Error(), "more than the kernel's limit of 4096")) {
			t.Errorf("%d tests: %v", test.tests, err)
		}
	}
}
