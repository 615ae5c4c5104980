// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

// The vectors of runc v1.5.2, libcontainer/seccomp/patchbpf/enosys_linux_test.go: which calls answer ENOSYS by profiles that name one to three
// of four calls, in the order of their age, on every architecture and with four default actions.
var (
	enosysByAge  = []string{"setns", "kcmp", "renameat2", "copy_file_range"}
	enosysNamed  = [][2]int{{0, 1}, {0, 2}, {1, 2}, {1, 3}, {1, 4}, {3, 4}}
	enosysOlder  = []string{"clone", "openat", "read", "write"}
	enosysFuture = []uint32{1000, 7331} // above copy_file_range
)

// families are the architectures of the vectors, by machine: a filter is of one.
var families = map[string][]string{
	"SCMP_ARCH_X86_64":      {"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32"},
	"SCMP_ARCH_X86":         {"SCMP_ARCH_X86"},
	"SCMP_ARCH_AARCH64":     {"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"},
	"SCMP_ARCH_ARM":         {"SCMP_ARCH_ARM"},
	"SCMP_ARCH_MIPS64":      {"SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32"},
	"SCMP_ARCH_MIPS":        {"SCMP_ARCH_MIPS"},
	"SCMP_ARCH_MIPSEL64":    {"SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32"},
	"SCMP_ARCH_MIPSEL":      {"SCMP_ARCH_MIPSEL"},
	"SCMP_ARCH_PPC":         {"SCMP_ARCH_PPC"},
	"SCMP_ARCH_PPC64":       {"SCMP_ARCH_PPC", "SCMP_ARCH_PPC64"},
	"SCMP_ARCH_PPC64LE":     {"SCMP_ARCH_PPC64LE"},
	"SCMP_ARCH_S390X":       {"SCMP_ARCH_S390", "SCMP_ARCH_S390X"},
	"SCMP_ARCH_S390":        {"SCMP_ARCH_S390"},
	"SCMP_ARCH_LOONGARCH64": {"SCMP_ARCH_LOONGARCH64"}, // not among runc's
	"SCMP_ARCH_RISCV64":     {"SCMP_ARCH_RISCV64"},     // not among runc's
}

func TestNewCallsAnswerENOSYSAsRuncsDo(t *testing.T) {
	vectors := 0
	for native, family := range families {
		for end := range len(family) + 1 {
			for start := range max(1, end) { // none listed, one, some, all
				for _, action := range []string{"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL"} {
					for _, named := range enosysNamed {
						p := &meaning.Profile{Native: native, DefaultAction: action, Architectures: family[start:end]}
						vectors += holdVectors(t, p, named)
					}
				}
			}
		}
	}
	t.Logf("%d vectors", vectors)
}

// holdVectors asks all calls of the vectors of one profile, and returns how many they were.
func holdVectors(t *testing.T, p *meaning.Profile, named [2]int) int {
	t.Helper()
	rule := "SCMP_ACT_ALLOW"
	if p.DefaultAction == rule {
		rule = "SCMP_ACT_KILL"
	}
	p.Syscalls = []meaning.Entry{{Names: enosysByAge[named[0]:named[1]], Action: rule}}
	program := subject.Compile(t, p)
	fallback, count := meaning.Value(p.DefaultAction, nil), 0
	unknown := func(abi *syscalls.ABI) uint32 {
		switch {
		case p.DefaultAction == "SCMP_ACT_ALLOW" || p.DefaultAction == "SCMP_ACT_LOG":
			return fallback
		case strings.HasPrefix(abi.Name, "mips"):
			return errno | 89 // runc answers the ENOSYS of the machine that it was built on
		}
		return errno | 38
	}
	for _, abi := range listed(p) {
		ask := func(number, want uint32) {
			count++
			d := bpf.Data{Arch: abi.Audit, Number: number, InstructionPointer: 0xdeadbeefcafe, Args: [6]uint64{0x1337, 0xf00ba5}}
			if got, _ := bpf.Execute(order(p), program, &d); got != want {
				t.Errorf("%#08x, want %#08x for %s by %s", got, want, callText(p, d), text(p))
			}
		}
		for age, name := range enosysByAge {
			switch {
			case age >= named[1]:
				ask(number(t, abi, name), unknown(abi))
			case age >= named[0]:
				ask(number(t, abi, name), meaning.Value(rule, nil))
			default:
				ask(number(t, abi, name), fallback)
			}
		}
		for _, name := range enosysOlder {
			ask(number(t, abi, name), fallback)
		}
		for _, above := range enosysFuture {
			ask(number(t, abi, "copy_file_range")+above, unknown(abi))
		}
		if strings.HasPrefix(abi.Name, "s390") {
			ask(0, unknown(abi)) // setup(2), which an unknown call is taken for there
		}
	}
	return count
}

// listed are the ABIs of a profile, the native one among them.
func listed(p *meaning.Profile) []*syscalls.ABI {
	var abis []*syscalls.ABI
	for _, oci := range append([]string{p.Native}, p.Architectures...) {
		if abi := syscalls.ByOCI(oci); !slices.Contains(abis, abi) {
			abis = append(abis, abi)
		}
	}
	return abis
}

func number(t *testing.T, abi *syscalls.ABI, name string) uint32 {
	t.Helper()
	call, _ := syscalls.Lookup(name)
	number, ok := abi.Number(call)
	if !ok {
		t.Fatalf("no %s on %s", name, abi.Name)
	}
	return number
}
