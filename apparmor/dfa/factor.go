// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"slices"
)

// trie is a tree of elements: what patterns begin with in common is there once, ab|ac as a(b|c), and that for every element a, wildcards too.
type trie struct {
	elements []int32
	children []*trie
	index    map[int32]int32 // of elements, where there are many
	ends     []int32         // places that follow here
}

// The elements 0 to 255 are the bytes; the others are nodes, by structure.
const firstNode = 256

// fewChildren are searched without an index.
const fewChildren = 8

func (t *trie) child(element int32) *trie {
	if t.index != nil {
		if i, known := t.index[element]; known {
			return t.children[i]
		}
		t.index[element] = int32(len(t.children))
	} else if i := slices.Index(t.elements, element); i >= 0 {
		return t.children[i]
	}
	t.elements = append(t.elements, element)
	t.children = append(t.children, &trie{})
	if t.index == nil && len(t.elements) > fewChildren {
		t.index = make(map[int32]int32, 2*len(t.elements))
		for i, element := range t.elements {
			t.index[element] = int32(i)
		}
	}
	return t.children[len(t.children)-1]
}

// element is the number of a node: the same for nodes of the same structure.
func (p *positions) element(n *node) int32 {
	key := make([]byte, 0, 64)
	key = append(key, byte(n.kind))
	switch n.kind {
	case literal:
		key = append(key, n.text...)
	case oneOf:
		key = binary.LittleEndian.AppendUint32(key, uint32(p.setNumber(n.set)))
	default:
		for _, part := range n.parts {
			key = binary.LittleEndian.AppendUint32(key, uint32(p.element(part)))
		}
	}
	number, known := p.elements[string(key)]
	if !known {
		number = int32(len(p.nodes) + firstNode)
		p.nodes = append(p.nodes, n)
		p.elements[string(key)] = number
	}
	return number
}

// sequence is the node as the parts that are matched one after the other.
func (n *node) sequence() []*node {
	if n.kind == concat {
		return n.parts
	}
	return []*node{n}
}

// insert adds a pattern that is followed by the place.
func (p *positions) insert(root *trie, n *node, follow int32) {
	if n.kind == alternate {
		for _, choice := range n.parts {
			p.insert(root, choice, follow)
		}
		return
	}
	at := root
	for _, part := range n.sequence() {
		if part.kind != literal {
			at = at.child(p.element(part))
			continue
		}
		for i := range len(part.text) {
			at = at.child(int32(part.text[i]))
		}
	}
	at.ends = append(at.ends, follow)
}

// place is where the trie is matched. What has only one way to go is walked in a loop: texts are long, and the stack is not for them.
func (p *positions) place(t *trie) int32 {
	var way []int32
	for len(t.children) == 1 && len(t.ends) == 0 {
		way = append(way, t.elements[0])
		t = t.children[0]
	}
	outs := slices.Clone(t.ends)
	for i, child := range t.children {
		outs = append(outs, p.matched(t.elements[i], p.place(child)))
	}
	here := p.fork(outs)
	for _, element := range slices.Backward(way) {
		here = p.matched(element, here)
	}
	return here
}

// matched is the place where the element is matched, and then what follows.
func (p *positions) matched(element, follow int32) int32 {
	if element < firstNode {
		return p.match(element, follow)
	}
	return p.before(p.nodes[element-firstNode], follow)
}

// before is the place where the node is matched, and then what follows.
func (p *positions) before(n *node, follow int32) int32 {
	switch n.kind {
	case literal:
		for i := len(n.text) - 1; i >= 0; i-- {
			follow = p.match(int32(n.text[i]), follow)
		}
		return follow
	case oneOf:
		return p.match(p.setNumber(n.set), follow)
	case outOfBand:
		return p.match(outOfBandSet, follow)
	case concat:
		for _, part := range slices.Backward(n.parts) {
			follow = p.before(part, follow)
		}
		return follow
	case star:
		return p.loop(p.element(n)-firstNode, follow)
	}
	var choices trie
	for _, choice := range n.parts {
		p.insert(&choices, choice, follow)
	}
	return p.place(&choices)
}
