// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"encoding/binary"
	"slices"
)

// trie is a tree of elements: a(b|c) for ab|ac, whatever the element a is.
type trie struct {
	elements []int32 // sorted by insertion
	children []*trie
	ends     []int32 // places that follow here
}

// The elements 0 to 255 are the bytes; the others are nodes, by structure.
const firstNode = 256

// element is the number of a node: the same for nodes of the same structure.
func (p *positions) element(n *node) int32 {
	key := []byte{byte(n.kind)}
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
		number = int32(len(p.names) + firstNode)
		p.names = append(p.names, n)
		p.elements[string(key)] = number
	}
	return number
}

// insert adds a pattern that is followed by the place.
func (p *positions) insert(root *trie, n *node, follow int32) {
	at := root
	for _, part := range n.sequence() {
		if part.kind == literal {
			for i := range len(part.text) {
				at = at.child(int32(part.text[i]))
			}
			continue
		}
		at = at.child(p.element(part))
	}
	at.ends = append(at.ends, follow)
}

// sequence is the node as the parts that are matched one after the other.
func (n *node) sequence() []*node {
	if n.kind == concat {
		return n.parts
	}
	return []*node{n}
}

func (t *trie) child(element int32) *trie {
	if i := slices.Index(t.elements, element); i >= 0 {
		return t.children[i]
	}
	t.elements = append(t.elements, element)
	t.children = append(t.children, &trie{})
	return t.children[len(t.children)-1]
}

// place is where the trie is matched.
func (p *positions) place(t *trie) int32 {
	outs := slices.Clone(t.ends)
	for i, child := range t.children {
		follow := p.place(child)
		if element := t.elements[i]; element < firstNode {
			var one set
			one.add(byte(element))
			outs = append(outs, p.match(p.setNumber(one), follow))
		} else {
			outs = append(outs, p.before(p.names[element-firstNode], follow))
		}
	}
	return p.fork(outs)
}

// before is the place where the node is matched, and then what follows.
func (p *positions) before(n *node, follow int32) int32 {
	switch n.kind {
	case literal:
		for i := len(n.text) - 1; i >= 0; i-- {
			var one set
			one.add(n.text[i])
			follow = p.match(p.setNumber(one), follow)
		}
		return follow
	case oneOf:
		return p.match(p.setNumber(n.set), follow)
	case outOfBand:
		return p.match(outOfBandSet, follow)
	case concat:
		for i := len(n.parts) - 1; i >= 0; i-- {
			follow = p.before(n.parts[i], follow)
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
