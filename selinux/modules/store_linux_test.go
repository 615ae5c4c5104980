// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// distribution gives the machine a module store, and returns what has the modules of priority 400.
func (k *kernelOf) distribution() string {
	k.t.Helper()
	write(k.t, filepath.Join(k.host.Root, "etc/selinux/config"), "# SELINUXTYPE=mls\nSELINUX=enforcing\nSELINUXTYPE=default\n")
	write(k.t, filepath.Join(k.host.Root, "etc/selinux/semanage.conf"), "module-store = direct\nstore-root = /srv/store\n")
	modules := filepath.Join(k.host.Root, "srv/store/default/active/modules")
	write(k.t, filepath.Join(modules, "100/base/cil"), "()")
	return filepath.Join(modules, storePriority)
}

// rebuild is what semodule -B does, with the modules of the store.
func (k *kernelOf) rebuild(modules string) {
	k.t.Helper()
	texts, err := filepath.Glob(filepath.Join(modules, "*", "cil"))
	if err != nil {
		k.t.Fatal(err)
	}
	var sources []Source
	for _, path := range texts {
		content, err := os.ReadFile(path)
		if err != nil {
			k.t.Fatal(err)
		}
		sources = append(sources, Source{Name: filepath.Base(filepath.Dir(path)), Text: content})
	}
	var policy *policydb.Policy
	if policy, _, err = compileLines(newerPolicy(k.t), sources); err != nil {
		k.t.Fatal(err)
	}
	k.install(policy)
}

func TestAStoredModuleIsInTheNextPolicyAndNotAddedTwice(t *testing.T) {
	k := newKernel(t)
	modules := k.distribution()
	if result := k.apply(Options{Store: true}, one, two); !result.Modules[0].Stored || !result.Modules[1].Stored {
		t.Errorf("%+v", result)
	}
	for name, want := range map[string]string{"one/cil": "type one_t", "one/lang_ext": "cil", "two/lang_ext": "cil"} {
		if content, err := os.ReadFile(filepath.Join(modules, name)); err != nil || string(content) != want {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	for name, want := range map[string]os.FileMode{"one": 0o700, "one/cil": 0o600, "one/lang_ext": 0o600} {
		if info, err := os.Stat(filepath.Join(modules, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	k.apply(Options{}, three)
	k.rebuild(modules)
	if got := k.listed(); got != "one contained, two contained, three lost" {
		t.Error(got)
	}
	result, err := k.host.Ensure(one, three)
	if err != nil || result.Modules[0].What != Contained || result.Modules[2].What != Applied || k.has("one_t", "two_t", "three_t", "newer_t") != "one_t two_t three_t newer_t" {
		t.Errorf("%+v, %v with %s", result, err, k.has("one_t", "two_t", "three_t", "newer_t"))
	}
	loads := k.loads
	if result := k.unapply("two"); result.Modules[2].What != Contained || k.loads != loads {
		t.Errorf("%+v after %d loads", result, k.loads-loads)
	}
	if entries, err := os.ReadDir(modules); err != nil || len(entries) != 1 {
		t.Errorf("the store has %v, %v", entries, err)
	}
	k.rebuild(modules)
	if got := k.has("one_t", "two_t"); got != "one_t" {
		t.Errorf("after the next build: %s", got)
	}
}

func TestAStoredModuleOutlivesABoot(t *testing.T) {
	k := newKernel(t)
	modules := k.distribution()
	k.apply(Options{Store: true}, one)
	for _, built := range []bool{true, false} {
		write(t, filepath.Join(k.host.SELinux.Proc, "sys/kernel/random/boot_id"), fmt.Sprint("boot ", built))
		k.install(guestPolicy(t))
		want := "one stored"
		if built {
			k.rebuild(modules)
			want = "one contained"
		}
		if got := k.listed(); got != want {
			t.Errorf("built %t: %s", built, got)
		}
		if result, err := k.host.Ensure(one); err != nil || result.Loaded == built || k.has("one_t") != "one_t" {
			t.Errorf("built %t: %+v, %v", built, result, err)
		}
	}
	write(t, filepath.Join(k.host.SELinux.Proc, "sys/kernel/random/boot_id"), "the last")
	k.install(guestPolicy(t))
	if result := k.unapply("one"); result.Modules[0].What != Removed || k.listed() != "" {
		t.Errorf("%+v, %s", result, k.listed())
	}
	if _, err := os.Stat(filepath.Join(modules, "one")); !os.IsNotExist(err) {
		t.Errorf("still in the store: %v", err)
	}
}

func TestAModuleOfSomebodyElsesStaysInTheStore(t *testing.T) {
	k := newKernel(t)
	modules := k.distribution()
	write(t, filepath.Join(modules, "one/cil"), "theirs")
	_, err := k.host.Apply([]Source{one}, Options{Store: true})
	var refused *StoreError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "that is not Bulkhead's") {
		t.Error(err)
	}
	if k.listed() != "" || k.has("one_t") != "" {
		t.Errorf("it is loaded all the same: %s", k.listed())
	}
	if content, err := os.ReadFile(filepath.Join(modules, "one/cil")); err != nil || string(content) != "theirs" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestWithoutAModuleStoreNothingIsStored(t *testing.T) {
	k := newKernel(t)
	write(t, filepath.Join(k.host.Root, "etc/selinux/config"), "SELINUXTYPE=default\n")
	if _, err := k.host.Apply([]Source{one}, Options{Store: true}); !errors.As(err, new(*StoreError)) {
		t.Error(err)
	}
	write(t, filepath.Join(k.host.Root, "etc/selinux/config"), "SELINUXTYPE=../..\n")
	if _, err := k.host.Apply([]Source{one}, Options{Store: true}); err == nil || !strings.Contains(err.Error(), `SELINUXTYPE="../.."`) {
		t.Error(err)
	}
}
