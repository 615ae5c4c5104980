// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"

	elastic "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	netbpf "golang.org/x/net/bpf"
	gvisor "gvisor.dev/gvisor/pkg/seccomp"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// compileGVisor compiles for x86_64. It has no other ABI, and no ENOSYS for calls that are newer than the profile.
func compileGVisor(text []byte, plain bool) ([]bpf.Instruction, error) {
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal(text, &profile); err != nil {
		return nil, err
	}
	abi := syscalls.ByOCI("SCMP_ARCH_X86_64")
	sets := map[gvisor.Action]gvisor.SyscallRules{}
	for _, entry := range profile.Syscalls {
		action, err := gvisorAction(entry.Action, entry.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if _, ok := sets[action]; !ok {
			sets[action] = gvisor.NewSyscallRules()
		}
		rule, err := gvisorRule(entry.Args)
		if err != nil {
			return nil, err
		}
		for _, name := range entry.Names {
			if number, ok := numberOf(abi, name); ok {
				sets[action].Add(uintptr(number), rule)
			}
		}
	}
	fallback, err := gvisorAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	program := gvisor.Program{Options: gvisor.ProgramOptions{DefaultAction: fallback, BadArchAction: gvisor.KillThread, SkipOptimizations: plain}}
	for action, rules := range sets {
		program.RuleSets = append(program.RuleSets, gvisor.RuleSet{Rules: rules, Action: action})
	}
	made, _, err := program.Build()
	if err != nil {
		return nil, err
	}
	out := make([]bpf.Instruction, len(made))
	for i, in := range made {
		out[i] = bpf.Instruction{Code: in.OpCode, True: in.JumpIfTrue, False: in.JumpIfFalse, K: in.K}
	}
	return out, nil
}

func numberOf(abi *syscalls.ABI, name string) (uint32, bool) {
	call, ok := syscalls.Lookup(name)
	if !ok {
		return 0, false
	}
	return abi.Number(call)
}

func gvisorAction(action specs.LinuxSeccompAction, errno *uint) (gvisor.Action, error) {
	switch action {
	case specs.ActAllow:
		return gvisor.Allow, nil
	case specs.ActErrno:
		if errno == nil {
			return gvisor.ReturnError.Code(1), nil
		}
		return gvisor.ReturnError.Code(uint16(*errno)), nil
	}
	return "", fmt.Errorf("gVisor: no action %s in Docker's profile was expected", action)
}

func gvisorRule(args []specs.LinuxSeccompArg) (gvisor.SyscallRule, error) {
	if len(args) == 0 {
		return gvisor.MatchAll{}, nil
	}
	var rule gvisor.PerArg
	for i := range rule {
		rule[i] = gvisor.AnyValue{}
	}
	for _, a := range args {
		switch a.Op {
		case specs.OpEqualTo:
			rule[a.Index] = gvisor.EqualTo(a.Value)
		case specs.OpNotEqual:
			rule[a.Index] = gvisor.NotEqual(a.Value)
		case specs.OpGreaterThan:
			rule[a.Index] = gvisor.GreaterThan(a.Value)
		case specs.OpLessThan:
			rule[a.Index] = gvisor.LessThan(a.Value)
		case specs.OpMaskedEqual:
			rule[a.Index] = gvisor.MaskedEqual(uintptr(a.Value), uintptr(a.ValueTwo))
		default:
			return nil, fmt.Errorf("gVisor: no operator %s in Docker's profile was expected", a.Op)
		}
	}
	return rule, nil
}

// compileElastic compiles for x86_64. It has no MASKED_EQ but for a mask of which no bit may be set, which is what Docker's profile asks.
func compileElastic(text []byte) ([]bpf.Instruction, error) {
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal(text, &profile); err != nil {
		return nil, err
	}
	known, err := arch.GetInfo("x86_64")
	if err != nil {
		return nil, err
	}
	policy := elastic.Policy{DefaultAction: elastic.ActionErrno}
	for _, entry := range profile.Syscalls {
		group, err := elasticGroup(known, entry)
		if err != nil {
			return nil, err
		}
		if len(group.Names)+len(group.NamesWithCondtions) > 0 {
			policy.Syscalls = append(policy.Syscalls, group)
		}
	}
	made, err := policy.Assemble()
	if err != nil {
		return nil, err
	}
	raw, err := netbpf.Assemble(made)
	if err != nil {
		return nil, err
	}
	out := make([]bpf.Instruction, len(raw))
	for i, in := range raw {
		out[i] = bpf.Instruction{Code: in.Op, True: in.Jt, False: in.Jf, K: in.K}
	}
	return out, nil
}

// elasticGroup leaves out the names that its table does not have, which it would refuse.
func elasticGroup(known *arch.Info, entry specs.LinuxSyscall) (elastic.SyscallGroup, error) {
	group := elastic.SyscallGroup{Action: elastic.ActionAllow}
	if entry.Action == specs.ActErrno {
		group.Action = elastic.ActionErrno // EPERM, it takes no other
	}
	conditions := elastic.ArgumentConditions{}
	for _, a := range entry.Args {
		c := elastic.Condition{Argument: uint32(a.Index), Value: a.Value}
		switch a.Op {
		case specs.OpEqualTo:
			c.Operation = elastic.Equal
		case specs.OpNotEqual:
			c.Operation = elastic.NotEqual
		case specs.OpGreaterThan:
			c.Operation = elastic.GreaterThan
		case specs.OpLessThan:
			c.Operation = elastic.LessThan
		case specs.OpMaskedEqual:
			c.Operation = elastic.BitsNotSet
		default:
			return group, fmt.Errorf("elastic: no operator %s in Docker's profile was expected", a.Op)
		}
		conditions = append(conditions, c)
	}
	for _, name := range entry.Names {
		if _, ok := known.SyscallNames[name]; !ok {
			continue
		}
		if len(conditions) > 0 {
			group.NamesWithCondtions = append(group.NamesWithCondtions, elastic.NameWithConditions{Name: name, Conditions: conditions})
		} else {
			group.Names = append(group.Names, name)
		}
	}
	return group, nil
}
