// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/standalone"
)

func openEngine(stderr io.Writer, needInner bool) (*standalone.Engine, error) {
	host, err := openHost()
	if err != nil {
		return nil, err
	}
	engine := &standalone.Engine{Host: host, Notice: notice}
	if bar := newProgress(stderr); bar != nil {
		engine.Progress, engine.Labelling = bar.event, bar.label
		engine.Notice = func(line string) {
			bar.wipe()
			notice(line)
		}
	}
	if needInner {
		if err := requireRoot(); err != nil {
			return nil, err
		}
		engine.Inner, err = oci.FindInner(host.Config.Runtime)
	}
	return engine, err
}

func requireRoot() error {
	if err := enforce.RequireRoot(); err != nil {
		return hinted{err, "run as root: labels, profiles and namespaces of containers need it"}
	}
	return nil
}

func runCommand() *cobra.Command {
	var flags runFlags
	command := &cobra.Command{Use: "run [OPTIONS] IMAGE [COMMAND [ARGUMENT...]]", Short: "run a confined container",
		Long: "Run a command in a container that every layer of this kernel confines. IMAGE is an OCI layout directory, a docker-archive tar file or a\n" +
			"registry reference; with --rootfs DIR there is none."}
	flags.add(command.Flags())
	command.RunE = func(command *cobra.Command, args []string) error {
		options, err := flags.parse(command.Flags(), args)
		if err != nil {
			return err
		}
		if err := checkTerminal(options); err != nil {
			return err
		}
		engine, err := engine(command, true)
		if err != nil {
			return err
		}
		if err := flags.drawFrom(engine.Host); err != nil {
			return err
		}
		if err := engine.Sweep(); err != nil {
			fmt.Fprintln(os.Stderr, "bulkhead: warning: sweep:", oneLine(err.Error()))
		}
		made, err := engine.Prepare(command.Context(), options)
		if err != nil {
			return err
		}
		if options.Detach {
			return detach(engine, made)
		}
		status, err := engine.Keep(made, standalone.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, nil)
		if err != nil {
			return err
		}
		return exitCode(status)
	}
	return command
}

func checkTerminal(options standalone.Options) error {
	if options.TTY && options.Interactive && !options.Detach && !term.IsTerminal(int(os.Stdin.Fd())) {
		return &standalone.UsageError{Option: "-t", Reason: "standard input is not a terminal", Hint: "leave out -t, or run it in a terminal"}
	}
	return nil
}

// detached is what the keeper of a detached container tells the process that started it.
type detached struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
	Hint   string `json:"hint"`
}

// detach starts a process of its own that keeps the container, and prints the ID once the container runs.
func detach(engine *standalone.Engine, made *standalone.Container) error {
	self, err := os.Executable()
	if err != nil {
		return errors.Join(err, engine.Remove(made))
	}
	answers, theirs, err := os.Pipe()
	if err != nil {
		return errors.Join(err, engine.Remove(made))
	}
	keeper := exec.Command(self, keepVerb, made.ID)
	keeper.ExtraFiles = []*os.File{theirs}
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return errors.Join(err, engine.Remove(made))
	}
	theirs.Close()
	var answer detached
	if err := json.NewDecoder(answers).Decode(&answer); err != nil {
		return fmt.Errorf("container %s: the process that keeps it ended without a word (%v)", made.ID[:12], err)
	}
	if answer.Error != "" {
		fmt.Fprintln(os.Stderr, "bulkhead: error:", answer.Error)
		if answer.Hint != "" {
			fmt.Fprintln(os.Stderr, "bulkhead: hint:", answer.Hint)
		}
		return exitCode(answer.Status)
	}
	fmt.Println(made.ID)
	return nil
}

// keepVerb is the hidden verb of the process that keeps a detached container.
const keepVerb = "keep"

func keepCommand() *cobra.Command {
	return &cobra.Command{Use: keepVerb + " CONTAINER", Hidden: true, Args: arguments(cobra.ExactArgs(1)), RunE: func(command *cobra.Command, args []string) error {
		answers := os.NewFile(3, "answers")
		unix.CloseOnExec(3)
		answer := func(err error) {
			var text detached
			if err != nil {
				text.Error = oneLine(err.Error())
				text.Status, text.Hint = classify(err, exitNotStarted)
			}
			json.NewEncoder(answers).Encode(text)
			answers.Close()
		}
		engine, err := openEngine(io.Discard, true)
		if err != nil {
			answer(err)
			return err
		}
		kept, err := engine.Adopt(args[0])
		if err != nil {
			answer(err)
			return err
		}
		running := false
		_, err = engine.Keep(kept, standalone.Streams{}, func() { running = true; answer(nil) })
		if !running {
			answer(err)
		}
		return nil
	}}
}

func planCommand() *cobra.Command {
	var flags runFlags
	var asJSON bool
	var bundle string
	command := &cobra.Command{Use: "plan [OPTIONS] IMAGE | --rootfs DIR | --bundle DIR", Short: "print what would be enforced, and start nothing",
		Long: "Print the plan of a container: the options are those of run, or --bundle names the bundle of an engine."}
	flags.add(command.Flags())
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().StringVar(&bundle, "bundle", "", "plan for the config.json in `DIR`")
	command.RunE = func(command *cobra.Command, args []string) error {
		engine, err := engine(command, false)
		if err != nil {
			return err
		}
		made, err := makePlan(command, engine, &flags, bundle, args)
		if err != nil {
			return err
		}
		addResidue(runningPolicy, made, engine.Host.Facts().SELinux)
		if asJSON {
			return printJSON(command.OutOrStdout(), made)
		}
		return printPlan(command.OutOrStdout(), made)
	}
	return command
}

func makePlan(command *cobra.Command, engine *standalone.Engine, flags *runFlags, bundle string, args []string) (*plan.Plan, error) {
	if bundle != "" {
		return planBundle(engine.Host, bundle)
	}
	options, err := flags.parse(command.Flags(), args)
	if err == nil {
		err = flags.drawFrom(engine.Host)
	}
	if err != nil {
		return nil, err
	}
	return engine.Plan(command.Context(), options)
}

func printPlan(out io.Writer, made *plan.Plan) error {
	var table [][]string
	for _, row := range made.Rows() {
		table = append(table, []string{row.Layer, row.State, row.Detail})
	}
	if err := printTable(out, []string{"LAYER", "STATE", "DETAIL"}, table); err != nil {
		return err
	}
	for _, line := range made.Seccomp.Warnings {
		fmt.Fprintln(out, "seccomp profile:", line)
	}
	for _, sentence := range made.Remains {
		fmt.Fprintln(out, "remains:", strings.TrimSuffix(sentence, "."))
	}
	return nil
}
