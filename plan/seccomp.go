// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"runtime"
	"slices"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/seccomp"
)

// Names of profiles that need no file, for --security-opt seccomp=.
const (
	builtinProfile  = "builtin" // as docker has it
	dockerProfile   = "docker"
	bulkheadProfile = "bulkhead"
)

// NamedProfile reports whether the value of --security-opt seccomp= is no path.
func NamedProfile(value string) bool {
	return slices.Contains([]string{"", Unconfined, builtinProfile, dockerProfile, bulkheadProfile}, value)
}

func planSeccomp(p *Plan, request Request, facts kernel.Facts) error {
	name, byName := request.Security.Seccomp, request.Security.Seccomp != "" || request.Engine != nil
	switch {
	case name == Unconfined:
		p.Seccomp.Layer = Layer{Off, "seccomp=unconfined"}
	case name == "" && request.Engine != nil && request.Engine.Seccomp == nil:
		p.Seccomp.Layer = Layer{Off, "config.json has no linux.seccomp: the engine asked for none"}
	case name == "" && request.Engine == nil && request.Privileged:
		p.Seccomp.Layer = Layer{Off, "the container is privileged"}
	case len(facts.Seccomp.Actions) == 0 && byName:
		return &UnavailableError{"seccomp", "a profile was asked for, and this kernel has no filters", "use --security-opt seccomp=unconfined"}
	case len(facts.Seccomp.Actions) == 0:
		p.Seccomp.Layer = Layer{Absent, "this kernel has no filters"}
	default:
		return p.filter(request, facts)
	}
	return nil
}

// chooseProfile reads the profile that was asked for, and says where it comes from.
func chooseProfile(request Request) (profile *seccomp.Profile, source string, err error) {
	switch name := request.Security.Seccomp; {
	case name == "" && request.Engine != nil:
		if profile, err = seccomp.Parse(request.Engine.Seccomp); err != nil {
			return nil, "", fmt.Errorf("config.json: linux.seccomp: %w", err)
		}
		return profile, "config.json", nil
	case name == "" || name == builtinProfile || name == dockerProfile:
		return seccomp.Docker(), "docker-default", nil
	case name == bulkheadProfile:
		return seccomp.Bulkhead(), "bulkhead-default", nil
	default:
		if profile, err = seccomp.Parse(request.SeccompProfile); err != nil {
			return nil, "", fmt.Errorf("seccomp profile %s: %w", name, err)
		}
		return profile, name, nil
	}
}

// filter compiles the profile for this container and this kernel.
func (p *Plan) filter(request Request, facts kernel.Facts) error {
	profile, source, err := chooseProfile(request)
	if err != nil {
		return err
	}
	version, err := seccomp.KernelVersion(facts.Release)
	if err != nil {
		return err
	}
	target := seccomp.Target{Architecture: runtime.GOARCH, Capabilities: request.Process.Capabilities.Bounding, Kernel: version}
	policy, warnings, err := profile.Resolve(target)
	if err != nil {
		return fmt.Errorf("seccomp profile %s: %w", source, err)
	}
	policy.Flags &^= seccomp.FlagSync // for threads that stay together; the program begins with one
	p.Seccomp = Seccomp{Layer: Layer{State: On}, Source: source, Default: policy.Default.String(), Rules: len(policy.Rules)}
	for _, abi := range policy.ABIs {
		p.Seccomp.ABIs = append(p.Seccomp.ABIs, abi.Name)
	}
	for _, warning := range warnings {
		p.Seccomp.Warnings = append(p.Seccomp.Warnings, warning.String())
	}
	if err := p.listen(policy, source); err != nil {
		return err
	}
	if err := checkKernel(policy, facts.Seccomp); err != nil {
		return err
	}
	if call, action, locked := policy.LocksOut(); locked && !request.Security.SeccompForce {
		return &RefusedError{Subject: "seccomp profile " + source, Reason: fmt.Sprintf("it answers %s with %s: no program could start and end under it", call, action),
			Hint: "allow the call; or insist with --security-opt seccomp-force, or with the annotation org.bulkhead.seccomp-force=true in a config.json"}
	}
	return p.compileFilter(request, policy)
}

// listen settles who answers calls that the filter hands to user space.
func (p *Plan) listen(policy *seccomp.Policy, source string) error {
	listens := policy.Flags&seccomp.FlagNewListener != 0
	switch {
	case !listens && policy.ListenerPath != "":
		p.Seccomp.Warnings = append(p.Seccomp.Warnings, "listenerPath: no rule has SCMP_ACT_NOTIFY, so that nobody is asked")
	case listens && policy.ListenerPath == "":
		return &RefusedError{Subject: "seccomp profile " + source, Reason: "SCMP_ACT_NOTIFY without a listenerPath: nobody would answer the calls",
			Hint: "name the UNIX socket of the program that answers as listenerPath"}
	case listens && !path.IsAbs(policy.ListenerPath):
		return &RefusedError{Subject: "seccomp profile " + source, Reason: fmt.Sprintf("listenerPath %q is not absolute", policy.ListenerPath),
			Hint: "name the UNIX socket by its whole path on the host"}
	case listens:
		p.Seccomp.Listener = &Listener{Path: policy.ListenerPath, Metadata: policy.ListenerMetadata}
	}
	return nil
}

// checkKernel refuses what this kernel would take for something else, or not at all. SPEC_ALLOW, which is a default of profiles and only speeds
// programs up, is left out where the kernel has no such flag (before Linux 4.17).
func checkKernel(policy *seccomp.Policy, facts kernel.Seccomp) error {
	const hint = "leave it out of the profile, or use a newer kernel"
	known := map[seccomp.Action]string{seccomp.KillProcess: "kill_process", seccomp.Log: "log", seccomp.Notify: "user_notif"} // the others are as old as filters
	check := func(action seccomp.Action) error {
		if name := known[action.Kind()]; name != "" && !slices.Contains(facts.Actions, name) {
			return &UnavailableError{"seccomp", fmt.Sprintf("the profile has %s, and this kernel does not", action), hint}
		}
		return nil
	}
	if err := check(policy.Default); err != nil {
		return err
	}
	for i := range policy.Rules {
		if err := check(policy.Rules[i].Action); err != nil {
			return err
		}
	}
	if !slices.Contains(facts.Flags, "SPEC_ALLOW") {
		policy.Flags &^= seccomp.FlagSpecAllow
	}
	for flag, name := range map[seccomp.Flags]string{seccomp.FlagLog: "LOG", seccomp.FlagWaitKillableRecv: "WAIT_KILLABLE_RECV"} {
		if policy.Flags&flag != 0 && !slices.Contains(facts.Flags, name) {
			return &UnavailableError{"seccomp", "the profile has SECCOMP_FILTER_FLAG_" + name + ", and this kernel does not", hint}
		}
	}
	return nil
}

func (p *Plan) compileFilter(request Request, policy *seccomp.Policy) error {
	compile := request.CompileFilter
	if compile == nil {
		compile = seccomp.Compile
	}
	filter, err := compile(policy)
	if err != nil {
		return fmt.Errorf("seccomp profile %s: %w", p.Seccomp.Source, err)
	}
	p.Seccomp.Filter = &inside.Filter{Program: filter.Bytes(), Flags: uint32(filter.Flags)}
	p.Seccomp.Instructions, p.Seccomp.Digest = len(filter.Program), filterDigest(p.Seccomp.Filter)
	return nil
}

func filterDigest(filter *inside.Filter) string {
	sum := sha256.Sum256(filter.Program)
	return "sha256:" + hex.EncodeToString(sum[:])
}
