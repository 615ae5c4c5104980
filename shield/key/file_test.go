// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestHeaderFileIsReplacedWhole(t *testing.T) {
	directory := t.TempDir()
	if _, err := ReadFile(directory); faultOf(err) != NoVolume {
		t.Errorf("an empty directory: %v", err)
	}
	h, master := create(t, Encrypted, keyFile(t, "a"))
	for range 2 {
		if err := h.WriteFile(directory); err != nil {
			t.Fatal(err)
		}
		again, err := ReadFile(directory)
		if err != nil || !bytes.Equal(again.Format(), h.Format()) {
			t.Fatal(err)
		}
		if err := h.Add(master, keyFile(t, "b")); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if status, err := os.Stat(filepath.Join(directory, FileName)); err != nil || status.Mode() != 0o600 {
		t.Errorf("%v, %v", status.Mode(), err)
	}
}

func TestHeaderThatCannotBeWrittenLeavesTheOld(t *testing.T) {
	directory := t.TempDir()
	h, master := create(t, Encrypted, keyFile(t, "a"))
	if err := h.WriteFile(directory); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(directory, FileName+".new"), 0o700); err != nil { // where the new one is written first
		t.Fatal(err)
	}
	before := h.Format()
	h.Add(master, keyFile(t, "b"))
	if err := h.WriteFile(directory); err == nil {
		t.Error("written over a directory")
	}
	if again, err := ReadFile(directory); err != nil || !bytes.Equal(again.Format(), before) {
		t.Error(err)
	}
}

func TestLinkInPlaceOfTheNewHeaderIsNotWrittenTo(t *testing.T) {
	directory := t.TempDir()
	h, _ := create(t, Encrypted, keyFile(t, "a"))
	other := filepath.Join(directory, "other")
	if err := os.WriteFile(other, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(other, filepath.Join(directory, FileName+".new")); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(directory); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "another's" {
		t.Errorf("%q, %v", text, err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(filepath.Join(directory, FileName), 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(directory); err != nil {
		t.Fatal(err)
	}
	status, err := os.Stat(filepath.Join(directory, FileName))
	if err != nil || status.Sys().(*syscall.Stat_t).Uid != 1234 {
		t.Errorf("the owner of the volume has lost its header: %v", err)
	}
}

func TestFIFOInPlaceOfTheHeaderIsNotWaitedFor(t *testing.T) {
	directory := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(directory, FileName), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(directory); faultOf(err) != Damaged {
		t.Error(err)
	}
}

func TestTwoDoNotChangeKeysAtOnce(t *testing.T) {
	directory := t.TempDir()
	unlock, err := Lock(directory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(directory); faultOf(err) != Refused {
		t.Errorf("a second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(directory)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
