// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// scan is the first pass.
type scan struct {
	path    string
	tree    *tree
	change  Change
	options Options
	book    *book // nil: nothing is to be written
	stamps  *stamper
	known   *stamped     // nil: all is read
	owners  atomic.Int64 // files whose owner is to be changed

	lock   sync.Mutex
	report *Report
	labels labelTable
	links  linkTable
}

// errNotQuick says that the other links of a file may be in directories that were not read.
var errNotQuick = errors.New("all directories have to be read")

// labelTable numbers the labels of files that are to be changed, and counts these files.
type labelTable struct {
	numbers map[string]uint64
	counts  []int // by number
	bytes   int
}

// scratch is what a worker has for the record that it makes.
type scratch struct {
	entries []byte
	record  []byte

	// what the worker knows of labelTable
	numbers    map[string]uint64
	last       []byte
	lastNumber uint64
	counts     []int // that are not in labelTable yet
}

func newScan(path string, t *tree, change Change, options Options, book *book) *scan {
	return &scan{path: path, tree: t, change: change, options: options, book: book, report: &Report{}, stamps: &stamper{},
		labels: labelTable{numbers: map[string]uint64{}, counts: make([]int, inlineLabel+1)}, links: newLinkTable(maximumLinks)}
}

func (s *scan) run() (*Report, error) {
	started := time.Now()
	err := s.read()
	if err != nil {
		return nil, unsupported(s.path, s.change, fmt.Errorf("reading the labels of %s: %w", s.path, err))
	}
	s.report.From = map[string]int{}
	for label, number := range s.labels.numbers {
		s.report.From[string(bytes.TrimSuffix([]byte(label), []byte{0}))] += s.labels.counts[number]
	}
	if unlabelled := s.labels.counts[0]; unlabelled > 0 {
		s.report.From[""] += unlabelled
	}
	s.report.Owners, s.report.FromOthers = int(s.owners.Load()), s.labels.counts[inlineLabel]
	slices.Sort(s.report.Mounts)
	if s.known != nil {
		s.report.Files, s.report.Trusted = s.report.Files+s.known.files, s.known.files
		if len(s.links.missing) > 0 || len(s.links.left) > 0 {
			return s.report, errNotQuick
		}
	}
	if err := s.refuseMounts(); err != nil {
		return s.report, err
	}
	err = s.refuseLinks()
	s.report.Took = time.Since(started)
	return s.report, err
}

// read reads the tree's own label first, by which a file system without labels is known before anything is written.
func (s *scan) read() error {
	root := found{name: []byte{'.', 0}}
	if err := statxDescriptor(s.tree.root, &root.stat); err != nil {
		return err
	}
	if _, err := (pinned{s.tree.root, true}).label(make([]byte, labelRoom)); err != nil && s.change.Label != "" {
		return err
	}
	walker := &walker{tree: s.tree, visit: s.visit, mount: s.mount, known: s.known}
	if root.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return walker.run()
	}
	return s.visit(walker.newWorker(), &place{descriptor: s.tree.root, onlyPath: true, files: []found{root}, first: true, last: true})
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

// visit reads the labels of some files of a directory, and journals those that are to be changed.
func (s *scan) visit(w *worker, at *place) error {
	scratch := w.scratch
	if at.first {
		scratch.entries = scratch.entries[:0]
	}
	if at.paused {
		at.whole = false
	}
	files, changes := 0, 0
	for i := range at.files {
		made, is, err := s.entry(w, at, &at.files[i])
		if err != nil {
			return fmt.Errorf("%s: %w", bytes.TrimSuffix(at.files[i].name, []byte{0}), err)
		}
		if is != ignoredFile && !made.noted {
			files++
		}
		if is != changedFile {
			at.whole = false
			continue
		}
		if !made.noted {
			changes++
			at.pending++
		}
		if scratch.entries = made.append(scratch.entries); len(scratch.entries) >= fullBody {
			at.whole = false
			if err := s.flush(scratch, at); err != nil {
				return err
			}
		}
	}
	at.count, at.changes = at.count+files, at.changes || changes > 0
	if at.last && at.own != nil && !(at.changes && at.whole) { // else the second pass stamps it
		s.stamps.addRead(at.directory, at.own, at.count, !at.changes)
	}
	if at.last || at.paused {
		if err := s.flush(scratch, at); err != nil {
			return err
		}
	}
	s.note(scratch, files, changes)
	return nil
}

// What visit makes of a file.
const (
	ignoredFile = iota // it is gone
	keptFile           // it is as asked
	changedFile        // it is to be changed, or noted
)

