// SPDX-License-Identifier: Apache-2.0

// Package subject is what the tests examine: a profile's text taken through the whole of our compiler.
package subject

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
)

// Filter compiles a profile's text for a machine of that native ABI (as the OCI specification calls it), a recent kernel and no capabilities.
func Filter(text []byte, native string) (*seccomp.Filter, error) {
	abi := syscalls.ByOCI(native)
	if abi == nil {
		return nil, fmt.Errorf("no ABI %s", native)
	}
	profile, err := seccomp.Parse(text)
	if err != nil {
		return nil, err
	}
	policy, _, err := profile.Resolve(seccomp.Target{Architecture: abi.Name, Kernel: seccomp.Version{Major: 6, Minor: 18}})
	if err != nil {
		return nil, err
	}
	return seccomp.Compile(policy)
}

// Program compiles a profile.
func Program(p *meaning.Profile) ([]bpf.Instruction, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	filter, err := Filter(text, p.Native)
	if err != nil {
		return nil, err
	}
	return filter.Program, nil
}

// Compile is Program for a test that cannot do without.
func Compile(t testing.TB, p *meaning.Profile) []bpf.Instruction {
	t.Helper()
	program, err := Program(p)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
