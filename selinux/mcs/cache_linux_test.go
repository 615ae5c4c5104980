// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const dockerState = "var/lib/docker/containers/4f/config.v2.json"

// stateOfPair is a file of Docker's that is as long for every pair below c10.
func stateOfPair(pair Pair) string { return fmt.Sprintf(`{"ProcessLabel":"u:r:t:%s"}`, pair.Level()) }

// A file is kept once it has not changed for a while, which all of these wait for together. Each has a host of one container with the pair c1,c2.
func TestTheCacheOfWhatOthersHave(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, e Elsewhere){
		"a file that does not change is read once":             readOnceTest,
		"a file that changed a moment ago is not kept":         changingTest,
		"a cache of another boot or clock is dropped":          headerTest,
		"a cache that cannot be trusted is none":               untrustedTest,
		"uses of one pair are found in the files that have it": usesOfTest,
	}
	for name, change := range changes {
		tests["never older than a file that is "+name] = changeTest(change)
	}
	hosts := map[string]Elsewhere{}
	for name := range tests {
		root := t.TempDir()
		writeFile(t, root, dockerState, stateOfPair(Pair{1, 2}))
		writeFile(t, root, "var/lib/docker/containers/old", stateOfPair(Pair{5, 6}))
		hosts[name] = Elsewhere{Root: root, Cache: filepath.Join(root, "mcs")}
		must(t, os.Mkdir(hosts[name].Cache, 0o700))
	}
	time.Sleep(settled + time.Second/4)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := hosts[name].list(t); got != "c1,c2" {
				t.Fatalf("read %q", got)
			}
			test(t, hosts[name])
		})
	}
}

func (e Elsewhere) list(t *testing.T) string {
	t.Helper()
	set, err := e.pairs()
	must(t, err)
	var found []string
	for low := range uint16(10) {
		for high := low + 1; high < 10; high++ {
			if pair := (Pair{low, high}); set.has(pair) {
				found = append(found, pair.String())
			}
		}
	}
	return strings.Join(found, " ")
}

// lie changes the pair of every entry, so that it shows where an answer is from.
func (e Elsewhere) lie(t *testing.T, change func(*cacheHeader)) {
	t.Helper()
	path := filepath.Join(e.Cache, cacheName)
	data, err := os.ReadFile(path)
	must(t, err)
	header, entries, err := decodeCache(data)
	must(t, err)
	if len(entries) == 0 {
		t.Fatal("nothing is kept")
	}
	var lies []cached
	for state := range entries {
		lies = append(lies, cached{state, []Pair{{8, 9}}})
	}
	change(&header)
	must(t, os.WriteFile(path, encodeCache(header, lies), 0o600))
}

func asItWas(*cacheHeader) {}

func readOnceTest(t *testing.T, e Elsewhere) {
	e.lie(t, asItWas)
	if got := e.list(t); got != "c8,c9" {
		t.Errorf("read again: %q", got)
	}
}

func next() string { return stateOfPair(Pair{3, 4}) }

