// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

// distributionTree makes files where Debian's policy has several labels in one tree, and gives them these. The file system says that it is one of disks, where files
// may have these labels.
func distributionTree(t *testing.T) (tree string, labels map[string]string) {
	t.Helper()
	contexts, err := filecontexts.Load("/policies/file_contexts")
	if err != nil {
		t.Fatal(err)
	}
	tree, labels = "/var/www", map[string]string{}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	mountAt(t, tree, "tmpfs", "tmpfs", "fscontext=system_u:object_r:fs_t:s0")
	for _, name := range []string{"html/index.html", "html/awstats/data", "cgi-bin/run", "html/owncloud/data/a", "html/other"} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	walk(t, tree, func(path string, entry fs.DirEntry) {
		line, err := contexts.Match(path, filecontexts.KindOf(entry.Type()))
		if err != nil || line == nil || line.Context == "<<none>>" {
			t.Fatalf("%s: %+v, %v", path, line, err)
		}
		labels[path] = line.Context
	})
	enforcing.Permissively(t, func() {
		for path, context := range labels {
			enforcing.Label(t, context, path)
		}
	})
	return tree, labels
}

func walk(t *testing.T, tree string, visit func(string, fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			visit(path, entry)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUndoGivesBackWhatTheDistributionsPolicyGave(t *testing.T) {
	enforcing.Containers(t)
	tree, labels := distributionTree(t)
	if kinds := slices.Compact(slices.Sorted(values(labels))); len(kinds) < 2 {
		t.Fatalf("one label only: %v", kinds)
	}
	const script = "cat /data/html/index.html; echo new >/data/html/new && cat /data/html/new"
	if got := enforcing.InContainer(t, script, options(levelA, tree+":/data")...); got.Status == 0 || strings.Contains(got.Stdout, "html") {
		t.Errorf("before: %+v", got)
	}
	if got := enforcing.InContainer(t, script, options(levelA, tree+":/data:Z")...); got.Stdout != "html/index.html\nnew\n" {
		t.Errorf("with its label: %+v", got)
	}
	walk(t, tree, func(path string, _ fs.DirEntry) {
		if got := labelOf(t, path); got != enforcing.FileType+":"+levelA {
			t.Errorf("%s has %s", path, got)
		}
	})
	if got := enforcing.InContainer(t, "cat /data/html/index.html", options(levelB, tree+":/data")...); strings.Contains(got.Stdout, "html") {
		t.Errorf("another container: %+v", got)
	}
	enforcing.Unconfined(t, enforcing.Bulkhead, "label", "undo", tree)
	walk(t, tree, func(path string, _ fs.DirEntry) {
		want, known := labels[path]
		if !known {
			want = enforcing.FileType + ":" + levelA // what the container made has the label that it was made with
		}
		if got := labelOf(t, path); got != want {
			t.Errorf("%s has %s, want %s", path, got, want)
		}
	})
	watch := enforcing.WatchAVCs(t)
	if got := enforcing.InContainer(t, script, options(levelA, tree+":/data")...); got.Status == 0 || strings.Contains(got.Stdout, "html") {
		t.Errorf("afterwards: %+v", got)
	}
	if denials := watch.Denials(); !slices.ContainsFunc(denials, func(d vmtest.AVC) bool {
		return d.Source == enforcing.ProcessType+":"+levelA && d.Target == labels[tree]
	}) {
		t.Errorf("no denial of %s in %v", labels[tree], denials)
	}
}

func values(labels map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, label := range labels {
			if !yield(label) {
				return
			}
		}
	}
}

func mount(t *testing.T, source, kind, options string) (target string) {
	t.Helper()
	target = t.TempDir()
	mountAt(t, target, source, kind, options)
	return target
}

// mountAt mounts a file system while the policy, in which the guest's first process may not, is not enforced.
func mountAt(t *testing.T, target, source, kind, options string) {
	t.Helper()
	enforcing.Permissively(t, func() {
		if err := unix.Mount(source, target, kind, 0, options); err != nil {
			t.Fatalf("mount %s %s: %v", kind, options, err)
		}
	})
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil && err != unix.EINVAL { // the test itself may have done it
			t.Error(err)
		}
	})
}

func TestAVolumeOnTmpfsIsLabelledLikeOthers(t *testing.T) {
	enforcing.Containers(t)
	volume := mount(t, "tmpfs", "tmpfs", "mode=777")
	enforcing.File(t, volume+"/file", "system_u:object_r:tmpfs_t:s0", "on tmpfs\n")
	before := labelOf(t, volume)
	if got := enforcing.InContainer(t, "cat /data/file", options(levelA, volume+":/data:Z")...); got.Stdout != "on tmpfs\n" {
		t.Errorf("%+v", got)
	}
	if got := enforcing.InContainer(t, "cat /data/file", options(levelB, volume+":/data")...); got.Status == 0 || strings.Contains(got.Stdout, "tmpfs") {
		t.Errorf("another container: %+v", got)
	}
	enforcing.Succeeds(t, enforcing.Bulkhead, "label", "undo", volume)
	if got := labelOf(t, volume); got != before || labelOf(t, volume+"/file") != "system_u:object_r:tmpfs_t:s0" {
		t.Errorf("undone to %s and %s", got, labelOf(t, volume+"/file"))
	}
}
