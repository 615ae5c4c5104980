// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// policyJournal is where changes of loaded policy are kept until they are undone, or until the next boot.
func policyJournal() (apparmor.Journal, error) {
	host, err := openHost()
	if err != nil {
		return apparmor.Journal{}, err
	}
	return apparmor.Journal{Directory: filepath.Join(host.Run, "apparmor", "journal")}, nil
}

// openPolicy opens the kernel's AppArmor and the journal for a change.
func openPolicy() (*apparmor.Host, apparmor.Journal, error) {
	if err := requireRoot(); err != nil {
		return nil, apparmor.Journal{}, err
	}
	journal, err := policyJournal()
	if err != nil {
		return nil, journal, err
	}
	host, err := apparmor.OpenHost("")
	return host, journal, err
}

func apparmorLoad() *cobra.Command {
	var flags policyFlags
	var add bool
	command := &cobra.Command{Use: "load [OPTIONS] FILE...", Short: "load profiles into the kernel, undoably", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Load profiles: texts, which are compiled for this kernel first, or compiled policy; or bulkhead-default or docker-default, whose texts are built in. What a\n" +
			"profile replaces is kept, where the kernel exports it, and `bulkhead apparmor undo` brings it back. The kernel takes all of a file's profiles, or none."}
	flags.add(command)
	flags.addOutput(command)
	command.Flags().BoolVar(&add, "add", false, "fail if a profile of the same name is loaded")
	command.RunE = func(command *cobra.Command, args []string) error {
		var streams [][]byte
		for _, path := range args {
			some, err := flags.streams(command, path)
			if err != nil {
				return err
			}
			streams = append(streams, some...)
		}
		host, journal, err := openPolicy()
		if err != nil {
			return err
		}
		mode := apparmor.Replace
		if add {
			mode = apparmor.Add
		}
		for _, stream := range streams {
			change, err := journal.Load(host, stream, "", mode, false)
			if err != nil {
				return err
			}
			printChange(command.OutOrStdout(), change)
		}
		return nil
	}
	return command
}

// streams returns what is to be written for one file: a stream for each namespace.
func (f *policyFlags) streams(command *cobra.Command, path string) ([][]byte, error) {
	var policy *binary.Policy
	content, err := readText(path)
	switch text, builtin := f.builtin(path); {
	case err == nil && bytes.HasPrefix(content, magicVersion):
		if policy, err = f.adapt(path, content); err != nil {
			return nil, err
		}
	case err != nil && !builtin:
		return nil, err
	default:
		if err == nil {
			text = string(content)
		}
		options, err := f.options()
		if err != nil {
			return nil, err
		}
		compiled, err := f.compile(command.Context(), path, text, options)
		if err != nil {
			return nil, err
		}
		warn(command.ErrOrStderr(), compiled)
		policy = compiled.Policy
	}
	parts := policy.Split()
	if len(parts) == 1 && bytes.HasPrefix(content, magicVersion) && f.namespace == "" && !f.complain {
		return [][]byte{content}, nil
	}
	var streams [][]byte
	for _, part := range parts {
		stream, err := binary.Encode(part)
		if err != nil {
			return nil, err
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

// adapt decodes compiled policy and does what the options ask for to it.
func (f *policyFlags) adapt(path string, content []byte) (*binary.Policy, error) {
	policy, err := binary.Decode(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, profile := range policy.Profiles {
		if f.namespace != "" {
			profile.Namespace = f.namespace
		}
		profile.Version.ForceComplain = profile.Version.ForceComplain || f.complain
	}
	return policy, nil
}

func printChange(out io.Writer, change *apparmor.Change) {
	for _, profile := range change.Profiles {
		what := "loaded"
		switch {
		case change.Operation == "unload":
			what = "unloaded"
		case profile.Before == apparmor.BeforeLoaded:
			what = "replaced"
		case profile.Before == apparmor.BeforeUnknown:
			what = "replaced, and cannot be brought back"
		}
		fmt.Fprintf(out, "%s: %s\n", qualified(change.Namespace, profile.Name), what)
	}
}

func apparmorUnload() *cobra.Command {
	var namespace string
	command := &cobra.Command{Use: "unload [OPTIONS] PROFILE...", Short: "remove profiles from the kernel, undoably", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Remove profiles by their names, each with its children and hats. Processes under them are unconfined from then on. `bulkhead apparmor undo` loads them\n" +
			"again, where the kernel exports what it has."}
	command.Flags().StringVar(&namespace, "namespace", "", "of the profiles, as in :NAMESPACE://PROFILE")
	command.RunE = func(command *cobra.Command, args []string) error {
		host, journal, err := openPolicy()
		if err != nil {
			return err
		}
		for _, name := range args {
			inner, profile := splitName(name)
			if inner == "" {
				inner = namespace
			}
			change, err := journal.Unload(host, profile, inner)
			if err != nil {
				return err
			}
			printChange(command.OutOrStdout(), change)
		}
		return nil
	}
	return command
}

func apparmorUndo() *cobra.Command {
	var list, asJSON bool
	command := &cobra.Command{Use: "undo [OPTIONS]", Short: "take back the last load or unload", Args: arguments(cobra.NoArgs),
		Long: "Take back the last change that `bulkhead apparmor load` or unload, or a container's start, has made since the machine was booted: what it replaced or\n" +
			"removed is loaded again as it was, and what it brought is removed."}
	command.Flags().BoolVar(&list, "list", false, "list the changes, the last one first, and undo nothing")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if list {
			return listChanges(command.OutOrStdout(), asJSON)
		}
		host, journal, err := openPolicy()
		if err != nil {
			return err
		}
		change, err := journal.Undo(host)
		if errors.Is(err, apparmor.ErrNothingToUndo) {
			return hinted{err, "only changes since the last boot are kept"}
		}
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), change)
		}
		for _, profile := range change.Profiles {
			what := "removed"
			if profile.Before == apparmor.BeforeLoaded {
				what = "as before"
			}
			fmt.Fprintf(command.OutOrStdout(), "%s: %s\n", qualified(change.Namespace, profile.Name), what)
		}
		return nil
	}
	return command
}

