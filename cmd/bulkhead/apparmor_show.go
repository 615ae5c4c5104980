// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

func apparmorShow() *cobra.Command {
	var flags policyFlags
	var asJSON, asSource bool
	command := &cobra.Command{Use: "show [OPTIONS] POLICY [PROFILE...]", Short: "print what compiled or loaded profiles allow", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Print profiles as text, from their compiled tables: rules that mean what the tables say, not the words that they were written in. --source prints those.\n\n" + policyHelp}
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
		if text, ok := flags.asBuiltIn(command.Context(), s); ok && !asJSON {
			_, err := io.WriteString(out, text)
			return err
		}
		return s.show(command.Context(), out, args[1:], asJSON)
	}
	return command
}

// asBuiltIn returns the built-in text of a policy that is that text compiled: it reads better than rules found in the tables.
func (f *policyFlags) asBuiltIn(ctx context.Context, s *compiledSubject) (string, bool) {
	if len(s.policy.Profiles) != 1 {
		return "", false
	}
	text, ok := f.builtin(s.policy.Profiles[0].Name)
	if !ok {
		return "", false
	}
	same, err := f.compileSubject(ctx, s.name, text)
	if err != nil {
		return "", false
	}
	differences, err := apparmor.Diff(s.policy, same.policy, apparmor.DiffOptions{Witnesses: 1})
	return text, err == nil && len(differences) == 0
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

// shownProfile is what `bulkhead apparmor show --json` prints of each profile.
type shownProfile struct {
	Namespace  string                `json:"namespace,omitempty"`
	Name       string                `json:"name"`
	Mode       string                `json:"mode"`
	Attachment string                `json:"attachment,omitempty"`
	Version    int                   `json:"version"`
	Text       string                `json:"text"`
	Rules      []apparmor.MappedRule `json:"rules,omitempty"` // of the text that it was compiled from, where that is known
}

// show prints the profiles of the names, or all.
func (s *compiledSubject) show(ctx context.Context, out io.Writer, names []string, asJSON bool) error {
	policy := s.policy
	if len(names) > 0 {
		policy = &binary.Policy{}
		for _, name := range names {
			profile, _, err := s.find(name)
			if err != nil {
				return err
			}
			policy.Profiles = append(policy.Profiles, profile)
		}
	}
	if !asJSON {
		text, err := apparmor.Show(ctx, policy)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		_, err = io.WriteString(out, text)
		return err
	}
	shown := []shownProfile{}
	for _, profile := range policy.Profiles {
		text, err := apparmor.Show(ctx, &binary.Policy{Profiles: []*binary.Profile{profile}})
		if err != nil {
			return fmt.Errorf("%s: profile %s: %w", s.name, profile.Name, err)
		}
		one := shownProfile{Namespace: profile.Namespace, Name: profile.Name, Mode: modeName(profile.Mode), Attachment: profile.Attachment, Version: profile.Version.Kernel, Text: text}
		if s.places != nil {
			one.Rules = s.places.Profiles[mapKey(profile)].Rules
		}
		shown = append(shown, one)
	}
	return printJSON(out, shown)
}
