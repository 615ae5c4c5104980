// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
)

func labelCommand() *cobra.Command {
	command := &cobra.Command{Use: "label", Short: "SELinux labels on disk, and who holds which category pair",
		Long: "Labels of files on disk, in the extended attribute " + label.Attribute + ", which every kernel keeps, with SELinux or without. What files had is\n" +
			"journalled before the first change, so that undo restores it byte for byte; set again finishes what a killed one began."}
	command.AddCommand(labelPlan(), labelSet(), labelList(), labelUndo(), labelMCS())
	return command
}

// labelFlags are what plan and set are asked for.
type labelFlags struct {
	level, kind, mounts string
	take, asJSON        bool
}

func (f *labelFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.level, "level", "", "give files this `LEVEL`, such as s0:c1,c2 of one container, or s0 for all")
	flags.StringVar(&f.kind, "type", "container_file_t", "give files this `TYPE`")
	flags.StringVar(&f.mounts, "mounts", "refuse", "`WHAT` becomes of other mounts beneath PATH: refuse, skip, cross")
	flags.BoolVar(&f.take, "take", false, "label a tree also where its private label belongs to another container, or where containers use it that could not open its files any more")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
}

// asked is what plan and set are to do.
type asked struct {
	host   *container.Host
	path   string // symbolic links resolved
	label  string
	level  string
	holder string // who has the tree for itself, if another; only with take
	take   bool
	mounts label.Mounts
}

func (f *labelFlags) parse(path string) (*asked, error) {
	level, err := selinux.ParseRange(f.level)
	if err != nil {
		return nil, usageError{fmt.Errorf("--level %q: %w", f.level, err)}
	}
	mounts := slices.Index([]string{"skip", "refuse", "cross"}, f.mounts)
	if mounts < 0 {
		return nil, usageError{fmt.Errorf("--mounts=%s: refuse, skip or cross", f.mounts)}
	}
	made := &asked{label: "system_u:object_r:" + f.kind + ":" + level.String(), level: level.String(), take: f.take, mounts: label.Mounts(mounts)}
	context, err := selinux.ParseContext(made.label)
	if err != nil || context.Type != f.kind {
		return nil, usageError{fmt.Errorf("--type %q is no type", f.kind)}
	}
	if err := requireRoot(); err != nil {
		return nil, err
	}
	if made.host, err = openHost(); err != nil {
		return nil, err
	}
	return made, made.check(path)
}

// check finds the tree, and refuses it for what `bulkhead run` would refuse it.
func (a *asked) check(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	request := plan.Request{Volumes: []plan.Volume{{Source: path, Relabel: plan.RelabelPrivate}}, Take: a.take}
	request.Security.Label.Level = a.level
	if err := enforce.Survey(&request, a.host.Registry, ""); err != nil {
		return err
	}
	a.path = request.Volumes[0].Source
	a.holder = request.Volumes[0].Holder
	if err := plan.CheckVolumes(request); err != nil {
		return err
	}
	return container.CheckLabelling(a.path, label.Change{Label: a.label})
}

// treeReport is what plan, set and undo print.
type treeReport struct {
	Path   string `json:"path"`
	Label  string `json:"label,omitempty"`
	Holder string `json:"holder,omitempty"` // who has the tree for itself, if another
	*label.Report
	Seconds float64 `json:"seconds"` // that were spent; of a plan, about how many set would take
}

// planReport is what plan prints: what would change, and what would come of it.
type planReport struct {
	treeReport
	Users   []container.VolumeUser `json:"users,omitempty"`   // who has the tree mounted now
	Refused string                 `json:"refused,omitempty"` // why set refuses the tree unless with --take
	Access  []access               `json:"access"`
}

