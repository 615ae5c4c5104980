// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryNameIsFoundAndNoOther(t *testing.T) {
	count := 0
	last := ""
	for c := range Calls() {
		count++
		name := c.String()
		if name <= last {
			t.Errorf("%q does not come after %q", name, last)
		}
		last = name
		if found, ok := Lookup(name); !ok || found != c {
			t.Errorf("Lookup(%q) = %d, %t, want %d", name, found, ok, c)
		}
		for _, other := range []string{name + "_", strings.ToUpper(name), name[1:], " " + name} {
			if found, ok := Lookup(other); ok && found.String() != other {
				t.Errorf("Lookup(%q) = %s", other, found)
			}
		}
	}
	if count != Count || count < 480 {
		t.Errorf("%d calls, Count is %d", count, Count)
	}
	for _, name := range []string{"", "no_such_call", "READ", "sys_read"} {
		if c, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) = %s", name, c)
		}
	}
	if name := Call(0).String() + Call(Count+1).String() + Call(65535).String(); name != "" {
		t.Errorf("what is no call is called %q", name)
	}
}

func FuzzLookup(f *testing.F) {
	f.Add("read")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		if c, ok := Lookup(name); ok != (c != 0) || ok && c.String() != name && name != "arm_sync_file_range" {
			t.Errorf("Lookup(%q) = %d (%s), %t", name, c, c, ok)
		}
	})
}

func TestNumbersAndCallsAreInverse(t *testing.T) {
	for _, a := range ABIs() {
		count, last := 0, uint32(0)
		for number, c := range a.Numbers() {
			if count > 0 && number <= last {
				t.Errorf("%s: %d follows %d", a.Name, number, last)
			}
			count, last = count+1, number
			if back, ok := a.Number(c); !ok || back != number {
				t.Errorf("%s: %s has the number %d, %t, want %d", a.Name, c, back, ok, number)
			}
			if found, ok := a.Call(number); !ok || found != c {
				t.Errorf("%s: %d is %s, %t, want %s", a.Name, number, found, ok, c)
			}
		}
		numbered := 0
		for c := range Calls() {
			if _, ok := a.Number(c); ok {
				numbered++
			}
		}
		if numbered != count || count < 320 {
			t.Errorf("%s: %d calls have numbers, %d numbers calls", a.Name, numbered, count)
		}
	}
}

func TestNumbersOutsideTheTableAreNoCall(t *testing.T) {
	for _, a := range ABIs() {
		for _, number := range []uint32{0xffffffff, 0x80000000, 0x7fffffff, a.Base - 1, a.Base + 2000, a.Base + privateBase + 0x7fff, a.Base ^ 0x40000000} {
			if c, ok := a.Call(number); ok {
				t.Errorf("%s: %#x is %s", a.Name, number, c)
			}
		}
		if number, ok := a.Number(0); ok {
			t.Errorf("%s: no call has the number %d", a.Name, number)
		}
		if number, ok := a.Number(Count + 1); ok {
			t.Errorf("%s: a call beyond the last has the number %d", a.Name, number)
		}
	}
}

func TestNumbersThatEverybodyKnows(t *testing.T) {
	for _, want := range []struct {
		abi, call string
		number    uint32
	}{
		{"x86_64", "read", 0}, {"x86_64", "execve", 59}, {"x86_64", "uprobe", 336}, {"x86", "execve", 11}, {"x86", "socketcall", 102},
		{"x32", "read", 0x40000000}, {"x32", "execve", 0x40000000 + 520}, {"arm", "set_tls", 0xf0005}, {"arm", "get_tls", 0xf0006}, {"arm", "exit", 1},
		{"aarch64", "openat", 56}, {"riscv64", "riscv_flush_icache", 259}, {"mips", "read", 4003}, {"mips64", "read", 5000}, {"mips64n32", "read", 6000},
		{"arm", "arm_sync_file_range", 341}, {"arm", "sync_file_range2", 341}, {"mipsel64", "set_mempolicy_home_node", 5450}, {"s390x", "mseal", 462}, {"sheb", "open_tree_attr", 467}, {"ppc64le", "file_setattr", 469},
	} {
		c, ok := Lookup(want.call)
		if !ok {
			t.Fatalf("no call %s", want.call)
		}
		if number, ok := ByName(want.abi).Number(c); !ok || number != want.number {
			t.Errorf("%s on %s is %d, %t, want %d", want.call, want.abi, number, ok, want.number)
		}
	}
}

