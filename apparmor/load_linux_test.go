// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel"
)

func TestProfileLinesAreSplitIntoNamespaceNameAndMode(t *testing.T) {
	for line, want := range map[string]Loaded{
		"docker-default (enforce)":              {Name: "docker-default", Mode: "enforce"},
		"/usr/bin/a b (c) (complain)":           {Name: "/usr/bin/a b (c)", Mode: "complain"},
		":lxd-c1_<var-lib-lxd>:/bin/x (kill)":   {Namespace: "lxd-c1_<var-lib-lxd>", Name: "/bin/x", Mode: "kill"},
		":outer//inner://firefox//hat (prompt)": {Namespace: "outer//inner", Name: "firefox//hat", Mode: "prompt"},
	} {
		if got, ok := parseLoaded(line); !ok || got != want {
			t.Errorf("%q: %+v %v, want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "x", " (enforce)", ":ns (enforce)", "::x (enforce)", ":ns:// (enforce)"} {
		if got, ok := parseLoaded(line); ok {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}

// kernelTree makes the files of a kernel that has the profiles a and a//hat, exported, and b, not exported.
func kernelTree(t *testing.T) *Host {
	t.Helper()
	directory := t.TempDir()
	for name, content := range map[string]string{
		".replace": "", ".load": "", ".remove": "",
		"profiles":                                      "b (enforce)\na//hat (enforce)\na (complain)\n",
		"policy/profiles/a.1/name":                      "a\n",
		"policy/profiles/a.1/attach":                    "/usr/bin/a\n",
		"policy/profiles/a.1/sha256":                    "aa\n",
		"policy/profiles/a.1/raw_sha256":                "bb\n",
		"policy/profiles/a.1/raw_data":                  "stream",
		"policy/profiles/a.1/profiles/hat.2/name":       "hat\n",
		"policy/profiles/a.1/profiles/hat.2/sha1":       "cc\n",
		"policy/profiles/b.3/name":                      "b\n",
		"policy/profiles/b.3/attach":                    "<unknown>\n",
		"policy/namespaces/inner/.replace":              "",
		"policy/namespaces/inner/namespaces/x/.replace": "",
	} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	host, err := OpenHost(directory)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func TestListReadsWhatTheKernelExports(t *testing.T) {
	host := kernelTree(t)
	list, err := host.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []Loaded{
		{Name: "a", Mode: "complain", Attach: "/usr/bin/a", Digest: "sha256:aa", Policy: "sha256:bb"},
		{Name: "a//hat", Mode: "enforce", Digest: "sha1:cc"},
		{Name: "b", Mode: "enforce"},
	}
	if len(list) != len(want) {
		t.Fatalf("%+v", list)
	}
	for i, one := range list {
		one.directory = ""
		if one != want[i] {
			t.Errorf("%+v, want %+v", one, want[i])
		}
	}
	if raw, err := host.Raw("a", ""); err != nil || string(raw) != "stream" {
		t.Errorf("%q %v", raw, err)
	}
	if _, err := host.Raw("b", ""); !errors.Is(err, errNotExported) {
		t.Errorf("%v", err)
	}
	var missing *LoadError
	if _, err := host.Raw("c", ""); !errors.As(err, &missing) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
}

func TestAKernelWithoutAppArmorIsNotSupported(t *testing.T) {
	if _, err := OpenHost(t.TempDir()); !errors.Is(err, kernel.ErrNotSupported) {
		t.Errorf("%v", err)
	}
}

func TestNamespacesAreDirectoriesOfTheirNames(t *testing.T) {
	host := kernelTree(t)
	for name, want := range map[string]string{"": "", "inner": "policy/namespaces/inner", "inner//x": "policy/namespaces/inner/namespaces/x"} {
		if got, err := host.namespace(name); err != nil || got != filepath.Join(host.directory, want) {
			t.Errorf("%q: %q %v", name, got, err)
		}
	}
	var missing *LoadError
	if _, err := host.namespace("gone"); !errors.As(err, &missing) || missing.Reason != "there is no such namespace" {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"..", "a/b", "a//..", "a//", ":x:"} {
		if _, err := host.namespace(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestErrnosOfTheKernelAreSaidInWords(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EPROTO: "the kernel cannot read the policy", unix.EPROTONOSUPPORT: "the policy has a version that this kernel does not know",
		unix.EACCES: "this process may not change policy here", unix.EPERM: "this process may not change policy here",
		unix.EEXIST: "it is there already", unix.ENOMEM: "the kernel has no memory for it", unix.EBUSY: "it is in use",
		unix.ENOENT: "the parent of a child profile or hat is neither in the policy nor loaded", unix.EIO: "the kernel refused it",
	} {
		var failed *LoadError
		if err := explain("load", errno); !errors.As(err, &failed) || failed.Reason != want || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	var failed *LoadError
	if err := explain("remove x", unix.ENOENT); !errors.As(err, &failed) || failed.Reason != "it is not loaded" {
		t.Errorf("%v", err)
	}
}
