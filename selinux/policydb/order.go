// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"slices"
	"strings"
)

// Order is the order in which releases of libsepol write what they keep in hash tables: that of the slots. The kernel takes any; policies are the same to the byte
// only in one and the same order.
type Order int

// The orders, by the first release that has them.
const (
	Libsepol36 Order = iota // 3.6 (2023) and later
	Libsepol34              // up to 3.5: another hash of names
)

// Sizes with which libsepol makes its tables (symtab_sizes, policydb_init and cil_binary.c of its source), in slots.
const (
	commonSlots, classSlots, roleSlots, typeSlots = 2, 32, 16, 512
	userSlots, booleanSlots, levelSlots           = 128, 16, 16
	categorySlots, permissionSlots                = 16, 32
	filenameSlots, rangeSlots                     = 1 << 10, 1 << 8
	ruleSlots, extendedSlots                      = 1 << 20, 1 << 10 // of the CIL compiler's, whatever the number of rules
)

// Arrange puts what libsepol's CIL compiler keeps in hash tables into the order in which that release writes it: all symbols, Rules, Filenames and RangeRules.
// It keeps the order of everything else: of constraints, Conditions and their rules, RoleChanges, RoleAllows, Objects and Filesystems, which are lists to libsepol.
// Within Rules the order that was given decides between kinds other than extended ones that have source, target and class in common, within
// Filenames between results. Arranging twice is arranging once.
func (p *Policy) Arrange(order Order) {
	arrange(&p.Commons, order, commonSlots, func(c *Common) string { return c.Name })
	arrange(&p.Classes, order, classSlots, func(c *Class) string { return c.Name })
	arrange(&p.Roles, order, roleSlots, func(r *Role) string { return r.Name })
	arrange(&p.Types, order, typeSlots, func(t *Type) string { return t.Name })
	arrange(&p.Users, order, userSlots, func(u *User) string { return u.Name })
	arrange(&p.Booleans, order, booleanSlots, func(b *Boolean) string { return b.Name })
	arrange(&p.Levels, order, levelSlots, func(s *Sensitivity) string { return s.Name })
	arrange(&p.Categories, order, categorySlots, func(c *Category) string { return c.Name })
	permission := func(p *Permission) string { return p.Name }
	for i := range p.Commons.Entries {
		arrange(&p.Commons.Entries[i].Permissions, order, permissionSlots, permission)
	}
	for i := range p.Classes.Entries {
		arrange(&p.Classes.Entries[i].Permissions, order, permissionSlots, permission)
	}
	arrangeRules(p.Rules)
	p.arrangeFilenames()
	p.arrangeRanges()
}

// slotsFor is how many a table of that many elements has in the end: libsepol doubles them before it inserts an element into a table that has as many already.
func slotsFor(elements int, initial uint64) uint64 {
	for initial < uint64(elements) {
		initial *= 2
	}
	return initial
}

// Sort puts names into the order in which a hash table of libsepol's has them that was made with so many slots, a power of two.
func (o Order) Sort(names []string, slots int) {
	mask := uint32(slotsFor(len(names), uint64(slots)) - 1)
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(o.hash(a)&mask, o.hash(b)&mask), strings.Compare(a, b))
	})
}

// hash is libsepol's of names (symhash): DJB2a, and before that one that turns the bits by four.
func (o Order) hash(name string) uint32 {
	if o == Libsepol34 {
		hash := uint32(0)
		for i := range len(name) {
			hash = hash<<4 | hash>>28
			hash ^= uint32(int8(name[i]))
		}
		return hash
	}
	hash := uint32(5381)
	for i := range len(name) {
		hash = hash*33 ^ uint32(name[i])
	}
	return hash
}

// arrange orders symbols by their slots; the symbols of one slot by name.
func arrange[T any](table *Symbols[T], order Order, initial uint64, name func(*T) string) {
	mask := slotsFor(len(table.Entries), initial) - 1
	table.Entries = arranged(table.Entries, func(entry *T) uint64 { return uint64(order.hash(name(entry))) & mask },
		func(a, b *T) int { return strings.Compare(name(a), name(b)) })
}

// arranged is the elements by slot, those of one slot as compare has them, equal ones as they were.
func arranged[T any](elements []T, slot func(*T) uint64, compare func(a, b *T) int) []T {
	places := make([]uint64, len(elements)) // slot and index
	for i := range elements {
		places[i] = slot(&elements[i])<<32 | uint64(i)
	}
	places = sortHigh(places)
	for first := 0; first < len(places); {
		next := first + 1
		for next < len(places) && places[next]>>32 == places[first]>>32 {
			next++
		}
		if next > first+1 { // few share a slot
			slices.SortStableFunc(places[first:next], func(a, b uint64) int { return compare(&elements[uint32(a)], &elements[uint32(b)]) })
		}
		first = next
	}
	result := make([]T, len(elements))
	for i, place := range places {
		result[i] = elements[uint32(place)]
	}
	return result
}

