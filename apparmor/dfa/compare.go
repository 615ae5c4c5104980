// SPDX-License-Identifier: Apache-2.0

package dfa

import "slices"

// Difference is a string on which two automata differ.
type Difference struct {
	Text  []byte // bytes; the shortest
	OutOf []int  // offsets in Text where an out of band symbol comes before the byte
	A, B  Accept
}

// pair is a state of each automaton.
type pair struct{ a, b uint32 }

// arrival says how a pair was first reached.
type arrival struct {
	from   int // index of the pair before, -1 for the first
	symbol int // a byte, or outOfBandSymbol
}

const outOfBandSymbol = 256

// Compare walks both automata from the states at once. It returns nil where same holds in every pair of states that a string reaches.
func Compare(a, b *Automaton, startA, startB uint32, same func(a, b Accept) bool) *Difference {
	symbols := jointSymbols(a, b)
	if a.OutOfBand != nil || b.OutOfBand != nil {
		symbols = append(symbols, outOfBandSymbol)
	}
	pairs := []pair{{startA, startB}}
	seen := map[pair]bool{pairs[0]: true}
	arrivals := []arrival{{from: -1}}
	for i := 0; i < len(pairs); i++ {
		at := pairs[i]
		if x, y := a.Accept[at.a], b.Accept[at.b]; !same(x, y) {
			d := &Difference{A: x, B: y}
			d.trace(arrivals, i)
			return d
		}
		for _, symbol := range symbols {
			var to pair
			if symbol == outOfBandSymbol {
				to = pair{a.StepOutOfBand(at.a), b.StepOutOfBand(at.b)}
			} else {
				to = pair{a.Step(at.a, byte(symbol)), b.Step(at.b, byte(symbol))}
			}
			if !seen[to] {
				seen[to] = true
				pairs = append(pairs, to)
				arrivals = append(arrivals, arrival{i, symbol})
			}
		}
	}
	return nil
}

// trace writes the string that leads to a pair.
func (d *Difference) trace(arrivals []arrival, i int) {
	var symbols []int
	for ; arrivals[i].from >= 0; i = arrivals[i].from {
		symbols = append(symbols, arrivals[i].symbol)
	}
	slices.Reverse(symbols)
	for _, symbol := range symbols {
		if symbol == outOfBandSymbol {
			d.OutOf = append(d.OutOf, len(d.Text))
			continue
		}
		d.Text = append(d.Text, byte(symbol))
	}
}

// jointSymbols are bytes, one for each pair of classes, that which reads best.
func jointSymbols(a, b *Automaton) []int {
	var symbols []int
	var known [256][256]bool
	for _, byteRange := range []string{"az", "//", "09", "AZ", "!/", " ~", "\x00\x1f", "\x7f\xff"} {
		for one := int(byteRange[0]); one <= int(byteRange[1]); one++ {
			if x, y := a.Class[one], b.Class[one]; !known[x][y] {
				known[x][y] = true
				symbols = append(symbols, one)
			}
		}
	}
	return symbols
}
