// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

func TestLinksAreCountedInSharesWhereTheyAreTooMany(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 9))
		var walk []inode
		links, missing := map[inode]uint32{}, 0
		for number := range uint64(random.IntN(300)) {
			file := inode{uint64(random.IntN(3)), number}
			links[file] = uint32(1 + random.IntN(4))
			met := links[file]
			if seed%2 == 1 && random.IntN(100) == 0 {
				missing, met = missing+1, uint32(random.IntN(int(links[file])))
			}
			for range met {
				walk = append(walk, file)
			}
		}
		random.Shuffle(len(walk), func(i, j int) { walk[i], walk[j] = walk[j], walk[i] })
		table := newLinkTable(4)
		found := map[inode]bool{}
		for more := true; more; more = table.next() {
			for _, file := range walk {
				if table.see(file, links[file]); len(table.missing) > 4 {
					t.Fatalf("seed %d: %d files are kept", seed, len(table.missing))
				}
			}
			for file := range table.missing {
				found[file] = true
			}
			clear(table.missing)
		}
		for file, total := range links {
			met := uint32(0)
			for _, other := range walk {
				if other == file {
					met++
				}
			}
			if found[file] != (met > 0 && met < total) {
				t.Fatalf("seed %d: %v with %d of %d links: %v", seed, file, met, total, found[file])
			}
		}
	}
}

func TestManyHardLinksAreCheckedInLittleMemory(t *testing.T) {
	tree, journal := small(t)
	for i := range 100 {
		name := filepath.Join(tree, fmt.Sprint("file", i))
		must(t, os.WriteFile(name, nil, 0o600), os.Link(name, filepath.Join(tree, "d", fmt.Sprint("link", i))))
	}
	check := func() error {
		opened, err := openTree(tree, SkipMounts)
		must(t, err)
		defer opened.close()
		scan := newScan(tree, opened, Change{Label: newLabel}, Options{}, nil)
		scan.links = newLinkTable(3)
		_, err = scan.run()
		return err
	}
	must(t, check())
	must(t, os.Link(filepath.Join(tree, "file77"), journal+"outside"), os.Link(filepath.Join(tree, "d/link77"), journal+"another"))
	var refused *plan.RefusedError
	if err := check(); !errors.As(err, &refused) || refused.Subject != filepath.Join(tree, "d/link77") || !strings.HasPrefix(refused.Reason, "2 hard links") {
		t.Errorf("got %v", err)
	}
}

func TestManyAndLongLabelsAreRestored(t *testing.T) {
	tree, journal := small(t)
	for i := range numberedLabels + 100 {
		path := filepath.Join(tree, "d", fmt.Sprint(i))
		text := fmt.Sprintf("u:r:t%d:s0\x00", i)
		if i%100 == 0 { // only file systems in memory take labels of this length
			text = strings.Repeat(text, 250)
		}
		must(t, os.WriteFile(path, nil, 0o600))
		if err := unix.Setxattr(path, Attribute, []byte(text), 0); err != nil {
			must(t, unix.Setxattr(path, Attribute, []byte(text[:10]), 0))
		}
	}
	before := snapshot(t, tree)
	report, err := Set(tree, Change{Label: newLabel}, journal, Options{})
	if err != nil || report.FromOthers == 0 || len(report.From) > numberedLabels+1 || report.Changes != len(before) {
		t.Fatalf("%d changes, %d labels, %d others, %v", report.Changes, len(report.From), report.FromOthers, err)
	}
	checkLabelled(t, tree, newLabel)
	must(t, undo(tree, journal))
	if !maps.Equal(before, snapshot(t, tree)) {
		t.Error("not as it was")
	}
}

// More directories than are kept for later, and more files than one record holds.
func TestWideDirectoriesAreLabelledWhole(t *testing.T) {
	tree, journal := small(t)
	for i := range waiting + 1000 {
		must(t, os.MkdirAll(filepath.Join(tree, "wide", fmt.Sprint(i), "inner"), 0o755))
	}
	long := strings.Repeat("x", 100)
	for i := range 3000 {
		must(t, os.WriteFile(filepath.Join(tree, "d", fmt.Sprint(i, long)), nil, 0o600))
	}
	before := snapshot(t, tree)
	report, err := Set(tree, Change{Label: newLabel}, journal, Options{})
	if err != nil || report.Changes != len(before) || report.Files != len(before) {
		t.Fatalf("%d of %d files: %+v, %v", report.Changes, len(before), report, err)
	}
	checkLabelled(t, tree, newLabel)
	must(t, undo(tree, journal))
	if !maps.Equal(before, snapshot(t, tree)) {
		t.Error("not as it was")
	}
}

// A regular file is opened to be labelled. What became a device meanwhile is not, since that can do something.
func TestADeviceIsNeverOpened(t *testing.T) {
	tree, _ := smallIn(t, t.TempDir())
	must(t, unix.Mknod(filepath.Join(tree, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	opened, err := openTree(tree, SkipMounts)
	must(t, err)
	defer opened.close()
	had := &entry{name: []byte("null\x00"), mode: unix.S_IFREG | 0o644}
	if control, err := openName(opened.root, had.name, unix.O_RDONLY, opened.resolve); err != nil {
		t.Fatalf("devices do not open here at all: %v", err)
	} else {
		unix.Close(control)
	}
	directory, err := opened.pinDirectory("")
	must(t, err)
	defer unix.Close(directory.descriptor)
	file, err := opened.pin(directory, had)
	must(t, err)
	defer unix.Close(file.descriptor)
	if !file.onlyPath {
		t.Error("a device was opened")
	}
	regular, err := opened.pin(directory, &entry{name: []byte("a\x00"), mode: unix.S_IFREG})
	must(t, err)
	defer unix.Close(regular.descriptor)
	if regular.onlyPath {
		t.Error("nor is a regular file")
	}
}
