// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tokens of CIL, and its comments.
var (
	token   = regexp.MustCompile(`\(|\)|"[^"]*"|[^()\s"]+`)
	comment = regexp.MustCompile(`;.*`)
)

// mutator changes a token or two of the sections that both take.
type mutator struct {
	*rand.Rand
	sections [][]string
	words    []string
}

func newMutator(t testing.TB, seed uint64) *mutator {
	m := &mutator{Rand: rand.New(rand.NewPCG(seed, 6))}
	for _, file := range []string{"rules.cil", "symbols.cil", "structure.cil"} {
		for _, section := range sections(t, file) {
			if section.later || len(section.options) > 0 {
				continue
			}
			tokens := token.FindAllString(comment.ReplaceAllString(section.text, ""), -1)
			m.sections = append(m.sections, tokens)
			for _, token := range tokens {
				if token != "(" && token != ")" {
					m.words = append(m.words, token)
				}
			}
		}
	}
	return m
}

func (m *mutator) word() string { return m.words[m.IntN(len(m.words))] }

// mutant is a section with one or two changes. Parentheses stay in pairs.
func (m *mutator) mutant() string {
	tokens := append([]string(nil), m.sections[m.IntN(len(m.sections))]...)
	for range 1 + m.IntN(2) {
		i := m.IntN(len(tokens))
		if tokens[i] == "(" || tokens[i] == ")" {
			continue
		}
		tokens[i] = []string{"", tokens[i] + " " + tokens[i], tokens[i] + " " + m.word(), "()", "(" + tokens[i] + ")", m.word(), m.word(), m.word()}[m.IntN(8)]
	}
	return strings.Join(tokens, " ") + "\n"
}

// Texts that are nearly right are taken or refused alike; those that are taken give the same bytes.
func TestMutantsAreTakenAsTheReferenceTakesThem(t *testing.T) {
	m := newMutator(t, *firstSeed)
	file := filepath.Join(t.TempDir(), "mutant.cil")
	for _, reference := range references(t) {
		taken := 0
		for range *policies {
			text := m.mutant()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if compareRandom(t, reference, text, file) {
				taken++
			}
		}
		t.Logf("secilc %s: %d of %d mutants taken by both, to the same bytes", reference.name, taken, *policies)
	}
}
