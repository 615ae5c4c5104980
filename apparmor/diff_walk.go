// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"cmp"
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// place is where two automata are at once, and what part of the kernel's string that is.
type place struct {
	a, b uint32
	part uint16
}

// comparison is a walk over every place that a string of the kernel leads to.
type comparison struct {
	a, b  *dfa.Automaton
	start place
	// part is the one after a byte, and never where no string of the kernel has the byte there.
	part func(at place, b byte) (part uint16, ever bool)
	// alone tells bytes apart that part does: those with the same number lead to the same parts.
	alone func(b byte) uint8
	// differ says what either side makes of the strings that end in a place, and whether that is different.
	differ  func(at place) (a, b string, different bool)
	limit   int  // of places, 0 for maximumPlaces
	numbers bool // the strings have numbers: zeros read best
}

// witness is the shortest string that ends in a place.
type witness struct {
	text string
	at   place
	a, b string
}

// What bounds a comparison: places, some 300 MB, and steps, some seconds.
const (
	maximumPlaces = 1 << 22
	maximumSteps  = 1 << 28
)

// outOfBand is the symbol that is no byte. In a witness a NUL stands for it: what comes after it is the value of an extended attribute.
const outOfBand = 256

// run returns a witness of each kind of difference, at most the number.
func (c *comparison) run(most int) ([]witness, error) {
	type arrival struct {
		at     place
		from   int32
		symbol int16
	}
	symbols := c.symbols()
	limit := cmp.Or(c.limit, min(maximumPlaces, maximumSteps/len(symbols)))
	arrivals := []arrival{{at: c.start, from: -1}}
	seen := map[place]bool{c.start: true}
	kinds := map[[2]string]bool{}
	var found []witness
	for i := 0; i < len(arrivals) && len(found) < most; i++ {
		at := arrivals[i].at
		if a, b, different := c.differ(at); different && !kinds[[2]string{a, b}] {
			kinds[[2]string{a, b}] = true
			var text []byte
			for j := int32(i); arrivals[j].from >= 0; j = arrivals[j].from {
				if symbol := arrivals[j].symbol; symbol != outOfBand {
					text = append(text, byte(symbol))
				} else {
					text = append(text, 0)
				}
			}
			slices.Reverse(text)
			found = append(found, witness{string(text), at, a, b})
		}
		for _, symbol := range symbols {
			to := place{part: at.part}
			if symbol == outOfBand {
				to.a, to.b = c.a.StepOutOfBand(at.a), c.b.StepOutOfBand(at.b)
			} else {
				var ever bool
				if to.part, ever = c.part(at, byte(symbol)); !ever {
					continue
				}
				to.a, to.b = c.a.Step(at.a, byte(symbol)), c.b.Step(at.b, byte(symbol))
			}
			// Where both are trapped nothing is accepted any more.
			if to.a == 0 && to.b == 0 || seen[to] {
				continue
			}
			if len(arrivals) == limit {
				return nil, &dfa.LimitError{What: "states to compare", Limit: limit}
			}
			seen[to] = true
			arrivals = append(arrivals, arrival{to, int32(i), int16(symbol)})
		}
	}
	return found, nil
}

// symbols are bytes, one of each kind that neither automaton nor the parts tell apart: of several the one that reads best. The symbol that is no byte
// comes last, where one of the automata knows it.
func (c *comparison) symbols() []int {
	type kind struct{ a, b, part uint8 }
	known := map[kind]bool{}
	var symbols []int
	spans := []string{"az", "//", "09", "AZ", " ~", "\x00\x1f", "\x7f\xff"}
	if c.numbers {
		spans = append([]string{"\x00\x00"}, spans...)
	}
	for _, span := range spans {
		for b := int(span[0]); b <= int(span[1]); b++ {
			k := kind{a: c.a.Class[b], b: c.b.Class[b]}
			if c.alone != nil {
				k.part = c.alone(byte(b))
			}
			if !known[k] {
				known[k] = true
				symbols = append(symbols, b)
			}
		}
	}
	if c.a.OutOfBand != nil || c.b.OutOfBand != nil {
		symbols = append(symbols, outOfBand)
	}
	return symbols
}
