// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp"
)

func dockersPolicy(t testing.TB, capabilities ...string) *seccomp.Policy {
	t.Helper()
	policy, _, err := seccomp.Docker().Resolve(seccomp.Target{Architecture: "amd64", Capabilities: capabilities, Kernel: seccomp.Version{Major: 6, Minor: 18}})
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func mustCompile(t testing.TB, filters Filters, policy *seccomp.Policy) *seccomp.Filter {
	t.Helper()
	filter, err := filters.Compile(policy)
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

func kept(t *testing.T, filters Filters) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filters.Directory, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// marked replaces the kept filter of the policy by one that answers otherwise, as if compiled so, and returns it.
func marked(t *testing.T, filters Filters, policy *seccomp.Policy) *seccomp.Filter {
	t.Helper()
	other := mustCompile(t, Filters{Directory: t.TempDir()}, &seccomp.Policy{Default: seccomp.Errno | 99, ABIs: policy.ABIs})
	key, err := filters.key(policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := filters.write(filepath.Join(filters.Directory, fmt.Sprintf("%x", key)), key, other); err != nil {
		t.Fatal(err)
	}
	return other
}

func TestFiltersAreKept(t *testing.T) {
	filters := Filters{Directory: filepath.Join(t.TempDir(), "filters"), Kernel: "6.18.0"}
	policy := dockersPolicy(t, "CAP_KILL")
	compiled := mustCompile(t, filters, policy)
	if paths := kept(t, filters); len(paths) != 1 {
		t.Fatalf("kept %v", paths)
	}
	if info, err := os.Stat(filters.Directory); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	if again := mustCompile(t, filters, policy); !reflect.DeepEqual(again, compiled) {
		t.Error("the filter comes back as another one")
	}
	other := marked(t, filters, policy)
	if again := mustCompile(t, filters, policy); !reflect.DeepEqual(again, other) {
		t.Error("a kept filter is not used")
	}
	for name, otherwise := range map[string]func() *seccomp.Filter{
		"Kernel":       func() *seccomp.Filter { return mustCompile(t, Filters{filters.Directory, "6.18.1"}, policy) },
		"Capabilities": func() *seccomp.Filter { return mustCompile(t, filters, dockersPolicy(t, "CAP_SYS_ADMIN")) },
	} {
		if reflect.DeepEqual(otherwise(), other) {
			t.Errorf("%s: the filter of another policy was used", name)
		}
	}
	if paths := kept(t, filters); len(paths) != 3 {
		t.Errorf("kept %v", paths)
	}
}

func TestKeptFilterThatIsNotAsItWasWrittenIsNotUsed(t *testing.T) {
	policy := dockersPolicy(t)
	for name, spoil := range map[string]func(path string) error{
		"ReadableByOthers": func(path string) error { return os.Chmod(path, 0o644) },
		"AnotherOwner":     func(path string) error { return os.Chown(path, 1000, 1000) },
		"Cut":              func(path string) error { return os.Truncate(path, 200) },
		"Empty":            func(path string) error { return os.Truncate(path, 0) },
		"Changed": func(path string) error {
			content, err := os.ReadFile(path)
			content[60] ^= 1
			return errors.Join(err, os.WriteFile(path, content, 0))
		},
		"Link": func(path string) error {
			return errors.Join(os.Rename(path, path+".elsewhere"), os.Symlink(path+".elsewhere", path))
		},
		"Directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o600)) },
	} {
		filters := Filters{Directory: t.TempDir()}
		compiled := mustCompile(t, filters, policy)
		path := kept(t, filters)[0]
		other := marked(t, filters, policy)
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		got := mustCompile(t, filters, policy)
		if reflect.DeepEqual(got, other) || !reflect.DeepEqual(got, compiled) {
			t.Errorf("%s: it was used", name)
		}
		if key, _ := filters.key(policy); name != "Directory" {
			if _, err := readFilter(path, key); err != nil {
				t.Errorf("%s: it was not replaced: %v", name, err)
			}
		}
	}
}

func TestFilterOfAnotherPolicyUnderItsNameIsNotUsed(t *testing.T) {
	filters := Filters{Directory: t.TempDir()}
	mustCompile(t, filters, dockersPolicy(t))
	path := kept(t, filters)[0]
	wide := dockersPolicy(t, "CAP_SYS_ADMIN")
	mustCompile(t, filters, wide)
	key, _ := filters.key(wide)
	if err := os.Rename(path, filepath.Join(filters.Directory, fmt.Sprintf("%x", key))); err != nil {
		t.Fatal(err)
	}
	want, err := seccomp.Compile(wide)
	if got := mustCompile(t, filters, wide); err != nil || !reflect.DeepEqual(got, want) {
		t.Error("it was used")
	}
}

func TestWithoutAPlaceFiltersAreCompiled(t *testing.T) {
	policy := dockersPolicy(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if filter := mustCompile(t, Filters{Directory: filepath.Join(file, "filters")}, policy); len(filter.Program) == 0 {
		t.Error("no program")
	}
	if _, err := (Filters{Directory: t.TempDir()}).Compile(&seccomp.Policy{}); err == nil {
		t.Error("a policy for no architecture was compiled")
	}
}

func TestKeptFiltersAreBounded(t *testing.T) {
	filters := Filters{Directory: t.TempDir()}
	for i := range maximumFilters {
		if err := os.WriteFile(filepath.Join(filters.Directory, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustCompile(t, filters, dockersPolicy(t))
	if paths := kept(t, filters); len(paths) == 0 || len(paths) > maximumFilters/2+1 {
		t.Errorf("%d files are kept", len(paths))
	}
}

func BenchmarkFilters(b *testing.B) {
	policy := dockersPolicy(b)
	filters := Filters{Directory: b.TempDir(), Kernel: "6.18.0"}
	b.Run("compiled", func(b *testing.B) {
		for b.Loop() {
			if _, err := seccomp.Compile(policy); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			mustCompile(b, filters, policy)
		}
	})
}
