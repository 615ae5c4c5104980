// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// runningPolicy is where the kernel shows its policy, to root.
const runningPolicy = "/sys/fs/selinux/policy"

func selinuxCommand() *cobra.Command {
	command := &cobra.Command{Use: "selinux COMMAND", Short: "compile, question, compare and generate SELinux policies", Args: arguments(cobra.NoArgs),
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	command.AddCommand(selinuxQuery(), selinuxDecide(), selinuxWhy(), selinuxIsolation(), selinuxCompile(), selinuxStats(), selinuxDiff(), selinuxDecompile(), selinuxContexts(), selinuxGenerate(), selinuxContainerPolicy())
	return command
}

// policyFlag is --policy.
type policyFlag struct{ path string }

func (f *policyFlag) add(command *cobra.Command) {
	command.Flags().StringVar(&f.path, "policy", runningPolicy, "`FILE` of the binary policy; the kernel's own where it is not given")
}

func (f *policyFlag) read() (*policydb.Policy, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) && f.path == runningPolicy {
		return nil, hinted{errors.New("SELinux is not active on this kernel"), "name a policy: --policy FILE, such as /etc/selinux/*/policy/policy.33"}
	}
	if err != nil {
		return nil, err
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return policy, nil
}
