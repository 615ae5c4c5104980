// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/bulkhead-project/bulkhead/source"
)

const (
	// maximumDepth of lists in lists, and of line marks in line marks; libsepol's CIL_PARSER_MAX_EXPR_DEPTH.
	maximumDepth = 4096
	maximumText  = valueMask / 2 // bytes; a list's index must fit its node
)

// mark is a change of what line marks say: from offset on the text is that of line in file, all of it where expansion, else line by line. No file: CIL's own.
type mark struct {
	offset    uint32
	line      uint32
	file      string
	expansion bool // lmx: the lines that follow were made from this one line
}

// open is a list that is not closed yet.
type open struct {
	index uint32 // of its node
	last  uint32 // of its last child; 0: none so far
}

type parser struct {
	tree   *Tree
	text   []byte
	at     int
	lists  []open
	marked []openMark
	// skipped lines are those within expansions: they are none of the high level source.
	skipped uint32
	err     source.Diagnostics
}

type openMark struct {
	mark
	at      int    // where its own line begins
	lists   int    // open when it began; it must end among the same
	skipped uint32 // the parser's, when it began
}

// Parse reads a text, with words of its own. The name is for messages. The error is source.Diagnostics.
func Parse(name string, text []byte) (*Tree, error) { return new(Words).Parse(name, text) }

// Parse reads a text and numbers its words along with those that are known already. The tree does not hold on to the text.
func (w *Words) Parse(name string, text []byte) (*Tree, error) {
	w.ID("")
	if len(text) > maximumText {
		return nil, source.Diagnostics{{Position: source.Position{File: name}, Message: "the text is too large"}}
	}
	p := &parser{tree: &Tree{name: name, words: w, lines: []uint32{0}}, text: text}
	p.tree.nodes = append(w.room(len(text)), node{value: flagList | flagLast})
	p.lists = append(p.lists, open{})
	for p.step() {
	}
	if p.err == nil {
		p.end()
	}
	if p.err != nil {
		return nil, p.err
	}
	w.spare = p.tree.nodes[len(p.tree.nodes):]
	p.tree.nodes = slices.Clip(p.tree.nodes)
	return p.tree, nil
}

func (p *parser) fail(at int, format string, arguments ...any) bool {
	p.err.Add(p.tree.position(uint32(at)), format, arguments...)
	return false
}

// kinds of bytes.
const (
	byteOther = iota // may not stand outside of quotes and comments
	byteWord
	byteSpace
	byteQuote
	byteOpen
	byteClose
	byteComment
)

// kindOf has the bytes of cil_lexer.l: words are of letters, digits and all printable marks but ( ) ; " and the backslash.
var kindOf = func() (kinds [256]uint8) {
	for c := '!'; c <= '~'; c++ {
		kinds[c] = byteWord
	}
	kinds['\\'] = byteOther
	kinds['"'], kinds['('], kinds[')'], kinds[';'] = byteQuote, byteOpen, byteClose, byteComment
	kinds[' '], kinds['\t'], kinds['\n'], kinds['\r'] = byteSpace, byteSpace, byteSpace, byteSpace
	return kinds
}()

// step reads one token; false at the end and after an error.
func (p *parser) step() bool {
	for p.at < len(p.text) && kindOf[p.text[p.at]] == byteSpace {
		p.skipSpace()
	}
	if p.at >= len(p.text) {
		return false
	}
	start := p.at
	p.at++
	switch kindOf[p.text[start]] {
	case byteWord:
		for p.at < len(p.text) && kindOf[p.text[p.at]] == byteWord {
			p.at++
		}
		return p.word(start, p.text[start:p.at], 0)
	case byteOpen:
		if len(p.lists) > maximumDepth {
			return p.fail(start, "more than %d lists in each other", maximumDepth)
		}
		p.lists = append(p.lists, open{index: p.add(start, flagList)})
	case byteClose:
		return p.closeList(start)
	case byteQuote:
		for p.at < len(p.text) && p.text[p.at] != '"' && p.text[p.at] != '\n' && p.text[p.at] != 0 {
			p.at++
		}
		if p.at == len(p.text) || p.text[p.at] != '"' {
			return p.fail(start, "quote without its end on the line")
		}
		p.at++
		return p.word(start, p.text[start+1:p.at-1], flagQuoted)
	case byteComment:
		if bytes.HasPrefix(p.text[start:], []byte(";;*")) && (start == 0 || p.text[start-1] == '\n') {
			return p.lineMark(start)
		}
		p.skipLine()
	default:
		return p.fail(start, "unexpected character %q", p.text[start])
	}
	return true
}

func (p *parser) skipSpace() {
	p.at++
	if p.text[p.at-1] == '\n' {
		p.tree.lines = append(p.tree.lines, uint32(p.at))
	}
}

