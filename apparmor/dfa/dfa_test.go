// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"testing"
)

// tagBits makes an accept function of tags: one bit for each.
func tagBits(tags []int) (Accept, error) {
	var says Accept
	for _, tag := range tags {
		says.One |= 1 << (tag & 31)
	}
	return says, nil
}

func compile(t testing.TB, patterns ...Pattern) *Automaton {
	t.Helper()
	rules := make([]Rule, len(patterns))
	for i, p := range patterns {
		rules[i] = Rule{p, i}
	}
	a, err := Compile(context.Background(), rules, tagBits, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func equal(a, b Accept) bool { return a == b }

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

func randomText(r *rand.Rand) string {
	text := make([]byte, r.IntN(9))
	for i := range text {
		text[i] = "ab/\x00c\xff"[r.IntN(6)]
	}
	return string(text)
}

func TestAutomatonAgreesWithPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		patterns := make([]Pattern, 1+r.IntN(4))
		for i := range patterns {
			patterns[i] = randomPattern(r, 4)
		}
		a := compile(t, patterns...)
		encoded, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if d := Compare(a, decoded, Start, Start, equal); d != nil {
			t.Fatalf("decoded differs on %q: %v %v", d.Text, d.A, d.B)
		}
		again, err := decoded.Encode()
		if err != nil || !bytes.Equal(again, encoded) {
			t.Fatalf("encoded again it differs (%v)", err)
		}
		if !reflect.DeepEqual(a, decoded) {
			t.Fatal("decoded is another automaton")
		}
		for range 60 {
			text := randomText(r)
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
	}
}
