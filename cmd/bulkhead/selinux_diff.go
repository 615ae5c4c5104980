// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// differenceFlags are sediff's options for kinds of differences, by the kinds of policydb.
var differenceFlags = []struct {
	flag, short, help string
	kinds             []string
}{
	{"common", "", "common permissions", nil}, {"class", "c", "classes", nil}, {"type", "t", "types", nil}, {"attribute", "a", "type attributes", nil},
	{"role", "r", "roles", nil}, {"user", "u", "users", nil}, {"bool", "b", "booleans", nil}, {"sensitivity", "", "sensitivities", nil},
	{"category", "", "categories", nil}, {"level", "", "categories of sensitivities", nil},
	{"allows", "A", "allow and allowxperm rules", []string{"allow", "allowxperm"}}, {"allow", "", "allow rules", nil}, {"auditallow", "", "auditallow rules", nil},
	{"dontaudit", "", "dontaudit rules", nil}, {"allowxperm", "", "allowxperm rules", nil}, {"auditallowxperm", "", "auditallowxperm rules", nil},
	{"dontauditxperm", "", "dontauditxperm rules", nil}, {"type_trans", "T", "type_transition rules", nil}, {"type_change", "", "type_change rules", nil},
	{"type_member", "", "type_member rules", nil}, {"role_allow", "", "allow rules of roles", nil}, {"role_trans", "", "role_transition rules", nil},
	{"range_trans", "", "range_transition rules", nil}, {"constrain", "", "constraints", nil}, {"mlsconstrain", "", "constraints on levels", nil},
	{"validatetrans", "", "validatetrans", nil}, {"mlsvalidatetrans", "", "validatetrans on levels", nil}, {"initialsid", "", "contexts of initial SIDs", nil},
	{"fs_use", "", "contexts of file systems", nil}, {"fscon", "", "contexts of file systems by device", nil}, {"genfscon", "", "contexts in file systems without labels", nil},
	{"portcon", "", "contexts of ports", nil}, {"netifcon", "", "contexts of network interfaces", nil}, {"nodecon", "", "contexts of nodes", nil},
	{"ibpkeycon", "", "contexts of InfiniBand keys", nil}, {"ibendportcon", "", "contexts of InfiniBand ports", nil}, {"default", "", "default_* statements", nil},
	{"property", "", "handling of unknown classes, and MLS", nil}, {"polcap", "", "policy capabilities", nil}, {"typebounds", "", "bounds of types", nil},
}

func selinuxDiff() *cobra.Command {
	var asJSON, statistics bool
	chosen := make([]bool, len(differenceFlags))
	command := &cobra.Command{Use: "diff [OPTIONS] POLICY POLICY", Short: "compare what two policies mean, exactly", Args: arguments(cobra.ExactArgs(2)),
		Long: "Compare two binary policies, with the options of sediff(1): what the second has more (+), what it has less (-), and what it has otherwise (*). Exit with 0 if they\n" +
			"mean the same, with 1 if not. Rules of access are compared for each pair of types, attributes expanded; conditions and constraints by what they say, however they are\n" +
			"written. Values, order and the version of the format make no difference. Without a kind all kinds are compared."}
	flags := command.Flags()
	for i, kind := range differenceFlags {
		flags.BoolVarP(&chosen[i], kind.flag, kind.short, false, kind.help)
	}
	flags.BoolVar(&statistics, "stats", false, "print how many there are, and not which")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		var kinds []string
		for i, kind := range differenceFlags {
			switch {
			case chosen[i] && kind.kinds == nil:
				kinds = append(kinds, kind.flag)
			case chosen[i]:
				kinds = append(kinds, kind.kinds...)
			}
		}
		first, err := (&policyFlag{args[0]}).read()
		if err != nil {
			return err
		}
		second, err := (&policyFlag{args[1]}).read()
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(command.OutOrStdout(), 1<<16)
		equal, err := streamDifferences(out, first, second, kinds, statistics, asJSON)
		if err == nil {
			err = out.Flush()
		}
		if err == nil && !equal {
			return exitCode(exitFailed)
		}
		return err
	}
	return command
}

// differenceCount is how many differences of a kind there are.
type differenceCount struct {
	Kind     string `json:"kind"`
	Added    int    `json:"added"`
	Removed  int    `json:"removed"`
	Modified int    `json:"modified"`
}

// streamDifferences prints them as they are found: there may be millions.
func streamDifferences(out io.Writer, first, second *policydb.Policy, kinds []string, statistics, asJSON bool) (equal bool, err error) {
	var counts []differenceCount
	for one := range policydb.Diff(first, second, kinds...) {
		if len(counts) == 0 || counts[len(counts)-1].Kind != one.Kind {
			counts = append(counts, differenceCount{Kind: one.Kind})
			if !statistics && !asJSON {
				fmt.Fprintf(out, "%s:\n", one.Kind)
			}
		}
		switch count := &counts[len(counts)-1]; one.Sign {
		case policydb.Added:
			count.Added++
		case policydb.Removed:
			count.Removed++
		case policydb.Modified:
			count.Modified++
		}
		switch {
		case statistics:
		case asJSON:
			err = printDifferenceJSON(out, one, len(counts) == 1 && counts[0].Added+counts[0].Removed+counts[0].Modified == 1)
		default:
			_, err = fmt.Fprintf(out, "  %s %s\n", one.Sign, one.Text)
			for _, line := range one.Details {
				fmt.Fprintf(out, "      %s\n", line)
			}
		}
		if err != nil {
			return false, err
		}
	}
	return len(counts) == 0, endDifferences(out, counts, statistics, asJSON)
}

// printDifferenceJSON prints one element of the list.
func printDifferenceJSON(out io.Writer, one policydb.Difference, first bool) error {
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	separator := ",\n    "
	if first {
		separator = "{\n  \"differences\": [\n    "
	}
	_, err = fmt.Fprintf(out, "%s%s", separator, text)
	return err
}

func endDifferences(out io.Writer, counts []differenceCount, statistics, asJSON bool) error {
	switch {
	case asJSON && (statistics || len(counts) == 0):
		return printJSON(out, map[string]any{"equal": len(counts) == 0, "counts": append([]differenceCount{}, counts...)})
	case asJSON:
		text, err := json.Marshal(counts)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "\n  ],\n  \"equal\": false,\n  \"counts\": %s\n}\n", text)
		return err
	case len(counts) == 0:
		_, err := fmt.Fprintln(out, "equal")
		return err
	}
	var rows [][]string
	for _, count := range counts {
		rows = append(rows, []string{count.Kind, strconv.Itoa(count.Added), strconv.Itoa(count.Removed), strconv.Itoa(count.Modified)})
	}
	if !statistics {
		fmt.Fprintln(out)
	}
	return printTable(out, []string{"KIND", "ADDED", "REMOVED", "MODIFIED"}, rows)
}
