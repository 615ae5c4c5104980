// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"regexp"
	"slices"
	"strings"
)

// modifierPatterns find what a group knows in a name.
type modifierPatterns struct {
	prefix, suffix *regexp.Regexp // nil where the group has none
	words          *regexp.Regexp
	sorted         []modifier // the longest first
}

// compile makes the group's patterns: words at their ends or spaces, any number of them, and before or behind them a prefix or a suffix.
func (g *modifierGroup) compile() error {
	p := &modifierPatterns{sorted: slices.Clone(g.modifiers)}
	slices.SortStableFunc(p.sorted, func(a, b modifier) int {
		if len(a.text) != len(b.text) {
			return len(b.text) - len(a.text)
		}
		return strings.Compare(a.text, b.text)
	})
	var alternatives []string
	for _, word := range p.sorted {
		alternatives = append(alternatives, `\b`+regexp.QuoteMeta(word.text)+`\b`)
	}
	spaces := ""
	for _, c := range g.whitespace {
		spaces += regexp.QuoteMeta(string(c))
		if c == '-' {
			spaces = spaces[:len(spaces)-1] + `\-`
		}
	}
	words := `(?i:` + strings.Join(append(alternatives, "["+spaces+"]+"), "|") + `)+`
	if len(g.prefixes) > 0 {
		words = "^" + words
	}
	if len(g.suffixes) > 0 {
		words += "$"
	}
	var err error
	if p.words, err = regexp.Compile(words); err != nil {
		return err
	}
	if len(g.prefixes) > 0 {
		if p.prefix, err = regexp.Compile(`(?i:` + quoted(g.prefixes) + `)[ \t]+`); err != nil {
			return err
		}
	}
	if len(g.suffixes) > 0 {
		if p.suffix, err = regexp.Compile(`[ \t]+(?i:` + quoted(g.suffixes) + `)`); err != nil {
			return err
		}
	}
	g.patterns = p
	return nil
}

// quoted are alternatives, as they are written.
func quoted(words []string) string {
	made := make([]string, len(words))
	for i, word := range words {
		made[i] = regexp.QuoteMeta(word)
	}
	return strings.Join(made, "|")
}

// levelOf reads a name of a level: a base classification and modifiers, nothing else.
func (t *Translations) levelOf(domain *translationDomain, name string) (string, bool) {
	base := domain.classificationOf(name)
	if base == nil {
		return "", false
	}
	level, work := base.level, []byte(name)
	mark(work[:len(base.name)])
	for change := true; change && hasWord(work); {
		change = false
		for _, group := range domain.groups {
			found, ok := group.consume(work, &level)
			if !ok {
				return "", false
			}
			if change = found; change {
				break
			}
		}
	}
	if hasWord(work) || len(domain.groups) == 0 || t.violates(level) {
		return "", false
	}
	return level.String(), true
}

// classificationOf is the longest base classification that the name begins with, in letters of either case; but it must be written as it is.
func (d *translationDomain) classificationOf(name string) *classification {
	longest := ""
	for _, base := range d.bases {
		if len(base.name) <= len(name) && len(base.name) > len(longest) && strings.EqualFold(name[:len(base.name)], base.name) {
			longest = name[:len(base.name)]
		}
	}
	for i := range d.bases {
		if longest != "" && d.bases[i].name == longest {
			return &d.bases[i]
		}
	}
	return nil
}

// mark replaces what has been read.
func mark(text []byte) {
	for i := range text {
		text[i] = '#'
	}
}

// hasWord reports whether a letter or digit is left.
func hasWord(text []byte) bool {
	return slices.ContainsFunc(text, func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	})
}

// consume applies the group's modifiers in the text to the level and marks them. It is not ok if there is a word in other letters than the group's own.
func (g *modifierGroup) consume(work []byte, level *Level) (found, ok bool) {
	prefix, suffix := []int{0, 0}, []int{len(work), len(work)}
	hasPrefix, hasSuffix := false, false
	if g.patterns.prefix != nil {
		if at := g.patterns.prefix.FindIndex(work); at != nil {
			prefix, hasPrefix = at, true
		}
	}
	if g.patterns.suffix != nil {
		if at := g.patterns.suffix.FindIndex(work); at != nil {
			suffix, hasSuffix = at, true
		}
	}
	if (len(g.prefixes) > 0 || len(g.suffixes) > 0) && !hasPrefix && !hasSuffix || suffix[0] < prefix[1] {
		return false, true
	}
	part := work[prefix[1]:suffix[0]]
	at := g.patterns.words.FindIndex(part)
	if at == nil {
		return false, true
	}
	text := strings.Trim(string(part[at[0]:at[1]]), g.whitespace)
	if text == "" {
		return false, true
	}
	for text != "" {
		i := slices.IndexFunc(g.patterns.sorted, func(word modifier) bool { return strings.HasPrefix(text, word.text) })
		if i < 0 {
			return false, false
		}
		word := &g.patterns.sorted[i]
		level.Categories = level.Categories.union(word.adds).without(word.takes)
		text = strings.TrimLeft(text[len(word.text):], g.whitespace)
	}
	mark(part[at[0]:at[1]])
	mark(work[prefix[0]:prefix[1]])
	mark(work[suffix[0]:suffix[1]])
	return true, true
}
