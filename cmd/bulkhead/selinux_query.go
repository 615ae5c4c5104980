// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// ruleKinds are sesearch's options for kinds of type enforcement rules.
var ruleKinds = []struct {
	flag, short, help string
	kind              uint16
}{
	{"allows", "A", "allow and allowxperm rules", policydb.RuleAllow | policydb.RuleAllowExtended},
	{"allow", "", "allow rules", policydb.RuleAllow},
	{"auditallow", "", "auditallow rules", policydb.RuleAuditAllow},
	{"dontaudit", "", "dontaudit rules", policydb.RuleAuditDeny},
	{"allowxperm", "", "allowxperm rules", policydb.RuleAllowExtended},
	{"auditallowxperm", "", "auditallowxperm rules", policydb.RuleAuditExtended},
	{"dontauditxperm", "", "dontauditxperm rules", policydb.RuleSilentExtended},
	{"type_trans", "T", "type_transition rules", policydb.RuleTransition},
	{"type_member", "", "type_member rules", policydb.RuleMember},
	{"type_change", "", "type_change rules", policydb.RuleChange},
}

// queryOptions are the command line of query.
type queryOptions struct {
	from                                                            policyFlag
	query                                                           policydb.Query
	kinds                                                           []bool
	roleAllow, roleTransition, ranges                               bool
	classes, permissions, commands, booleans                        string
	sourceRegexp, targetRegexp, classRegexp, defaultRegexp, boolExp bool
	asJSON                                                          bool
}

func selinuxQuery() *cobra.Command {
	o := &queryOptions{kinds: make([]bool, len(ruleKinds))}
	command := &cobra.Command{Use: "query [OPTIONS] [POLICY]", Short: "search the rules, with sesearch's options",
		Long: "Search the rules of a policy, with the options of sesearch(1). A rule is found where a type is in what it names and in what was asked for; --ds and --dt ask for\n" +
			"the name itself. The options of two letters may have one hyphen: -ds. Without a kind of rules all kinds of type enforcement rules are searched."}
	o.from.add(command)
	flags, q := command.Flags(), &o.query
	for i, kind := range ruleKinds {
		flags.BoolVarP(&o.kinds[i], kind.flag, kind.short, false, kind.help)
	}
	flags.BoolVar(&o.roleAllow, "role_allow", false, "allow rules of roles")
	flags.BoolVar(&o.roleTransition, "role_trans", false, "role_transition rules")
	flags.BoolVar(&o.ranges, "range_trans", false, "range_transition rules")
	flags.StringVarP(&q.Source, "source", "s", "", "`TYPE`, attribute or role of the source")
	flags.StringVarP(&q.Target, "target", "t", "", "`TYPE`, attribute or role of the target")
	flags.StringVarP(&o.classes, "class", "c", "", "`CLASSES`, with commas between them: any of them")
	flags.StringVarP(&o.permissions, "perms", "p", "", "`PERMISSIONS`, with commas between them: any of them")
	flags.StringVarP(&o.commands, "xperms", "x", "", "`NUMBERS` or ranges of extended permissions, with commas between them: any of them")
	flags.StringVarP(&q.Default, "default", "D", "", "the `TYPE`, role or range that a transition gives")
	flags.StringVarP(&o.booleans, "bool", "b", "", "rules whose condition has any of the `BOOLEANS`")
	flags.BoolVar(&q.EqualBooleans, "eb", false, "the condition has these booleans and no others")
	flags.BoolVar(&q.EqualPermissions, "ep", false, "the rule has these permissions and no others")
	flags.BoolVar(&q.EqualCommands, "ex", false, "the rule has these extended permissions and no others")
	flags.BoolVar(&q.AllPermissions, "Sp", false, "the rule has all of these permissions")
	flags.BoolVar(&q.DirectSource, "ds", false, "the source by that name only")
	flags.BoolVar(&q.DirectTarget, "dt", false, "the target by that name only")
	flags.BoolVar(&o.sourceRegexp, "rs", false, "the source is a regular expression")
	flags.BoolVar(&o.targetRegexp, "rt", false, "the target is a regular expression")
	flags.BoolVar(&o.classRegexp, "rc", false, "the class is a regular expression")
	flags.BoolVar(&o.defaultRegexp, "rd", false, "the default is a regular expression")
	flags.BoolVar(&o.boolExp, "rb", false, "the boolean is a regular expression")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	familiar(command, &o.from, twoLetters, func(command *cobra.Command) error {
		if err := o.complete(); err != nil {
			return err
		}
		policy, err := o.from.read()
		if err != nil {
			return err
		}
		lines, err := o.search(policy)
		if err != nil {
			return err
		}
		if o.asJSON {
			return printJSON(command.OutOrStdout(), append([]string{}, lines...))
		}
		return printLines(command.OutOrStdout(), lines)
	})
	return command
}

