// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

func apparmorDiff() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	var options apparmor.DiffOptions
	command := &cobra.Command{Use: "diff [OPTIONS] POLICY POLICY", Short: "compare two policies exactly", Args: arguments(cobra.ExactArgs(2)),
		Long: "Compare what the kernel does under two policies, for every access, exactly: exit with 0 if it does the same, with 1 and accesses on which they differ, each the\n" +
			"shortest of its kind. Texts are compiled for the same kernel. If each has one profile only, these are compared whatever their names are.\n\n" + policyHelp}
	flags.add(command)
	command.Flags().BoolVar(&options.Access, "access", false, "leave out what is only logged, or not logged")
	command.Flags().IntVar(&options.Witnesses, "witnesses", 8, "how many kinds of differences are looked for in each automaton of a profile")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		a, err := flags.subject(command.Context(), args[0])
		if err != nil {
			return err
		}
		b, err := flags.subject(command.Context(), args[1])
		if err != nil {
			return err
		}
		sameName(a, b)
		differences, err := apparmor.Diff(a.policy, b.policy, options)
		if err != nil {
			return err
		}
		if err := printPolicyDifferences(command.OutOrStdout(), a, b, differences, asJSON); err != nil {
			return err
		}
		if len(differences) > 0 {
			return exitCode(exitFailed)
		}
		return nil
	}
	return command
}

// sameName lets two policies of one profile each be compared whatever the profiles are called.
func sameName(a, b *compiledSubject) {
	if len(a.policy.Profiles) != 1 || len(b.policy.Profiles) != 1 {
		return
	}
	renamed := *b.policy.Profiles[0]
	renamed.Name, renamed.Namespace = a.policy.Profiles[0].Name, a.policy.Profiles[0].Namespace
	b.policy = &binary.Policy{Profiles: []*binary.Profile{&renamed}}
}

func printPolicyDifferences(out io.Writer, a, b *compiledSubject, differences []apparmor.Difference, asJSON bool) error {
	if asJSON {
		if differences == nil {
			differences = []apparmor.Difference{}
		}
		return printJSON(out, map[string]any{"equal": len(differences) == 0, "differences": differences})
	}
	if len(differences) == 0 {
		_, err := fmt.Fprintln(out, "equal")
		return err
	}
	var rows [][]string
	more := false
	for _, one := range differences {
		what := one.What
		if one.Operation != "" {
			what = one.Operation
		}
		rows = append(rows, []string{one.Profile, what, one.A, one.B})
		more = more || one.More
	}
	if err := printTable(out, []string{"PROFILE", "ACCESS", a.name, b.name}, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(out, "there may be more: --witnesses N looks for more of them")
	}
	return nil
}
