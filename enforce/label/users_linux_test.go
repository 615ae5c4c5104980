// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const hostMounts = `1 0 8:1 / / rw - ext4 /dev/sda1 rw,seclabel
2 1 8:2 / /srv/disk rw - xfs /dev/sdb rw,seclabel
3 1 0:50 / /srv/nfs rw - nfs4 server:/ rw
4 1 0:51 / /srv/fixed rw - vfat /dev/sdc rw,context=u:r:t:s0
`

func TestUsersAreThoseWhoHaveTheTreeItself(t *testing.T) {
	const overlay = "10 0 0:60 / / rw - overlay overlay rw\n"
	for name, test := range map[string]struct {
		path, theirs string
		want         string // destination, "" for none
		readOnly     bool
	}{
		"Container":               {"/srv/data", overlay + "11 10 8:1 /srv/data /data rw - ext4 /dev/sda1 rw\n", "/data", false},
		"ContainerReadOnly":       {"/srv/data", overlay + "11 10 8:1 /srv/data /data ro - ext4 /dev/sda1 rw\n", "/data", true},
		"OneOfTwoIsWritable":      {"/srv/data", overlay + "11 10 8:1 /srv/data /d ro - ext4 /dev/sda1 rw\n12 10 8:1 /srv/data/in /longer rw - ext4 /dev/sda1 rw\n", "/d", false},
		"APartOfIt":               {"/srv/data", overlay + "11 10 8:1 /srv/data/in /in rw - ext4 /dev/sda1 rw\n", "/in", false},
		"WhatItIsIn":              {"/srv/data/in", overlay + "11 10 8:1 /srv/data /data rw - ext4 /dev/sda1 rw\n", "/data/in", false},
		"AnotherTree":             {"/srv/data", overlay + "11 10 8:1 /srv/database /data rw - ext4 /dev/sda1 rw\n", "", false},
		"AnotherFileSystem":       {"/srv/data", overlay + "11 10 8:9 /srv/data /data rw - ext4 /dev/sdx rw\n", "", false},
		"TheHostAsAWhole":         {"/srv/data", overlay + "11 10 8:1 / /host rw - ext4 /dev/sda1 rw\n", "", false},
		"ADirectoryOfManys":       {"/srv/data", overlay + "11 10 8:1 /srv /srv rw - ext4 /dev/sda1 rw\n", "", false},
		"ServiceOfTheHost":        {"/srv/data", hostMounts, "", false},
		"ServiceWithABindMount":   {"/srv/data", hostMounts + "9 1 8:1 /srv/data /var/lib/service rw - ext4 /dev/sda1 rw\n", "/var/lib/service", false},
		"DiskMountedInAContainer": {"/srv/disk", overlay + "11 10 8:2 / /srv/disk rw - xfs /dev/sdb rw\n", "/srv/disk", false},
		"DiskOfAService":          {"/srv/disk", hostMounts, "", false},
		"TreeOnADiskOfAContainer": {"/srv/disk/data", overlay + "11 10 8:2 / /x rw - xfs /dev/sdb rw\n", "/x/data", false},
	} {
		own := parseMounts(hostMounts)
		in, place := own.holding(test.path)
		user, uses := reach{own: own, device: in.device, place: place, path: test.path}.by(parseMounts(test.theirs))
		if uses != (test.want != "") || user.Destination != test.want || user.ReadOnly != test.readOnly {
			t.Errorf("%s: %v, %+v", name, uses, user)
		}
	}
}

func TestMountsSayWhetherLabelsCanBeSet(t *testing.T) {
	mounts := parseMounts(hostMounts)
	for path, want := range map[string]bool{"/srv/data": true, "/srv/disk/x": true, "/srv/nfs": false, "/srv/nfs/deep": false, "/srv/fixed": false} {
		if in, _ := mounts.holding(path); in.setsLabels() != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestAPlanThatIsTurnedDownChangesNothing(t *testing.T) {
	tree, journal := t.TempDir(), filepath.Join(t.TempDir(), "journal")
	must(t, os.WriteFile(filepath.Join(tree, "a"), nil, 0o600))
	refused := errors.New("turned down")
	var planned *Report
	change := Change{Label: "system_u:object_r:container_file_t:s0", Owner: &Owner{7, 8}}
	_, err := Set(tree, change, journal, Options{Planned: func(report *Report) error { planned = report; return refused }})
	if !errors.Is(err, refused) || planned == nil || planned.Files != 2 || planned.Changes != 2 || planned.Owners != 2 {
		t.Errorf("%v, %+v", err, planned)
	}
	if label, err := Read(tree); label != "" || err != nil {
		t.Errorf("label %q, %v", label, err)
	}
	if _, err := os.Stat(journal); !os.IsNotExist(err) {
		t.Errorf("a journal is left: %v", err)
	}
	if _, err := Set(tree, change, journal, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Set(tree, change, journal, Options{Planned: func(*Report) error { return refused }}); err != nil {
		t.Errorf("nothing is to be changed, and asked is %v", err)
	}
}
