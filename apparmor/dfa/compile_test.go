// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// tagBits makes an accept function of tags: one bit for each.
func tagBits(tags []int) (Accept, error) {
	var says Accept
	for _, tag := range tags {
		says.One |= 1 << (tag & 31)
	}
	return says, nil
}

func equal(a, b Accept) bool { return a == b }

// rules has a tag for each pattern.
func rules(patterns ...Pattern) []Rule {
	rules := make([]Rule, len(patterns))
	for i, p := range patterns {
		rules[i] = Rule{p, i}
	}
	return rules
}

func compile(t testing.TB, patterns ...Pattern) *Automaton {
	t.Helper()
	a, err := Compile(context.Background(), rules(patterns...), tagBits, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// globs reads globs of paths.
func globs(t testing.TB, texts ...string) []Pattern {
	t.Helper()
	patterns := make([]Pattern, len(texts))
	for i, text := range texts {
		p, err := Glob(text, PathGlob)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		patterns[i] = p
	}
	return patterns
}

// randomPattern makes patterns over few bytes, so that they meet.
func randomPattern(r *rand.Rand, depth int) Pattern {
	switch choice := r.IntN(10); {
	case depth == 0 || choice < 3:
		text := make([]byte, r.IntN(4))
		for i := range text {
			text[i] = "ab/\x00"[r.IntN(4)]
		}
		return Literal(string(text))
	case choice < 5:
		bits := r.Uint32()
		return OneOf(func(b byte) bool { return bits>>(b%5)&1 != 0 })
	case choice < 7:
		return Concat(randomPattern(r, depth-1), randomPattern(r, depth-1))
	case choice < 9:
		return Alternate(randomPattern(r, depth-1), randomPattern(r, depth-1), randomPattern(r, depth-1))
	}
	return Star(randomPattern(r, depth-1))
}

func randomPatterns(r *rand.Rand) []Pattern {
	patterns := make([]Pattern, 1+r.IntN(4))
	for i := range patterns {
		patterns[i] = randomPattern(r, 4)
	}
	return patterns
}

func randomText(r *rand.Rand) string {
	text := make([]byte, r.IntN(9))
	for i := range text {
		text[i] = "ab/\x00c\xff"[r.IntN(6)]
	}
	return string(text)
}

// checkAgainst compares the automaton with the patterns on a text.
func checkAgainst(t *testing.T, a *Automaton, patterns []Pattern, text string) {
	t.Helper()
	var want Accept
	for i, p := range patterns {
		if p.Matches(text) {
			want.One |= 1 << i
		}
	}
	if got := a.Accept[a.Walk(Start, text)]; got != want {
		t.Fatalf("%q: %v, want %v", text, got, want)
	}
}

// checkMinimal finds states that are equivalent or cannot be reached, and classes that are alike, by the definition and slowly.
func checkMinimal(t *testing.T, a *Automaton) {
	t.Helper()
	apart := make([][]bool, len(a.Accept))
	for i := range apart {
		apart[i] = make([]bool, len(a.Accept))
		for j := range apart[i] {
			apart[i][j] = a.Accept[i] != a.Accept[j]
		}
	}
	for changed := true; changed; {
		changed = false
		for i := range apart {
			for j := range apart {
				differ := apart[a.StepOutOfBand(uint32(i))][a.StepOutOfBand(uint32(j))]
				for class, to := range a.Row(uint32(i)) {
					differ = differ || apart[to][a.Row(uint32(j))[class]]
				}
				if differ && !apart[i][j] {
					apart[i][j], changed = true, true
				}
			}
		}
	}
	dead := len(a.Accept) == 2 && !apart[0][1] // the start is a state of its own
	for i := range apart {
		for j := range i {
			if !apart[i][j] && !dead {
				t.Fatalf("states %d and %d of %d are one", j, i, len(a.Accept))
			}
		}
	}
	reached := len(a.Reachable(Start))
	for _, state := range a.Reachable(Start) {
		if state == 0 {
			reached--
		}
	}
	if reached != len(a.Accept)-1 {
		t.Fatalf("%d states are reached, and the trap, of %d", reached, len(a.Accept))
	}
	for x := range a.Classes {
		for y := range x {
			alike := true
			for s := range a.Accept {
				alike = alike && a.Row(uint32(s))[x] == a.Row(uint32(s))[y]
			}
			if alike {
				t.Fatalf("classes %d and %d of %d are one", y, x, a.Classes)
			}
		}
	}
}

func TestAutomatonAgreesWithPatternsAndIsMinimal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		patterns := randomPatterns(r)
		a := compile(t, patterns...)
		for range 60 {
			checkAgainst(t, a, patterns, randomText(r))
		}
		if len(a.Accept) < 60 {
			checkMinimal(t, a)
		}
	}
}

