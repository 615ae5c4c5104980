// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/secret"
)

// shield runs a verb of the shield and returns what it printed, and its exit status.
func runShield(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := shieldCommand()
	var out, warnings bytes.Buffer
	command.SetOut(&out)
	command.SetErr(&warnings)
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetArgs(args)
	err := command.Execute()
	var usage usageError
	switch {
	case errors.As(err, &usage):
		report(&warnings, err, exitUsage)
		return out.String(), warnings.String(), exitUsage
	case err != nil:
		status = report(&warnings, err, exitFailed)
	}
	return out.String(), warnings.String(), status
}

// keyFixture is a directory with keys, and one with a header that the key file opens.
type keyFixture struct{ volume, file, other, passphrase, identity, recipient string }

func newKeyFixture(t *testing.T) keyFixture {
	t.Helper()
	root := t.TempDir()
	f := keyFixture{volume: filepath.Join(root, "volume"), file: filepath.Join(root, "key"), other: filepath.Join(root, "other"),
		passphrase: filepath.Join(root, "passphrase"), identity: filepath.Join(root, "identity")}
	made, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	f.recipient = made.Recipient().String()
	for path, text := range map[string]string{f.file: strings.Repeat("a", 32), f.other: strings.Repeat("b", 32), f.passphrase: "correct horse\nnot this line\n", f.identity: made.String() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	material, err := secret.Take([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	defer material.Wipe()
	header, master, err := key.Create(key.Encrypted, key.AnchorFile, key.File{Material: material})
	if err != nil {
		t.Fatal(err)
	}
	defer master.Wipe()
	if err := errors.Join(os.Mkdir(f.volume, 0o700), header.WriteFile(f.volume)); err != nil {
		t.Fatal(err)
	}
	return f
}

// slots are the numbers and kinds of a volume's keys.
func (f keyFixture) slots(t *testing.T) string {
	t.Helper()
	header, err := key.ReadFile(f.volume)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, slot := range header.Slots {
		list = append(list, string(slot.Kind))
	}
	return strings.Join(list, " ")
}

func TestRotateChangesWhoOpensTheVolume(t *testing.T) {
	f := newKeyFixture(t)
	made := filepath.Join(t.TempDir(), "made")
	for _, step := range []struct {
		name   string
		args   []string
		status int
		want   string // of stderr
		slots  string
	}{
		{"AddsKeysOfEveryKind", []string{"--key-file", f.file, "--add-passphrase-file", f.passphrase, "--add-recipient", f.recipient, "--add-new-key-file", made}, 0, "", "file age passphrase file"},
		{"NeverOverwritesAKeyFile", []string{"--key-file", f.file, "--add-new-key-file", made}, 1, "is there already", "file age passphrase file"},
		{"WrongKey", []string{"--key-file", f.other, "--remove", "1"}, 1, "wrong key: it does not open slot 1 (file), slot 4 (file)", "file age passphrase file"},
		{"NothingToChange", []string{"--key-file", f.file}, 2, "nothing to change", "file age passphrase file"},
		{"NoSuchSlot", []string{"--key-file", f.file, "--remove", "260"}, 1, "there is no slot 260", "file age passphrase file"},
		{"PassphraseIsTheFirstLine", []string{"--passphrase-file", f.passphrase, "--remove", "1"}, 0, "", "age passphrase file"},
		{"RemovedKeyOpensNoMore", []string{"--key-file", f.file, "--remove", "2"}, 1, "wrong key", "age passphrase file"},
		{"Identity", []string{"--identity", f.identity, "--remove", "3,4"}, 0, "", "age"},
		{"LastKeyStays", []string{"--identity", f.identity, "--remove", "2"}, exitRefused, "is the last", "age"},
		{"KeyOfAnotherKind", []string{"--key-file", f.file, "--remove", "2"}, 1, "the volume is opened by an age identity, not by a key file", "age"},
		{"OnlyKeyIsReplaced", []string{"--identity", f.identity, "--remove", "2", "--add-key-file", f.file}, 0, "", "file"},
		{"NoRecipient", []string{"--key-file", f.file, "--add-recipient", "age1xyz"}, 2, "is no age recipient", "file"},
		{"NoKeyFile", []string{"--key-file", f.file + "?", "--remove", "1"}, 1, "no such file", "file"},
		{"IdentityIsNotOne", []string{"--identity", f.file, "--remove", "1"}, 1, "no age identity", "file"},
	} {
		_, stderr, status := runShield(t, append(append([]string{"rotate"}, step.args...), f.volume)...)
		if slots := f.slots(t); status != step.status || !strings.Contains(stderr, step.want) || slots != step.slots {
			t.Fatalf("%s: status %d, %q, slots %q where %q are wanted", step.name, status, stderr, slots, step.slots)
		}
	}
	if material, err := os.ReadFile(made); err != nil || len(material) != key.MasterSize {
		t.Error(len(material), err)
	}
	if status, err := os.Stat(made); err != nil || status.Mode().Perm() != 0o600 {
		t.Error(status.Mode(), err)
	}
}

// A header of an ephemeral volume has no code of a key, so that whoever has the storage can put one in the place of another header.
func TestEphemeralVolumeIsNotTakenForOneWithAKey(t *testing.T) {
	f := newKeyFixture(t)
	if err := os.Remove(filepath.Join(f.volume, key.FileName)); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := runShield(t, "init", "--policy", "ephemeral", f.volume); status != 0 {
		t.Fatalf("status %d, %q", status, stderr)
	}
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--key-file", f.file}, exitRefused, "is ephemeral: no key opens it"},
		{[]string{"--identity", f.identity}, exitRefused, "is ephemeral: no key opens it"},
		{[]string{"--passphrase-file", f.passphrase}, exitRefused, "is ephemeral: no key opens it"},
		{[]string{"--passphrase"}, exitRefused, "is ephemeral: no key opens it"},
		{[]string{"--require-level", "tpm"}, exitUnavailable, "level tpm was asked for"},
		{[]string{"--require-level", "all"}, exitUsage, "--require-level"},
		{[]string{"--read-only"}, exitUsage, "begins empty"},
	} {
		_, stderr, status := runShield(t, append(append([]string{"mount"}, test.args...), f.volume, t.TempDir())...)
		if status != test.status || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: status %d, %q", test.args, status, stderr)
		}
	}
}

func TestVerbsThatReadKeysAreNotDumped(t *testing.T) {
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	f := newKeyFixture(t)
	runShield(t, "rotate", "--key-file", f.file, "--add-key-file", f.other, f.volume)
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Error(dumpable, err)
	}
}

