// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	debian "github.com/bulkhead-project/bulkhead/test/selinux"
)

// debianModules returns the directory of Debian's policy and the files of all its modules, and of those that its package enables.
func debianModules(t testing.TB) (directory string, all, enabled []string) {
	t.Helper()
	directory, err := debian.Debian()
	if err != nil {
		t.Fatal(err)
	}
	all, err = filepath.Glob(filepath.Join(directory, "cil", "*.cil"))
	if err != nil || len(all) == 0 {
		t.Fatal(directory, err)
	}
	archives, err := filepath.Glob(filepath.Join(directory, "selinux-policy-default_*.deb"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("packages in %s: %q, %v", directory, archives, err)
	}
	script, err := exec.Command("dpkg-deb", "-I", archives[0], "postinst").Output()
	if err != nil {
		t.Fatal(err)
	}
	disabled := regexp.MustCompile(`(?m)^notdefault="(.*)"$`).FindSubmatch(script)
	if disabled == nil {
		t.Fatal("the package's script does not say which modules are not enabled")
	}
	for _, file := range all {
		if !slices.Contains(strings.Fields(string(disabled[1])), strings.TrimSuffix(filepath.Base(file), ".cil")) {
			enabled = append(enabled, file)
		}
	}
	return directory, all, enabled
}

// kept is what the reference makes of Debian's modules; it takes seconds, so that it is kept beside the modules.
func (s secilc) kept(t testing.TB, directory, name string, options, files []string) (policy, contexts []byte) {
	t.Helper()
	digest := sha256.Sum256([]byte(strings.Join(append(slices.Clone(options), files...), " ")))
	paths := []string{filepath.Join(directory, fmt.Sprintf("%s.%s.%x", name, s.name, digest[:4]))}
	paths = append(paths, paths[0]+".contexts")
	policy, err := os.ReadFile(paths[0])
	if err == nil {
		if contexts, err = os.ReadFile(paths[1]); err == nil {
			return policy, contexts
		}
	}
	if policy, contexts, err = s.compile(t, options, files...); err != nil {
		t.Fatalf("secilc %s: %v", s.name, err)
	}
	for i, data := range [][]byte{contexts, policy} { // the policy last: it says that both are there
		part := fmt.Sprintf("%s.%d", paths[1-i], os.Getpid())
		if err := os.WriteFile(part, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(part, paths[1-i]); err != nil {
			t.Fatal(err)
		}
	}
	return policy, contexts
}

// The installed policy of Debian 12 has 2,148,201 bytes, which secilc 3.4 makes of the modules that the package enables.
func TestDebiansPolicyIsTheReferencesToTheByte(t *testing.T) {
	directory, all, enabled := debianModules(t)
	for _, reference := range references(t) {
		options := []string{"--policyvers", "33"}
		if reference.later {
			options = append(options, "--multiple-decls") // spamassassin's file contexts come twice
		}
		for _, name := range []string{"all", "enabled"} {
			files := all
			if name == "enabled" {
				files = enabled
			}
			t.Run(fmt.Sprintf("%s, %d modules, %s", reference.name, len(files), name), func(t *testing.T) {
				want, wantContexts := reference.kept(t, directory, name, options, files)
				policy, contexts, err := ours(t, optionsOf(t, options, reference.order), files...)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(policy, want) {
					t.Errorf("%d bytes, want %d: %s", len(policy), len(want), difference(t, want, policy))
				}
				if !bytes.Equal(contexts, wantContexts) {
					t.Errorf("file contexts of %d bytes, want %d", len(contexts), len(wantContexts))
				}
				if name == "enabled" && !reference.later && strings.Contains(directory, "2.20221101-9") && len(policy) != 2148201 {
					t.Errorf("%d bytes, the installed policy has 2148201", len(policy))
				}
			})
		}
	}
}
