// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"runtime"
	"slices"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Docker returns Docker's default profile, as github.com/moby/profiles has it. Its rules have no places.
func Docker() *Profile {
	source := moby.DefaultProfile()
	p := &Profile{
		action: importAnswer(source.DefaultAction, source.DefaultErrnoRet), listed: importABIs(source.Architectures),
		flags: FlagSpecAllow, listenerPath: source.ListenerPath, listenerMetadata: source.ListenerMetadata,
		groups: make([]group, 0, len(source.Syscalls)),
	}
	for _, m := range source.ArchMap {
		p.machines = append(p.machines, machine{syscalls.ByOCI(string(m.Arch)), importABIs(m.SubArches)})
	}
	for _, call := range source.Syscalls {
		p.groups = append(p.groups, importGroup(call))
	}
	p.findNewest()
	return p
}

// findNewest looks up the newest call that any group names.
func (p *Profile) findNewest() {
	p.newest = Version{}
	for i := range p.groups {
		for _, call := range p.groups[i].calls {
			if since := call.Since(); p.newest.Before(since) {
				p.newest = since
			}
		}
	}
}

// importAnswer takes an action over. The library has its errnos from the machine that it was built for, and a policy can be for another one.
func importAnswer(name specs.LinuxSeccompAction, errnoRet *uint) answer {
	var a answer
	a.kind, _ = valueOf(actionNames, string(name))
	if a.kind.takesData() {
		a.errno = "EPERM"
	}
	if errnoRet != nil {
		a.data, a.errno = uint16(*errnoRet), errnoName(uint16(*errnoRet), syscalls.Native(runtime.GOARCH))
	}
	return a
}

func importABIs(names []specs.Arch) (abis []*syscalls.ABI) {
	for _, name := range names {
		abis = append(abis, syscalls.ByOCI(string(name)))
	}
	return abis
}

func importGroup(source *moby.Syscall) group {
	g := group{
		action: importAnswer(source.Action, source.ErrnoRet), includes: importFilter(source.Includes), excludes: importFilter(source.Excludes),
		names: make([]string, 0, len(source.Names)), calls: make([]syscalls.Call, 0, len(source.Names)),
	}
	for _, name := range source.Names {
		if call, ok := syscalls.Lookup(name); ok {
			g.names, g.calls = append(g.names, name), append(g.calls, call)
		}
	}
	for _, arg := range source.Args {
		a := argument{Condition: Condition{Index: int(arg.Index), Value: arg.Value}}
		a.Op, _ = valueOf(operatorNames, string(arg.Op))
		if a.Op == MaskedEqual {
			a.Mask, a.Value = arg.Value, arg.ValueTwo
		}
		g.arguments = append(g.arguments, a)
	}
	g.alternates, _ = alternates(g.arguments)
	return g
}

func importFilter(source *moby.Filter) (f filter) {
	if source == nil {
		return f
	}
	f.capabilities = source.Caps
	for _, name := range source.Arches {
		f.machines = append(f.machines, architecture(name))
	}
	if k := source.MinKernel; k != nil {
		f.kernel = Version{Major: uint8(k.Kernel), Minor: uint8(k.Major)}
	}
	return f
}

// deny takes calls out of every group, so that the default action is theirs.
func (p *Profile) deny(names ...string) {
	for i := range p.groups {
		g := &p.groups[i]
		for k := len(g.names) - 1; k >= 0; k-- {
			if slices.Contains(names, g.names[k]) {
				g.names, g.calls = slices.Delete(g.names, k, k+1), slices.Delete(g.calls, k, k+1)
			}
		}
	}
}
