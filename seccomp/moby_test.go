// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// actionOf says what the profile does with a call whose arguments match no rule, and whether any rule looks at its arguments.
func actionOf(profile *specs.LinuxSeccomp, name string) (action specs.LinuxSeccompAction, conditional bool) {
	action = profile.DefaultAction
	for _, rule := range profile.Syscalls {
		if !slices.Contains(rule.Names, name) {
			continue
		}
		if len(rule.Args) > 0 {
			conditional = true
			continue
		}
		action = rule.Action
	}
	return action, conditional
}

func TestDefaultFollowsTheBoundingSet(t *testing.T) {
	plain, err := MobyDefault(nil)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := MobyDefault([]string{"CAP_SYS_ADMIN", "CAP_SYS_CHROOT"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]specs.LinuxSeccompAction{
		"read": {specs.ActAllow, specs.ActAllow}, "mount": {specs.ActErrno, specs.ActAllow}, "chroot": {specs.ActErrno, specs.ActAllow}, "kexec_load": {specs.ActErrno, specs.ActErrno},
	} {
		one, _ := actionOf(plain, name)
		two, _ := actionOf(admin, name)
		if one != want[0] || two != want[1] {
			t.Errorf("%s: %s without capabilities, %s with", name, one, two)
		}
	}
	if _, conditional := actionOf(plain, "clone"); !conditional {
		t.Error("clone is not looked into without CAP_SYS_ADMIN")
	}
	if plain.DefaultAction != specs.ActErrno || len(plain.Architectures) == 0 {
		t.Errorf("default %s, architectures %v", plain.DefaultAction, plain.Architectures)
	}
}

func TestProfilesThatAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		text, call string
		bounding   []string
		want       specs.LinuxSeccompAction
	}{
		"DefaultOnly":        {`{"defaultAction":"SCMP_ACT_KILL"}`, "read", nil, specs.ActKill},
		"Names":              {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`, "read", nil, specs.ActAllow},
		"OldSingleName":      {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"}]}`, "read", nil, specs.ActAllow},
		"CapabilityIsThere":  {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}}]}`, "bpf", []string{"CAP_BPF"}, specs.ActAllow},
		"CapabilityIsNot":    {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}}]}`, "bpf", nil, specs.ActErrno},
		"CapabilityExcludes": {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["bpf"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_BPF"]}}]}`, "bpf", []string{"CAP_BPF"}, specs.ActErrno},
		"OtherArchitecture":  {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}}]}`, "read", nil, specs.ActErrno},
		"KernelTooOld":       {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}}]}`, "read", nil, specs.ActErrno},
	} {
		profile, err := MobyParse([]byte(test.text), test.bounding)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := actionOf(profile, test.call); got != test.want {
			t.Errorf("%s: %s is %s, want %s", name, test.call, got, test.want)
		}
	}
}

func TestProfilesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"Empty":           {"", "seccomp profile: 1:0: unexpected end"},
		"Truncated":       {"{\n  \"defaultAction\":", "seccomp profile: 2:18: unexpected end"},
		"NotJSON":         {"{\n defaultAction}", "seccomp profile: 2:2: invalid character"},
		"TrailingGarbage": {`{"defaultAction":"SCMP_ACT_ALLOW"} x`, "seccomp profile: 1:36: invalid character"},
		"NoAction":        {`{"syscalls":[]}`, "no defaultAction"},
		"EmptyObject":     {`{}`, "no defaultAction"},
		"Null":            {`null`, "no defaultAction"},
		"Array":           {`[]`, "cannot unmarshal array"},
		"WrongType":       {`{"defaultAction":7}`, "cannot unmarshal number"},
		"BothNames":       {`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}`, "name"},
		"TooLarge":        {strings.Repeat(" ", mobyMaximum+1), "more than 4194304"},
		"TooDeep":         {strings.Repeat("[", 100000), "exceeded max depth"},
	} {
		if profile, err := MobyParse([]byte(test.text), nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %+v, %v", name, profile, err)
		}
	}
}

func TestPermitAddsOnlyWhatIsDenied(t *testing.T) {
	argument := []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpEqualTo}}
	rule := func(action specs.LinuxSeccompAction, args []specs.LinuxSeccompArg, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: action, Args: args}
	}
	for name, test := range map[string]struct {
		profile specs.LinuxSeccomp
		added   []string
	}{
		"DeniedByDefault":     {specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, []string{"a", "b"}},
		"AllowedByDefault":    {specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, nil},
		"LoggedByDefault":     {specs.LinuxSeccomp{DefaultAction: specs.ActLog}, nil},
		"AllowedByRule":       {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, nil, "a", "b")}}, nil},
		"OneDeniedByRule":     {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, nil, "x", "b")}}, []string{"b"}},
		"OnlyRuleOfTheRule":   {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActKill, nil, "a")}}, []string{"a"}},
		"AllowedForArguments": {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, argument, "a"), rule(specs.ActAllow, nil, "b")}}, []string{"a"}},
		"DeniedForArguments":  {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActErrno, argument, "a")}}, []string{"a"}},
	} {
		before, err := json.Marshal(test.profile)
		if err != nil {
			t.Fatal(err)
		}
		wider, added := Permit(&test.profile, "a", "b")
		if !slices.Equal(added, test.added) {
			t.Errorf("%s: added %v", name, added)
		}
		for _, call := range []string{"a", "b"} {
			if !allows(wider, call) {
				t.Errorf("%s: %s is not allowed", name, call)
			}
		}
		if one, _ := actionOf(&test.profile, "x"); !sameAction(wider, "x", one) {
			t.Errorf("%s: x changed", name)
		}
		if after, _ := json.Marshal(test.profile); !reflect.DeepEqual(before, after) {
			t.Errorf("%s: the profile that was given was changed", name)
		}
		if len(added) == 0 && wider != &test.profile {
			t.Errorf("%s: copied for nothing", name)
		}
		for _, rule := range wider.Syscalls {
			if len(rule.Names) == 0 {
				t.Errorf("%s: a rule without names is left", name)
			}
		}
	}
}

func sameAction(profile *specs.LinuxSeccomp, name string, want specs.LinuxSeccompAction) bool {
	got, _ := actionOf(profile, name)
	return got == want
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}],"includes":{"caps":["CAP_BPF"],"minKernel":"4.8"}}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		profile, err := MobyParse(data, []string{"CAP_BPF"})
		if err != nil {
			return
		}
		if profile.DefaultAction == "" {
			t.Fatal("a profile without a default action")
		}
		if wider, _ := Permit(profile, "landlock_add_rule"); !allows(wider, "landlock_add_rule") {
			t.Fatal("what was permitted is not allowed")
		}
	})
}
