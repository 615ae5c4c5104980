// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// refuseLinks refuses a tree with a file that other trees have too: its label would change there as well.
func (s *scan) refuseLinks() error {
	for len(s.links.missing) == 0 {
		if !s.links.next() {
			return nil
		}
		if err := s.walkLinks(func(_ string, file inode, links uint32) { s.links.see(file, links) }); err != nil {
			return err
		}
	}
	var path string
	var outside uint32
	err := s.walkLinks(func(at string, file inode, _ uint32) {
		if missing := s.links.missing[file]; missing > 0 && (path == "" || at < path) {
			path, outside = at, missing
		}
	})
	if err != nil {
		return err
	}
	return &plan.RefusedError{Subject: filepath.Join(s.path, path), Reason: fmt.Sprintf("%d hard links lead to it from outside the volume", outside),
		Hint: "copy the file, or leave out :z, :Z and :U"}
}

// walkLinks walks the tree for files with several hard links that are to be changed. It calls visit with one at a time.
func (s *scan) walkLinks(visit func(path string, file inode, links uint32)) error {
	look := func(w *worker, at *place) error {
		for i := range at.files {
			file := &at.files[i]
			stat := &file.stat
			if file.kind == unix.DT_DIR || stat.Nlink < 2 || stat.Mode&unix.S_IFMT == unix.S_IFDIR {
				continue
			}
			label, err := s.tree.labelOf(at.descriptor, file.name, w.label)
			if err != nil && s.change.Label != "" || !s.change.differs(label, stat.Uid, stat.Gid) {
				continue // the first pass had it
			}
			s.lock.Lock()
			visit(filepath.Join(at.directory, strings.TrimSuffix(string(file.name), "\x00")), inodeOf(stat), stat.Nlink)
			s.lock.Unlock()
		}
		return nil
	}
	return (&walker{tree: s.tree, visit: look, mount: func(string) {}}).run()
}
