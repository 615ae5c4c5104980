// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// cursor is a place in the text of one file. It is small, so that looking ahead is a copy taken and put back.
type cursor struct {
	at        int // offset of the next byte
	line      int // from 1
	lineStart int // offset of the line's first byte
}

// scanner reads the words and marks of one file. The language has no fixed set of tokens: whether "," or "(" ends a word depends on where the
// word stands, so the parser asks for what it expects.
type scanner struct {
	cursor
	file string
	text string
}

func newScanner(file, text string) scanner {
	return scanner{cursor: cursor{line: 1}, file: file, text: text}
}

func (s *scanner) position() source.Position {
	return source.Position{File: s.file, Line: s.line, Column: s.at - s.lineStart + 1}
}

func (s *scanner) atEnd() bool { return s.at >= len(s.text) }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) peekAt(ahead int) byte {
	if s.at+ahead < len(s.text) {
		return s.text[s.at+ahead]
	}
	return 0
}

// skip passes over white space, comments and the backslashes that continue a line. It stops before "#include", which is a statement.
func (s *scanner) skip() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '\n':
			s.at++
			s.line++
			s.lineStart = s.at
		case ' ', '\t', '\r':
			s.at++
		case '\\':
			if !s.continues() {
				return
			}
			s.at++
		case '#':
			if s.includeMark() {
				return
			}
			s.skipLine()
		default:
			return
		}
	}
}

// skipBlanks is skip within the line.
func (s *scanner) skipBlanks() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r':
			s.at++
		case '\\':
			if !s.continues() {
				return
			}
			s.at++
			s.at += len(lineEnd(s.text[s.at:]))
			s.line++
			s.lineStart = s.at
		case '#':
			if s.includeMark() {
				return
			}
			s.skipLine()
		default:
			return
		}
	}
}

// continues says whether the backslash that stands here is the last of its line, which then goes on with the next.
func (s *scanner) continues() bool { return s.at+1 == len(s.text) || lineEnd(s.text[s.at+1:]) != "" }

// lineEnd returns the line end that the text begins with.
func lineEnd(text string) string {
	for _, end := range []string{"\n", "\r\n"} {
		if strings.HasPrefix(text, end) {
			return end
		}
	}
	return ""
}

// skipLine goes to the end of the line, not over it.
func (s *scanner) skipLine() {
	end := strings.IndexByte(s.text[s.at:], '\n')
	if end < 0 {
		s.at = len(s.text)
		return
	}
	s.at += end
}

// includeMark says whether "#include" and what may follow the word stand here.
func (s *scanner) includeMark() bool {
	rest, ok := strings.CutPrefix(s.text[s.at:], "#include")
	return ok && rest != "" && strings.IndexByte(" \t\"<", rest[0]) >= 0
}

// accept passes over the text if it is what comes next.
func (s *scanner) accept(text string) bool {
	if strings.HasPrefix(s.text[s.at:], text) {
		s.at += len(text)
		return true
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isName(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }

// name reads the letters, digits and underscores that stand here, "" where the next byte is none of them.
func (s *scanner) name() string {
	start := s.at
	for s.at < len(s.text) && isName(s.text[s.at]) {
		s.at++
	}
	return s.text[start:s.at]
}

// peekName is name without moving.
func (s *scanner) peekName() string {
	saved := s.cursor
	name := s.name()
	s.cursor = saved
	return name
}

// wordByte says whether c can be part of an unquoted word wherever it stands.
func wordByte(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '"', '!', ',', 0:
		return false
	}
	return true
}

// word reads an unquoted word. A comma belongs to it where another byte of the word follows; in a list (within parentheses) commas and
// parentheses end it. A backslash takes what follows it into the word.
func (s *scanner) word(list bool) string {
	start := s.at
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '\\':
			next := s.peekAt(1)
			if next == '\n' || next == '\r' || next == 0 {
				s.at++
				continue
			}
			if next == ' ' || next == '\t' || next == '"' || next == '!' || next == ',' || list && (next == '(' || next == ')') {
				s.at++
			}
			s.at++
		case list && (c == '(' || c == ')' || c == ','):
			return s.text[start:s.at]
		case c == ',' && wordByte(s.peekAt(1)):
			s.at++
		case !wordByte(c):
			return s.text[start:s.at]
		default:
			s.at++
		}
	}
	return s.text[start:s.at]
}

// quoted reads a word in quotation marks, of which the first stands here. It ends with its line at the latest.
func (s *scanner) quoted() (text string, ok bool) {
	start := s.at + 1
	for i := start; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			if i+1 < len(s.text) && s.text[i+1] != '\n' {
				i++
			}
		case '\n':
			s.at = i
			return "", false
		case '"':
			s.at = i + 1
			return s.text[start:i], true
		}
	}
	s.at = len(s.text)
	return "", false
}

// variableReference reads @{name}, @name, ${name} or $name, whose mark is the first byte.
func (s *scanner) variableReference() (name string, ok bool) {
	s.at++
	braced := s.accept("{")
	if !isLetter(s.peek()) {
		return "", false
	}
	name = s.name()
	return name, !braced || s.accept("}")
}
