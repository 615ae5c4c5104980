// SPDX-License-Identifier: Apache-2.0

// Package label gives the files of a tree their label and owner, and takes it back.
//
// A relabelling has two passes. The first walks the tree with several workers, reads every file's label and writes what the files that differ
// have into the journal; hard links into other trees are found by it, and mounts, and file systems that hold no labels. Only when the journal
// is on the disk does the second pass go through it and change the files, each by a descriptor of the very file that the first pass read. So
// nothing is changed that Undo could not restore, whenever the process is killed, and doing the same again finishes what was begun.
//
// What other processes do to the tree meanwhile can keep files from being labelled, which is then reported, and cannot lead out of the tree:
// no symbolic link is followed. One thing is not ruled out: who owns a file in another tree of the same mount, or is not kept by
// fs.protected_hardlinks from linking others' files, can have it labelled by moving its hard link about during both passes.
package label

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// Attribute is the extended attribute that holds a file's label. Without SELinux it is a plain one.
const Attribute = "security.selinux"

// workers is how many directories are worked on at once. More than a few gain nothing: they meet in the file system's own journal.
const workers = 4

// Owner is the user and group that :U gives a volume to.
type Owner struct{ UID, GID int }

// Change is what Set does to every file of a tree. Empty fields change nothing.
type Change struct {
	Label string // Attribute, without the zero byte that it ends with
	Owner *Owner
}

// Mounts says what becomes of other mounts beneath the tree.
type Mounts int

// The ways.
const (
	SkipMounts   Mounts = iota // they keep what they have
	RefuseMounts               // the tree is refused
	CrossMounts                // they are part of the tree
)

// Options of Plan and Set.
type Options struct {
	Mounts   Mounts
	Progress func(Progress) // may be nil; called by one goroutine at a time
}

// Progress is how far Set or Undo is.
type Progress struct {
	Files int // done
	Total int // 0 as long as files are being read, and it is not known
}

// Report is what was found and done.
type Report struct {
	Files   int            `json:"files"`            // in the tree
	Changes int            `json:"changes"`          // files to change, of Set and Undo: that were changed
	From    map[string]int `json:"from,omitempty"`   // labels that are to be changed, "" for none, with how many files have them
	Mounts  []string       `json:"mounts,omitempty"` // beneath the tree, relative to it, sorted
	// Left are files that were left as they are, because they are not any more what they were, sorted.
	Left []Left `json:"left,omitempty"`
	// Took is how long reading took, and changing.
	Took time.Duration `json:"-"`
}

// Left is a file that was not touched.
type Left struct {
	Path   string `json:"path"` // relative to the tree
	Reason string `json:"reason"`
}

// JournalPath is where the journal of a tree is kept, under the state directory.
func JournalPath(state, tree string) string {
	sum := sha256.Sum256([]byte(tree))
	return filepath.Join(state, "journal", hex.EncodeToString(sum[:16]))
}

// Plan says what Set would do, and changes nothing. It fails as Set would.
func Plan(path string, change Change, options Options) (*Report, error) {
	t, err := openTree(path, options.Mounts)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return newScan(path, t, change, options, nil).run()
}

// Set changes every file beneath path, which is absolute, path included. What a file had is in the file journal before anything is changed. A
// file that already is as asked is not touched. On an error everything that this call changed is put back.
func Set(path string, change Change, journal string, options Options) (*Report, error) {
	t, err := openTree(path, options.Mounts)
	if err != nil {
		return nil, err
	}
	defer t.close()
	book := &book{path: journal, begin: begin{change, options.Mounts == CrossMounts}}
	defer book.close()
	if err := book.openExisting(); err != nil {
		return nil, err
	}
	started := time.Now()
	report, err := newScan(path, t, change, options, book).run()
	if err != nil || report.Changes == 0 {
		return report, errors.Join(err, book.discard())
	}
	if err := book.commit(); err != nil {
		return nil, errors.Join(err, book.discard())
	}
	pass := &pass{tree: t, total: report.Changes, progress: options.Progress, each: (*tree).change}
	if err := pass.run(book.section(book.start)); err != nil {
		return nil, errors.Join(unsupported(path, change, fmt.Errorf("labelling %s: %w", path, err)), book.putBack(t))
	}
	report.Changes, report.Left, report.Took = pass.changed, pass.sortedLeft(), time.Since(started)
	return report, nil
}