func TestABIsAreFoundByTheirNames(t *testing.T) {
	if len(ABIs()) != 23 {
		t.Errorf("%d ABIs", len(ABIs()))
	}
	for _, a := range ABIs() {
		if ByName(a.Name) != a || ByOCI(a.OCI) != a {
			t.Errorf("%s, %s: another is found", a.Name, a.OCI)
		}
		if a.Word != 32 && a.Word != 64 {
			t.Errorf("%s: %d bits", a.Name, a.Word)
		}
	}
	for goarch, name := range map[string]string{"amd64": "x86_64", "386": "x86", "arm64": "aarch64", "arm": "arm", "riscv64": "riscv64", "loong64": "loongarch64",
		"ppc64le": "ppc64le", "s390x": "s390x", "mips64le": "mipsel64", "mips": "mips"} {
		if a := Native(goarch); a == nil || a.Name != name {
			t.Errorf("Native(%q) is not %s", goarch, name)
		}
	}
	if Native("") != nil || Native("wasm") != nil || ByName("") != nil || ByOCI("SCMP_ARCH_ALPHA") != nil {
		t.Error("what there is not is found")
	}
}

func TestMultiplexersServeTheirCalls(t *testing.T) {
	socketcall, _ := Lookup("socketcall")
	ipc, _ := Lookup("ipc")
	read, _ := Lookup("read")
	with := map[string][2]bool{} // socketcall, ipc
	for _, a := range ABIs() {
		with[a.Name] = [2]bool{a.Multiplexed(socketcall) != nil, a.Multiplexed(ipc) != nil}
		if a.Multiplexed(read) != nil {
			t.Errorf("%s: read serves others", a.Name)
		}
	}
	for _, name := range []string{"x86", "m68k", "mips", "mipsel", "ppc", "ppc64", "ppc64le", "s390", "s390x", "sh", "sheb"} {
		if with[name] != [2]bool{true, true} {
			t.Errorf("%s: socketcall, ipc: %v", name, with[name])
		}
		delete(with, name)
	}
	for name, found := range with {
		if found != [2]bool{} {
			t.Errorf("%s: socketcall, ipc: %v", name, found)
		}
	}
	x86 := ByName("x86")
	calls := x86.Multiplexed(socketcall)
	if len(calls) != 20 || calls[0].Call.String() != "socket" || calls[19].Call.String() != "sendmmsg" || calls[19].Number != 20 {
		t.Errorf("socketcall serves %v", calls)
	}
	if calls := x86.Multiplexed(ipc); len(calls) != 12 || calls[11].Call.String() != "shmctl" || calls[11].Number != 24 || calls[11].Mask != 0xffff {
		t.Errorf("ipc serves %v", calls)
	}
	if !slices.IsSortedFunc(calls, func(a, b Subcall) int { return int(a.Number) - int(b.Number) }) {
		t.Error("sub-calls are not in order")
	}
}

func BenchmarkLookup(b *testing.B) {
	for b.Loop() {
		Lookup("landlock_create_ruleset")
	}
}

func BenchmarkNumber(b *testing.B) {
	a, c := ByName("x86_64"), Call(100)
	for b.Loop() {
		a.Number(c)
	}
}

func BenchmarkCall(b *testing.B) {
	a := ByName("x86_64")
	for b.Loop() {
		a.Call(300)
	}
}

func BenchmarkArgument(b *testing.B) {
	a, c := ByName("x86_64"), Call(100)
	for b.Loop() {
		a.Argument(c, 2)
	}
}