func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		ordered := rules(append(randomPatterns(r), randomPatterns(r)...)...)
		a, err := Compile(context.Background(), ordered, tagBits, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r.Shuffle(len(ordered), func(i, j int) { ordered[i], ordered[j] = ordered[j], ordered[i] })
		again, err := Compile(context.Background(), append(ordered, ordered[0]), tagBits, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, again) {
			t.Fatal("another order gives another automaton")
		}
	}
}

func TestSimplePatterns(t *testing.T) {
	any := OneOf(func(byte) bool { return true })
	for name, c := range map[string]struct {
		pattern Pattern
		states  int // with the trap
		matches []string
		not     []string
	}{
		"NoneIsTrapAndStart": {None(), 2, nil, []string{"", "a"}},
		"ZeroValueIsNone":    {Pattern{}, 2, nil, []string{"", "a"}},
		"NoneInAConcat":      {Concat(Literal("a"), None()), 2, nil, []string{"", "a"}},
		"NoneInAnAlternate":  {Alternate(None(), Literal("a")), 3, []string{"a"}, []string{""}},
		"StarOfNoneIsEmpty":  {Star(None()), 2, []string{""}, []string{"a"}},
		"StarOfEmptyIsEmpty": {Star(Empty()), 2, []string{""}, []string{"a"}},
		"StarOfStarIsStar":   {Star(Star(Literal("ab"))), 3, []string{"", "abab"}, []string{"aba"}},
		"Everything":         {Star(any), 2, []string{"", "a", "\x00/"}, nil},
		"ConcatOfNothing":    {Concat(), 2, []string{""}, []string{"a"}},
		"AlternateOfNothing": {Alternate(), 2, nil, []string{""}},
		"SetOfOneByte":       {OneOf(func(b byte) bool { return b == 'x' }), 3, []string{"x"}, []string{"", "y", "xx"}},
		"SetOfNone":          {OneOf(func(byte) bool { return false }), 2, nil, []string{""}},
		"StarOfEmptyOrMore":  {Star(Alternate(Empty(), Literal("a"))), 2, []string{"", "aa"}, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := compile(t, c.pattern)
			if len(a.Accept) != c.states {
				t.Errorf("%d states, want %d", len(a.Accept), c.states)
			}
			for _, text := range append(c.matches, c.not...) {
				checkAgainst(t, a, []Pattern{c.pattern}, text)
			}
			for _, text := range c.matches {
				if !c.pattern.Matches(text) {
					t.Errorf("%q is not matched", text)
				}
			}
			for _, text := range c.not {
				if c.pattern.Matches(text) {
					t.Errorf("%q is matched", text)
				}
			}
		})
	}
}

func TestOutOfBandSymbolIsNoByte(t *testing.T) {
	a := compile(t, Concat(Literal("a"), OutOfBand(), Literal("b")), Literal("ab"))
	after := a.StepOutOfBand(a.Walk(Start, "a"))
	if got := a.Accept[a.Walk(after, "b")]; got.One != 1 {
		t.Errorf("with the symbol: %v", got)
	}
	if got := a.Accept[a.Walk(Start, "ab")]; got.One != 2 {
		t.Errorf("without: %v", got)
	}
	checkMinimal(t, a)
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if decoded, err := Decode(data); err != nil || !reflect.DeepEqual(a, decoded) {
		t.Errorf("decoded: %+v (%v), want %+v", decoded, err, a)
	}
}