// sortHigh sorts numbers by their upper halves, equal ones as they were: digit by digit, since there are a hundred thousand rules.
func sortHigh(numbers []uint64) []uint64 {
	const digit = 11 // bits
	highest := uint64(0)
	for _, number := range numbers {
		highest = max(highest, number)
	}
	other := make([]uint64, len(numbers))
	for shift := 32; highest>>shift != 0; shift += digit {
		var counts [1 << digit]int
		for _, number := range numbers {
			counts[number>>shift&(1<<digit-1)]++
		}
		begin := 0
		for i, count := range counts {
			counts[i], begin = begin, begin+count
		}
		for _, number := range numbers {
			at := &counts[number>>shift&(1<<digit-1)]
			other[*at] = number
			*at++
		}
		numbers, other = other, numbers
	}
	return numbers
}

// mix is the hash of rules: MurmurHash3's for a few words.
func mix(words ...uint16) uint32 {
	hash := uint32(0)
	for _, word := range words {
		value := uint32(word) * 0xcc9e2d51
		value = (value<<15 | value>>17) * 0x1b873593
		hash ^= value
		hash = (hash<<13|hash>>19)*5 + 0xe6546b64
	}
	hash = (hash ^ hash>>16) * 0x85ebca6b
	hash = (hash ^ hash>>13) * 0xc2b2ae35
	return hash ^ hash>>16
}

// key is what the access vector table finds a rule by, in the order in which it compares.
func (r *Rule) key() uint64 { return uint64(r.Source)<<32 | uint64(r.Target)<<16 | uint64(r.Class) }

func arrangeRules(rules []Rule) {
	copy(rules, arranged(rules, func(r *Rule) uint64 { return uint64(mix(r.Class, r.Target, r.Source)) % ruleSlots },
		func(a, b *Rule) int { return cmp.Compare(a.key(), b.key()) }))
	for first := 0; first < len(rules); {
		next := first + 1
		for next < len(rules) && rules[next].key() == rules[first].key() {
			next++
		}
		if next > first+1 {
			arrangeExtended(rules[first:next])
		}
		first = next
	}
}

// arrangeExtended orders the rules of one key: extended ones come last. The compiler collects these by kind in two more hash tables, that of ioctl commands first,
// whose order is that of the kinds; of one kind it puts each in front of the one before. It makes them with rising drivers, whole drivers after functions.
func arrangeExtended(rules []Rule) {
	type rank struct{ messages, slot, first int }
	ranks := map[uint16]rank{}
	for i, rule := range rules {
		if rule.Kind&ruleExtended == 0 {
			continue
		}
		found, seen := ranks[rule.Kind]
		if !seen {
			found = rank{1, int(mix(rule.Class, rule.Target, rule.Source, rule.Kind) % extendedSlots), i}
		}
		if rule.Extended.Kind != extendedMessages {
			found.messages = 0
		}
		ranks[rule.Kind] = found
	}
	if len(ranks) == 0 {
		return
	}
	slices.SortStableFunc(rules, func(a, b Rule) int {
		switch left, right := a.Kind&ruleExtended != 0, b.Kind&ruleExtended != 0; {
		case !left && !right:
			return 0
		case !left:
			return -1
		case !right:
			return 1
		case a.Kind != b.Kind:
			one, other := ranks[a.Kind], ranks[b.Kind]
			return cmp.Or(cmp.Compare(one.messages, other.messages), cmp.Compare(one.slot, other.slot), cmp.Compare(one.first, other.first))
		}
		return cmp.Or(cmp.Compare(b.Extended.Kind, a.Extended.Kind), cmp.Compare(b.Extended.Driver, a.Extended.Driver))
	})
}

// arrangeFilenames orders file name transitions by target, class and name. Before version 33 each has one source: those of one key come by result, in the order of
// its first source, and then by source.
func (p *Policy) arrangeFilenames() {
	type key struct {
		target, class uint32
		name          string
	}
	keyOf := func(t *FilenameTransition) key { return key{t.Target, t.Class, t.Name} }
	keys := map[key][]uint32{} // the results of each
	for i := range p.Filenames {
		key := keyOf(&p.Filenames[i])
		for _, result := range p.Filenames[i].Results {
			if results := keys[key]; !slices.Contains(results, result.Type) {
				keys[key] = append(results, result.Type)
			}
		}
	}
	mask := slotsFor(len(keys), filenameSlots) - 1
	slot := func(t *FilenameTransition) uint64 {
		hash := uint64(t.Target ^ t.Class)
		for i := range len(t.Name) {
			letter := uint64(t.Name[i])
			hash = (hash + letter<<4 + letter>>4) * 11
		}
		return hash & mask
	}
	p.Filenames = arranged(p.Filenames, slot, func(a, b *FilenameTransition) int {
		if by := cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Class, b.Class), strings.Compare(a.Name, b.Name)); by != 0 {
			return by
		}
		results := keys[keyOf(a)]
		return cmp.Or(cmp.Compare(slices.Index(results, a.Results[0].Type), slices.Index(results, b.Results[0].Type)),
			slices.Compare(slices.Collect(a.Results[0].Sources.All()), slices.Collect(b.Results[0].Sources.All())))
	})
}

func (p *Policy) arrangeRanges() {
	mask := slotsFor(len(p.RangeRules), rangeSlots) - 1
	slot := func(r *RangeTransition) uint64 { return uint64(r.Source+r.Target<<3+r.Class<<5) & mask }
	p.RangeRules = arranged(p.RangeRules, slot, func(a, b *RangeTransition) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Class, b.Class))
	})
}
