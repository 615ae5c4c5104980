// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// levels gives values to sensitivities and categories, in their orders: those of a policy compiled onto come first. A policy without MLS has none.
func (b *builder) levels() {
	p := b.policy
	for _, c := range b.model.categories {
		switch {
		case c.value == 0:
			c.value = next(&p.Categories)
			p.Categories.Entries = append(p.Categories.Entries, policydb.Category{Name: c.name, Value: c.value})
		case c.value < p.Categories.Primary && b.base.Categories.Primary < p.Categories.Primary:
			b.fail(c.declared, "category %s is the policy's own, behind which others come", c.name)
		}
	}
	for _, s := range b.model.sensitivities {
		switch {
		case s.value == 0:
			s.value = next(&p.Levels)
			p.Levels.Entries = append(p.Levels.Entries, policydb.Sensitivity{Name: s.name, Level: policydb.Level{Sensitivity: s.value}})
		case s.value < p.Levels.Primary && b.base.Levels.Primary < p.Levels.Primary:
			b.fail(s.declared, "sensitivity %s is the policy's own, and below those that come with the sources", s.name)
		}
	}
	for i := range b.model.sensCategories {
		said := &b.model.sensCategories[i]
		for j := range p.Levels.Entries {
			if entry := &p.Levels.Entries[j]; entry.Level.Sensitivity == said.sensitivity.value {
				grown := append(bitset(nil), entry.Level.Categories...)
				b.categories().evaluate(&said.categories, &grown)
				entry.Level.Categories = grown.trimmed()
			}
		}
	}
	for _, a := range b.model.aliases {
		switch of := a.of.(type) {
		case *category:
			p.Categories.Entries = append(p.Categories.Entries, policydb.Category{Name: a.name, Value: of.value, Alias: 1})
		case *sensitivity:
			if !b.given(&of.named, "sensitivity") {
				continue
			}
			p.Levels.Entries = append(p.Levels.Entries, policydb.Sensitivity{Name: a.name, Alias: 1, Level: b.sensitivity(of.value).Level})
		}
	}
}

// sensitivity is the policy's entry.
func (b *builder) sensitivity(value uint32) *policydb.Sensitivity {
	entries := b.policy.Levels.Entries
	for i := range entries {
		if entries[i].Level.Sensitivity == value && entries[i].Alias == 0 {
			return &entries[i]
		}
	}
	return nil
}

// categories is the domain of expressions over categories.
func (b *builder) categories() *domain[*category] {
	d := &domain[*category]{add: func(into *bitset, c *category) {
		if c.value == 0 {
			b.given(&c.named, "category")
			return
		}
		into.set(c.value - 1)
	}}
	if last := b.policy.Categories.Primary; last > 0 {
		d.everything = span(0, last-1)
	}
	d.between = func(into *bitset, low, high *category) {
		if low.value > high.value || low.value == 0 {
			b.fail(high.declared, "a range from category %s to %s, which comes before it", low.name, high.name)
			return
		}
		into.union(span(low.value-1, high.value-1))
	}
	return d
}

func (b *builder) level(l *level) policydb.Level {
	b.given(&l.sensitivity.named, "sensitivity")
	made := policydb.Level{Sensitivity: l.sensitivity.value}
	if l.categories != nil {
		var categories bitset
		b.categories().evaluate(l.categories, &categories)
		made.Categories = categories.trimmed()
	}
	return made
}

// rangeOf is a range, with the checks of cil_verify.c.
func (b *builder) rangeOf(at place, r *levelRange) policydb.Range {
	made := policydb.Range{Low: b.level(&r.low), High: b.level(&r.high)}
	made.Single = made.Low.Equal(&made.High)
	if made.Low.Sensitivity > made.High.Sensitivity || !made.High.Categories.Contains(made.Low.Categories) {
		b.fail(at, "the high level of the range does not dominate the low one")
	}
	for i, l := range []*policydb.Level{&made.Low, &made.High} {
		name := []*level{&r.low, &r.high}[i].sensitivity.name
		if entry := b.sensitivity(l.Sensitivity); entry != nil && !entry.Level.Categories.Contains(l.Categories) {
			b.fail(at, "sensitivity %s does not go with all of the categories (sensitivitycategory)", name)
		}
	}
	if !b.policy.MLS {
		return policydb.Range{Single: true}
	}
	return made
}

// categoryOf is the category of a value; one of the policy compiled onto has its name alone.
func (b *builder) categoryOf(value uint32) *category {
	for i := range b.policy.Categories.Entries {
		if entry := &b.policy.Categories.Entries[i]; entry.Value == value && entry.Alias == 0 {
			return &category{named{name: entry.Name, value: value}}
		}
	}
	return nil
}

// levelText writes a level as cil.c does: categories in the order in which they are listed, which is that of their values where operators or sets are among them.
// One that does not follow the last ends a run and starts none.
func (b *builder) levelText(text *strings.Builder, l *level) {
	text.WriteString(l.sensitivity.name)
	if l.categories == nil {
		return
	}
	separator := byte(':')
	put := func(names ...string) {
		for _, name := range names {
			text.WriteByte(separator)
			text.WriteString(name)
			separator = ','
		}
	}
	listed := b.listed(l.categories)
	if len(listed) == 0 {
		text.WriteByte(':')
	}
	var first, last *category
	run := func() {
		switch {
		case last.value == first.value:
			put(first.name)
		case last.value == first.value+1:
			put(first.name, last.name)
		default:
			put(first.name + "." + last.name)
		}
	}
	for _, c := range listed {
		switch {
		case first == nil:
			first, last = c, c
		case c.value == last.value+1:
			last = c
		default:
			run()
			put(c.name)
			first = nil
		}
	}
	if first != nil {
		run()
	}
}

// listed are the categories in the order in which a level's text has them.
func (b *builder) listed(e *expression[*category]) []*category {
	var listed []*category
	plain := e.operator == setOr
	for i := range e.operands {
		plain = plain && e.operands[i].operator == setSymbol
		listed = append(listed, e.operands[i].symbol)
	}
	if plain {
		return listed
	}
	var set bitset
	b.categories().evaluate(e, &set)
	listed = nil
	for bit := range set.all() {
		listed = append(listed, b.categoryOf(bit+1))
	}
	return listed
}
