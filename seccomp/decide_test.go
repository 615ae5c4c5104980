// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

const placed = `{
  "defaultAction": "SCMP_ACT_ERRNO",
  "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
  "syscalls": [
    {"names": ["read", "landlock_create_ruleset"], "action": "SCMP_ACT_ALLOW"},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
    {"names": ["personality"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 4294967295, "op": "SCMP_CMP_EQ"}]},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["lseek"], "action": "SCMP_ACT_TRAP", "args": [{"index": 2, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 7, "op": "SCMP_CMP_GE"}]}
  ]
}`

func placedPolicy(t *testing.T) *Policy {
	t.Helper()
	profile, err := Parse([]byte(placed))
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := profile.Resolve(Target{Architecture: "amd64", Kernel: Version{Major: 6, Minor: 12}})
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestVerdictsNameTheRuleAndItsPlace(t *testing.T) {
	decider := NewDecider(placedPolicy(t))
	for _, test := range []struct {
		name, abi, call string
		args            [6]uint64
		action          Action
		because         string // begins so
	}{
		{"Unconditional", "x86_64", "read", [6]uint64{}, Allow, "the rule at 5:5 of read"},
		{"Conditional", "x86_64", "socket", [6]uint64{2}, Allow, "the rule at 6:5 of socket, with arg0 != 40 (32 bits)"},
		{"NoneHolds", "x86_64", "socket", [6]uint64{40}, Errno | 1, "no rule of socket holds for these arguments: the default action"},
		{"Unsigned", "x86_64", "personality", [6]uint64{0xffffffff}, Log, "the rule at 7:5 of personality, with arg0 == 4294967295 (32 bits)"},
		{"Masked", "x86_64", "clone", [6]uint64{17}, Allow, "the rule at 8:5 of clone, with arg0 & 0x7e020000 == 0x0 (32 bits)"},
		{"TwoConditions", "x86_64", "lseek", [6]uint64{0, 8, 0xffffffff}, Trap, "the rule at 9:5 of lseek, with arg2 == 4294967295 (32 bits) and arg1 >= 7"},
		{"NoRule", "x86_64", "ptrace", [6]uint64{}, Errno | 1, "no rule names ptrace: the default action"},
		{"Newer", "x86_64", "mseal", [6]uint64{}, Errno | 38, "mseal came with Linux 6.10, after the newest call that the profile names (5.13): programs fall back to older calls"},
		{"Multiplexed", "x86", "socketcall", [6]uint64{1}, Errno | 1, "socketcall with arg0 & 0xffffffff == 0x1 (32 bits) stands for socket, and gets the strictest answer that socket can get: the default action"},
		{"ForeignArchitecture", "aarch64", "read", [6]uint64{}, KillThread, "the profile has no calls of aarch64"},
		{"X32", "x32", "read", [6]uint64{}, KillThread, "the profile has no calls of x32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			abi := syscalls.ByName(test.abi)
			call, _ := syscalls.Lookup(test.call)
			number, _ := abi.Number(call)
			verdict := decider.Decide(bpf.Data{Arch: abi.Audit, Number: number, Args: test.args})
			if verdict.Action != test.action || !strings.HasPrefix(verdict.Because, test.because) || (verdict.Rule == nil) == (strings.Contains(test.because, "the rule at") || test.name == "Multiplexed") {
				t.Errorf("%s: %s", verdict.Action, verdict.Because)
			}
		})
	}
	if verdict := decider.Decide(bpf.Data{Arch: syscalls.ByName("x86_64").Audit, Number: 9999}); verdict.Because != "9999 is no call of x86_64 that is known" {
		t.Error(verdict.Because)
	}
	if verdict := decider.Decide(bpf.Data{Arch: 0x1234}); verdict.Because != "the profile has no calls of 0x1234" {
		t.Error(verdict.Because)
	}
}

func TestPossibleListsWhatCanHappen(t *testing.T) {
	policy := placedPolicy(t)
	policy.Rules = append(policy.Rules, rule("socket", KillProcess, equalTo(0, 16)), rule("read", Log))
	decider, abi := NewDecider(policy), policy.ABIs[0]
	for name, want := range map[string][]Action{
		"read":   {Allow}, // the first of two without conditions
		"ptrace": {Errno | 1},
		"mseal":  {Errno | 38},
		"socket": {KillProcess, Allow, Errno | 1},
		"clone":  {Allow, Errno | 1},
	} {
		call, _ := syscalls.Lookup(name)
		verdicts := decider.Possible(abi, call)
		if len(verdicts) != len(want) {
			t.Errorf("%s: %+v", name, verdicts)
			continue
		}
		for i, verdict := range verdicts {
			if verdict.Action != want[i] || verdict.Because == "" {
				t.Errorf("%s: %s, want %s", name, verdict.Action, want[i])
			}
		}
	}
}

func TestActionsInWords(t *testing.T) {
	x86, mips := syscalls.ByName("x86_64"), syscalls.ByName("mips")
	for _, test := range []struct {
		action Action
		abi    *syscalls.ABI
		want   string
	}{
		{Allow, x86, "allow"}, {Log, x86, "log"}, {Notify, x86, "notify"}, {Trap, x86, "trap"}, {KillThread, x86, "kill thread"}, {KillProcess, x86, "kill process"},
		{Trace | 7, x86, "trace 7"}, {Errno | 1, x86, "errno EPERM"}, {Errno | 38, x86, "errno ENOSYS"}, {Errno | 89, mips, "errno ENOSYS"},
		{Errno | 4000, x86, "errno 4000"}, {Errno, x86, "errno 0"}, {0x12340000, x86, "kill process (unknown action 0x12340000)"},
	} {
		if got := test.action.Words(test.abi); got != test.want {
			t.Errorf("%#x: %q, want %q", uint32(test.action), got, test.want)
		}
	}
}

func TestArchitecturesByAnyName(t *testing.T) {
	for name, want := range map[string]string{"amd64": "x86_64", "x86_64": "x86_64", "386": "x86", "arm64": "aarch64", "s390x": "s390x", "loong64": "loongarch64"} {
		if abi := Architecture(name); abi == nil || abi.Name != want {
			t.Errorf("%s: %v", name, abi)
		}
	}
	if Architecture("vax") != nil || Architecture("") != nil {
		t.Error("a machine that is none")
	}
	if name := ArchitectureName(0x1234); name != "0x1234" {
		t.Error(name)
	}
}