func labelPlan() *cobra.Command {
	var flags labelFlags
	var predict predictFlags
	command := &cobra.Command{Use: "plan --level LEVEL [--type TYPE] [OPTIONS] PATH", Short: "say what set would change, and who could read and write what then; change nothing", Args: arguments(cobra.ExactArgs(1)),
		Long: "Say what set would change, how long that would take, who has the tree mounted now, and who could read and write what afterwards: a container of that\n" +
			"level, another one, those that have it now, and those that --access names. It is what SELinux says, by the host's policy or another (--policy); file\n" +
			"modes and other layers come besides. On a host without a policy it goes by the categories alone."}
	flags.add(command)
	predict.add(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		asked, err := flags.parse(args[0])
		if err != nil {
			return err
		}
		options, finish := labelOptions(command.ErrOrStderr(), asked.mounts)
		report, err := label.Plan(asked.path, label.Change{Label: asked.label}, options)
		finish()
		if err != nil {
			return err
		}
		result := planReport{treeReport: treeReport{asked.path, asked.label, asked.holder, report, (report.Took + report.Estimate()).Seconds()}}
		if result.Users, err = asked.host.VolumeUsers(asked.path); err != nil {
			return err
		}
		if report.Changes > 0 {
			if result.Refused, err = reasonToRefuse(asked.host.CheckUsers(asked.path, asked.level, asked.take)); err != nil {
				return err
			}
		}
		if result.Access, err = predict.predict(asked, report, result.Users); err != nil {
			return err
		}
		if flags.asJSON {
			return printJSON(command.OutOrStdout(), result)
		}
		return printLabelPlan(command.OutOrStdout(), result)
	}
	return command
}

func printLabelPlan(out io.Writer, result planReport) error {
	fmt.Fprintf(out, "%s: %d of %d files would get %s, in about %.1f s\n", result.Path, result.Changes, result.Files, result.Label, result.Seconds)
	if result.Holder != "" {
		fmt.Fprintf(out, "it would be taken from %s\n", result.Holder)
	}
	for _, mount := range result.Mounts {
		fmt.Fprintf(out, "mounted beneath: %s\n", filepath.Join(result.Path, mount))
	}
	for _, user := range result.Users {
		fmt.Fprintf(out, "used now: %s, on %s%s\n", user, user.Destination, map[bool]string{true: ", read-only"}[user.ReadOnly])
	}
	if result.Refused != "" {
		fmt.Fprintf(out, "refused unless with --take: %s\n", result.Refused)
	}
	if len(result.From) > 0 {
		var rows [][]string
		for from, count := range result.From {
			rows = append(rows, []string{labelText(from), strconv.Itoa(count)})
		}
		slices.SortFunc(rows, slices.Compare)
		if err := printTable(out, []string{"NOW", "FILES"}, rows); err != nil {
			return err
		}
	}
	return printTable(out, []string{"AFTERWARDS", "PROCESS", "OBJECT", "READ", "WRITE", "WHY"}, accessRows(result.Access))
}

