// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"fmt"
	"strings"
)

// Translations are names for levels and ranges, as setrans.conf(5) has them for mcstransd(8). They may be asked from several goroutines at once.
type Translations struct {
	domains     []*translationDomain
	constraints []translationConstraint
}

// translationDomain is one Domain: ranges with names of their own, and base classifications that modifiers go with.
type translationDomain struct {
	names  map[string]string // by range
	ranges map[string]string // by name
	bases  []classification
	groups []*modifierGroup
}

// classification is a name for a level to which modifiers may be added.
type classification struct {
	name  string
	level Level
}

// modifierGroup is one ModifierGroup.
type modifierGroup struct {
	name               string
	whitespace, join   string
	prefixes, suffixes []string
	common             CategorySet // Default: what a level has without any modifier of the group
	modifiers          []modifier
	patterns           *modifierPatterns
}

// modifier is a word for categories: those that it adds to a level, and those of the group's default that it takes away.
type modifier struct {
	text        string
	all         CategorySet
	adds, takes CategorySet
}

// translationConstraint says what levels have no name: of sensitivity number (or with one of the categories of mask), those that have a category of set, or, if needed,
// that have not all of it.
type translationConstraint struct {
	sensitivity int // -1: mask counts
	mask, set   CategorySet
	needed      bool
}

// TranslationFile is the text of a file that is included, and its name for messages.
type TranslationFile struct {
	Name string
	Text []byte
}

// TranslationError is a line that cannot be read.
type TranslationError struct {
	File   string
	Line   int
	Reason string
}