// changes are what may be done to a file that is in the cache, with the pairs that are to be found then.
var changes = map[string]func(t *testing.T, path string) string{
	"replaced": func(t *testing.T, path string) string {
		must(t, os.WriteFile(path+".new", []byte(next()), 0o644))
		must(t, os.Rename(path+".new", path))
		return "c3,c4"
	},
	"replaced by one of the same number and times": func(t *testing.T, path string) string {
		info, err := os.Stat(path)
		must(t, err)
		for range 100 { // ext4 gives the number of the file that was removed last
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, []byte(next()), 0o644))
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}
		return "c3,c4"
	},
	"written in place, with the old times": func(t *testing.T, path string) string {
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(next()), 0o644))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		return "c3,c4"
	},
	"an old one of another name": func(t *testing.T, path string) string {
		must(t, os.Rename(filepath.Join(filepath.Dir(path), "../old"), path))
		return "c5,c6"
	},
	"in another directory of the name": func(t *testing.T, path string) string {
		must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"))
		must(t, os.RemoveAll(filepath.Dir(path)+".old"))
		must(t, os.Mkdir(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(next()), 0o644))
		return "c3,c4"
	},
	"removed": func(t *testing.T, path string) string { must(t, os.Remove(path)); return "" },
	"no longer alone": func(t *testing.T, path string) string {
		other := filepath.Join(filepath.Dir(path), "../aa/config.v2.json")
		must(t, os.MkdirAll(filepath.Dir(other), 0o755))
		must(t, os.WriteFile(other, []byte(next()), 0o644))
		return "c3,c4 c8,c9"
	},
	"linked beside itself": func(t *testing.T, path string) string { // a hard link has the same state: the name is new
		must(t, os.Mkdir(filepath.Join(filepath.Dir(path), "../aa"), 0o755))
		must(t, os.Link(path, filepath.Join(filepath.Dir(path), "../aa/config.v2.json")))
		return "c1,c2"
	},
	"changed a moment ago": func(t *testing.T, path string) string {
		must(t, os.WriteFile(path, []byte(stateOfPair(Pair{5, 7})), 0o644))
		return "c5,c7"
	},
}

func changeTest(change func(t *testing.T, path string) string) func(*testing.T, Elsewhere) {
	return func(t *testing.T, e Elsewhere) {
		e.lie(t, asItWas)
		want := change(t, filepath.Join(e.Root, dockerState))
		for range 3 { // what was read then is not kept: it may change once more in the same moment
			if got := e.list(t); got != want {
				t.Errorf("read %q, want %q", got, want)
			}
		}
	}
}

func changingTest(t *testing.T, e Elsewhere) {
	must(t, os.Remove(filepath.Join(e.Cache, cacheName)))
	path := filepath.Join(e.Root, dockerState)
	for high := range uint16(200) {
		pair := Pair{1, 2 + high%8}
		must(t, os.WriteFile(path, []byte(stateOfPair(pair)), 0o644))
		if got := e.list(t); got != pair.String() {
			t.Fatalf("read %q, want %s", got, pair)
		}
	}
	if data, err := os.ReadFile(filepath.Join(e.Cache, cacheName)); err == nil {
		t.Errorf("kept %q", data)
	}
}

func headerTest(t *testing.T, e Elsewhere) {
	for name, test := range map[string]struct {
		change  func(*cacheHeader)
		dropped bool
	}{
		"another boot":             {func(h *cacheHeader) { h.Boot[0] ^= 1 }, true},
		"the clock was set back":   {func(h *cacheHeader) { h.Clock += int64(2 * setBack) }, true},
		"the clock was set a bit":  {func(h *cacheHeader) { h.Clock += int64(setBack / 2) }, false},
		"the clock was set onward": {func(h *cacheHeader) { h.Clock -= int64(time.Hour) }, false},
	} {
		e.lie(t, test.change)
		if got := e.list(t); (got == "c1,c2") != test.dropped {
			t.Errorf("%s: read %q", name, got)
		}
		must(t, os.Remove(filepath.Join(e.Cache, cacheName)))
		e.list(t)
	}
}

func untrustedTest(t *testing.T, e Elsewhere) {
	e.lie(t, asItWas)
	path := filepath.Join(e.Cache, cacheName)
	good, err := os.ReadFile(path)
	must(t, err)
	for name, spoil := range map[string]func() error{
		"cut": func() error { return os.Truncate(path, int64(len(good)-1)) },
		"a bit changed": func() error {
			return os.WriteFile(path, append(good[:len(good)-1:len(good)-1], good[len(good)-1]^1), 0o600)
		},
		"empty":            func() error { return os.Truncate(path, 0) },
		"a FIFO":           func() error { os.Remove(path); return unix.Mkfifo(path, 0o600) },
		"a link":           func() error { os.Remove(path); return os.Symlink("/etc/passwd", path) },
		"others may write": func() error { return os.Chmod(e.Cache, 0o777) },
	} {
		must(t, os.WriteFile(path, good, 0o600))
		must(t, spoil())
		if got := e.list(t); got != "c1,c2" {
			t.Errorf("%s: read %q", name, got)
		}
		must(t, os.Chmod(e.Cache, 0o700))
		os.Remove(path)
	}
	must(t, os.WriteFile(path, append(slices.Clone(good), "of an earlier, longer one"...), 0o600))
	if got := e.list(t); got != "c8,c9" {
		t.Errorf("with something behind: read %q", got)
	}
}

