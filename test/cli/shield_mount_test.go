// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/test/harness"
	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

// mounted is a volume that is mounted by a process of its own.
type mounted struct {
	directory string
	command   *exec.Cmd
	stderr    *bytes.Buffer
}

func mountVolume(t *testing.T, args ...string) *mounted {
	t.Helper()
	m := &mounted{directory: t.TempDir(), stderr: &bytes.Buffer{}}
	said, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	m.command = exec.Command(harness.Binary(t), append(append([]string{"shield", "mount"}, args...), m.directory)...)
	m.command.Stderr = write
	if err := m.command.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { unix.Unmount(m.directory, unix.MNT_DETACH); m.command.Process.Kill() })
	for line := make([]byte, 4096); !strings.Contains(m.stderr.String(), "is mounted on"); {
		n, err := said.Read(line)
		m.stderr.Write(line[:n])
		if err != nil {
			t.Fatalf("mount %q: %s", args, m.stderr)
		}
	}
	go io.Copy(io.Discard, said)
	return m
}

func (m *mounted) unmount(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(m.directory, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.command.Wait(); err != nil {
		t.Fatal(err)
	}
}

func (m *mounted) write(t *testing.T, text string) {
	t.Helper()
	file, err := os.Create(filepath.Join(m.directory, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = file.WriteString(text); err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// Where only a file is the anchor, who restores file and volume of the same time is not found out: the control. With a TPM's counter it is.
func TestShieldOlderCopyOfVolumeAndAnchorIsFoundOutByTheTPM(t *testing.T) {
	file := keyFile(t, "a")
	for _, test := range []struct {
		anchor string
		status int
	}{{"file", 0}, {"tpm", 1}} {
		volume, socket := filepath.Join(t.TempDir(), "volume"), swtpm.Start(t)
		must(t, "shield", "init", "--key-file", file, "--anchor", test.anchor, "--tpm-device", socket, volume)
		header, err := key.ReadFile(volume)
		if err != nil {
			t.Fatal(err)
		}
		m := mountVolume(t, "--key-file", file, "--tpm-device", socket, volume)
		m.write(t, "old")
		m.unmount(t)
		kept := map[string][]byte{filepath.Join(volume, "blocks"): nil, filepath.Join(anchors, header.ID()): nil}
		for path := range kept {
			if kept[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
		m = mountVolume(t, "--key-file", file, "--tpm-device", socket, volume)
		m.write(t, "new")
		m.unmount(t)
		verify := []string{"shield", "verify", "--key-file", file, "--tpm-device", socket, volume}
		if got := bulkhead(t, "", verify...); got.status != 0 {
			t.Fatalf("anchor %s: %+v", test.anchor, got)
		}
		for path, text := range kept {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := bulkhead(t, "", verify...)
		if got.status != test.status || test.status != 0 && !strings.Contains(got.stderr, "replaced by older copies") {
			t.Errorf("anchor %s, with older copies of volume and file: %+v", test.anchor, got)
		}
		if test.status == 0 {
			continue
		}
		m = mountVolume(t, "--key-file", file, "--tpm-device", socket, "--accept-rollback", volume)
		if text, err := os.ReadFile(filepath.Join(m.directory, "file")); err != nil || string(text) != "old" {
			t.Errorf("the accepted rollback: %q, %v", text, err)
		}
		m.unmount(t)
		if got := bulkhead(t, "", "shield", "verify", "--key-file", file, "--tpm-device", socket+"?", volume); got.status != 3 {
			t.Errorf("without the TPM: %+v", got)
		}
	}
}

func TestShieldVolumeOfAnotherHostIsSaidToBeUnknown(t *testing.T) {
	volume, file := filepath.Join(t.TempDir(), "volume"), keyFile(t, "a")
	must(t, "shield", "init", "--key-file", file, volume)
	header, err := key.ReadFile(volume)
	if err != nil {
		t.Fatal(err)
	}
	verify := []string{"shield", "verify", "--key-file", file, volume}
	if got := bulkhead(t, "", verify...); got.status != 0 || strings.Contains(got.stderr, "has not seen") {
		t.Errorf("on the host that made it: %+v", got)
	}
	if err := os.Remove(filepath.Join(anchors, header.ID())); err != nil {
		t.Fatal(err)
	}
	if got := bulkhead(t, "", verify...); got.status != 0 || !strings.Contains(got.stderr, "this host has not seen "+volume+" before") {
		t.Errorf("on another: %+v", got)
	}
}

func TestShieldEphemeralVolumeBeginsAnewWithEachMount(t *testing.T) {
	volume := filepath.Join(t.TempDir(), "volume")
	must(t, "shield", "init", "--policy", "ephemeral", volume)
	for range 2 {
		m := mountVolume(t, volume)
		if entries, err := os.ReadDir(m.directory); err != nil || len(entries) != 0 {
			t.Errorf("%v, %v", entries, err)
		}
		m.write(t, "gone with the mount")
		m.unmount(t)
	}
	if left, err := filepath.Glob(filepath.Join(volume, "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestShieldInfoSaysWhatWentWrong(t *testing.T) {
	volume, file := filepath.Join(t.TempDir(), "volume"), keyFile(t, "a")
	must(t, "shield", "init", "--key-file", file, volume)
	m := mountVolume(t, "--key-file", file, volume)
	m.write(t, strings.Repeat("hello, this is what nobody else reads\n", 10000))
	if info := must(t, "shield", "info", volume); !strings.Contains(info, ", serving: since ") {
		t.Errorf("no process in\n%s", info)
	}
	blocks := filepath.Join(volume, "blocks")
	text, err := os.ReadFile(blocks)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("nobody else reads")) {
		t.Error("the backing store has the text")
	}
	m.unmount(t)
	if info := must(t, "shield", "info", volume); !strings.Contains(info, ", ended: since ") || !strings.Contains(info, "closed") {
		t.Errorf("after its end\n%s", info)
	}

	if text, err = os.ReadFile(blocks); err != nil {
		t.Fatal(err)
	}
	m = mountVolume(t, "--key-file", file, volume)
	flipData(t, blocks, text, m)
	await(t, func() bool { // the process reports once a second
		info := must(t, "shield", "info", volume)
		return strings.Contains(info, "failed: ") && strings.Contains(info, "READ of inode") && strings.Contains(info, "tampered")
	})
	m.unmount(t)
}

// flipData flips a bit of each block behind the first ones while a program reads the file, which gets EIO.
func flipData(t *testing.T, blocks string, text []byte, m *mounted) {
	t.Helper()
	image, err := os.OpenFile(blocks, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for at := len(text)/4096 - 1; at > 64; at-- {
		if bytes.Equal(text[at*4096:][:4096], make([]byte, 4096)) {
			continue
		}
		if _, err := image.WriteAt([]byte{text[at*4096] ^ 1}, int64(at)*4096); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(filepath.Join(m.directory, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(io.Discard, file); !errors.Is(err, syscall.EIO) {
		t.Fatalf("reading changed blocks: %v", err)
	}
	for at := range len(text) / 4096 { // as it was, so that it closes well
		if _, err := image.WriteAt(text[at*4096:][:1], int64(at)*4096); err != nil {
			t.Fatal(err)
		}
	}
}
