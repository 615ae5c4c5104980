// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/internal/vm"
	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// load is what the distribution's tools do in the end.
func load(t *testing.T, content []byte) {
	t.Helper()
	if err := os.WriteFile(selinuxfs+"/load", content, 0); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func semodule(t *testing.T, words ...string) string {
	t.Helper()
	got := run(t, append([]string{"/usr/sbin/semodule"}, words...)...)
	if got.status != 0 {
		t.Fatalf("semodule %s: exit %d: %s", strings.Join(words, " "), got.status, got.stderr)
	}
	return got.stdout
}

// distribution gives the guest a module store with its own policy as the only module, and loads what semodule builds of it.
func distribution(t *testing.T) {
	t.Helper()
	write(t, "/etc/selinux/config", "# of the guest\nSELINUX=enforcing\nSELINUXTYPE=guest\n")
	write(t, "/etc/selinux/semanage.conf", "module-store = direct\nexpand-check = 0\n")
	for _, directory := range []string{"/etc/selinux/guest/policy", "/etc/selinux/guest/contexts/files", "/var/lib/selinux"} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	base := filepath.Join(t.TempDir(), "base.cil")
	write(t, base, vm.GuestPolicy())
	semodule(t, "-X", "100", "-i", base)
}

func TestWithSemodule(t *testing.T) {
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run test/selinux/modules/run.sh")
	}
	vmtest.Require(t, vmtest.SELinux)
	before := policy(t)
	t.Cleanup(func() { load(t, before) })
	distribution(t)
	built := policy(t)
	t.Run("a rebuild drops what is not stored, and it is put back", func(t *testing.T) {
		require(t)
		bulk(t, "apply", "testdata/web.cil")
		semodule(t, "-B")
		isListed(t, "web lost")
		if got := knows(t, "web_t"); got != "" {
			t.Errorf("known after the rebuild: %s", got)
		}
		if got := run(t, bulkhead, "apply", "testdata/logs.cil"); got.status != 0 || !strings.Contains(got.stderr, "another policy was loaded") {
			t.Errorf("%+v", got)
		}
		isListed(t, "web loaded, logs loaded")
		bulk(t, "unapply", "web", "logs")
	})
	t.Run("a rebuild has what is stored", func(t *testing.T) {
		require(t)
		if got := bulk(t, "apply", "--store", "testdata/web.cil"); got != "web: applied, and in the module store\n" {
			t.Errorf("%q", got)
		}
		bulk(t, "apply", "testdata/logs.cil")
		if got := strings.Fields(semodule(t, "-lfull")); strings.Join(got, " ") != "400 web cil 100 base cil" {
			t.Errorf("semodule lists %v", got)
		}
		semodule(t, "-B")
		if got := knows(t, "web_t", "logs.file"); got != "web_t" {
			t.Errorf("known after the rebuild: %s", got)
		}
		isListed(t, "web contained, logs lost")
		bulk(t, "apply", "testdata/logs.cil")
		isListed(t, "web contained, logs loaded")
		if got := knows(t, "web_t", "logs.file"); got != "web_t logs.file" {
			t.Errorf("known: %s", got)
		}
		if got := bulk(t, "unapply", "logs", "web"); !strings.Contains(got, "web: in the policy that the distribution built") {
			t.Errorf("%q", got)
		}
		if got := strings.Fields(semodule(t, "-lfull")); strings.Join(got, " ") != "100 base cil" {
			t.Errorf("semodule lists %v", got)
		}
		semodule(t, "-B")
	})
	if string(built) != string(policy(t)) {
		t.Error("the policy that semodule builds is another at the end")
	}
}

// Debian's policy is fifty times as large as the guest's.
func TestOnDebiansPolicy(t *testing.T) {
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run test/selinux/modules/run.sh")
	}
	vmtest.Require(t, vmtest.SELinux)
	before := policy(t)
	t.Cleanup(func() { load(t, before) })
	// The guest's files have no labels of this policy.
	enforce := func(word string) {
		if err := os.WriteFile(selinuxfs+"/enforce", []byte(word), 0); err != nil {
			t.Error(err)
		}
	}
	enforce("0")
	t.Cleanup(func() { enforce("1") })
	debian, err := os.ReadFile("/policies/debian")
	if err != nil {
		t.Fatal(err)
	}
	load(t, debian)
	t.Run("a module comes and goes", func(t *testing.T) {
		asBefore(t)
		module := filepath.Join(t.TempDir(), "small.cil")
		write(t, module, "(type small_t)\n(roletype system_r small_t)\n(typeattributeset domain (small_t))\n(allow small_t etc_t (file (read open)))\n")
		start := time.Now()
		bulk(t, "apply", module)
		t.Logf("applied after %v of this emulated machine", time.Since(start))
		if got := bulk(t, "selinux", "query", "-A", "-s", "small_t", "--ds"); got != "allow small_t etc_t:file { open read };\n" {
			t.Errorf("%q", got)
		}
		bulk(t, "unapply", "small")
	})
}
