// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func selinuxDecompile() *cobra.Command {
	var output string
	command := &cobra.Command{Use: "decompile [-o FILE] POLICY", Short: "write a binary policy as CIL, the same text for the same policy", Args: arguments(cobra.ExactArgs(1)),
		Long: "Write a binary policy as one CIL module, sorted, so that two policies that differ in the order of their parts alone give the same text, which is by and large\n" +
			"that of `checkpolicy -b -C`. Compiled again it means the same; compilers leave out attributes that no rule asks about."}
	command.Flags().StringVarP(&output, "output", "o", "", "`FILE` to write, the standard output where it is not given")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := (&policyFlag{args[0]}).read()
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := policy.FormatCIL(&text); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if output != "" {
			return os.WriteFile(output, text.Bytes(), 0o644)
		}
		_, err = command.OutOrStdout().Write(text.Bytes())
		return err
	}
	return command
}
