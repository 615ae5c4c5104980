// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Target is what a profile's conditions ask for: one container on one machine.
type Target struct {
	Architecture string   // of the machine, as Go (amd64), Docker or libseccomp (x86_64) call it
	Capabilities []string // the bounding set, names with the prefix CAP_
	Kernel       Version
}

// target is a Target whose architecture is known.
type target struct {
	Target
	native *syscalls.ABI
}

// KernelVersion reads major and minor from a release as uname(2) gives it: 6.18.44-generic.
func KernelVersion(release string) (Version, error) {
	major, rest, _ := strings.Cut(release, ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	a, errMajor := strconv.ParseUint(major, 10, 8)
	b, errMinor := strconv.ParseUint(rest[:digits], 10, 8)
	if errMajor != nil || errMinor != nil {
		return Version{}, fmt.Errorf("kernel release %q: expected one such as 6.18.0", release)
	}
	return Version{Major: uint8(a), Minor: uint8(b)}, nil
}

// Resolve returns what the profile means for a container, and what in it is hardly meant so. As Docker has it, the entry of archMap for the
// native ABI counts (a machine without one has its native ABI alone), all of includes has to hold and none of excludes may, capabilities are
// those of the bounding set, and of a kernel's version major and minor count. The native ABI is always among the policy's; ABIs by which no process
// of the machine can call are left out.
func (p *Profile) Resolve(container Target) (*Policy, []Warning, error) {
	native := syscalls.Native(container.Architecture)
	if native == nil {
		native = architecture(container.Architecture)
	}
	if native == nil {
		return nil, nil, fmt.Errorf("architecture %q: no table of its calls", container.Architecture)
	}
	t := &target{container, native}
	policy := &Policy{
		Default: p.action.on(native), ABIs: p.abis(native), Newest: p.newest,
		Flags: p.flags, ListenerPath: p.listenerPath, ListenerMetadata: p.listenerMetadata,
		Rules: make([]Rule, 0, len(p.groups)),
	}
	at := cursor{text: p.text}
	chosen := make([]*group, 0, len(p.groups)) // of each rule
	for i := range p.groups {
		g := &p.groups[i]
		if len(g.names) == 0 || !g.selects(t) {
			continue
		}
		rule := Rule{Names: g.names, Action: g.action.on(native), Place: at.place(g.offset)}
		for _, rule.Conditions = range g.alternates {
			policy.Rules, chosen = append(policy.Rules, rule), append(chosen, g)
		}
		if rule.Action == Notify {
			policy.Flags |= FlagNewListener
		}
	}
	if policy.Flags&FlagNewListener == 0 {
		policy.Flags &^= FlagWaitKillableRecv // the kernel refuses it alone
	}
	return policy, append(slices.Clip(p.warnings), p.lint(policy, chosen)...), nil
}

// abis returns the ABIs of the profile on a machine, the native one first, then in the profile's order.
func (p *Profile) abis(native *syscalls.ABI) []*syscalls.ABI {
	all := []*syscalls.ABI{native}
	listed := p.listed
	for _, m := range p.machines {
		if m.native == native {
			listed = m.others
		}
	}
	for _, abi := range listed {
		if family(abi) == family(native) && !slices.Contains(all, abi) {
			all = append(all, abi)
		}
	}
	return all
}

// OCI returns the policy as the linux.seccomp object of a config.json, for people and for other runtimes. It has no place for the width of a
// condition and for which kernel is newest; and other runtimes choose among the rules of a call by rules of their own.
func (p *Policy) OCI() *specs.LinuxSeccomp {
	out := &specs.LinuxSeccomp{
		DefaultAction: p.Default.OCI(), DefaultErrnoRet: p.Default.errnoRet(),
		ListenerPath: p.ListenerPath, ListenerMetadata: p.ListenerMetadata,
	}
	for _, abi := range p.ABIs {
		out.Architectures = append(out.Architectures, specs.Arch(abi.OCI))
	}
	for _, name := range p.Flags.Names() {
		out.Flags = append(out.Flags, specs.LinuxSeccompFlag(name))
	}
	if len(out.Flags) == 0 { // an empty list does not come out of the JSON, and no list means SPEC_ALLOW; TSYNC changes nothing before an execve
		out.Flags = append(out.Flags, specs.LinuxSeccompFlag(nameOf(flagNames, FlagSync)))
	}
	for _, rule := range p.Rules {
		call := specs.LinuxSyscall{Names: rule.Names, Action: rule.Action.OCI(), ErrnoRet: rule.Action.errnoRet()}
		for _, c := range rule.Conditions {
			call.Args = append(call.Args, c.oci())
		}
		out.Syscalls = append(out.Syscalls, call)
	}
	return out
}

// errnoRet returns the data of an action that has some.
func (a Action) errnoRet() *uint {
	if !a.takesData() {
		return nil
	}
	data := uint(a.Data())
	return &data
}

func (c Condition) oci() specs.LinuxSeccompArg {
	arg := specs.LinuxSeccompArg{Index: uint(c.Index), Value: c.Value, Op: c.Op.OCI()}
	if c.Op == MaskedEqual {
		arg.Value, arg.ValueTwo = c.Mask, c.Value
	}
	return arg
}
