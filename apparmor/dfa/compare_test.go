// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDifferenceIsTheShortest(t *testing.T) {
	for name, c := range map[string]struct {
		a, b Pattern
		text string
		out  []int
	}{
		"Accepting":        {Literal("abc"), Literal("abd"), "abc", nil},
		"Empty":            {Empty(), None(), "", nil},
		"Longer":           {Star(Literal("a")), Alternate(Empty(), Literal("a"), Literal("aa")), "aaa", nil},
		"LettersPreferred": {Star(OneOf(func(b byte) bool { return b != '/' })), Empty(), "a", nil},
		"OutOfBand":        {Concat(Literal("a"), OutOfBand(), Literal("b")), None(), "ab", []int{1}},
		"OutOfBandLast":    {Concat(Literal("a"), OutOfBand()), None(), "a", []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			d := Compare(compile(t, c.a), compile(t, c.b), Start, Start, equal)
			if d == nil || string(d.Text) != c.text || !slices.Equal(d.OutOf, c.out) {
				t.Errorf("got %+v, want %q", d, c.text)
			}
		})
	}
}

func TestEqualAutomataDoNotDiffer(t *testing.T) {
	a := compile(t, globs(t, "/a/{b,c}", "/d/**")...)
	b := compile(t, Alternate(globs(t, "/a/b", "/a/c")...), globs(t, "/d/**")[0])
	if d := Compare(a, b, Start, Start, equal); d != nil {
		t.Errorf("they differ on %q", d.Text)
	}
}

func TestComparisonFindsWhatPatternsSay(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	differed := 0
	for range 200 {
		p, q := randomPattern(r, 3), randomPattern(r, 3)
		d := Compare(compile(t, p), compile(t, q), Start, Start, equal)
		if d == nil {
			for range 50 {
				if text := randomText(r); p.Matches(text) != q.Matches(text) {
					t.Fatalf("no difference found, but %q is one", text)
				}
			}
			continue
		}
		differed++
		if p.Matches(string(d.Text)) == q.Matches(string(d.Text)) {
			t.Fatalf("%q is no difference", d.Text)
		}
	}
	if differed == 0 || differed == 200 {
		t.Errorf("%d of 200 differ: the patterns test nothing", differed)
	}
}
