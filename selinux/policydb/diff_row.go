// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"encoding/binary"
	"slices"
	"strings"
)

// row compares what a source type has.
func (m *matrix) row(source string) []Difference {
	number := m.numbers[source]
	r := &row{matrix: m, source: source}
	var facets, lonely []uint32
	for i, s := range m.sides {
		r.symbols[i] = s.symbols(s.values[number])
	}
	if m.sides[0].values[number] != 0 && m.sides[1].values[number] != 0 {
		facets = m.suspects(r.symbols)
		for i, s := range m.sides {
			for _, symbol := range r.symbols[i] {
				lonely = append(lonely, s.lonely[symbol]...)
			}
		}
	} else {
		for i, s := range m.sides {
			for _, symbol := range r.symbols[i] {
				for _, e := range s.entries[symbol] {
					facets = append(facets, e.facet)
				}
			}
		}
	}
	for _, facet := range unique(facets) {
		r.compare(facet, true)
	}
	for _, facet := range unique(lonely) {
		if !slices.Contains(facets, facet) {
			r.compare(facet, false)
		}
	}
	r.extended()
	return r.found
}

func unique(numbers []uint32) []uint32 {
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// suspects are the facets of which the symbols' entries are not the same in both policies, as far as targets are concerned that both have.
func (m *matrix) suspects(symbols [2][]uint32) []uint32 {
	var numbers [2][]uint32
	for i, s := range m.sides {
		for _, symbol := range symbols[i] {
			if number := s.contributions[symbol]; number != 0 {
				numbers[i] = append(numbers[i], number)
			}
		}
		numbers[i] = unique(numbers[i])
	}
	if slices.Equal(numbers[0], numbers[1]) {
		return nil
	}
	var key []byte
	var rest [2][]uint32
	for i, s := range m.sides {
		for _, symbol := range symbols[i] {
			if _, both := slices.BinarySearch(numbers[1-i], s.contributions[symbol]); !both && s.contributions[symbol] != 0 {
				rest[i] = append(rest[i], symbol)
				key = binary.LittleEndian.AppendUint32(key, s.contributions[symbol])
			}
		}
		key = append(key, '|')
	}
	known, ok := m.unequal[string(key)]
	if !ok {
		known = m.compareCells(rest)
		m.unequal[string(key)] = known
	}
	return slices.Clone(known)
}

// compareCells are the facets of cells that the symbols do not have alike.
func (m *matrix) compareCells(symbols [2][]uint32) []uint32 {
	type place struct {
		facet uint32
		when  function
		set   string
	}
	words := map[place][2]uint64{}
	for i, s := range m.sides {
		for _, symbol := range symbols[i] {
			for _, e := range s.entries[symbol] {
				if len(s.common[e.target]) > 0 {
					at := place{e.facet, e.when, string(s.common[e.target].bytes())}
					both := words[at]
					both[i] |= e.word
					words[at] = both
				}
			}
		}
	}
	var facets []uint32
	for at, both := range words {
		if both[0] != both[1] {
			facets = append(facets, at.facet)
		}
	}
	return unique(facets)
}

// row is the work on one source type.
type row struct {
	*matrix
	source  string
	symbols [2][]uint32
	words   [2][]uint64    // by target: what holds always
	whens   [2][]condition // of all targets
	found   []Difference
	suspect []suspect
}

// condition is what holds under a condition.
type condition struct {
	target uint32
	when   function
	word   uint64
}

// suspect is a target of which parts of the extended permissions differ.
type suspect struct {
	class   string
	purpose uint8
	target  uint32
}

// compare compares one facet, for all targets or for those that only one policy has.
func (r *row) compare(facet uint32, all bool) {
	for i, s := range r.sides() {
		if r.words[i] == nil {
			r.words[i] = make([]uint64, len(r.typeNames))
		}
		clear(r.words[i])
		r.whens[i] = r.whens[i][:0]
		add := func(e entry, targets Bitmap) {
			for target := range targets.All() {
				if e.when == always {
					r.words[i][target] |= e.word
				} else {
					r.whens[i] = append(r.whens[i], condition{target, e.when, e.word})
				}
			}
		}
		s.each(r.symbols[i], facet, func(e entry) {
			if add(e, s.alone[e.target]); all {
				add(e, s.common[e.target])
			}
		})
	}
	var conditional [2]map[uint32]map[function]uint64
	var targets []uint32
	for i := range conditional {
		conditional[i] = map[uint32]map[function]uint64{}
		for _, one := range r.whens[i] {
			if word := one.word &^ r.words[i][one.target]; word != 0 {
				if conditional[i][one.target] == nil {
					conditional[i][one.target] = map[function]uint64{}
				}
				conditional[i][one.target][one.when] |= word
				targets = append(targets, one.target)
			}
		}
	}
	for target := range r.words[0] {
		if r.words[0][target] != r.words[1][target] {
			targets = append(targets, uint32(target))
		}
	}
	for _, target := range unique(targets) {
		r.compareTarget(facet, target, [2]map[function]uint64{conditional[0][target], conditional[1][target]})
	}
}

func (r *row) sides() [2]*matrixSide { return r.matrix.sides }

// compareTarget compares what holds for one target, by the condition: permissions for which that comes to the same are the same.
func (r *row) compareTarget(facet, target uint32, conditional [2]map[function]uint64) {
	var whens []function
	words := [2]map[function]uint64{{always: r.words[0][target]}, {always: r.words[1][target]}}
	for i := range conditional {
		for when, word := range conditional[i] {
			words[i][when] = word
		}
		for when := range words[i] {
			whens = append(whens, when)
		}
	}
	slices.Sort(whens)
	whens = slices.Compact(whens)
	unlike := r.unlike(whens, words)
	o := r.facets[facet]
	for _, when := range whens {
		first, second := words[0][when], words[1][when]
		if (first^second)&unlike == 0 {
			continue
		}
		if o.extended != 0 {
			purpose := (&Extended{Kind: o.extended}).purpose()
			r.suspect = append(r.suspect, suspect{o.class, purpose, target})
			return
		}
		sign := Modified
		if first == 0 {
			sign = Added
		} else if second == 0 {
			sign = Removed
		}
		r.tell(sign, o.class, target, when, r.permissionWords(o.class, first&second), r.permissionWords(o.class, first&^second), r.permissionWords(o.class, second&^first), "")
	}
}

// unlike are the permissions that are not held under the same circumstances.
func (r *row) unlike(whens []function, words [2]map[function]uint64) uint64 {
	unlike := words[0][always] ^ words[1][always]
	if len(whens) == 1 {
		return unlike
	}
	for _, when := range whens {
		unlike |= words[0][when] ^ words[1][when]
	}
	for bit := uint64(1); bit != 0; bit <<= 1 {
		if unlike&bit == 0 {
			continue
		}
		var holds [2]function
		r.functions.budget = diagramLimit
		for i := range holds {
			for _, when := range whens {
				if words[i][when]&bit != 0 {
					holds[i] = r.functions.or(holds[i], when)
				}
			}
		}
		if holds[0] == holds[1] && r.functions.budget >= 0 {
			unlike &^= bit
		}
	}
	return unlike
}

// tell reports one rule: what is in both, in the first and in the second policy.
func (r *row) tell(sign Sign, class string, target uint32, when function, both, first, second []string, permission string) {
	var words string
	switch sign {
	case Removed:
		words = braced(first)
	case Added:
		words = braced(second)
	default:
		words = "{ " + strings.Join(slices.Concat(both, prefixed("+", second), prefixed("-", first)), " ") + " }"
	}
	text := ruleWord(r.kind) + " " + r.source + " " + r.typeNames[target] + ":" + class + " " + permission + words + ";"
	if when != always {
		text += " " + r.branches[when]
	}
	r.found = append(r.found, Difference{Sign: sign, Text: text})
}

func prefixed(prefix string, words []string) []string {
	made := make([]string, len(words))
	for i, word := range words {
		made[i] = prefix + word
	}
	return made
}