// familiar has a command take the command line of a tool that people know: forms turns it into ours, and an argument is the policy.
func familiar(command *cobra.Command, from *policyFlag, forms func([]string) []string, run func(*cobra.Command) error) {
	command.DisableFlagParsing = true
	command.RunE = func(command *cobra.Command, args []string) error {
		flags := command.Flags()
		if err := flags.Parse(forms(args)); err != nil {
			return usageError{err}
		}
		if help, err := flags.GetBool("help"); err == nil && help {
			return command.Help()
		}
		switch rest := flags.Args(); {
		case len(rest) > 1 || len(rest) == 1 && flags.Changed("policy"):
			return usageError{fmt.Errorf("unexpected arguments: %s", strings.Join(rest, " "))}
		case len(rest) == 1:
			from.path = rest[0]
		}
		return run(command)
	}
}

// twoLetters gives sesearch's options of two letters their second hyphen.
func twoLetters(args []string) []string {
	made := slices.Clone(args)
	for i, argument := range made {
		if len(argument) == 3 && slices.Contains([]string{"-ds", "-dt", "-rs", "-rt", "-rc", "-rd", "-rb", "-eb", "-ep", "-ex", "-Sp"}, argument) {
			made[i] = "-" + argument
		}
	}
	return made
}

// checkForms refuses an option that says how another is meant where that one is not given.
func (o *queryOptions) checkForms() error {
	q := &o.query
	for _, one := range []struct {
		asked      bool
		form, with string
		text       string
	}{
		{q.DirectSource || o.sourceRegexp, "ds or --rs", "source", q.Source}, {q.DirectTarget || o.targetRegexp, "dt or --rt", "target", q.Target},
		{o.classRegexp, "rc", "class", o.classes}, {o.defaultRegexp, "rd", "default", q.Default}, {q.EqualBooleans || o.boolExp, "eb or --rb", "bool", o.booleans},
		{q.EqualPermissions || q.AllPermissions, "ep or --Sp", "perms", o.permissions}, {q.EqualCommands, "ex", "xperms", o.commands},
	} {
		if one.asked && one.text == "" {
			return usageError{fmt.Errorf("--%s without --%s", one.form, one.with)}
		}
	}
	return nil
}

// complete makes the query of the words.
func (o *queryOptions) complete() error {
	if err := o.checkForms(); err != nil {
		return err
	}
	q := &o.query
	for i, kind := range ruleKinds {
		if o.kinds[i] {
			q.Kinds |= kind.kind
		}
	}
	q.Permissions = words(o.permissions)
	if !o.classRegexp {
		q.Classes = words(o.classes)
	}
	if !o.boolExp {
		q.Booleans = words(o.booleans)
	}
	var err error
	for _, one := range []struct {
		asked bool
		text  *string
		into  **regexp.Regexp
	}{
		{o.sourceRegexp, &q.Source, &q.SourceExpression}, {o.targetRegexp, &q.Target, &q.TargetExpression}, {o.classRegexp, &o.classes, &q.ClassExpression},
		{o.defaultRegexp, &q.Default, &q.DefaultExpression}, {o.boolExp, &o.booleans, &q.BooleanExpression},
	} {
		if !one.asked || *one.text == "" {
			continue
		}
		if *one.into, err = regexp.Compile(*one.text); err != nil {
			return usageError{err}
		}
		*one.text = ""
	}
	for _, word := range words(o.commands) {
		first, last, run := strings.Cut(word, "-")
		if !run {
			last = first
		}
		low, err := strconv.ParseUint(first, 0, 16)
		if err != nil {
			return usageError{fmt.Errorf("extended permission %q: expected a number of 16 bits", word)}
		}
		high, err := strconv.ParseUint(last, 0, 16)
		if err != nil || high < low {
			return usageError{fmt.Errorf("extended permissions %q: expected LOW-HIGH of 16 bits", word)}
		}
		q.Commands = append(q.Commands, policydb.CommandRange{First: uint16(low), Last: uint16(high)})
	}
	return nil
}

// search finds the rules of the kinds that were asked for, sorted kind by kind.
func (o *queryOptions) search(policy *policydb.Policy) ([]string, error) {
	var all []string
	add := func(lines []string, err error) error {
		slices.Sort(lines)
		all = append(all, lines...)
		return err
	}
	if o.query.Kinds != 0 || !o.roleAllow && !o.roleTransition && !o.ranges {
		found, err := policy.Search(o.query)
		if err := add(formatted(found, policy.FormatRule), err); err != nil {
			return nil, err
		}
	}
	if o.roleAllow {
		found, err := policy.SearchRoleAllows(o.query)
		if err := add(formatted(found, policy.FormatRoleAllow), err); err != nil {
			return nil, err
		}
	}
	if o.roleTransition {
		found, err := policy.SearchRoleTransitions(o.query)
		if err := add(formatted(found, policy.FormatRoleTransition), err); err != nil {
			return nil, err
		}
	}
	if o.ranges {
		found, err := policy.SearchRanges(o.query)
		if err := add(formatted(found, policy.FormatRangeTransition), err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func formatted[T any](found []T, format func(T) string) []string {
	lines := make([]string, len(found))
	for i, one := range found {
		lines[i] = format(one)
	}
	return lines
}

// words splits a list with commas.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func printLines(out io.Writer, lines []string) error {
	buffered := bufio.NewWriter(out)
	for _, line := range lines {
		buffered.WriteString(line + "\n")
	}
	return buffered.Flush()
}
