// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// access compares the rules of access of one kind, for each source type, target type and class: tens of millions of triples in a policy of a distribution, of which
// it writes out only those that may differ.
//
// What a symbol (a type or an attribute) has as source of rules is its contribution, the targets expanded to types that both policies have; a source type's row is the
// union of the contributions of its attributes. Contributions that are the same in both policies get the same number, so that rows of the same numbers need no look.
// Where numbers differ, the classes of the entries that do are compared, target by target. Pairs of types that only one policy has are told one by one.
func (c *comparison) access(kind uint16) {
	m := newMatrix(c, kind)
	for _, name := range m.typeNames {
		differences := m.row(name)
		slices.SortFunc(differences, func(a, b Difference) int {
			return cmp.Or(strings.Compare(a.Text, b.Text), strings.Compare(string(a.Sign), string(b.Sign)))
		})
		for _, one := range differences {
			if c.emit(one.Sign, one.Text, one.Details...); c.stopped {
				return
			}
		}
	}
}

// facet is what a word of an entry is about: the permissions of a class, or a part of its extended permissions.
type facet struct {
	class    string
	extended uint8  // Kind of Extended; 0: permissions
	driver   uint16 // of commands
	quarter  uint8  // which 64 of 256
}

// presence marks that there are extended permissions, of which there may be none.
const presence = 0x100

// entry is a rule: words of permissions of an facet (its number), to a target (value less 1), under a condition.
type entry struct {
	facet, target uint32
	when          function
	word          uint64
}

// matrix are the rules of one kind of both policies.
type matrix struct {
	*comparison
	kind        uint16
	typeNames   []string // of both policies, sorted; their places are the types' numbers
	numbers     map[string]uint32
	facets      []facet
	known       map[facet]uint32
	permissions map[string]map[string]uint8 // bits of an entry's word by class and name
	written     map[permissionWord][]string
	sides       [2]*matrixSide
	unequal     map[string][]uint32 // facets that differ, by the contributions that do
}

// matrixSide is one policy.
type matrixSide struct {
	*side
	types         []uint32   // numbers of types by value less 1; of attributes nothing
	values        []uint32   // of types by number; 0: this policy has it not
	common        []Bitmap   // by symbol: the numbers of its types that both policies have
	alone         []Bitmap   // that only this one has
	entries       [][]entry  // by symbol as source, sorted by facet
	contributions []uint32   // by symbol as source; 0: none
	lonely        [][]uint32 // by symbol as source: the facets of entries that have targets alone
}

func newMatrix(c *comparison, kind uint16) *matrix {
	m := &matrix{comparison: c, kind: kind, numbers: map[string]uint32{}, known: map[facet]uint32{}, permissions: map[string]map[string]uint8{}, unequal: map[string][]uint32{}, written: map[permissionWord][]string{}}
	for _, s := range c.sides {
		for _, t := range s.named.types {
			if t.Properties&TypeAttribute == 0 {
				m.numbers[t.Name] = 0
			}
		}
	}
	m.typeNames = sortedKeys(m.numbers)
	for i, name := range m.typeNames {
		m.numbers[name] = uint32(i)
	}
	for i, s := range c.sides {
		m.sides[i] = &matrixSide{side: s, types: make([]uint32, len(s.named.types)), values: make([]uint32, len(m.typeNames))}
		for value, t := range s.named.types {
			if t.Properties&TypeAttribute == 0 {
				m.sides[i].types[value] = m.numbers[t.Name]
				m.sides[i].values[m.numbers[t.Name]] = t.Value
			}
		}
	}
	sets, contributions := map[string]uint32{}, map[string]uint32{}
	for i := range m.sides {
		m.expand(m.sides[i], m.sides[1-i])
		m.collect(m.sides[i])
		m.number(m.sides[i], sets, contributions)
	}
	return m
}

// expand works out the types of each symbol: those that have it as an attribute, and itself.
func (m *matrix) expand(s, other *matrixSide) {
	s.common, s.alone = make([]Bitmap, len(s.named.types)), make([]Bitmap, len(s.named.types))
	for value, t := range s.named.types {
		if t.Properties&TypeAttribute != 0 {
			continue
		}
		into := s.alone
		if other.values[s.types[value]] != 0 {
			into = s.common
		}
		into[value].set(s.types[value])
		for symbol := range s.Attributes[value].All() {
			into[symbol].set(s.types[value])
		}
	}
}

// collect makes the entries.
func (m *matrix) collect(s *matrixSide) {
	s.entries, s.lonely = make([][]entry, len(s.named.types)), make([][]uint32, len(s.named.types))
	words := map[uint64]uint64{} // by class and vector
	addAll := func(rules []Rule, when function) {
		if when == never {
			return
		}
		for i := range rules {
			if rule := &rules[i]; rule.Kind&m.kind != 0 {
				m.add(s, rule, when, words)
			}
		}
	}
	addAll(s.Rules, always)
	for i := range s.Conditions {
		when := m.when(s.side, &s.Conditions[i])
		addAll(s.Conditions[i].True, when[0])
		addAll(s.Conditions[i].False, when[1])
	}
	for source, entries := range s.entries {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.facet, b.facet) })
		for _, e := range entries {
			if list := s.lonely[source]; len(s.alone[e.target]) > 0 && (len(list) == 0 || list[len(list)-1] != e.facet) {
				s.lonely[source] = append(list, e.facet)
			}
		}
	}
}

