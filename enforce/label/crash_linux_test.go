// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var crashes = flag.Int("crashes", 300, "random trees and crash points of TestCrashAtAnyPoint")

// The environment that turns the test binary into a process that labels until it is killed.
const killedTree = "LABEL_TEST_TREE"

func TestMain(m *testing.M) {
	if tree := os.Getenv(killedTree); tree != "" {
		fmt.Println("started")
		_, err := Set(tree, Change{newLabel, &Owner{77, 78}}, tree+".journal", Options{})
		fmt.Println("done", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// openAsOldKernels opens a tree, on request as if this were a kernel before 5.12.
func openAsOldKernels(t *testing.T, path string, old bool) *tree {
	t.Helper()
	opened, err := openTree(path, SkipMounts)
	must(t, err)
	if old && opened.inert >= 0 {
		unix.Close(opened.inert)
		opened.inert, opened.byName = -1, false
	}
	return opened
}

// setAndCrash is Set of a process that is killed when it has changed some files, in the middle of the last one if half.
func setAndCrash(t *testing.T, path string, change Change, journal string, files int, half bool) {
	t.Helper()
	tree := openAsOldKernels(t, path, files%2 == 0)
	defer tree.close()
	book := &book{path: journal, begin: begin{Change: change}}
	defer book.close()
	must(t, book.openExisting())
	report, err := newScan(path, tree, change, Options{}, book).run()
	must(t, err)
	if report.Changes == 0 {
		return
	}
	must(t, book.commit())
	crashing := &pass{tree: tree, each: crashAfter(files, half, (*treeOf).change)}
	must(t, crashing.run(book.file, book.start))
}

type eachFile = func(*tree, begin, *entry, pinned, *unix.Stat_t) (bool, error)

// treeOf is tree where a variable has that name.
type treeOf = tree

// crashAfter stops doing anything after some files, as a process that was killed does.
func crashAfter(files int, half bool, each eachFile) eachFile {
	var lock sync.Mutex
	return func(t *tree, what begin, had *entry, file pinned, stat *unix.Stat_t) (bool, error) {
		lock.Lock()
		defer lock.Unlock()
		files--
		if files < 0 {
			return false, nil
		}
		if files == 0 && half && what.Owner != nil {
			what.Label = ""
		}
		return each(t, what, had, file, stat)
	}
}

func undoAndCrash(t *testing.T, path, journal string, files int) {
	t.Helper()
	tree := openAsOldKernels(t, path, files%2 == 0)
	defer tree.close()
	book := &book{path: journal}
	defer book.close()
	must(t, book.openExisting())
	if book.file == nil || len(book.found) == 0 {
		return
	}
	last := book.found[len(book.found)-1]
	must(t, (&pass{tree: tree, each: crashAfter(files, false, (*treeOf).restore)}).run(book.file, last.start))
}

func TestCrashAtAnyPoint(t *testing.T) {
	disk, memory := t.TempDir(), temporary(t)
	for seed := range uint64(*crashes) {
		random := rand.New(rand.NewPCG(seed, 2))
		base := memory
		if seed%16 == 0 {
			base = disk
		}
		root := filepath.Join(base, "tree")
		journal, outside := filepath.Join(base, "journal"), filepath.Join(base, "outside")
		must(t, os.MkdirAll(outside, 0o755))
		randomTree(t, random, root, outside)
		before := snapshot(t, root)
		changes := []Change{{Label: newLabel}, {Owner: &Owner{1234, 5678}}, {newLabel, &Owner{1000, 1000}}, {Label: "x:y:z:s0"}}
		asked := changes[random.IntN(len(changes))]
		for range random.IntN(3) { // others were killed before it
			setAndCrash(t, root, changes[random.IntN(len(changes))], journal, random.IntN(45), random.IntN(2) == 0)
		}
		setAndCrash(t, root, asked, journal, random.IntN(45), random.IntN(2) == 0)
		if random.IntN(2) == 0 {
			if _, err := relabel(root, asked, journal); err != nil {
				t.Fatalf("seed %d: doing it again: %v", seed, err)
			}
			for path, now := range snapshot(t, root) {
				if asked.differs([]byte(now.label), now.uid, now.gid) {
					t.Fatalf("seed %d: after doing it again %q is %+v", seed, path, now)
				}
			}
		}
		for range random.IntN(3) {
			undoAndCrash(t, root, journal, random.IntN(45))
		}
		report, err := &Report{}, error(nil)
		if _, missing := os.Stat(journal); missing == nil {
			report, err = Undo(root, journal, Options{})
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(report.Left) != 0 {
			t.Fatalf("seed %d: left %v", seed, report.Left)
		}
		if after := snapshot(t, root); !maps.Equal(before, after) {
			for path := range before {
				if before[path] != after[path] {
					t.Errorf("seed %d: %q was %+v and is %+v", seed, path, before[path], after[path])
				}
			}
			t.FailNow()
		}
		must(t, os.RemoveAll(root))
	}
}

// wide makes a tree of 40 directories with 50 files each, labels of three kinds among them.
func wide(t *testing.T, root string) {
	t.Helper()
	for i := range 40 {
		directory := filepath.Join(root, fmt.Sprint(i%7), fmt.Sprint(i))
		must(t, os.MkdirAll(directory, 0o755))
		for j := range 50 {
			path := filepath.Join(directory, fmt.Sprint(j))
			must(t, os.WriteFile(path, nil, 0o644))
			if j%3 != 0 {
				must(t, unix.Setxattr(path, Attribute, fmt.Appendf(nil, "a:b:c:s%d\x00", j%3), 0))
			}
		}
	}
}

func TestKilledProcessIsUndoneAndResumed(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tree")
	wide(t, root)
	before := snapshot(t, root)
	killed := 0
	for round := range 12 {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), killedTree+"="+root)
		must(t, command.Start())
		time.Sleep(time.Duration(5+5*round) * time.Millisecond)
		must(t, command.Process.Kill())
		if command.Wait() != nil {
			killed++
		}
		if round%2 == 0 {
			if _, err := relabel(root, Change{newLabel, &Owner{77, 78}}, root+".journal"); err != nil {
				t.Fatal(err)
			}
			checkChanged(t, before, snapshot(t, root), Change{newLabel, &Owner{77, 78}})
		}
		if err := undo(root, root+".journal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if after := snapshot(t, root); !maps.Equal(before, after) {
			t.Fatalf("round %d: not as it was", round)
		}
	}
	if killed == 0 {
		t.Error("every process was done before it was killed")
	}
}

func TestSwappedDirectoriesDoNotLeadOut(t *testing.T) {
	base := temporary(t)
	root, outside, journal := filepath.Join(base, "tree"), filepath.Join(base, "outside"), filepath.Join(base, "journal")
	wide(t, root)
	wide(t, outside)
	beyond := snapshot(t, outside)
	stop := make(chan struct{})
	var attackers sync.WaitGroup
	for worker := range 3 {
		attackers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				number := worker + 3*random.IntN(13)
				name := fmt.Sprintf("%d/%d", number%7, number)
				directory, aside := filepath.Join(root, name), filepath.Join(base, fmt.Sprint("aside", worker))
				if random.IntN(2) == 0 { // a directory becomes a way out
					if os.Rename(directory, aside) == nil && os.Symlink(filepath.Join(outside, name), directory) == nil {
						os.Remove(directory)
						os.Rename(aside, directory)
					}
					continue
				}
				file := filepath.Join(directory, fmt.Sprint(random.IntN(50))) // and a file another one
				if os.Rename(file, aside) == nil {
					if random.IntN(2) == 0 {
						os.Symlink(filepath.Join(outside, name, "1"), file)
					} else {
						os.Link(filepath.Join(outside, name, "1"), file)
					}
					os.Remove(file)
					os.Rename(aside, file)
				}
			}
		})
	}
	rounds, refused := 0, 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); rounds++ {
		label := []string{newLabel, "x:y:z:s0"}[rounds%2]
		if _, err := relabel(root, Change{label, &Owner{rounds, rounds}}, journal); err != nil {
			refused++
		}
		if rounds%4 == 3 {
			if err := undo(root, journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("undo: %v", err)
			}
		}
	}
	close(stop)
	attackers.Wait()
	for path, was := range beyond {
		if now := stateOf(t, path); now != was {
			t.Errorf("%s outside was changed: %+v", path, now)
		}
	}
	if refused == rounds {
		t.Errorf("all %d rounds were refused", rounds)
	}
	t.Logf("%d rounds, %d refused for a hard link", rounds, refused)
}
