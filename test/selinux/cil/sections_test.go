// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// section is one case of a file of testdata, which is compiled with base.cil. It begins with a line ";== " and its finding. Lines ";-- " say more: options of secilc,
// "later" for what 3.4 does not know, "until 3.4" for what later ones refuse, "because" and a reason for what we refuse and the reference does not.
type section struct {
	name, text   string
	options      []string
	later, until bool
	because      string
}

func sections(t testing.TB, file string) []section {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []section
	for line := range strings.Lines(string(data)) {
		name, begins := strings.CutPrefix(line, ";== ")
		said, says := strings.CutPrefix(line, ";-- ")
		switch {
		case begins:
			all = append(all, section{name: strings.TrimSpace(name)})
			continue
		case len(all) == 0:
			continue
		case says:
			all[len(all)-1].say(strings.TrimSpace(said))
		}
		all[len(all)-1].text += line
	}
	if len(all) == 0 {
		t.Fatalf("%s has no section", file)
	}
	return all
}

func (s *section) say(text string) {
	reason, because := strings.CutPrefix(text, "because ")
	switch {
	case because:
		s.because = reason
	case text == "later":
		s.later = true
	case text == "until 3.4":
		s.until = true
	default:
		s.options = append(s.options, strings.Fields(text)...)
	}
}

// with are the options with the version of the policy, where they do not say it.
func (s *section) with() []string {
	for _, option := range s.options {
		if option == "--policyvers" {
			return s.options
		}
	}
	return append([]string{"--policyvers", "33"}, s.options...)
}

// optionsOf are ours for secilc's.
func optionsOf(t testing.TB, arguments []string, order policydb.Order) cil.Options {
	t.Helper()
	options := cil.Options{Order: order}
	for i := 0; i < len(arguments); i++ {
		switch arguments[i] {
		case "--policyvers":
			i++
			version, err := strconv.Atoi(arguments[i])
			if err != nil {
				t.Fatal(err)
			}
			options.Version = uint32(version)
		case "--preserve-tunables":
			options.PreserveTunables = true
		case "--multiple-decls":
			options.MultipleDeclarations = true
		case "--optimize":
			options.Optimize = true
		case "--qualified-names":
			options.QualifiedNames = true
		case "--mls":
			i++
			mls := arguments[i] == "true"
			options.MLS = &mls
		case "--handle-unknown":
			i++
			unknown := map[string]policydb.UnknownPermissions{"allow": policydb.AllowUnknown, "deny": policydb.DenyUnknown, "reject": policydb.RejectUnknown}[arguments[i]]
			options.Unknown = &unknown
		case "--disable-dontaudit":
			options.DisableDontAudit = true
		case "--disable-neverallow":
			options.DisableNeverAllow = true
		case "--expand-generated":
			options.ExpandGenerated = true
		case "--expand-size":
			i++
			size, err := strconv.Atoi(arguments[i])
			if err != nil {
				t.Fatal(err)
			}
			if options.ExpandSize = size; size == 0 {
				options.ExpandSize = -1
			}
		default:
			t.Fatalf("secilc's option %s", arguments[i])
		}
	}
	return options
}

// ours compiles files.
func ours(t testing.TB, options cil.Options, files ...string) (policy, contexts []byte, err error) {
	t.Helper()
	sources := make([]cil.Source, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = cil.Source{Name: file, Text: text}
	}
	result, err := cil.Compile(sources, options)
	if err != nil {
		return nil, nil, err
	}
	policy, err = result.Policy.Encode()
	return policy, result.FileContexts, err
}

// written is a section in a file of its own.
func (s *section) written(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "section.cil")
	if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const base = "testdata/base.cil"

func TestStatementsGiveTheBytesOfTheReference(t *testing.T) {
	compared := 0
	for _, file := range []string{"rules.cil", "symbols.cil", "structure.cil", "options.cil"} {
		for _, section := range sections(t, file) {
			for _, reference := range references(t) {
				if section.later && !reference.later {
					continue
				}
				t.Run(reference.name+" "+section.name, func(t *testing.T) {
					same(t, reference, section.with(), base, section.written(t))
				})
				compared++
			}
		}
	}
	t.Logf("%d comparisons", compared)
}

