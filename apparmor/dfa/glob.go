// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"fmt"
	"strings"
)

// GlobKind says how a glob is read.
type GlobKind int

// The kinds of globs.
const (
	PathGlob  GlobKind = iota // of paths: // is folded to /, but for two at the beginning
	PlainGlob                 // of other strings (labels, names, types): without the folding
	NullGlob                  // of strings that may hold NUL bytes (values of xattrs, abstract addresses): the wildcards match NUL, too; without the folding
)

// maximumNesting is how deep alternations may be nested; the reference compiler's limit.
const maximumNesting = 49

// GlobError is a glob that cannot be read.
type GlobError struct {
	Offset int // bytes into the text
	Reason string
}

func (e *GlobError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Glob reads an AARE: ? * ** [set] [^set] {a,b} and \ escapes.
//
//	?         a byte, but / and NUL
//	*         any number of bytes, but / and NUL
//	**        any number of bytes, but NUL
//	[a-c_]    one of the bytes; [^a-c] a byte that is none of them, / and NUL included. A - is itself where it is first or escaped, a ^ where it is not
//	          first or escaped, and so are wildcards (the reference compiler loses these escapes, and expands wildcards in sets)
//	{ab,cd,}  one of them, which may be nested and empty; two at least
//	\         the next byte stands for itself; \n \t \r \f \a \e, \x41 \101 \d65 are the bytes that they are elsewhere
//
// A * or ** that is a component's whole beginning and end, between / and either / or the end of the text, matches at least one byte, and that is not
// a /: "/tmp/*" and "/tmp/**" do not match "/tmp/". Between the braces of an alternation a comma or brace is no such end.
//
// The error is a *GlobError.
func Glob(text string, kind GlobKind) (Pattern, error) {
	tokens, err := scanGlob(text, kind)
	if err != nil {
		return None(), err
	}
	reader := globReader{tokens: tokens, kind: kind}
	pattern, err := reader.sequence(0)
	if err != nil {
		return None(), err
	}
	return pattern, nil
}

// LiteralGlob reports whether the glob has no wildcard, and the text that it stands for.
func LiteralGlob(text string, kind GlobKind) (string, bool) {
	tokens, err := scanGlob(text, kind)
	if err != nil {
		return "", false
	}
	stands := make([]byte, len(tokens))
	for i, t := range tokens {
		if t.special() {
			return "", false
		}
		stands[i] = t.b
	}
	return string(stands), true
}

// token is a byte of the glob, its escape undone.
type token struct {
	b      byte
	quoted bool // by a backslash: no wildcard, and not folded with the / before it
	offset int
}

func (t token) special() bool  { return !t.quoted && strings.IndexByte("*?[]{}", t.b) >= 0 }
func (t token) is(b byte) bool { return !t.quoted && t.b == b }

// scanGlob undoes the escapes and folds slashes.
func scanGlob(text string, kind GlobKind) ([]token, error) {
	tokens := make([]token, 0, len(text))
	for i := 0; i < len(text); {
		t := token{b: text[i], offset: i}
		if t.b != '\\' {
			i++
		} else {
			if i+1 == len(text) {
				return nil, &GlobError{i, "a backslash at the end, with nothing to escape"}
			}
			b, length := unescape(text[i+1:])
			// A number that gives a / is a / like any other, so "\x2f" and "/" are one thing; any other escaped byte is no syntax.
			t.b, t.quoted = b, b != '/' || length == 1
			i += 1 + length
		}
		tokens = append(tokens, t)
	}
	if kind != PathGlob {
		return tokens, nil
	}
	return foldSlashes(tokens), nil
}

// unescape is the byte that an escape means whose backslash is already read, and its length.
func unescape(text string) (b byte, length int) {
	switch text[0] {
	case 'a':
		return 7, 1
	case 'e':
		return 27, 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'x':
		return number(text, 1, 2, 16)
	case 'd':
		return number(text, 1, 3, 10)
	}
	return number(text, 0, 3, 8)
}

// number reads digits of the base from the place on, as many as make a byte; where there is none the text's first byte stands for itself.
func number(text string, from, most, base int) (b byte, length int) {
	value, i := 0, from
	for ; i < len(text) && i < from+most; i++ {
		digit := strings.IndexByte("0123456789abcdef", text[i]|0x20&(text[i]>>1))
		if digit < 0 || digit >= base || value*base+digit > 255 {
			break
		}
		value = value*base + digit
	}
	if i == from {
		return text[0], 1
	}
	return byte(value), i
}

// foldSlashes makes several / one. Exactly two at the beginning stay: such paths are a namespace of their own (POSIX, pathname resolution).
func foldSlashes(tokens []token) []token {
	leading := 0
	for leading < len(tokens) && tokens[leading].is('/') {
		leading++
	}
	folded := tokens[:0]
	for i, t := range tokens {
		double := len(folded) > 0 && folded[len(folded)-1].b == '/' && t.is('/')
		if double && !(leading == 2 && i == 1) {
			continue
		}
		folded = append(folded, t)
	}
	return folded
}

// globReader parses tokens by recursive descent.
type globReader struct {
	tokens []token
	at     int
	kind   GlobKind
	end    int // offset of the end of the text
}

func (r *globReader) fault(offset int, format string, arguments ...any) error {
	return &GlobError{offset, fmt.Sprintf(format, arguments...)}
}

// sequence reads up to the end of the text, or in an alternation up to its , or }.
func (r *globReader) sequence(depth int) (Pattern, error) {
	var parts []Pattern
	var text []byte
	flush := func() {
		if len(text) > 0 {
			parts = append(parts, Literal(string(text)))
			text = text[:0]
		}
	}
	for r.at < len(r.tokens) {
		t := r.tokens[r.at]
		if depth > 0 && (t.is(',') || t.is('}')) {
			break
		}
		if !t.special() {
			text = append(text, t.b)
			r.at++
			continue
		}
		flush()
		part, err := r.special(t, depth)
		if err != nil {
			return None(), err
		}
		parts = append(parts, part)
	}
	flush()
	return Concat(parts...), nil
}

// special reads a wildcard, a set or an alternation.
func (r *globReader) special(t token, depth int) (Pattern, error) {
	switch t.b {
	case '?':
		r.at++
		return ofSet(r.wild(false)), nil
	case '*':
		return r.stars(), nil
	case '[':
		return r.set()
	case '{':
		return r.alternation(depth)
	case '}':
		return None(), r.fault(t.offset, "a } without its {")
	}
	return None(), r.fault(t.offset, "a ] without its [")
}

// wild are the bytes that a wildcard matches.
func (r *globReader) wild(slash bool) set {
	var not set
	if !slash {
		not.add('/')
	}
	if r.kind != NullGlob {
		not.add(0)
	}
	return not.not()
}

// stars reads * or **.
func (r *globReader) stars() Pattern {
	start := r.at
	r.at++
	double := r.at < len(r.tokens) && r.tokens[r.at].is('*')
	if double {
		r.at++
	}
	after := r.at
	for after < len(r.tokens) && r.tokens[after].is('*') {
		after++
	}
	repeated := Star(ofSet(r.wild(double)))
	begins := start > 0 && r.tokens[start-1].b == '/'
	ends := after == len(r.tokens) || r.tokens[after].is('/')
	if begins && ends {
		return Concat(ofSet(r.wild(false)), repeated)
	}
	return repeated
}

// set reads [...]. A - is a range but at the beginning; escaped, it is itself.
func (r *globReader) set() (Pattern, error) {
	open := r.tokens[r.at].offset
	r.at++
	negated := r.at < len(r.tokens) && r.tokens[r.at].is('^')
	if negated {
		r.at++
	}
	var in set
	begin := r.at
	for ; r.at < len(r.tokens) && !r.tokens[r.at].is(']'); r.at++ {
		low := r.tokens[r.at]
		if low.is('-') && r.at > begin {
			return None(), r.fault(low.offset, "a - that is no range: in a set it comes first, or is escaped")
		}
		high := low
		if r.at+1 < len(r.tokens) && r.tokens[r.at+1].is('-') {
			dash := r.tokens[r.at+1]
			if r.at+2 >= len(r.tokens) || r.tokens[r.at+2].is(']') || r.tokens[r.at+2].is('-') {
				return None(), r.fault(dash.offset, "a range without an end")
			}
			high = r.tokens[r.at+2]
			r.at += 2
		}
		for b := int(min(low.b, high.b)); b <= int(max(low.b, high.b)); b++ {
			in.add(byte(b))
		}
	}
	if r.at == len(r.tokens) {
		return None(), r.fault(open, "a [ without its ]")
	}
	if r.at == begin {
		return None(), r.fault(open, "an empty set")
	}
	r.at++
	if negated {
		in = in.not()
	}
	return ofSet(in), nil
}

// alternation reads {a,b}.
func (r *globReader) alternation(depth int) (Pattern, error) {
	open := r.tokens[r.at].offset
	if depth == maximumNesting {
		return None(), r.fault(open, "alternations nested deeper than %d", maximumNesting)
	}
	var choices []Pattern
	for {
		r.at++ // the { or ,
		choice, err := r.sequence(depth + 1)
		if err != nil {
			return None(), err
		}
		choices = append(choices, choice)
		if r.at == len(r.tokens) {
			return None(), r.fault(open, "a { without its }")
		}
		if r.tokens[r.at].is('}') {
			break
		}
	}
	r.at++
	if len(choices) < 2 {
		return None(), r.fault(open, "an alternation of one: {a,b} has two at least")
	}
	return Alternate(choices...), nil
}
