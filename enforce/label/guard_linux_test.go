// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

func TestAliasesAreFoundThroughMounts(t *testing.T) {
	mounts := parseMounts(`1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:1 /etc /mnt/set\040tings rw - ext4 /dev/sda1 rw
3 1 8:2 / /srv rw - xfs /dev/sdb rw
4 1 8:2 /docker /var/lib/docker rw - xfs /dev/sdb rw
5 1 0:9 / /proc rw - proc proc rw
short
`)
	for path, want := range map[string][]string{
		"/mnt/set tings":        {"/etc"},
		"/mnt/set tings/ssh":    {"/etc/ssh"},
		"/etc/ssh":              {"/mnt/set tings/ssh"},
		"/srv/docker/volumes":   {"/var/lib/docker/volumes"},
		"/srv/data":             nil,
		"/srvdata":              nil,
		"/var/lib/docker/image": {"/srv/docker/image"},
		"/proc/1":               nil,
	} {
		if got := mounts.Aliases(path); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestHomesOfPeopleAreGuarded(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/x\nal:x:1000:1000::/srv/people/al/:/bin/sh\nnobody:x:65534:1::/srv/none:/x\nodd:x:1001:1::/:/x\nbroken\n"
	for path, want := range map[string]string{"/srv/people/al": "al", "/srv/people": "al", "/srv": "al", "/srv/people/al/.ssh": "al", "/srv/people/al/data": "", "/srv/people/alien": "",
		"/var/www": "", "/srv/none": "", "/root/.config": "root", "/data": ""} {
		if got, _ := homeOf(path, passwd); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestBindMountOfASystemTreeIsRefused(t *testing.T) {
	directory := t.TempDir()
	if err := Guard(directory); err != nil {
		t.Fatal(err)
	}
	must(t, unix.Mount("/etc", directory, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(directory, unix.MNT_DETACH) })
	var refused *plan.RefusedError
	if err := Guard(directory); !errors.As(err, &refused) || !strings.Contains(err.Error(), "mounted from /etc") {
		t.Errorf("got %v", err)
	}
}

func TestMountsBeneathAreRefusedOrCrossedAsAsked(t *testing.T) {
	tree, journal := small(t)
	target := filepath.Join(tree, "d")
	must(t, unix.Mount("tmpfs", target, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
	must(t, os.WriteFile(filepath.Join(target, "within"), nil, 0o600))
	var refused *plan.RefusedError
	if _, err := Set(tree, Change{Label: newLabel}, journal, Options{Mounts: RefuseMounts}); !errors.As(err, &refused) || refused.Subject != target {
		t.Errorf("got %v", err)
	}
	if now := stateOf(t, tree); now.labelled {
		t.Error("labelled all the same")
	}
	report, err := Set(tree, Change{Label: newLabel}, journal, Options{Mounts: CrossMounts})
	if err != nil || !slices.Equal(report.Mounts, []string{"d"}) || stateOf(t, filepath.Join(target, "within")).label != newLabel+"\x00" {
		t.Errorf("got %+v, %v", report, err)
	}
	must(t, undo(tree, journal))
	if now := stateOf(t, filepath.Join(target, "within")); now.labelled {
		t.Error("what is mounted was not restored")
	}
}

func TestFilesThatChangedMeanwhileAreReported(t *testing.T) {
	tree, journal := small(t)
	report, err := Set(tree, Change{Label: newLabel}, journal, Options{})
	if err != nil || report.Files != 6 || report.Changes != 6 || report.From[""] != 6 {
		t.Fatalf("got %+v, %v", report, err)
	}
	must(t, os.Chown(filepath.Join(tree, "a"), 7, 7), os.Remove(filepath.Join(tree, "d/b")))
	report, err = Undo(tree, journal, Options{})
	want := []Left{{"a", "its owner became 7:7"}, {"d/b", "it is gone"}}
	if err != nil || !slices.Equal(report.Left, want) || report.Changes != 4 {
		t.Errorf("got %+v, %v", report, err)
	}
	if now := stateOf(t, filepath.Join(tree, "a")); now.label != newLabel+"\x00" {
		t.Errorf("a file with a new owner was guessed about: %+v", now)
	}
}
