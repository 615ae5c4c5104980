// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func selinuxIsolation() *cobra.Command {
	var from policyFlag
	var asJSON bool
	command := &cobra.Command{Use: "isolation [OPTIONS] PROCESS-CONTEXT CONTEXT...", Short: "say what a process may still do to another container",
		Args: arguments(cobra.MinimumNArgs(2)),
		Long: "Work out, for every class, what a process of the first context may do to the others: another container's process and its objects, each by its\n" +
			"context. Left is what the policy allows in spite of the categories; stopped is what its rules allow and its constraints (MLS and MCS) do not.\n" +
			"The exit status is 0 where nothing is left, 1 where something is."}
	from.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		list, err := residues(policy, args[0], args[1:])
		if err != nil {
			return err
		}
		if err := printResidues(command.OutOrStdout(), list, asJSON); err != nil {
			return err
		}
		for _, one := range list {
			if len(one.Left) > 0 {
				return exitCode(exitFailed)
			}
		}
		return nil
	}
	return command
}

// residue is one line of the table.
type residue struct {
	Target  string   `json:"target"`
	Class   string   `json:"class"`
	Left    []string `json:"left"`    // permissions
	Stopped []string `json:"stopped"` // likewise
}

func residues(policy *policydb.Policy, source string, targets []string) ([]residue, error) {
	process, err := policy.ParseContext(source)
	if err != nil {
		return nil, err
	}
	list := []residue{}
	for _, text := range targets {
		target, err := policy.ParseContext(text)
		if err != nil {
			return nil, err
		}
		for _, access := range policy.Residue(process, target) {
			list = append(list, residue{text, access.Class.Name, permissionNames(policy, access.Class, access.Allowed), permissionNames(policy, access.Class, access.Stopped)})
		}
	}
	return list, nil
}

func permissionNames(policy *policydb.Policy, class *policydb.Class, vector uint32) []string {
	names := append([]string{}, policy.PermissionNames(class, vector)...)
	slices.Sort(names)
	return names
}

func printResidues(out io.Writer, list []residue, asJSON bool) error {
	if asJSON {
		return printJSON(out, list)
	}
	rows := make([][]string, len(list))
	for i, one := range list {
		rows[i] = []string{one.Target, one.Class, orDash(strings.Join(one.Left, " ")), orDash(strings.Join(one.Stopped, " "))}
	}
	return printTable(out, []string{"TARGET", "CLASS", "LEFT", "STOPPED"}, rows)
}