// same compares policy and file contexts of what both must take.
func same(t *testing.T, reference secilc, options []string, files ...string) {
	t.Helper()
	want, wantContexts, err := reference.compile(t, options, files...)
	if err != nil {
		t.Fatalf("secilc %s refuses: %v", reference.name, err)
	}
	policy, contexts, err := ours(t, optionsOf(t, options, reference.order), files...)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(policy, want) {
		t.Errorf("the policy differs: %s", difference(t, want, policy))
	}
	if !bytes.Equal(contexts, wantContexts) {
		t.Errorf("the file contexts differ:\n%s\nwant:\n%s", contexts, wantContexts)
	}
}

func TestWhatTheReferenceRefusesIsRefused(t *testing.T) {
	for _, section := range sections(t, "rejected.cil") {
		for _, reference := range references(t) {
			if section.later && !reference.later {
				continue
			}
			t.Run(reference.name+" "+section.name, func(t *testing.T) {
				file := section.written(t)
				var refused *refusal
				if _, _, err := reference.compile(t, section.with(), base, file); !errors.As(err, &refused) {
					t.Fatalf("secilc %s takes it", reference.name)
				}
				refuses(t, optionsOf(t, section.with(), reference.order), file)
			})
		}
	}
}

// refuses wants an error with a place in the file.
func refuses(t *testing.T, options cil.Options, file string) {
	t.Helper()
	_, _, err := ours(t, options, base, file)
	if err == nil {
		t.Fatal("it is taken")
	}
	var finding source.Diagnostic
	if !errors.As(err, &finding) || finding.Position.Line == 0 || finding.Position.File != file && finding.Position.File != base {
		t.Errorf("an error without a place: %v", err)
	}
}

func TestWhereWeAreStricterThanTheReference(t *testing.T) {
	for _, section := range sections(t, "stricter.cil") {
		for _, reference := range references(t) {
			if section.later && !reference.later {
				continue
			}
			t.Run(reference.name+" "+section.name, func(t *testing.T) {
				if section.because == "" {
					t.Fatal("no reason is given")
				}
				file := section.written(t)
				_, _, err := reference.compile(t, section.with(), base, file)
				if taken := !section.until || reference.name == "3.4"; taken != (err == nil) {
					t.Fatalf("secilc %s takes it: %t, %v", reference.name, err == nil, err)
				}
				refuses(t, optionsOf(t, section.with(), reference.order), file)
			})
		}
	}
}

func TestWhereWeAreLaxerThanTheReference(t *testing.T) {
	for _, section := range sections(t, "laxer.cil") {
		for _, reference := range references(t) {
			t.Run(reference.name+" "+section.name, func(t *testing.T) {
				if section.because == "" {
					t.Fatal("no reason is given")
				}
				file := section.written(t)
				_, _, err := reference.compile(t, section.with(), base, file)
				if taken := section.until && reference.name == "3.4"; taken != (err == nil) {
					t.Fatalf("secilc %s takes it: %t, %v", reference.name, err == nil, err)
				}
				if _, _, err := ours(t, optionsOf(t, section.with(), reference.order), base, file); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestWhereOurPoliciesDifferFromTheReferences(t *testing.T) {
	for _, section := range sections(t, "differs.cil") {
		for _, reference := range references(t) {
			if section.later && !reference.later {
				continue
			}
			t.Run(reference.name+" "+section.name, func(t *testing.T) {
				if section.because == "" {
					t.Fatal("no reason is given")
				}
				file := section.written(t)
				want, _, err := reference.compile(t, section.with(), base, file)
				if err != nil {
					t.Fatal(err)
				}
				policy, _, err := ours(t, optionsOf(t, section.with(), reference.order), base, file)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(policy, want) {
					t.Error("the policies are the same: there is no difference to list")
				}
			})
		}
	}
}

// difference says in words what differs first.
func difference(t testing.TB, want, got []byte) string {
	t.Helper()
	reference, err := policydb.Decode(want)
	if err != nil {
		return "the reference's cannot be read: " + err.Error()
	}
	made, err := policydb.Decode(got)
	if err != nil {
		return "ours cannot be read: " + err.Error()
	}
	return firstDifference(reference, made)
}
