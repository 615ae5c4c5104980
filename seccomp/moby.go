// SPDX-License-Identifier: Apache-2.0

// Package seccomp turns the profiles that Docker and Podman users write into the rules of an OCI config.json, for the capabilities, the
// architecture and the kernel at hand. The data of the default profile is Docker's (github.com/moby/profiles).
//
// Limits: the OCI runtime compiles the rules, with libseccomp.
package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mobyMaximum is the size in bytes over which a profile is refused. Docker's default has 20,000.
const mobyMaximum = 4 << 20

// MobyDefault returns Docker's default profile for a process with that bounding set (names with the prefix CAP_).
func MobyDefault(bounding []string) (*specs.LinuxSeccomp, error) {
	return moby.GetDefaultProfile(specFor(bounding))
}

// MobyParse reads a profile in Docker's JSON form or as the linux.seccomp object of a config.json.
func MobyParse(content []byte, bounding []string) (*specs.LinuxSeccomp, error) {
	if len(content) > mobyMaximum {
		return nil, fmt.Errorf("seccomp profile: %d bytes, more than %d", len(content), mobyMaximum)
	}
	if err := checkJSON(content); err != nil {
		return nil, err
	}
	profile, err := moby.LoadProfile(string(content), specFor(bounding))
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	// The library takes an empty profile for "no seccomp"; a profile was asked for, so that would be a filter silently missing.
	if profile == nil || profile.DefaultAction == "" {
		return nil, errors.New("seccomp profile: no defaultAction")
	}
	return profile, nil
}

// checkJSON adds the line and column that the library's message lacks.
func checkJSON(content []byte) error {
	var any json.RawMessage
	err := json.Unmarshal(content, &any)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := content[:min(int(syntax.Offset), len(content))]
		line := bytes.Count(before, []byte("\n")) + 1
		return fmt.Errorf("seccomp profile: %d:%d: %w", line, len(before)-bytes.LastIndexByte(before, '\n')-1, err)
	}
	if err != nil {
		return fmt.Errorf("seccomp profile: %w", err)
	}
	return nil
}

func specFor(bounding []string) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}}}
}

// Permit returns the profile with the named calls allowed, and those that had to be added to be so. It is for calls that can only take
// from their caller: what denies them otherwise is a profile older than the call.
func Permit(profile *specs.LinuxSeccomp, names ...string) (*specs.LinuxSeccomp, []string) {
	var added []string
	for _, name := range names {
		if !allows(profile, name) {
			added = append(added, name)
		}
	}
	if len(added) == 0 {
		return profile, nil
	}
	wider := *profile
	wider.Syscalls = make([]specs.LinuxSyscall, 0, len(profile.Syscalls)+1)
	for _, rule := range profile.Syscalls {
		rule.Names = slices.DeleteFunc(slices.Clone(rule.Names), func(name string) bool { return slices.Contains(added, name) })
		if len(rule.Names) > 0 {
			wider.Syscalls = append(wider.Syscalls, rule)
		}
	}
	wider.Syscalls = append(wider.Syscalls, specs.LinuxSyscall{Names: added, Action: specs.ActAllow})
	return &wider, added
}

// allows reports whether the call is allowed whatever its arguments.
func allows(profile *specs.LinuxSeccomp, name string) bool {
	action := profile.DefaultAction
	for _, rule := range profile.Syscalls {
		if !slices.Contains(rule.Names, name) {
			continue
		}
		if len(rule.Args) > 0 {
			return false
		}
		action = rule.Action
	}
	return action == specs.ActAllow || action == specs.ActLog
}