func (e *TranslationError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// How deep files may include one another, and how many there may be.
const (
	includeDepth = 8
	includeFiles = 1000
)

// ParseTranslations reads setrans.conf. include finds the files of an Include line, whose value is a pattern of glob(3), in the order of their names. Errors of the
// text are *TranslationError.
func ParseTranslations(file TranslationFile, include func(pattern string) ([]TranslationFile, error)) (*Translations, error) {
	p := &translationParser{include: include, made: &Translations{}}
	if err := p.file(file, 0); err != nil {
		return nil, err
	}
	for _, domain := range p.made.domains {
		for _, group := range domain.groups {
			if err := group.compile(); err != nil {
				return nil, err
			}
		}
	}
	return p.made, nil
}

// translationParser is where the reading is: in a domain, and there in a group or behind Base.
type translationParser struct {
	include func(pattern string) ([]TranslationFile, error)
	made    *Translations
	domain  *translationDomain
	group   *modifierGroup
	base    bool
	files   int
}

func (p *translationParser) file(file TranslationFile, depth int) error {
	number := 0
	for line := range strings.Lines(string(file.Text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.Trim(line, "\t \r\n")
		if line == "" {
			continue
		}
		if err := p.line(line, depth); err != nil {
			var located *TranslationError
			if errors.As(err, &located) {
				return err // of a file that is included
			}
			return &TranslationError{file.Name, number, err.Error()}
		}
	}
	return nil
}

func (p *translationParser) line(line string, depth int) error {
	at := strings.IndexAny(line, "=!>")
	if at < 0 {
		return fmt.Errorf("%.64q has none of = ! >", line)
	}
	left, right := strings.Trim(line[:at], "\t "), strings.Trim(line[at+1:], "\t ")
	if left == "" || right == "" {
		return fmt.Errorf("%.64q has nothing on one side of %c", line, line[at])
	}
	if line[at] != '=' {
		return p.constraint(left, right, line[at] == '>')
	}
	if left == "Domain" || p.domain == nil {
		p.domain = &translationDomain{names: map[string]string{}, ranges: map[string]string{}}
		p.made.domains, p.group = append(p.made.domains, p.domain), nil
		if left == "Domain" {
			return nil
		}
	}
	switch left {
	case "Include":
		return p.includes(right, depth)
	case "Base":
		p.base = true
	case "ModifierGroup":
		p.group, p.base = &modifierGroup{name: right, whitespace: " ", join: " "}, false
		p.domain.groups = append(p.domain.groups, p.group)
	case "Whitespace", "Join", "Prefix", "Suffix", "Default":
		if p.group == nil {
			return fmt.Errorf("%s outside of a ModifierGroup", left)
		}
		return p.group.set(left, right)
	default:
		return p.name(left, right)
	}
	return nil
}

func (p *translationParser) includes(pattern string, depth int) error {
	if depth == includeDepth {
		return fmt.Errorf("Include within Include, deeper than %d", includeDepth)
	}
	files, err := p.include(pattern)
	if err != nil {
		return fmt.Errorf("Include=%s: %w", pattern, err)
	}
	if p.files += len(files); p.files > includeFiles {
		return fmt.Errorf("more than %d files", includeFiles)
	}
	for _, file := range files {
		if err := p.file(file, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// name is a line RANGE=NAME, or in a group CATEGORIES=MODIFIER.
func (p *translationParser) name(text, name string) error {
	if p.group != nil {
		return p.group.add(text, name)
	}
	if p.base {
		level, err := ParseLevel(text)
		if err != nil {
			return err
		}
		p.domain.bases = append(p.domain.bases, classification{name, level})
	}
	if _, there := p.domain.names[text]; !there {
		p.domain.names[text] = name
	}
	if _, there := p.domain.ranges[name]; !there {
		p.domain.ranges[name] = text
	}
	return nil
}

func (p *translationParser) constraint(left, right string, needed bool) error {
	made := translationConstraint{sensitivity: -1, needed: needed}
	var err error
	if left[0] == 's' {
		level, err := ParseLevel(left)
		if err != nil {
			return err
		}
		made.sensitivity = level.Sensitivity
	} else if made.mask, err = applyCategories(CategorySet{}, left); err != nil {
		return err
	}
	if made.set, err = applyCategories(CategorySet{}, right); err == nil {
		p.made.constraints = append(p.made.constraints, made)
	}
	return err
}

func (g *modifierGroup) set(word, value string) error {
	var err error
	switch word {
	case "Whitespace":
		g.whitespace = value
	case "Join":
		g.join = value
	case "Prefix":
		g.prefixes = append(g.prefixes, value)
	case "Suffix":
		g.suffixes = append(g.suffixes, value)
	case "Default":
		g.common, err = applyCategories(CategorySet{}, value)
	}
	return err
}

func (g *modifierGroup) add(categories, text string) error {
	if strings.Contains(text, "-") {
		return fmt.Errorf("modifier %q has a -, which ranges are written with", text)
	}
	set, err := applyCategories(g.common, categories)
	if err != nil {
		return err
	}
	g.modifiers = append(g.modifiers, modifier{text, set, set.without(g.common), g.common.without(set)})
	return nil
}

// applyCategories reads categories, those after ~ to be taken out of the set, and returns the set with these changes.
func applyCategories(set CategorySet, text string) (CategorySet, error) {
	for item := range strings.SplitSeq(text, ",") {
		plain := strings.TrimLeft(item, "~")
		named, err := ParseCategories(plain)
		if err != nil {
			return set, err
		}
		if (len(item)-len(plain))%2 == 1 {
			set = set.without(named)
		} else {
			set = set.union(named)
		}
	}
	return set, nil
}

func (s CategorySet) combined(other CategorySet, word func(a, b uint64) uint64) CategorySet {
	for i := range s.words {
		s.words[i] = word(s.words[i], other.words[i])
	}
	return s
}

func (s CategorySet) union(other CategorySet) CategorySet {
	return s.combined(other, func(a, b uint64) uint64 { return a | b })
}

func (s CategorySet) without(other CategorySet) CategorySet {
	return s.combined(other, func(a, b uint64) uint64 { return a &^ b })
}

func (s CategorySet) unlike(other CategorySet) CategorySet {
	return s.combined(other, func(a, b uint64) uint64 { return a ^ b })
}

func (s CategorySet) common(other CategorySet) CategorySet {
	return s.combined(other, func(a, b uint64) uint64 { return a & b })
}

// violates reports whether a constraint leaves the level without a name.
func (t *Translations) violates(level Level) bool {
	for _, c := range t.constraints {
		applies := c.sensitivity == level.Sensitivity
		if c.sensitivity < 0 {
			applies = c.mask.common(level.Categories) != CategorySet{}
		}
		has := c.set.common(level.Categories)
		if applies && (has != CategorySet{} && (!c.needed || c.sensitivity >= 0) || c.needed && c.sensitivity < 0 && has != c.set) {
			return true
		}
	}
	return false
}

// Translate writes the range of a context by its names. What has none stays as it is.
func (t *Translations) Translate(context string) string {
	return t.convert(context, func(d *translationDomain) map[string]string { return d.names }, t.nameOf)
}

// Raw writes the range of a context, given by names, as the kernel knows it. What is no name stays as it is.
func (t *Translations) Raw(context string) string {
	return t.convert(context, func(d *translationDomain) map[string]string { return d.ranges }, t.levelOf)
}

// convert looks the range up, or its two levels, in one domain after the other; a range of two levels is the first domain's affair.
func (t *Translations) convert(context string, known func(*translationDomain) map[string]string, compute func(*translationDomain, string) (string, bool)) string {
	fields := strings.SplitN(context, ":", 4)
	if len(fields) < 4 {
		return context
	}
	head := context[:len(context)-len(fields[3])]
	for _, domain := range t.domains {
		if found, ok := known(domain)[fields[3]]; ok {
			return head + found
		}
		one := func(text string) (string, bool) {
			if found, ok := known(domain)[text]; ok {
				return found, true
			}
			return compute(domain, text)
		}
		low, high, isRange := strings.Cut(fields[3], "-")
		if !isRange {
			if found, ok := one(fields[3]); ok {
				return head + found
			}
			continue
		}
		if found, ok := one(low); ok {
			low = found
		}
		if found, ok := one(high); ok {
			high = found
		}
		if low == high {
			return head + low
		}
		return head + low + "-" + high
	}
	return context
}

// nameOf makes the name of a level: a base classification, and as modifiers those that come nearest to the categories that are left, one after the other.
func (t *Translations) nameOf(domain *translationDomain, text string) (string, bool) {
	level, err := ParseLevel(text)
	if err != nil || t.violates(level) {
		return "", false
	}
	var last *classification
	for i := range domain.bases {
		base := &domain.bases[i]
		if base.level.Sensitivity != level.Sensitivity {
			last = base
			continue
		}
		if last != nil && last.level.Sensitivity == base.level.Sensitivity && last.level.Categories != base.level.Categories {
			continue // as mcstransd, which takes the first of several in a row
		}
		if words, ok := domain.modifiersFor(level, base); ok {
			return strings.TrimSpace(base.name + " " + words), true
		}
		last = base
	}
	return "", false
}

// modifiersFor are the words for what a level has otherwise than a base classification.
func (d *translationDomain) modifiersFor(level Level, base *classification) (string, bool) {
	different := level.Categories.unlike(base.level.Categories)
	left, chosen := different, map[string][]string{}
	for range 50 { // mcstransd's limit
		if left == (CategorySet{}) {
			break
		}
		group, word := d.nearest(left, left.unlike(different), level.Sensitivity > 0)
		if word == nil {
			break
		}
		chosen[group.name] = append(chosen[group.name], word.text)
		left = left.without(word.all.unlike(base.level.Categories))
	}
	if left != (CategorySet{}) {
		return "", false
	}
	var parts []string
	for _, group := range d.groups {
		words := chosen[group.name]
		if len(words) == 0 {
			continue
		}
		delete(chosen, group.name) // groups of one name are one
		text := strings.Join(words, group.join)
		if len(group.prefixes) > 0 {
			text = group.prefixes[0] + " " + text
		}
		if len(group.suffixes) > 0 {
			text += " " + group.suffixes[0]
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " "), true
}

// nearest is the modifier, all of whose categories are left or said already, that leaves the fewest.
func (d *translationDomain) nearest(left, said CategorySet, adding bool) (*modifierGroup, *modifier) {
	var group *modifierGroup
	var best *modifier
	distance := 10_000
	for _, g := range d.groups {
		for i := range g.modifiers {
			word := &g.modifiers[i]
			if word.adds != (CategorySet{}) && !adding {
				continue
			}
			touches := word.adds.union(word.takes).without(said)
			if !left.Contains(touches) {
				continue
			}
			if unlike := touches.unlike(left).Len(); unlike < distance {
				group, best, distance = g, word, unlike
			}
			if distance == 0 {
				return group, best
			}
		}
	}
	return group, best
}
