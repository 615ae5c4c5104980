// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func newRegistry(t testing.TB) Registry {
	return Registry{Dir: filepath.Join(t.TempDir(), "mcs")}
}

func self(t testing.TB, id string) Holder {
	t.Helper()
	holder, err := Self(id)
	if err != nil {
		t.Fatal(err)
	}
	return holder
}

// gone is a holder whose PID another process has now: this one, which started at another time.
func gone(t testing.TB, id string) Holder {
	holder := self(t, id)
	holder.StartTime++
	return holder
}

func holders(t *testing.T, registry Registry, pair Pair) string {
	t.Helper()
	entry, taken, err := registry.Who(pair)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, holder := range entry.Holders {
		ids = append(ids, holder.ID)
	}
	if taken != (len(ids) > 0) {
		t.Errorf("%s: taken %v by %v", pair, taken, ids)
	}
	return strings.Join(ids, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestATakenPairNamesItsHolderUntilReleased(t *testing.T) {
	registry := newRegistry(t)
	holder := self(t, "web")
	holder.Runtime, holder.Volumes = "runc", []string{"/data"}
	pair, err := registry.Take(holder)
	must(t, err)
	entries, err := registry.List()
	if err != nil || len(entries) != 1 || entries[0].Pair != pair || !entries[0].Holders[0].equal(holder) {
		t.Errorf("got %+v, %v", entries, err)
	}
	must(t, registry.Release(pair, "other"))
	if got := holders(t, registry, pair); got != "web" {
		t.Errorf("another's release left %q", got)
	}
	must(t, registry.Release(pair, "web"))
	must(t, registry.Release(pair, "web"))
	if got := holders(t, registry, pair); got != "" {
		t.Errorf("after release: %q", got)
	}
}

func TestNothingIsHeldWhereThereIsNoDirectory(t *testing.T) {
	registry := newRegistry(t)
	entries, listError := registry.List()
	freed, sweepError := registry.Sweep()
	if err := errors.Join(listError, sweepError, registry.Release(Pair{1, 2}, "a")); err != nil || len(entries)+len(freed) != 0 {
		t.Errorf("%v %v %v", entries, freed, err)
	}
	if err := registry.Update(Pair{1, 2}, self(t, "a")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("update: %v", err)
	}
	if _, err := os.Stat(registry.Dir); !os.IsNotExist(err) {
		t.Errorf("asking made the directory: %v", err)
	}
}

func TestAnUntrustedDirectoryIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"group writable": func(dir string) error { return os.Chmod(dir, 0o770) },
		"world writable": func(dir string) error { return os.Chmod(dir, 0o1777) },
		"another's":      func(dir string) error { return os.Chown(dir, 12345, 12345) },
		"symbolic link": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry(t)
			must(t, os.Mkdir(registry.Dir, 0o700))
			if err := spoil(registry.Dir); errors.Is(err, os.ErrPermission) {
				t.Skip("needs root")
			} else if err != nil {
				t.Fatal(err)
			}
			if pair, err := registry.Take(self(t, "a")); err == nil || !strings.Contains(err.Error(), registry.Dir) {
				t.Errorf("took %v, %v", pair, err)
			}
			if _, err := registry.Sweep(); err == nil {
				t.Error("swept")
			}
		})
	}
}

