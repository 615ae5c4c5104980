// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxText bounds what is parsed: the largest extended attribute, so no label on disk is longer.
const maxText = 1 << 16

// maxRepaired bounds the texts that get a hint. People type short ones, and repairing is not linear in the length.
const maxRepaired = 1024

// ParseError is a text that is not what it should be.
type ParseError struct {
	What   string // "context", "range", "level" or "categories"
	Text   string // the whole text that was parsed
	Offset int    // in bytes into Text
	Reason string // what is wrong there
	Hint   string // Text as it was probably meant; it parses. Empty when nothing is obvious.
}

// Error leaves the hint out, for the caller to show on a line of its own.
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s %.128q: %s", e.What, e.Text, e.Reason)
}

// fault is a reason with its offset relative to the piece being parsed.
type fault struct {
	offset int
	reason string
}

func faultAt(offset int, format string, arguments ...any) *fault {
	return &fault{offset, fmt.Sprintf(format, arguments...)}
}

// shifted places a fault found in a piece that starts at offset of the larger text.
func (f *fault) shifted(offset int) *fault {
	if f == nil {
		return nil
	}
	return &fault{f.offset + offset, f.reason}
}

// parseAll parses the whole text and, when that fails, looks for a repair that parses.
func parseAll[T any](what, text string, parse func(string) (T, *fault), repair func(string) string) (T, error) {
	var none T
	if len(text) > maxText {
		return none, &ParseError{What: what, Text: text, Offset: maxText, Reason: fmt.Sprintf("longer than %d bytes", maxText)}
	}
	value, bad := parse(text)
	if bad == nil {
		return value, nil
	}
	failure := &ParseError{What: what, Text: text, Offset: bad.offset, Reason: bad.reason}
	if len(text) > maxRepaired {
		return none, failure
	}
	if better := repair(text); better != text {
		if _, still := parse(better); still == nil {
			failure.Hint = better
		}
	}
	return none, failure
}

// parseNumber reads the decimal number of a name such as s0 or c1023. The kernel looks these up as names,
// so c01 is not c1 and a sign is not a number.
func parseNumber(text, kind string, prefix byte, limit int) (int, *fault) {
	digits, found := strings.CutPrefix(text, string(prefix))
	switch {
	case text == "":
		return 0, faultAt(0, "a %s is missing", kind)
	case !found && isDigits(text):
		return 0, faultAt(0, "%s %.32q lacks its %q", kind, text, string(prefix))
	case !found || !isDigits(digits):
		return 0, faultAt(0, "%s %.32q is not %q and a number", kind, text, string(prefix))
	case len(digits) > 1 && digits[0] == '0':
		return 0, faultAt(1, "%s %.32q has a leading zero", kind, text)
	}
	number, err := strconv.Atoi(digits)
	if err != nil || number >= limit {
		return 0, faultAt(1, "%s %.32q is out of range %c0 to %c%d", kind, text, prefix, prefix, limit-1)
	}
	return number, nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Patterns of mistakes. They are compiled when one was made: a runtime that starts has no time for them.
const (
	unprefixedSensitivity = `^[0-9]+(:|-|$)`
	numberInSet           = `(^|[,.])c?0*([0-9]+)`
	reversedRun           = `c([0-9]+)\.c([0-9]+)`
	dashedRun             = `(c?[0-9]+)-(c?[0-9]+)`
)

// repairRange rewrites the mistakes people make in a level or range; the result need not parse.
func repairRange(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	if regexp.MustCompile(unprefixedSensitivity).MatchString(text) {
		text = "s" + text
	}
	sensitivity, set, found := strings.Cut(text, ":")
	if !found {
		return text
	}
	if low, high, ranged := strings.Cut(set, "-s"); ranged {
		return repairLevel(sensitivity, low) + "-" + repairRange("s"+high)
	}
	return repairLevel(sensitivity, set)
}

func repairLevel(sensitivity, set string) string {
	if set = repairCategories(set); set == "" {
		return sensitivity
	}
	return sensitivity + ":" + set
}

func repairCategories(set string) string {
	set = strings.ToLower(strings.Join(strings.Fields(set), ""))
	set = strings.Trim(strings.ReplaceAll(set, ";", ","), ",")
	set = regexp.MustCompile(dashedRun).ReplaceAllString(set, "$1.$2")
	set = regexp.MustCompile(numberInSet).ReplaceAllString(set, "${1}c$2")
	return regexp.MustCompile(reversedRun).ReplaceAllStringFunc(set, func(run string) string {
		low, high, _ := strings.Cut(run, ".")
		switch {
		case low == high:
			return low
		case len(low) > len(high) || len(low) == len(high) && low > high:
			return high + "." + low
		}
		return run
	})
}

func repairContext(text string) string {
	fields := strings.SplitN(strings.TrimSpace(text), ":", 4)
	if len(fields) == 4 {
		fields[3] = repairRange(fields[3])
	}
	return strings.Join(fields, ":")
}
