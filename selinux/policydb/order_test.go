// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// shuffle takes the order from all that libsepol keeps in hash tables.
func shuffle(p *Policy, random *rand.Rand) {
	shuffleSymbols(&p.Commons, random)
	shuffleSymbols(&p.Classes, random)
	shuffleSymbols(&p.Roles, random)
	shuffleSymbols(&p.Types, random)
	shuffleSymbols(&p.Users, random)
	shuffleSymbols(&p.Booleans, random)
	shuffleSymbols(&p.Levels, random)
	shuffleSymbols(&p.Categories, random)
	for i := range p.Commons.Entries {
		shuffleSymbols(&p.Commons.Entries[i].Permissions, random)
	}
	for i := range p.Classes.Entries {
		shuffleSymbols(&p.Classes.Entries[i].Permissions, random)
	}
	shuffleGroups(p.Rules, random, func(r *Rule) any {
		if r.Extended != nil {
			return r // the order of those means nothing
		}
		return r.key()
	})
	shuffleGroups(p.Filenames, random, func(f *FilenameTransition) any { return fmt.Sprint(f.Target, f.Class, f.Name) })
	shuffleGroups(p.RangeRules, random, func(r *RangeTransition) any { return r })
}

func shuffleSymbols[T any](table *Symbols[T], random *rand.Rand) {
	random.Shuffle(len(table.Entries), func(i, j int) { table.Entries[i], table.Entries[j] = table.Entries[j], table.Entries[i] })
}

// shuffleGroups keeps the order within each group.
func shuffleGroups[T any](elements []T, random *rand.Rand, group func(*T) any) {
	places := map[any]int{}
	type placed struct {
		place   int
		element T
	}
	all := make([]placed, len(elements))
	for i := range elements {
		key := group(&elements[i])
		if _, known := places[key]; !known {
			places[key] = random.Int()
		}
		all[i] = placed{places[key], elements[i]}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.place - b.place })
	for i := range all {
		elements[i] = all[i].element
	}
}

// The files are secilc's, of both eras.
func TestArrangedTablesAreInTheOrderOfTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	files := map[string]Order{"small.later": Libsepol36, "plain.33": Libsepol34}
	for version := 24; version <= 33; version++ {
		files[fmt.Sprintf("small.%d", version)] = Libsepol34
	}
	for name, order := range files {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			p, err := Decode(data)
			if err != nil {
				t.Fatal(name, err)
			}
			shuffle(p, random)
			for _, round := range []string{"once", "twice"} {
				p.Arrange(order)
				if out, err := p.Encode(); err != nil || !bytes.Equal(out, data) {
					t.Fatalf("%s: arranged %s, the policy is not the reference's: %v", name, round, err)
				}
			}
		}
	}
}

func TestOrdersOfTheErasDiffer(t *testing.T) {
	data, p := small(t, 33)
	p.Arrange(Libsepol36)
	later, err := os.ReadFile("testdata/small.later")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Encode(); err != nil || bytes.Equal(out, data) || !bytes.Equal(out, later) {
		t.Errorf("the policy of 3.4 arranged as 3.6 does: %v", err)
	}
}

func TestNamesComeInTheOrderOfTables(t *testing.T) {
	_, p := small(t, 33)
	for _, class := range p.Classes.Entries {
		var want []string
		for _, permission := range class.Permissions.Entries {
			want = append(want, permission.Name)
		}
		names := slices.Sorted(slices.Values(want))
		if Libsepol34.Sort(names, permissionSlots); !slices.Equal(names, want) {
			t.Errorf("class %s: %v, want %v", class.Name, names, want)
		}
	}
}

// Tables of CIL's compiler start with a size each and are doubled when an element comes to a table that is full.
func TestTablesGrowWithTheirElements(t *testing.T) {
	for elements, want := range map[int]uint64{0: 16, 16: 16, 17: 32, 32: 32, 33: 64} {
		if got := slotsFor(elements, 16); got != want {
			t.Errorf("%d elements: %d slots, want %d", elements, got, want)
		}
	}
}

func BenchmarkArrange(b *testing.B) {
	random := rand.New(rand.NewPCG(3, 4))
	rules := make([]Rule, 100_000)
	for b.Loop() {
		b.StopTimer()
		for i := range rules {
			rules[i] = Rule{Source: uint16(random.IntN(5000) + 1), Target: uint16(random.IntN(5000) + 1), Class: uint16(random.IntN(100) + 1), Kind: RuleAllow}
		}
		b.StartTimer()
		arrangeRules(rules)
	}
}