func listChanges(out io.Writer, asJSON bool) error {
	journal, err := policyJournal()
	if err != nil {
		return err
	}
	changes, err := journal.Changes()
	if err != nil {
		return err
	}
	if asJSON {
		if changes == nil {
			changes = []apparmor.Change{}
		}
		return printJSON(out, changes)
	}
	var rows [][]string
	for i := len(changes) - 1; i >= 0; i-- {
		change := changes[i]
		var names []string
		for _, profile := range change.Profiles {
			names = append(names, qualified(change.Namespace, profile.Name))
		}
		rows = append(rows, []string{fmt.Sprint(change.Number), change.Time.Format("15:04:05"), change.Operation, shortened(names)})
	}
	return printTable(out, []string{"NUMBER", "TIME", "CHANGE", "PROFILES"}, rows)
}

func apparmorLs() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "ls [OPTIONS]", Short: "list loaded profiles", Args: arguments(cobra.NoArgs),
		Long: "List the profiles that are loaded, those of inner namespaces too, with the kernel's own hash of each."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		host, err := apparmor.OpenHost("")
		if err != nil {
			return err
		}
		list, err := host.List()
		if err != nil {
			return err
		}
		if asJSON {
			if list == nil {
				list = []apparmor.Loaded{}
			}
			return printJSON(command.OutOrStdout(), list)
		}
		var rows [][]string
		for _, one := range list {
			rows = append(rows, []string{one.String(), one.Mode, orDash(one.Attach), orDash(shortDigest(one.Digest))})
		}
		return printTable(command.OutOrStdout(), []string{"PROFILE", "MODE", "ATTACHMENT", "DIGEST"}, rows)
	}
	return command
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// shortDigest is enough of a hash to tell two profiles apart.
func shortDigest(digest string) string {
	algorithm, sum, ok := strings.Cut(digest, ":")
	if !ok || len(sum) < 12 {
		return digest
	}
	return algorithm + ":" + sum[:12]
}

func apparmorFeatures() *cobra.Command {
	return &cobra.Command{Use: "features [KERNEL]", Short: "print what a kernel can mediate", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "Print the features of the running kernel, or of one that is named as for --kernel, as a features file: the form that --kernel and --abi read.",
		RunE: func(command *cobra.Command, args []string) error {
			flags := policyFlags{kernel: "host"}
			if len(args) == 1 {
				flags.kernel = args[0]
			}
			features, err := flags.features()
			if err != nil {
				return err
			}
			_, err = io.WriteString(command.OutOrStdout(), features.String())
			return err
		}}
}
