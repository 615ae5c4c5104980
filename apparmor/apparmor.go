// SPDX-License-Identifier: Apache-2.0

// Package apparmor compiles AppArmor policy for a kernel, reads compiled policy back, answers questions from it and compares it.
package apparmor

import (
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// Compiled is policy as the kernel takes it, and where each part of it comes from.
type Compiled struct {
	Policy   *binary.Policy
	Map      Map
	Warnings source.Diagnostics
	// Unenforced are the rules that the target kernel cannot enforce, each with the reason. They are errors under Options.Strict.
	Unenforced source.Diagnostics
}

// Options say what Compile makes.
type Options struct {
	Features  Features  // of the target kernel
	Strict    bool      // what the target cannot enforce is an error
	ABI       *Features // of the policy's abi rule, read by the caller (LoadABI); nil: the target's own
	Complain  bool      // every profile, as apparmor_parser -C
	Namespace string    // over that of the profiles, as apparmor_parser -n
	Limits    dfa.Limits
	Workers   int // 0: one for each CPU
}

// unit is one profile on its way through the compiler. Each rule kind's file has a method of it that makes entries of the kind's rules.
type unit struct {
	profile   *syntax.Profile
	name      string // full: parent//child, variables replaced
	namespace string
	options   *Options
	kernel    Features // of the target
	features  Features // what this policy means to be mediated: the kernel's, as far as the policy's ABI has it too
	classes   classes  // of those features

	// expand replaces the variables of a pattern: the result is none or one, with alternatives in the place of variables that have several values.
	// expandNames returns every combination of the values, for words that are not patterns. What is wrong is reported.
	expand, expandNames func(word syntax.Word) []string

	aliases                      []syntax.Alias
	faults, warnings, unenforced source.Diagnostics
	targets                      targets // of its x rules
	shared                       *shared
	// report, warn and lack collect errors, warnings and what the target cannot enforce.
	report, warn, lack func(rule syntax.Rule, format string, arguments ...any)
}

// entry is one string pattern of one rule, on its way into an automaton: every rule kind comes down to these.
type entry struct {
	pattern  dfa.Pattern
	rule     syntax.Rule
	perms    uint32 // bits of the automaton's first accept word; the exec index among them
	audit    uint32 // the same layout; of what is denied quietly, the bits that are not logged, 0 for all
	deny     bool
	quiet    bool // of deny: not logged. "deny" alone is quiet, "audit deny" is not
	prompt   bool
	priority int
	specific specificity // of the pattern: whose exec transition wins
}

// Map says which rules are behind the profiles, so that Decide can name them. It is JSON beside the policy (FILE.map).
type Map struct {
	Digest   string                `json:"digest"` // SHA-256 of the stream, hex
	Profiles map[string]ProfileMap `json:"profiles"`
}

// ProfileMap has a profile's rules by name of the profile.
type ProfileMap struct {
	Position  source.Position     `json:"position"`
	Rules     []MappedRule        `json:"rules"`
	Variables map[string][]string `json:"variables,omitempty"` // that the rules use, by name without @{ and }, their words as written
}

// MappedRule is one rule of the text.
type MappedRule struct {
	Position source.Position `json:"position"`
	Text     string          `json:"text"` // as written, in one line
}
