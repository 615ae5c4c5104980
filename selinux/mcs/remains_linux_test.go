// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// labelledVolume is a directory with a container file label. security.selinux is an attribute like others where no SELinux runs.
func labelledVolume(t *testing.T, level string) string {
	t.Helper()
	volume := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(volume, 0o700))
	setLevel(t, volume, level)
	return volume
}

func setLevel(t *testing.T, path, level string) {
	t.Helper()
	err := unix.Setxattr(path, "security.selinux", []byte("system_u:object_r:container_file_t:"+level+"\x00"), 0)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs root")
	}
	must(t, err)
}

func TestAVolumesLabelHoldsThePairOfAContainerThatIsGone(t *testing.T) {
	pair := Pair{12, 907}
	leave := map[string]func(Registry, Holder) error{
		"released": func(registry Registry, holder Holder) error { return registry.Release(pair, holder.ID) },
		"swept": func(registry Registry, holder Holder) error {
			holder.StartTime++
			err := registry.Update(pair, holder)
			_, sweep := registry.Sweep()
			return errors.Join(err, sweep)
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			registry, holder := newRegistry(t), self(t, "web")
			volume := labelledVolume(t, "s0:c12,c907")
			holder.Volumes = []string{volume, volume + "/none"}
			must(t, registry.Reserve(pair, holder, false))
			must(t, leave(registry, holder))
			if got := holders(t, registry, pair); got != "volumes of web" {
				t.Fatalf("held by %q", got)
			}
			if _, owner, claimed, err := registry.Volume(volume, ""); claimed || err != nil {
				t.Errorf("%q still claims the volume, %v", owner.ID, err)
			}
			registry.Low, registry.High = 12, 907
			if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
				t.Errorf("swept %v, %v", freed, err)
			}
			setLevel(t, volume, "s0:c12,c906")
			if freed, err := registry.Sweep(); err != nil || !slices.Equal(freed, []Pair{pair}) {
				t.Errorf("relabelled, and freed %v, %v", freed, err)
			}
		})
	}
}

func TestWhoNamesThePairOfARemovedContainersVolumeGetsIt(t *testing.T) {
	registry, holder, pair := newRegistry(t), self(t, "web"), Pair{1, 2}
	holder.Volumes = []string{labelledVolume(t, "s0:c1,c2")}
	must(t, registry.Reserve(pair, holder, false))
	must(t, registry.Release(pair, "web"))
	must(t, registry.Reserve(pair, holder, false))
	if got := holders(t, registry, pair); got != "web" {
		t.Errorf("held by %q", got)
	}
	second := labelledVolume(t, "s0:c1,c2")
	holder.Volumes = append(holder.Volumes, second)
	must(t, registry.Update(pair, holder))
	must(t, registry.Release(pair, "web"))
	entry, _, err := registry.Who(pair)
	if err != nil || len(entry.Holders) != 1 || !slices.Equal(entry.Holders[0].Labelled, holder.Volumes) {
		t.Errorf("got %+v, %v", entry, err)
	}
}

func TestAReservationHoldsUntilItIsReleased(t *testing.T) {
	registry := newRegistry(t)
	registry.Low, registry.High = 0, 1
	pair, err := registry.Take(Holder{ID: "vm", Reserved: true})
	must(t, err)
	if freed, err := registry.Sweep(); err != nil || len(freed) != 0 {
		t.Errorf("swept %v, %v", freed, err)
	}
	if other, err := registry.Take(self(t, "web")); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", other, err)
	}
	var held *HeldError
	if err := registry.Reserve(pair, self(t, "web"), false); !errors.As(err, &held) || held.Holder.ID != "vm" {
		t.Errorf("got %v", err)
	}
	must(t, registry.Release(pair, "vm"))
	if got := holders(t, registry, pair); got != "" {
		t.Errorf("held by %q", got)
	}
}

// What a killed process, a power cut or an older program leaves in the table costs a listing, and nothing else.
func TestATableThatDisagreesWithTheFilesIsMended(t *testing.T) {
	all := func(value byte) []byte {
		table := make([]byte, occupiedSize)
		for i := range table {
			table[i] = value
		}
		return table
	}
	for name, spoil := range map[string]func(path string) error{
		"missing":           os.Remove,
		"all free":          func(path string) error { return os.WriteFile(path, all(0), 0o600) },
		"all taken":         func(path string) error { return os.WriteFile(path, all(1), 0o600) },
		"cut":               func(path string) error { return os.Truncate(path, 1000) },
		"not a table":       func(path string) error { return os.WriteFile(path, []byte("\xff\xff"), 0o600) },
		"longer":            func(path string) error { return os.WriteFile(path, append(all(1), all(1)...), 0o600) },
		"cannot be written": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry(t)
			registry.Low, registry.High = 100, 109
			var pairs []Pair
			for range 44 {
				pair, err := registry.Take(self(t, "a"))
				must(t, err)
				pairs = append(pairs, pair)
			}
			must(t, spoil(filepath.Join(registry.Dir, occupiedName)))
			last, err := registry.Take(self(t, "last"))
			if err != nil || slices.Contains(pairs, last) {
				t.Fatalf("took %v, %v", last, err)
			}
			if pair, err := registry.Take(self(t, "none")); !errors.Is(err, ErrFull) {
				t.Errorf("took %v, %v", pair, err)
			}
			must(t, registry.Release(pairs[7], "a"))
			if pair, err := registry.Take(self(t, "again")); err != nil || pair != pairs[7] {
				t.Errorf("took %v, %v", pair, err)
			}
		})
	}
}

func TestTheTableSaysWhatTheFilesDo(t *testing.T) {
	registry := crowded(newRegistry(t).Dir)
	for i := range 200 {
		if pair, err := registry.Take(self(t, "a")); err == nil && i%3 > 0 {
			must(t, registry.Release(pair, "a"))
		}
		if i%40 == 39 {
			entries, err := registry.List()
			must(t, err)
			for _, entry := range entries {
				must(t, registry.Release(entry.Pair, "a"))
			}
		}
	}
	dir, err := openDirectory(registry.Dir, false)
	must(t, err)
	defer dir.close()
	before := dir.readOccupied()
	after, err := dir.recount()
	must(t, err)
	if !slices.Equal(before, after) {
		t.Error("the table differs from the listing")
	}
}
