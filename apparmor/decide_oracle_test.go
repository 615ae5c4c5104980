// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// oracleRule is a file rule as the test itself understands it.
type oracleRule struct {
	pattern     dfa.Pattern
	letters     string
	deny, quiet bool
	owner       bool
}

// allows evaluates rules one by one: each letter is allowed by any rule that has it, and taken away by any deny rule.
func allows(rules []oracleRule, path string, letter byte, owner bool) (allowed, quiet bool) {
	denied := false
	for _, rule := range rules {
		if rule.owner && !owner || !rule.pattern.Matches(path) {
			continue
		}
		has := strings.IndexByte(rule.letters, letter) >= 0 || letter == 'a' && strings.IndexByte(rule.letters, 'w') >= 0
		switch {
		case has && rule.deny:
			denied = true
			quiet = quiet || rule.quiet
		case has:
			allowed = true
		}
	}
	return allowed && !denied, denied && quiet
}

// randomGlob is a path with wildcards of the names that randomPath uses.
func randomGlob(random *rand.Rand) string {
	var text strings.Builder
	for range 1 + random.IntN(3) {
		text.WriteString("/" + []string{"a", "ab", "b*", "*", "[ab]", "{a,bb}", "?", "a?b", "*b"}[random.IntN(9)])
	}
	return text.String() + []string{"", "", "/", "/**", "**", "/*"}[random.IntN(6)]
}

func randomPath(random *rand.Rand) string {
	var text strings.Builder
	for range 1 + random.IntN(4) {
		text.WriteString("/" + []string{"a", "ab", "b", "bb", "aab", "ba", "c"}[random.IntN(7)])
	}
	return text.String() + []string{"", "", "/"}[random.IntN(3)]
}

// randomRules makes rules, and their text.
func randomRules(t *testing.T, random *rand.Rand) (rules []oracleRule, text string) {
	t.Helper()
	for range 2 + random.IntN(8) {
		glob := randomGlob(random)
		pattern, err := dfa.Glob(glob, dfa.PathGlob)
		if err != nil {
			t.Fatal(err)
		}
		rule := oracleRule{pattern: pattern, deny: random.IntN(3) == 0, owner: random.IntN(4) == 0, letters: []string{"r", "rw", "a", "wk", "m", "ram", "k"}[random.IntN(7)]}
		rule.quiet = rule.deny && random.IntN(3) > 0
		text += words(ifTrue(rule.deny && !rule.quiet, "audit"), ifTrue(rule.deny, "deny"), ifTrue(rule.owner, "owner"), glob, rule.letters) + ",\n"
		rules = append(rules, rule)
	}
	return rules, "profile random {\n" + text + "}\n"
}

// compiledString compiles a text.
func compiledString(t *testing.T, text string) *Compiled {
	t.Helper()
	tree, err := syntax.Parse("random", text, syntax.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	compiled, err := Compile(t.Context(), tree, Options{Features: featuresOf61(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return compiled
}

func TestDecideIsWhatTheRulesSayOneByOne(t *testing.T) {
	const seed, profiles, questions = 41, 40, 300
	random := rand.New(rand.NewPCG(seed, seed))
	const letters = "rwakm"
	denials := 0
	for range profiles {
		rules, text := randomRules(t, random)
		compiled := compiledString(t, text)
		mapped := compiled.Map.Profiles["random"]
		for range questions {
			path, letter, owner := randomPath(random), letters[random.IntN(len(letters))], random.IntN(2) == 0
			want, quiet := allows(rules, path, letter, owner)
			verdict := Decide(compiled.Policy.Profiles[0], Features{}, FileQuestion{Path: path, Access: string(letter), Owner: owner}, &mapped)
			if verdict.Allowed != want || verdict.Quiet != quiet {
				t.Fatalf("seed %d: %s %c, owner %t: %s\nwant allowed %t, quiet %t, of\n%s", seed, path, letter, owner, verdict, want, quiet, text)
			}
			if want && verdict.Because[0].Position.Line == 0 {
				t.Fatalf("%s %c: no rule is named: %s\n%s", path, letter, verdict, text)
			}
			if !want {
				denials++
			}
		}
	}
	if denials < profiles*questions/20 || denials > profiles*questions*19/20 {
		t.Errorf("%d of %d questions were denied: they ask for nothing in particular", denials, profiles*questions)
	}
}

func TestRandomRulesAreShownExactly(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	for range 25 {
		text := "profile random {\n"
		for range 2 + random.IntN(6) {
			text += words(ifTrue(random.IntN(4) == 0, "deny"), ifTrue(random.IntN(4) == 0, "owner"), randomGlob(random), []string{"r", "rw", "a", "rwkl", "m", "wl"}[random.IntN(6)]) + ",\n"
		}
		compiled := compiledString(t, text+"}\n")
		if checkShown(t, compiled.Policy); t.Failed() {
			t.Fatalf("seed %d of\n%s", seed, text)
		}
	}
}
