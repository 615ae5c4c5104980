// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// maximumReports bounds errors and warnings of one profile each: who gets as many has not got a profile.
const maximumReports = 50

// Warning is something in a profile that has a meaning, but hardly the one that was meant.
type Warning struct {
	Place Place
	Text  string
}

// String returns LINE:COLUMN: TEXT.
func (w Warning) String() string { return w.Place.at(w.Text) }

// Error is a fault of a profile.
type Error struct {
	Place Place
	Text  string // what is wrong and what is expected
}

// Error returns LINE:COLUMN: TEXT.
func (e *Error) Error() string { return e.Place.at(e.Text) }

// report is an error or a warning before its place is looked up.
type report struct {
	offset int
	text   string
}

// reports are bounded: beyond maximumReports they are counted only.
type reports struct {
	list []report
	more int
}

func (r *reports) add(offset int, format string, values ...any) {
	if len(r.list) == maximumReports {
		r.more++
		return
	}
	r.list = append(r.list, report{offset, fmt.Sprintf(format, values...)})
}

// excess says how many reports were left out, "" for none.
func (r *reports) excess(what string) string {
	if r.more == 0 {
		return ""
	}
	return fmt.Sprintf("%d more %s", r.more, what)
}

// listed joins names, the first few of many.
func listed(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// nearest returns the word of the list that was probably meant, or "": the one that differs in case, or in one or two letters.
func nearest(word string, list []string) string {
	best, distance := "", 3
	for _, known := range list {
		if strings.EqualFold(word, known) {
			return known
		}
		if difference := len(word) - len(known); difference >= distance || -difference >= distance {
			continue
		}
		if d := source.Distance(word, known); d < distance && d*2 < min(len(word), len(known)) {
			best, distance = known, d
		}
	}
	return best
}
