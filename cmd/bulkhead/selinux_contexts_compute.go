// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func contextsCompute() *cobra.Command {
	var from policyFlag
	var name string
	var member, change, asJSON bool
	command := &cobra.Command{Use: "compute [OPTIONS] SOURCE-CONTEXT TARGET-CONTEXT CLASS", Short: "the context that the rules give a new object or process", Args: arguments(cobra.ExactArgs(3)),
		Long: "Work out a context as the kernel does, as compute_create(8), compute_member(8) and compute_relabel(8) ask it: of an object that a process of the source's\n" +
			"context makes in a directory of the target's, of a process by the file that it executes, of the --member of a polyinstantiated directory, or of the\n" +
			"object that is --change'd. A context that the policy does not take is an error; the kernel refuses the operation."}
	from.add(command)
	flags := command.Flags()
	flags.StringVar(&name, "name", "", "last component of the new object's path, `NAME`, which rules may ask for")
	flags.BoolVar(&member, "member", false, "by type_member rules")
	flags.BoolVar(&change, "change", false, "by type_change rules")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		kind := uint16(policydb.Transition)
		switch {
		case member && change:
			return usageError{errors.New("--member or --change, not both")}
		case name != "" && (member || change):
			return usageError{errors.New("--name is about new objects, not --member or --change")}
		case member:
			kind = policydb.Member
		case change:
			kind = policydb.Change
		}
		policy, err := from.read()
		if err != nil {
			return err
		}
		source, target, class, err := parties(policy, args[0], args[1], args[2])
		if err != nil {
			return err
		}
		made, err := policy.Compute(kind, source, target, class.Value, name)
		text := policy.FormatContext(made)
		if err != nil {
			return fmt.Errorf("the rules give %s: %w", text, err)
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), map[string]string{"context": text})
		}
		return printLines(command.OutOrStdout(), []string{text})
	}
	return command
}

// validation is what validatetrans prints.
type validation struct {
	Allowed    bool   `json:"allowed"`
	Constraint string `json:"constraint,omitempty"` // that does not hold
}

func contextsValidateTransition() *cobra.Command {
	var from policyFlag
	var asJSON bool
	command := &cobra.Command{Use: "validatetrans [OPTIONS] OLD-CONTEXT NEW-CONTEXT PROCESS-CONTEXT CLASS", Short: "whether a process may change an object's context, by validatetrans",
		Args: arguments(cobra.ExactArgs(4)),
		Long: "Say whether the policy's validatetrans and mlsvalidatetrans let a process change an object's context from the old to the new one, and which does not; the\n" +
			"rules for relabelfrom and relabelto are asked for beside it (`bulkhead selinux decide`). Exit with 1 if it may not."}
	from.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		old, changed, class, err := parties(policy, args[0], args[1], args[3])
		if err != nil {
			return err
		}
		process, err := policy.ParseContext(args[2])
		if err != nil {
			return err
		}
		answer := validation{Allowed: true}
		if broken := policy.ValidateTransition(old, changed, process, class.Value); broken != nil {
			answer = validation{Constraint: policy.FormatExpression(broken.Expression)}
		}
		if err := answer.print(command.OutOrStdout(), asJSON); err != nil {
			return err
		}
		if !answer.Allowed {
			return exitCode(exitFailed)
		}
		return nil
	}
	return command
}

func (v validation) print(out io.Writer, asJSON bool) (err error) {
	switch {
	case asJSON:
		return printJSON(out, v)
	case v.Allowed:
		_, err = io.WriteString(out, "allow\n")
	default:
		_, err = fmt.Fprintf(out, "deny\n\tno rule helps: %s\n", v.Constraint)
	}
	return err
}
