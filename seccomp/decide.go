// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"math"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Verdict is what happens to a call, and why.
type Verdict struct {
	Action  Action
	Rule    *Rule // that decides; nil: none
	Because string
}

// Decider answers questions about one policy.
type Decider struct {
	*index
}

// NewDecider resolves the policy's names once for many questions.
func NewDecider(policy *Policy) *Decider { return &Decider{newIndex(policy)} }

// Decide returns what the policy says of a call as seccomp_data describes it, by the direct meaning of its rules.
func (d *Decider) Decide(call bpf.Data) Verdict {
	abi := d.abi(call.Arch, call.Number)
	if abi == nil {
		return Verdict{KillThread, nil, fmt.Sprintf("the profile has no calls of %s", foreignName(call.Arch, call.Number))}
	}
	name, ok := abi.Call(call.Number)
	if !ok {
		return Verdict{d.policy.unknown(abi), nil, fmt.Sprintf("%d is no call of %s that is known", call.Number, abi.Name)}
	}
	action, rule := d.outcome(abi, name).decide(abi, name, call.Args)
	if rule == nil {
		return Verdict{action, nil, d.whyNone(abi, name)}
	}
	return Verdict{action, rule, d.because(abi, name, rule)}
}

// abi returns the policy's ABI that a call enters the kernel by, or nil.
func (d *Decider) abi(arch, number uint32) *syscalls.ABI {
	for _, abi := range d.policy.ABIs {
		if entersBy(abi, arch, number) {
			return abi
		}
	}
	return nil
}

// entersBy reports whether seccomp_data of a call by the ABI can have this architecture and number.
func entersBy(abi *syscalls.ABI, arch, number uint32) bool {
	return abi.Audit == arch && (arch != auditX86 || (number >= x32Bit) == (abi.Base == x32Bit) || number == math.MaxUint32)
}

// ABIOf returns the ABI by which a call enters the kernel, by what seccomp_data says of it, or nil.
func ABIOf(arch, number uint32) *syscalls.ABI {
	for _, abi := range syscalls.ABIs() {
		if entersBy(abi, arch, number) {
			return abi
		}
	}
	return nil
}

// Architecture returns the ABI of a machine by a name that Go, Docker or libseccomp has for it, or nil.
func Architecture(name string) *syscalls.ABI {
	if abi := syscalls.Native(name); abi != nil {
		return abi
	}
	return architecture(name)
}

// ArchitectureName names an AUDIT_ARCH_* value for people.
func ArchitectureName(arch uint32) string {
	if abi := ABIOf(arch, 0); abi != nil {
		return abi.Name
	}
	return fmt.Sprintf("%#x", arch)
}

// Names returns the flags as profiles spell them.
func (f Flags) Names() (names []string) {
	for _, known := range flagNames {
		if f&known.value != 0 {
			names = append(names, known.name)
		}
	}
	return names
}

// Possible returns all that can happen to a call, the strictest first: one verdict where its arguments do not matter.
func (d *Decider) Possible(abi *syscalls.ABI, call syscalls.Call) []Verdict {
	o := d.outcome(abi, call)
	var verdicts []Verdict
	for i := range o.rules {
		verdicts = append(verdicts, Verdict{o.rules[i].Action, &o.rules[i], d.because(abi, call, &o.rules[i])})
	}
	if last := len(o.rules) - 1; last < 0 || len(o.rules[last].Conditions) > 0 {
		verdicts = append(verdicts, Verdict{o.otherwise, nil, d.whyNone(abi, call)})
	}
	return verdicts
}

// foreignName names the ABI of a call that the policy does not have.
func foreignName(arch, number uint32) string {
	if abi := ABIOf(arch, number); abi != nil {
		return abi.Name
	}
	return ArchitectureName(arch)
}

// whyNone says why no rule decides.
func (d *Decider) whyNone(abi *syscalls.ABI, call syscalls.Call) string {
	switch named := d.named(call); {
	case len(named) > 0:
		return fmt.Sprintf("no rule of %s holds for these arguments: the default action", call)
	case d.otherwise(abi, call) != d.policy.Default:
		return fmt.Sprintf("%s came with Linux %d.%d, after the newest call that the profile names (%d.%d): programs fall back to older calls",
			call, call.Since().Major, call.Since().Minor, d.policy.Newest.Major, d.policy.Newest.Minor)
	}
	return fmt.Sprintf("no rule names %s: the default action", call)
}

// because says which rule decides.
func (d *Decider) because(abi *syscalls.ABI, call syscalls.Call, rule *Rule) string {
	text, strictest := "the rule", "the default action, as some or all arguments of it are left to that"
	if rule.Place != (Place{}) {
		text += " at " + rule.Place.String()
		strictest = text
	}
	conditions := make([]string, 0, len(rule.Conditions))
	for _, c := range rule.Conditions {
		conditions = append(conditions, c.describe(viewOf(c, abi.Argument(call, c.Index), abi.Word)))
	}
	switch {
	case len(abi.Multiplexed(call)) > 0 && len(rule.Names) == 1 && rule.Names[0] != call.String():
		return fmt.Sprintf("%s with %s stands for %s, and gets the strictest answer that %[3]s can get: %s", call, conditions[0], rule.Names[0], strictest)
	case len(conditions) == 0:
		return fmt.Sprintf("%s of %s", text, call)
	}
	return fmt.Sprintf("%s of %s, with %s", text, call, strings.Join(conditions, " and "))
}

// describe writes a condition as C would.
func (c Condition) describe(v view) string {
	how := fmt.Sprintf(" (%d bits)", v.bits)
	if v.bits == 64 {
		how = ""
	}
	if c.Op == MaskedEqual {
		return fmt.Sprintf("arg%d & %#x == %#x%s", c.Index, c.Mask, c.Value&c.Mask, how)
	}
	sign := map[Operator]string{NotEqual: "!=", Less: "<", LessEqual: "<=", Equal: "==", GreaterEqual: ">=", Greater: ">"}[c.Op]
	n := v.number(c.Value)
	if n.negative {
		return fmt.Sprintf("arg%d %s %d%s", c.Index, sign, int64(n.value), how)
	}
	return fmt.Sprintf("arg%d %s %d%s", c.Index, sign, n.value, how)
}

// Words writes the action for people: allow, errno EPERM, trap, kill process, kill thread, trace 1, notify, log.
func (a Action) Words(abi *syscalls.ABI) string {
	switch a.Kind() {
	case Allow:
		return "allow"
	case Log:
		return "log"
	case Notify:
		return "notify"
	case Trap:
		return "trap"
	case KillThread:
		return "kill thread"
	case KillProcess:
		return "kill process"
	case Trace:
		return fmt.Sprintf("trace %d", a.Data())
	case Errno:
		if name := errnoName(a.Data(), abi); name != "" {
			return "errno " + name
		}
		return fmt.Sprintf("errno %d", a.Data())
	}
	return fmt.Sprintf("kill process (unknown action %#x)", uint32(a))
}
