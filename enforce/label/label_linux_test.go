// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

const newLabel = "system_u:object_r:container_file_t:s0:c1,c2"

// state is what Set may change of a file, and what tells that it is the same file.
type state struct {
	inode         uint64
	mode          uint32
	uid, gid      uint32
	label         string
	labelled      bool
	linkOrContent string
}

func stateOf(t *testing.T, path string) state {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	s := state{inode: stat.Ino, mode: stat.Mode, uid: stat.Uid, gid: stat.Gid}
	buffer := make([]byte, 4096)
	size, err := unix.Lgetxattr(path, Attribute, buffer)
	if err != nil && err != unix.ENODATA {
		t.Fatalf("%s: %v", path, err)
	}
	if err == nil {
		s.label, s.labelled = string(buffer[:size]), true
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		s.linkOrContent, _ = os.Readlink(path)
	case unix.S_IFREG:
		content, _ := os.ReadFile(path)
		s.linkOrContent = string(content)
	}
	return s
}

// snapshot returns the state of every file beneath root, root included.
func snapshot(t *testing.T, root string) map[string]state {
	t.Helper()
	all := map[string]state{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		all[path] = stateOf(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// temporary is a directory in memory where that can hold labels, since tests wait for the disk most of the time.
func temporary(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("/dev/shm", "label-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	if unix.Setxattr(directory, Attribute, []byte("x"), 0) != nil || unix.Removexattr(directory, Attribute) != nil {
		return t.TempDir()
	}
	return directory
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// randomTree makes files of every kind, with labels, owners and modes of every kind, some of them leading outside.
func randomTree(t *testing.T, random *rand.Rand, root, outside string) {
	t.Helper()
	must(t, os.MkdirAll(root, 0o755))
	directories, files := []string{root}, []string{}
	for i := range 40 {
		name := fmt.Sprintf("%d%s", i, []string{"", "\xff\xfe", " \n\"", "ü", strings.Repeat("x", 200)}[random.IntN(5)])
		path := filepath.Join(directories[random.IntN(len(directories))], name)
		switch random.IntN(6) {
		case 0, 1:
			must(t, os.Mkdir(path, 0o755))
			directories = append(directories, path)
		case 2:
			must(t, os.Symlink([]string{outside, "..", "gone", filepath.Join(outside, "kept")}[random.IntN(4)], path))
		case 3:
			must(t, unix.Mkfifo(path, 0o600))
		case 4:
			if len(files) > 0 {
				must(t, os.Link(files[random.IntN(len(files))], path))
				continue
			}
			fallthrough
		default:
			must(t, os.WriteFile(path, []byte(name), 0o644))
			files = append(files, path)
		}
		must(t, os.Lchown(path, random.IntN(3)*1000, random.IntN(3)*1000))
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && random.IntN(3) == 0 {
			must(t, unix.Chmod(path, 0o6755))
		}
		if label := []string{"", "a:b:c:s0\x00", "a:b:c:s0", newLabel + "\x00", newLabel, "\xff\x00\xfe"}[random.IntN(6)]; label != "" {
			must(t, unix.Lsetxattr(path, Attribute, []byte(label), 0))
		}
	}
}

// relabel is Set as `bulkhead run` uses it.
func relabel(tree string, change Change, journal string) (changed int, err error) {
	report, err := Set(tree, change, journal, Options{})
	if err != nil {
		return 0, err
	}
	return report.Changes, nil
}

func undo(tree, journal string) error {
	_, err := Undo(tree, journal, Options{})
	return err
}

func TestUndoRestoresEverything(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		base := t.TempDir()
		tree, outside, journal := filepath.Join(base, "tree"), filepath.Join(base, "outside"), filepath.Join(base, "journal")
		must(t, os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "kept"), nil, 0o644))
		randomTree(t, random, tree, outside)
		before, beyond := snapshot(t, tree), snapshot(t, outside)

		change := []Change{{Label: newLabel}, {Owner: &Owner{1234, 5678}}, {newLabel, &Owner{1000, 1000}}}[seed%3]
		changed, err := relabel(tree, change, journal)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkChanged(t, before, snapshot(t, tree), change)
		if seed%2 == 0 { // a second change on top of the first
			if _, err := relabel(tree, Change{"x:y:z:s0", &Owner{7, 7}}, journal); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		} else if again, err := relabel(tree, change, journal); err != nil || again != 0 {
			t.Fatalf("seed %d: doing it again changes %d files of %d, %v", seed, again, changed, err)
		}
		if err := undo(tree, journal); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if after := snapshot(t, tree); !maps.Equal(before, after) {
			for path := range before {
				if before[path] != after[path] {
					t.Errorf("seed %d: %q was %+v and is %+v", seed, path, before[path], after[path])
				}
			}
		}
		if after := snapshot(t, outside); !maps.Equal(beyond, after) {
			t.Errorf("seed %d: what lies outside was changed: %+v", seed, after)
		}
		if _, err := os.Lstat(journal); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("seed %d: the journal is still there: %v", seed, err)
		}
	}
}

