// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"fmt"
	"io/fs"

	"github.com/bulkhead-project/bulkhead/source"
)

// Limits of one Parse: what is over them is an error, whatever the text says.
const (
	maximumErrors   = 100
	maximumNesting  = 400      // blocks within blocks
	maximumDepth    = 64       // files including files
	maximumReadings = 1 << 16  // of files, repeated ones counted again
	maximumText     = 32 << 20 // bytes of all texts together, repeated ones counted again
	maximumRules    = 1 << 18  // and profiles
	maximumWords    = 1 << 20
	maximumCheck    = 64 << 20 // bytes that variables become while the policy is checked
)

// Options tell Parse where files come from.
type Options struct {
	// Files is where includes are read: their paths are looked up without the leading slash. Nil: includes are errors.
	Files fs.FS
	// Base is the directory that <path> is searched in before the others; "" for /etc/apparmor.d.
	Base string
	// Include are further directories for <path>, in their order.
	Include []string
	// Directory is what "path" is relative to, as the working directory is for the reference tool; "" for Base.
	Directory string
	// Cache keeps the texts of included files for further calls with the same Files; nil: each call reads them itself, once.
	Cache *Cache
}

// parser is the state of one Parse.
type parser struct {
	scanner
	options  Options
	cache    *Cache
	policy   *Policy
	faults   source.Diagnostics
	body     *body
	stack    []string // paths of the files that are being included, outermost first
	visited  map[string]bool
	nesting  int
	consumed int // bytes of texts
	readings int // of files
	rules    int
	words    int
	settled  bool // a statement that failed left the cursor where the next begins
	stopped  bool // a limit was reached: nothing more is read
}

// body is the block that is being read.
type body struct {
	profile    *Profile   // that rules go to; nil in the preamble
	qualifiers Qualifiers // that the block gives to its rules
	outer      *body
}

// Parse reads one policy text. On error it is source.Diagnostics, one for every bad rule that was found; the tree then has the good ones.
func Parse(name, text string, options Options) (*Policy, error) {
	p := &parser{
		scanner: newScanner(name, text),
		options: options,
		cache:   options.Cache,
		visited: map[string]bool{},
		policy:  &Policy{Variables: map[string]*Variable{}, Booleans: map[string]bool{}, Files: []string{name}},
		body:    &body{},
	}
	if p.cache == nil {
		p.cache = &Cache{}
	}
	if p.enough(len(text)) {
		p.file()
	}
	if len(p.faults) == 0 {
		p.check()
	}
	return p.policy, p.faults.Sorted()
}

// enough counts a text that is about to be read, and says whether it may be.
func (p *parser) enough(size int) bool {
	p.consumed += size
	p.readings++
	if p.consumed > maximumText || p.readings > maximumReadings {
		p.stop("more than %d bytes of policy or %d readings of files", maximumText, maximumReadings)
	}
	return !p.stopped
}

func (p *parser) stop(format string, arguments ...any) {
	if !p.stopped {
		p.stopped = true
		p.faults.Add(p.position(), format, arguments...)
	}
}

// fail reports what is wrong here. It returns false, for the caller to return.
func (p *parser) fail(expected, format string, arguments ...any) bool {
	return p.failAt(p.position(), expected, format, arguments...)
}

func (p *parser) failAt(place source.Position, expected, format string, arguments ...any) bool {
	if p.stopped {
		return false
	}
	p.faults = append(p.faults, source.Diagnostic{Position: place, Message: fmt.Sprintf(format, arguments...), Expected: expected})
	if len(p.faults) >= maximumErrors {
		p.stop("too many errors")
	}
	return false
}

// unexpected reports that what stands here is not what was expected.
func (p *parser) unexpected(expected string) bool { return p.fail(expected, "%s", p.here()) }

// here describes what stands here.
func (p *parser) here() string {
	switch c := p.peek(); {
	case p.atEnd():
		return "unexpected end of file"
	case c == '"' || !wordByte(c):
		return fmt.Sprintf("unexpected %q", c)
	}
	start := newScanner("", p.text[p.at:min(p.at+40, len(p.text))])
	return fmt.Sprintf("unexpected %q", start.word(false))
}

func (p *parser) warn(place source.Position, format string, arguments ...any) {
	if len(p.policy.Warnings) < maximumErrors {
		p.policy.Warnings.Add(place, format, arguments...)
	}
}

// file reads statements up to the end of the text.
func (p *parser) file() {
	for !p.stopped {
		p.skip()
		if p.atEnd() {
			return
		}
		if p.peek() == '}' {
			p.fail("", "unexpected %q, there is no block to close", '}')
			p.at++
			continue
		}
		start := p.at
		if !p.statement() {
			p.resynchronise(start)
		}
	}
}

