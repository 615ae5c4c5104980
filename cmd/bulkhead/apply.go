// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
)

// applyFlags are those that apply and unapply share.
type applyFlags struct {
	permissive    []string
	force, asJSON bool
}

func (f *applyFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&f.permissive, "permissive", nil, "the module by which the domain `TYPE` is permissive: what it is not allowed happens, and is logged")
	flags.BoolVar(&f.force, "force", false, "even if the policy would lock this machine out")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
}

func applyCommand() *cobra.Command {
	var flags applyFlags
	var mode string
	var store, list bool
	command := &cobra.Command{Use: "apply [OPTIONS] FILE.cil...", Short: "put SELinux modules onto the policy that the kernel runs, undoably",
		Long: "Compile modules in CIL onto the policy that the kernel runs, load the result and read it back. A module has the name of its file, and replaces the one of\n" +
			"that name. Nothing is changed where one does not compile, or where the policy would lock this machine out: where the caller, the processes that it\n" +
			"descends from, the first process or the kernel could do less to SELinux or to themselves than today, or a running process lost its context.\n\n" +
			"`bulkhead unapply` takes modules off again, in any order. Modules stay until the next boot; with --store the distribution's tools build them into its\n" +
			"next policy, too (`semodule -B`). With --selinux-mode nothing is compiled: the mode is changed in /etc/selinux/config and in the kernel, after the same\n" +
			"kind of check."}
	flags.add(command)
	command.Flags().BoolVar(&store, "store", false, "put the modules into the distribution's module store, too")
	command.Flags().BoolVar(&list, "list", false, "list the modules, and apply nothing")
	command.Flags().StringVar(&mode, "selinux-mode", "", "`MODE` of SELinux: enforcing, permissive or disabled")
	command.RunE = func(command *cobra.Command, args []string) error {
		named, setsMode := len(args)+len(flags.permissive) > 0, command.Flags().Changed("selinux-mode")
		switch {
		case list && (named || setsMode || store), setsMode && (named || store):
			return usageError{errors.New("--list and --selinux-mode go with no modules")}
		case list && flags.force:
			return usageError{errors.New("--list changes nothing, and takes no --force")}
		case list:
			return listModules(command.OutOrStdout(), flags.asJSON)
		case setsMode:
			return setMode(command, mode, flags)
		case !named:
			return usageError{errors.New("no module")}
		}
		sources, err := readModules(args, flags.permissive)
		if err != nil {
			return err
		}
		host, err := openModules()
		if err != nil {
			return err
		}
		result, err := host.Apply(sources, modules.Options{Force: flags.force, Store: store})
		return printApplied(command, result, err, flags.asJSON)
	}
	return command
}

func unapplyCommand() *cobra.Command {
	var flags applyFlags
	var mode bool
	command := &cobra.Command{Use: "unapply [OPTIONS] FILE.cil|NAME...", Short: "take off what `bulkhead apply` put on",
		Long: "Take modules off the policy that the kernel runs, and out of the distribution's module store where --store put them there. Where none is left, the policy\n" +
			"is the one that was there before the first. With --selinux-mode bring back the mode that was there before `bulkhead apply --selinux-mode`."}
	flags.add(command)
	command.Flags().BoolVar(&mode, "selinux-mode", false, "bring back the mode of SELinux")
	command.RunE = func(command *cobra.Command, args []string) error {
		named := len(args)+len(flags.permissive) > 0
		switch {
		case mode && named:
			return usageError{errors.New("--selinux-mode goes with no modules")}
		case mode:
			return restoreMode(command, flags)
		case !named:
			return usageError{errors.New("no module")}
		}
		names, err := moduleNames(args, flags.permissive)
		if err != nil {
			return err
		}
		host, err := openModules()
		if err != nil {
			return err
		}
		result, err := host.Unapply(names, modules.Options{Force: flags.force})
		return printApplied(command, result, err, flags.asJSON)
	}
	return command
}

// openModules opens the kernel's policy for a change.
func openModules() (*modules.Host, error) {
	if err := requireRoot(); err != nil {
		return nil, err
	}
	host, err := openHost()
	if err != nil {
		return nil, err
	}
	return modules.Open(host.Run, host.State)
}

