// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/secret"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
	"github.com/bulkhead-project/bulkhead/test/harness"
	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

const anchors = "/var/lib/bulkhead/shield"

// keyFile writes a key file of one letter.
func keyFile(t *testing.T, letter string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, bytes.Repeat([]byte(letter), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openVolume unlocks a volume by one of the key files and opens its store, as the process does that serves it.
func openVolume(t *testing.T, directory string, files ...string) (*store.Store, store.Anchor, error) {
	t.Helper()
	header, err := key.ReadFile(directory)
	if err != nil {
		t.Fatal(err)
	}
	var openers []key.Opener
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		material, err := secret.Take(text)
		if err != nil {
			t.Fatal(err)
		}
		defer material.Wipe()
		openers = append(openers, key.File{Material: material})
	}
	unlocked, err := header.Unlock(openers...)
	if err != nil {
		t.Fatal(err)
	}
	defer unlocked.Master.Wipe()
	keys, err := store.NewKeys(unlocked.Master.Bytes(), header.Volume, header.Version, uint8(header.Policy))
	if err != nil {
		t.Fatal(err)
	}
	storage, err := anchor.OpenFile(anchors, header.Volume)
	if err != nil {
		t.Fatal(err)
	}
	freshness, err := anchor.NewFile(storage, unlocked.Master.Bytes(), header.Volume)
	if err != nil {
		t.Fatal(err)
	}
	image, err := store.OpenFile(filepath.Join(directory, "blocks"), false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(image, store.Options{Keys: keys, Anchor: freshness})
	if err != nil {
		err = errors.Join(err, image.Close(), freshness.Close())
	}
	return s, freshness, err
}

func TestShieldInitMakesAVolumeThatOpens(t *testing.T) {
	volume, file := filepath.Join(t.TempDir(), "volume"), keyFile(t, "a")
	out := must(t, "shield", "init", "--key-file", file, volume)
	for _, want := range []string{"policy encrypted, level none, anchor file", "protects: contents, names", "does not: no hardware vouches"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	before, err := os.ReadFile(filepath.Join(volume, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	s, freshness, err := openVolume(t, volume, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), freshness.Close()); err != nil {
		t.Fatal(err)
	}
	if info := must(t, "shield", "info", volume); !strings.Contains(info, "epoch") {
		t.Errorf("no epoch in\n%s", info)
	}
	if err := os.WriteFile(filepath.Join(volume, "blocks"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openVolume(t, volume, file); store.KindOf(err) != store.RolledBack {
		t.Errorf("the image as init left it, after it was opened: %v", err)
	}
	if got := bulkhead(t, "", "shield", "init", "--key-file", file, volume); got.status != 4 || !strings.Contains(got.stderr, "is there already") {
		t.Errorf("a second volume: %+v", got)
	}
}

func TestShieldInitThatFailsLeavesNothing(t *testing.T) {
	file := keyFile(t, "a")
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"NoKey":              {nil, 4, "policy encrypted with 0 keys"},
		"ShortKeyFile":       {[]string{"--key-file", short}, 4, "a key file of 5 bytes can be guessed"},
		"NoKeyFile":          {[]string{"--key-file", short + "?"}, 1, "no such file"},
		"EphemeralWithAKey":  {[]string{"--policy", "ephemeral", "--key-file", file}, 4, "stored nowhere"},
		"EphemeralAnchored":  {[]string{"--policy", "ephemeral", "--anchor", "file"}, 2, "no older copy"},
		"UnknownPolicy":      {[]string{"--policy", "plain", "--key-file", file}, 2, `policy "plain"`},
		"UnknownAnchor":      {[]string{"--anchor", "sea", "--key-file", file}, 2, `anchor "sea"`},
		"NoTPM":              {[]string{"--tpm"}, 3, "this machine has no TPM"},
		"NoTPMForTheAnchor":  {[]string{"--key-file", file, "--anchor", "tpm"}, 3, "this machine has no TPM"},
		"NoRegisters":        {[]string{"--tpm", "--tpm-pcrs", "seven"}, 2, "no rising list of registers"},
		"MadeKeyFileIsTaken": {[]string{"--new-key-file", file + ".made", "--anchor", "tpm"}, 3, "this machine has no TPM"},
	} {
		volume := filepath.Join(t.TempDir(), "volume")
		before, _ := filepath.Glob(anchors + "/*")
		got := bulkhead(t, "", append(append([]string{"shield", "init"}, test.args...), volume)...)
		after, _ := filepath.Glob(anchors + "/*")
		if got.status != test.status || !strings.Contains(got.stderr, test.want) || len(after) != len(before) {
			t.Errorf("%s: %+v, %d anchors where %d were", name, got, len(after), len(before))
		}
		for _, path := range []string{volume, file + ".made"} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s: %s is left", name, path)
			}
		}
	}
}

func TestShieldKeyFileFromADescriptorAndStandardInput(t *testing.T) {
	volume := filepath.Join(t.TempDir(), "volume")
	material := strings.Repeat("s", 40)
	if got := bulkhead(t, material, "shield", "init", "--key-file", "-", volume); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if got := bulkhead(t, material, "shield", "rotate", "--key-file", "/dev/fd/0", "--add-key-file", keyFile(t, "b"), volume); got.status != 0 || !strings.Contains(got.stderr, "is opened by slot 1, level none") {
		t.Errorf("%+v", got)
	}
	if got := bulkhead(t, material+"x", "shield", "rotate", "--key-file", "-", "--remove", "2", volume); got.status != 1 || !strings.Contains(got.stderr, "wrong key") {
		t.Errorf("%+v", got)
	}
}

func TestShieldPassphraseIsAskedForOnTheTerminal(t *testing.T) {
	volume := filepath.Join(t.TempDir(), "volume")
	if out, status := onTerminal(t, "correct horse\ncorrect horse\n", "shield", "init", "--passphrase", volume); status != 0 || strings.Contains(afterPrompt(out), "horse") {
		t.Fatalf("status %d, %q", status, out)
	}
	if out, status := onTerminal(t, "wrong\n", "shield", "rotate", "--remove", "1", volume); status != 1 || !strings.Contains(out, "wrong key: it does not open slot 1 (passphrase)") {
		t.Errorf("status %d, %q", status, out)
	}
	if out, status := onTerminal(t, "correct horse\n", "shield", "rotate", "--add-key-file", keyFile(t, "a"), volume); status != 0 || !strings.Contains(out, "level none") {
		t.Errorf("status %d, %q", status, out)
	}
	if out, status := onTerminal(t, "one\nother\n", "shield", "init", "--passphrase", volume+"2"); status != 1 || !strings.Contains(out, "the passphrases differ") {
		t.Errorf("status %d, %q", status, out)
	}
}

// afterPrompt is what the terminal shows from the first prompt on: before it, it echoes what script(1) types ahead.
func afterPrompt(out string) string {
	_, after, _ := strings.Cut(out, "assphrase: ")
	return after
}

func TestShieldLevelThatIsNotReachedIsUnavailable(t *testing.T) {
	volume, file := filepath.Join(t.TempDir(), "volume"), keyFile(t, "a")
	must(t, "shield", "init", "--key-file", file, volume)
	for level, want := range map[string]string{"tpm": "level tpm was asked for", "cvm": "nothing is simulated", "sgx": "this machine has none of /dev/sgx_enclave: nothing is simulated"} {
		got := bulkhead(t, "", "shield", "rotate", "--key-file", file, "--require-level", level, "--add-key-file", file, volume)
		if got.status != 3 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v", level, got)
		}
	}
}

func TestShieldTPMOpensAndAnchorsAVolume(t *testing.T) {
	socket, file := swtpm.Start(t), keyFile(t, "a")
	volume := filepath.Join(t.TempDir(), "volume")
	out := must(t, "shield", "init", "--tpm", "--tpm-device", socket, "--anchor", "tpm", volume)
	for _, want := range []string{"level none, anchor tpm", "registers 7; when it was sealed the TPM was software"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	header, err := key.ReadFile(volume)
	if err != nil || header.Counter>>24 != 1 {
		t.Fatalf("counter 0x%x, %v", header.Counter, err)
	}
	if got := bulkhead(t, "", "shield", "rotate", "--tpm", "--tpm-device", socket, "--add-key-file", file, volume); got.status != 0 || !strings.Contains(got.stderr, "opened by slot 1, level none") {
		t.Errorf("%+v", got)
	}
	if got := bulkhead(t, "", "shield", "rotate", "--tpm", "--tpm-device", swtpm.Start(t), "--add-key-file", file, volume); got.status != 1 || !strings.Contains(got.stderr, "wrong key") {
		t.Errorf("another TPM: %+v", got)
	}
	if got := bulkhead(t, "", "shield", "rotate", "--tpm", "--tpm-device", socket, "--require-level", "tpm", "--remove", "2", volume); got.status != 3 {
		t.Errorf("software is taken for a TPM that vouches: %+v", got)
	}
	counterOf(t, socket, volume, file, header)
}

// However early or late rotate is killed, the volume is opened by its old keys or by its new ones.
func TestShieldRotateThatIsKilledLeavesOldKeysOrNew(t *testing.T) {
	volume, keys := filepath.Join(t.TempDir(), "volume"), []string{keyFile(t, "a"), keyFile(t, "b")}
	must(t, "shield", "init", "--key-file", keys[0], volume)
	current, changed := 0, 0
	const kills = 60
	for n := range kills {
		command := exec.Command(harness.Binary(t), "shield", "rotate", "--key-file", keys[current], "--add-key-file", keys[1-current], "--remove", fmt.Sprint(slotOf(t, volume)), volume)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 50 * time.Millisecond / kills)
		command.Process.Kill()
		command.Wait()
		s, freshness, err := openVolume(t, volume, keys[current], keys[1-current])
		if err != nil {
			t.Fatalf("killed after %d/%d of 50 ms: %v", n, kills, err)
		}
		if err := errors.Join(s.Close(), freshness.Close()); err != nil {
			t.Fatal(err)
		}
		if got := bulkhead(t, "", "shield", "rotate", "--key-file", keys[1-current], "--add-key-file", keys[1-current], "--remove", fmt.Sprint(slotOf(t, volume)), volume); got.status == 0 {
			current, changed = 1-current, changed+1
		}
	}
	left, err := filepath.Glob(filepath.Join(volume, "*"))
	if err != nil || len(left) > 3 {
		t.Errorf("%v, %v", left, err)
	}
	t.Logf("%d of %d were done when they were killed", changed, kills)
}

// slotOf is the number of a volume's only slot.
func slotOf(t *testing.T, volume string) uint8 {
	t.Helper()
	header, err := key.ReadFile(volume)
	if err != nil || len(header.Slots) != 1 {
		t.Fatalf("%+v, %v", header, err)
	}
	return header.Slots[0].Number
}

// counterOf opens the anchor of the volume by the TPM, and then an older copy of its file, which is refused.
func counterOf(t *testing.T, socket, volume, file string, header *key.Header) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	material, err := secret.Take(text)
	if err != nil {
		t.Fatal(err)
	}
	defer material.Wipe()
	again, err := key.ReadFile(volume)
	if err != nil {
		t.Fatal(err)
	}
	unlocked, err := again.Unlock(key.File{Material: material})
	if err != nil {
		t.Fatal(err)
	}
	defer unlocked.Master.Wipe()
	device, err := tpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	password, err := again.Derive(unlocked.Master, "counter", key.MasterSize)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *anchor.TPM {
		storage, err := anchor.OpenFile(anchors, header.Volume)
		if err != nil {
			t.Fatal(err)
		}
		on, err := anchor.NewFile(storage, unlocked.Master.Bytes(), header.Volume)
		if err != nil {
			t.Fatal(err)
		}
		return anchor.NewTPM(on, &anchor.Counter{Device: device.ReadWriter(), Index: again.Counter, Auth: password}, false, time.Now)
	}
	path := filepath.Join(anchors, header.ID())
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a := open()
	s, err := a.Load(header.Volume)
	if err != nil || !s.Clean {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := errors.Join(a.Commit(header.Volume, store.State{Epoch: s.Epoch + 1}), a.Close(), os.WriteFile(path, old, 0o600)); err != nil {
		t.Fatal(err)
	}
	a = open()
	defer a.Close()
	if _, err := a.Load(header.Volume); store.KindOf(err) != store.RolledBack {
		t.Errorf("an older file: %v", err)
	}
}
