// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// listWord reads a word within parentheses.
func (p *parser) listWord(expected string) (Word, bool) {
	p.skip()
	if c := p.peek(); c == '"' || c == '#' {
		return p.anyWord(expected)
	}
	word := Word{Position: p.position()}
	if !p.countWord() {
		return word, false
	}
	if word.Text = p.word(true); word.Text == "" {
		return word, p.unexpected(expected)
	}
	return word, true
}

// list reads words up to the ) of a list whose ( was read. They are separated by white space or commas.
func (p *parser) list(expected string) ([]Word, bool) {
	words := []Word{}
	for {
		p.skipCommas()
		if p.accept(")") {
			if len(words) == 0 {
				p.at--
				return nil, p.fail(expected, "empty list")
			}
			return words, true
		}
		word, ok := p.listWord(expected)
		if !ok {
			return nil, false
		}
		words = append(words, word)
	}
}

// skipCommas is skip that takes commas for white space.
func (p *parser) skipCommas() {
	p.skip()
	for p.accept(",") {
		p.skip()
	}
}

// values reads a word or ( WORDS ).
func (p *parser) values(expected string) ([]Word, bool) {
	p.skip()
	if p.accept("(") {
		return p.list(expected)
	}
	word, ok := p.anyWord(expected)
	return []Word{word}, ok
}

// single reads a word, which may stand in parentheses.
func (p *parser) single(expected string) (*Word, bool) {
	p.skip()
	place := p.position()
	words, ok := p.values(expected)
	switch {
	case !ok:
		return nil, false
	case len(words) != 1:
		return nil, p.failAt(place, "one value", "%d values", len(words))
	}
	return &words[0], true
}

// key reads the name of a condition and its "=", and puts the cursor back where there is none.
func (p *parser) key() (name string, ok bool) {
	p.skip()
	saved := p.cursor
	if name = p.name(); name != "" {
		p.skip()
		if p.accept("=") {
			return name, true
		}
	}
	p.cursor = saved
	return "", false
}

// conditions reads KEY=VALUE as long as there are some. read gets each key, with the cursor on its value.
func (p *parser) conditions(allowed []string, read func(key string) bool) bool {
	var seen []string
	for {
		p.skip()
		place := p.position()
		key, ok := p.key()
		if !ok {
			return true
		}
		if !slices.Contains(allowed, key) {
			return p.failAt(place, strings.Join(allowed, "=, ")+"=", "unknown condition %q", key)
		}
		if slices.Contains(seen, key) {
			return p.failAt(place, "", "the condition %q stands twice", key)
		}
		seen = append(seen, key)
		if !read(key) {
			return false
		}
	}
}

// peer reads ( KEY=VALUE ... ) behind peer=.
func (p *parser) peer(allowed []string, read func(key string) bool) bool {
	p.skip()
	if !p.accept("(") {
		return p.unexpected(`"("`)
	}
	var seen []string
	for {
		p.skipCommas()
		place := p.position()
		if p.accept(")") {
			return true
		}
		key, ok := p.key()
		if !ok || !slices.Contains(allowed, key) {
			return p.failAt(place, strings.Join(allowed, "=, ")+"=", "unknown condition of the peer")
		}
		if slices.Contains(seen, key) {
			return p.failAt(place, "", "the condition %q stands twice", key)
		}
		seen = append(seen, key)
		p.skip()
		if !read(key) {
			return false
		}
	}
}

// nested reads the value of a condition within peer=(...).
func (p *parser) nested(expected string) (*Word, bool) {
	p.skip()
	if p.peek() == '(' {
		return p.single(expected)
	}
	word, ok := p.listWord(expected)
	return &word, ok
}

// access reads the words of an access list, one of allowed or several in parentheses; nil where there is none.
func (p *parser) access(allowed []string) ([]string, bool) {
	p.skip()
	expected := "an access: " + strings.Join(allowed, ", ")
	if !p.accept("(") {
		saved := p.cursor
		place := p.position()
		name := p.name()
		if name == "" || p.peek() == '=' || p.equalsAhead() {
			p.cursor = saved
			return nil, true
		}
		if !slices.Contains(allowed, name) {
			return nil, p.failAt(place, expected, "unknown access %q", name)
		}
		return []string{name}, true
	}
	if p.skipCommas(); p.accept(")") {
		return nil, true // as without a list
	}
	words, ok := p.list(expected)
	if !ok {
		return nil, false
	}
	names := make([]string, 0, len(words))
	for _, word := range words {
		if !slices.Contains(allowed, word.Text) {
			return nil, p.failAt(word.Position, expected, "unknown access %q", word.Text)
		}
		names = append(names, word.Text)
	}
	return names, true
}

// equalsAhead says whether "=" comes behind white space.
func (p *parser) equalsAhead() bool {
	saved := p.cursor
	defer func() { p.cursor = saved }()
	p.skip()
	return p.peek() == '='
}
