// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

func seccompShow() *cobra.Command {
	var flags profileFlags
	var asJSON, callsOnly, programOnly bool
	command := &cobra.Command{Use: "show [OPTIONS] --default NAME | PROFILE", Short: "list what a profile does with every call, and its filter", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "List every call of every ABI that the profile has, what happens to it and why, and then the filter's instructions.\n\n" + profileHelp}
	flags.add(command, true)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().BoolVar(&callsOnly, "calls", false, "only the calls")
	command.Flags().BoolVar(&programOnly, "program", false, "only the instructions")
	command.RunE = func(command *cobra.Command, args []string) error {
		if callsOnly && programOnly {
			return usageError{errors.New("--calls and --program are the two halves of what is shown: choose one, or none for both")}
		}
		s, err := flags.only(args)
		if err != nil {
			return err
		}
		if err := s.check(command.ErrOrStderr(), true); err != nil {
			return err
		}
		shown := s.show()
		if asJSON {
			return printJSON(command.OutOrStdout(), shown)
		}
		return shown.print(command.OutOrStdout(), !programOnly, !callsOnly)
	}
	return command
}

// shown is what `bulkhead seccomp show --json` prints.
type shown struct {
	compiled
	Calls   []shownABI `json:"calls"`
	Program []string   `json:"program"`
}

type shownABI struct {
	ABI     string         `json:"abi"`
	Counts  map[string]int `json:"counts"` // of calls by action; "arguments decide" for those of which more than the number counts
	Entries []shownCall    `json:"entries"`
}

type shownCall struct {
	Call    string `json:"call"`
	Number  uint32 `json:"number"`
	Action  string `json:"action"`
	Because string `json:"because"`
	Cached  bool   `json:"cached"` // the kernel answers without running the filter
}

// byArguments is the action of a call of which the arguments count.
const byArguments = "arguments decide"

func (s *subject) show() shown {
	out := shown{compiled: s.describe()}
	abis := []*syscalls.ABI{s.native}
	if s.policy != nil {
		abis = s.policy.ABIs
	}
	for _, abi := range abis {
		listed := shownABI{ABI: abi.Name, Counts: map[string]int{}}
		for number, call := range abi.Numbers() {
			entry := s.entry(abi, number, call)
			listed.Entries = append(listed.Entries, entry)
			listed.Counts[entry.Action]++
		}
		out.Calls = append(out.Calls, listed)
	}
	text := bpf.Disassemble(s.filter.Order(), s.filter.Program, bpf.Names{Arch: seccomp.ArchitectureName, Call: callName})
	out.Program = strings.Split(strings.TrimRight(text, "\n"), "\n")
	return out
}

// callName returns the name of a call by its number, or "".
func callName(arch, number uint32) string {
	if abi := seccomp.ABIOf(arch, number); abi != nil {
		call, _ := abi.Call(number)
		return call.String()
	}
	return ""
}

// entry says what happens to a call, whatever its arguments if they do not matter.
func (s *subject) entry(abi *syscalls.ABI, number uint32, call syscalls.Call) shownCall {
	entry := shownCall{Call: call.String(), Number: number, Cached: s.cached(abi, number)}
	if s.policy == nil {
		entry.Action, entry.Because = s.explored(abi, number)
		return entry
	}
	verdicts := seccomp.NewDecider(s.policy).Possible(abi, call)
	var reasons []string
	for _, verdict := range verdicts {
		reasons = append(reasons, verdict.Action.Words(s.native)+": "+verdict.Because)
	}
	entry.Action, entry.Because = byArguments, strings.Join(reasons, "; else ")
	if len(verdicts) == 1 {
		entry.Action, entry.Because = verdicts[0].Action.Words(s.native), verdicts[0].Because
	}
	return entry
}

// explored says what a raw filter does with a number.
func (s *subject) explored(abi *syscalls.ABI, number uint32) (action, because string) {
	data := bpf.Data{Number: number, Arch: abi.Audit}
	start := bpf.Everything()
	start, _, err := start.Equal(bpf.Whole(bpf.OffsetArch), abi.Audit)
	if err == nil {
		start, _, err = start.Equal(bpf.Whole(bpf.OffsetNumber), number)
	}
	values := map[uint32]bool{}
	if err == nil {
		err = bpf.Explore(s.filter.Program, start, maximumExplored, func(_ *bpf.Region, value uint32) error {
			values[value] = true
			return nil
		})
	}
	value, _ := bpf.Execute(s.filter.Order(), s.filter.Program, &data)
	switch {
	case err != nil:
		return seccomp.Action(value).Words(abi), "for arguments of 0; the others " + err.Error()
	case len(values) > 1:
		return byArguments, fmt.Sprintf("%s for arguments of 0", seccomp.Action(value).Words(abi))
	}
	return seccomp.Action(value).Words(abi), "a raw filter has no reasons"
}

// maximumExplored bounds the exploration of a filter, in instructions.
const maximumExplored = 1 << 22

func (s shown) print(out io.Writer, calls, program bool) error {
	if calls {
		for _, abi := range s.Calls {
			var counts []string
			for _, action := range slices.Sorted(maps.Keys(abi.Counts)) {
				counts = append(counts, fmt.Sprintf("%d %s", abi.Counts[action], action))
			}
			fmt.Fprintf(out, "%s: %d calls: %s\n", abi.ABI, len(abi.Entries), strings.Join(counts, ", "))
			var rows [][]string
			for _, entry := range abi.Entries {
				rows = append(rows, []string{fmt.Sprint(entry.Number), entry.Call, entry.Action, entry.Because})
			}
			if err := printTable(out, []string{"NUMBER", "CALL", "ACTION", "BECAUSE"}, rows); err != nil {
				return err
			}
			fmt.Fprintln(out)
		}
	}
	if program {
		for _, line := range s.Program {
			fmt.Fprintln(out, line)
		}
	}
	return nil
}