func TestKeyFileThatOthersReadIsWarnedOf(t *testing.T) {
	f := newKeyFixture(t)
	if err := os.Chmod(f.file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := runShield(t, "rotate", "--key-file", f.file, "--add-key-file", f.other, f.volume); status != 0 || !strings.Contains(stderr, "can be read or written by others (mode 0644): chmod 600") || strings.Contains(stderr, f.other) {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestInfoSaysWhatProtectsAndWhatDoesNot(t *testing.T) {
	f := newKeyFixture(t)
	runShield(t, "rotate", "--key-file", f.file, "--add-recipient", f.recipient, f.volume)
	text, _, status := runShield(t, "info", f.volume)
	for _, want := range []string{"policy encrypted, level none, anchor file", "protects: an older copy of the whole volume is found out by this host", "does not: whoever may also restore the anchor's file",
		"does not: no hardware vouches", f.recipient} {
		if status != 0 || !strings.Contains(text, want) {
			t.Errorf("status %d, no %q in\n%s", status, want, text)
		}
	}
	var report volumeReport
	text, _, _ = runShield(t, "info", "--json", f.volume)
	if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Slots) != 2 || report.Slots[1].Kind != "age" || report.Level != "none" || len(report.Not) == 0 {
		t.Errorf("%v in %s", err, text)
	}
	if _, stderr, status := runShield(t, "info", t.TempDir()); status != 1 || !strings.Contains(stderr, "no volume") || !strings.Contains(stderr, "shield init") {
		t.Errorf("status %d, %q", status, stderr)
	}
}
