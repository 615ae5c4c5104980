// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
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

func TestProofRefusesWhatItDoesNotFollow(t *testing.T) {
	load := func(offset uint32) bpf.Instruction { return bpf.Instruction{Code: codeLoad, K: offset} }
	returns := func(action Action) bpf.Instruction { return bpf.Instruction{Code: codeReturn, K: uint32(action)} }
	equal := func(k uint32, yes, no uint8) bpf.Instruction {
		return bpf.Instruction{Code: codeEqual, K: k, True: yes, False: no}
	}
	allow, kill, eperm := returns(Allow), returns(KillThread), returns(Errno|1)
	abi := syscalls.ByName("x86")
	call, _ := syscalls.Lookup("read")
	number, _ := abi.Number(call)
	low, high := bpf.LittleEndian.ArgumentLow(0), bpf.LittleEndian.ArgumentHigh(0)
	policy := policyOf(Trace|1, []string{"x86"}, rule("read", Allow, equalTo(0, 7))) // TRACE: unknown calls have it too
	trace := returns(Trace | 1)
	for _, test := range []struct {
		name    string
		program []bpf.Instruction
		want    string // in the error; "" = proved
	}{
		{"ForeignCallsGetIt", []bpf.Instruction{load(4), equal(abi.Audit, 0, 5), load(0), equal(number, 0, 2), load(low), equal(7, 1, 0), trace, allow, kill}, "answers"},
		{"RightIndeed", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 2), load(low), equal(7, 1, 0), trace, allow}, ""},
		{"NumberFirst", []bpf.Instruction{load(0), equal(number, 4, 0), load(4), equal(abi.Audit, 1, 0), kill, trace, load(4), equal(abi.Audit, 1, 0), kill, load(low), equal(7, 1, 0), trace, allow}, ""},
		{"NoArchitecture", []bpf.Instruction{load(0), equal(number, 0, 2), load(low), equal(7, 1, 0), trace, allow}, "of calls that the policy does not have"},
		{"NoNumber", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(low), equal(7, 1, 0), trace, allow}, "answers SCMP_ACT_ALLOW"},
		{"NoArgument", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 1), allow, trace}, "answers SCMP_ACT_ALLOW"},
		{"TheOtherHalf", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 2), load(high), equal(7, 1, 0), trace, allow}, "answers"},
		{"AnotherArgument", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 2), load(low + 8), equal(7, 1, 0), trace, allow}, "answers"},
		{"SomeBits", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 3), load(low), {Code: codeAnd, K: 0xff}, equal(7, 1, 0), trace, allow}, "answers SCMP_ACT_ALLOW"},
		{"AnotherErrno", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 2), load(low), equal(7, 1, 0), eperm, allow}, "answers SCMP_ACT_ERRNO(1)"},
		{"AllowWithData", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 2), load(low), equal(7, 1, 0), trace, returns(Allow | 1)}, "answers"},
		{"OneAction", []bpf.Instruction{trace}, "answers SCMP_ACT_TRACE(1)"},
		{"NothingLoaded", []bpf.Instruction{equal(0, 0, 1), allow, kill}, "does not come after a load"},
		{"InstructionPointer", []bpf.Instruction{load(8), equal(0, 0, 1), allow, kill}, "does not come after a load"},
		{"BitsOfTheNumber", []bpf.Instruction{load(0), {Code: codeAnd, K: 0xff}, equal(3, 0, 1), allow, kill}, "none that the compiler writes"},
		{"HighBitsOfTheNumber", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), {Code: codeAtLeast, K: 4096, True: 1}, {Code: codeAnd, K: 0xffff000}, trace}, "none that the compiler writes"},
		{"AnotherTest", []bpf.Instruction{load(0), {Code: bpf.JMP | bpf.JSET | bpf.K, K: 3, True: 1}, allow, kill}, "none that the compiler writes"},
		{"ReturnOfA", []bpf.Instruction{load(0), {Code: bpf.RET | bpf.A}}, "none that the compiler writes"},
		{"BackToTheNumber", []bpf.Instruction{load(4), equal(abi.Audit, 1, 0), kill, load(0), equal(number, 0, 4), load(low), equal(7, 0, 2), load(0), equal(number, 1, 0), trace, allow}, "goes back to a word"},
		{"NoProgram", nil, "program"},
		{"RunsOff", []bpf.Instruction{load(0)}, "instruction"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := (&Filter{Program: test.program}).Prove(policy)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
	if err := (&Filter{Program: []bpf.Instruction{kill}, BigEndian: true}).Prove(policy); err == nil {
		t.Error("a filter for another byte order")
	}
}

// TestProofFindsWrongAnswersToArguments changes one instruction of filters whose rules look at arguments. Where some call is answered otherwise then, the proof has to fail, with a
// call that really is.
func TestProofFindsWrongAnswersToArguments(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	wrong := 0
	for range 400 {
		policy := randomPolicy(random, pick(random, []string{"x86_64", "x86", "x32"}, []string{"s390x", "s390"}, []string{"mips"})...)
		filter, err := Compile(policy)
		if err != nil {
			t.Fatal(err)
		}
		changed := &Filter{Program: slices.Clone(filter.Program), BigEndian: filter.BigEndian}
		i := &changed.Program[random.IntN(len(changed.Program))]
		switch random.IntN(5) {
		case 0:
			i.K++
		case 1:
			i.K ^= 1 << random.IntN(32)
		case 2:
			i.True, i.False = i.False, i.True
		case 3:
			i.True++
		case 4:
			i.False++
		}
		if bpf.Check(changed.Program) != nil {
			continue
		}
		err = changed.Prove(policy)
		decider := NewDecider(policy)
		var mismatch *MismatchError
		if errors.As(err, &mismatch) {
			got, _ := bpf.Execute(changed.Order(), changed.Program, &mismatch.Call)
			if want := decider.Decide(mismatch.Call).Action; Action(got) == want || Action(got) != mismatch.Got || want != mismatch.Want {
				t.Fatalf("%v: the filter answers %s and the policy %s", err, Action(got), want)
			}
		}
		for range 200 {
			data := randomCall(random, policy, policy.ABIs[random.IntN(len(policy.ABIs))])
			got, _ := bpf.Execute(changed.Order(), changed.Program, &data)
			if Action(got) == decider.Decide(data).Action {
				continue
			}
			wrong++
			if err == nil {
				t.Fatalf("call %d, %#x: answered %s, and proved", data.Number, data.Args, Action(got))
			}
			break
		}
	}
	if wrong < 50 {
		t.Errorf("only %d changes that matter", wrong)
	}
}
