// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

func dockerPolicy(t testing.TB, architecture string, abis ...string) *Policy {
	t.Helper()
	policy, _, err := Docker().Resolve(Target{Architecture: architecture, Capabilities: dockerCapabilities, Kernel: Version{Major: 6, Minor: 18}})
	if err != nil {
		t.Fatal(err)
	}
	if len(abis) > 0 {
		policy.ABIs = nil
		for _, name := range abis {
			policy.ABIs = append(policy.ABIs, syscalls.ByName(name))
		}
	}
	return policy
}

// measure is what a filter costs calls of one ABI.
type measure struct {
	length, cached int
	uncached       float64 // mean of instructions executed by the calls that the kernel does not answer from its bitmap
}

func measured(filter *Filter, abi *syscalls.ABI) measure {
	m := measure{length: len(filter.Program)}
	steps, calls := 0, 0
	for number, call := range abi.Numbers() {
		data := bpf.Data{Number: number, Arch: abi.Audit}
		data.Args[0] = map[string]uint64{"clone": 0x1200011, "socket": 2, "personality": 0xffffffff}[call.String()]
		if bpf.Constant(filter.Program, abi.Audit, number) {
			m.cached++
			continue
		}
		_, executed := bpf.Execute(filter.Order(), filter.Program, &data)
		steps, calls = steps+executed, calls+1
	}
	m.uncached = float64(steps) / float64(calls)
	return m
}

func TestDockersDefaultIsShortQuickAndCached(t *testing.T) {
	for _, test := range []struct {
		abis           []string
		length         int // at most
		uncached       float64
		cached, compat int // exactly
	}{
		{[]string{"x86_64", "x86", "x32"}, 224, 8.9, 306, 357},
		{[]string{"x86_64"}, 65, 8.8, 306, 0},
	} {
		filter, err := Compile(dockerPolicy(t, "amd64", test.abis...))
		if err != nil {
			t.Fatal(err)
		}
		native, compat := measured(filter, syscalls.ByName("x86_64")), measured(filter, syscalls.ByName("x86"))
		t.Logf("%v: %+v, compat %d", test.abis, native, compat.cached)
		if native.length > test.length || native.uncached > test.uncached || native.cached != test.cached || compat.cached != test.compat {
			t.Errorf("%v: %+v, compat %d; want %+v", test.abis, native, compat.cached, test)
		}
	}
}

func TestEveryArchitectureCompilesDockersDefault(t *testing.T) {
	for _, abi := range syscalls.ABIs() {
		policy := dockerPolicy(t, "amd64", abi.Name)
		filter, err := Compile(policy)
		if err != nil {
			t.Fatalf("%s: %v", abi.Name, err)
		}
		decider := NewDecider(policy)
		for number := range abi.Numbers() {
			data := bpf.Data{Number: number, Arch: abi.Audit, Args: [6]uint64{40, 1, 2, 3, 4, 5}}
			if got, _ := bpf.Execute(filter.Order(), filter.Program, &data); Action(got) != decider.Decide(data).Action {
				t.Fatalf("%s %d: filter %s, policy %s", abi.Name, number, Action(got), decider.Decide(data).Action)
			}
		}
	}
}