// labelText is a label as it is shown: "-" for none, and one that is no text quoted.
func labelText(text string) string {
	if text == "" {
		return "-"
	}
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

func labelSet() *cobra.Command {
	var flags labelFlags
	command := &cobra.Command{Use: "set --level LEVEL [--type TYPE] [OPTIONS] PATH", Short: "label a tree, so that undo can take it back", Args: arguments(cobra.ExactArgs(1)),
		Long: "Label every file beneath PATH. Files that have the label already are not written to. Refused with status 4: the root, the host's own trees and\n" +
			"what holds one, homes and what is hidden in them, other mounts beneath, files that other trees link to, a tree whose private label belongs to\n" +
			"another container, and with a private level a tree that others use now."}
	flags.add(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		asked, err := flags.parse(args[0])
		if err != nil {
			return err
		}
		if err := asked.host.Make(); err != nil {
			return err
		}
		options, finish := labelOptions(command.ErrOrStderr(), asked.mounts)
		options.Planned = func(*label.Report) error { return asked.host.CheckUsers(asked.path, asked.level, asked.take) }
		report, err := label.Set(asked.path, label.Change{Label: asked.label}, label.JournalPath(asked.host.State, asked.path), options)
		finish()
		if err == nil && asked.holder != "" {
			err = asked.host.Unclaim(asked.path, "")
		}
		if err != nil {
			return err
		}
		return printLabelling(command, treeReport{asked.path, asked.label, asked.holder, report, report.Took.Seconds()}, "labelled", flags.asJSON)
	}
	return command
}

func labelUndo() *cobra.Command {
	var asJSON, take bool
	command := &cobra.Command{Use: "undo [OPTIONS] PATH", Short: "give a tree back what it had before it was first labelled", Args: arguments(cobra.ExactArgs(1)),
		Long: "Give every file beneath PATH back the label and owner that it had before `bulkhead run -v PATH:...:z`, :Z or :U, or `bulkhead label set`. Files that\n" +
			"were replaced or removed since, or were given another owner by somebody else, are named and left alone."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().BoolVar(&take, "take", false, "also where a container has the tree as its private volume")
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := requireRoot(); err != nil {
			return err
		}
		host, err := openHost()
		if err != nil {
			return err
		}
		path, err := realPath(args[0])
		if err != nil {
			return err
		}
		if _, holder, claimed, err := host.Registry.Volume(path, ""); err != nil {
			return err
		} else if claimed && !take {
			return &plan.RefusedError{Subject: "volume " + path, Reason: "it is a private volume of container " + holder.ID, Hint: "remove that container, or take the tree from it with --take"}
		}
		options, finish := labelOptions(command.ErrOrStderr(), label.SkipMounts)
		report, err := label.Undo(path, label.JournalPath(host.State, path), options)
		finish()
		if err == nil && take {
			err = host.Unclaim(path, "")
		}
		if errors.Is(err, fs.ErrNotExist) {
			return hinted{fmt.Errorf("%s: nothing to undo", path), "only the very tree that was labelled has a journal"}
		}
		if err != nil {
			return err
		}
		return printLabelling(command, treeReport{Path: path, Report: report, Seconds: report.Took.Seconds()}, "restored", asJSON)
	}
	return command
}

func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// labelOptions draws a bar on a terminal; finish wipes it away.
func labelOptions(stderr io.Writer, mounts label.Mounts) (options label.Options, finish func()) {
	options = label.Options{Mounts: mounts}
	bar := newProgress(stderr)
	if bar == nil {
		return options, func() {}
	}
	options.Progress = bar.label
	return options, bar.wipe
}

func printLabelling(command *cobra.Command, result treeReport, verb string, asJSON bool) error {
	for _, left := range result.Left {
		fmt.Fprintf(command.ErrOrStderr(), "bulkhead: warning: not %s: %s: %s\n", verb, filepath.Join(result.Path, left.Path), left.Reason)
	}
	if asJSON {
		return printJSON(command.OutOrStdout(), result)
	}
	_, err := fmt.Fprintf(command.OutOrStdout(), "%s: %d of %d files %s in %.1f s\n", result.Path, result.Changes, result.Files, verb, result.Seconds)
	return err
}

// labelled is one file as ls shows it.
type labelled struct {
	Path  string `json:"path"`
	Label string `json:"label,omitempty"`
	Error string `json:"error,omitempty"`
}

func labelList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "ls [OPTIONS] PATH", Short: "list a file's label, and of a directory those of what it holds", Args: arguments(cobra.ExactArgs(1))}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		path := filepath.Clean(args[0])
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		paths := []string{path}
		if info.IsDir() {
			entries, err := os.ReadDir(path) // sorted
			if err != nil {
				return err
			}
			for _, entry := range entries {
				paths = append(paths, filepath.Join(path, entry.Name()))
			}
		}
		var list []labelled
		var rows [][]string
		for _, path := range paths {
			file := labelled{Path: path}
			if file.Label, err = label.ReadLink(path); err != nil {
				file.Error = err.Error()
			}
			list = append(list, file)
			rows = append(rows, []string{strings.TrimSpace(labelText(file.Label) + " " + file.Error), labelText(path)})
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), list)
		}
		return printTable(command.OutOrStdout(), []string{"LABEL", "PATH"}, rows)
	}
	return command
}
