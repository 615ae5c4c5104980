// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

func TestSystemFilesOfAContainerWithoutNetwork(t *testing.T) {
	directory := t.TempDir()
	mounts, err := WriteSystemFiles(directory, Options{Hostname: "c1"})
	must(t, err)
	if len(mounts) != 3 {
		t.Fatalf("%d mounts", len(mounts))
	}
	for _, mount := range mounts {
		if mount.Source != filepath.Join(directory, filepath.Base(mount.Destination)) || filepath.Dir(mount.Destination) != "/etc" {
			t.Errorf("mount %+v", mount)
		}
		if info, err := os.Stat(mount.Source); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if got := content(t, directory, "hostname"); got != "c1\n" {
		t.Errorf("hostname %q", got)
	}
	if got := content(t, directory, "hosts"); !strings.Contains(got, "127.0.0.1\tlocalhost\n") || !strings.Contains(got, "\tc1\n") {
		t.Errorf("hosts %q", got)
	}
	if got := content(t, directory, "resolv.conf"); strings.Contains(got, "nameserver") {
		t.Errorf("resolv.conf %q", got)
	}
}

func TestSystemFilesOfAContainerOnTheHostsNetwork(t *testing.T) {
	directory := t.TempDir()
	_, err := WriteSystemFiles(directory, Options{Hostname: "c1", Network: ShareHost})
	must(t, err)
	want, err := hostFile("/etc/hosts")
	must(t, err)
	if got := content(t, directory, "hosts"); got != string(want) {
		t.Errorf("got %q, want the host's %q", got, want)
	}
}

func TestVolumeTakesThePlaceOfASystemFile(t *testing.T) {
	mounts, err := WriteSystemFiles(t.TempDir(), Options{Volumes: []plan.Volume{{Source: "/h", Destination: "/etc/hosts"}}})
	must(t, err)
	for _, mount := range mounts {
		if mount.Destination == "/etc/hosts" {
			t.Fatal("the volume would be hidden")
		}
	}
}

func TestHostIsProbed(t *testing.T) {
	facts := ProbeHost()
	var system unix.Statfs_t
	must(t, unix.Statfs("/sys/fs/cgroup", &system))
	if want := system.Type == unix.CGROUP2_SUPER_MAGIC; facts.CgroupV2 != want {
		t.Errorf("cgroup v2: %v, want %v", facts.CgroupV2, want)
	}
	if !facts.CgroupNamespace { // Linux 4.6
		t.Error("no cgroup namespaces")
	}
}

// image makes a root directory with the two account files.
func imageRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(testPasswd), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte(testGroup), 0o644))
	return root
}

func TestUsersComeFromTheContainersOwnFiles(t *testing.T) {
	user, err := ResolveUser(imageRoot(t), "alice:audio")
	if err != nil || user.UID != 1000 || user.GID != 29 || user.Home != "/home/alice" {
		t.Fatalf("got %+v, %v", user, err)
	}
	if user, err = ResolveUser(t.TempDir(), "12:13"); err != nil || user.String() != "12:13" {
		t.Fatalf("image without /etc: %+v, %v", user, err)
	}
	root := imageRoot(t)
	must(t, os.Rename(filepath.Join(root, "etc/passwd"), filepath.Join(root, "accounts")))
	must(t, os.Symlink("../accounts", filepath.Join(root, "etc/passwd")))
	if user, err = ResolveUser(root, "alice"); err != nil || user.UID != 1000 {
		t.Fatalf("link inside the image: %+v, %v", user, err)
	}
}

func TestHostileAccountFilesAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		replace func(path string) error
		reason  string
	}{
		"link to the host's file":    {func(path string) error { return os.Symlink("/etc/passwd", path) }, "escapes"},
		"link upwards":               {func(path string) error { return os.Symlink("../../../../../etc/passwd", path) }, "escapes"},
		"link to itself":             {func(path string) error { return os.Symlink("passwd", path) }, "/etc/passwd"},
		"FIFO that nobody writes to": {func(path string) error { return syscall.Mkfifo(path, 0o644) }, "not a regular file"},
		"directory":                  {func(path string) error { return os.Mkdir(path, 0o755) }, "not a regular file"},
		"sparse file of a terabyte": {func(path string) error {
			must(t, os.WriteFile(path, nil, 0o644))
			return os.Truncate(path, 1<<40)
		}, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			root := imageRoot(t)
			path := filepath.Join(root, "etc/passwd")
			must(t, os.Remove(path))
			must(t, c.replace(path))
			user, err := ResolveUser(root, "0")
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("got %+v, %v; want an error with %q", user, err, c.reason)
			}
		})
	}
}
