// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
)

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
		features, err := flags.deciding()
		if err != nil {
			return err
		}
		verdict := apparmor.Decide(profile, features, question, rules)
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

// deciding are the features of the kernel that decides: those of --kernel. Without them, on a host without AppArmor, the zero value stands for a kernel
// that mediates all that the policy does.
func (f *policyFlags) deciding() (apparmor.Features, error) {
	features, err := f.features()
	if f.kernel == "host" && errors.Is(err, apparmor.ErrNoFeatures) {
		return apparmor.Features{}, nil
	}
	return features, err
}
