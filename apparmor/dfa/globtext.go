// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"fmt"
	"strings"
)

// Quote is the glob that matches the text and nothing else.
func Quote(text string) string {
	var out strings.Builder
	for i := range len(text) {
		if i > 0 && text[i] == '/' && text[i-1] == '/' {
			out.WriteByte('\\') // or it would be folded
		}
		out.WriteString(byteText(text[i]))
	}
	return out.String()
}

// byteText is a byte as a glob has it.
func byteText(b byte) string {
	switch {
	case strings.IndexByte(`*?[]{}\,`, b) >= 0:
		return `\` + string(rune(b))
	case b < ' ' || b == 0x7f:
		return fmt.Sprintf(`\x%02x`, b)
	}
	return string([]byte{b})
}

// setText is a set of bytes as a glob has it; b, where it is the only one, by itself. Whether a NUL is among them does not matter.
func setText(bytes set, b byte) string {
	var nul, slash set
	nul.add(0)
	slash.add('/')
	with := bytes.or(&nul)
	switch negated := with.not(); {
	case bytes.len() == 1:
		return byteText(b)
	case negated == slash:
		return "?"
	case negated == set{}:
		return `[^\x00]`
	case bytes.len() > 128:
		return "[^" + members(negated) + "]"
	}
	return "[" + members(bytes) + "]"
}

// members writes the bytes between the brackets: a - first, where it is no range, and a ^ where it negates nothing.
func members(bytes set) string {
	var out strings.Builder
	if bytes.has('-') {
		out.WriteByte('-')
	}
	for b := 0; b < 256; b++ {
		if !bytes.has(byte(b)) || b == '-' || b == '^' {
			continue
		}
		last := b
		for last+1 < 256 && bytes.has(byte(last+1)) && last+1 != '-' && last+1 != '^' {
			last++
		}
		out.WriteString(byteText(byte(b)))
		if last > b+1 {
			out.WriteByte('-')
		}
		if last > b {
			out.WriteString(byteText(byte(last)))
		}
		b = last
	}
	if bytes.has('^') {
		if out.Len() == 0 {
			out.WriteByte('\\')
		}
		out.WriteByte('^')
	}
	return out.String()
}
