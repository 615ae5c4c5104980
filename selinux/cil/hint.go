// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"iter"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// hint names what is declared and written most alike, for a name that is not declared; "" where nothing is alike.
func (r *resolver) hint(e *unresolvedError) string {
	return nearest(e.at.node.Word(), r.declaredNames(e))
}

// declaredNames are the names that could have been meant.
func (r *resolver) declaredNames(e *unresolvedError) iter.Seq[string] {
	return func(yield func(string) bool) {
		if e.of != nil {
			for _, of := range []*class{e.of, r.commonOf(e.of)} {
				for i := 0; of != nil && i < len(of.permissions); i++ {
					if !yield(of.permissions[i].name) {
						return
					}
				}
			}
			return
		}
		for s := e.at.scope; s != nil; s = s.parent {
			for name := range s.names {
				if name.kind() == e.kind && !yield(r.words.Word(name.word())) {
					return
				}
			}
		}
	}
}

func (k key) kind() symbolKind { return symbolKind(k >> 32) }
func (k key) word() uint32     { return uint32(k) }

// nearest says which name takes the fewest changes of letters to become the word, of several the first by the alphabet. With more than a third of the letters
// changed it is another word, and nothing is said.
func nearest(word string, names iter.Seq[string]) string {
	best, fewest := "", len(word)/3+1
	for _, name := range slices.Sorted(names) {
		if difference := len(word) - len(name); difference >= fewest || -difference >= fewest {
			continue
		}
		changes := source.Distance(word, name)
		if strings.EqualFold(word, name) {
			changes = 0
		}
		if changes < fewest {
			best, fewest = name, changes
		}
	}
	if best == "" {
		return ""
	}
	return "; there is " + best
}
