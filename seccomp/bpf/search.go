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
// two; and the chains are the leaves of an alphabetic tree of minimal weighted depth (Knuth 1971). The first step is optimal but for the depth of the chains
// in that tree, of which it has only an estimate.
func (g *Graph) Switch(word Word, runs []Run) Ref {
	runs = merge(runs)
	if len(runs) == 1 {
		return runs[0].To
	}
	p := &plan{runs: runs}
	p.cut()
	p.balance()
	return p.emit(g, word, 0, len(p.chains)-1)
}

// lengthPrice is how many instructions executed in the mean one instruction of length is worth. Both the time to install a filter and the room it takes
// grow with its length.
const lengthPrice = 0.4

// depthPrice is how deep a chain lies in the tree over the chains, as a share of what its weight alone would make it. Found by trial.
const depthPrice = 0.9

// longestChain bounds the search: longer chains cost more than another level of the tree.
const longestChain = 16

// mostBalanced is the number of chains up to which the best tree is searched for, in quadratic time and room. Above it the tree is cut in the middle.
const mostBalanced = 1024

func merge(runs []Run) []Run {
	merged := make([]Run, 0, len(runs))
	for _, run := range runs {
		if last := len(merged) - 1; last >= 0 && merged[last].To == run.To {
			merged[last].Weight += run.Weight
			continue
		}
		merged = append(merged, run)
	}
	return merged
}

// chain is the runs first to last, all of which go to background but for single values.
type chain struct {
	first, last int
	background  Ref
	weight      float64
}

// plan is one tree over the runs.
type plan struct {
	runs   []Run
	chains []chain
	splits []int16 // for each range of chains, where it is cut in two; nil: in the middle
}

// single reports whether the run is one value.
func (p *plan) single(i int) bool {
	if i == len(p.runs)-1 {
		return p.runs[i].Start == math.MaxUint32
	}
	return p.runs[i+1].Start-p.runs[i].Start == 1
}

// cut finds the chains of least cost.
func (p *plan) cut() {
	total := 0.0
	for _, run := range p.runs {
		total += run.Weight
	}
	if total == 0 {
		total = 1
	}
	n, price := len(p.runs), lengthPrice*total
	least := make([]float64, n+1)
	from := make([]chain, n+1)
	for end := 1; end <= n; end++ {
		least[end] = math.Inf(1)
	}
	for first := range n {
		c := chain{first: first, background: -1}
		ranged := false // whether a range decides the background
		for last := first; last < min(n, first+longestChain); last++ {
			run := p.runs[last]
			c.last, c.weight = last, c.weight+run.Weight
			if !p.single(last) {
				if ranged && c.background != run.To {
					break
				}
				c.background, ranged = run.To, true
			} else if !ranged {
				c.background = p.commonest(first, last)
			}
			tests, cost := p.cost(c)
			if cost += least[first] + price*float64(1+tests) + depthPrice*c.weight*log2(total/c.weight); cost < least[last+1] {
				least[last+1], from[last+1] = cost, c
			}
		}
	}
	for end := n; end > 0; end = from[end].first {
		p.chains = append(p.chains, from[end])
	}
	slices.Reverse(p.chains)
}

// log2 is the logarithm of a positive number, less at most 0.09: straight between powers of two.
func log2(x float64) float64 {
	const fraction = 1 << 52
	bits := math.Float64bits(x)
	return float64(bits/fraction) - 1023 + float64(bits%fraction)/fraction
}

// commonest returns where most of the runs go, the first of them on a tie.
func (p *plan) commonest(first, last int) Ref {
	most, best := 0, Ref(0)
	for i := first; i <= last; i++ {
		count := 0
		for j := first; j <= last; j++ {
			if p.runs[j].To == p.runs[i].To {
				count++
			}
		}
		if count > most {
			most, best = count, p.runs[i].To
		}
	}
	return best
}

// cost returns the number of tests of the chain, and the weighted number of those that are executed.
func (p *plan) cost(c chain) (tests int, cost float64) {
	var room [longestChain]int
	rest := c.weight
	singles := p.singles(c, room[:0])
	for _, i := range singles {
		cost += rest
		rest -= p.runs[i].Weight
	}
	return len(singles), cost
}

// singles appends the runs of the chain that need a test, the most frequent first.
func (p *plan) singles(c chain, to []int) []int {
	for i := c.first; i <= c.last; i++ {
		if p.runs[i].To == c.background {
			continue
		}
		at := len(to)
		to = append(to, i)
		for ; at > 0 && p.runs[to[at-1]].Weight < p.runs[i].Weight; at-- {
			to[at] = to[at-1]
		}
		to[at] = i
	}
	return to
}

// balance finds the tree of least weighted depth over the chains. Knuth: the best cut of a range lies between the best cuts of the two ranges that are one
// shorter, which makes the search quadratic.
func (p *plan) balance() {
	n := len(p.chains)
	if n > mostBalanced {
		return
	}
	p.splits = make([]int16, n*n)
	cost := make([]float64, n*n)
	sum := make([]float64, n+1)
	for i, c := range p.chains {
		sum[i+1] = sum[i] + c.weight
		p.splits[i*n+i] = int16(i)
	}
	for length := 2; length <= n; length++ {
		for first := 0; first+length <= n; first++ {
			last := first + length - 1
			low, high := int(p.splits[first*n+last-1]), min(int(p.splits[(first+1)*n+last]), last-1)
			best, at := math.Inf(1), low
			for middle := low; middle <= high; middle++ {
				if c := cost[first*n+middle] + cost[(middle+1)*n+last]; c < best {
					best, at = c, middle
				}
			}
			cost[first*n+last], p.splits[first*n+last] = best+sum[last+1]-sum[first], int16(at)
		}
	}
}

func (p *plan) split(first, last int) int {
	if p.splits == nil {
		return (first + last) / 2
	}
	return int(p.splits[first*len(p.chains)+last])
}

func (p *plan) emit(g *Graph, word Word, first, last int) Ref {
	if first == last {
		c := p.chains[first]
		ref := c.background
		for _, i := range slices.Backward(p.singles(c, nil)) {
			ref = g.Equal(word, p.runs[i].Start, p.runs[i].To, ref)
		}
		return ref
	}
	middle := p.split(first, last)
	low, high := p.emit(g, word, first, middle), p.emit(g, word, middle+1, last)
	return g.AtLeast(word, p.runs[p.chains[middle+1].first].Start, high, low)
}