// add makes the entries of one rule.
func (m *matrix) add(s *matrixSide, rule *Rule, when function, words map[uint64]uint64) {
	source, class := rule.Source-1, s.class(uint32(rule.Class))
	put := func(o facet, word uint64) {
		if word != 0 {
			s.entries[source] = append(s.entries[source], entry{m.facetNumber(o), uint32(rule.Target - 1), when, word})
		}
	}
	if e := rule.Extended; e != nil {
		kind, driver := e.Kind, uint16(e.Driver)
		put(facet{class: class, extended: e.purpose(), driver: presence}, 1)
		if kind == extendedDrivers {
			driver = presence + 1
		}
		for quarter := range 4 {
			put(facet{class, kind, driver, uint8(quarter)}, uint64(e.Bits[2*quarter])|uint64(e.Bits[2*quarter+1])<<32)
		}
		return
	}
	vector := rule.Data
	if rule.Kind&RuleAuditDeny != 0 {
		vector = ^vector
	}
	key := uint64(rule.Class)<<32 | uint64(vector)
	word, known := words[key]
	if !known {
		for _, name := range s.PermissionNames(s.named.classes[rule.Class-1], vector) {
			word |= 1 << m.permissionBit(class, name)
		}
		words[key] = word
	}
	put(facet{class: class}, word)
}

// purpose is the kind of extended permissions that go together: those of ioctl, or of netlink.
func (e *Extended) purpose() uint8 {
	if e.Kind == extendedMessages {
		return extendedMessages
	}
	return extendedFunctions
}

func (m *matrix) facetNumber(o facet) uint32 {
	number, known := m.known[o]
	if !known {
		number = uint32(len(m.facets))
		m.known[o] = number
		m.facets = append(m.facets, o)
	}
	return number
}

// permissionBit is the bit of a permission by name; two policies have up to twice 32 of them.
func (m *matrix) permissionBit(class, name string) uint8 {
	table := m.permissions[class]
	if table == nil {
		table = map[string]uint8{}
		m.permissions[class] = table
	}
	bit, known := table[name]
	if !known {
		bit = uint8(len(table))
		table[name] = bit
	}
	return bit
}

// permissionWord are permissions of a class.
type permissionWord struct {
	class string
	word  uint64
}

func (m *matrix) permissionWords(class string, word uint64) []string {
	key := permissionWord{class, word}
	names, known := m.written[key]
	if !known {
		for name, bit := range m.permissions[class] {
			if word&(1<<bit) != 0 {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		m.written[key] = names
	}
	return names
}

// cell is where entries of the same contribution add up: an facet and a set of targets under a condition.
type cell struct {
	facet, set uint32
	when       function
}

// number gives the same number to the same contributions, whichever policy they are of.
func (m *matrix) number(s *matrixSide, sets, contributions map[string]uint32) {
	setOf := make([]uint32, len(s.common))
	for symbol, set := range s.common {
		setOf[symbol] = numberOf(sets, string(set.bytes()))
	}
	s.contributions = make([]uint32, len(s.entries))
	for source, entries := range s.entries {
		words := map[cell]uint64{}
		for _, e := range entries {
			if len(s.common[e.target]) > 0 {
				words[cell{e.facet, setOf[e.target], e.when}] |= e.word
			}
		}
		if len(words) == 0 {
			continue
		}
		cells := make([]cell, 0, len(words))
		for at := range words {
			cells = append(cells, at)
		}
		slices.SortFunc(cells, func(a, b cell) int {
			return cmp.Or(cmp.Compare(a.facet, b.facet), cmp.Compare(a.set, b.set), cmp.Compare(a.when, b.when))
		})
		var key []byte
		for _, at := range cells {
			key = binary.LittleEndian.AppendUint32(key, at.facet)
			key = binary.LittleEndian.AppendUint32(key, at.set)
			key = binary.LittleEndian.AppendUint32(key, uint32(at.when))
			key = binary.LittleEndian.AppendUint64(key, words[at])
		}
		s.contributions[source] = numberOf(contributions, string(key))
	}
}

// numberOf counts from 1.
func numberOf(table map[string]uint32, key string) uint32 {
	number, known := table[key]
	if !known {
		number = uint32(len(table) + 1)
		table[key] = number
	}
	return number
}

func (b Bitmap) bytes() []byte {
	raw := make([]byte, 0, 8*len(b))
	for _, word := range b {
		raw = binary.LittleEndian.AppendUint64(raw, word)
	}
	return raw
}

// symbols are a type and its attributes (values less 1), as far as they are the source of rules.
func (s *matrixSide) symbols(value uint32) []uint32 {
	var found []uint32
	if value == 0 {
		return nil
	}
	for symbol := range s.Attributes[value-1].All() {
		if len(s.entries[symbol]) > 0 {
			found = append(found, symbol)
		}
	}
	if len(s.entries[value-1]) > 0 && !s.Attributes[value-1].Has(value-1) {
		found = append(found, value-1)
	}
	return found
}

// each calls visit with the entries of an facet that the symbols have as source.
func (s *matrixSide) each(symbols []uint32, facet uint32, visit func(e entry)) {
	for _, symbol := range symbols {
		entries := s.entries[symbol]
		first, _ := slices.BinarySearchFunc(entries, facet, func(e entry, facet uint32) int { return cmp.Compare(e.facet, facet) })
		for ; first < len(entries) && entries[first].facet == facet; first++ {
			visit(entries[first])
		}
	}
}
