// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

// vfat makes a file system that holds no labels, on a loop device.
func vfat(t *testing.T) (device string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 2<<20); err != nil {
		t.Fatal(err)
	}
	enforcing.Permissively(t, func() {
		enforcing.Succeeds(t, "/bin/busybox", "mkdosfs", image)
		device = strings.TrimSpace(enforcing.Succeeds(t, "/bin/busybox", "losetup", "-f"))
		enforcing.Succeeds(t, "/bin/busybox", "losetup", device, image)
	})
	t.Cleanup(func() { enforcing.Succeeds(t, "/bin/busybox", "losetup", "-d", device) })
	return device
}

// A file system that holds no labels is said to be one before anything is done, with the mount option that serves, and that does serve.
func TestAVolumeWithoutLabelsIsRefusedWithWhatWouldServe(t *testing.T) {
	enforcing.Containers(t)
	device := vfat(t)
	volume := mount(t, device, "vfat", "umask=0")
	if err := os.WriteFile(volume+"/file", []byte("on vfat\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	before, journals := labelOf(t, volume), journalsNow(t)
	const option = `context="` + enforcing.FileType + ":" + levelA + `"`
	for _, words := range [][]string{
		{enforcing.Bulkhead, "label", "plan", "--level", levelA, volume},
		{enforcing.Bulkhead, "label", "set", "--level", levelA, volume},
		append(append([]string{enforcing.Bulkhead, "run", "--rm", "--rootfs", enforcing.Root}, options(levelA, volume+":/data:Z")...), "/bin/echo", "started"),
	} {
		got := enforcing.Run(t, words...)
		if got.Status != 3 || got.Stdout != "" || !strings.Contains(got.Stderr, "vfat") || !strings.Contains(got.Stderr, option) {
			t.Errorf("%q: %+v", words[1:3], got)
		}
	}
	if left := slices.DeleteFunc(journalsNow(t), func(path string) bool { return slices.Contains(journals, path) }); len(left) > 0 || labelOf(t, volume) != before {
		t.Errorf("something was begun: %v, %s", left, labelOf(t, volume))
	}
	if err := unix.Unmount(volume, 0); err != nil { // one file system has the same labels wherever it is mounted
		t.Fatal(err)
	}
	labelled := mount(t, device, "vfat", "umask=0,"+option)
	watch := enforcing.WatchAVCs(t)
	if got := enforcing.InContainer(t, "cat /data/file && echo more >>/data/file", options(levelA, labelled+":/data")...); got.Status != 0 || got.Stdout != "on vfat\n" {
		t.Errorf("mounted as was said: %+v", got)
	}
	if denials := watch.Denials(); len(denials) > 0 {
		t.Errorf("denials %v", denials)
	}
	if got := enforcing.InContainer(t, "cat /data/file", options(levelB, labelled+":/data")...); got.Status == 0 || strings.Contains(got.Stdout, "vfat") {
		t.Errorf("another container: %+v", got)
	}
}

func journalsNow(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/var/lib/bulkhead/journal/*")
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
