// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// policyOf makes a policy of rules for some ABIs. It names calls up to Linux 5.10.
func policyOf(byDefault Action, abis []string, rules ...Rule) *Policy {
	policy := &Policy{Default: byDefault, Newest: Version{Major: 5, Minor: 10}, Rules: rules}
	for _, name := range abis {
		policy.ABIs = append(policy.ABIs, syscalls.ByName(name))
	}
	return policy
}

// rule makes a rule of one call.
func rule(name string, action Action, conditions ...Condition) Rule {
	return Rule{Names: []string{name}, Action: action, Conditions: conditions}
}

// equalTo is the condition that an argument has a value.
func equalTo(index int, value uint64) Condition {
	return Condition{Index: index, Op: Equal, Value: value}
}

// ask returns what the policy says of a call by name or, if it has none, by number, and has the compiled filter say the same.
func ask(t *testing.T, policy *Policy, abi, name string, number uint32, args ...uint64) Action {
	t.Helper()
	on := syscalls.ByName(abi)
	data := bpf.Data{Arch: on.Audit, Number: number}
	copy(data.Args[:], args)
	if name != "" {
		call, ok := syscalls.Lookup(name)
		if data.Number, ok = on.Number(call); !ok {
			t.Fatalf("%s has no call %s", abi, name)
		}
	}
	verdict := NewDecider(policy).Decide(data)
	filter, err := Compile(policy)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := bpf.Execute(filter.Order(), filter.Program, &data); Action(got) != verdict.Action {
		t.Fatalf("filter %s, rules %s", Action(got), verdict.Action)
	}
	if verdict.Because == "" {
		t.Error("no reason")
	}
	return verdict.Action
}

