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
	"time"

	"golang.org/x/sys/unix"
)

// Attribute is the extended attribute that holds a file's label. Without SELinux it is a plain one.
const Attribute = "security.selinux"

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
	// Planned may be nil. It is called once the first pass is done, where something is to be changed, before anything is written to the tree;
	// an error ends Set, and nothing was changed.
	Planned func(*Report) error
	// Quick is for Set. Directories that have not changed since Set found or made everything as this very change asks are not read again. That
	// does not see what somebody relabelled or chowned in its place.
	Quick bool
}

// Progress is how far Set or Undo is.
type Progress struct {
	Files int // done
	Total int // 0 as long as files are being read, and it is not known
}

// Report is what was found and done.
type Report struct {
	Files   int            `json:"files"`             // in the tree
	Trusted int            `json:"trusted,omitempty"` // of these, in directories that did not change and were not read
	Changes int            `json:"changes"`           // files to change, of Set and Undo: that were changed
	Owners  int            `json:"owners,omitempty"`  // of the changes, those of owners, as planned
	From    map[string]int `json:"from,omitempty"`    // labels that are to be changed, "" for none, with how many files have them
	// FromOthers is how many files have labels that are not in From, which holds some thousands.
	FromOthers int      `json:"from_others,omitempty"`
	Mounts     []string `json:"mounts,omitempty"` // beneath the tree, relative to it, sorted
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
	report, err := set(path, change, journal, options)
	if errors.Is(err, errNotQuick) {
		options.Quick = false
		report, err = set(path, change, journal, options)
	}
	return report, err
}

func set(path string, change Change, journal string, options Options) (*Report, error) {
	t, err := openTree(path, options.Mounts)
	if err != nil {
		return nil, err
	}
	defer t.close()
	started := time.Now()
	book := &book{path: journal, begin: begin{Change: change, crossed: options.Mounts == CrossMounts}}
	if options.Quick {
		if known := checkStamps(t, journal, book.begin, &stamper{}); known != nil && len(known.changed) == 0 {
			return &Report{Files: known.files, Trusted: known.files, Took: time.Since(started)}, nil
		}
	}
	defer book.close()
	if err := book.openExisting(); err != nil {
		return nil, err
	}
	scan := newScan(path, t, change, options, book)
	scan.stamps = startStamps(t, journal, book.begin)
	defer scan.stamps.abandon()
	if options.Quick {
		scan.known = checkStamps(t, journal, book.begin, scan.stamps)
	}
	report, err := scan.run()
	if err == nil && report.Changes == 0 && len(report.Mounts) == 0 {
		scan.stamps.finish()
	}
	if err == nil && report.Changes > 0 && options.Planned != nil {
		err = options.Planned(report)
	}
	if err != nil || report.Changes == 0 {
		return report, errors.Join(err, book.discard())
	}
	if err := scan.apply(); err != nil {
		return nil, err
	}
	report.Took = time.Since(started)
	return report, nil
}

// apply is the second pass. What it does is in the report.
func (s *scan) apply() error {
	if err := errors.Join(dropStamps(s.path, s.book.path), s.book.commit()); err != nil {
		return errors.Join(err, s.book.discard())
	}
	pass := &pass{tree: s.tree, total: s.report.Changes, progress: s.options.Progress, stamps: s.stamps, each: (*tree).change}
	err := pass.run(s.book.file, s.book.start)
	if err != nil {
		err = errors.Join(unsupported(s.path, s.change, fmt.Errorf("labelling %s: %w", s.path, err)), s.book.putBack(s.tree))
	}
	if err = errors.Join(err, dropStamps(s.path, s.book.path)); err != nil {
		return err
	}
	s.report.Changes, s.report.Left = pass.changed, pass.sortedLeft()
	if len(s.report.Mounts) == 0 {
		s.stamps.finish()
	}
	return nil
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
	if err := dropStamps(path, journal); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, transaction := range slices.Backward(book.found) {
		pass := &pass{tree: t, total: transaction.files, progress: options.Progress, each: (*tree).restore}
		if err := pass.run(book.file, transaction.start); err != nil {
			return nil, fmt.Errorf("undoing %s: %w", path, err)
		}
		if err := book.cut(transaction.start); err != nil {
			return nil, err
		}
		report.Files, report.Changes, report.Left = max(report.Files, pass.files), report.Changes+pass.changed, append(report.Left, pass.sortedLeft()...)
	}
	report.Left, report.Took = slices.Compact(report.Left), time.Since(started)
	return report, errors.Join(dropStamps(path, journal), book.remove())
}

// Read returns the label of what path leads to, "" for none.
func Read(path string) (string, error) { return labelText(path, unix.Getxattr) }

// ReadLink is Read that follows no symbolic link at the path's end.
func ReadLink(path string) (string, error) { return labelText(path, unix.Lgetxattr) }

func labelText(path string, get func(path, attribute string, into []byte) (int, error)) (string, error) {
	label, err := readLabel(func(into []byte) (int, error) { return get(path, Attribute, into) }, make([]byte, labelRoom))
	return string(bytes.TrimSuffix(label, []byte{0})), err
}
