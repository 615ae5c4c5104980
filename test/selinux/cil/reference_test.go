// SPDX-License-Identifier: Apache-2.0

// Package cil_test holds the CIL compiler against the reference, secilc, in two versions: this machine's (Debian 12: 3.4) and Debian 13's (3.8.1), which is
// fetched once into the user's cache.
package cil_test

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
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
	loaders, err := filepath.Glob(filepath.Join(root, "usr/lib/*/ld-linux*.so.*"))
	if err != nil || len(loaders) != 1 {
		t.Fatalf("dynamic loaders in %s: %q, %v", root, loaders, err)
	}
	later := []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), filepath.Join(root, "usr/bin/secilc")}
	return []secilc{{"3.4", []string{"secilc"}, policydb.Libsepol34, false}, {"3.8.1", later, policydb.Libsepol36, true}}
}

// fetch returns the directory with Debian 13's secilc and the suites; the first process to want it fetches, others wait.
var fetch = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	directory := filepath.Join(cache, "bulkhead", "secilc-trixie-2")
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(directory+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	if out, err := exec.Command("sh", "-c", fetchScript, "fetch.sh", directory).CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Debian 13's secilc: %w: %s", err, out)
	}
	return directory, nil
})

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
