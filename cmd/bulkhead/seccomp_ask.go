// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// lockout is a profile under which nothing can run.
func lockout(name, call, action string) error {
	return &plan.RefusedError{Subject: name, Reason: fmt.Sprintf("it answers %s with %s: no program could start or end", call, action),
		Hint: "allow execve and exit_group, or use --force"}
}

func seccompDecide() *cobra.Command {
	var flags profileFlags
	var abiName string
	var asJSON bool
	command := &cobra.Command{Use: "decide [OPTIONS] --default NAME | PROFILE CALL [ARGUMENT...]", Short: "say what happens to a call, and by which rule",
		Long: "Say what a profile does with a call by name or number and up to six arguments (decimal, 0x..., negative; 0 if not given). The first word\n" +
			"is allow, log, notify, trace, errno, trap or kill. The answer is the rules' own, and the filter's, which have to agree.\n\n" + profileHelp}
	flags.add(command, true)
	command.Flags().StringVar(&abiName, "abi", "", "by which the call is made, as libseccomp calls it (x86 for a 32-bit program on x86_64)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.DisableFlagParsing = true // an argument may be negative
	command.RunE = func(command *cobra.Command, args []string) error {
		args, err := parseAround(command, args)
		if err != nil {
			return usageError{err}
		}
		if help, _ := command.Flags().GetBool("help"); help {
			return command.Help()
		}
		name, rest, err := flags.chosen(args)
		if err != nil {
			return err
		}
		s, err := flags.subject(name)
		if err != nil {
			return err
		}
		abi := s.native
		if abiName != "" {
			if abi = seccomp.Architecture(abiName); abi == nil {
				return usageError{fmt.Errorf("--abi %q: one of %s", abiName, strings.Join(abiNames(), ", "))}
			}
		}
		call, err := parseCall(abi, rest)
		if err != nil {
			return err
		}
		return s.decide(command.OutOrStdout(), abi, call, asJSON)
	}
	return command
}

// parseAround parses options among which negative numbers are arguments, and returns the arguments.
func parseAround(command *cobra.Command, args []string) ([]string, error) {
	const guard = "\x00"
	guarded := slices.Clone(args)
	for i, text := range guarded {
		if len(text) > 1 && text[0] == '-' && '0' <= text[1] && text[1] <= '9' {
			guarded[i] = guard + text
		}
	}
	if err := command.Flags().Parse(guarded); err != nil {
		return nil, err
	}
	rest := command.Flags().Args()
	for i := range rest {
		rest[i] = strings.TrimPrefix(rest[i], guard)
	}
	return rest, nil
}

// parseCall reads CALL ARGUMENT...
func parseCall(abi *syscalls.ABI, args []string) (bpf.Data, error) {
	data := bpf.Data{Arch: abi.Audit}
	if len(args) == 0 {
		return data, usageError{errors.New("which call? a name or number, and its arguments")}
	}
	if len(args) > 7 {
		return data, usageError{fmt.Errorf("%d arguments; a call has at most 6", len(args)-1)}
	}
	if number, err := strconv.ParseUint(args[0], 0, 32); err == nil {
		data.Number = uint32(number)
	} else if call, ok := syscalls.Lookup(args[0]); !ok {
		return data, usageError{fmt.Errorf("%q is no call that any kernel has", args[0])}
	} else if data.Number, ok = abi.Number(call); !ok {
		return data, usageError{fmt.Errorf("%s has no call %s", abi.Name, args[0])}
	}
	for i, text := range args[1:] {
		value, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			signed, signedErr := strconv.ParseInt(text, 0, 64)
			if signedErr != nil {
				return data, usageError{fmt.Errorf("argument %d: %q is no number of 64 bits", i, text)}
			}
			value = uint64(signed)
		}
		if abi.Word == 32 {
			value = uint64(uint32(value))
		}
		data.Args[i] = value
	}
	return data, nil
}

func (s *subject) decide(out io.Writer, abi *syscalls.ABI, call bpf.Data, asJSON bool) error {
	value, executed := bpf.Execute(s.filter.Order(), s.filter.Program, &call)
	verdict := seccomp.Verdict{Action: seccomp.Action(value), Because: fmt.Sprintf("the filter returns it after %d instructions", executed)}
	if s.policy != nil {
		verdict = seccomp.NewDecider(s.policy).Decide(call)
		if verdict.Action != seccomp.Action(value) {
			return fmt.Errorf("bug: the rules say %s and the filter %s", verdict.Action, seccomp.Action(value))
		}
	}
	words := verdict.Action.Words(abi)
	cached := s.cached(abi, call.Number)
	if asJSON {
		name := callName(call.Arch, call.Number)
		return printJSON(out, map[string]any{"abi": abi.Name, "call": name, "number": call.Number, "arguments": call.Args, "action": words, "because": verdict.Because,
			"instructions": executed, "cached": cached})
	}
	_, err := fmt.Fprintf(out, "%s (%s)\n", words, verdict.Because)
	return err
}