func checkChanged(t *testing.T, before, after map[string]state, change Change) {
	t.Helper()
	for path, now := range after {
		if change.Label != "" && strings.TrimSuffix(now.label, "\x00") != change.Label {
			t.Errorf("%q has the label %q", path, now.label)
		}
		if change.Label == "" && now.label != before[path].label {
			t.Errorf("%q: an unasked label %q", path, now.label)
		}
		if owner := change.Owner; owner != nil && (int(now.uid) != owner.UID || int(now.gid) != owner.GID) {
			t.Errorf("%q belongs to %d:%d", path, now.uid, now.gid)
		}
		if change.Owner == nil && (now.uid != before[path].uid || now.gid != before[path].gid || now.mode != before[path].mode) {
			t.Errorf("%q: an unasked owner or mode", path)
		}
	}
}

// small makes a tree of a few files: a, d/b, d/c, z.
func small(t *testing.T) (tree, journal string) {
	t.Helper()
	return smallIn(t, temporary(t))
}

func smallIn(t *testing.T, base string) (tree, journal string) {
	t.Helper()
	tree = filepath.Join(base, "tree")
	must(t, os.MkdirAll(filepath.Join(tree, "d"), 0o755))
	for _, name := range []string{"a", "d/b", "d/c", "z"} {
		must(t, os.WriteFile(filepath.Join(tree, name), []byte(name), 0o644))
	}
	return tree, filepath.Join(base, "journal")
}

func TestHardLinkFromOutsideIsRefused(t *testing.T) {
	tree, journal := small(t)
	must(t, os.Link(filepath.Join(tree, "d/b"), filepath.Join(filepath.Dir(tree), "elsewhere")))
	before := snapshot(t, tree)
	_, err := relabel(tree, Change{Label: newLabel}, journal)
	var refused *plan.RefusedError
	if !errors.As(err, &refused) || refused.Subject != filepath.Join(tree, "d/b") {
		t.Errorf("got %v", err)
	}
	if !maps.Equal(before, snapshot(t, tree)) {
		t.Error("something was changed before the refusal")
	}
	if _, err := os.Lstat(journal); err == nil {
		t.Error("there is a journal of nothing")
	}
}

func TestMountPointsAreNotCrossed(t *testing.T) {
	for name, mount := range map[string]func(target, elsewhere string) error{
		"tmpfs":          func(target, _ string) error { return unix.Mount("tmpfs", target, "tmpfs", 0, "") },
		"sameFileSystem": func(target, elsewhere string) error { return unix.Mount(elsewhere, target, "", unix.MS_BIND, "") },
		"itselfOnceMore": func(target, _ string) error { return unix.Mount(filepath.Dir(target), target, "", unix.MS_BIND, "") },
	} {
		t.Run(name, func(t *testing.T) {
			tree, journal := small(t)
			elsewhere, target := t.TempDir(), filepath.Join(tree, "d")
			must(t, os.WriteFile(filepath.Join(elsewhere, "host"), nil, 0o600))
			must(t, mount(target, elsewhere))
			t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
			must(t, os.WriteFile(filepath.Join(target, "within"), nil, 0o600))
			mounted := stateOf(t, target)
			if changed, err := relabel(tree, Change{newLabel, &Owner{1, 1}}, journal); err != nil || changed < 3 {
				t.Fatalf("%d changed, %v", changed, err)
			}
			if name != "itselfOnceMore" {
				if now := stateOf(t, target); now != mounted {
					t.Errorf("the mounted root was changed: %+v", now)
				}
				if now := stateOf(t, filepath.Join(target, "within")); now.labelled || now.uid != 0 {
					t.Errorf("what is mounted was changed: %+v", now)
				}
			}
			if now := stateOf(t, filepath.Join(elsewhere, "host")); now.labelled || now.uid != 0 {
				t.Errorf("the host's file was changed: %+v", now)
			}
			if now := stateOf(t, filepath.Join(tree, "a")); !now.labelled {
				t.Error("nothing was labelled")
			}
			must(t, undo(tree, journal))
		})
	}
}

