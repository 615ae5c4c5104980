// SPDX-License-Identifier: Apache-2.0

package dfa

import "math/bits"

// Pattern is a regular expression over bytes. Patterns are values: they are never changed. The zero value matches nothing.
type Pattern struct{ node *node }

type kind uint8

const (
	literal kind = iota // text, never empty
	oneOf               // a byte of the set
	outOfBand
	concat    // parts, never less than two
	alternate // parts, none of them an alternate
	star      // parts[0]
)

// node is a part of a pattern. The pattern that matches nothing is nil, that of the empty string a concat without parts.
type node struct {
	kind  kind
	text  string
	set   set
	parts []*node
}

// set is a set of bytes.
type set [4]uint64

func (s *set) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *set) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *set) len() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

func (s *set) and(other *set) set {
	return set{s[0] & other[0], s[1] & other[1], s[2] & other[2], s[3] & other[3]}
}

func (s *set) minus(other *set) set {
	return set{s[0] &^ other[0], s[1] &^ other[1], s[2] &^ other[2], s[3] &^ other[3]}
}

func (s *set) or(other *set) set {
	return set{s[0] | other[0], s[1] | other[1], s[2] | other[2], s[3] | other[3]}
}

func (s *set) not() set { return set{^s[0], ^s[1], ^s[2], ^s[3]} }

// bytes calls yield for each byte of the set, in order.
func (s *set) bytes(yield func(b byte) bool) {
	for word, left := range s {
		for ; left != 0; left &= left - 1 {
			if !yield(byte(word<<6 + bits.TrailingZeros64(left))) {
				return
			}
		}
	}
}

// first is the smallest byte of a set that is not empty.
func (s *set) first() byte {
	for b := range s.bytes {
		return b
	}
	return 0
}

// Empty matches the empty string only.
func Empty() Pattern { return Pattern{&node{kind: concat}} }

// None matches nothing.
func None() Pattern { return Pattern{} }

// Literal matches exactly the text.
func Literal(text string) Pattern {
	if text == "" {
		return Empty()
	}
	return Pattern{&node{kind: literal, text: text}}
}

// OneOf matches one byte that in says yes to.
func OneOf(in func(b byte) bool) Pattern {
	var bytes set
	for b := range 256 {
		if in(byte(b)) {
			bytes.add(byte(b))
		}
	}
	return ofSet(bytes)
}

func ofSet(bytes set) Pattern {
	switch bytes.len() {
	case 0:
		return None()
	case 1:
		return Literal(string([]byte{bytes.first()}))
	}
	return Pattern{&node{kind: oneOf, set: bytes}}
}

// OutOfBand matches the symbol that is not a byte.
func OutOfBand() Pattern { return Pattern{&node{kind: outOfBand}} }

// Concat matches one after the other.
func Concat(parts ...Pattern) Pattern {
	var flat []*node
	add := func(n *node) {
		if last := len(flat) - 1; n.kind == literal && last >= 0 && flat[last].kind == literal {
			flat[last] = &node{kind: literal, text: flat[last].text + n.text}
			return
		}
		flat = append(flat, n)
	}
	for _, part := range parts {
		switch {
		case part.node == nil:
			return None()
		case part.node.kind == concat:
			for _, inner := range part.node.parts {
				add(inner)
			}
		default:
			add(part.node)
		}
	}
	switch len(flat) {
	case 0:
		return Empty()
	case 1:
		return Pattern{flat[0]}
	}
	return Pattern{&node{kind: concat, parts: flat}}
}

// Alternate matches any of them.
func Alternate(choices ...Pattern) Pattern {
	var flat []*node
	for _, choice := range choices {
		switch {
		case choice.node == nil:
		case choice.node.kind == alternate:
			flat = append(flat, choice.node.parts...)
		default:
			flat = append(flat, choice.node)
		}
	}
	switch len(flat) {
	case 0:
		return None()
	case 1:
		return Pattern{flat[0]}
	}
	return Pattern{&node{kind: alternate, parts: flat}}
}

// Star matches any number of repetitions, none too.
func Star(p Pattern) Pattern {
	if p.node == nil || p.node.kind == concat && len(p.node.parts) == 0 {
		return Empty()
	}
	if p.node.kind == star {
		return p
	}
	return Pattern{&node{kind: star, parts: []*node{p.node}}}
}

// Matches reports whether the pattern matches the whole text, by simulation: for one question it is cheaper than an automaton.
func (p Pattern) Matches(text string) bool {
	if p.node == nil {
		return false
	}
	from := make([]bool, len(text)+1)
	from[0] = true
	return p.node.ends(text, from)[len(text)]
}

// ends are the places in the text where a match may end that began at one of the places in from. It leaves from as it is.
func (n *node) ends(text string, from []bool) []bool {
	to := make([]bool, len(from))
	switch n.kind {
	case literal:
		for i := range len(text) - len(n.text) + 1 {
			to[i+len(n.text)] = from[i] && text[i:i+len(n.text)] == n.text
		}
	case oneOf:
		for i := range len(text) {
			to[i+1] = from[i] && n.set.has(text[i])
		}
	case concat:
		to = from
		for _, part := range n.parts {
			to = part.ends(text, to)
		}
	case alternate:
		for _, part := range n.parts {
			merge(to, part.ends(text, from))
		}
	case star:
		merge(to, from)
		for fresh := n.parts[0].ends(text, from); merge(to, fresh); {
			fresh = n.parts[0].ends(text, fresh)
		}
	}
	return to
}

// merge adds what more has and reports whether that was news.
func merge(places, more []bool) (news bool) {
	for i, is := range more {
		if is && !places[i] {
			places[i], news = true, true
		}
	}
	return news
}
