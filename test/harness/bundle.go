// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Applets are the busybox programs of RootFS.
const Applets = "sh ls cat id echo sleep grep kill ps true false mkdir touch ln mv rm env stat head tail wc nc chmod chown mount umount dd tr cut hostname test sync readlink"

// RootFS makes a root file system of busybox in a temporary directory.
func RootFS(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	for _, directory := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, busybox(t), filepath.Join(root, "bin", "busybox"))
	for _, applet := range strings.Fields(Applets) {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
	write(t, filepath.Join(root, "etc", "group"), "root:x:0:\nuser:x:1000:\n")
	return root
}

// busybox finds the static busybox.
func busybox(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/busybox", "/bin/busybox"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("no busybox: apt-get install busybox-static")
	return ""
}

// Bundle makes a bundle with `runc spec`, changed by edit, that runs a shell script on root; "" makes a root.
func Bundle(t testing.TB, root, script string, edit func(*specs.Spec)) string {
	t.Helper()
	if root == "" {
		root = RootFS(t)
	}
	bundle := t.TempDir()
	command := exec.Command("runc", "spec", "--bundle", bundle)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v: %s (apt-get install runc)", err, out)
	}
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	spec.Root.Path, spec.Root.Readonly = root, false
	spec.Process.Terminal, spec.Process.NoNewPrivileges = false, false
	spec.Process.Args = []string{"/bin/sh", "-c", script}
	if edit != nil {
		edit(&spec)
	}
	data, err = json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
	return bundle
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
