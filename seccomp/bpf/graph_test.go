// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"testing"
)

// decide walks the graph for a call: what a program of it has to return.
func (g *Graph) decide(order Order, ref Ref, data *Data) uint32 {
	for {
		n := g.nodes[ref]
		word := data.Word(order, n.word.Offset) & n.word.Mask
		switch {
		case n.test == codeReturn:
			return n.value
		case n.test == codeEqual && word == n.value, n.test == codeAtLeast && word >= n.value:
			ref = n.yes
		default:
			ref = n.no
		}
	}
}

// grown makes a graph of so many tests of a few words, most of which go on to what was made shortly before, and returns its root.
func grown(random *rand.Rand, tests, returns int) (*Graph, Ref) {
	g := NewGraph()
	var refs []Ref
	for value := range returns {
		refs = append(refs, g.Return(uint32(value)))
	}
	words := []Word{Whole(OffsetNumber), Whole(OffsetArch), Whole(OffsetArgs), {OffsetArgs, 0xff}, {OffsetArgs + 4, 0xf0f0}}
	word := words[0]
	for range tests {
		if random.IntN(4) == 0 {
			word = words[random.IntN(len(words))]
		}
		some := func() Ref { return refs[max(0, len(refs)-1-random.IntN(8))] }
		if random.IntN(4) == 0 {
			some = func() Ref { return refs[random.IntN(len(refs))] }
		}
		branch := g.Equal
		if random.IntN(2) == 0 {
			branch = g.AtLeast
		}
		refs = append(refs, branch(word, someValue(random)&word.Mask, some(), some()))
	}
	return g, refs[len(refs)-1]
}

// constants returns what the tests of a graph compare words with.
func (g *Graph) constants() (values []uint32) {
	for _, n := range g.nodes {
		if n.test != codeReturn {
			values = append(values, n.value)
		}
	}
	return values
}

// near makes a call whose words are at the constants, or beside them.
func near(random *rand.Rand, order Order, constants []uint32) Data {
	var data Data
	for _, offset := range []uint32{OffsetNumber, OffsetArch, OffsetArgs, OffsetArgs + 4} {
		if len(constants) > 0 {
			data.SetWord(order, offset, constants[random.IntN(len(constants))]+uint32(random.IntN(3))-1)
		}
	}
	return data
}

func TestEqualNodesAreOne(t *testing.T) {
	g := NewGraph()
	yes, no := g.Return(1), g.Return(2)
	word := Whole(OffsetNumber)
	for name, same := range map[string]bool{
		"Returns":             g.Return(1) == yes,
		"Tests":               g.Equal(word, 7, yes, no) == g.Equal(word, 7, yes, no),
		"OneWayOn":            g.AtLeast(word, 7, yes, yes) == yes,
		"OtherValues":         g.Equal(word, 7, yes, no) != g.Equal(word, 8, yes, no),
		"OtherTests":          g.Equal(word, 7, yes, no) != g.AtLeast(word, 7, yes, no),
		"OtherWays":           g.Equal(word, 7, yes, no) != g.Equal(word, 7, no, yes),
		"OtherBits":           g.Equal(word, 7, yes, no) != g.Equal(Word{OffsetNumber, 0xff}, 7, yes, no),
		"OtherWords":          g.Equal(word, 7, yes, no) != g.Equal(Whole(OffsetArch), 7, yes, no),
		"ReturnsOfOtherValue": yes != no,
	} {
		if !same {
			t.Error(name)
		}
	}
	if n := len(g.nodes); n != 8 {
		t.Errorf("%d nodes", n)
	}
}

func TestManyNodesStayApart(t *testing.T) {
	g, again := NewGraph(), make(map[uint32]Ref)
	yes, no := g.Return(1), g.Return(2)
	for value := range uint32(20000) {
		again[value] = g.Equal(Whole(OffsetArgs), value*0x9e3779b9, yes, no)
	}
	for value, ref := range again {
		if g.Equal(Whole(OffsetArgs), value*0x9e3779b9, yes, no) != ref {
			t.Fatalf("value %d has two nodes", value)
		}
	}
	if len(g.nodes) != 20002 {
		t.Errorf("%d nodes", len(g.nodes))
	}
}
