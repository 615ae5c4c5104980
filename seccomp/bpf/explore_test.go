// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// agree holds the leaves of a program against its execution: each witness returns the leaf's value, and each call is in exactly one leaf, which
// has its value.
func agree(t *testing.T, random *rand.Rand, order Order, program []Instruction, found []leaf, calls int) {
	t.Helper()
	check := func(data *Data) {
		t.Helper()
		value, _ := Execute(order, program, data)
		inside := 0
		for i := range found {
			if found[i].region.Contains(order, data) {
				inside++
				if found[i].value != value {
					t.Fatalf("%+v: a region says %#x, the program %#x\n%#v", *data, found[i].value, value, program)
				}
			}
		}
		if inside != 1 {
			t.Fatalf("%+v is in %d regions of %d\n%#v", *data, inside, len(found), program)
		}
	}
	for i := range found {
		data := found[i].region.Witness(order)
		check(&data)
	}
	for range calls {
		data := someData(random)
		check(&data)
	}
}

func TestRegionsPartitionAllCallsAndSayWhatTheProgramDoes(t *testing.T) {
	for name, c := range map[string]struct {
		dialect  dialect
		programs int
		exact    int // so many programs have to be followed to the end
		regions  int // and have so many paths, both a little below what they are
	}{
		"Filters":  {filters, 4000, 4000, 11000},
		"Anything": {anything, 8000, 5800, 10000},
	} {
		t.Run(name, func(t *testing.T) {
			random := seeded(1)
			exact, total, most := 0, 0, 0
			for range c.programs {
				program := c.dialect.program(random, 2+random.IntN(24))
				found, err := leaves(t, program, Everything())
				if errors.Is(err, ErrInexact) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				exact++
				total += len(found)
				most = max(most, len(found))
				agree(t, random, Order(random.IntN(2) == 0), program, found, 60)
			}
			t.Logf("%d of %d programs exact, %d regions, at most %d", exact, c.programs, total, most)
			if exact < c.exact || total < c.regions {
				t.Errorf("only %d programs were followed, with %d regions", exact, total)
			}
		})
	}
}