func TestStatesOfOneMeaningAreOne(t *testing.T) {
	never := func([]int) (Accept, error) { return Accept{}, nil }
	a, err := Compile(context.Background(), rules(globs(t, "/a/**", "/b")...), never, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Accept) != 2 {
		t.Errorf("%d states where nothing is ever said, want trap and start", len(a.Accept))
	}
}

func TestTagsAreAskedForOnceAndSorted(t *testing.T) {
	asked := map[string]int{}
	accept := func(tags []int) (Accept, error) {
		key := ""
		for _, tag := range tags {
			key += string(rune('0' + tag))
		}
		asked[key]++
		return tagBits(tags)
	}
	patterns := globs(t, "/a/**", "/a/*", "/**", "/a/b")
	list := []Rule{{patterns[0], 5}, {patterns[1], 2}, {patterns[2], 2}, {patterns[3], 9}}
	if _, err := Compile(context.Background(), list, accept, Limits{}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"2": 1, "25": 1, "259": 1}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestErrorOfAcceptEndsTheCompilation(t *testing.T) {
	fault := errors.New("conflict")
	_, err := Compile(context.Background(), rules(globs(t, "/a")...), func([]int) (Accept, error) { return Accept{}, fault }, Limits{})
	if !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
}

// exploding are globs whose automaton has a state for each set of the names that a path may have had.
func exploding(t *testing.T) []Rule {
	var texts []string
	for _, name := range "abcdefghijklmnopqrst" {
		texts = append(texts, "/**/"+string(name)+"/**/"+string(name-32)+"/**")
	}
	return rules(globs(t, texts...)...)
}

func TestLimitsAreKept(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		what   string
	}{
		"States": {Limits{States: 1000}, "states"},
		"Memory": {Limits{Memory: 1 << 20}, "memory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(context.Background(), exploding(t), tagBits, c.limits)
			var limit *LimitError
			if !errors.As(err, &limit) || limit.What != c.what {
				t.Errorf("got %v, want a limit of %s", err, c.what)
			}
		})
	}
}

func TestCompilationEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := Compile(ctx, exploding(t), tagBits, Limits{States: 1 << 30, Memory: 1 << 40}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestSelectKeepsWhatFollows(t *testing.T) {
	a := compile(t, globs(t, "/a/b*", "/a/**", "/c")...)
	part, err := a.Select(context.Background(), a.Walk(Start, "/a/"), func(says Accept) Accept { return Accept{Two: says.One & 1} })
	if err != nil {
		t.Fatal(err)
	}
	checkMinimal(t, part)
	for text, want := range map[string]Accept{"": {}, "b": {Two: 1}, "bc": {Two: 1}, "c": {}, "b/": {}} {
		if got := part.Accept[part.Walk(Start, text)]; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if nothing, err := a.Select(context.Background(), 0, func(says Accept) Accept { return says }); err != nil || len(nothing.Accept) != 2 {
		t.Errorf("from the trap: %+v (%v)", nothing, err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(uint64(1), "ab/")
	f.Add(uint64(99), "a\x00b")
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		if len(text) > 64 {
			return
		}
		patterns := randomPatterns(rand.New(rand.NewPCG(seed, seed)))
		a, err := Compile(context.Background(), rules(patterns...), tagBits, Limits{States: 10000})
		if err != nil {
			var limit *LimitError
			if errors.As(err, &limit) {
				return
			}
			t.Fatal(err)
		}
		checkAgainst(t, a, patterns, text)
		data, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := Decode(data); err != nil || !reflect.DeepEqual(a, decoded) {
			t.Fatalf("decoded it is another automaton (%v)", err)
		}
	})
}
