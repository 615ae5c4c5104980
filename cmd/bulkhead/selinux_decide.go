// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func selinuxDecide() *cobra.Command {
	var from policyFlag
	var asJSON bool
	command := &cobra.Command{Use: "decide [OPTIONS] SOURCE-CONTEXT TARGET-CONTEXT CLASS PERMISSION...", Short: "say what a policy allows, and why",
		Args: arguments(cobra.MinimumNArgs(4)),
		Long: "Say whether a policy lets a process of the source's context do all of the permissions to an object of the target's. The first word is allow\n" +
			"or deny. For each permission follow the rules that allow it, or the step that denies it: no rule, a constraint with the values of both\n" +
			"sides (no rule helps against one), roles, or a type's bounds."}
	from.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		answers, err := decideAll(policy, args[0], args[1], args[2], args[3:])
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), answers)
		}
		_, err = io.WriteString(command.OutOrStdout(), answers.text())
		return err
	}
	return command
}

// accessAnswer is what decide prints.
type accessAnswer struct {
	Allowed     bool               `json:"allowed"`
	Permissive  bool               `json:"permissive,omitempty"`
	Permissions []permissionAnswer `json:"permissions"`
}

type permissionAnswer struct {
	Permission string   `json:"permission"`
	Allowed    bool     `json:"allowed"`
	Cause      string   `json:"cause"`
	Rules      []string `json:"rules,omitempty"`      // that allow it, as far as type enforcement goes
	Booleans   []string `json:"booleans,omitempty"`   // rules that would, were their condition true
	Constraint string   `json:"constraint,omitempty"` // that does not hold
	Values     []string `json:"values,omitempty"`     // of its comparisons
	Silent     bool     `json:"silent,omitempty"`     // the denial is not logged
}

func decideAll(policy *policydb.Policy, source, target, className string, permissions []string) (accessAnswer, error) {
	from, err := policy.ParseContext(source)
	if err != nil {
		return accessAnswer{}, err
	}
	to, err := policy.ParseContext(target)
	if err != nil {
		return accessAnswer{}, err
	}
	class, err := policy.Class(className)
	if err != nil {
		return accessAnswer{}, err
	}
	answers := accessAnswer{Allowed: true}
	for _, name := range permissions {
		bit, err := policy.Permission(class, name)
		if err != nil {
			return accessAnswer{}, err
		}
		explained := policy.Explain(from, to, class.Value, bit)
		answers.Permissions = append(answers.Permissions, answerOf(policy, name, &explained))
		answers.Allowed = answers.Allowed && explained.Allowed
		answers.Permissive = explained.Permissive
	}
	return answers, nil
}

func answerOf(policy *policydb.Policy, name string, x *policydb.Explanation) permissionAnswer {
	answer := permissionAnswer{Permission: name, Allowed: x.Allowed, Cause: string(x.Cause), Silent: !x.Allowed && x.Silent}
	for _, rule := range x.Rules {
		answer.Rules = append(answer.Rules, policy.FormatRule(rule))
	}
	for _, rule := range x.Off {
		answer.Booleans = append(answer.Booleans, policy.FormatRule(rule))
	}
	if x.Constraint != nil {
		answer.Constraint = policy.FormatExpression(x.Constraint.Expression)
		for _, term := range x.Terms {
			answer.Values = append(answer.Values, fmt.Sprintf("%s is %t: %s", term.Text, term.Holds, term.Values))
		}
	}
	return answer
}

// text is the answer for people.
func (a accessAnswer) text() string {
	var text strings.Builder
	switch {
	case a.Allowed:
		text.WriteString("allow\n")
	case a.Permissive:
		text.WriteString("deny (and it happens: the source's type is permissive)\n")
	default:
		text.WriteString("deny\n")
	}
	for _, p := range a.Permissions {
		word := map[bool]string{true: "allow", false: "deny"}[p.Allowed]
		silent := map[bool]string{true: ", and dontaudit keeps it out of the log"}[p.Silent]
		fmt.Fprintf(&text, "%s %s: %s%s\n", word, p.Permission, p.Cause, silent)
		if p.Allowed || p.Constraint == "" {
			for _, rule := range p.Rules {
				fmt.Fprintf(&text, "\t%s\n", rule)
			}
		}
		if p.Constraint != "" {
			fmt.Fprintf(&text, "\tno rule helps: %s\n", p.Constraint)
		}
		for _, value := range p.Values {
			fmt.Fprintf(&text, "\t\t%s\n", value)
		}
		for _, rule := range p.Booleans {
			if !p.Allowed {
				fmt.Fprintf(&text, "\tif its condition held: %s\n", rule)
			}
		}
	}
	return text.String()
}
