// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

func apparmorShow() *cobra.Command {
	var flags policyFlags
	var asJSON, asSource bool
	command := &cobra.Command{Use: "show [OPTIONS] POLICY [PROFILE...]", Short: "print what compiled or loaded profiles allow", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Print rules that mean what the compiled profiles do. With the map of `bulkhead apparmor compile` beside the file, each rule's own line is named.\n\n" + policyHelp}
	flags.add(command)
	command.Flags().BoolVar(&asSource, "source", false, "print the text instead, as it is understood, with its includes; or that of a built-in profile")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		out := command.OutOrStdout()
		if asSource {
			return flags.showSource(out, args[0])
		}
		s, err := flags.subject(command.Context(), args[0])
		if err != nil {
			return err
		}
		return s.show(out, args[1:], asJSON)
	}
	return command
}

// showSource prints a text as the parser understands it; a built-in one as it is generated.
func (f *policyFlags) showSource(out io.Writer, name string) error {
	content, err := readText(name)
	if text, ok := f.builtin(name); ok && errors.Is(err, fs.ErrNotExist) {
		_, err := io.WriteString(out, text)
		return err
	}
	if err != nil {
		return err
	}
	from, err := f.sources()
	if err != nil {
		return err
	}
	policy, err := syntax.Parse(name, string(content), from)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, syntax.Format(policy))
	return err
}

// answer is what `bulkhead apparmor decide --json` prints.
type answer struct {
	Question   string   `json:"question"`
	Allowed    bool     `json:"allowed"`
	Audited    bool     `json:"audited,omitempty"`
	Quiet      bool     `json:"quiet,omitempty"`
	Unmediated bool     `json:"unmediated,omitempty"`
	Complaint  bool     `json:"complaint,omitempty"`
	Killed     bool     `json:"killed,omitempty"`
	Transition string   `json:"transition,omitempty"`
	Because    []string `json:"because"`
}

const questionHelp = `A QUESTION is in the words of the rules:
  [owner] file PATH LETTERS              [owner] exec PATH            [owner] link LINK "->" TARGET
  capability NAME                        userns create                network [ACCESS] FAMILY [TYPE] [protocol=NUMBER]
  mount [fstype=T] [options=A,B] [SOURCE] "->" TARGET                 umount TARGET           pivot_root [oldroot=OLD] NEW
  signal send|receive SIGNAL peer=LABEL  ptrace read|trace|readby|tracedby peer=LABEL
  unix ACCESS [type=T] [addr=A] [peer=(addr=A label=L)]               io_uring sqpoll|override_creds [label=LABEL]
  mqueue ACCESS [type=posix|sysv] [label=L] NAME                      change_profile [onexec] [PROGRAM "->"] LABEL
  dbus send|receive|bind|eavesdrop bus=BUS [path=] [interface=] [member=] [name=] [peer=(name= label=)]     rlimit NAME VALUE`

func apparmorDecide() *cobra.Command {
	var flags policyFlags
	var asJSON bool
	command := &cobra.Command{Use: "decide [OPTIONS] POLICY PROFILE QUESTION...", Short: "say whether a profile allows something, and why", Args: arguments(cobra.MinimumNArgs(3)),
		Long: "Say what the kernel does with an access under a profile, from the compiled tables. The first word is allow or deny; then come the rules that it follows\n" +
			"from, with their lines where the text or the map of the policy is there. Exit with 0 whatever the answer is.\n\n" + questionHelp + "\n\n" + policyHelp}
	flags.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().SetInterspersed(false)
	command.RunE = func(command *cobra.Command, args []string) error {
		question, err := apparmor.ParseQuestion(args[2:])
		if err != nil {
			return usageError{err}
		}
		s, err := flags.subject(command.Context(), args[0])
		if err != nil {
			return err
		}
		profile, rules, err := s.find(args[1])
		if err != nil {
			return err
		}
		verdict := apparmor.Decide(profile, s.features(&flags), question, rules)
		if !asJSON {
			_, err := fmt.Fprintln(command.OutOrStdout(), verdict)
			return err
		}
		shown := answer{Question: question.String(), Allowed: verdict.Allowed, Audited: verdict.Audited, Quiet: verdict.Quiet, Unmediated: verdict.Unmediated,
			Complaint: verdict.Complaint, Killed: verdict.Killed, Transition: verdict.Transition}
		for _, reason := range verdict.Because {
			shown.Because = append(shown.Because, reason.String())
		}
		return printJSON(command.OutOrStdout(), shown)
	}
	return command
}

// features are those of the kernel that the policy is for, as far as they are known: which of several forms of the kernel's strings a rule takes depends
// on them. The zero value has the policy itself tell.
func (s *compiledSubject) features(flags *policyFlags) apparmor.Features {
	features, err := flags.features()
	if err != nil {
		return apparmor.Features{}
	}
	return features
}
