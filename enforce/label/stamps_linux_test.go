// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quickly is Set that trusts stamps.
func quickly(t *testing.T, tree string, change Change, journal string) *Report {
	t.Helper()
	report, err := Set(tree, change, journal, Options{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// stamp labels a tree as it was long ago, so that every directory can be trusted whatever the file system's clock.
func stampTree(t *testing.T, tree string, change Change, journal string) {
	t.Helper()
	if _, err := Set(tree, change, journal, Options{}); err != nil {
		t.Fatal(err)
	}
	if report := quickly(t, tree, change, journal); report.Trusted == report.Files {
		return
	}
	time.Sleep(settled + time.Second/10)
	if _, err := Set(tree, change, journal, Options{}); err != nil {
		t.Fatal(err)
	}
	if report := quickly(t, tree, change, journal); report.Trusted != report.Files || report.Files == 0 {
		t.Fatalf("not all directories are trusted: %+v", report)
	}
}

// checkLabelled looks at every file.
func checkLabelled(t *testing.T, tree, label string) {
	t.Helper()
	for path, now := range snapshot(t, tree) {
		if strings.TrimSuffix(now.label, "\x00") != label {
			t.Errorf("%s has the label %q", path, now.label)
		}
	}
}

func TestUnchangedDirectoriesAreNotReadAgain(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	change := Change{Label: newLabel}
	stampTree(t, tree, change, journal)
	inPlace := filepath.Join(tree, "d/b")
	must(t, unix.Setxattr(inPlace, Attribute, []byte("x:y:z:s0\x00"), 0))
	if report := quickly(t, tree, change, journal); report.Trusted != 6 || stateOf(t, inPlace).label != "x:y:z:s0\x00" {
		t.Errorf("a directory was read though nothing in it was moved: %+v", report)
	}
	if report, err := Plan(tree, change, Options{Quick: true}); err != nil || report.Changes != 1 {
		t.Errorf("a plan does not see what was relabelled in its place: %+v, %v", report, err)
	}
	if report, err := Set(tree, change, journal, Options{}); err != nil || report.Changes != 1 || report.Trusted != 0 {
		t.Errorf("nor does Set: %+v, %v", report, err)
	}
	if report := quickly(t, tree, Change{Label: "a:b:c:s0"}, journal); report.Changes != 6 {
		t.Errorf("another label was not given: %+v", report)
	}
	if report := quickly(t, tree, Change{"a:b:c:s0", &Owner{1, 1}}, journal); report.Changes != 6 {
		t.Errorf("another owner was not given: %+v", report)
	}
}

func TestEveryChangeOfADirectoryIsSeen(t *testing.T) {
	for name, act := range map[string]func(tree, outside string) error{
		"newFile":      func(tree, _ string) error { return os.WriteFile(filepath.Join(tree, "d/new"), nil, 0o600) },
		"movedIn":      func(tree, outside string) error { return os.Rename(outside+"/file", tree+"/d/file") },
		"replaced":     func(tree, outside string) error { return os.Rename(outside+"/file", tree+"/d/b") },
		"directory":    func(tree, outside string) error { return os.Rename(outside+"/e", tree+"/d/e") },
		"symbolicLink": func(tree, _ string) error { return os.Symlink("/etc", tree+"/d/link") },
		"newTree":      func(tree, _ string) error { return os.MkdirAll(tree+"/d/1/2/3", 0o755) },
		"relabelled":   func(tree, _ string) error { return unix.Setxattr(tree+"/d", Attribute, []byte("x:y:z:s0"), 0) },
		"swappedParent": func(tree, outside string) error {
			return unix.Renameat2(-100, outside, -100, tree+"/d", unix.RENAME_EXCHANGE)
		},
		"becameALink": func(tree, outside string) error {
			if err := os.Rename(tree+"/d", tree+"/moved"); err != nil {
				return err
			}
			if err := os.Symlink("moved", tree+"/d"); err != nil {
				return err
			}
			return os.WriteFile(tree+"/moved/new", nil, 0o600)
		},
		"hardLinkWithin": func(tree, outside string) error {
			if err := os.Rename(outside+"/file", tree+"/x"); err != nil {
				return err
			}
			return os.Link(tree+"/x", tree+"/d/y")
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, journal := smallIn(t, t.TempDir())
			outside := t.TempDir()
			must(t, os.WriteFile(filepath.Join(outside, "file"), nil, 0o600), os.MkdirAll(filepath.Join(outside, "e/f"), 0o755))
			must(t, os.WriteFile(filepath.Join(outside, "e/f/g"), nil, 0o600))
			stampTree(t, tree, Change{Label: newLabel}, journal)
			must(t, act(tree, outside))
			if report := quickly(t, tree, Change{Label: newLabel}, journal); report.Changes == 0 || report.Files != len(snapshot(t, tree)) {
				t.Errorf("got %+v", report)
			}
			checkLabelled(t, tree, newLabel)
			must(t, undo(tree, journal))
		})
	}
}

func TestAMountBeneathIsNeverOverlooked(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	stampTree(t, tree, Change{Label: newLabel}, journal)
	target := filepath.Join(tree, "d/b")
	must(t, unix.Mount("/etc/hostname", target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
	if _, err := Set(tree, Change{Label: newLabel}, journal, Options{Quick: true, Mounts: RefuseMounts}); err == nil {
		t.Error("a file that is mounted beneath was overlooked")
	}
}

func TestALinkIntoADirectoryThatIsNotReadIsNoLinkFromOutside(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	stampTree(t, tree, Change{Label: newLabel}, journal)
	must(t, os.Link(filepath.Join(tree, "d/b"), filepath.Join(tree, "link")))
	must(t, unix.Setxattr(filepath.Join(tree, "link"), Attribute, []byte("x:y:z:s0\x00"), 0))
	if report := quickly(t, tree, Change{Label: newLabel}, journal); report.Trusted != 0 || report.Changes != 2 {
		t.Errorf("got %+v", report)
	}
	checkLabelled(t, tree, newLabel)
}

// Whatever of ours relabels a file in its place takes the stamps away that would hide it.
func TestStampsAreGoneAfterEachChangeOfOurs(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, tree, state string) error{
		"undo": func(t *testing.T, tree, state string) error { return undo(tree, JournalPath(state, tree)) },
		"file": func(t *testing.T, tree, state string) error {
			_, err := relabel(tree+"/d/b", Change{Label: "x:y:z:s0"}, JournalPath(state, tree+"/d/b"))
			return err
		},
		"fileByAnotherPath": func(t *testing.T, tree, state string) error {
			alias := t.TempDir()
			must(t, unix.Mount(tree+"/d", alias, "", unix.MS_BIND, ""))
			t.Cleanup(func() { unix.Unmount(alias, unix.MNT_DETACH) })
			_, err := relabel(alias+"/b", Change{Label: "x:y:z:s0"}, JournalPath(state, alias+"/b"))
			return err
		},
		"above": func(t *testing.T, tree, state string) error {
			_, err := relabel(filepath.Dir(tree), Change{Label: "x:y:z:s0"}, JournalPath(state, filepath.Dir(tree)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, _ := smallIn(t, t.TempDir())
			state := t.TempDir()
			must(t, os.Mkdir(filepath.Join(state, "journal"), 0o700))
			stampTree(t, tree, Change{Label: newLabel}, JournalPath(state, tree))
			must(t, act(t, tree, state))
			quickly(t, tree, Change{Label: newLabel}, JournalPath(state, tree))
			checkLabelled(t, tree, newLabel)
		})
	}
}

func TestWhereTheClockIsCoarseAFreshDirectoryIsNotTrusted(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	change := Change{Label: newLabel}
	opened, err := openTree(tree, SkipMounts)
	must(t, err)
	defer opened.close()
	book := &book{path: journal, begin: begin{Change: change}}
	defer book.close()
	scan := newScan(tree, opened, change, Options{}, book)
	scan.stamps = startStamps(opened, journal, book.begin)
	_, err = scan.run()
	must(t, err, book.commit())
	pass := &pass{tree: opened, stamps: scan.stamps, each: (*treeOf).change}
	pass.clock.state.Store(clockCoarse)
	must(t, pass.run(book.file, book.start))
	scan.stamps.finish()
	if known := checkStamps(opened, journal, book.begin, &stamper{}); known == nil || known.files != 0 || len(known.changed) != 2 {
		t.Errorf("got %+v", known)
	}
}

func TestDamagedStampsOnlyCostTime(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	stampTree(t, tree, Change{Label: newLabel}, journal)
	text, err := os.ReadFile(stampsPath(journal))
	must(t, err)
	for at := range text {
		damaged := append([]byte(nil), text...)
		damaged[at] ^= 1
		for _, wrong := range [][]byte{damaged, text[:at]} {
			must(t, os.WriteFile(stampsPath(journal), wrong, 0o600))
			if report := quickly(t, tree, Change{Label: newLabel}, journal); report.Files != 6 || report.Trusted != 0 {
				t.Fatalf("byte %d: got %+v", at, report)
			}
		}
	}
}

func TestAfterRandomChangesAQuickLabellingIsComplete(t *testing.T) {
	base := t.TempDir()
	tree, outside, journal := filepath.Join(base, "tree"), filepath.Join(base, "outside"), filepath.Join(base, "journal")
	random := rand.New(rand.NewPCG(5, 6))
	must(t, os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "kept"), nil, 0o644))
	randomTree(t, random, tree, outside)
	stampTree(t, tree, Change{Label: newLabel}, journal)
	trusted := 0
	for round := range 150 {
		var directories, files []string
		all := snapshot(t, tree)
		for _, path := range slices.Sorted(maps.Keys(all)) {
			if now := all[path]; now.mode&unix.S_IFMT == unix.S_IFDIR {
				directories = append(directories, path)
			} else {
				files = append(files, path)
			}
		}
		for i := range random.IntN(3) {
			directory, file := directories[random.IntN(len(directories))], files[random.IntN(len(files))]
			name := filepath.Join(directory, fmt.Sprint("new", round, i))
			switch random.IntN(6) {
			case 0:
				os.WriteFile(name, nil, 0o600)
			case 1:
				os.MkdirAll(filepath.Join(name, "a/b"), 0o755)
				os.WriteFile(filepath.Join(name, "a/c"), nil, 0o755)
			case 2:
				os.Rename(file, name)
			case 3:
				os.Link(file, name)
			case 4:
				if strings.Count(directory, "/") > strings.Count(tree, "/")+1 {
					os.RemoveAll(directory)
				}
			case 5:
				if directory != tree {
					os.Rename(directory, filepath.Join(tree, fmt.Sprint("moved", round, i)))
				}
			}
		}
		report := quickly(t, tree, Change{Label: newLabel}, journal)
		trusted += report.Trusted
		checkLabelled(t, tree, newLabel)
		if t.Failed() || report.Files != len(snapshot(t, tree)) {
			t.Fatalf("round %d: %+v", round, report)
		}
	}
	if trusted == 0 {
		t.Error("no directory was ever trusted")
	}
}

func FuzzStamps(f *testing.F) {
	made := stamp{"a/b", 1, 2, 3, 4, true}
	text := appendRecord(encodeStamps(7, begin{Change: Change{Label: "x"}}), kindDirectory, made.append(nil))
	f.Add(appendRecord(text, kindStamped, []byte{1}))
	f.Fuzz(func(t *testing.T, text []byte) {
		count := 0
		err := readStamps(newReader(strings.NewReader(string(text)), 0), 7, begin{Change: Change{Label: "x"}}, func(body []byte) {
			for len(body) > 0 {
				found, rest, err := nextStamp(body)
				if err != nil || strings.Contains(found.directory, "\x00") {
					t.Fatalf("a body that does not decode was handed on: %v", err)
				}
				body = rest
				count++
			}
		})
		if err == nil && count > maximumStamps {
			t.Error("too many stamps")
		}
	})
}

// On tmpfs a file that is linked into a directory gives it its own time, which can be the one that the directory had.
func TestOnTmpfsOnlySettledDirectoriesAreTrusted(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	must(t, unix.Mount("tmpfs", base, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(base, unix.MNT_DETACH) })
	tree, journal := smallIn(t, base)
	change := Change{Label: newLabel}
	if _, err := Set(tree, change, journal, Options{}); err != nil {
		t.Fatal(err)
	}
	if report := quickly(t, tree, change, journal); report.Trusted != 0 || report.Files != 6 {
		t.Errorf("got %+v", report)
	}
	time.Sleep(settled + time.Second/5)
	for _, trusted := range []int{0, 6} {
		if report := quickly(t, tree, change, journal); report.Trusted != trusted || report.Files != 6 {
			t.Errorf("got %+v, want %d trusted", report, trusted)
		}
	}
}

// Files are added, moved and replaced, which can give them the inode of the last, while the tree is labelled. What the stamps of that say is true all the same.
func TestChangesDuringALabellingAreNotHiddenByItsStamps(t *testing.T) {
	tree, journal := smallIn(t, t.TempDir())
	for i := range 12 {
		must(t, os.MkdirAll(filepath.Join(tree, fmt.Sprint(i), "inner"), 0o755))
		for j := range 20 {
			must(t, os.WriteFile(filepath.Join(tree, fmt.Sprint(i), fmt.Sprint(j)), nil, 0o600))
		}
	}
	trusted, seen := 0, 0
	for round := range 30 {
		stop := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() {
			random := rand.New(rand.NewPCG(uint64(round), 4))
			for {
				select {
				case <-stop:
					return
				default:
				}
				file := func() string { return filepath.Join(tree, fmt.Sprint(random.IntN(3)), fmt.Sprint(random.IntN(20))) }
				switch path := file(); random.IntN(3) {
				case 0:
					os.Remove(path)
					os.WriteFile(path, nil, 0o600)
				case 1:
					os.Rename(path, file())
				case 2:
					os.WriteFile(path+"new", nil, 0o600)
					os.Rename(path+"new", path)
				}
				time.Sleep(time.Duration(random.IntN(200)) * time.Microsecond)
			}
		})
		label := fmt.Sprintf("u:r:t:s0:c%d", round)
		_, err := Set(tree, Change{Label: label}, journal, Options{})
		close(stop)
		others.Wait()
		must(t, err)
		report := quickly(t, tree, Change{Label: label}, journal)
		trusted, seen = trusted+report.Trusted, seen+report.Changes
		checkLabelled(t, tree, label)
		if t.Failed() {
			t.Fatalf("round %d: %+v", round, report)
		}
	}
	if seen == 0 || trusted == 0 {
		t.Error("nothing was ever changed meanwhile, or nothing trusted")
	}
	t.Logf("%d files were trusted, %d labelled after", trusted, seen)
}