func TestErrorInTheMiddlePutsEverythingBack(t *testing.T) {
	tree, journal := small(t)
	if _, err := relabel(tree, Change{Label: "first:a:b:s0"}, journal); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, tree)
	kept, err := os.ReadFile(journal)
	must(t, err)
	stuck := filepath.Join(tree, "d/c")
	setImmutable(t, stuck, true)
	t.Cleanup(func() { setImmutable(t, stuck, false) })
	changed, err := relabel(tree, Change{newLabel, &Owner{5, 5}}, journal)
	if changed != 0 || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "d/c") {
		t.Errorf("%d changed, %v", changed, err)
	}
	if after := snapshot(t, tree); !maps.Equal(before, after) {
		t.Errorf("was %+v and is %+v", before, after)
	}
	if now, err := os.ReadFile(journal); err != nil || !bytes.Equal(now[headerSize:], kept[headerSize:]) {
		t.Errorf("the journal is not what it was before: %q, %v", now, err)
	}
}

func setImmutable(t *testing.T, path string, on bool) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	flags, err := unix.IoctlGetUint32(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	must(t, err)
	const immutable = 0x10 // FS_IMMUTABLE_FL
	flags &^= immutable
	if on {
		flags |= immutable
	}
	must(t, unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, int(flags)))
}

func TestTornEndOfTheJournalIsDropped(t *testing.T) {
	tree, journal := small(t)
	must(t, unix.Setxattr(filepath.Join(tree, "a"), Attribute, []byte("a:b:c:s0\x00"), 0))
	before := snapshot(t, tree)
	if _, err := relabel(tree, Change{newLabel, &Owner{9, 9}}, journal); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(journal)
	must(t, err, undo(tree, journal))
	must(t, os.WriteFile(journal, text[:len(text)-1], 0o600))
	if err := undo(tree, journal); err == nil || !strings.Contains(err.Error(), "its end is missing") && !strings.Contains(err.Error(), errTorn.Error()) {
		t.Fatalf("an end that had been committed is missing: %v", err)
	}
	clear(text[len(magic):headerSize]) // the slots, which are written after the commit
	for cut := range len(text) {       // a writer that was killed before the end had changed nothing yet
		if cut > len(magic)+4 && cut < headerSize-4 && cut%100 != 0 {
			continue
		}
		must(t, os.WriteFile(journal, text[:cut], 0o600))
		if _, err := relabel(tree, Change{Label: "later:a:b:s0"}, journal); err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		if cut%16 == 0 { // another one on top of it
			_, err := relabel(tree, Change{Label: "last:a:b:s0"}, journal)
			must(t, err)
		}
		must(t, undo(tree, journal))
		if after := snapshot(t, tree); !maps.Equal(before, after) {
			t.Fatalf("cut at byte %d: was %+v and is %+v", cut, before, after)
		}
	}
}

func TestDamagedJournalIsAnErrorAndKept(t *testing.T) {
	tree, journal := small(t)
	if _, err := relabel(tree, Change{Label: newLabel}, journal); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(journal)
	must(t, err)
	labelled := snapshot(t, tree)
	for at := range text {
		damaged := bytes.Clone(text)
		damaged[at] ^= 0x20
		must(t, os.WriteFile(journal, damaged, 0o600))
		if at >= len(magic) && at < headerSize { // a slot, which only confirms the commit
			if made, err := transactions(bytes.NewReader(damaged)); err != nil || len(made.found) != 1 {
				t.Fatalf("byte %d: got %+v, %v", at, made, err)
			}
			continue
		}
		err := undo(tree, journal)
		if err == nil || !strings.Contains(err.Error(), journal) {
			t.Fatalf("byte %d: got %v", at, err)
		}
		if _, err := relabel(tree, Change{Label: "x:y:z:s0"}, journal); err == nil || !strings.Contains(err.Error(), journal) {
			t.Fatalf("byte %d: got %v", at, err)
		}
		if kept, err := os.ReadFile(journal); err != nil || !bytes.Equal(kept, damaged) || !maps.Equal(labelled, snapshot(t, tree)) {
			t.Fatalf("byte %d: something was changed, %v", at, err)
		}
	}
}