// Undo restores what every file of the tree had before it was first changed, newest change first, and removes the journal. Files that are gone,
// were replaced by others, or have an owner that no relabelling gave them, are reported and left alone.
func Undo(path, journal string, options Options) (*Report, error) {
	book := &book{path: journal}
	defer book.close()
	if err := book.openExisting(); err != nil {
		return nil, err
	}
	if book.file == nil {
		return nil, fmt.Errorf("%s: %w", journal, unix.ENOENT)
	}
	started := time.Now()
	t, err := openTree(path, SkipMounts)
	if err != nil {
		return nil, err
	}
	defer t.close()
	report := &Report{}
	for _, transaction := range slices.Backward(book.found) {
		pass := &pass{tree: t, total: transaction.files, progress: options.Progress, each: (*tree).restore}
		if err := pass.run(book.section(transaction.start)); err != nil {
			return nil, fmt.Errorf("undoing %s: %w", path, err)
		}
		if err := book.file.Truncate(transaction.start); err != nil {
			return nil, err
		}
		report.Files, report.Changes, report.Left = max(report.Files, pass.files), report.Changes+pass.changed, append(report.Left, pass.sortedLeft()...)
	}
	report.Left, report.Took = slices.Compact(report.Left), time.Since(started)
	return report, book.remove()
}

// scan is the first pass.
type scan struct {
	path    string
	tree    *tree
	change  Change
	options Options
	book    *book // nil: nothing is to be written
	report  *Report

	lock  sync.Mutex
	links map[inode]*links
}

type inode struct{ device, number uint64 }

// links are the hard links of a file that is to be changed.
type links struct {
	path        string // the first of them
	seen, total uint32
}

func newScan(path string, t *tree, change Change, options Options, book *book) *scan {
	return &scan{path: path, tree: t, change: change, options: options, book: book, report: &Report{From: map[string]int{}}, links: map[inode]*links{}}
}

func (s *scan) run() (*Report, error) {
	started := time.Now()
	root := found{name: "."}
	if err := statx(s.tree.root, "", &root.stat); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	if _, err := readLabel(unix.Getxattr, handle(s.tree.root), make([]byte, 256)); err != nil && s.change.Label != "" {
		return nil, unsupported(s.path, s.change, fmt.Errorf("%s: %w", s.path, err))
	}
	err := s.visit("", s.tree.root, []found{root})
	if err == nil && root.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = (&walker{tree: s.tree, visit: s.visit, mount: s.mount}).run(workers)
	}
	if err != nil {
		return nil, unsupported(s.path, s.change, fmt.Errorf("reading the labels of %s: %w", s.path, err))
	}
	slices.Sort(s.report.Mounts)
	s.report.Took = time.Since(started)
	return s.report, errors.Join(s.refuseMounts(), s.refuseLinks())
}

func (s *scan) mount(path string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.report.Mounts = append(s.report.Mounts, path)
}

func (s *scan) refuseMounts() error {
	if s.options.Mounts != RefuseMounts || len(s.report.Mounts) == 0 {
		return nil
	}
	return &plan.RefusedError{Subject: filepath.Join(s.path, s.report.Mounts[0]), Reason: "something else is mounted there",
		Hint: "--mounts=skip leaves it as it is, --mounts=cross labels it too"}
}

// refuseLinks refuses a tree with a file that other trees have too: its label would change there as well.
func (s *scan) refuseLinks() error {
	var worst *links
	for _, file := range s.links {
		if worst == nil || file.path < worst.path {
			worst = file
		}
	}
	if worst == nil {
		return nil
	}
	return &plan.RefusedError{Subject: filepath.Join(s.path, worst.path), Reason: fmt.Sprintf("%d hard links lead to it from outside the volume", worst.total-worst.seen),
		Hint: "copy the file, or leave out :z, :Z and :U"}
}

