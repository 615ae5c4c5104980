// SPDX-License-Identifier: Apache-2.0

// Package filecontexts reads file_contexts(5) and finds the context of a path, as libselinux does.
//
// A line is a pattern, the type of file that it is for (or any), and a context. Patterns without special characters come before all others, then the later line wins.
// Patterns are those of PCRE as far as Go's regular expressions have them, on bytes: no references back, no looking around and no possessive repetition.
package filecontexts

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the type of a file.
type Kind uint8

// The types; AnyKind stands for all of them, in a line and in a question.
const (
	AnyKind Kind = iota
	Directory
	CharacterDevice
	BlockDevice
	Socket
	Pipe
	Link
	Regular
)

// kindLetters are the types by the letter that the second field has after its hyphen.
const kindLetters = " dcbspl-"

// ParseKind reads a type: one letter of file_contexts' own ("-" is a regular file) or matchpathcon's f.
func ParseKind(letter string) (Kind, error) {
	if letter == "f" {
		return Regular, nil
	}
	if at := strings.Index(kindLetters, letter); len(letter) == 1 && at > 0 {
		return Kind(at), nil
	}
	return 0, fmt.Errorf("type of file %q, expected one of b c d f l p s", letter)
}

// String is the second field of a line, "" for AnyKind.
func (k Kind) String() string {
	if k == AnyKind || int(k) >= len(kindLetters) {
		return ""
	}
	return "-" + kindLetters[k:k+1]
}

// Line is one line.
type Line struct {
	File    string // where it is, for messages
	Number  int
	Pattern string
	Kind    Kind
	Context string // "" for <<none>>: these files are not labeled
}

// noContext is how a line says that.
const noContext = "<<none>>"

// ParseError is a line that is none, or a pattern that cannot be matched here.
type ParseError struct {
	File   string
	Line   int
	Reason string
}

func (e *ParseError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// Source is the text of one file and its name for messages.
type Source struct {
	Name string
	Text []byte
}

// maximumField is the length of a field, as libselinux has it.
const maximumField = 1<<16 - 1

// Parse reads the lines of a file. Errors are *ParseError.
func Parse(source Source) ([]Line, error) {
	var lines []Line
	number := 0
	for text := range strings.Lines(string(source.Text)) {
		number++
		fail := func(format string, arguments ...any) ([]Line, error) {
			return nil, &ParseError{source.Name, number, fmt.Sprintf(format, arguments...)}
		}
		fields := strings.FieldsFunc(text, isSpace)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		fields = fields[:min(3, len(fields))] // libselinux does not look at what follows
		for _, field := range fields {
			if len(field) >= maximumField {
				return fail("a field of %d bytes, the limit is %d", len(field), maximumField-1)
			}
			if at := strings.IndexFunc(field, func(r rune) bool { return r > 127 || r == 0 }); at >= 0 {
				return fail("%q is not ASCII", field)
			}
		}
		line := Line{File: source.Name, Number: number, Pattern: fields[0], Context: fields[len(fields)-1]}
		switch len(fields) {
		case 1:
			return fail("%s without a context", fields[0])
		case 3:
			kind, err := ParseKind(strings.TrimPrefix(fields[1], "-"))
			if err != nil || len(fields[1]) != 2 || fields[1] == "-f" {
				return fail("type of file %q, expected one of -b -c -d -p -l -s --", fields[1])
			}
			line.Kind = kind
		}
		if line.Context == noContext {
			line.Context = ""
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// isSpace is isspace(3) in the C locale.
func isSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// Table finds lines by paths. It may be asked from several goroutines at once.
type Table struct {
	literals      map[string][]*Line // by path
	patterns      map[string][]*pattern
	count         int
	local, common []substitution
}

// substitution says that a path below one directory is labeled as one below another.
type substitution struct{ from, to string }

// NewTable puts lines into the order in which they are looked for. Those of later files come later: file_contexts, file_contexts.homedirs, file_contexts.local.
// Patterns are compiled when they are first needed.
func NewTable(lines []Line) *Table {
	t := &Table{literals: map[string][]*Line{}, patterns: map[string][]*pattern{}}
	for i := range lines {
		line := &lines[i]
		if path, ok := literal(line.Pattern); ok {
			t.literals[path] = append(t.literals[path], line)
			continue
		}
		made := newPattern(line, i)
		directory := made.start[:strings.LastIndexByte(made.start, '/')+1]
		t.patterns[directory] = append(t.patterns[directory], made)
	}
	t.count = len(lines)
	return t
}

// Len is how many lines there are.
func (t *Table) Len() int { return t.count }

// Substitute adds the substitutions of file_contexts.subs and file_contexts.subs_dist: lines of two paths. The first that applies of the one is followed by the first
// of the other. In each the later line wins.
func (t *Table) Substitute(local, distribution []byte) {
	t.local, t.common = substitutions(local), substitutions(distribution)
}

func substitutions(text []byte) []substitution {
	var found []substitution
	for line := range strings.Lines(string(text)) {
		fields := strings.FieldsFunc(line, isSpace)
		if len(fields) >= 2 && fields[0][0] != '#' {
			found = append(found, substitution{fields[0], fields[1]})
		}
	}
	slices.Reverse(found)
	return found
}

func substitute(list []substitution, path string) string {
	for _, one := range list {
		rest, below := strings.CutPrefix(path, one.from)
		if !below || rest != "" && rest[0] != '/' {
			continue
		}
		if one.to == "/" && rest != "" {
			return rest
		}
		return one.to + rest
	}
	return path
}

// Match finds the line for a path and the type of its file, nil where there is none. An error is a pattern that Go's regular expressions do not have.
func (t *Table) Match(path string, kind Kind) (*Line, error) {
	path = substitute(t.common, substitute(t.local, clean(path)))
	literals := t.literals[path]
	for i := len(literals) - 1; i >= 0; i-- {
		if literals[i].fits(kind) {
			return literals[i], nil
		}
	}
	var space [64]*pattern
	candidates := space[:0]
	consider := func(directory string) {
		for _, one := range t.patterns[directory] {
			if one.line.fits(kind) && strings.HasPrefix(path, one.start) {
				candidates = append(candidates, one)
			}
		}
	}
	consider("")
	for i := range len(path) {
		if path[i] == '/' {
			consider(path[:i+1])
		}
	}
	slices.SortFunc(candidates, func(a, b *pattern) int { return b.order - a.order })
	for _, one := range candidates {
		matches, err := one.matches(path)
		if err != nil {
			return nil, err
		}
		if matches {
			return one.line, nil
		}
	}
	return nil, nil
}

func (l *Line) fits(kind Kind) bool { return kind == AnyKind || l.Kind == AnyKind || l.Kind == kind }

// clean takes doubled slashes out, and one at the end.
func clean(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

// Check compiles every pattern, and returns the first error.
func (t *Table) Check() error {
	var first *pattern
	var err error
	for _, list := range t.patterns {
		for _, one := range list {
			if _, failed := one.compile(); failed != nil && (first == nil || one.order < first.order) {
				first, err = one, failed
			}
		}
	}
	return err
}
