// SPDX-License-Identifier: Apache-2.0

// Package syntax reads the text of CIL, SELinux's Common Intermediate Language: words, quoted words and lists of them, with comments from ; to the end of the
// line. It knows no statement but the line marks (;;* lms 12 file.te) by which compilers of other languages say where a statement came from.
//
// A tree is flat: eight bytes for each word or list, in the order of the text, and every word held once for all the trees that share a Words.
package syntax

import (
	"sort"

	"github.com/bulkhead-project/bulkhead/source"
)

// Node is a word or a list in a tree. Nodes are small values and equal when they are the same place; the zero Node is no node.
type Node struct {
	tree  *Tree
	index uint32
}

// Tree is one file's text.
type Tree struct {
	name  string
	words *Words
	nodes []node   // the root first, each list followed by what it holds
	lines []uint32 // where the lines begin
	marks []mark
}

// node is a word or a list of a tree.
type node struct {
	value  uint32 // flags, and the number of a word or the index behind a list's last descendant
	offset uint32 // into the text
}

const (
	flagList   = 1 << 31
	flagLast   = 1 << 30 // nothing follows in the list around
	flagQuoted = 1 << 29
	valueMask  = flagQuoted - 1
)

// Root is the list of the statements.
func (t *Tree) Root() Node { return Node{t, 0} }

// Name is what the file was called.
func (t *Tree) Name() string { return t.name }

// Words is the table that the tree's words are numbered by.
func (t *Tree) Words() *Words { return t.words }

func (n Node) node() node { return n.tree.nodes[n.index] }

// Valid tells whether there is a node.
func (n Node) Valid() bool { return n.tree != nil }

// IsList tells a list from a word.
func (n Node) IsList() bool { return n.tree != nil && n.node().value&flagList != 0 }

// IsWord tells a word, quoted or not, from a list.
func (n Node) IsWord() bool { return n.tree != nil && n.node().value&flagList == 0 }

// Quoted tells whether a word stands in quotes, which are no part of it.
func (n Node) Quoted() bool { return n.IsWord() && n.node().value&flagQuoted != 0 }

// Word is the word, "" for a list.
func (n Node) Word() string {
	if !n.IsWord() {
		return ""
	}
	return n.tree.words.text[n.node().value&valueMask]
}

// ID is the number of the word in its tree's Words: equal words, equal numbers. 0 is a list's, and the empty word's.
func (n Node) ID() uint32 {
	if !n.IsWord() {
		return 0
	}
	return n.node().value & valueMask
}

// First is the first child of a list.
func (n Node) First() Node {
	if n.tree == nil {
		return Node{}
	}
	if value := n.node().value; value&flagList == 0 || value&valueMask == n.index+1 {
		return Node{}
	}
	return Node{n.tree, n.index + 1}
}

// Next is what follows in the list around.
func (n Node) Next() Node {
	if n.tree == nil {
		return Node{}
	}
	value := n.node().value
	switch {
	case value&flagLast != 0:
		return Node{}
	case value&flagList != 0:
		return Node{n.tree, value & valueMask}
	}
	return Node{n.tree, n.index + 1}
}

// Len counts the children of a list.
func (n Node) Len() int {
	length := 0
	for child := n.First(); child.Valid(); child = child.Next() {
		length++
	}
	return length
}

// Child is the child at an index that counts from 0, no node beyond the last.
func (n Node) Child(index int) Node {
	child := n.First()
	for ; index > 0 && child.Valid(); index-- {
		child = child.Next()
	}
	return child
}

// Keyword is the word that a list begins with, "" where it begins with a list or is empty.
func (n Node) Keyword() string { return n.First().Word() }

// Size counts a node and all that it holds.
func (n Node) Size() int {
	switch {
	case n.tree == nil:
		return 0
	case n.IsWord():
		return 1
	}
	return int(n.node().value&valueMask - n.index)
}

// Position is where the node begins.
func (n Node) Position() source.Position {
	if n.tree == nil {
		return source.Position{}
	}
	return n.tree.position(n.node().offset)
}

// Origin is the place in the text that the node was made from by another compiler, which line marks tell; ok is false without them.
func (n Node) Origin() (place source.Position, ok bool) {
	if n.tree == nil || len(n.tree.marks) == 0 {
		return source.Position{}, false
	}
	offset := n.node().offset
	last := sort.Search(len(n.tree.marks), func(i int) bool { return n.tree.marks[i].offset > offset }) - 1
	if last < 0 || n.tree.marks[last].file == "" {
		return source.Position{}, false
	}
	mark := n.tree.marks[last]
	place = source.Position{File: mark.file, Line: int(mark.line)}
	if !mark.expansion {
		place.Line += n.tree.position(offset).Line - n.tree.position(mark.offset).Line
	}
	return place, true
}

// position finds a byte of the text.
func (t *Tree) position(offset uint32) source.Position {
	line := sort.Search(len(t.lines), func(i int) bool { return t.lines[i] > offset })
	return source.Position{File: t.name, Line: line, Column: int(offset-t.lines[line-1]) + 1}
}
