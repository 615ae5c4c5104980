// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// socketWords are the accesses of network and unix rules.
const socketWords = "create bind listen accept connect send receive shutdown getattr setattr getopt setopt"

// socketMatrix is what the rules say of each family and type.
type socketMatrix [256][256]dfa.Accept

// network writes the rules of class 14: all of the four bytes that the kernel matches are looked at.
func (s *shower) network(profile *binary.Profile, depth int) {
	a := profile.PolicyDB.Automaton
	start := classStart(profile, classNetworkV8)
	var matrix socketMatrix
	high := a.Step(start, 0)
	for family := range 256 {
		state := a.Step(a.Step(high, byte(family)), 0)
		for kind := range 256 {
			matrix[family][kind] = a.Accept[a.Step(state, byte(kind))]
		}
	}
	s.matrix(&matrix, depth)
	if family := a.Step(a.Step(high, familyUnix), 0); family != 0 && saysMore(a, family, 1) {
		s.line(depth, "# rules about the addresses and labels of unix sockets are not shown")
	}
}

// saysMore reports whether strings that go on behind so many bytes have a meaning of their own.
func saysMore(a *dfa.Automaton, state uint32, bytes int) bool {
	if bytes > 0 {
		return slices.ContainsFunc(a.Row(state), func(to uint32) bool { return to != 0 && saysMore(a, to, bytes-1) })
	}
	return slices.ContainsFunc(a.Reachable(state)[1:], func(further uint32) bool { return a.Accept[further] != (dfa.Accept{}) })
}

// networkTable writes the rules of kernels before network_v8, which have a table of families beside policydb.
func (s *shower) networkTable(profile *binary.Profile, depth int) {
	var matrix socketMatrix
	for family, row := range profile.NetworkAllowed {
		for kind := range everySocketType {
			bit := uint16(1) << kind
			if row[0]&bit != 0 {
				matrix[family][kind].One = networkAll
			}
			if row[1]&bit != 0 {
				matrix[family][kind].Two |= networkAll
			}
			if row[2]&bit != 0 {
				matrix[family][kind].Two |= networkAll << quietShift
			}
		}
	}
	s.matrix(&matrix, depth)
}

// matrix writes the rules for what is said of each family and type.
func (s *shower) matrix(matrix *socketMatrix, depth int) {
	everywhere := matrix[familyNone][0] // what a family has that the language has no name for is what the rule for all sockets gives
	var texts []string
	if everywhere != (dfa.Accept{}) {
		texts = append(texts, networkText(everywhere, "", "")...)
	}
	for family, name := range families {
		if name != "" {
			texts = append(texts, matrix.family(byte(family), name, everywhere)...)
		}
	}
	for _, text := range texts {
		s.line(depth, "%s", text)
	}
}

// family is what rules for one family say beyond those for all.
func (m *socketMatrix) family(family byte, name string, everywhere dfa.Accept) []string {
	kinds := socketTypes()
	order := slices.SortedFunc(func(yield func(string) bool) {
		for kind := range kinds {
			if !yield(kind) {
				return
			}
		}
	}, func(a, b string) int { return int(kinds[a]) - int(kinds[b]) })
	same := m[family][1]
	if every := m[family][0]; family == familyUnix && every == same && every != everywhere && every.Two == 0 && unpacked(packed(every.One)) == networkAll {
		return []string{"unix,"} // which is for more types than those that the language names
	}
	alike := true
	for _, kind := range order {
		alike = alike && m[family][kinds[kind]] == same
	}
	if alike {
		if same == everywhere {
			return nil
		}
		return networkText(beyond(same, everywhere), name, "")
	}
	var texts []string
	for _, kind := range order {
		if has := m[family][kinds[kind]]; has != everywhere {
			texts = append(texts, networkText(beyond(has, everywhere), name, kind)...)
		}
	}
	return texts
}

// beyond is what one has that the other has not.
func beyond(has, known dfa.Accept) dfa.Accept {
	return dfa.Accept{One: has.One &^ known.One, Two: has.Two &^ known.Two}
}

// networkText are rules for what an accept word says.
func networkText(accept dfa.Accept, family, kind string) []string {
	allow, audit, quiet := unpacked(packed(accept.One)), unpacked(packed(accept.Two)), unpacked(packed(accept.Two>>quietShift))
	var texts []string
	for _, rule := range []struct {
		qualifier string
		perms     uint32
	}{{"", allow &^ audit}, {"audit", allow & audit}, {"deny", quiet}} {
		if rule.perms == 0 {
			continue
		}
		access, ok := names(rule.perms, socketWords, networkAccess(), networkAll)
		if !ok {
			access = fmt.Sprintf("# permissions %#x", rule.perms)
		}
		texts = append(texts, words(rule.qualifier, "network", access, family, kind)+",")
	}
	return texts
}
