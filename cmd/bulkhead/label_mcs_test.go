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

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// labelRegistry has c1,c2 reserved, c3,c4 of a container that lives and shared by a reservation, and c5,c6 of one of Docker's.
func labelRegistry(t *testing.T) mcs.Registry {
	t.Helper()
	root := t.TempDir()
	registry := mcs.Registry{Dir: filepath.Join(root, "mcs"), Elsewhere: &mcs.Elsewhere{Root: root}}
	docker := filepath.Join(root, "var/lib/docker/containers/4f")
	own, err := mcs.Self("web")
	own.Runtime, own.Volumes = "runc", []string{"/srv/web"}
	err = errors.Join(err, os.MkdirAll(docker, 0o700), os.WriteFile(filepath.Join(docker, "config.v2.json"), []byte(`{"Name":"/db","ProcessLabel":"u:r:t:s0:c5,c6","MountLabel":"u:r:t:s0:c5,c6"}`), 0o600),
		registry.Reserve(mcs.Pair{Low: 1, High: 2}, mcs.Holder{ID: "vm", Runtime: "libvirt", Reserved: true}, false),
		registry.Reserve(mcs.Pair{Low: 3, High: 4}, own, false), registry.Reserve(mcs.Pair{Low: 3, High: 4}, mcs.Holder{ID: "vm", Reserved: true}, true))
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

func TestTakenPairsNameWhoHasThem(t *testing.T) {
	registry := labelRegistry(t)
	list, err := takenPairs(registry, []mcs.Owned{{Pair: mcs.Pair{Low: 3, High: 4}, Owners: []mcs.Owner{{Node: "b", Holder: "db"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var table, encoded bytes.Buffer
	if err := errors.Join(printPairs(&table, list, false), printPairs(&encoded, list, true)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(table.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for i, want := range []string{"PAIR STATE HOLDER RUNTIME PID VOLUMES", "c1,c2 reserved vm libvirt", "c3,c4 running web runc ", "c3,c4 reserved vm", "c3,c4 node db node b", `c5,c6 elsewhere docker container "db" `} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) || strings.HasPrefix(want, "c3,c4 running") && !strings.HasSuffix(got[i], " /srv/web") {
			t.Errorf("line %d is not %q:\n%s", i, want, &table)
		}
	}
	var read []struct {
		Pair    string
		Holders []struct{ ID, State string }
	}
	if err := json.Unmarshal(encoded.Bytes(), &read); err != nil || len(read) != 3 || read[1].Holders[0].ID != "web" || read[1].Holders[0].State != "running" {
		t.Errorf("got %s, %v", &encoded, err)
	}
}

func TestPairArgumentsAreSets(t *testing.T) {
	for _, text := range []string{"c12,c907", "c907,c12", "s0:c907,c12", "s0-s0:c12,c907", "system_u:object_r:container_file_t:s0:c12,c907"} {
		if pair, err := pairArgument(text); err != nil || pair != (mcs.Pair{Low: 12, High: 907}) {
			t.Errorf("%s: %v, %v", text, pair, err)
		}
	}
	for text, want := range map[string]int{"c0.c1023": 4, "s0-s0:c0.c1023": 4, "c1,c2,c3": 4, "c1": 2, "s0": 2, "c1,c1": 2, "c1,c1024": 2, "": 2, "12,907": 2} {
		_, err := pairArgument(text)
		status, hint := 0, ""
		if err != nil {
			status, hint = classify(err, exitFailed)
		}
		var usage usageError
		if errors.As(err, &usage) {
			status = exitUsage
		}
		if status != want || want == 4 && hint == "" {
			t.Errorf("%q: exit status %d, %v", text, status, err)
		}
	}
}

func TestAPairThatIsTakenIsNotReserved(t *testing.T) {
	registry := labelRegistry(t)
	reservation := mcs.Holder{ID: "new", Reserved: true}
	for pair, by := range map[mcs.Pair]string{{Low: 1, High: 2}: `"vm"`, {Low: 3, High: 4}: `"web"`, {Low: 5, High: 6}: `docker container "db"`} {
		var refused *plan.RefusedError
		if err := reserveNamed(registry, pair, reservation, false); !errors.As(err, &refused) || !strings.Contains(err.Error(), by) {
			t.Errorf("%s: %v", pair, err)
		}
		if err := reserveNamed(registry, pair, reservation, true); err != nil {
			t.Errorf("%s, shared: %v", pair, err)
		}
	}
	if err := reserveNamed(registry, mcs.Pair{Low: 3, High: 4}, mcs.Holder{ID: "web", Reserved: true}, true); err == nil {
		t.Error("a container's own hold became a reservation")
	}
	if err := reserveNamed(registry, mcs.Pair{Low: 7, High: 8}, reservation, false); err != nil {
		t.Error(err)
	}
}

func TestOnlyReservationsAreReleasedUnlessForced(t *testing.T) {
	reserved, living := mcs.Holder{ID: "vm", Reserved: true}, mcs.Holder{ID: "web", Record: "/run/web"}
	pair := mcs.Pair{Low: 1, High: 2}
	for _, test := range []struct {
		holders []mcs.Holder
		name    string
		force   bool
		want    string // the holder, or part of the error
	}{
		{[]mcs.Holder{living, reserved}, "", false, "vm"},
		{[]mcs.Holder{living, reserved}, "vm", false, "vm"},
		{[]mcs.Holder{living, reserved}, "web", false, "no reservation holds it"},
		{[]mcs.Holder{living, reserved}, "web", true, "web"},
		{[]mcs.Holder{living}, "", false, `no reservation holds it but "web"`},
		{[]mcs.Holder{living}, "db", true, `is not held by "db" but by "web"`},
		{[]mcs.Holder{reserved, {ID: "db", Reserved: true}}, "", false, "several reservations"},
	} {
		holder, err := chooseHolder(pair, test.holders, test.name, test.force)
		if err != nil && !strings.Contains(err.Error(), test.want) || err == nil && holder.ID != test.want {
			t.Errorf("%+v: %q, %v", test, holder.ID, err)
		}
	}
}
