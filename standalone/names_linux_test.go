// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
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

// A name is found though it is also what the IDs of others begin with.
func TestANameIsNotTakenForTheBeginningOfIDs(t *testing.T) {
	engine := &Engine{Host: &container.Host{State: t.TempDir(), Run: t.TempDir()}}
	for _, made := range []Container{{ID: "b1"}, {ID: "b2"}, {ID: "c1", Name: "b"}} {
		directory := filepath.Join(engine.containers(), made.ID)
		if err := os.MkdirAll(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := container.WriteJSON(filepath.Join(directory, "container.json"), made); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"b": "c1", "c": "c1", "b2": "b2", "": "", "d": ""} {
		if got, err := engine.Find(name); (err == nil) != (want != "") || err == nil && got.ID != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(engine.containers(), "c1")); err != nil {
		t.Fatal(err)
	}
	var usage *UsageError
	if _, err := engine.Find("b"); !errors.As(err, &usage) {
		t.Errorf("ambiguous: %v", err)
	}
}