func TestTheDirectoryIsMadeForItsOwnerOnly(t *testing.T) {
	registry := newRegistry(t)
	_, err := registry.Take(self(t, "a"))
	must(t, err)
	if info, err := os.Stat(registry.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestReservingNamesTheLivingHolder(t *testing.T) {
	registry := newRegistry(t)
	pair := Pair{12, 907}
	must(t, registry.Reserve(pair, self(t, "web"), false))
	var held *HeldError
	if err := registry.Reserve(pair, self(t, "db"), false); !errors.As(err, &held) || held.Holder.ID != "web" || held.Pair != pair {
		t.Errorf("got %v", err)
	}
	if err := registry.Reserve(Pair{907, 12}, self(t, "db"), false); err == nil {
		t.Error("a pair that does not rise is accepted")
	}
	again := self(t, "web")
	again.Runtime = "crun"
	must(t, registry.Reserve(pair, again, false))
	if entry, _, err := registry.Who(pair); err != nil || len(entry.Holders) != 1 || entry.Holders[0].Runtime != "crun" {
		t.Errorf("reserving again: %+v, %v", entry, err)
	}
}

func TestReservingReplacesAHolderThatIsGone(t *testing.T) {
	registry := newRegistry(t)
	pair := Pair{12, 907}
	must(t, registry.Reserve(pair, gone(t, "old"), false))
	must(t, registry.Reserve(pair, self(t, "new"), false))
	if got := holders(t, registry, pair); got != "new" {
		t.Errorf("held by %q", got)
	}
}

func TestSharersAreCounted(t *testing.T) {
	registry := newRegistry(t)
	pair := Pair{12, 907}
	must(t, registry.Reserve(pair, self(t, "pod"), true))
	must(t, registry.Reserve(pair, self(t, "web"), true))
	must(t, registry.Reserve(pair, gone(t, "crashed"), true))
	must(t, registry.Reserve(pair, self(t, "web"), false))
	if got := holders(t, registry, pair); got != "pod web crashed" {
		t.Errorf("held by %q", got)
	}
	if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
		t.Errorf("swept %v, %v", freed, err)
	}
	if got := holders(t, registry, pair); got != "pod web" {
		t.Errorf("after the sweep: %q", got)
	}
	must(t, registry.Release(pair, "pod"))
	if err := registry.Reserve(pair, self(t, "db"), false); err == nil {
		t.Error("given away while web holds it")
	}
	must(t, registry.Release(pair, "web"))
	if got := holders(t, registry, pair); got != "" {
		t.Errorf("after the last release: %q", got)
	}
}

func TestUpdateIsForHoldersOnly(t *testing.T) {
	registry := newRegistry(t)
	pair, err := registry.Take(self(t, "web"))
	must(t, err)
	child := exec.Command("sleep", "60")
	must(t, child.Start())
	running, err := self(t, "web").WithProcess("/proc", child.Process.Pid)
	must(t, err)
	must(t, registry.Update(pair, running))
	if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
		t.Errorf("swept a living container: %v, %v", freed, err)
	}
	if err := registry.Update(pair, self(t, "db")); !errors.Is(err, ErrNotHeld) {
		t.Errorf("another's update: %v", err)
	}
	must(t, child.Process.Kill())
	must(t, waitForZombie(child.Process.Pid))
	if freed, err := registry.Sweep(); err != nil || !slices.Equal(freed, []Pair{pair}) {
		t.Errorf("a zombie still holds: %v, %v", freed, err)
	}
	child.Wait()
}

func waitForZombie(pid int) error {
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
}

func TestTheRecordKeepsAStoppedContainersPair(t *testing.T) {
	registry := newRegistry(t)
	record := filepath.Join(t.TempDir(), "web")
	must(t, os.Mkdir(record, 0o700))
	holder := gone(t, "web")
	holder.Record = record
	pair, err := registry.Take(holder)
	must(t, err)
	if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
		t.Errorf("swept while the record exists: %v, %v", freed, err)
	}
	must(t, os.Remove(record))
	if freed, err := registry.Sweep(); err != nil || !slices.Equal(freed, []Pair{pair}) {
		t.Errorf("not swept without it: %v, %v", freed, err)
	}
	creating := self(t, "next")
	creating.Record = record
	_, err = registry.Take(creating)
	must(t, err)
	if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
		t.Errorf("swept while its creator lives: %v, %v", freed, err)
	}
}

