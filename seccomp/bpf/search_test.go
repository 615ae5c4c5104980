// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// someRuns makes runs that start at 0 and ascend, a share of which are of a single value.
func someRuns(random *rand.Rand, g *Graph, most int) []Run {
	runs := []Run{{To: g.Return(0), Weight: random.Float64()}}
	for start := uint64(0); len(runs) < most; {
		step := 1 + uint64(random.IntN(3))
		if random.IntN(8) == 0 {
			step = uint64(random.Uint32())
		}
		if start += step; start > 0xffffffff {
			break
		}
		runs = append(runs, Run{Start: uint32(start), To: g.Return(uint32(random.IntN(4))), Weight: float64(random.IntN(3))})
	}
	return runs
}

// where returns where the runs send a value.
func where(runs []Run, value uint32) (to Ref) {
	for _, run := range runs {
		if run.Start <= value {
			to = run.To
		}
	}
	return to
}

func checkSwitch(t *testing.T, g *Graph, word Word, runs []Run, values []uint32) {
	t.Helper()
	ref := g.Switch(word, runs)
	for _, value := range values {
		var data Data
		data.SetWord(LittleEndian, word.Offset, value)
		want := g.nodes[where(runs, value)].value
		if got := g.decide(LittleEndian, ref, &data); got != want {
			t.Fatalf("%d goes to %d, not %d, of %v", value, got, want, runs)
		}
	}
}

// edges returns the first and the last value of each run.
func edges(runs []Run) []uint32 {
	values := []uint32{0, 0xffffffff}
	for _, run := range runs {
		values = append(values, run.Start, run.Start-1)
	}
	return values
}

func TestSwitchAnswersAsItsRunsSay(t *testing.T) {
	random := seeded(5)
	for range 3000 {
		g := NewGraph()
		runs := someRuns(random, g, 1+random.IntN(60))
		checkSwitch(t, g, Whole(OffsetNumber), runs, edges(runs))
	}
}

func TestSwitchWithSpecialRuns(t *testing.T) {
	g := NewGraph()
	a, b := g.Return(1), g.Return(2)
	for name, runs := range map[string][]Run{
		"One":                {{0, a, 1}},
		"NoWeight":           {{0, a, 0}, {7, b, 0}, {8, a, 0}},
		"FirstValueAlone":    {{0, b, 1}, {1, a, 1}},
		"LastValueAlone":     {{0, a, 1}, {0xffffffff, b, 1}},
		"NeighboursAlike":    {{0, a, 1}, {5, a, 1}, {6, a, 1}, {7, b, 1}},
		"EveryOther":         {{0, a, 1}, {1, b, 1}, {2, a, 1}, {3, b, 1}, {4, a, 1}, {5, b, 1}, {6, a, 1}, {7, b, 1}, {8, a, 1}},
		"TheTopHalf":         {{0, a, 1}, {1 << 31, b, 1}},
		"OneHugeWeight":      {{0, a, 1e30}, {9, b, 1}, {10, a, 1}},
		"OneInTheMiddleOfIt": {{0, a, 1}, {1 << 30, b, 1}, {1<<30 + 1, a, 1}},
	} {
		t.Run(name, func(t *testing.T) { checkSwitch(t, g, Whole(OffsetNumber), runs, edges(runs)) })
	}
	if ref := g.Switch(Whole(OffsetNumber), []Run{{0, a, 1}, {5, a, 1}}); ref != a {
		t.Error("runs that go one way are asked about")
	}
	if ref := g.Switch(Whole(OffsetNumber), []Run{{0, a, 1}, {5, b, 1}, {6, a, 1}}); ref != g.Equal(Whole(OffsetNumber), 5, b, a) {
		t.Error("a single value takes more than one test")
	}
}

func FuzzSwitch(f *testing.F) {
	f.Add(uint64(1), uint16(20))
	f.Add(uint64(2), uint16(2000))
	f.Fuzz(func(t *testing.T, seed uint64, most uint16) {
		random := seeded(seed)
		g := NewGraph()
		runs := someRuns(random, g, 1+int(most)%600)
		checkSwitch(t, g, Whole(OffsetNumber), runs, edges(runs))
	})
}

