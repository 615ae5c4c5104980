// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/standalone"
)

// planBundle plans for a bundle as bulkhead-runtime would.
func planBundle(host *container.Host, bundle string) (*plan.Plan, error) {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return nil, err
	}
	asked, err := readConfig(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	config, err := oci.Parse(asked)
	if err != nil {
		return nil, err
	}
	job := container.Job{Command: oci.Command{Arguments: []string{""}}, Bundle: bundle}
	return host.Plan(job, config, kernel.Probe())
}

func execCommand() *cobra.Command {
	var options standalone.ExecOptions
	var interactive bool
	var environment []string
	command := &cobra.Command{Use: "exec [OPTIONS] CONTAINER COMMAND [ARGUMENT...]", Short: "add a process to a running container, under every layer that it has",
		Args: arguments(cobra.MinimumNArgs(2))}
	flags := command.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&interactive, "interactive", "i", false, "keep standard input open")
	flags.BoolVarP(&options.TTY, "tty", "t", false, "give the process a terminal")
	flags.StringArrayVarP(&environment, "env", "e", nil, "set `NAME=VALUE`, or NAME from this environment")
	flags.StringVarP(&options.WorkDir, "workdir", "w", "", "working `DIR` in the container")
	flags.StringVarP(&options.User, "user", "u", "", "`USER[:GROUP]`, names or numbers")
	command.RunE = func(command *cobra.Command, args []string) error {
		engine, found, err := findContainer(command, args[0])
		if err != nil {
			return err
		}
		if options.Environment, err = standalone.ResolveEnvironment(environment, os.LookupEnv); err != nil {
			return err
		}
		if options.TTY && !term.IsTerminal(int(os.Stdin.Fd())) {
			return &standalone.UsageError{Option: "-t", Reason: "standard input is not a terminal", Hint: "leave out -t, or run it in a terminal"}
		}
		options.Args = args[1:]
		input := os.Stdin
		if !interactive && !options.TTY {
			if input, err = os.Open(os.DevNull); err != nil {
				return err
			}
		}
		status, err := engine.Exec(found, options, [3]*os.File{input, os.Stdout, os.Stderr})
		if err != nil {
			return err
		}
		return exitCode(status)
	}
	return command
}

func findContainer(command *cobra.Command, name string) (*standalone.Engine, *standalone.Container, error) {
	engine, err := engine(command, true)
	if err != nil {
		return nil, nil, err
	}
	found, err := engine.Find(name)
	return engine, found, err
}

func stopCommand() *cobra.Command {
	var seconds int
	command := &cobra.Command{Use: "stop [OPTIONS] CONTAINER...", Short: "stop containers", Args: arguments(cobra.MinimumNArgs(1))}
	command.Flags().IntVarP(&seconds, "time", "t", 10, "`SECONDS` until it is killed")
	command.RunE = func(command *cobra.Command, args []string) error {
		return forEach(command, args, func(engine *standalone.Engine, found *standalone.Container) error {
			err := engine.Stop(found, time.Duration(seconds)*time.Second)
			var ended *standalone.NotRunningError
			if errors.As(err, &ended) {
				return nil
			}
			return err
		})
	}
	return command
}

func rmCommand() *cobra.Command {
	var force bool
	command := &cobra.Command{Use: "rm [OPTIONS] CONTAINER...", Short: "remove containers", Args: arguments(cobra.MinimumNArgs(1))}
	command.Flags().BoolVarP(&force, "force", "f", false, "kill one that runs")
	command.RunE = func(command *cobra.Command, args []string) error {
		return forEach(command, args, func(engine *standalone.Engine, found *standalone.Container) error {
			if engine.Alive(found) {
				if !force {
					return hinted{fmt.Errorf("container %s is running", found.Name), "stop it, or use -f"}
				}
				if err := engine.Stop(found, 0); err != nil {
					return err
				}
				if found.Options.Remove {
					return engine.AwaitRemoval(found, 10*time.Second)
				}
			}
			return engine.Remove(found)
		})
	}
	return command
}

// forEach does something to every named container, all of them even where one fails, and prints the names.
func forEach(command *cobra.Command, names []string, do func(*standalone.Engine, *standalone.Container) error) error {
	engine, err := engine(command, true)
	if err != nil {
		return err
	}
	for _, name := range names {
		found, findErr := engine.Find(name)
		if findErr == nil {
			findErr = do(engine, found)
		}
		if findErr == nil {
			fmt.Fprintln(command.OutOrStdout(), name)
		}
		err = errors.Join(err, findErr)
	}
	return err
}