func TestTheLivingAreToldFromTheGone(t *testing.T) {
	proc := t.TempDir()
	stat := func(state string, threads, start int) string {
		return fmt.Sprintf("7 (a) Z (b) %s 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 %d 0 %d 1 1", state, threads, start)
	}
	write := func(name, text string) {
		path := filepath.Join(proc, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	for pid, text := range map[int]string{10: stat("S", 1, 500), 11: stat("Z", 1, 500), 12: stat("Z", 3, 500), 13: "garbage", 14: stat("X", 1, 500)} {
		write(fmt.Sprintf("%d/stat", pid), text)
	}
	process := func(pid int, start uint64, boot string) Holder {
		return Holder{ID: "a", PID: pid, StartTime: start, BootID: boot}
	}
	recorded := func(path string) Holder { return Holder{ID: "a", Record: path} }
	check := func(name string, holder Holder, want bool) {
		t.Helper()
		if got := newWitness(proc).alive(holder); got != want {
			t.Errorf("%s: got alive %v", name, got)
		}
	}
	check("boot unknown", process(99, 1, "this"), true)
	write("sys/kernel/random/boot_id", "this\n")
	check("running", process(10, 500, "this"), true)
	check("PID reused", process(10, 499, "this"), false)
	check("another boot", process(10, 500, "last"), false)
	check("no such process", process(99, 500, "this"), false)
	check("zombie", process(11, 500, "this"), false)
	check("dead", process(14, 500, "this"), false)
	check("first thread ended, others run", process(12, 500, "this"), true)
	check("unreadable state", process(13, 500, "this"), true)
	check("record", recorded(proc), true)
	check("no record", recorded(proc+"/none"), false)
	check("a file where the record's directory was", recorded(proc+"/10/stat/web"), false)
	check("record that cannot be looked up", recorded("/"+strings.Repeat("x", 300)), true)
}

func TestFilesThatAreNotUnderstoodStayAndAreNamed(t *testing.T) {
	registry := newRegistry(t)
	registry.Low, registry.High = 0, 2
	free, err := registry.Take(gone(t, "old"))
	must(t, err)
	spoilt := []Pair{{0, 1}, {0, 2}, {1, 2}}
	spoilt = slices.DeleteFunc(spoilt, func(pair Pair) bool { return pair == free })
	must(t, os.WriteFile(filepath.Join(registry.Dir, spoilt[0].String()), nil, 0o600))
	must(t, unix.Mkfifo(filepath.Join(registry.Dir, spoilt[1].String()), 0o600))
	if pair, err := registry.Take(self(t, "new")); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", pair, err)
	}
	if _, _, _, err := registry.Volume("/data", ""); err == nil {
		t.Error("a volume is called free though a claim may be unreadable")
	}
	freed, err := registry.Sweep()
	if !slices.Equal(freed, []Pair{free}) {
		t.Errorf("freed %v", freed)
	}
	for _, pair := range spoilt {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(registry.Dir, pair.String())) {
			t.Errorf("%s is not named: %v", pair, err)
		}
		if err := registry.Reserve(pair, self(t, "new"), true); err == nil {
			t.Errorf("%s is given away", pair)
		}
		if err := registry.Release(pair, "old"); err == nil {
			t.Errorf("%s is released", pair)
		}
	}
	entries, err := registry.List()
	if err != nil || len(entries) != 2 || entries[0].Err == nil || entries[1].Err == nil {
		t.Errorf("listed %+v, %v", entries, err)
	}
	if pair, err := registry.Take(self(t, "new")); err != nil || pair != free {
		t.Errorf("took %v, %v", pair, err)
	}
}

