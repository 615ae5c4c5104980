// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func selinuxDecide() *cobra.Command {
	var from policyFlag
	var numbers extendedFlags
	var file pathFlags
	var asJSON bool
	command := &cobra.Command{Use: "decide [OPTIONS] SOURCE-CONTEXT TARGET-CONTEXT CLASS PERMISSION...\n" +
		"  bulkhead selinux decide [OPTIONS] SOURCE-CONTEXT TARGET-CONTEXT CLASS --ioctl COMMAND | --nlmsg TYPE\n" +
		"  bulkhead selinux decide [OPTIONS] --path FILE --as UID[:GID[,GROUP...]] SOURCE-CONTEXT [CLASS] PERMISSION...",
		Short: "say what a policy allows, and why", Args: arguments(cobra.MinimumNArgs(1)), DisableFlagsInUseLine: true,
		Long: "Say whether a policy lets a process of the source's context do all of the permissions to an object of the target's. The first word is allow\n" +
			"or deny. For each permission follow the rules that allow it, or the step that denies it: no rule, a constraint with the values of both\n" +
			"sides (no rule helps against one), roles, or a type's bounds.\n\n" +
			"--ioctl and --nlmsg ask for one ioctl command or one type of netlink message, which extended rules (allowxperm) decide after the permission.\n\n" +
			"--path asks what the kernel asks when a process of a user reaches for a file, in its order: for every directory on the way and for the\n" +
			"file mode bits and access control lists, the capabilities of UID 0 that override them, then SELinux. The answer ends with the first step that denies."}
	from.add(command)
	numbers.add(command)
	file.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := checkDecide(&numbers, &file, args); err != nil {
			return usageError{err}
		}
		policy, err := from.read()
		if err != nil {
			return err
		}
		var answers interface{ text() string }
		switch {
		case file.path != "":
			answers, err = file.decide(policy, args)
		case numbers.given():
			answers, err = numbers.decide(policy, args[0], args[1], args[2])
		default:
			answers, err = decideAll(policy, args[0], args[1], args[2], args[3:])
		}
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

// checkDecide says which options and how many arguments go together.
func checkDecide(numbers *extendedFlags, file *pathFlags, args []string) error {
	switch {
	case file.path != "" && numbers.given():
		return errors.New("--path goes with permissions, not with --ioctl or --nlmsg")
	case (file.path == "") != (file.user == ""):
		return errors.New("--path FILE and --as UID go together")
	case file.path == "" && (len(file.labels) > 0 || file.fileContexts != ""):
		return errors.New("--label and --file-contexts go with --path")
	case file.path != "" && len(args) < 2:
		return errors.New("--path takes SOURCE-CONTEXT [CLASS] PERMISSION...")
	case numbers.ioctl != "" && numbers.message != "":
		return errors.New("--ioctl or --nlmsg, not both")
	case numbers.given() && len(args) != 3:
		return errors.New("--ioctl and --nlmsg take SOURCE-CONTEXT TARGET-CONTEXT CLASS")
	case file.path == "" && !numbers.given() && len(args) < 4:
		return errors.New("it takes SOURCE-CONTEXT TARGET-CONTEXT CLASS PERMISSION...")
	}
	return nil
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
	Role       bool     `json:"role,omitempty"`       // a role allow rule is missing, too
	Bounds     string   `json:"bounds,omitempty"`     // the type that bounds the source's, and why it may not
	Silent     bool     `json:"silent,omitempty"`     // the denial is not logged
}

// parties reads whom a question is about.
func parties(policy *policydb.Policy, source, target, className string) (from, to *policydb.Context, class *policydb.Class, err error) {
	if from, err = policy.ParseContext(source); err != nil {
		return nil, nil, nil, err
	}
	if to, err = policy.ParseContext(target); err != nil {
		return nil, nil, nil, err
	}
	class, err = policy.Class(className)
	return from, to, class, err
}

func decideAll(policy *policydb.Policy, source, target, className string, permissions []string) (accessAnswer, error) {
	from, to, class, err := parties(policy, source, target, className)
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
	answer.Role = x.Role && x.Cause != policydb.ByRole
	if x.Bounds != nil {
		answer.Bounds = fmt.Sprintf("%s: %s", x.Bounding, x.Bounds.Cause)
	}
	if x.Constraint != nil {
		answer.Constraint = policy.FormatExpression(x.Constraint.Expression)
		for _, term := range x.Terms {
			answer.Values = append(answer.Values, fmt.Sprintf("%s is %t: %s", term.Text, term.Holds, term.Values))
		}
	}
	return answer
}

// verdictLine is the first line of an answer.
func verdictLine(allowed, permissive bool) string {
	switch {
	case allowed:
		return "allow\n"
	case permissive:
		return "deny (and it happens: the source's type is permissive)\n"
	}
	return "deny\n"
}

// text is the answer for people.
func (a accessAnswer) text() string {
	var text strings.Builder
	text.WriteString(verdictLine(a.Allowed, a.Permissive))
	for i := range a.Permissions {
		a.Permissions[i].write(&text, "")
	}
	return text.String()
}

// write says of one permission whether it is allowed and why, in lines after an indent.
func (p *permissionAnswer) write(text *strings.Builder, indent string) {
	word := map[bool]string{true: "allow", false: "deny"}[p.Allowed]
	silent := map[bool]string{true: ", and dontaudit keeps it out of the log"}[p.Silent]
	fmt.Fprintf(text, "%s%s %s: %s%s\n", indent, word, p.Permission, p.Cause, silent)
	if p.Allowed || p.Constraint == "" {
		for _, rule := range p.Rules {
			fmt.Fprintf(text, "%s\t%s\n", indent, rule)
		}
	}
	if p.Constraint != "" {
		fmt.Fprintf(text, "%s\tno rule helps: %s\n", indent, p.Constraint)
	}
	for _, value := range p.Values {
		fmt.Fprintf(text, "%s\t\t%s\n", indent, value)
	}
	if p.Role {
		fmt.Fprintf(text, "%s\tand no role allow rule lets it change its role\n", indent)
	}
	if p.Bounds != "" {
		fmt.Fprintf(text, "%s\tthe type that bounds it may not, %s\n", indent, p.Bounds)
	}
	for _, rule := range p.Booleans {
		if !p.Allowed {
			fmt.Fprintf(text, "%s\tif its condition held: %s\n", indent, rule)
		}
	}
}
