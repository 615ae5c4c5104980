// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// everything is the value of an option without one.
const everything = "*"

// componentLetters are the kinds that have options of one letter.
var componentLetters = map[string]string{"attribute": "a", "bool": "b", "class": "c", "role": "r", "type": "t", "user": "u"}

func selinuxStats() *cobra.Command {
	var from policyFlag
	var asJSON, expanded, flat, all bool
	components := policydb.Components()
	wanted := make([]string, len(components))
	command := &cobra.Command{Use: "stats [OPTIONS] [POLICY]", Short: "count and list what a policy has, with seinfo's options",
		Long: "Count what a policy has, or list some of it, with the options of seinfo(1): each kind with a name or without."}
	from.add(command)
	flags := command.Flags()
	for i, component := range components {
		flags.StringVarP(&wanted[i], component.Kind, componentLetters[component.Kind], "", "list "+component.Title+", or the one of the `NAME`")
		flags.Lookup(component.Kind).NoOptDefVal = everything
	}
	flags.BoolVar(&all, "all", false, "list all kinds")
	flags.BoolVarP(&expanded, "expand", "x", false, "list whole statements")
	flags.BoolVar(&flat, "flat", false, "without counts and indentation")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	familiar(command, &from, joinNames, func(command *cobra.Command) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		var lists []componentList
		if flat && !all && !slices.ContainsFunc(wanted, func(name string) bool { return name != "" }) {
			return usageError{errors.New("--flat lists without counts, and no list is asked for")}
		}
		for i, component := range components {
			if wanted[i] == "" && !all {
				continue
			}
			name := wanted[i]
			if name == everything {
				name = ""
			}
			lines, err := policy.Describe(component, name, expanded)
			if err != nil {
				return usageError{fmt.Errorf("--%s: %w", component.Kind, err)}
			}
			lists = append(lists, componentList{component.Title, append([]string{}, lines...)})
		}
		return printStats(command.OutOrStdout(), policy, lists, all || len(lists) == 0, flat, asJSON)
	})
	return command
}

// joinNames joins an option of a kind with the name that follows it.
func joinNames(args []string) []string {
	kinds := map[string]bool{}
	for _, component := range policydb.Components() {
		kinds["--"+component.Kind] = true
		if letter := componentLetters[component.Kind]; letter != "" {
			kinds["-"+letter] = true
		}
	}
	var made []string
	for i := 0; i < len(args); i++ {
		if kinds[args[i]] && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			made = append(made, args[i]+"="+args[i+1])
			i++
			continue
		}
		made = append(made, args[i])
	}
	return made
}

// componentList is one kind as it is printed.
type componentList struct {
	Title string
	Lines []string
}

func printStats(out io.Writer, policy *policydb.Policy, lists []componentList, counts, flat, asJSON bool) error {
	if asJSON {
		document := map[string]any{}
		if counts {
			document["Policy Version"], document["MLS"], document["Handle unknown classes"] = policy.Version, policy.MLS, policy.Unknown.String()
			for _, count := range policy.Counts() {
				document[count.Name] = count.Count
			}
		}
		for _, list := range lists {
			document[list.Title] = list.Lines
		}
		return printJSON(out, document)
	}
	if counts && !flat {
		rows := [][]string{{"Policy Version", strconv.Itoa(int(policy.Version))}, {"MLS", fmt.Sprint(policy.MLS)}, {"Handle unknown classes", policy.Unknown.String()}}
		for _, count := range policy.Counts() {
			rows = append(rows, []string{count.Name, strconv.Itoa(count.Count)})
		}
		if err := printTable(out, []string{"WHAT", "COUNT"}, rows); err != nil {
			return err
		}
	}
	var lines []string
	for _, list := range lists {
		indent := ""
		if !flat {
			lines = append(lines, "", fmt.Sprintf("%s: %d", list.Title, len(list.Lines)))
			indent = "   "
		}
		for _, line := range list.Lines {
			lines = append(lines, indent+line)
		}
	}
	return printLines(out, lines)
}