// visit reads the labels of some files of a directory, and journals those that are to be changed.
func (s *scan) visit(directory string, descriptor int, files []found) error {
	var (
		entries []entry
		buffer  = make([]byte, 256)
		last    []byte
		prefix  = handle(descriptor) + "/"
	)
	for i := range files {
		stat := &files[i].stat
		label, err := read(prefix, files[i].name, buffer)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil && s.change.Label != "" {
			return fmt.Errorf("%s: %w", files[i].name, err)
		}
		if !s.change.differs(label, stat.Uid, stat.Gid) {
			continue
		}
		if label != nil && (last == nil || !bytes.Equal(label, last)) {
			last = bytes.Clone(label)
		}
		made := entry{name: files[i].name, inode: stat.Ino, uid: stat.Uid, gid: stat.Gid, mode: uint32(stat.Mode) & 0o7777,
			linked: stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR}
		if label != nil {
			made.label = last
		}
		if made.linked {
			s.link(filepath.Join(directory, made.name), stat)
		}
		entries = append(entries, made)
	}
	return s.note(directory, len(files), entries)
}

// link counts a hard link; a file whose links are all in the tree is forgotten again.
func (s *scan) link(path string, stat *unix.Statx_t) {
	s.lock.Lock()
	defer s.lock.Unlock()
	key := inode{uint64(stat.Dev_major)<<32 | uint64(stat.Dev_minor), stat.Ino}
	file := s.links[key]
	if file == nil {
		file = &links{path: path, total: stat.Nlink}
		s.links[key] = file
	}
	file.path = min(file.path, path)
	if file.seen++; file.seen >= file.total {
		delete(s.links, key)
	}
}

func (s *scan) note(directory string, files int, entries []entry) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.report.Files += files
	s.report.Changes += len(entries)
	for _, file := range entries {
		s.report.From[strings.TrimSuffix(string(file.label), "\x00")]++
	}
	if s.options.Progress != nil {
		s.options.Progress(Progress{Files: s.report.Files})
	}
	if s.book == nil || len(entries) == 0 {
		return nil
	}
	return s.book.add(directory, entries)
}

func (c Change) differs(label []byte, uid, gid uint32) bool {
	return c.relabels(label) || c.Owner != nil && (int(uid) != c.Owner.UID || int(gid) != c.Owner.GID)
}

func (c Change) relabels(label []byte) bool {
	return c.Label != "" && string(bytes.TrimSuffix(label, []byte{0})) != c.Label
}

// Read returns the label of what path leads to, "" for none.
func Read(path string) (string, error) {
	return labelText(readLabel(unix.Getxattr, path, make([]byte, 256)))
}

// ReadLink is Read that follows no symbolic link at the path's end.
func ReadLink(path string) (string, error) {
	return labelText(readLabel(unix.Lgetxattr, path, make([]byte, 256)))
}

func labelText(label []byte, err error) (string, error) {
	return string(bytes.TrimSuffix(label, []byte{0})), err
}

// read reads the label of a file by its name in a directory, or of the tree itself.
func read(prefix, name string, buffer []byte) ([]byte, error) {
	if name == "." {
		return readLabel(unix.Getxattr, strings.TrimSuffix(prefix, "/"), buffer)
	}
	return readLabel(unix.Lgetxattr, prefix+name, buffer)
}

// readLabel returns nil for a file without a label. What is returned may lie in buffer.
func readLabel(get func(path, attribute string, into []byte) (int, error), path string, buffer []byte) ([]byte, error) {
	size, err := get(path, Attribute, buffer)
	if errors.Is(err, unix.ERANGE) {
		buffer = make([]byte, maximum)
		size, err = get(path, Attribute, buffer)
	}
	if errors.Is(err, unix.ENODATA) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return buffer[:size], nil
}
