// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func selinuxStats() *cobra.Command {
	var from policyFlag
	var asJSON bool
	command := &cobra.Command{Use: "stats [OPTIONS]", Short: "count what a policy has, by seinfo's names", Args: arguments(cobra.NoArgs)}
	from.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		unknown := map[policydb.UnknownPermissions]string{policydb.DenyUnknown: "deny", policydb.RejectUnknown: "reject", policydb.AllowUnknown: "allow"}[policy.Unknown]
		if asJSON {
			counts := map[string]any{"Policy Version": policy.Version, "MLS": policy.MLS, "Handle unknown classes": unknown}
			for _, count := range policy.Counts() {
				counts[count.Name] = count.Count
			}
			return printJSON(command.OutOrStdout(), counts)
		}
		rows := [][]string{{"Policy Version", strconv.Itoa(int(policy.Version))}, {"MLS", fmt.Sprint(policy.MLS)}, {"Handle unknown classes", unknown}}
		for _, count := range policy.Counts() {
			rows = append(rows, []string{count.Name, strconv.Itoa(count.Count)})
		}
		return printTable(command.OutOrStdout(), []string{"WHAT", "COUNT"}, rows)
	}
	return command
}
