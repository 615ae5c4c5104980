// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfiguredRuntimeIsTheOnlyCandidate(t *testing.T) {
	program := filepath.Join(t.TempDir(), "myrunc")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if inner, err := FindInner(program); err != nil || inner.Path != program || inner.Name() != "myrunc" {
		t.Errorf("got %v, %v", inner, err)
	}
	for _, name := range []string{program + "-gone", "no-such-runtime"} {
		_, err := FindInner(name)
		var none *InnerError
		if !errors.As(err, &none) || len(none.Reasons) != 1 || !strings.Contains(err.Error(), filepath.Base(name)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRuntimeIsFoundOutsidePATH(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	if path, err := lookPath("sh"); err != nil || filepath.Base(path) != "sh" || !filepath.IsAbs(path) {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestPlainDirectoriesAreNoHybridCgroups(t *testing.T) {
	root := t.TempDir()
	if hybridCgroups(root) || hybridCgroups(filepath.Join(root, "gone")) {
		t.Error("a directory without hierarchies is taken for hybrid")
	}
	if err := os.Mkdir(filepath.Join(root, "unified"), 0o755); err != nil {
		t.Fatal(err)
	}
	if hybridCgroups(root) {
		t.Error("a directory named unified is taken for a hierarchy")
	}
}