func TestSameProfileSameBytes(t *testing.T) {
	first, err := Compile(dockerPolicy(t, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Compile(dockerPolicy(t, "amd64"))
		if err != nil || !slices.Equal(again.Bytes(), first.Bytes()) {
			t.Fatalf("another program, %v", err)
		}
	}
}

// TestProofFindsEveryWrongInstruction changes one instruction at a time so that the program means something else, and has the proof find it.
func TestProofFindsEveryWrongInstruction(t *testing.T) {
	policy := dockerPolicy(t, "amd64")
	filter, err := Compile(policy)
	if err != nil {
		t.Fatal(err)
	}
	found, tried := 0, 0
	for i := range filter.Program {
		for name, change := range map[string]func(*bpf.Instruction){
			"constant one up":   func(i *bpf.Instruction) { i.K++ },
			"constant one down": func(i *bpf.Instruction) { i.K-- },
			"ways swapped":      func(i *bpf.Instruction) { i.True, i.False = i.False, i.True },
			"equal for at least": func(i *bpf.Instruction) {
				if i.Code == codeAtLeast {
					i.Code = codeEqual
				}
			},
		} {
			changed := *filter
			changed.Program = slices.Clone(filter.Program)
			change(&changed.Program[i])
			if changed.Program[i] == filter.Program[i] || bpf.Check(changed.Program) != nil {
				continue
			}
			if sameAnswers(filter, &changed) {
				continue // no call sees the difference
			}
			tried++
			if err := changed.Prove(policy); err == nil {
				t.Errorf("instruction %d, %s: not found", i, name)
				continue
			}
			found++
		}
	}
	if tried < 300 {
		t.Errorf("only %d changes that matter", tried)
	}
	t.Logf("%d of %d found", found, tried)
}

// sameAnswers reports whether two filters answer alike wherever numbers, architectures and first arguments make a difference to either.
func sameAnswers(a, b *Filter) bool {
	values := []uint32{0}
	for _, f := range []*Filter{a, b} {
		for _, i := range f.Program {
			if i.Code == codeEqual || i.Code == codeAtLeast {
				values = append(values, i.K-1, i.K, i.K+1)
			}
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	alike := func(data bpf.Data) bool {
		x, _ := bpf.Execute(a.Order(), a.Program, &data)
		y, _ := bpf.Execute(b.Order(), b.Program, &data)
		return x == y
	}
	for _, arch := range values {
		if arch > 0xc0000000 || arch&0x40000000 != 0 && arch < 0x40000010 {
			for _, number := range values {
				if !alike(bpf.Data{Arch: arch, Number: number}) {
					return false
				}
			}
		}
	}
	for _, abi := range []*syscalls.ABI{syscalls.ByName("x86_64"), syscalls.ByName("x86"), syscalls.ByName("x32")} {
		for _, name := range []string{"socket", "clone", "personality"} {
			call, _ := syscalls.Lookup(name)
			number, _ := abi.Number(call)
			for _, low := range values {
				for _, high := range []uint64{0, 1 << 32} {
					if !alike(bpf.Data{Arch: abi.Audit, Number: number, Args: [6]uint64{high | uint64(low)}}) {
						return false
					}
				}
			}
		}
	}
	return true
}

func TestHighBitsOfAnIntOpenNothing(t *testing.T) {
	filter, err := Compile(dockerPolicy(t, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	abi := syscalls.ByName("x86_64")
	socket, _ := syscalls.Lookup("socket")
	number, _ := abi.Number(socket)
	for family, want := range map[uint64]Action{2: Allow, 1: Allow, 16: Allow, 40: Errno | 1, 38: Errno | 1, 40 | 1<<32: Errno | 1, 38 | 1<<32: Errno | 1, 38 | 1<<63: Errno | 1, 2 | 1<<32: Allow} {
		data := bpf.Data{Number: number, Arch: abi.Audit, Args: [6]uint64{family, 1, 0}}
		if got, _ := bpf.Execute(filter.Order(), filter.Program, &data); Action(got) != want {
			t.Errorf("socket(%#x): %s, want %s", family, Action(got), want)
		}
	}
}

func TestLongFiltersSayByHowMuch(t *testing.T) {
	policy := dockerPolicy(t, "amd64", "x86_64")
	rule := Rule{Names: []string{"ioctl"}, Action: Allow}
	for i := range 3000 {
		one := rule
		one.Conditions = []Condition{{Index: 1, Op: Equal, Value: uint64(i * 3)}}
		policy.Rules = append(policy.Rules, one)
	}
	policy.Rules = slices.DeleteFunc(policy.Rules, func(r Rule) bool { return len(r.Conditions) == 0 && slices.Contains(r.Names, "ioctl") })
	filter, err := Compile(policy)
	var long *bpf.LengthError
	if err != nil && !errors.As(err, &long) {
		t.Fatal(err)
	}
	if err == nil && len(filter.Program) > bpf.Length {
		t.Fatal("longer than the kernel takes")
	}
	for i := range 9000 {
		one := rule
		one.Conditions = []Condition{{Index: 1, Op: Equal, Value: uint64(i * 3)}}
		policy.Rules = append(policy.Rules, one)
	}
	if _, err = Compile(policy); !errors.As(err, &long) || long.Instructions <= bpf.Length {
		t.Errorf("got %v", err)
	}
}

// randomPolicy makes rules that overlap, contradict each other and look at several arguments.
func randomPolicy(random *rand.Rand, abis ...string) *Policy {
	policy := &Policy{Default: pick(random, Errno|1, Allow, KillProcess, Trap, Log), Newest: Version{Major: 5, Minor: 10}}
	for _, name := range abis {
		policy.ABIs = append(policy.ABIs, syscalls.ByName(name))
	}
	names := []string{"socket", "personality", "clone", "ioctl", "openat", "chmod", "mmap", "lseek", "futex", "socketcall", "ipc", "clone3", "no_such_call"}
	for range 1 + random.IntN(8) {
		rule := Rule{Action: pick(random, Allow, Allow, Errno|1, Errno|13, KillThread, Trap, Trace|1, Log, Notify)}
		for range 1 + random.IntN(3) {
			rule.Names = append(rule.Names, names[random.IntN(len(names))])
		}
		for range random.IntN(4) {
			rule.Conditions = append(rule.Conditions, Condition{Index: random.IntN(6), Op: Operator(1 + random.IntN(7)), Value: randomValue(random), Mask: randomValue(random),
				Width: pick(random, 0, 0, 32, 64)})
		}
		policy.Rules = append(policy.Rules, rule)
	}
	return policy
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

func randomValue(random *rand.Rand) uint64 {
	near := uint64(random.IntN(5)) - 2
	return near + pick(random, 0, 1, 3, 40, 0x7fff, 0xffff, 1<<31, 1<<32, 1<<32|40, 1<<63, ^uint64(0), 0xffffffff, random.Uint64(), uint64(random.Uint32()))
}

func TestRandomPoliciesAreCompiledRight(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 1500 {
		abis := pick(random, []string{"x86_64", "x86", "x32"}, []string{"s390x", "s390"}, []string{"aarch64", "arm"}, []string{"x32"}, []string{"mips"})
		policy := randomPolicy(random, abis...)
		filter, err := Compile(policy)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		decider := NewDecider(policy)
		for range 50 {
			abi := policy.ABIs[random.IntN(len(policy.ABIs))]
			data := randomCall(random, policy, abi)
			if got, _ := bpf.Execute(filter.Order(), filter.Program, &data); Action(got) != decider.Decide(data).Action {
				t.Fatalf("round %d: %s %d %#x: filter %s, policy %s", round, abi.Name, data.Number, data.Args, Action(got), decider.Decide(data).Action)
			}
		}
	}
}

// randomCall makes a call that a rule names, with arguments near the rule's values.
func randomCall(random *rand.Rand, policy *Policy, abi *syscalls.ABI) bpf.Data {
	data := bpf.Data{Arch: abi.Audit}
	rule := policy.Rules[random.IntN(len(policy.Rules))]
	if call, ok := syscalls.Lookup(rule.Names[random.IntN(len(rule.Names))]); ok {
		data.Number, _ = abi.Number(call)
	}
	for i := range data.Args {
		data.Args[i] = randomValue(random)
	}
	for _, other := range policy.Rules {
		for _, c := range other.Conditions {
			if random.IntN(2) == 0 {
				data.Args[c.Index] = c.Value + uint64(random.IntN(3)) - 1
			}
		}
	}
	if abi.Word == 32 {
		for i := range data.Args {
			data.Args[i] = uint64(uint32(data.Args[i]))
		}
	}
	return data
}

func BenchmarkCompileDocker(b *testing.B) {
	policy := dockerPolicy(b, "amd64", "x86_64", "x86", "x32")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(policy); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleCompile() {
	profile, err := Parse([]byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}]}`))
	if err != nil {
		panic(err)
	}
	policy, _, err := profile.Resolve(Target{Architecture: "arm64", Kernel: Version{Major: 6, Minor: 12}})
	if err != nil {
		panic(err)
	}
	filter, err := Compile(policy)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(filter.Program), "instructions")
	// Output: 9 instructions
}
