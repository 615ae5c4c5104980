// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/libseccomp"
)

const timeLimit = 60 // seconds

var operators = map[specs.LinuxSeccompOperator]int{specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4, specs.OpGreaterEqual: 5,
	specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7}

// compileInC has a fresh process compile through libseccomp's C API. The JSON is not part of it.
func compileInC(name, path string, s *samples) error {
	filter, err := cFilter(name, path)
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "bulkhead-bench-seccomp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	compiler, err := libseccomp.Build(directory)
	if err != nil {
		return err
	}
	for s.more() {
		result, err := compiler.Compile(filter, timeLimit)
		if err != nil {
			return err
		}
		if result.Program == nil {
			return fmt.Errorf("%s: %s, hung %v", name, result.Error, result.Hung)
		}
		s.Spent, s.Program = append(s.Spent, result.Spent), result.Program
	}
	return compiler.Close()
}

// cFilter is the profile as runc hands it to libseccomp.
func cFilter(name, path string) (libseccomp.Filter, error) {
	filter := libseccomp.Filter{Default: 0x00050001, Level: 1}
	if name == cTree {
		filter.Level = 2
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return filter, err
	}
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal(text, &profile); err != nil {
		return filter, err
	}
	for _, arch := range profile.Architectures {
		filter.Arches = append(filter.Arches, syscalls.ByOCI(string(arch)).Name)
	}
	for _, entry := range profile.Syscalls {
		rule := libseccomp.Rule{Action: 0x7fff0000}
		if entry.Action == specs.ActErrno {
			rule.Action = 0x00050001
			if entry.ErrnoRet != nil {
				rule.Action = 0x00050000 | uint32(*entry.ErrnoRet)
			}
		}
		for _, a := range entry.Args {
			rule.Args = append(rule.Args, libseccomp.Comparison{Index: a.Index, Op: operators[a.Op], A: a.Value, B: a.ValueTwo})
		}
		for _, rule.Name = range entry.Names {
			filter.Rules = append(filter.Rules, rule)
		}
	}
	return filter, nil
}