func readModules(files, permissive []string) ([]modules.Source, error) {
	var sources []modules.Source
	for _, file := range files {
		name, err := modules.NameOf(file)
		if err != nil {
			return nil, usageError{err}
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		sources = append(sources, modules.Source{Name: name, File: file, Text: content})
	}
	for _, domain := range permissive {
		source, err := modules.Permissive(domain)
		if err != nil {
			return nil, usageError{err}
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// moduleNames takes the names of files and those of modules.
func moduleNames(args, permissive []string) ([]string, error) {
	var names []string
	for _, name := range args {
		if strings.HasSuffix(name, modules.Extension) {
			var err error
			if name, err = modules.NameOf(name); err != nil {
				return nil, usageError{err}
			}
		}
		names = append(names, name)
	}
	for _, domain := range permissive {
		source, err := modules.Permissive(domain)
		if err != nil {
			return nil, usageError{err}
		}
		names = append(names, source.Name)
	}
	return names, nil
}

// printApplied says what became of the modules, as far as the change came.
func printApplied(command *cobra.Command, result *modules.Result, err error, asJSON bool) error {
	if result != nil {
		stderr := command.ErrOrStderr()
		for _, warning := range result.Warnings {
			fmt.Fprintln(stderr, "bulkhead: warning:", oneLine(warning.Error()))
		}
		for _, violation := range result.Forced {
			fmt.Fprintln(stderr, "bulkhead: warning: loaded by force:", oneLine(violation.String()))
		}
		if result.Reloaded {
			fmt.Fprintln(stderr, "bulkhead: notice: another policy was loaded since the last change; the modules are on it now")
		}
		if printed := printOutcomes(command.OutOrStdout(), result, asJSON); err == nil {
			err = printed
		}
	}
	return applyRefusal(err)
}

func printOutcomes(out io.Writer, result *modules.Result, asJSON bool) error {
	if asJSON {
		return printJSON(out, result)
	}
	words := map[string]string{modules.Kept: "kept", modules.Applied: "applied", modules.Removed: "removed",
		modules.Contained: "in the policy that the distribution built, until its tools build another (semodule -B)"}
	for _, outcome := range result.Modules {
		stored := ""
		if outcome.Stored {
			stored = ", and in the module store"
		}
		if _, err := fmt.Fprintf(out, "%s: %s%s\n", outcome.Name, words[outcome.What], stored); err != nil {
			return err
		}
	}
	return nil
}

// applyRefusal gives the errors of package modules their exit status and their hint.
func applyRefusal(err error) error {
	var (
		lockOut  *modules.LockOutError
		notReady *modules.NotReadyError
		unknown  *modules.NotAppliedError
		store    *modules.StoreError
	)
	switch {
	case errors.As(err, &lockOut):
		return &plan.RefusedError{Subject: "SELinux", Reason: lockOut.Error(), Hint: "nothing was changed; --force loads it all the same"}
	case errors.As(err, &notReady):
		return &plan.RefusedError{Subject: "SELinux", Reason: notReady.Error(),
			Hint: "nothing was changed; files get their labels at a boot into permissive mode after touch /.autorelabel; --force enforces all the same"}
	case errors.Is(err, modules.ErrDisabling):
		return &plan.RefusedError{Subject: "SELinux", Reason: err.Error(), Hint: "permissive mode logs and denies nothing, and keeps labels; --force disables SELinux from the next boot on"}
	case errors.As(err, &unknown):
		return hinted{err, "`bulkhead apply --list` lists the modules that are"}
	case errors.As(err, &store):
		return hinted{err, store.Hint}
	case err != nil && strings.Contains(err.Error(), " container_domain is not declared"):
		return hinted{err, "`bulkhead selinux container-policy` prints the policy of containers, which the first container puts there, too: apply it with this one"}
	case errors.Is(err, fs.ErrPermission):
		return hinted{err, "it takes root in a domain with security { read_policy load_policy }, such as unconfined_t or sysadm_t"}
	}
	return err
}

func listModules(out io.Writer, asJSON bool) error {
	host, err := openModules()
	if err != nil {
		return err
	}
	list, err := host.List()
	if err != nil {
		return err
	}
	if asJSON {
		if list == nil {
			list = []modules.Listed{}
		}
		return printJSON(out, list)
	}
	var rows [][]string
	for _, module := range list {
		applied, stored := "-", "-"
		if !module.Applied.IsZero() {
			applied = module.Applied.Local().Format("2006-01-02 15:04:05")
		}
		if module.Stored {
			stored = "yes"
		}
		rows = append(rows, []string{module.Name, module.State, stored, applied, module.Digest[:12], orDash(module.File)})
	}
	return printTable(out, []string{"MODULE", "STATE", "STORED", "APPLIED", "DIGEST", "FILE"}, rows)
}
