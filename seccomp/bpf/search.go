// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math"
	"slices"
)

// Run is a range of values of a word that are decided alike: from Start to before the next run's Start, or to the end of all values.
type Run struct {
	Start  uint32
	To     Ref
	Weight float64 // how often values of the range are asked for, in any unit
}

// Switch returns the node that goes where the runs say, which start at 0 and ascend. Adjacent runs that go the same way are one.
//
// The cost of a tree is the number of tests that are executed, weighted, and a share of the number of tests that are written. It is found in two steps: the
// runs are cut into chains, a chain being a range that goes one way but for single values, which cost one test each where a boundary on either side would be
// two; and the chains are the leaves of an alphabetic tree of minimal weighted depth. The first step is optimal but for the depth of the chains
// in that tree, of which it has only an estimate.
func (g *Graph) Switch(word Word, runs []Run) Ref {
	s := &g.search
	s.merge(runs)
	if len(s.runs) == 1 {
		return s.runs[0].To
	}
	s.cut()
	s.balance()
	next := 0
	return s.emit(g, word, &next, 0)
}

// lengthPrice is how many instructions executed in the mean one instruction of length is worth. Both the time to install a filter and the room it takes
// grow with its length.
const lengthPrice = 0.4

// depthPrice is how deep a chain lies in the tree over the chains, as a share of what its weight alone would make it. Found by trial.
const depthPrice = 0.9

// longestChain bounds the search: longer chains cost more than another level of the tree.
const longestChain = 16

// mostBalanced is the number of chains up to which the best tree is searched for, in quadratic time. No program has room for more.
const mostBalanced = Length

// chain is the runs first to last, all of which go to background but for single values.
type chain struct {
	first, last int32
	background  Ref
	weight      float64
}

// searcher finds one tree after the other. What it works with is kept, so that it is not made for each tree.
type searcher struct {
	runs   []Run // adjacent ones go different ways
	least  []float64
	from   []chain // the last one of the best chains up to each run
	chains []chain
	depths []int32 // of the chains in the tree
}

// merge takes runs over, making one of neighbours that go the same way.
func (s *searcher) merge(runs []Run) {
	s.runs = slices.Grow(s.runs[:0], min(len(runs), 256))
	for _, run := range runs {
		if last := len(s.runs) - 1; last >= 0 && s.runs[last].To == run.To {
			s.runs[last].Weight += run.Weight
			continue
		}
		s.runs = append(s.runs, run)
	}
}

// single reports whether the run is one value.
func (s *searcher) single(i int) bool {
	if i == len(s.runs)-1 {
		return s.runs[i].Start == math.MaxUint32
	}
	return s.runs[i+1].Start-s.runs[i].Start == 1
}

// cut finds the chains of least cost.
func (s *searcher) cut() {
	total := 0.0
	for _, run := range s.runs {
		total += run.Weight
	}
	if total == 0 {
		total = 1
	}
	n, price := len(s.runs), lengthPrice*total
	s.least, s.from = slices.Grow(s.least[:0], n+1)[:n+1], slices.Grow(s.from[:0], n+1)[:n+1]
	least, from := s.least, s.from
	least[0] = 0
	for end := 1; end <= n; end++ {
		least[end] = math.Inf(1)
	}
	for first := range n {
		c := chain{first: int32(first), background: -1}
		ranged := false // whether a range decides the background
		for last := first; last < min(n, first+longestChain); last++ {
			run := s.runs[last]
			c.last, c.weight = int32(last), c.weight+run.Weight
			if !s.single(last) {
				if ranged && c.background != run.To {
					break
				}
				c.background, ranged = run.To, true
			} else if !ranged {
				c.background = s.commonest(first, last)
			}
			number, cost := s.tests(c)
			if cost += least[first] + price*float64(1+number) + depthPrice*c.weight*log2(total/c.weight); cost < least[last+1] {
				least[last+1], from[last+1] = cost, c
			}
		}
	}
	s.chains = s.chains[:0]
	for end := n; end > 0; end = int(from[end].first) {
		s.chains = append(s.chains, from[end])
	}
	slices.Reverse(s.chains)
}

// log2 is the logarithm of a positive number, less at most 0.09: straight between powers of two.
func log2(x float64) float64 {
	const fraction = 1 << 52
	bits := math.Float64bits(x)
	return float64(bits/fraction) - 1023 + float64(bits%fraction)/fraction
}

// commonest returns where most of the runs go, the first of them on a tie.
func (s *searcher) commonest(first, last int) Ref {
	most, best := 0, Ref(0)
	for i := first; i <= last; i++ {
		count := 0
		for j := first; j <= last; j++ {
			if s.runs[j].To == s.runs[i].To {
				count++
			}
		}
		if count > most {
			most, best = count, s.runs[i].To
		}
	}
	return best
}

// tests returns the number of tests of the chain, and the weighted number of those that are executed.
func (s *searcher) tests(c chain) (tests int, cost float64) {
	var room [longestChain]int
	rest := c.weight
	singles := s.singles(c, room[:0])
	for _, i := range singles {
		cost += rest
		rest -= s.runs[i].Weight
	}
	return len(singles), cost
}

// singles appends the runs of the chain that need a test, the most frequent first.
func (s *searcher) singles(c chain, to []int) []int {
	for i := int(c.first); i <= int(c.last); i++ {
		if s.runs[i].To == c.background {
			continue
		}
		at := len(to)
		to = append(to, i)
		for ; at > 0 && s.runs[to[at-1]].Weight < s.runs[i].Weight; at-- {
			to[at] = to[at-1]
		}
		to[at] = i
	}
	return to
}

// balance finds how deep each chain lies in the tree of least weighted depth over all of them.
func (s *searcher) balance() {
	n := len(s.chains)
	s.depths = slices.Grow(s.depths[:0], n)[:n]
	if n > mostBalanced {
		halve(s.depths, 0)
		return
	}
	weights := make([]float64, n, 2*n)
	for i, c := range s.chains {
		weights[i] = c.weight
	}
	leastDepths(weights, s.depths)
}

// halve gives leaves the depths of a tree that is cut in the middle again and again.
func halve(depths []int32, depth int32) {
	if len(depths) == 1 {
		depths[0] = depth
		return
	}
	halve(depths[:len(depths)/2], depth+1)
	halve(depths[len(depths)/2:], depth+1)
}

// emit makes the subtree at a depth of the chains from *next on, which it moves behind them.
func (s *searcher) emit(g *Graph, word Word, next *int, depth int32) Ref {
	if s.depths[*next] == depth {
		*next++
		return s.emitChain(g, word, s.chains[*next-1])
	}
	low := s.emit(g, word, next, depth+1)
	cut := s.runs[s.chains[*next].first].Start
	high := s.emit(g, word, next, depth+1)
	return g.AtLeast(word, cut, high, low)
}

func (s *searcher) emitChain(g *Graph, word Word, c chain) Ref {
	var room [longestChain]int
	ref := c.background
	for _, i := range slices.Backward(s.singles(c, room[:0])) {
		ref = g.Equal(word, s.runs[i].Start, s.runs[i].To, ref)
	}
	return ref
}