func seccompDiff() *cobra.Command {
	var flags profileFlags
	var asJSON bool
	command := &cobra.Command{Use: "diff [OPTIONS] PROFILE PROFILE", Short: "compare two profiles exactly", Args: arguments(cobra.ExactArgs(2)),
		Long: "Compare what two profiles or filters do with every call and all arguments, exactly: exit with 0 if they do the same, with 1 and the calls on which\n" +
			"they differ, each with arguments for which they do.\n\n" + profileHelp}
	flags.add(command, false)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		a, err := flags.subject(args[0])
		if err != nil {
			return err
		}
		b, err := flags.subject(args[1])
		if err != nil {
			return err
		}
		differences, more, err := differ(a, b)
		if err != nil {
			return err
		}
		if err := printDifferences(command.OutOrStdout(), a, b, differences, more, asJSON); err != nil {
			return err
		}
		if len(differences) > 0 {
			return exitCode(exitFailed)
		}
		return nil
	}
	return command
}

// difference is a call on which two filters differ.
type difference struct {
	ABI       string    `json:"abi"`
	Call      string    `json:"call"` // "" for a number that is none
	Number    uint32    `json:"number"`
	Arguments [6]uint64 `json:"arguments"`
	A         string    `json:"a"`
	B         string    `json:"b"`
}

// maximumDifferences is how many calls are listed; more are counted.
const maximumDifferences = 1000

// comparison collects differences.
type comparison struct {
	a, b *subject
	seen map[disagreement]bool
	list []difference
	more int
}

// disagreement is a call and two answers to it.
type disagreement struct{ arch, number, a, b uint32 }

// differ compares two filters and returns one difference for each call and pair of answers.
func differ(a, b *subject) (list []difference, more int, err error) {
	c := &comparison{a: a, b: b, seen: map[disagreement]bool{}, list: []difference{}}
	err = bpf.Compare(a.filter.Program, b.filter.Program, bpf.Everything(), maximumExplored, func(region *bpf.Region, ofA, ofB uint32) error {
		if ofA == ofB {
			return nil
		}
		return c.add(region, ofA, ofB)
	})
	slices.SortStableFunc(c.list, func(a, b difference) int { return cmp.Or(cmp.Compare(a.ABI, b.ABI), cmp.Compare(a.Number, b.Number)) })
	return c.list, c.more, err
}

// add enters the calls of a region: all that have names, or one number if there are none.
func (c *comparison) add(region *bpf.Region, ofA, ofB uint32) error {
	named := false
	low, high := region.Range(bpf.OffsetNumber)
	for _, abi := range syscalls.ABIs() {
		in, _, err := region.Equal(bpf.Whole(bpf.OffsetArch), abi.Audit)
		if err != nil {
			return err
		}
		if in.Empty() {
			continue
		}
		for number := range abi.Numbers() {
			if number < low || number > high {
				continue
			}
			one, _, err := in.Equal(bpf.Whole(bpf.OffsetNumber), number)
			if err != nil {
				return err
			}
			if !one.Empty() {
				c.enter(one.Witness(c.a.filter.Order()), ofA, ofB)
				named = true
			}
		}
	}
	if !named {
		c.enter(region.Witness(c.a.filter.Order()), ofA, ofB)
	}
	return nil
}

func (c *comparison) enter(data bpf.Data, ofA, ofB uint32) {
	k := disagreement{data.Arch, data.Number, ofA, ofB}
	if c.seen[k] {
		return
	}
	c.seen[k] = true
	if len(c.list) == maximumDifferences {
		c.more++
		return
	}
	name := seccomp.ArchitectureName(data.Arch)
	if abi := seccomp.ABIOf(data.Arch, data.Number); abi != nil {
		name = abi.Name
	}
	c.list = append(c.list, difference{ABI: name, Call: callName(data.Arch, data.Number), Number: data.Number, Arguments: data.Args,
		A: seccomp.Action(ofA).Words(c.a.native), B: seccomp.Action(ofB).Words(c.b.native)})
}

func printDifferences(out io.Writer, a, b *subject, list []difference, more int, asJSON bool) error {
	if asJSON {
		return printJSON(out, map[string]any{"equal": len(list) == 0, "differences": list, "more": more})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "equal")
		return err
	}
	var rows [][]string
	for _, d := range list {
		arguments := make([]string, len(d.Arguments))
		for i, value := range d.Arguments {
			arguments[i] = fmt.Sprintf("%#x", value)
		}
		rows = append(rows, []string{d.ABI, fmt.Sprint(d.Number), d.Call, strings.Join(arguments, ","), d.A, d.B})
	}
	if err := printTable(out, []string{"ABI", "NUMBER", "CALL", "ARGUMENTS", a.name, b.name}, rows); err != nil {
		return err
	}
	if more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
	return nil
}
