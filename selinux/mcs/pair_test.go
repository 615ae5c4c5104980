// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux"
)

func TestPairsAreReadAsSets(t *testing.T) {
	for text, want := range map[string]Pair{"c12,c907": {12, 907}, "c907,c12": {12, 907}, "c0.c1": {0, 1}, "c1023,c0": {0, 1023}} {
		if pair, err := ParsePair(text); err != nil || pair != want {
			t.Errorf("%q: got %v, %v", text, pair, err)
		}
	}
	for _, text := range []string{"", "c1", "c1,c1", "c1,c2,c3", "c0.c1023", "c1,c1024", "1,2", "s0:c1,c2"} {
		if pair, err := ParsePair(text); err == nil {
			t.Errorf("%q is accepted as %v", text, pair)
		}
	}
}

func TestARangeIsOneRun(t *testing.T) {
	for text, want := range map[string][2]uint16{"c512.c1023": {512, 1023}, "c0.c1": {0, 1}, "c6,c5": {5, 6}, "c0.c9,c10.c20": {0, 20}} {
		if low, high, err := ParseRange(text); err != nil || low != want[0] || high != want[1] {
			t.Errorf("%q: c%d.c%d, %v", text, low, high, err)
		}
	}
	for _, text := range []string{"", "c5", "c5.c5", "c9.c2", "c1,c3", "c0.c9,c11.c20", "c512.c1024", "512-1023", "s0:c0.c9"} {
		if low, high, err := ParseRange(text); err == nil {
			t.Errorf("%q is accepted as c%d.c%d", text, low, high)
		}
	}
}

func TestALevelOfAPairIsTheKernelsForm(t *testing.T) {
	if got := (Pair{1, 2}).Level().String(); got != "s0:c1,c2" {
		t.Errorf("got %s", got)
	}
	level, err := selinux.ParseLevel("s0:c907,c12")
	if err != nil {
		t.Fatal(err)
	}
	if pair, ok := PairOf(level.Categories); !ok || pair.Level() != level {
		t.Errorf("got %v, %v", pair, ok)
	}
}

func TestOnlyCanonicalNamesArePairFiles(t *testing.T) {
	for _, pair := range []Pair{{0, 1}, {12, 907}, {1022, 1023}, {0, 1023}} {
		if got, ok := pairFromName(pair.String()); !ok || got != pair {
			t.Errorf("%v: got %v, %v", pair, got, ok)
		}
	}
	for _, name := range []string{"", ".lock", "c1", "c1,", "c,c1", "c1,c1", "c2,c1", "c01,c2", "c1,c02", "c1,c1024", "c1,c10240", "c1,c65537",
		"c1,c2 ", "c1.c2", "c1,c2,c3", "1,2", "c-1,c2"} {
		if pair, ok := pairFromName(name); ok {
			t.Errorf("%q is accepted as %v", name, pair)
		}
	}
}

func TestPairSetTellsEveryPairApart(t *testing.T) {
	set := new(pairSet)
	count := 0
	for low := uint16(0); low < selinux.MaxCategories; low++ {
		for high := low + 1; high < selinux.MaxCategories; high++ {
			pair := Pair{low, high}
			if set.has(pair) {
				t.Fatalf("%v is there before it is added", pair)
			}
			set.add(pair)
			count++
		}
	}
	if free := make(occupied, occupiedSize).free(0, 1023, set); count != Pairs || len(free) != 0 {
		t.Errorf("%d pairs, %d free", count, len(free))
	}
}

func TestVolumesMeetByDirectoryNotByPrefix(t *testing.T) {
	for _, test := range []struct {
		volume, path string
		want         bool
	}{
		{"/data/a", "/data/a", true},
		{"/data/a", "/data/a/", true},
		{"/data/a", "/data/a/b", true},
		{"/data/a", "/data", true},
		{"/data/a", "/", true},
		{"/", "/data", true},
		{"/data/a", "/data/ab", false},
		{"/data/ab", "/data/a", false},
		{"/data/a", "/data/b", false},
		{"/data/a", "/data/b/../a", true},
	} {
		if got := (Holder{Volumes: []string{"/elsewhere", test.volume}}).Claims(test.path); got != test.want {
			t.Errorf("%s and %s: got %v", test.volume, test.path, got)
		}
	}
}

func TestHoldersThatCouldNotBeSweptAreRefused(t *testing.T) {
	for name, holder := range map[string]Holder{
		"no ID":                  {PID: 1, BootID: "b"},
		"nothing to live by":     {ID: "a"},
		"process without a boot": {ID: "a", PID: 1, StartTime: 2},
		"negative PID":           {ID: "a", PID: -1, BootID: "b"},
		"relative record":        {ID: "a", Record: "run/a"},
		"relative volume":        {ID: "a", Record: "/run/a", Volumes: []string{"data"}},
	} {
		if _, err := encodeHolders([]Holder{holder}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	twice := Holder{ID: "a", Record: "/run/a"}
	if _, err := encodeHolders([]Holder{twice, twice}); err == nil {
		t.Error("the same container twice: accepted")
	}
	huge := Holder{ID: "a", Record: "/" + strings.Repeat("x", maxEntry)}
	if _, err := encodeHolders([]Holder{huge}); err == nil {
		t.Error("written, but too long to be read: accepted")
	}
}

func TestFilesNotFullyUnderstoodAreErrors(t *testing.T) {
	for name, data := range map[string]string{
		"empty":          "",
		"cut":            `{"version":1,"holders":[{"id":"a","record":"/r`,
		"no holders":     `{"version":1,"holders":[]}`,
		"later version":  `{"version":2,"holders":[{"id":"a","record":"/r"}]}`,
		"unknown field":  `{"version":1,"holders":[{"id":"a","record":"/r","lease":9}]}`,
		"two values":     `{"version":1,"holders":[{"id":"a","record":"/r"}]}{}`,
		"invalid holder": `{"version":1,"holders":[{"id":"a"}]}`,
		"too long":       `{"version":1,"holders":[{"id":"a","record":"/r"}]}` + strings.Repeat(" ", maxEntry),
	} {
		if holders, err := decodeHolders([]byte(data)); err == nil {
			t.Errorf("%s: accepted as %v", name, holders)
		}
	}
}

func FuzzDecodeHolders(f *testing.F) {
	f.Add([]byte(`{"version":1,"holders":[{"id":"a","runtime":"runc","pid":9,"startTime":7,"bootId":"b","record":"/r","volumes":["/v"]}]}`))
	f.Add([]byte(`{"version":1,"holders":[{"id":"a","record":"/r"},{"id":"b","record":"/s"}]}`))
	f.Add([]byte(`{"version":1,"holders":null}`))
	f.Add([]byte(`[[[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		holders, err := decodeHolders(data)
		if err != nil {
			return
		}
		encoded, err := encodeHolders(holders)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := decodeHolders(encoded)
		first, _ := json.Marshal(holders)
		second, _ := json.Marshal(again)
		if err != nil || string(first) != string(second) {
			t.Errorf("%s came back as %s (%v)", first, second, err)
		}
	})
}

func FuzzPairNames(f *testing.F) {
	for _, seed := range []string{"c12,c907", "c907,c12", "c01,c2", "c0.c1", "c1,c65537"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		named, isName := pairFromName(text)
		read, err := ParsePair(text)
		if canonical := err == nil && read.String() == text; isName != canonical || isName && named != read {
			t.Errorf("%q: as a name %v %v, as text %v %v", text, named, isName, read, err)
		}
	})
}
