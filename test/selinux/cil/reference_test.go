// SPDX-License-Identifier: Apache-2.0

// Package cil_test holds the CIL compiler against the reference, secilc, in two versions: this machine's (Debian 12: 3.4) and Debian 13's (3.8.1), which is
// fetched once into the user's cache.
package cil_test

import (
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/test/trixie"
)

//go:embed testdata/fetch.sh
var fetchScript string

// secilc is one version of the reference.
type secilc struct {
	name    string
	command []string
	order   policydb.Order // of its tables
	later   bool           // takes what the language has from 3.5 to 3.8 on
}

// references returns both versions.
func references(t testing.TB) []secilc {
	t.Helper()
	if _, err := exec.LookPath("secilc"); err != nil {
		t.Fatalf("%v (apt-get install secilc)", err)
	}
	root, err := fetch()
	if err != nil {
		t.Fatal(err)
	}
	later, err := trixie.Loader(root, "usr/bin/secilc")
	if err != nil {
		t.Fatal(err)
	}
	return []secilc{{"3.4", []string{"secilc"}, policydb.Libsepol34, false}, {"3.8.1", later, policydb.Libsepol36, true}}
}

// fetch returns the directory with Debian 13's secilc and the suites.
var fetch = sync.OnceValues(func() (string, error) { return trixie.Fetch("secilc-trixie", fetchScript) })

// refusal is what the reference wrote when it refused.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// compile runs the reference over files and returns the policy and the file contexts, or a *refusal.
func (s secilc) compile(t testing.TB, options []string, files ...string) (policy, contexts []byte, err error) {
	t.Helper()
	directory := t.TempDir()
	out := []string{filepath.Join(directory, "policy"), filepath.Join(directory, "contexts")}
	arguments := append(append(s.command[1:len(s.command):len(s.command)], options...), "-o", out[0], "-f", out[1])
	text, err := exec.Command(s.command[0], append(arguments, files...)...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil, nil, &refusal{string(text)}
	}
	if err != nil {
		t.Fatalf("secilc %s: %v: %s", s.name, err, text)
	}
	if policy, err = os.ReadFile(out[0]); err != nil {
		t.Fatal(err)
	}
	if contexts, err = os.ReadFile(out[1]); err != nil {
		t.Fatal(err)
	}
	return policy, contexts, nil
}