// skipLine goes to the end of the line.
func (p *parser) skipLine() {
	for p.at < len(p.text) && p.text[p.at] != '\n' && p.text[p.at] != '\r' {
		p.at++
	}
}

// add appends a node to the innermost open list.
func (p *parser) add(at int, value uint32) uint32 {
	index := uint32(len(p.tree.nodes))
	p.tree.nodes = append(p.tree.nodes, node{value, uint32(at)})
	p.lists[len(p.lists)-1].last = index
	return index
}

func (p *parser) word(at int, word []byte, flags uint32) bool {
	if len(p.lists) == 1 {
		return p.fail(at, "%q stands outside of parentheses", word)
	}
	p.add(at, flags|p.tree.words.id(word))
	return true
}

func (p *parser) closeList(at int) bool {
	if len(p.lists) == 1 {
		return p.fail(at, "closing parenthesis without its opening one")
	}
	if len(p.marked) > 0 && p.marked[len(p.marked)-1].lists == len(p.lists) {
		return p.fail(at, "line mark without its end (;;* lme) in the list")
	}
	p.finishList()
	return true
}

func (p *parser) finishList() {
	list := p.lists[len(p.lists)-1]
	p.lists = p.lists[:len(p.lists)-1]
	p.tree.nodes[list.index].value |= uint32(len(p.tree.nodes))
	if list.last != 0 {
		p.tree.nodes[list.last].value |= flagLast
	}
}

func (p *parser) end() {
	switch {
	case len(p.lists) > 1:
		p.fail(int(p.tree.nodes[p.lists[len(p.lists)-1].index].offset), "opening parenthesis without its closing one")
	case len(p.marked) > 0:
		p.fail(p.marked[len(p.marked)-1].at, "line mark without its end (;;* lme)")
	default:
		p.finishList()
	}
}

// lineMark reads a line ";;* lms LINE FILE", ";;* lmx LINE FILE" or ";;* lme".
func (p *parser) lineMark(start int) bool {
	p.skipLine()
	line := p.text[start:p.at]
	fields := bytes.Fields(line[len(";;*"):])
	if bytes.HasPrefix(p.text[p.at:], []byte("\r\n")) {
		p.skipSpace()
	}
	if p.at < len(p.text) {
		p.skipSpace() // what is marked begins in the next line
	}
	switch {
	case len(fields) == 1 && string(fields[0]) == "lme":
		if len(p.marked) == 0 || p.marked[len(p.marked)-1].lists != len(p.lists) {
			return p.fail(start, "end of a line mark without its beginning in the list")
		}
		p.endMark(start)
		return true
	case len(fields) >= 3 && (string(fields[0]) == "lms" || string(fields[0]) == "lmx"):
		if len(p.marked) == maximumDepth {
			return p.fail(start, "more than %d line marks in each other", maximumDepth)
		}
		number, err := strconv.ParseUint(string(fields[1]), 10, 32)
		file, ok := unquote(line, fields[2:])
		if err != nil || !ok {
			break
		}
		from := mark{uint32(p.at), uint32(number), file, string(fields[0]) == "lmx"}
		p.marked = append(p.marked, openMark{from, start, len(p.lists), p.skipped})
		p.tree.marks = append(p.tree.marks, from)
		return true
	}
	p.err = append(p.err, source.Diagnostic{Position: p.tree.position(uint32(start)), Message: "bad line mark", Expected: ";;* lms LINE FILE, ;;* lmx LINE FILE or ;;* lme"})
	return false
}

// endMark goes on with the mark around the one that ends in the line at start. As libsepol counts, the lines of the marks are lines of the source around, those
// within an expansion are not.
func (p *parser) endMark(start int) {
	ended := p.marked[len(p.marked)-1]
	p.marked = p.marked[:len(p.marked)-1]
	resumed := mark{offset: uint32(p.at)}
	if len(p.marked) > 0 {
		outer := p.marked[len(p.marked)-1]
		if ended.expansion && !outer.expansion {
			p.skipped += p.linesBetween(ended.offset, uint32(start))
		}
		resumed.file, resumed.line, resumed.expansion = outer.file, outer.line, outer.expansion
		if !outer.expansion {
			resumed.line += p.linesBetween(outer.offset, resumed.offset) - (p.skipped - outer.skipped)
		}
	}
	p.tree.marks = append(p.tree.marks, resumed)
}

func (p *parser) linesBetween(from, to uint32) uint32 {
	return uint32(p.tree.position(to).Line - p.tree.position(from).Line)
}

// unquote gives the file of a line mark: a word, or the rest of the line in quotes.
func unquote(line []byte, fields [][]byte) (string, bool) {
	if quote := bytes.IndexByte(line, '"'); quote >= 0 {
		rest := bytes.TrimSpace(line[quote+1:])
		end := bytes.IndexByte(rest, '"')
		return string(rest[:max(end, 0)]), end == len(rest)-1 && end > 0
	}
	return string(fields[0]), len(fields) == 1
}
