// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
)

func selinuxContexts() *cobra.Command {
	command := &cobra.Command{Use: "contexts COMMAND", Short: "contexts of paths and of what is made; contexts checked, changed and translated to names", Args: arguments(cobra.NoArgs),
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	command.AddCommand(contextsMatch(), contextsCheck(), contextsTranslate(), contextsCompute(), contextsValidateTransition())
	return command
}

// rootFlag is --root: the root of the file system whose configuration counts.
type rootFlag struct{ path string }

func (r *rootFlag) add(command *cobra.Command) {
	command.Flags().StringVar(&r.path, "root", "/", "the `DIRECTORY` whose etc/selinux counts")
}

// policyDirectory is where the configured policy has its files: libselinux takes targeted where none is configured.
func (r *rootFlag) policyDirectory() (string, error) {
	path := filepath.Join(r.path, selinux.ConfigFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", hinted{fmt.Errorf("no SELinux policy is configured: %w", err), "name the file: --file-contexts FILE or --setrans FILE"}
	}
	if err != nil {
		return "", err
	}
	kind := cmp.Or(selinux.ParseConfig(text).Type, "targeted")
	return filepath.Join(r.path, "etc/selinux", filepath.Base(kind)), nil
}

// fileContexts reads the file, or where none is named the configured policy's.
func (r *rootFlag) fileContexts(file string) (*filecontexts.Table, error) {
	if file != "" {
		return filecontexts.Load(file)
	}
	directory, err := r.policyDirectory()
	if err != nil {
		return nil, err
	}
	table, err := filecontexts.Load(filepath.Join(directory, "contexts/files/file_contexts"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted{err, "name the file: --file-contexts FILE"}
	}
	return table, err
}

// matchedContext is one answer of match.
type matchedContext struct {
	Path    string `json:"path"`
	Context string `json:"context,omitempty"`
	File    string `json:"file,omitempty"` // and line: what decided
	Line    int    `json:"line,omitempty"`
	Pattern string `json:"pattern,omitempty"`
}

func contextsMatch() *cobra.Command {
	var root rootFlag
	var file, mode string
	var bare, asJSON bool
	command := &cobra.Command{Use: "match [OPTIONS] PATH...", Short: "the context that file_contexts has for paths, with matchpathcon's options", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Print the context that file_contexts(5) has for each path, as matchpathcon(8) does: the type of the file is that of -m, or that of the file where it is there.\n" +
			"<<none>> is what is not labeled. --json says the line that decided."}
	root.add(command)
	flags := command.Flags()
	flags.StringVarP(&file, "file-contexts", "f", "", "`FILE` instead of the configured policy's; .homedirs, .local, .subs and .subs_dist beside it count")
	flags.StringVarP(&mode, "mode", "m", "", "the `TYPE` of the files: b c d f l p s")
	flags.BoolVarP(&bare, "no-paths", "n", false, "print contexts without their paths")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, paths []string) error {
		forced := filecontexts.AnyKind
		if mode != "" {
			var err error
			if forced, err = filecontexts.ParseKind(mode); err != nil {
				return usageError{err}
			}
		}
		table, err := root.fileContexts(file)
		if err != nil {
			return err
		}
		answers, err := matchAll(table, root.path, paths, forced)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), answers)
		}
		return printLines(command.OutOrStdout(), formatted(answers, func(answer matchedContext) string {
			context := cmp.Or(answer.Context, "<<none>>")
			if bare {
				return context
			}
			return answer.Path + "\t" + context
		}))
	}
	return command
}

func matchAll(table *filecontexts.Table, root string, paths []string, kind filecontexts.Kind) ([]matchedContext, error) {
	var answers []matchedContext
	for _, path := range paths {
		if path == "" {
			return nil, usageError{errors.New("an empty path")}
		}
		of := kind
		if info, err := os.Lstat(filepath.Join(root, path)); err == nil && kind == filecontexts.AnyKind {
			of = filecontexts.KindOf(info.Mode())
		}
		line, err := table.Match(path, of)
		if err != nil {
			return nil, err
		}
		answer := matchedContext{Path: path}
		if line != nil {
			answer.Context, answer.File, answer.Line, answer.Pattern = line.Context, line.File, line.Number, line.Pattern
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// checkedContext is one answer of check.
type checkedContext struct {
	Context string `json:"context"`
	Valid   bool   `json:"valid"`
	As      string `json:"as,omitempty"` // the kernel's own form
	Reason  string `json:"reason,omitempty"`
}

func contextsCheck() *cobra.Command {
	var from policyFlag
	var asJSON bool
	command := &cobra.Command{Use: "check [OPTIONS] CONTEXT...", Short: "say whether a policy takes contexts", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Say for each context whether the policy takes it, and how the kernel writes it. Exit with 1 if it does not take all."}
	from.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		var answers []checkedContext
		for _, text := range args {
			context, err := policy.ParseContext(text)
			if err != nil {
				answers = append(answers, checkedContext{Context: text, Reason: err.Error()})
				continue
			}
			answers = append(answers, checkedContext{Context: text, Valid: true, As: policy.FormatContext(context)})
		}
		if asJSON {
			err = printJSON(command.OutOrStdout(), answers)
		} else {
			err = printLines(command.OutOrStdout(), formatted(answers, func(answer checkedContext) string {
				if answer.Valid {
					return "valid\t" + answer.As
				}
				return "invalid\t" + answer.Reason
			}))
		}
		if err == nil && slices.ContainsFunc(answers, func(answer checkedContext) bool { return !answer.Valid }) {
			return exitCode(exitFailed)
		}
		return err
	}
	return command
}

// translatedContext is one answer of translate.
type translatedContext struct {
	Raw        string `json:"raw"`
	Translated string `json:"translated"`
}

func contextsTranslate() *cobra.Command {
	var root rootFlag
	var file string
	var toRaw, asJSON bool
	command := &cobra.Command{Use: "translate [OPTIONS] CONTEXT...", Short: "levels by the names of setrans.conf, or back", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Write the levels of contexts by the names that setrans.conf(5) has for them, as mcstransd(8) does, or with --raw the other way round. What has no name stays."}
	root.add(command)
	flags := command.Flags()
	flags.StringVar(&file, "setrans", "", "`FILE` instead of the configured policy's setrans.conf")
	flags.BoolVar(&toRaw, "raw", false, "from names to levels")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		switch {
		case file != "" && command.Flags().Changed("root"):
			return usageError{errors.New("--setrans or --root, not both")}
		case file == "":
			directory, err := root.policyDirectory()
			if err != nil {
				return err
			}
			file = filepath.Join(directory, "setrans.conf")
		}
		known, err := selinux.LoadTranslations(file)
		if err != nil {
			return err
		}
		answers := make([]translatedContext, len(args))
		for i, text := range args {
			if strings.Count(text, ":") < 3 {
				return hinted{fmt.Errorf("%q is no context with a level", text), "such as system_u:object_r:container_file_t:s0:c1,c2"}
			}
			if toRaw {
				answers[i] = translatedContext{known.Raw(text), text}
			} else {
				answers[i] = translatedContext{text, known.Translate(text)}
			}
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), answers)
		}
		return printLines(command.OutOrStdout(), formatted(answers, func(answer translatedContext) string {
			if toRaw {
				return answer.Raw
			}
			return answer.Translated
		}))
	}
	return command
}
