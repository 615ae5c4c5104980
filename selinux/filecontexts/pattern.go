// SPDX-License-Identifier: Apache-2.0

package filecontexts

import (
	"regexp"
	"strings"
	"sync"
)

// special are the characters that mean something in a pattern.
const special = `.^$?*+|[](){}`

// literal is the path that a pattern without special characters stands for.
func literal(text string) (path string, ok bool) {
	if !strings.ContainsAny(text, special+`\`) {
		return text, true
	}
	start, rest := prefix(text)
	return start, rest == ""
}

// prefix splits a pattern into the text that it begins with, as the path has it, and the rest, that is "" where there is nothing else.
func prefix(text string) (start, rest string) {
	var path []byte
	last := 0 // where the last character of path begins in text
	for i := 0; i < len(text); {
		at := i
		if text[i] == '\\' && i+1 < len(text) && strings.IndexByte(special+"-_,", text[i+1]) >= 0 {
			i++
		} else if strings.IndexByte(special+`\`, text[i]) >= 0 {
			if strings.IndexByte("?*{", text[i]) >= 0 && len(path) > 0 {
				return string(path[:len(path)-1]), text[last:] // the character before may be missing
			}
			return string(path), text[i:]
		}
		path = append(path, text[i])
		last, i = at, i+1
	}
	return string(path), ""
}

// shape is how a pattern is matched after its start.
type shape uint8

const (
	regular shape = iota // by a regular expression
	beneath              // (/.*)?: the path itself and all beneath it
	longer               // .*: all that begins so
)

// pattern is a line with special characters.
type pattern struct {
	line  *Line
	order int
	start string // what every path that matches begins with
	shape shape

	once   sync.Once
	regexp *regexp.Regexp
	err    error
}

func newPattern(line *Line, order int) *pattern {
	p := &pattern{line: line, order: order}
	var rest string
	switch p.start, rest = prefix(line.Pattern); {
	case alternatives(rest):
		p.start = ""
	case rest == "(/.*)?":
		p.shape = beneath
	case rest == ".*":
		p.shape = longer
	}
	return p
}

// alternatives reports whether there is a | outside of all parentheses: the anchors at both ends then belong to the first and to the last alternative, as in libselinux.
func alternatives(text string) bool {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']' || i > 0 && (text[i-1] == '[' || text[i-1] == '^' && i > 1 && text[i-2] == '[')
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth <= 0:
			return true
		}
	}
	return false
}

// compile compiles the pattern once. PCRE's $ matches before a newline at the end, too; a dot matches every byte.
func (p *pattern) compile() (*regexp.Regexp, error) {
	p.once.Do(func() {
		compiled, err := regexp.Compile(`(?s)^` + p.line.Pattern + `\n?$`)
		if err != nil {
			reason := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
			p.err = &ParseError{p.line.File, p.line.Number, "pattern " + p.line.Pattern + ": " + reason + " (patterns are Go's regular expressions, not PCRE's)"}
			return
		}
		p.regexp = compiled
	})
	return p.regexp, p.err
}

// matches reports whether a path that begins with the pattern's start matches all of it.
func (p *pattern) matches(path string) (bool, error) {
	if !strings.HasSuffix(path, "\n") {
		switch rest := path[len(p.start):]; p.shape {
		case beneath:
			return rest == "" || rest[0] == '/', nil
		case longer:
			return true, nil
		}
	}
	compiled, err := p.compile()
	if err != nil {
		return false, err
	}
	return compiled.MatchString(bytewise(path)), nil
}

// bytewise is a path with one character for each byte, as patterns are matched.
func bytewise(path string) string {
	for i := range len(path) {
		if path[i] >= 0x80 {
			runes := make([]rune, len(path))
			for j := range len(path) {
				runes[j] = rune(path[j])
			}
			return string(runes)
		}
	}
	return path
}
