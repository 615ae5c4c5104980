// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFeaturesOfADirectoryAreThoseOfItsText(t *testing.T) {
	root := t.TempDir()
	want, _ := KernelFeatures("6.12")
	for path, value := range want.tree {
		name := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readFeatures(root)
	if err != nil || got.String() != want.String() {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNoFeaturesAreAnError(t *testing.T) {
	if features, err := readFeatures(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a directory that is not there: %v, %v", features, err)
	}
	if features, err := readFeatures(t.TempDir()); !errors.Is(err, ErrNoFeatures) {
		t.Errorf("of an empty directory: %v, %v", features, err)
	}
}
