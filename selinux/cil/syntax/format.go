// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"io"
	"strings"
)

// headers are the keywords of statements that hold statements, with what comes before those, the keyword itself included.
var headers = map[string]int{"block": 2, "macro": 3, "optional": 2, "in": 2, "booleanif": 2, "tunableif": 2, "true": 1, "false": 1}

// Format writes a node, or the statements of a root, in one layout: a statement to a line, what stands in a block, macro, optional, in or condition indented by
// four blanks beneath it. Comments and line marks are not kept.
func Format(w io.Writer, n Node) error {
	var text strings.Builder
	if n == (Node{n.tree, 0}) {
		for child := n.First(); child.Valid(); child = child.Next() {
			formatStatement(&text, child, "\n")
			text.WriteByte('\n')
		}
	} else {
		formatStatement(&text, n, "\n")
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// String is the node on one line.
func (n Node) String() string {
	var text strings.Builder
	formatNode(&text, n)
	return text.String()
}

// formatStatement writes a statement; newline is a line's end with the indentation of the statement behind it.
func formatStatement(text *strings.Builder, n Node, newline string) {
	header, holds := headers[n.Keyword()]
	if !holds {
		formatNode(text, n)
		return
	}
	text.WriteByte('(')
	index, held := 0, false
	for child := n.First(); child.Valid(); child = child.Next() {
		switch {
		case index >= header && child.IsList():
			held = true
			text.WriteString(newline + "    ")
			formatStatement(text, child, newline+"    ")
		case index > 0:
			text.WriteByte(' ')
			fallthrough
		default:
			formatNode(text, child)
		}
		index++
	}
	if held {
		text.WriteString(newline)
	}
	text.WriteByte(')')
}

func formatNode(text *strings.Builder, n Node) {
	if n.IsWord() {
		if n.Quoted() {
			text.WriteString(`"` + n.Word() + `"`)
		} else {
			text.WriteString(n.Word())
		}
		return
	}
	text.WriteByte('(')
	for child := n.First(); child.Valid(); child = child.Next() {
		if child != n.First() {
			text.WriteByte(' ')
		}
		formatNode(text, child)
	}
	text.WriteByte(')')
}
