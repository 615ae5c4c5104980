// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// ErrNoGlobs is that an automaton's strings are not those of globs, or of too many.
var ErrNoGlobs = errors.New("no list of globs says what the automaton matches")

// maximumPoints bounds the search for globs; what can be said in globs needs far less.
const maximumPoints = 200_000

// Globs are AAREs, to be read as PathGlob, that together match the strings after which the automaton, from the start, is in a state that wanted says
// yes to: exactly those, but for strings with NUL bytes, which no path has. They are sorted. Not every automaton's strings are those of a list of
// globs; where none of at most that many is found, the error is ErrNoGlobs.
//
// A string that no glob has yet is made as general as its glob can be without matching what is not wanted, until there is no such string. What comes of
// it is compiled and compared with the automaton.
func (a *Automaton) Globs(ctx context.Context, start uint32, wanted func(Accept) bool, most int) ([]string, error) {
	yes := func(says Accept) Accept {
		if wanted(says) {
			return Accept{One: 1}
		}
		return Accept{}
	}
	language, err := a.follow(start, yes).withoutNUL().minimize(ctx)
	if err != nil {
		return nil, err
	}
	if language.OutOfBand != nil {
		return nil, ErrNoGlobs
	}
	g := newGeneralizer(language)
	globs := []string{}
	var rules []Rule
	for {
		covered, err := Compile(ctx, rules, func([]int) (Accept, error) { return Accept{One: 1}, nil }, Limits{})
		if err != nil {
			return nil, err
		}
		texts := missing(language, covered)
		if len(texts) == 0 {
			slices.Sort(globs)
			return globs, verifyGlobs(ctx, language, covered)
		}
		fresh := 0
		for _, text := range texts {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			// What this round found already needs no other.
			if slices.ContainsFunc(rules[len(rules)-fresh:], func(r Rule) bool { return r.Pattern.Matches(text) }) {
				continue
			}
			glob, ok := g.generalize(text)
			if !ok || len(globs) == most {
				return nil, ErrNoGlobs
			}
			pattern, err := Glob(glob, PathGlob)
			if err != nil || !pattern.Matches(text) {
				return nil, ErrNoGlobs
			}
			globs, fresh = append(globs, glob), fresh+1
			rules = append(rules, Rule{Pattern: pattern})
		}
		if fresh == 0 {
			return nil, ErrNoGlobs
		}
	}
}

// verifyGlobs compares what globs match with what they are to match.
func verifyGlobs(ctx context.Context, language, covered *Automaton) error {
	same := func(says Accept) Accept { return says }
	covered, err := covered.follow(Start, same).withoutNUL().minimize(ctx)
	if err != nil {
		return err
	}
	if Compare(language, covered, Start, Start, func(a, b Accept) bool { return a == b }) != nil {
		return ErrNoGlobs
	}
	return nil
}

