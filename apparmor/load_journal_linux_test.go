// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// stream makes compiled policy of profiles that allow nothing.
func stream(t *testing.T, names ...string) []byte {
	t.Helper()
	automaton, err := dfa.Compile(context.Background(), nil, func([]int) (dfa.Accept, error) { return dfa.Accept{}, nil }, dfa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	policy := &binary.Policy{}
	for _, name := range names {
		policy.Profiles = append(policy.Profiles, &binary.Profile{Version: binary.Version{Kernel: 5, Parser: 2, Policy: 2}, Name: name, File: &binary.Rules{Automaton: automaton}})
	}
	encoded, err := binary.Encode(policy)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// put writes a file of the pretended kernel.
func put(t *testing.T, h *Host, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.directory, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func got(t *testing.T, h *Host, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(h.directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestUndoLoadsAgainWhatALoadReplaced(t *testing.T) {
	host, journal := kernelTree(t), Journal{filepath.Join(t.TempDir(), "journal")}
	before, loaded := stream(t, "a"), stream(t, "a", "c")
	put(t, host, "policy/profiles/a.1/raw_data", before)
	change, err := journal.Load(host, loaded, "", Replace, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []ChangedProfile{{Name: "a", Before: BeforeLoaded, File: "0.bin"}, {Name: "c", Before: BeforeAbsent}}
	if !slices.Equal(change.Profiles, want) || change.Number != 1 {
		t.Errorf("%+v", change)
	}
	if !bytes.Equal(got(t, host, ".replace"), loaded) {
		t.Error("the kernel was given something else")
	}
	put(t, host, ".replace", nil)
	if _, err := journal.Undo(host); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got(t, host, ".replace"), before) {
		t.Error("what was there was not loaded again")
	}
	if removed := got(t, host, ".remove"); string(removed) != "c" {
		t.Errorf("removed %q, want the profile that was new", removed)
	}
	if _, err := journal.Undo(host); !errors.Is(err, ErrNothingToUndo) {
		t.Errorf("%v", err)
	}
}

func TestUndoTouchesOnlyTheProfilesOfTheChange(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	put(t, host, "policy/profiles/a.1/raw_data", stream(t, "x", "a", "y"))
	if _, err := journal.Load(host, stream(t, "a"), "", Replace, false); err != nil {
		t.Fatal(err)
	}
	put(t, host, ".replace", nil)
	if _, err := journal.Undo(host); err != nil {
		t.Fatal(err)
	}
	policy, err := binary.Decode(got(t, host, ".replace"))
	if err != nil || len(policy.Profiles) != 1 || policy.Profiles[0].Name != "a" {
		t.Errorf("%+v %v", policy, err)
	}
}

func TestUnloadIsUndoneWithTheChildren(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	before := stream(t, "a", "a//hat")
	put(t, host, "policy/profiles/a.1/raw_data", before)
	put(t, host, "policy/profiles/a.1/profiles/hat.2/raw_data", before)
	change, err := journal.Unload(host, "a", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(change.Profiles) != 2 || string(got(t, host, ".remove")) != "a" {
		t.Errorf("%+v", change)
	}
	if _, err := journal.Undo(host); err != nil || !bytes.Equal(got(t, host, ".replace"), before) {
		t.Errorf("%v", err)
	}
}

func TestWhatTheKernelDoesNotExportCannotBeUndoneAndIsSaid(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	change, err := journal.Load(host, stream(t, "b"), "", Replace, false)
	if err != nil || change.Profiles[0].Before != BeforeUnknown {
		t.Fatalf("%+v %v", change, err)
	}
	if _, err := journal.Undo(host); !errors.Is(err, errNotExported) {
		t.Errorf("%v", err)
	}
}

func TestWhatTheKernelWouldRefuseIsNotWritten(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	good := stream(t, "n")
	for name, bad := range map[string][]byte{"empty": nil, "text": []byte("profile x { }"), "cut off": good[:len(good)-1], "half": good[:len(good)/2]} {
		if _, err := journal.Load(host, bad, "", Replace, false); err == nil {
			t.Errorf("%s: loaded", name)
		}
		if written := got(t, host, ".replace"); len(written) != 0 {
			t.Errorf("%s: the kernel was given %d bytes", name, len(written))
		}
	}
	if changes, err := journal.Changes(); err != nil || len(changes) != 0 {
		t.Errorf("%+v %v", changes, err)
	}
}

func TestNamespaceThatALoadMakesIsRemovedByUndo(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	if _, err := journal.Load(host, stream(t, "n"), "new", Replace, false); err == nil {
		t.Error("loaded into a namespace that is not there")
	}
	// The pretended kernel's directory has no files of its own, so that the write fails, and what was made goes again.
	if _, err := journal.Load(host, stream(t, "n"), "new", Replace, true); err == nil {
		t.Error("loaded without a file to write to")
	}
	if _, err := os.Stat(filepath.Join(host.directory, "policy/namespaces/new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	change, err := journal.Load(host, stream(t, "n"), "inner", Replace, true)
	if err != nil || change.Made || len(got(t, host, "policy/namespaces/inner/.replace")) == 0 {
		t.Errorf("%+v %v", change, err)
	}
}

func TestOldChangesAreForgotten(t *testing.T) {
	host, journal := kernelTree(t), Journal{t.TempDir()}
	for range maximumChanges + 3 {
		if _, err := journal.Load(host, stream(t, "n"), "", Replace, false); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := journal.Changes()
	if err != nil || len(changes) != maximumChanges || changes[0].Number != 4 {
		t.Errorf("%d changes from %d on: %v", len(changes), changes[0].Number, err)
	}
}
