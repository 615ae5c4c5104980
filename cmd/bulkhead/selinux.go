// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// runningPolicy is where the kernel shows its policy, to root.
const runningPolicy = "/sys/fs/selinux/policy"

func selinuxCommand() *cobra.Command {
	command := &cobra.Command{Use: "selinux", Short: "ask an SELinux policy: rules, decisions and their reasons"}
	command.AddCommand(selinuxQuery(), selinuxDecide(), selinuxWhy(), selinuxIsolation(), selinuxCompile(), selinuxStats(), selinuxDiff(), selinuxDecompile(), selinuxGenerate())
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

func selinuxQuery() *cobra.Command {
	var from policyFlag
	var query policydb.Query
	var classes, permissions string
	var asJSON bool
	kinds := map[string]*bool{}
	command := &cobra.Command{Use: "query [OPTIONS]", Short: "search the rules, with sesearch's options", Args: arguments(cobra.NoArgs),
		Long: "Search the rules of a policy, with the options of sesearch(1). A rule is found where a type is in what it names and in what was asked for;\n" +
			"--ds and --dt ask for the name itself. Without a kind of rules all kinds are searched."}
	from.add(command)
	flags := command.Flags()
	for _, kind := range ruleKinds {
		kinds[kind.flag] = flags.BoolP(kind.flag, kind.short, false, kind.help)
	}
	flags.StringVarP(&query.Source, "source", "s", "", "`TYPE` or attribute of the source")
	flags.StringVarP(&query.Target, "target", "t", "", "`TYPE` or attribute of the target")
	flags.BoolVar(&query.DirectSource, "ds", false, "the source by that name only")
	flags.BoolVar(&query.DirectTarget, "dt", false, "the target by that name only")
	flags.StringVarP(&classes, "class", "c", "", "`CLASSES`, with commas between them: any of them")
	flags.StringVarP(&permissions, "perms", "p", "", "`PERMISSIONS`, with commas between them: any of them")
	flags.StringVarP(&query.Boolean, "bool", "b", "", "rules whose condition has the `BOOLEAN`")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		for _, kind := range ruleKinds {
			if *kinds[kind.flag] {
				query.Kinds |= kind.kind
			}
		}
		query.Classes, query.Permissions = words(classes), words(permissions)
		policy, err := from.read()
		if err != nil {
			return err
		}
		return search(command.OutOrStdout(), policy, query, asJSON)
	}
	return command
}

// ruleKinds are sesearch's options for kinds of rules.
var ruleKinds = []struct {
	flag, short, help string
	kind              uint16
}{
	{"allow", "A", "allow rules, extended ones too", policydb.RuleAllow | policydb.RuleAllowExtended},
	{"auditallow", "", "auditallow rules", policydb.RuleAuditAllow},
	{"dontaudit", "", "dontaudit rules", policydb.RuleAuditDeny},
	{"allowxperm", "", "allowxperm rules", policydb.RuleAllowExtended},
	{"auditallowxperm", "", "auditallowxperm rules", policydb.RuleAuditExtended},
	{"dontauditxperm", "", "dontauditxperm rules", policydb.RuleSilentExtended},
	{"type_trans", "T", "type_transition rules", policydb.RuleTransition},
	{"type_member", "", "type_member rules", policydb.RuleMember},
	{"type_change", "", "type_change rules", policydb.RuleChange},
}

// words splits a list with commas.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func search(out io.Writer, policy *policydb.Policy, query policydb.Query, asJSON bool) error {
	found, err := policy.Search(query)
	if err != nil {
		return err
	}
	lines := make([]string, len(found))
	for i, rule := range found {
		lines[i] = policy.FormatRule(rule)
	}
	slices.Sort(lines)
	if asJSON {
		return printJSON(out, lines)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
