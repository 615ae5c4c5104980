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
	nodes   []node
	index   map[node]Ref   // of tests
	returns map[uint32]Ref // of returns, by value
}

// NewGraph returns an empty graph.
func NewGraph() *Graph {
	return &Graph{nodes: make([]node, 0, 512), index: make(map[node]Ref, 512), returns: map[uint32]Ref{}}
}

// Size returns the number of nodes made so far, shared ones once.
func (g *Graph) Size() int { return len(g.nodes) }

// Return returns the node that ends with a SECCOMP_RET_* value.
func (g *Graph) Return(value uint32) Ref {
	if ref, ok := g.returns[value]; ok {
		return ref
	}
	ref := Ref(len(g.nodes))
	g.nodes = append(g.nodes, node{test: codeReturn, value: value})
	g.returns[value] = ref
	return ref
}

// Value returns what a Return node returns, and whether the node is one.
func (g *Graph) Value(ref Ref) (uint32, bool) {
	return g.nodes[ref].value, g.nodes[ref].test == codeReturn
}

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
	n := node{test, word, value, yes, no}
	if ref, ok := g.index[n]; ok {
		return ref
	}
	ref := Ref(len(g.nodes))
	g.nodes = append(g.nodes, n)
	g.index[n] = ref
	return ref
}

// Leaves calls visit with each value that can be returned from the node, once per Return node.
func (g *Graph) Leaves(from Ref, visit func(value uint32)) {
	seen := make(map[Ref]bool)
	var walk func(Ref)
	walk = func(ref Ref) {
		if seen[ref] {
			return
		}
		seen[ref] = true
		n := g.nodes[ref]
		if n.test == codeReturn {
			visit(n.value)
			return
		}
		walk(n.yes)
		walk(n.no)
	}
	walk(from)
}
