// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"io"
	"regexp"
	"slices"
)

var (
	skipLine = regexp.MustCompile(`^\x16?\s*--- SKIP: (\S+) \(`)
	// What vmtest.Require says of a test that needs another guest than this one.
	elsewhere = regexp.MustCompile(`vmtest: (\S+) belongs to the \S+ guest`)
)

// SkipWatch passes on the verbose output of a test binary and notes which tests
// were skipped.
type SkipWatch struct {
	output    io.Writer
	line      []byte // unfinished
	skipped   []string
	elsewhere []string
}

// NewSkipWatch returns a SkipWatch that writes to output.
func NewSkipWatch(output io.Writer) *SkipWatch { return &SkipWatch{output: output} }

// maxLine bounds the memory for a line; a longer one is no line about skips.
const maxLine = 1 << 16

// Write passes data on and looks at the lines that it completes.
func (w *SkipWatch) Write(data []byte) (int, error) {
	rest := data
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if len(w.line)+len(line) <= maxLine {
			w.line = append(w.line, line...)
		}
		if !found {
			break
		}
		w.note(w.line)
		w.line = w.line[:0]
		rest = after
	}
	return w.output.Write(data)
}

func (w *SkipWatch) note(line []byte) {
	if match := skipLine.FindSubmatch(line); match != nil {
		w.skipped = append(w.skipped, string(match[1]))
	}
	if match := elsewhere.FindSubmatch(line); match != nil {
		w.elsewhere = append(w.elsewhere, string(match[1]))
	}
}

// Skipped returns the names of the tests that were skipped, without those that
// vmtest.Require sent to the guest of another security module.
func (w *SkipWatch) Skipped() []string {
	return slices.DeleteFunc(slices.Clone(w.skipped), func(name string) bool {
		return slices.Contains(w.elsewhere, name)
	})
}