func TestUndoLeavesReplacedFilesAlone(t *testing.T) {
	tree, journal := small(t)
	if _, err := relabel(tree, Change{newLabel, &Owner{9, 9}}, journal); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "b"), nil, 0o600), os.WriteFile(filepath.Join(tree, "new"), nil, 0o600))
	must(t, os.RemoveAll(filepath.Join(tree, "d")), os.Symlink(outside, filepath.Join(tree, "d"))) // a directory became a way out
	must(t, os.Rename(filepath.Join(tree, "new"), filepath.Join(tree, "a")))                       // another file of the same name
	must(t, os.Remove(filepath.Join(tree, "z")))
	replaced, beyond := stateOf(t, filepath.Join(tree, "a")), snapshot(t, outside)
	must(t, undo(tree, journal))
	if now := stateOf(t, filepath.Join(tree, "a")); now != replaced {
		t.Errorf("the other file was changed: %+v", now)
	}
	if !maps.Equal(beyond, snapshot(t, outside)) {
		t.Error("a file outside was changed through a symbolic link")
	}
	if now := stateOf(t, tree); now.labelled || now.uid != 0 {
		t.Errorf("the tree itself was not restored: %+v", now)
	}
}

func TestSingleFileIsATree(t *testing.T) {
	tree, journal := small(t)
	path := filepath.Join(tree, "a")
	if changed, err := relabel(path, Change{Label: newLabel}, journal); err != nil || changed != 1 {
		t.Fatalf("%d, %v", changed, err)
	}
	must(t, undo(path, journal))
	if now := stateOf(t, path); now.labelled {
		t.Errorf("got %+v", now)
	}
}

func TestSymbolicLinkAsTreeIsNotFollowed(t *testing.T) {
	tree, journal := small(t)
	link := filepath.Join(filepath.Dir(tree), "link")
	must(t, os.Symlink(tree, link))
	before := snapshot(t, tree)
	if changed, err := relabel(link, Change{Label: newLabel}, journal); err != nil || changed != 1 {
		t.Errorf("%d, %v", changed, err)
	}
	if !maps.Equal(before, snapshot(t, tree)) {
		t.Error("what the link leads to was changed")
	}
}

func TestPathsTooLongToUndoAreRefusedBeforeAnyChange(t *testing.T) {
	tree, journal := small(t)
	directory, err := unix.Open(tree, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	name := strings.Repeat("d", 250)
	for range 17 {
		must(t, unix.Mkdirat(directory, name, 0o755))
		inner, err := unix.Openat(directory, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(directory)
		directory = inner
	}
	unix.Close(directory)
	if _, err := relabel(tree, Change{Label: newLabel}, journal); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("got %v", err)
	}
	if now := stateOf(t, tree); now.labelled {
		t.Error("the tree was labelled all the same")
	}
}

func TestFileSystemWithoutLabelsIsAnErrorThatChangesNothing(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	if _, err := relabel("/proc/sys/kernel/random", Change{Label: newLabel}, journal); err == nil {
		t.Error("procfs was labelled")
	}
	if _, err := relabel(filepath.Join(t.TempDir(), "gone"), Change{Label: newLabel}, journal); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzJournal(f *testing.F) {
	made := func(directory, name string) []byte {
		out := append([]byte(magic), make([]byte, headerSize-len(magic))...)
		what := begin{Change: Change{"a:b:c:s0", &Owner{1, 2}}, crossed: true}
		out = appendRecord(appendRecord(out, kindBegin, what.encode(nil)), kindLabel, []byte("x:y:z:s0"))
		var entries []byte
		for _, had := range []entry{{name: []byte(name + "\x00"), inode: 1, number: 1}, {name: []byte("d\x00"), noted: true},
			{name: []byte(".\x00"), inode: 2, number: inlineLabel, label: []byte("y")}} {
			entries = had.append(entries)
		}
		files := piece{directory: directory, changes: 2}
		return append(files.encode(out, entries), commitRecord()...)
	}
	f.Add(made("", "."))
	f.Add(made("a/b", "c"))
	f.Add(made("../..", "etc"))
	f.Add(made("", "../outside"))
	f.Fuzz(func(t *testing.T, text []byte) {
		directory := temporary(t)
		tree, path := filepath.Join(directory, "tree"), filepath.Join(directory, "journal")
		must(t, os.Mkdir(tree, 0o755), os.WriteFile(path, text, 0o600))
		outside := stateOf(t, directory)
		err := undo(tree, path)
		if _, gone := os.Lstat(path); err == nil && gone == nil {
			t.Error("undone, and the journal is still there")
		}
		if now := stateOf(t, directory); now != outside {
			t.Errorf("a file outside the tree was changed: %+v", now)
		}
	})
}
