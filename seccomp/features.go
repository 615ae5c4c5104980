// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Features says what Parse and Compile know, in the form of the OCI runtime specification (features-linux.md), sorted. flags are those of the
// running kernel, named without their prefix SECCOMP_FILTER_FLAG_.
func Features(flags []string) features.Seccomp {
	enabled := true
	out := features.Seccomp{Enabled: &enabled, Actions: sortedNames(actionNames), Operators: sortedNames(operatorNames), KnownFlags: sortedNames(flagNames)}
	for _, abi := range syscalls.ABIs() {
		out.Archs = append(out.Archs, abi.OCI)
	}
	slices.Sort(out.Archs)
	for _, name := range out.KnownFlags {
		if slices.Contains(flags, strings.TrimPrefix(name, "SECCOMP_FILTER_FLAG_")) {
			out.SupportedFlags = append(out.SupportedFlags, name)
		}
	}
	return out
}

func sortedNames[T comparable](table []named[T]) []string {
	var names []string
	for _, known := range table {
		names = append(names, known.name)
	}
	slices.Sort(names)
	return names
}