// block reads the statements of a block whose { was read, and its }.
func (p *parser) block(inner *body) bool {
	opened := p.position()
	opened.Column--
	p.nesting++
	if p.nesting > maximumNesting {
		p.stop("blocks are nested more than %d deep", maximumNesting)
	}
	inner.outer, p.body = p.body, inner
	defer func() {
		p.body = inner.outer
		p.nesting--
	}()
	for !p.stopped {
		p.skip()
		if p.atEnd() {
			return p.failAt(opened, "}", "the block is not closed")
		}
		if p.peek() == '}' {
			p.at++
			return true
		}
		start := p.at
		if !p.statement() {
			p.resynchronise(start)
		}
	}
	return false
}

// statement reads whatever stands at the place of a rule, of a profile or of a line of the preamble.
func (p *parser) statement() bool {
	if p.body.profile == nil {
		return p.topStatement()
	}
	return p.profileStatement()
}

// resynchronise goes to where the next rule can begin, behind a comma that ends a rule or a block, or before the } of the block that is
// being read. start is where the bad rule began.
func (p *parser) resynchronise(start int) {
	if p.settled || p.at > start && p.justEnded() {
		p.settled = false
		return
	}
	depth := 0
	for !p.atEnd() {
		before := p.at
		p.skip()
		if p.atEnd() {
			return
		}
		spaced := p.at > before || p.at == start || isSeparator(p.text[p.at-1])
		switch c := p.peek(); {
		case c == '"':
			p.quoted()
		case c == ',' && !wordByte(p.peekAt(1)):
			p.at++
			if depth == 0 {
				return
			}
		case c == '{' && spaced && (!wordByte(p.peekAt(1)) || p.peekAt(1) == '}'):
			p.at++
			depth++
		case c == '}' && spaced:
			if depth == 0 {
				return
			}
			p.at++
			if depth--; depth == 0 {
				return
			}
		case c == '#' && p.at > start && depth == 0:
			return // #include
		default:
			p.at++
		}
	}
}

func isSeparator(c byte) bool { return !wordByte(c) || c == '{' || c == '}' || c == ')' }

// failedLine ends a failed statement that reaches to the end of its line.
func (p *parser) failedLine() bool {
	p.skipLine()
	p.settled = true
	return false
}

// justEnded says whether the last byte that was read ended a rule or a block.
func (p *parser) justEnded() bool {
	return p.at > 0 && (p.text[p.at-1] == ',' || p.text[p.at-1] == '}') && !wordByte(p.peek())
}

// end reads the comma that ends a rule.
func (p *parser) end() bool {
	p.skip()
	if p.peek() != ',' {
		return p.unexpected(`"," after the rule`)
	}
	p.at++
	return true
}

// add puts a rule into the profile, with where it ended.
func (p *parser) add(rule Rule) bool {
	if !p.end() {
		return false
	}
	rule.Head().End = p.position()
	if !p.countRule() {
		return false
	}
	p.body.profile.Rules = append(p.body.profile.Rules, rule)
	return true
}

// countRule says whether there may be another rule or profile.
func (p *parser) countRule() bool {
	if p.rules++; p.rules > maximumRules {
		p.stop("more than %d rules", maximumRules)
	}
	return !p.stopped
}

// countWord says whether there may be another word.
func (p *parser) countWord() bool {
	if p.words++; p.words > maximumWords {
		p.stop("more than %d words", maximumWords)
	}
	return !p.stopped
}

// path reads a word that must be a path or begin with a variable.
func (p *parser) path(what string) (Word, bool) {
	p.skip()
	if !p.startsPath() {
		return Word{}, p.unexpected(what)
	}
	return p.anyWord(what)
}

// startsPath says whether a path stands here, quoted or not.
func (p *parser) startsPath() bool {
	ahead := 0
	if p.peek() == '"' {
		ahead = 1
	}
	c := p.peekAt(ahead)
	return c == '/' || c == '@' && p.peekAt(ahead+1) == '{'
}

// anyWord reads a word, quoted or not, whatever is in it.
func (p *parser) anyWord(what string) (Word, bool) {
	p.skip()
	word := Word{Position: p.position()}
	if !p.countWord() {
		return word, false
	}
	if p.peek() == '#' {
		return word, p.unexpected(what + "; an include stands between rules")
	}
	if p.peek() == '"' {
		text, ok := p.quoted()
		if !ok {
			return word, p.failAt(word.Position, `"`, "the quotation mark is not closed on its line")
		}
		word.Text, word.Quoted = text, true
		return word, true
	}
	if word.Text = p.word(false); word.Text == "" {
		return word, p.unexpected(what)
	}
	return word, true
}

// arrowAhead says whether "->" stands here, which white space must follow.
func (p *parser) arrowAhead() bool {
	return p.peek() == '-' && p.peekAt(1) == '>' && !wordByte(p.peekAt(2))
}

// acceptArrow passes over "->".
func (p *parser) acceptArrow() bool {
	p.skip()
	return p.arrowAhead() && p.accept("->")
}

// acceptTightArrow passes over "->" that need not be followed by white space: in file and link rules.
func (p *parser) acceptTightArrow() bool {
	p.skip()
	return p.accept("->")
}