func TestWhichRuleWins(t *testing.T) {
	x86 := []string{"x86_64"}
	for _, test := range []struct {
		name  string
		rules []Rule
		want  Action
	}{
		{"None", nil, Trap},
		{"One", []Rule{rule("read", Allow)}, Allow},
		{"TheFirstWithoutConditions", []Rule{rule("read", Allow), rule("read", Errno|2), rule("read", Log)}, Allow},
		{"TheStrictestThatHolds", []Rule{rule("read", Allow), rule("read", Errno|2, equalTo(1, 0)), rule("read", Log, equalTo(0, 7))}, Errno | 2},
		{"KillProcessIsTheStrictest", []Rule{rule("read", KillThread), rule("read", KillProcess, equalTo(0, 7)), rule("read", Trap, equalTo(1, 0))}, KillProcess},
		{"TheFirstErrno", []Rule{rule("read", Errno|3), rule("read", Errno|2)}, Errno | 3},
		{"TheFirstErrnoThatHolds", []Rule{rule("read", Errno|3, equalTo(0, 9)), rule("read", Errno|2)}, Errno | 2},
		{"NotifyBeforeTrace", []Rule{rule("read", Trace|1), rule("read", Notify, equalTo(0, 7))}, Notify},
		{"OneThatHolds", []Rule{rule("read", Allow, equalTo(0, 7)), rule("read", Errno|2, equalTo(0, 8))}, Allow},
		{"NoneThatHolds", []Rule{rule("read", Allow, equalTo(0, 8))}, Trap},
		{"AllConditionsHaveToHold", []Rule{rule("read", Allow, equalTo(0, 7), equalTo(2, 1))}, Trap},
		{"ConditionalIsStricter", []Rule{rule("read", Allow), rule("read", Errno|2, equalTo(0, 7))}, Errno | 2},
		{"UnconditionalIsStricter", []Rule{rule("read", Allow, equalTo(0, 7)), rule("read", Errno|2)}, Errno | 2},
		{"RuleThatCanNeverHold", []Rule{rule("read", Allow, equalTo(0, 7), equalTo(0, 8))}, Trap},
		{"UnknownNamesAreNothing", []Rule{rule("no_such_call", Allow)}, Trap},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, policyOf(Trap, x86, test.rules...), "x86_64", "read", 0, 7); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestActionsByStrictness(t *testing.T) {
	order := []Action{KillProcess, KillThread, Trap, Errno | 1, Notify, Trace | 1, Log, Allow}
	for i, a := range order {
		for j, b := range order {
			if a.Stricter(b) != (i < j) {
				t.Errorf("%s and %s", a, b)
			}
		}
	}
	if (Errno | 1).Stricter(Errno|2) || (Errno | 2).Stricter(Errno|1) {
		t.Error("an errno is stricter than another")
	}
}

func TestCallsThatTheProfileDoesNotKnow(t *testing.T) {
	const allOnes = 0xffffffff
	for _, test := range []struct {
		name      string
		byDefault Action
		abi, call string
		number    uint32
		want      Action
	}{
		{"OlderThanTheProfile", Errno | 1, "x86_64", "ptrace", 0, Errno | 1},
		{"NewerThanTheProfile", Errno | 1, "x86_64", "landlock_restrict_self", 0, Errno | 38},
		{"NewerOnMIPS", Errno | 1, "mips64", "landlock_restrict_self", 0, Errno | 89},
		{"NewerWhereTheDefaultKills", KillProcess, "x86_64", "landlock_restrict_self", 0, Errno | 38},
		{"NewerWhereTheDefaultTraps", Trap, "x86_64", "landlock_restrict_self", 0, Errno | 38},
		{"NewerWhereTheDefaultAllows", Allow, "x86_64", "landlock_restrict_self", 0, Allow},
		{"NewerWhereTheDefaultLogs", Log, "x86_64", "landlock_restrict_self", 0, Log},
		{"NewerWhereTheDefaultTraces", Trace | 5, "x86_64", "landlock_restrict_self", 0, Trace | 5},
		{"NewerWhereTheDefaultNotifies", Notify, "x86_64", "landlock_restrict_self", 0, Notify},
		{"NewerWhatTheProfileNames", Errno | 1, "x86_64", "mseal", 0, Allow},
		{"BeyondTheTable", Errno | 1, "x86_64", "", 5000, Errno | 38},
		{"BeyondTheTableOnMIPS", Errno | 1, "mips", "", 4999, Errno | 89},
		{"BelowTheTableOnMIPS", Errno | 1, "mips", "", 3, Errno | 89},
		{"AHoleInTheTable", Errno | 1, "x86_64", "", 400, Errno | 38},
		{"MinusOne", Errno | 1, "x86_64", "", allOnes, Errno | 38},
		{"MinusTwoIsOfX32", Errno | 1, "x86_64", "", allOnes - 1, KillThread},
		{"MinusOneWhereTheDefaultAllows", Allow, "x86_64", "", allOnes, Allow},
		{"OfX32", Errno | 1, "x86_64", "", x32Bit | 1, KillThread},
		{"WithTheTopBitIsOfX32", Errno | 1, "x86_64", "", 1<<31 | 1, KillThread},
		{"WithTheTopBitOnOthers", Errno | 1, "x86", "", 1<<31 | 1, Errno | 38},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy := policyOf(test.byDefault, []string{test.abi}, rule("mseal", Allow))
			if got := ask(t, policy, test.abi, test.call, test.number); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestTheTwoHalvesOfX86(t *testing.T) {
	read := rule("read", Allow)
	for _, test := range []struct {
		name   string
		abis   []string
		number uint32
		want   Action
	}{
		{"X86_64Alone", []string{"x86_64"}, 0, Allow},
		{"X32AmongX86_64Alone", []string{"x86_64"}, x32Bit, KillThread},
		{"X32Alone", []string{"x32"}, x32Bit, Allow},
		{"X86_64AmongX32Alone", []string{"x32"}, 0, KillThread},
		{"BothX86_64", []string{"x86_64", "x32"}, 0, Allow},
		{"BothX32", []string{"x86_64", "x32"}, x32Bit, Allow},
		{"X32First", []string{"x32", "x86_64"}, 0, Allow},
		{"MinusOneOfBoth", []string{"x86_64", "x32"}, 0xffffffff, Errno | 38},
		{"MinusOneOfX32Alone", []string{"x32"}, 0xffffffff, Errno | 38},
		{"HoleOfX32", []string{"x86_64", "x32"}, x32Bit | 0, Allow},
		{"BeyondX32", []string{"x86_64", "x32"}, x32Bit | 5000, Errno | 38},
		{"TwiceTheSame", []string{"x86_64", "x86_64"}, 0, Allow},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, policyOf(Errno|1, test.abis, read), "x86_64", "", test.number); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestMultiplexers(t *testing.T) {
	const socket, bind = 1, 2 // of socketcall
	const semop, shmat = 1, 21
	for _, test := range []struct {
		name  string
		abi   string
		rules []Rule
		call  string
		sub   uint64
		want  Action
	}{
		{"NamedItself", "x86", []Rule{rule("socketcall", Allow), rule("socket", Errno|1)}, "socketcall", socket, Allow},
		{"NamedItselfDenied", "x86", []Rule{rule("socketcall", Errno|3), rule("socket", Allow)}, "socketcall", socket, Errno | 3},
		{"OpenAsTheDirectCall", "x86", []Rule{rule("socket", Allow)}, "socketcall", socket, Allow},
		{"OthersAreNotOpened", "x86", []Rule{rule("socket", Allow)}, "socketcall", bind, Trap},
		{"NoSuchSubcall", "x86", []Rule{rule("socket", Allow)}, "socketcall", 77, Trap},
		{"WhatAnArgumentDecidesIsDenied", "x86", []Rule{rule("socket", Allow, equalTo(0, 2))}, "socketcall", socket, Trap},
		{"TheStrictestOfTheDirectCall", "x86", []Rule{rule("socket", Allow), rule("socket", Errno|2, equalTo(0, 40))}, "socketcall", socket, Errno | 2},
		{"StricterThanTheDefault", "x86", []Rule{rule("socket", KillProcess, equalTo(0, 40))}, "socketcall", socket, KillProcess},
		{"OnS390", "s390x", []Rule{rule("socket", Allow)}, "socketcall", socket, Allow},
		{"OnPowerPC", "ppc64le", []Rule{rule("bind", Allow)}, "socketcall", bind, Allow},
		{"IPC", "x86", []Rule{rule("shmat", Allow)}, "ipc", shmat, Allow},
		{"IPCWithAVersionAbove", "x86", []Rule{rule("shmat", Allow)}, "ipc", shmat | 1<<16, Allow},
		{"IPCOthers", "x86", []Rule{rule("shmat", Allow)}, "ipc", semop, Trap},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, policyOf(Trap, []string{test.abi}, test.rules...), test.abi, test.call, 0, test.sub); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestPoliciesThatCannotBeCompiled(t *testing.T) {
	if _, err := Compile(&Policy{}); err == nil {
		t.Error("a policy for no architecture")
	}
	if _, err := Compile(policyOf(Allow, []string{"x86_64", "s390x"})); err == nil {
		t.Error("two byte orders")
	}
	many := policyOf(Allow, []string{"x86_64"}, slices.Repeat([]Rule{rule("read", Allow)}, 1<<16)...)
	if _, err := Compile(many); err == nil {
		t.Error("more rules than are counted")
	}
}

func TestManyRulesOfManyCalls(t *testing.T) {
	var names []string
	for call := range syscalls.Calls() {
		names = append(names, call.String())
	}
	policy := policyOf(Errno|1, []string{"x86_64"})
	for i := range 200 { // more pairs of call and rule than 16 bits count
		policy.Rules = append(policy.Rules, Rule{Names: names, Action: Allow, Conditions: []Condition{{Index: 0, Op: Equal, Value: uint64(i), Width: 32}}})
	}
	if got := ask(t, policy, "x86_64", "read", 0, 199); got != Allow {
		t.Errorf("in: %s", got)
	}
	if got := ask(t, policy, "x86_64", "read", 0, 200); got != Errno|1 {
		t.Errorf("out: %s", got)
	}
}
