// SPDX-License-Identifier: Apache-2.0

// Package source has positions in policy texts and the diagnostics that name them, which the policy languages share.
package source

import (
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a text. Line and Column count from 1, the column in bytes; a zero Line stands for the file as a whole.
type Position struct {
	File   string `json:"file,omitempty"` // as it was named or found: a path, "-" for the standard input
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is file:line:col, the form that editors jump to.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Compare orders positions by file, line and column.
func (p Position) Compare(other Position) int {
	if order := strings.Compare(p.File, other.File); order != 0 {
		return order
	}
	if p.Line != other.Line {
		return p.Line - other.Line
	}
	return p.Column - other.Column
}

// Diagnostic is one finding about a text.
type Diagnostic struct {
	Position Position `json:"position"`
	Message  string   `json:"message"`            // lower case, no full stop
	Expected string   `json:"expected,omitempty"` // what would have been right here
}

func (d Diagnostic) Error() string {
	text := d.Message
	if d.Expected != "" {
		text += ", expected " + d.Expected
	}
	if d.Position == (Position{}) {
		return text
	}
	return d.Position.String() + ": " + text
}

// Diagnostics are several findings; as an error they are one line each.
type Diagnostics []Diagnostic

func (d Diagnostics) Error() string {
	lines := make([]string, len(d))
	for i, one := range d {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the single findings.
func (d Diagnostics) Unwrap() []error {
	errors := make([]error, len(d))
	for i, one := range d {
		errors[i] = one
	}
	return errors
}

// Add appends a finding.
func (d *Diagnostics) Add(place Position, format string, arguments ...any) {
	*d = append(*d, Diagnostic{Position: place, Message: fmt.Sprintf(format, arguments...)})
}

// Sorted returns the findings in the order of their places, without repetitions; nil, which is no error, where there are none.
func (d Diagnostics) Sorted() error {
	if len(d) == 0 {
		return nil
	}
	sorted := slices.Clone(d)
	slices.SortStableFunc(sorted, func(a, b Diagnostic) int { return a.Position.Compare(b.Position) })
	return slices.Compact(sorted)
}