// entry looks at a file.
func (s *scan) entry(w *worker, at *place, file *found) (made entry, is int, err error) {
	stat := &file.stat
	if file.kind == unix.DT_DIR {
		return entry{name: file.name, inode: stat.Ino, noted: true}, changedFile, nil
	}
	var label []byte
	made = entry{name: file.name}
	if made.self() {
		label, err = pinned{at.descriptor, at.onlyPath}.label(w.label)
	} else {
		label, err = s.tree.labelOf(at.descriptor, file.name, w.label)
	}
	if errors.Is(err, unix.ENOENT) {
		return made, ignoredFile, nil
	}
	if err != nil && s.change.Label != "" {
		return made, ignoredFile, err
	}
	if !s.change.differs(label, stat.Uid, stat.Gid) {
		return made, keptFile, nil
	}
	made.inode, made.uid, made.gid, made.mode, made.label = stat.Ino, stat.Uid, stat.Gid, uint32(stat.Mode), label
	if s.change.chowns(stat.Uid, stat.Gid) {
		s.owners.Add(1)
	}
	made.linked = stat.Nlink > 1 && stat.Mode&unix.S_IFMT != unix.S_IFDIR
	if made.linked {
		s.lock.Lock()
		s.links.see(inodeOf(stat), stat.Nlink)
		s.lock.Unlock()
	}
	made.number, err = s.number(w.scratch, label)
	return made, changedFile, err
}

func inodeOf(stat *unix.Statx_t) inode {
	return inode{uint64(stat.Dev_major)<<32 | uint64(stat.Dev_minor), stat.Ino}
}

// number returns the number of a label, which is in the journal before files that have it, and counts it.
func (s *scan) number(known *scratch, label []byte) (uint64, error) {
	if known.numbers == nil {
		known.numbers, known.counts = map[string]uint64{}, make([]int, inlineLabel+1)
	}
	if label == nil {
		known.counts[0]++
		return 0, nil
	}
	if known.lastNumber == 0 || !bytes.Equal(label, known.last) {
		number := known.numbers[string(label)]
		if number == 0 {
			var err error
			if number, err = s.newNumber(label); err != nil {
				return 0, err
			}
			if number == inlineLabel {
				known.counts[inlineLabel]++
				return inlineLabel, nil
			}
			known.numbers[string(label)] = number
		}
		known.last, known.lastNumber = append(known.last[:0], label...), number
	}
	known.counts[known.lastNumber]++
	return known.lastNumber, nil
}

func (s *scan) newNumber(label []byte) (uint64, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	table := &s.labels
	if number := table.numbers[string(label)]; number != 0 {
		return number, nil
	}
	if len(table.numbers) == numberedLabels || table.bytes+len(label) > numberedLabelBytes {
		return inlineLabel, nil
	}
	number := uint64(len(table.numbers) + 1)
	table.numbers[string(label)] = number
	table.bytes += len(label)
	if s.book == nil {
		return number, nil
	}
	return number, s.book.add(appendRecord(nil, kindLabel, label))
}

// flush journals what was found of a directory.
func (s *scan) flush(scratch *scratch, at *place) error {
	entries := scratch.entries
	scratch.entries = entries[:0]
	made := piece{directory: at.directory, whole: at.whole && at.last, changes: at.pending}
	at.pending = 0
	if made.changes == 0 || s.book == nil {
		return nil
	}
	scratch.record = made.encode(scratch.record[:0], entries)
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.book.add(scratch.record)
}

func (s *scan) note(scratch *scratch, files, changes int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.report.Files += files
	s.report.Changes += changes
	if changes > 0 {
		for number, count := range scratch.counts[:len(s.labels.numbers)+1] {
			s.labels.counts[number] += count
		}
		s.labels.counts[inlineLabel] += scratch.counts[inlineLabel]
		clear(scratch.counts[:len(s.labels.numbers)+1])
		scratch.counts[inlineLabel] = 0
	}
	if s.options.Progress != nil && files > 0 {
		s.options.Progress(Progress{Files: s.report.Files})
	}
}

func (c Change) differs(label []byte, uid, gid uint32) bool {
	return c.relabels(label) || c.chowns(uid, gid)
}

func (c Change) chowns(uid, gid uint32) bool {
	return c.Owner != nil && (int(uid) != c.Owner.UID || int(gid) != c.Owner.GID)
}

func (c Change) relabels(label []byte) bool {
	return c.Label != "" && string(bytes.TrimSuffix(label, []byte{0})) != c.Label
}