func usesOfTest(t *testing.T, e Elsewhere) {
	writeFile(t, e.Root, "run/libvirt/qemu/db.xml", runningDomain)
	e.list(t)
	for pair, want := range map[Pair]int{{1, 2}: 1, {33, 34}: 2, {8, 9}: 0} {
		found, err := e.UsesOf(pair)
		if err != nil || len(found) != want {
			t.Errorf("%s: %+v, %v", pair, found, err)
		}
		for _, use := range found {
			if use.Pair != pair {
				t.Errorf("%s: %+v", pair, use)
			}
		}
	}
}

// A file in the middle of being written is not yet one that cannot be read.
func TestAFileThatIsBeingWrittenIsReadAgain(t *testing.T) {
	root := t.TempDir()
	text := stateOfPair(Pair{1, 2})
	writeFile(t, root, dockerState, text[:10])
	go func() {
		time.Sleep(2 * reread)
		os.Truncate(filepath.Join(root, dockerState), 0)
		time.Sleep(3 * reread)
		os.WriteFile(filepath.Join(root, dockerState), []byte(text), 0o644)
	}()
	if got := (Elsewhere{Root: root}).list(t); got != "c1,c2" {
		t.Errorf("read %q", got)
	}
}

func FuzzCache(f *testing.F) {
	state := fileState{uint64(libvirtDomain), 1, 2, 3, 4, 5}
	f.Add(encodeCache(cacheHeader{Clock: 7}, nil))
	f.Add(encodeCache(cacheHeader{Clock: 7}, []cached{{state, []Pair{{1, 2}, {3, 1023}}}, {fileState{}, nil}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		header, entries, err := decodeCache(data)
		if err != nil {
			header, entries = cacheHeader{Clock: int64(len(data))}, map[fileState][]Pair{}
			for i, value := range data {
				entries[fileState{Inode: uint64(value)}] = []Pair{{uint16(value), uint16(value) + uint16(i%100) + 1}}
			}
		}
		var list []cached
		for state, pairs := range entries {
			list = append(list, cached{state, pairs})
		}
		again, entriesAgain, err := decodeCache(encodeCache(header, list))
		if err != nil || again != header || !reflect.DeepEqual(entries, entriesAgain) {
			t.Errorf("%+v and %v became %+v and %v, %v", header, entries, again, entriesAgain, err)
		}
	})
}

// BenchmarkPairsOfOthers is what an allocation spends on 200 of Docker's containers: 200 files of its own and 200 bundles of containerd's.
func BenchmarkPairsOfOthers(b *testing.B) {
	root := b.TempDir()
	filler := strings.Repeat(`"/a":{"Destination":"/srv/a","RW":true,"Driver":"local"},`, 100)
	for i := range 200 {
		for path, text := range map[string]string{
			fmt.Sprintf("var/lib/docker/containers/%064x/config.v2.json", i):                      fmt.Sprintf(`{"MountPoints":{%s"b":1},"ProcessLabel":"u:r:t:s0:c1,c%d"}`, filler, i+2),
			fmt.Sprintf("run/containerd/io.containerd.runtime.v2.task/moby/%064x/config.json", i): fmt.Sprintf(`{"x":{%s"b":1},"process":{"selinuxLabel":"u:r:t:s0:c1,c%d"}}`, filler+filler, i+2),
		} {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	time.Sleep(settled + time.Second/4)
	for name, elsewhere := range map[string]Elsewhere{"read": {Root: root}, "kept": {Root: root, Cache: b.TempDir()}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := elsewhere.pairs(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