func TestSwitchOfVeryManyRuns(t *testing.T) {
	g := NewGraph()
	runs := make([]Run, 0, 6*mostBalanced)
	for i := range uint32(6 * mostBalanced) {
		runs = append(runs, Run{Start: i * 10, To: g.Return(i % 7), Weight: 1})
	}
	random := seeded(6)
	values := make([]uint32, 0, 2000)
	for range 2000 {
		values = append(values, uint32(random.IntN(10*len(runs)+100)))
	}
	checkSwitch(t, g, Whole(OffsetNumber), runs, values)
	ref := g.Switch(Whole(OffsetNumber), runs)
	if deepest := depth(g, ref); deepest > 16 { // log2(6144) is 12.6, and some leaves are chains
		t.Errorf("%d tests", deepest)
	}
}

// depth returns how many tests are at most executed from a node on.
func depth(g *Graph, ref Ref) int {
	n := g.nodes[ref]
	if n.test == codeReturn {
		return 0
	}
	return 1 + max(depth(g, n.yes), depth(g, n.no))
}

// cost is what Switch minimises: the tests that are executed, weighted, and a share of those that are written.
func cost(g *Graph, ref Ref, runs []Run) float64 {
	total, sum := 0.0, 0.0
	for _, run := range runs {
		var data Data
		data.SetWord(LittleEndian, OffsetNumber, run.Start)
		tests := 0
		for at := ref; g.nodes[at].test != codeReturn; tests++ {
			n := g.nodes[at]
			if n.test == codeEqual && run.Start == n.value || n.test == codeAtLeast && run.Start >= n.value {
				at = n.yes
			} else {
				at = n.no
			}
		}
		total, sum = total+run.Weight*float64(tests), sum+run.Weight
	}
	return total + lengthPrice*max(sum, 1)*float64(written(g, ref))
}

// written counts the tests that a node reaches, shared ones once.
func written(g *Graph, ref Ref) int {
	seen := map[Ref]bool{}
	var walk func(Ref)
	walk = func(ref Ref) {
		if n := g.nodes[ref]; n.test != codeReturn && !seen[ref] {
			seen[ref] = true
			walk(n.yes)
			walk(n.no)
		}
	}
	walk(ref)
	return len(seen)
}

// halved is the plain tree: the runs cut in the middle.
func halved(g *Graph, runs []Run) Ref {
	if len(runs) == 1 {
		return runs[0].To
	}
	middle := len(runs) / 2
	return g.AtLeast(Whole(OffsetNumber), runs[middle].Start, halved(g, runs[middle:]), halved(g, runs[:middle]))
}

func TestSwitchIsNoWorseThanAPlainTree(t *testing.T) {
	random := seeded(7)
	ours, plain, worse := 0.0, 0.0, 0
	for range 1000 {
		g := NewGraph()
		runs := someRuns(random, g, 2+random.IntN(60))
		found, simple := cost(g, g.Switch(Whole(OffsetNumber), runs), runs), cost(g, halved(g, merged(runs)), runs)
		ours, plain = ours+found, plain+simple
		if found > simple*1.1 {
			worse++
		}
	}
	if ours > plain*0.95 || worse > 10 {
		t.Errorf("cost %.0f, of plain trees %.0f; %d are more than a tenth worse", ours, plain, worse)
	}
}

func merged(runs []Run) []Run {
	var s searcher
	s.merge(runs)
	return s.runs
}

// leastByTrial is the least sum of weight times depth of all trees over the leaves.
func leastByTrial(weights []float64) float64 {
	n := len(weights)
	least := make([][]float64, n)
	for first := n - 1; first >= 0; first-- {
		least[first] = make([]float64, n)
		sum := weights[first]
		for last := first + 1; last < n; last++ {
			sum += weights[last]
			best := math.Inf(1)
			for cut := first; cut < last; cut++ {
				best = min(best, least[first][cut]+least[cut+1][last])
			}
			least[first][last] = best + sum
		}
	}
	return least[0][n-1]
}

func TestTreesOverLeavesAreTheBest(t *testing.T) {
	random := seeded(9)
	for range 3000 {
		weights := make([]float64, 1+random.IntN(24))
		for i := range weights {
			weights[i] = float64(random.IntN(1 << random.IntN(10)))
		}
		depths := make([]int32, len(weights))
		leastDepths(slices.Clone(weights), depths)
		cost, leaves := 0.0, 0.0
		for i, depth := range depths {
			cost, leaves = cost+weights[i]*float64(depth), leaves+math.Pow(0.5, float64(depth))
		}
		if want := leastByTrial(weights); cost != want || leaves != 1 {
			t.Fatalf("%v: depths %v cost %v, the least is %v", weights, depths, cost, want)
		}
	}
}
