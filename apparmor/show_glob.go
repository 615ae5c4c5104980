// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *byteSet) len() int {
	return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) + bits.OnesCount64(s[2]) + bits.OnesCount64(s[3])
}

// repeat says how often a piece of a glob stands for a byte.
type repeat uint8

const (
	once     repeat = iota
	anyName         // any number of bytes, but / and NUL
	anyBytes        // any number of bytes, but NUL
	maybe           // one byte of the set or none: a flag of a mount
)

// piece is one byte of a set, or a wildcard for any number of bytes.
type piece struct {
	repeat repeat
	set    byteSet // of once and maybe
}

// glob is a pattern of the language as a sequence of pieces.
type glob []piece

// wild reports whether the piece is a wildcard for any number of bytes.
func (p *piece) wild() bool { return p.repeat == anyName || p.repeat == anyBytes }

func single(b byte) piece {
	var p piece
	p.set.add(b)
	return p
}

// wildSet are the bytes that ? stands for, nonNUL those of **.
func wildSet(slash bool) byteSet {
	set := byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	set[0] &^= 1
	if !slash {
		set['/'>>6] &^= 1 << ('/' & 63)
	}
	return set
}

func literalGlob(text string) glob {
	g := make(glob, len(text))
	for i := range len(text) {
		g[i] = single(text[i])
	}
	return g
}

// pattern is what the glob matches.
func (g glob) pattern() dfa.Pattern {
	var parts []dfa.Pattern
	for i := 0; i < len(g); i++ {
		var text []byte
		for ; i < len(g); i++ {
			b, ok := g[i].only()
			if !ok {
				break
			}
			text = append(text, b)
		}
		parts = append(parts, dfa.Literal(string(text)))
		if i == len(g) {
			break
		}
		set := g[i].set
		if g[i].wild() {
			set = wildSet(g[i].repeat == anyBytes)
		}
		part := dfa.OneOf(set.has)
		switch {
		case g[i].wild():
			part = dfa.Star(part)
		case g[i].repeat == maybe:
			part = dfa.Alternate(part, dfa.Empty())
		}
		parts = append(parts, part)
	}
	return dfa.Concat(parts...)
}

// only is the byte of a piece that stands for no other.
func (p *piece) only() (byte, bool) {
	if p.repeat != once || p.set.len() != 1 {
		return 0, false
	}
	for word, left := range p.set {
		if left != 0 {
			return byte(word<<6 + bits.TrailingZeros64(left)), true
		}
	}
	return 0, false
}

func (p *piece) slash() bool {
	b, ok := p.only()
	return ok && b == '/'
}

// String is the glob in the language. Where a wildcard is a whole component, the language means at least one byte by it, and so the pieces [^/] and
// wildcard are one there; a wildcard that may be empty stands in braces.
func (g glob) String() string {
	var text strings.Builder
	for i := 0; i < len(g); i++ {
		p := g[i]
		begins := i > 0 && g[i-1].slash()
		ends := func(at int) bool { return at == len(g) || g[at].slash() }
		switch {
		case p.repeat == maybe:
			text.WriteString("{" + setText(&p.set) + ",}")
		case p.wild():
			stars := "**"[:p.repeat]
			if begins && ends(i+1) {
				stars = "{" + stars + ",}"
			}
			text.WriteString(stars)
		case p.set == wildSet(false) && i+1 < len(g) && g[i+1].wild() && begins && ends(i+2):
			text.WriteString("**"[:g[i+1].repeat])
			i++
		case p.set == wildSet(false):
			text.WriteByte('?')
		default:
			if b, ok := p.only(); ok {
				if b == '/' && begins {
					text.WriteByte('\\') // two slashes would be folded
				}
				text.WriteString(globByte(b))
				continue
			}
			text.WriteString(setText(&p.set))
		}
	}
	return text.String()
}

// word is the glob as a word of a rule: in quotation marks where the language would end the word otherwise.
func (g glob) word() string {
	text := g.String()
	if text == "" || strings.ContainsAny(text, " \t\n\"#=()") || strings.HasSuffix(text, ",") {
		return `"` + text + `"`
	}
	return text
}

// globByte is a byte that stands for itself.
func globByte(b byte) string {
	switch {
	case strings.IndexByte(`*?[]{}\"^`, b) >= 0 || b == '@' || b == ',':
		return `\` + string(b)
	case b < ' ' || b >= 0x7f:
		return fmt.Sprintf(`\x%02x`, b)
	}
	return string(b)
}

// setText is a set of bytes, or all but a set where that is shorter.
func setText(set *byteSet) string {
	if set.len() <= 128 {
		return "[" + ranges(set) + "]"
	}
	rest := byteSet{^set[0], ^set[1], ^set[2], ^set[3]}
	if rest.len() == 0 {
		return "{[^a],a}" // any byte at all: NUL and / too
	}
	return "[^" + ranges(&rest) + "]"
}

func ranges(set *byteSet) string {
	var text strings.Builder
	if set.has('-') {
		text.WriteByte('-') // no range only where it comes first
	}
	for low := 0; low < 256; low++ {
		if !set.has(byte(low)) || low == '-' {
			continue
		}
		high := low
		for high+1 < 256 && set.has(byte(high+1)) && high+1 != '-' {
			high++
		}
		text.WriteString(setByte(byte(low)))
		if high > low+1 {
			text.WriteByte('-')
		}
		if high > low {
			text.WriteString(setByte(byte(high)))
		}
		low = high
	}
	return text.String()
}

func setByte(b byte) string {
	if b == '-' || strings.IndexByte("[]^", b) >= 0 {
		return fmt.Sprintf(`\x%02x`, b)
	}
	return globByte(b)
}
