// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/kernel"
)

func checkCommand() *cobra.Command {
	var asJSON bool
	var require []string
	command := &cobra.Command{Use: "check [OPTIONS]", Short: "say what this kernel can enforce", Args: arguments(cobra.NoArgs),
		Long: "List every layer, its state and version on this kernel, and what it takes to have a missing one. With --require, exit with status 3 where\n" +
			"one of the named layers is missing: " + strings.Join(kernel.LayerNames(), ", ") + "."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().StringSliceVar(&require, "require", nil, "layers, separated by commas, that have to be there")
	command.RunE = func(command *cobra.Command, _ []string) error {
		facts := kernel.Probe()
		rows := facts.Report()
		for i := range rows {
			if rows[i].Layer == "selinux" && rows[i].Remains == "" {
				rows[i].Remains = selinuxRemains(runningPolicy, facts.SELinux)
			}
		}
		if asJSON {
			document := struct {
				Kernel string       `json:"kernel"`
				LSMs   []string     `json:"lsms"`
				Layers []kernel.Row `json:"layers"`
			}{facts.Release, facts.LSMs, rows}
			if err := printJSON(command.OutOrStdout(), document); err != nil {
				return err
			}
		} else if err := printCheck(command.OutOrStdout(), rows); err != nil {
			return err
		}
		err := facts.Require(require...)
		if err != nil && !errors.Is(err, kernel.ErrNotSupported) {
			return usageError{err}
		}
		return err
	}
	return command
}

func printCheck(out io.Writer, rows []kernel.Row) error {
	var table [][]string
	for _, row := range rows {
		table = append(table, []string{row.Layer, row.State, row.Version, row.Missing})
	}
	if err := printTable(out, []string{"LAYER", "STATE", "VERSION", "MISSING"}, table); err != nil {
		return err
	}
	for _, row := range rows {
		if row.Remains != "" {
			fmt.Fprintf(out, "%s: %s\n", row.Layer, row.Remains)
		}
	}
	return nil
}
