// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import "github.com/spf13/cobra"

func labelCommand() *cobra.Command {
	command := &cobra.Command{Use: "label", Short: "SELinux labels on disk, and who holds which category pair"}
	command.AddCommand(labelMCS())
	return command
}
