// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/standalone"
)

const helpText = `Bulkhead confines containers with every layer that this kernel offers: SELinux labels with a unique MCS pair, AppArmor, seccomp,
Landlock, capabilities. It says what is really enforced, and starts nothing that it was told to confine and cannot.

Exit status: 0; 1 failed; 2 usage; 3 confinement unavailable; 4 refused as unsafe; and of run and exec, as docker: 125 Bulkhead failed,
126 the command cannot be started, 127 it was not found, else the command's own.`

// exitCode ends the program with a status and without a message.
type exitCode int

func (exitCode) Error() string { return "" }

// cliMain is the command line for people.
func cliMain(args []string) int {
	root := &cobra.Command{Use: "bulkhead", Short: "confine containers with every layer the kernel offers", Long: helpText, Version: version,
		SilenceErrors: true, SilenceUsage: true, Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("bulkhead version {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(verbs()...)
	sayOptionsOnce(root)
	root.SetArgs(args)
	command, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		report(os.Stderr, hinted{err, "see `" + command.CommandPath() + " --help`"}, exitUsage)
		return exitUsage
	}
	return report(os.Stderr, err, failedStatus(command))
}

// sayOptionsOnce keeps "[flags]" out of the usage lines, which say [OPTIONS] where it belongs.
func sayOptionsOnce(command *cobra.Command) {
	for _, verb := range command.Commands() {
		verb.DisableFlagsInUseLine = true
		sayOptionsOnce(verb)
	}
}

// usageError is an option or argument that cannot be taken.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// classifyEngine is classify for the errors of `bulkhead run` and the verbs that go with it.
func classifyEngine(err error, failed int) (status int, hint string, known bool) {
	var (
		usage   *standalone.UsageError
		unknown *standalone.NotFoundError
		picture *standalone.ImageError
	)
	if status, hint, known := classifyShield(err, failed); known {
		return status, hint, true
	}
	switch {
	case errors.As(err, &usage):
		return exitUsage, usage.Hint, true
	case errors.As(err, &picture):
		return failed, picture.Hint, true
	case errors.As(err, &unknown):
		return failed, "`bulkhead ps --all` lists the containers that there are", true
	}
	return 0, "", false
}

// failedStatus is what a failure that is Bulkhead's own ends with: docker's 125 for the verbs whose status is the command's otherwise.
func failedStatus(command *cobra.Command) int {
	if name := command.Name(); name == "run" || name == "exec" {
		return exitNotStarted
	}
	return exitFailed
}

// arguments checks the number of arguments with an error that has the usage exit status.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// printTable writes rows under a heading, in columns.
func printTable(out io.Writer, heading []string, rows [][]string) error {
	writer := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		io.WriteString(writer, strings.TrimRight(strings.Join(row, "\t"), "\t ")+"\n")
	}
	return writer.Flush()
}
