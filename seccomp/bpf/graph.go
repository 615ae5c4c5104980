// SPDX-License-Identifier: Apache-2.0

package bpf

// Ref names a node of a Graph.
type Ref int32

// Word is what the accumulator holds for a test: a 32-bit word of struct seccomp_data, and which of its bits.
type Word struct {
	Offset uint32 // in bytes, a multiple of 4
	Mask   uint32 // all ones: the whole word
}

// Whole returns the word at the offset with all its bits.
func Whole(offset uint32) Word { return Word{offset, ^uint32(0)} }

// Offsets of the words in struct seccomp_data. An argument is 8 bytes from OffsetArgs + 8*index; which half comes first is the machine's byte order.
const (
	OffsetNumber = 0
	OffsetArch   = 4
	OffsetArgs   = 16
)

// node is a return of value (test == returns) or a test with two ways on.
type node struct {
	test    uint16 // the code of a conditional jump, or of RET
	word    Word
	value   uint32
	yes, no Ref
}

// Graph is a set of decision graphs that share their equal parts. Nodes are made from the leaves up, so it has no cycles.
type Graph struct {
	nodes []node
	// places find nodes by what they are: at most half of the places, whose number is a power of two, hold a node's number + 1. A node that finds its
	// place taken takes the next one that is free.
	places []Ref
	search searcher
}

// NewGraph returns an empty graph.
func NewGraph() *Graph {
	return &Graph{nodes: make([]node, 0, 384), places: make([]Ref, 1024)}
}

// add returns the node that is equal, which is made if there is none.
func (g *Graph) add(n node) Ref {
	at := n.hash()
	for {
		at &= uint32(len(g.places) - 1)
		ref := g.places[at] - 1
		if ref < 0 {
			break
		}
		if g.nodes[ref] == n {
			return ref
		}
		at++
	}
	g.nodes = append(g.nodes, n)
	g.places[at] = Ref(len(g.nodes))
	if 2*len(g.nodes) > len(g.places) {
		g.spread()
	}
	return Ref(len(g.nodes) - 1)
}

// spread doubles the places.
func (g *Graph) spread() {
	g.places = make([]Ref, 2*len(g.places))
	for i := range g.nodes {
		at := g.nodes[i].hash() & uint32(len(g.places)-1)
		for g.places[at] != 0 {
			at = (at + 1) & uint32(len(g.places)-1)
		}
		g.places[at] = Ref(i + 1)
	}
}

// hash mixes what the node is, so that its lower bits depend on all of it.
func (n *node) hash() uint32 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 / the golden ratio
	h := uint64(n.value) | uint64(n.word.Offset)<<32 | uint64(n.test)<<48
	h = (h ^ h>>29) * odd
	h ^= uint64(n.word.Mask) | uint64(uint32(n.yes))<<32
	h = (h ^ h>>32) * odd
	h = (h ^ uint64(uint32(n.no)) ^ h>>29) * odd
	return uint32(h >> 32)
}

// Return returns the node that ends with a SECCOMP_RET_* value.
func (g *Graph) Return(value uint32) Ref { return g.add(node{test: codeReturn, value: value}) }

// Equal returns the node that goes to yes where word == value.
func (g *Graph) Equal(word Word, value uint32, yes, no Ref) Ref {
	return g.branch(codeEqual, word, value, yes, no)
}

// AtLeast returns the node that goes to yes where word >= value, unsigned.
func (g *Graph) AtLeast(word Word, value uint32, yes, no Ref) Ref {
	return g.branch(codeAtLeast, word, value, yes, no)
}

func (g *Graph) branch(test uint16, word Word, value uint32, yes, no Ref) Ref {
	if yes == no {
		return yes
	}
	return g.add(node{test, word, value, yes, no})
}