// missing are strings of the language that are not covered: the shortest over each transition that leads to one.
func missing(language, covered *Automaton) []string {
	symbols := jointSymbols(language, covered)
	index := map[pair]int{{Start, Start}: 0}
	pairs := []pair{{Start, Start}}
	arrivals := []arrival{{from: -1}}
	type step struct{ from, to, symbol int }
	var steps []step
	for i := 0; i < len(pairs); i++ {
		reached := map[pair]bool{}
		for _, symbol := range symbols {
			to := pair{language.Step(pairs[i].a, byte(symbol)), covered.Step(pairs[i].b, byte(symbol))}
			if to.a == 0 || reached[to] {
				continue
			}
			reached[to] = true
			number, known := index[to]
			if !known {
				number = len(pairs)
				index[to] = number
				pairs = append(pairs, to)
				arrivals = append(arrivals, arrival{i, symbol})
			}
			steps = append(steps, step{i, number, symbol})
		}
	}
	into := make([][]int, len(pairs)) // steps by the pair they lead to
	for i, s := range steps {
		into[s.to] = append(into[s.to], i)
	}
	// onward is, by pair, the step that leads to the nearest string that is missing; -1 for its end, -2 where there is none.
	onward := make([]int, len(pairs))
	var queue []int
	for i, at := range pairs {
		onward[i] = -2
		if language.Accept[at.a] != (Accept{}) && covered.Accept[at.b] == (Accept{}) {
			onward[i] = -1
			queue = append(queue, i)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, i := range into[queue[0]] {
			if from := steps[i].from; onward[from] == -2 {
				onward[from] = i
				queue = append(queue, from)
			}
		}
	}
	finish := func(text []byte, at int) string {
		for onward[at] >= 0 {
			text = append(text, byte(steps[onward[at]].symbol))
			at = steps[onward[at]].to
		}
		return string(text)
	}
	var texts []string
	if onward[0] == -1 {
		texts = append(texts, "")
	}
	for _, s := range steps {
		if onward[s.to] == -2 {
			continue
		}
		var d Difference
		d.trace(arrivals, s.from)
		texts = append(texts, finish(append(d.Text, byte(s.symbol)), s.to))
	}
	slices.SortFunc(texts, func(x, y string) int {
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
	return slices.Compact(texts)
}

// generalizer makes strings of a language into globs of it. It walks sets of states, all of which have to accept what follows: a wildcard leads to
// every state that one of its strings leads to.
type generalizer struct {
	language *Automaton
	interner
	members  []set              // by class, its bytes
	deep     []bool             // classes that ** matches bytes of
	shallow  []bool             // classes that * matches bytes of
	rows     [][]int32          // by set, steps; nil where they were not asked for
	repeated [2]map[int32]int32 // by set, what * and ** lead to
	text     string
	good     [][]bool // by offset and state, whether the rest of the text is accepted
	failed   map[generalized]bool
	left     int // how many points may still be looked at
}

func newGeneralizer(language *Automaton) *generalizer {
	g := &generalizer{language: language, deep: make([]bool, language.Classes), shallow: make([]bool, language.Classes), left: maximumPoints}
	g.members = make([]set, language.Classes)
	for b, class := range language.Class {
		g.members[class].add(byte(b))
	}
	g.repeated = [2]map[int32]int32{{}, {}}
	for b := 1; b < 256; b++ {
		g.deep[language.Class[b]] = true
		g.shallow[language.Class[b]] = g.shallow[language.Class[b]] || b != '/'
	}
	return g
}

// generalized is a point in a search: a glob for the text up to the offset led to the set.
type generalized struct {
	offset int
	set    int32
	slash  bool   // the glob so far ends in a literal /
	star   string // the * or ** that it ends in: another one would add nothing
}

// generalize is a glob that matches the text, and nothing that is not of the language.
func (g *generalizer) generalize(text string) (string, bool) {
	g.text, g.failed = text, map[generalized]bool{}
	g.good = make([][]bool, len(text)+1)
	for offset := len(text); offset >= 0; offset-- {
		g.good[offset] = make([]bool, len(g.language.Accept))
		for state := range g.good[offset] {
			if offset == len(text) {
				g.good[offset][state] = g.language.Accept[state] != Accept{}
			} else {
				g.good[offset][state] = g.good[offset+1][g.language.Step(uint32(state), text[offset])]
			}
		}
	}
	start, _ := g.intern([]int32{Start})
	pieces, ok := g.from(generalized{set: start})
	slices.Reverse(pieces)
	return strings.Join(pieces, ""), ok
}

// from is the pieces of the glob for the rest of the text, the last one first.
func (g *generalizer) from(at generalized) (pieces []string, ok bool) {
	if g.failed[at] {
		return nil, false
	}
	// The rest of the text is one of the strings that all states of the set have to accept.
	for _, state := range g.setOf(at.set) {
		if !g.good[at.offset][state] {
			return nil, false
		}
	}
	if g.left--; g.left < 0 {
		return nil, false
	}
	if at.star == "" {
		for _, deep := range []bool{true, false} {
			none, fits := g.star(at, deep, false)
			some, also := g.star(at, deep, true)
			// That of some bytes at least is the better one only where it is simpler: it may be a component, where the other is only parts of one.
			if fits && (!also || len(none) <= len(some)) {
				return none, true
			}
			if also {
				return some, true
			}
		}
	}
	if at.offset == len(g.text) {
		return nil, true
	}
	b := g.text[at.offset]
	// What *? matches ?* does.
	if set, ok := g.any(at.set); ok && b != '/' && b != 0 && at.star != "*" {
		if pieces, ok := g.from(generalized{offset: at.offset + 1, set: set}); ok {
			return append(pieces, "?"), true
		}
	}
	if set := g.steps(at.set)[g.language.Class[b]]; set >= 0 {
		alike := g.alike(at.set, set)
		slash := b == '/' && alike.len() == 1
		if pieces, ok := g.from(generalized{offset: at.offset + 1, set: set, slash: slash}); ok {
			piece := setText(alike, b)
			if slash && at.slash {
				piece = `\/` // two slashes are folded but where the second is escaped
			}
			if piece != "?" || at.star != "*" {
				return append(pieces, piece), true
			}
		}
	}
	g.failed[at] = true
	return nil, false
}

// fewBytes are what a wildcard has of a text beyond those that it must have.
const fewBytes = 2

// star tries * or **, of some bytes at least or of none.
func (g *generalizer) star(at generalized, deep, some bool) (pieces []string, ok bool) {
	set := at.set
	if some {
		if set, ok = g.any(set); !ok {
			return nil, false
		}
	}
	if set, ok = g.repeat(set, deep); !ok {
		return nil, false
	}
	text := "*"
	if deep {
		text = "**"
	}
	least := at.offset
	if some {
		least++
	}
	for to := len(g.text); to >= least; to-- {
		// The texts are the shortest of their kind: a wildcard has few bytes of them, or a component.
		if to > least+fewBytes && to < len(g.text) && g.text[to] != '/' {
			continue
		}
		taken := g.text[at.offset:to]
		if strings.IndexByte(taken, 0) >= 0 || !deep && strings.IndexByte(taken, '/') >= 0 || some && (taken == "" || taken[0] == '/') {
			continue
		}
		if pieces, ok := g.from(generalized{offset: to, set: set, star: text}); ok {
			component := at.slash && (len(pieces) == 0 || pieces[len(pieces)-1] == "/")
			return append(pieces, starText(text, some, component)), true
		}
	}
	return nil, false
}

// starText writes a wildcard: where it is a whole component it matches some bytes by itself, elsewhere none.
func starText(text string, some, component bool) string {
	switch {
	case some && !component:
		return "?" + text
	case !some && component:
		return "{," + text + "}"
	}
	return text
}

// outside is the number of no set: some string leaves the language.
const outside = -1

// steps are the sets that the classes of bytes lead to.
func (g *generalizer) steps(set int32) []int32 {
	for int(set) >= len(g.rows) {
		g.rows = append(g.rows, nil)
	}
	if g.rows[set] != nil {
		return g.rows[set]
	}
	row := make([]int32, g.language.Classes)
	var to []int32
	for class := range row {
		to = to[:0]
		for _, state := range g.setOf(set) {
			to = append(to, int32(g.language.Row(uint32(state))[class]))
		}
		slices.Sort(to)
		if row[class] = outside; to[0] != 0 {
			row[class], _ = g.intern(slices.Compact(to))
		}
	}
	g.rows[set] = row
	return row
}

// step is the set that several classes lead to.
func (g *generalizer) step(set int32, classes []bool) (int32, bool) {
	row := g.steps(set)
	var to []int32
	for class, with := range classes {
		if !with {
			continue
		}
		if row[class] == outside {
			return 0, false
		}
		to = append(to, g.setOf(row[class])...)
	}
	slices.Sort(to)
	number, _ := g.intern(slices.Compact(to))
	return number, true
}

// any is what a byte that is no / leads to.
func (g *generalizer) any(set int32) (int32, bool) { return g.step(set, g.shallow) }

// repeat is what any number of bytes lead to.
func (g *generalizer) repeat(set int32, deep bool) (int32, bool) {
	classes, known := g.shallow, &g.repeated[0]
	if deep {
		classes, known = g.deep, &g.repeated[1]
	}
	if to, is := (*known)[set]; is {
		return to, to != outside
	}
	from := set
	for {
		next, ok := g.step(set, classes)
		if !ok {
			(*known)[from] = outside
			return 0, false
		}
		more, _ := g.intern(union(nil, g.setOf(set), g.setOf(next)))
		if more == set {
			(*known)[from] = set
			return set, true
		}
		set = more
	}
}

// alike are the bytes that lead from one set to the other.
func (g *generalizer) alike(from, to int32) (bytes set) {
	for class, next := range g.steps(from) {
		if next == to {
			bytes = bytes.or(&g.members[class])
		}
	}
	return bytes
}
