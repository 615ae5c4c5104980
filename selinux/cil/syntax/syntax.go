// SPDX-License-Identifier: Apache-2.0

// Package syntax reads CIL's text: words, quoted words and lists.
package syntax

import "github.com/bulkhead-project/bulkhead/source"

// Node is a word or a list in a tree. The zero Node is no node.
type Node struct {
	tree  *Tree
	index uint32
}

// Tree is one file's text.
type Tree struct{}

// Position is where the node begins.
func (n Node) Position() source.Position { return source.Position{} }
