// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

func TestLabelsOfVolumes(t *testing.T) {
	for name, test := range map[string]struct {
		relabel    plan.Relabel
		mountLabel string
		level      string
		want       string
	}{
		"None":                    {"", "", "s0:c1,c2", ""},
		"PrivateWithoutSELinux":   {plan.RelabelPrivate, "", "s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"},
		"SharedWithoutSELinux":    {plan.RelabelShared, "", "s0:c1,c2", "system_u:object_r:container_file_t:s0"},
		"Private":                 {plan.RelabelPrivate, "u:object_r:web_t:s0:c1,c2", "s0:c1,c2", "u:object_r:web_t:s0:c1,c2"},
		"Shared":                  {plan.RelabelShared, "u:object_r:web_t:s0:c1,c2", "s0:c1,c2", "u:object_r:web_t:s0"},
		"EngineLabelWithoutLevel": {plan.RelabelPrivate, "u:object_r:web_t", "s0:c3,c4", "u:object_r:web_t:s0:c3,c4"},
	} {
		made, err := Labelling{MountLabel: test.mountLabel, Level: test.level}.change(plan.Volume{Relabel: test.relabel})
		if err != nil || made.Label != test.want || made.Owner != nil {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
	}
	for level, told := range map[string]int{"s0:c1,c2": 0, "s0": 1, "s0:c0.c1023": 1} {
		count := 0
		made, err := Labelling{Level: level, Notice: func(string) { count++ }}.change(plan.Volume{Relabel: plan.RelabelPrivate})
		if err != nil || count != told || made.Label != "system_u:object_r:container_file_t:"+level {
			t.Errorf("%s: %+v, told %d times, %v", level, made, count, err)
		}
	}
	if _, err := (Labelling{MountLabel: "nonsense"}).change(plan.Volume{Relabel: plan.RelabelShared}); err == nil {
		t.Error("a label that is none")
	}
}

func TestPlanLineSaysAll(t *testing.T) {
	volume := plan.Volume{Source: "/srv/data", Relabel: plan.RelabelPrivate, Chown: true}
	change := label.Change{Label: "u:object_r:t:s0:c1,c2", Owner: &label.Owner{UID: 7, GID: 8}}
	users := []VolumeUser{{Container: "web"}, {Container: "db"}}
	got := planLine(volume, change, &label.Report{Files: 20, Changes: 10}, users, 12*time.Second)
	const want = "volume /srv/data: 10 of 20 files get u:object_r:t:s0:c1,c2 and owner 7:8, in about 12 s; used now by container web, container db; `bulkhead label undo /srv/data` takes it back"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestOnlyOthersAreInTheWay(t *testing.T) {
	pod, other, unknown := VolumeUser{Container: "pod", Level: "s0:c2,c1"}, VolumeUser{Container: "other", Level: "s0:c3,c4"}, VolumeUser{PID: os.Getpid()}
	for name, test := range map[string]struct {
		users         []VolumeUser
		take, harmful bool
		refused       string
	}{
		"Nobody": {nil, false, true, ""}, "Pod": {[]VolumeUser{pod}, false, true, ""}, "Other": {[]VolumeUser{pod, other}, false, true, "container other uses it now"},
		"Taken": {[]VolumeUser{other}, true, true, ""}, "Shared": {[]VolumeUser{other}, false, false, ""}, "NoContainer": {[]VolumeUser{unknown}, false, true, "process "},
	} {
		err := checkUsers("/srv", "s0:c1,c2", test.users, test.take, test.harmful)
		var refused *plan.RefusedError
		if (err != nil) != (test.refused != "") || err != nil && (!errors.As(err, &refused) || !strings.Contains(err.Error(), test.refused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The pair of a container that is gone is used again for its volumes, and for nobody who has not all of them.
func TestFormerPairOfVolumes(t *testing.T) {
	host := newHost(t)
	first, second := t.TempDir(), t.TempDir()
	labelled := func(level string, volumes ...string) {
		for _, volume := range volumes {
			if err := unix.Setxattr(volume, label.Attribute, []byte("system_u:object_r:container_file_t:"+level+"\x00"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	labelled("s0:c1,c2", first, second)
	asked := func(volumes ...string) bool {
		t.Helper()
		pair, former, err := host.formerPair(volumes)
		if err != nil || former && pair != (mcs.Pair{Low: 1, High: 2}) {
			t.Errorf("%v, %v", pair, err)
		}
		return former
	}
	if asked(first) {
		t.Error("the registry does not know whose the pair was")
	}
	holder := alive(t)
	holder.ID, holder.Volumes = "web", []string{first, second}
	if err := host.Registry.Reserve(mcs.Pair{Low: 1, High: 2}, holder, false); err != nil {
		t.Fatal(err)
	}
	if asked(first, second) {
		t.Error("the container is alive")
	}
	if err := host.Registry.Release(mcs.Pair{Low: 1, High: 2}, "web"); err != nil {
		t.Fatal(err)
	}
	if asked(first) || asked(filepath.Join(first, "none"), second) || !asked(first, second) || !asked(second, first, t.TempDir()) {
		t.Error("volumes that are not all, or are")
	}
	host.Registry.Low, host.Registry.High = 2, 9
	if asked(first, second) {
		t.Error("the pair is not of the range")
	}
	host.Registry.Low, host.Registry.High = 0, 0
	labelled("s0:c1.c3", first)
	labelled("s0", second)
	if asked(first, second) {
		t.Error("no label has a pair")
	}
}
