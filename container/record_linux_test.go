// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

func newHost(t *testing.T) *Host {
	t.Helper()
	base := t.TempDir()
	host := &Host{State: filepath.Join(base, "state"), Run: filepath.Join(base, "run")}
	host.Registry = mcs.Registry{Dir: filepath.Join(host.State, "mcs"), Proc: "/proc"}
	if err := host.Make(); err != nil {
		t.Fatal(err)
	}
	return host
}

// newTestRecord makes a record of an engine whose state lies beneath the host's.
func newTestRecord(t *testing.T, host *Host, id string, creator mcs.Holder) *Record {
	t.Helper()
	engine := filepath.Join(host.Run, "engine")
	record := &Record{ID: id, Engine: engine, Created: time.Now().UTC(), Plan: &plan.Plan{}, directory: host.recordDirectory(engine, id)}
	creator.ID = record.HolderID()
	record.Creator = creator
	if err := record.create([]byte(`{"asked":true}`)); err != nil {
		t.Fatal(err)
	}
	return record
}

// hold has the record hold a pair of its own.
func hold(t *testing.T, host *Host, record *Record) mcs.Pair {
	t.Helper()
	holder := record.Creator
	holder.Record = record.directory
	level, held, err := host.HoldPair(&plan.Plan{}, holder, "")
	if err != nil || !held {
		t.Fatalf("%q, %v, %v", level, held, err)
	}
	record.Level, record.OwnsPair = level, true
	if err := record.save(); err != nil {
		t.Fatal(err)
	}
	pair, ok := pairOf(level)
	if !ok {
		t.Fatalf("%q holds no pair", level)
	}
	return pair
}

func alive(t *testing.T) mcs.Holder {
	t.Helper()
	holder, err := mcs.Self("test")
	if err != nil {
		t.Fatal(err)
	}
	return holder
}

