// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"strings"
)

// String returns LINE:COLUMN, or "" for a place that is not known.
func (p Place) String() string {
	if p == (Place{}) {
		return ""
	}
	return fmt.Sprintf("%d:%d", p.Line, p.Column)
}

// at puts the place, if it is known, before a text.
func (p Place) at(text string) string {
	if p == (Place{}) {
		return text
	}
	return p.String() + ": " + text
}

// cursor turns byte offsets of a text into places. It counts on from the offset before, so that ascending offsets cost one pass in all. The
// zero cursor knows no text.
type cursor struct {
	text        string
	at          int // bytes counted so far
	line, start int // of at: lines before it, and the offset at which its line starts
}

// place returns where the byte at offset stands. Columns count bytes.
func (c *cursor) place(offset int) Place {
	if c.text == "" {
		return Place{}
	}
	if offset < c.at {
		*c = cursor{text: c.text}
	}
	offset = min(offset, len(c.text))
	for {
		n := strings.IndexByte(c.text[c.at:offset], '\n')
		if n < 0 {
			break
		}
		c.line, c.at = c.line+1, c.at+n+1
		c.start = c.at
	}
	c.at = offset
	return Place{Line: c.line + 1, Column: offset - c.start + 1}
}