func TestVolumesBelongToLivingContainers(t *testing.T) {
	registry := newRegistry(t)
	owner, old := self(t, "web"), gone(t, "old")
	owner.Volumes, old.Volumes = []string{"/srv/web"}, []string{"/srv/old"}
	pair, err := registry.Take(owner)
	must(t, err)
	_, err = registry.Take(old)
	must(t, err)
	for path, want := range map[string]string{"/srv/web": "web", "/srv/web/html": "web", "/srv": "web", "/srv/we": "", "/srv/old": "", "/var": ""} {
		gotPair, holder, claimed, err := registry.Volume(path, "")
		if err != nil || claimed != (want != "") || holder.ID != want || claimed && gotPair != pair {
			t.Errorf("%s: got %v %q %v, %v", path, gotPair, holder.ID, claimed, err)
		}
	}
	if _, holder, claimed, err := registry.Volume("/srv/web", "web"); claimed || err != nil {
		t.Errorf("its own claim is in its way: %v, %v", holder, err)
	}
	if _, _, _, err := registry.Volume("srv/web", ""); err == nil {
		t.Error("a relative path is accepted")
	}
}

func TestEveryPairOfARangeIsFoundOnce(t *testing.T) {
	registry := newRegistry(t)
	registry.Low, registry.High = 1000, 1023
	holder := self(t, "a")
	taken := map[Pair]bool{}
	for range 24 * 23 / 2 {
		pair, err := registry.Take(holder)
		must(t, err)
		if taken[pair] || pair.Low < 1000 || pair.High > 1023 || pair.check() != nil {
			t.Fatalf("got %v", pair)
		}
		taken[pair] = true
	}
	if pair, err := registry.Take(holder); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", pair, err)
	}
	if _, err := (Registry{Dir: registry.Dir, Low: 5, High: 5}).Take(holder); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a range without a pair: %v", err)
	}
}

func TestRandomPairsAreEvenlySpread(t *testing.T) {
	const draws, span = 45_000, 10
	counts := map[Pair]int{}
	for range draws {
		counts[randomPair(100, 100+span-1)]++
	}
	// 45 pairs, 1,000 draws each; the standard deviation is about 31, so eight of them are 250.
	for pair, count := range counts {
		if count < 750 || count > 1250 || pair.Low < 100 || pair.High > 109 {
			t.Errorf("%v was drawn %d times", pair, count)
		}
	}
	if len(counts) != span*(span-1)/2 {
		t.Errorf("%d different pairs", len(counts))
	}
}

// fill takes every pair but one by links to a few complete files: ext4 allows 65,000 links to one.
func fill(t testing.TB, dir string, holder Holder, except Pair) {
	t.Helper()
	data, err := encodeHolders([]Holder{holder})
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	for low, count := uint16(0), 0; low < 1024; low++ {
		for high := low + 1; high < 1024; high++ {
			name := filepath.Join(dir, Pair{low, high}.String())
			switch {
			case Pair{low, high} == except:
				continue
			case count%60000 == 0:
				source, err = name, os.WriteFile(name, data, 0o600)
			default:
				err = syscall.Link(source, name)
			}
			if err != nil {
				t.Fatal(err)
			}
			count++
		}
	}
}

// memoryDirectory is on tmpfs where there is one: half a million files are made and removed.
func memoryDirectory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mcs")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestTheLastFreePairOfAllIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 523,775 files")
	}
	registry := Registry{Dir: memoryDirectory(t)}
	last := Pair{417, 901}
	fill(t, registry.Dir, self(t, "full"), last)
	if pair, err := registry.Take(self(t, "web")); err != nil || pair != last {
		t.Errorf("took %v, %v", pair, err)
	}
	if pair, err := registry.Take(self(t, "db")); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", pair, err)
	}
}

func BenchmarkTake(b *testing.B) {
	registry := Registry{Dir: memoryDirectory(b)}
	holder := self(b, "bench")
	for b.Loop() {
		pair, err := registry.Take(holder)
		if err == nil {
			err = registry.Release(pair, "bench")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTakeLastOfAll(b *testing.B) {
	registry := Registry{Dir: memoryDirectory(b)}
	holder := self(b, "bench")
	fill(b, registry.Dir, holder, Pair{417, 901})
	for b.Loop() {
		pair, err := registry.Take(holder)
		if err == nil {
			err = registry.Release(pair, "bench")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
