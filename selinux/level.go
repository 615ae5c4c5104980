// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

const (
	// MaxCategories is how many categories policies declare: c0 to c1023.
	MaxCategories = 1024
	// MaxSensitivities bounds sensitivities: s0 to s1023. MCS policies have s0 only, MLS policies s0 to s15.
	MaxSensitivities = 1024
)

// CategorySet is a set of categories c0 to c1023. Its zero value is empty; equal sets are ==.
type CategorySet struct {
	words [MaxCategories / 64]uint64
}

// Categories returns the set of its arguments. Like an index, an argument of MaxCategories or more panics.
func Categories(categories ...uint16) CategorySet {
	var set CategorySet
	for _, category := range categories {
		set.add(int(category))
	}
	return set
}

// ParseCategories reads "c1,c2", "c0.c1023" or "c1,c5.c9", in any order. Errors are *ParseError.
func ParseCategories(text string) (CategorySet, error) {
	return parseAll("categories", text, parseCategories, repairCategories)
}

func parseCategories(text string) (CategorySet, *fault) {
	var set CategorySet
	offset := 0
	for item := range strings.SplitSeq(text, ",") {
		if bad := set.parseItem(item); bad != nil {
			return CategorySet{}, bad.shifted(offset)
		}
		offset += len(item) + 1
	}
	return set, nil
}

// parseItem adds one category or one run. The kernel refuses a run that does not rise, c3.c3 included.
func (s *CategorySet) parseItem(item string) *fault {
	first, last, isRun := strings.Cut(item, ".")
	low, bad := parseNumber(first, "category", 'c', MaxCategories)
	if bad != nil {
		return bad
	}
	high := low
	if isRun {
		if high, bad = parseNumber(last, "category", 'c', MaxCategories); bad != nil {
			return bad.shifted(len(first) + 1)
		}
		if high <= low {
			return faultAt(0, "run %q does not rise", item)
		}
	}
	for category := low; category <= high; category++ {
		s.add(category)
	}
	return nil
}

func (s *CategorySet) add(category int) { s.words[category/64] |= 1 << (category % 64) }

// Has reports whether the category is in the set.
func (s CategorySet) Has(category uint16) bool {
	return category < MaxCategories && s.words[category/64]&(1<<(category%64)) != 0
}

// Len counts the categories in the set.
func (s CategorySet) Len() int {
	count := 0
	for _, word := range s.words {
		count += bits.OnesCount64(word)
	}
	return count
}

// Contains reports whether every category of other is in s.
func (s CategorySet) Contains(other CategorySet) bool {
	for i, word := range other.words {
		if word&^s.words[i] != 0 {
			return false
		}
	}
	return true
}

// All yields the categories in rising order.
func (s CategorySet) All() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for i, word := range s.words {
			for ; word != 0; word &= word - 1 {
				if !yield(uint16(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// String prints the set as the kernel does (mls_sid_to_context in security/selinux/ss/mls.c): rising, a run of
// three or more as c5.c9, a run of two as c5,c6. The empty set is "".
func (s CategorySet) String() string {
	var text []byte
	first, previous := -2, -2
	closeRun := func() {
		if previous-first > 1 {
			text = appendCategory(text, '.', previous)
		} else if previous != first {
			text = appendCategory(text, ',', previous)
		}
	}
	for category := range s.All() {
		if int(category) != previous+1 {
			closeRun()
			text = appendCategory(text, ',', int(category))
			first = int(category)
		}
		previous = int(category)
	}
	closeRun()
	return strings.TrimPrefix(string(text), ",")
}

func appendCategory(text []byte, separator byte, category int) []byte {
	return strconv.AppendInt(append(text, separator, 'c'), int64(category), 10)
}

// Level is a sensitivity with a set of categories, such as s0:c1,c2. Equal levels are ==.
type Level struct {
	Sensitivity int // 0 for s0
	Categories  CategorySet
}

// ParseLevel reads "s0" or "s0:c1,c2". Errors are *ParseError.
func ParseLevel(text string) (Level, error) {
	return parseAll("level", text, parseLevel, repairRange)
}

func parseLevel(text string) (Level, *fault) {
	if dash := strings.IndexByte(text, '-'); dash >= 0 {
		return Level{}, faultAt(dash, "a level has no \"-\"; that is a range")
	}
	name, set, hasSet := strings.Cut(text, ":")
	sensitivity, bad := parseNumber(name, "sensitivity", 's', MaxSensitivities)
	if bad != nil {
		return Level{}, bad
	}
	level := Level{Sensitivity: sensitivity}
	if hasSet {
		level.Categories, bad = parseCategories(set)
	}
	return level, bad.shifted(len(name) + 1)
}

// Dominates reports whether l is at least as high as other and has all its categories.
func (l Level) Dominates(other Level) bool {
	return l.Sensitivity >= other.Sensitivity && l.Categories.Contains(other.Categories)
}

// String prints the level in the kernel's form.
func (l Level) String() string {
	text := "s" + strconv.Itoa(l.Sensitivity)
	if l.Categories == (CategorySet{}) {
		return text
	}
	return text + ":" + l.Categories.String()
}

// Range is the low (current) and the high (clearance) level of a context; High dominates Low. Equal ranges are ==.
type Range struct{ Low, High Level }

// ParseRange reads "LOW-HIGH", or "LEVEL" for a range whose two levels are the same. Errors are *ParseError; a high
// level that does not dominate the low one is one, since the kernel accepts it in no context.
func ParseRange(text string) (Range, error) {
	return parseAll("range", text, parseRange, repairRange)
}

func parseRange(text string) (Range, *fault) {
	lowText, highText, isRange := strings.Cut(text, "-")
	low, bad := parseLevel(lowText)
	if bad != nil || !isRange {
		return Range{low, low}, bad
	}
	high, bad := parseLevel(highText)
	if bad != nil {
		return Range{}, bad.shifted(len(lowText) + 1)
	}
	if !high.Dominates(low) {
		return Range{}, faultAt(len(lowText)+1, "high level %.128q does not dominate the low level", highText)
	}
	return Range{low, high}, nil
}

// Contains reports whether other lies inside r: its low level is not below, its high level not above.
func (r Range) Contains(other Range) bool {
	return other.Low.Dominates(r.Low) && r.High.Dominates(other.High)
}

// String prints the range in the kernel's form; two equal levels are printed once.
func (r Range) String() string {
	if r.Low == r.High {
		return r.Low.String()
	}
	return r.Low.String() + "-" + r.High.String()
}
