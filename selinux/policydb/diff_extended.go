// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// commandSet is a set of 16-bit commands or messages.
type commandSet [1 << 10]uint64

// extended tells the extended permissions of the targets of which parts differ, if the whole does.
func (r *row) extended() {
	slices.SortFunc(r.suspect, func(a, b suspect) int {
		return cmp.Or(strings.Compare(a.class, b.class), cmp.Compare(a.purpose, b.purpose), cmp.Compare(a.target, b.target))
	})
	for _, of := range slices.Compact(r.suspect) {
		var sets [2]map[function]*commandSet
		var whens []function
		for i := range sets {
			sets[i] = r.commands(i, of)
			for when := range sets[i] {
				whens = append(whens, when)
			}
		}
		slices.Sort(whens)
		for _, when := range slices.Compact(whens) {
			r.tellExtended(of, when, sets[0][when], sets[1][when])
		}
	}
}

func (r *row) tellExtended(of suspect, when function, first, second *commandSet) {
	sign := Modified
	switch {
	case first == nil:
		sign, first = Added, &commandSet{}
	case second == nil:
		sign, second = Removed, &commandSet{}
	case *first == *second:
		return
	}
	var both, onlyFirst, onlySecond commandSet
	for i := range both {
		both[i], onlyFirst[i], onlySecond[i] = first[i]&second[i], first[i]&^second[i], second[i]&^first[i]
	}
	permission := map[uint8]string{extendedFunctions: "ioctl ", extendedMessages: "nlmsg "}[of.purpose]
	r.tell(sign, of.class, of.target, when, both.ranges(), onlyFirst.ranges(), onlySecond.ranges(), permission)
}

// commands are all the extended permissions of one side, by the condition under which they hold.
func (r *row) commands(i int, of suspect) map[function]*commandSet {
	s, sets := r.sides()[i], map[function]*commandSet{}
	for number, o := range r.facets {
		if o.class != of.class || (&Extended{Kind: o.extended}).purpose() != of.purpose {
			continue
		}
		s.each(r.symbols[i], uint32(number), func(e entry) {
			if !s.common[e.target].Has(of.target) && !s.alone[e.target].Has(of.target) {
				return
			}
			if sets[e.when] == nil {
				sets[e.when] = &commandSet{}
			}
			sets[e.when].add(o, e.word)
		})
	}
	for when, set := range sets {
		if holds := sets[always]; holds != nil && when != always {
			for word := range set {
				set[word] &^= holds[word]
			}
			if *set == (commandSet{}) {
				delete(sets, when)
			}
		}
	}
	return sets
}

func (c *commandSet) add(o facet, word uint64) {
	switch o.driver {
	case presence:
	case presence + 1:
		for bit := range uint16(64) {
			if word&(1<<bit) != 0 {
				driver := uint16(o.quarter)*64 + bit
				for i := range 4 {
					c[driver*4+uint16(i)] = ^uint64(0)
				}
			}
		}
	default:
		c[o.driver*4+uint16(o.quarter)] |= word
	}
}

// ranges are the commands in rising order: 0x8910, or 0x8920-0x8930 for several in a row.
func (c *commandSet) ranges() []string {
	has := func(number int) bool { return number < 1<<16 && c[number/64]&(1<<(number%64)) != 0 }
	var words []string
	for first := 0; first < 1<<16; first++ {
		if !has(first) {
			continue
		}
		last := first
		for has(last + 1) {
			last++
		}
		if words = append(words, fmt.Sprintf("0x%04x", first)); last > first {
			words[len(words)-1] += fmt.Sprintf("-0x%04x", last)
		}
		first = last
	}
	return words
}
