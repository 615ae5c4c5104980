// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// entangled makes rules of one call, each with a condition on each of the first so many arguments.
func entangled(rules, arguments int, value func(*rand.Rand) uint64, actions []Action, operators ...Operator) *Policy {
	random := rand.New(rand.NewPCG(uint64(rules), uint64(arguments)))
	policy := &Policy{Default: Errno | 1, Newest: Version{Major: 6, Minor: 10}}
	for _, name := range []string{"x86_64", "x86", "x32"} {
		policy.ABIs = append(policy.ABIs, syscalls.ByName(name))
	}
	for range rules {
		rule := Rule{Names: []string{"mmap"}, Action: pick(random, actions...)}
		for index := range arguments {
			rule.Conditions = append(rule.Conditions, Condition{Index: index, Op: pick(random, operators...), Value: value(random), Mask: random.Uint64() & 0xffff})
		}
		policy.Rules = append(policy.Rules, rule)
	}
	return policy
}

// TestRulesThatDependOnEachOtherEndSoon has the worst profiles that we could think of. Either there is a filter, or an error that says that there is none; and both
// come within a second on a machine that does nothing else.
func TestRulesThatDependOnEachOtherEndSoon(t *testing.T) {
	small := func(random *rand.Rand) uint64 { return uint64(random.IntN(1000)) }
	wide := func(random *rand.Rand) uint64 { return random.Uint64() }
	ranges := []Operator{Less, LessEqual, Greater, GreaterEqual, NotEqual}
	all := append([]Operator{Equal, MaskedEqual}, ranges...)
	one, many := []Action{Allow}, []Action{Allow, Errno | 2, Trap, Log}
	for _, test := range []struct {
		name             string
		rules, arguments int
		value            func(*rand.Rand) uint64
		actions          []Action
		operators        []Operator
		compiles         bool // has to
	}{
		{"EightRangesOnSixArguments", 8, 6, small, many, ranges, true},
		{"EightWideRangesOnSixArguments", 8, 6, wide, many, ranges, true},
		{"EightRangesOneAction", 8, 6, wide, one, ranges, true},
		{"EightOfEverything", 8, 6, wide, many, all, true},
		{"EightMasks", 8, 6, small, many, []Operator{MaskedEqual}, true},
		{"SixteenMasks", 16, 6, small, one, []Operator{MaskedEqual}, true},
		{"SixteenOfEverything", 16, 6, wide, many, all, false},
		{"MasksOfOneArgument", 30, 1, small, many, []Operator{MaskedEqual}, true},
		{"ManyMasksOfOneArgument", 100, 1, small, one, []Operator{MaskedEqual}, false},
		{"TooManyMasksOfOneArgument", 400, 1, small, one, []Operator{MaskedEqual}, false},
		{"MasksAndRangesOfOneArgument", 400, 1, wide, many, []Operator{MaskedEqual, Less, Greater}, false},
		{"MasksOfTwoArguments", 60, 2, wide, many, []Operator{MaskedEqual}, false},
		{"MasksAndHoles", 20, 6, wide, many, []Operator{MaskedEqual, NotEqual}, false},
		{"RangesOfTwoArguments", 300, 2, small, many, ranges, true},
		{"RangesOfThreeArguments", 30, 3, small, one, ranges, true},
		{"RangesOfFourArguments", 20, 4, wide, one, ranges, true},
		{"ValuesOfTwoArguments", 300, 2, small, one, []Operator{Equal}, true},
		{"ValuesOfThreeArguments", 300, 3, small, one, []Operator{Equal}, false},
		{"StepsOfSixArguments", 20, 6, wide, one, []Operator{LessEqual}, true},
		{"HolesOfSixArguments", 30, 6, small, one, []Operator{NotEqual}, false},
		{"ManySteps", 3000, 2, wide, one, []Operator{LessEqual}, false},
		{"VeryManySteps", 20000, 6, wide, one, []Operator{LessEqual}, false},
		{"VeryManyHoles", 20000, 6, wide, one, []Operator{NotEqual}, false},
		{"VeryManyMasks", 20000, 6, wide, one, []Operator{MaskedEqual}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy := entangled(test.rules, test.arguments, test.value, test.actions, test.operators...)
			start := time.Now()
			filter, err := Compile(policy)
			if took := time.Since(start); took > 4*time.Second { // a second, on a machine that does other things too
				t.Errorf("%v", took)
			}
			var long *bpf.LengthError
			switch {
			case test.compiles && err != nil, err != nil && !errors.Is(err, errTangled) && !errors.As(err, &long):
				t.Error(err)
			case err == nil:
				t.Logf("%d instructions", len(filter.Program))
			}
		})
	}
}
