// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-project/bulkhead/container"
)

func TestNamesOfContainersThatAreGoneAreFreed(t *testing.T) {
	engine := &Engine{Host: &container.Host{State: t.TempDir(), Run: t.TempDir()}}
	there, err := engine.newContainer(Options{Name: "there"})
	if err != nil {
		t.Fatal(err)
	}
	making, err := engine.newContainer(Options{Name: "making"})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := engine.newContainer(Options{Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(making.directory, filepath.Join(engine.containers(), ".new-"+making.ID)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(gone.directory); err != nil {
		t.Fatal(err)
	}
	if err := engine.sweepNames(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Container{there, making, gone} {
		if _, err := os.Readlink(engine.namePath(c.Name)); (err == nil) != (c != gone) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	if _, err := engine.newContainer(Options{Name: "there"}); err == nil {
		t.Error("a name was taken twice")
	}
	left, err := filepath.Glob(filepath.Join(engine.containers(), ".new-*"))
	if err != nil || len(left) != 1 {
		t.Errorf("half made: %v, %v", left, err)
	}
}