func dead(t *testing.T) mcs.Holder {
	t.Helper()
	command := exec.Command("sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	holder, err := mcs.Holder{ID: "test"}.WithProcess("/proc", command.Process.Pid)
	command.Process.Kill()
	command.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return holder
}

func TestRecordIsWholeOrNotThere(t *testing.T) {
	host := newHost(t)
	record := newTestRecord(t, host, "web", alive(t))
	read, err := host.Open(record.Engine, "web")
	read.saved = record.saved
	if err != nil || !reflect.DeepEqual(read, record) {
		t.Errorf("got %+v, %v", read, err)
	}
	if asked, err := os.ReadFile(record.askedFile()); err != nil || string(asked) != `{"asked":true}` {
		t.Errorf("asked %q, %v", asked, err)
	}
	if info, err := os.Stat(record.shadowBundle()); err != nil || !info.IsDir() {
		t.Errorf("no bundle: %v", err)
	}
	again := &Record{ID: "web", directory: record.directory}
	if err := again.create(nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second record: %v", err)
	}
	if asked, err := os.ReadFile(record.askedFile()); err != nil || len(asked) == 0 {
		t.Error("the first record was changed")
	}
	if left, _ := filepath.Glob(filepath.Join(host.Run, "containers", ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOneOfManyCreatorsWins(t *testing.T) {
	host := newHost(t)
	var wait sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wait.Go(func() {
			record := &Record{ID: "web", directory: host.recordDirectory("/e", "web")}
			errs[i] = record.create(nil)
		})
	}
	wait.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fs.ErrExist):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d creators won", won)
	}
}

func TestRecordsOfTwoEnginesDoNotMeet(t *testing.T) {
	host := newHost(t)
	one, two := host.recordDirectory("/run/docker", "web"), host.recordDirectory("/run/podman", "web")
	if one == two || filepath.Dir(one) != filepath.Dir(two) || one != host.recordDirectory("/run/docker/", "web") {
		t.Errorf("%s and %s", one, two)
	}
	if _, err := host.Open("/run/docker", "web"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
	command := oci.Command{Globals: oci.Options{{Name: "root", Value: "/run/docker"}}}
	if _, err := host.OpenFor(command, "web"); !errors.Is(err, ErrUnknown) || engineRoot(command) != "/run/docker" || engineRoot(oci.Command{}) != "" {
		t.Errorf("got %v, %s", err, engineRoot(command))
	}
}

func TestListNamesWhatCannotBeRead(t *testing.T) {
	host := newHost(t)
	newTestRecord(t, host, "b", alive(t))
	newTestRecord(t, host, "a", alive(t))
	broken := newTestRecord(t, host, "c", alive(t))
	if err := os.WriteFile(filepath.Join(broken.directory, "record.json"), []byte(`{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(host.Run, "containers", "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	records, err := host.List()
	var names []string
	for _, record := range records {
		names = append(names, record.ID)
	}
	if !slices.Equal(names, []string{"a", "b"}) || err == nil || !strings.Contains(err.Error(), broken.directory) {
		t.Errorf("got %v, %v", names, err)
	}
	if records, err := (&Host{Run: filepath.Join(host.Run, "gone")}).List(); err != nil || records != nil {
		t.Errorf("without a directory: %v, %v", records, err)
	}
}

func TestAlive(t *testing.T) {
	host := newHost(t)
	writePID := func(record *Record, text string) {
		if err := os.WriteFile(record.PIDFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		creator mcs.Holder
		pid     string
		want    bool
	}{
		"CreatorRuns":           {alive(t), "", true},
		"CreatorEnded":          {dead(t), "", false},
		"ProcessRuns":           {dead(t), strconv.Itoa(os.Getpid()), true},
		"ProcessRunsWithSpace":  {dead(t), strconv.Itoa(os.Getpid()) + "\n", true},
		"ProcessEnded":          {dead(t), strconv.Itoa(dead(t).PID), false},
		"NoNumber":              {dead(t), "x", false},
		"Negative":              {dead(t), "-1", false},
		"NumberTooLarge":        {dead(t), "99999999999999999999", false},
		"CreatorOfAnotherBoot":  {with(alive(t), func(h *mcs.Holder) { h.BootID = "another" }), "", false},
		"NumberWasUsedAgain":    {with(alive(t), func(h *mcs.Holder) { h.StartTime++ }), "", false},
		"NumberOfTheCreatorToo": {with(alive(t), func(h *mcs.Holder) { h.StartTime++ }), strconv.Itoa(os.Getpid()), false},
	} {
		record := newTestRecord(t, host, name, test.creator)
		if test.pid != "" {
			writePID(record, test.pid)
		}
		if got := record.Alive(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func with(holder mcs.Holder, change func(*mcs.Holder)) mcs.Holder {
	change(&holder)
	return holder
}

func TestSweepTakesTheDeadAndLeavesTheLiving(t *testing.T) {
	host := newHost(t)
	living, gone, stopped := newTestRecord(t, host, "living", alive(t)), newTestRecord(t, host, "gone", dead(t)), newTestRecord(t, host, "stopped", dead(t))
	kept, freed, stoppedPair := hold(t, host, living), hold(t, host, gone), hold(t, host, stopped)
	if err := os.MkdirAll(filepath.Join(stopped.Engine, "stopped"), 0o700); err != nil { // the engine has not deleted it
		t.Fatal(err)
	}
	containers := filepath.Join(host.Run, "containers")
	oldDraft, newDraft := filepath.Join(containers, ".new-1"), filepath.Join(containers, ".new-2")
	for _, directory := range []string{oldDraft, newDraft} {
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(oldDraft, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Sweep(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{living.directory: true, stopped.directory: true, newDraft: true, gone.directory: false, oldDraft: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	for pair, want := range map[mcs.Pair]bool{kept: true, stoppedPair: true, freed: false} {
		if _, held, err := host.Registry.Who(pair); err != nil || held != want {
			t.Errorf("%s held: %v, %v", pair, held, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(containers, ".old-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := errors.Join(host.remove(gone), gone.discard()); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
}

func TestSweepSometimesRests(t *testing.T) {
	host := newHost(t)
	if _, err := host.SweepSometimes(); err != nil {
		t.Fatal(err)
	}
	gone := newTestRecord(t, host, "gone", dead(t))
	if _, err := host.SweepSometimes(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone.directory); err != nil {
		t.Errorf("swept again at once: %v", err)
	}
	long := time.Now().Add(-2 * sweepEvery)
	if err := os.Chtimes(filepath.Join(host.Run, "swept"), long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := host.SweepSometimes(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone.directory); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not swept: %v", err)
	}
}

func TestNamedPairs(t *testing.T) {
	host := newHost(t)
	record := t.TempDir()
	holder := func(id, runtime string) mcs.Holder {
		h := alive(t)
		h.ID, h.Runtime, h.Record = id, runtime, record
		return h
	}
	named := &plan.Plan{MCS: plan.MCS{Level: "s0:c1,c2", Shared: true}}
	if level, held, err := host.HoldPair(named, holder("a", "/run/docker"), "/run/bundle"); err != nil || !held || level != "s0:c1,c2" {
		t.Fatalf("first: %q, %v, %v", level, held, err)
	}
	if _, held, err := host.HoldPair(named, holder("b", "/run/docker"), "/run/bundle"); err != nil || !held {
		t.Errorf("another of the same engine: %v, %v", held, err)
	}
	_, held, err := host.HoldPair(named, holder("c", "/run/podman"), "/run/bundle")
	var refused *plan.RefusedError
	if !errors.As(err, &refused) || held || !strings.Contains(err.Error(), "another engine (/run/docker)") {
		t.Errorf("one of another engine: %v, %v", held, err)
	}
	if _, held, err := host.HoldPair(named, holder("d", "bulkhead"), ""); err != nil || !held {
		t.Errorf("named on the command line: %v, %v", held, err)
	}
	if err := host.Registry.Reserve(mcs.Pair{Low: 8, High: 9}, mcs.Holder{ID: "vm", Reserved: true}, false); err != nil {
		t.Fatal(err)
	}
	reserved := &plan.Plan{MCS: plan.MCS{Level: "s0:c9,c8", Shared: true}}
	if _, held, err := host.HoldPair(reserved, holder("f", "/run/docker"), "/run/bundle"); !errors.As(err, &refused) || held || !strings.Contains(err.Error(), `reserved for "vm"`) {
		t.Errorf("an engine's draw of a reserved pair: %v, %v", held, err)
	}
	for _, level := range []string{"s0", "s0:c1,c2,c3", "s0-s0:c0.c1023"} {
		if got, held, err := host.HoldPair(&plan.Plan{MCS: plan.MCS{Level: level}}, holder("e", "x"), "/run/bundle"); err != nil || held || got != level {
			t.Errorf("%s is no pair: %q, %v, %v", level, got, held, err)
		}
		if err := host.ReleasePair(level, "e"); err != nil {
			t.Error(err)
		}
	}
}

func TestClaimsOfVolumes(t *testing.T) {
	host := newHost(t)
	volume := t.TempDir()
	holder := alive(t)
	holder.ID = "db"
	private := &plan.Plan{Volumes: []plan.Volume{{Source: volume, Relabel: plan.RelabelPrivate}, {Source: "/srv/shared", Relabel: plan.RelabelShared}}}
	if _, _, err := host.HoldPair(private, holder, ""); err != nil {
		t.Fatal(err)
	}
	var refused *plan.RefusedError
	if err := host.CheckClaims(private, "", "web"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "db") {
		t.Errorf("got %v", err)
	}
	if err := host.CheckClaims(private, "", "db"); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := host.CheckClaims(&plan.Plan{Volumes: []plan.Volume{{Source: "/srv/shared"}}}, "", "web"); err != nil {
		t.Errorf("a shared one: %v", err)
	}
}
