// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asserted is a text of a few rules about few types, with a neverallow, a neverallowx or bounds that they keep about as often as not.
func asserted(seed uint64, later bool) string {
	random := rand.New(rand.NewPCG(seed, 7))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	types := func() string {
		return one("one_t", "two_t", "three_t", "data_t", "child_t", "pair", "pair2", "domain", "files")
	}
	target := func() string {
		if special := random.IntN(6); special == 0 || later && special == 1 {
			return map[bool]string{true: one("self", "notself", "other"), false: "self"}[later]
		}
		return types()
	}
	permissions := func() string {
		return one("(file (read))", "(file (read write))", "(file (write append))", "(dir (read search))", "(file (ioctl))", "(file (ioctl))")
	}
	number := func() string {
		return one("0x10", "0x20", "(range 0x0 0xff)", "(range 0x18 0x110)", "0x120", "(range 0x100 0x2ff)")
	}
	var text strings.Builder
	line := func(format string, arguments ...any) { fmt.Fprintf(&text, format+"\n", arguments...) }
	line("(type child_t) (roletype system_r child_t) (boolean a true) (boolean b false)")
	line("(typeattribute pair) (typeattributeset pair (%s %s))", one("one_t", "two_t"), one("three_t", "child_t", "data_t"))
	line("(typeattribute pair2) (typeattributeset pair2 (and domain (not (%s))))", one("one_t", "two_t"))
	rule := func() {
		switch random.IntN(5) {
		case 0:
			line("(allowx %s %s (ioctl file (%s)))", types(), target(), number())
		default:
			line("(%s %s %s %s)", one("allow", "allow", "allow", "auditallow"), types(), target(), permissions())
		}
	}
	for range 1 + random.IntN(5) {
		rule()
	}
	if random.IntN(2) == 0 {
		line("(booleanif %s", one("a", "b", "(and a b)"))
		for _, branch := range [][]string{{"true"}, {"false"}, {"true", "false"}}[random.IntN(3)] {
			line("(%s (allow %s %s %s) (allow %s %s %s))", branch, types(), target(), permissions(), types(), target(), permissions())
		}
		line(")")
	}
	switch random.IntN(3) {
	case 0:
		line("(neverallow %s %s %s)", types(), target(), permissions())
	case 1:
		line("(neverallowx %s %s (ioctl file (%s)))", types(), target(), number())
	case 2:
		line("(typebounds %s child_t)", one("one_t", "two_t"))
		line("(allow child_t %s %s)", one("data_t", "one_t", "self", "files"), permissions())
	}
	return text.String()
}

// Rules on rules are broken and kept for the reference as for us.
func TestRandomRulesAreHeldAgainstNeverAllowAsTheReferenceDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "asserted.cil")
	for _, reference := range references(t) {
		taken := 0
		for seed := *firstSeed; seed < *firstSeed+uint64(*policies); seed++ {
			text := asserted(seed, reference.later)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if compareRandom(t, reference, text, file) {
				taken++
			}
		}
		t.Logf("secilc %s: %d of %d keep the rules", reference.name, taken, *policies)
		if taken < *policies/5 || taken > *policies*4/5 {
			t.Errorf("secilc %s takes %d of %d: the comparison says little", reference.name, taken, *policies)
		}
	}
}
