// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
)

func TestApplyCommandLinesThatAreRefused(t *testing.T) {
	for _, test := range []struct{ line, words string }{
		{"apply", "no module"},
		{"unapply", "no module"},
		{"apply module.pp", "module.pp: a module in CIL is in a file NAME.cil"},
		{"apply ../a..b.cil", `module name "a..b"`},
		{"unapply a..b.cil", `module name "a..b"`},
		{"apply --permissive 9a", `module name "9a"`},
		{"unapply --permissive a/b", `module name "a/b"`},
		{"apply --list x.cil", "go with no modules"},
		{"apply --list --store", "go with no modules"},
		{"apply --list --force", "takes no --force"},
		{"apply --selinux-mode=", `mode "", expected enforcing, permissive or disabled`},
		{"apply --selinux-mode permissive x.cil", "go with no modules"},
		{"apply --selinux-mode off", `mode "off", expected enforcing, permissive or disabled`},
		{"unapply --selinux-mode x", "--selinux-mode goes with no modules"},
	} {
		command := map[string]func() *cobra.Command{"apply": applyCommand, "unapply": unapplyCommand}[strings.Fields(test.line)[0]]()
		command.SetOut(&bytes.Buffer{})
		command.SetErr(&bytes.Buffer{})
		command.SilenceErrors, command.SilenceUsage = true, true
		command.SetArgs(strings.Fields(test.line)[1:])
		err := command.Execute()
		if status, _ := classify(err, 77); err == nil || !strings.Contains(err.Error(), test.words) || !errors.As(err, new(usageError)) {
			t.Errorf("%s: %v with status %d, want %q", test.line, err, status, test.words)
		}
	}
}

func TestModulesAreNamedByFilesAndDomains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.cil")
	if err := os.WriteFile(path, []byte("(type web_t)"), 0o600); err != nil {
		t.Fatal(err)
	}
	sources, err := readModules([]string{path}, []string{"sshd_t"})
	if err != nil || len(sources) != 2 || sources[0].Name != "web" || sources[0].File != path || sources[1].Name != "permissive_sshd_t" || string(sources[1].Text) != "(typepermissive sshd_t)\n" {
		t.Errorf("%+v, %v", sources, err)
	}
	names, err := moduleNames([]string{"/x/web.cil", "other"}, []string{"sshd_t"})
	if err != nil || strings.Join(names, " ") != "web other permissive_sshd_t" {
		t.Errorf("%v, %v", names, err)
	}
}

func TestRefusalsOfModulesHaveTheirStatus(t *testing.T) {
	_, lacking := cil.Compile([]cil.Source{{Name: "web.cil", Text: []byte("(type web_t) (typeattributeset container_domain (web_t))")}}, cil.Options{})
	for _, test := range []struct {
		err    error
		status int
		hint   string
	}{
		{&modules.LockOutError{Violations: []modules.Violation{{What: "w"}}}, exitRefused, "--force"},
		{&modules.NotReadyError{Violations: []modules.Violation{{What: "w"}}}, exitRefused, "--force"},
		{modules.ErrDisabling, exitRefused, "--force"},
		{&modules.NotAppliedError{Name: "x"}, 77, "--list"},
		{&modules.StoreError{Reason: "r", Hint: "h"}, 77, "h"},
		{lacking, 77, "container-policy"},
		{errors.New("x"), 77, ""},
	} {
		if status, hint := classify(applyRefusal(test.err), 77); status != test.status || !strings.Contains(hint, test.hint) {
			t.Errorf("%v: status %d, hint %q", test.err, status, hint)
		}
	}
}
