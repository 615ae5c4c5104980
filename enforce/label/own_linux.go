// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// Own gives every file of a directory of Bulkhead's own a label, which needs no journal. The directory itself comes last, so that one that
// carries the label is done.
func Own(directory, label string) error {
	t, err := openTree(directory, SkipMounts)
	if err != nil {
		return err
	}
	defer t.close()
	value := append([]byte(label), 0)
	root := pinned{t.root, true}
	if held, err := root.label(make([]byte, labelRoom)); err != nil || bytes.Equal(held, value) {
		return err
	}
	visit := func(_ *worker, at *place) error {
		for i := range at.files {
			if err := t.set(at, &at.files[i], value); err != nil {
				return fmt.Errorf("%s: %w", bytes.TrimSuffix(at.files[i].name, []byte{0}), err)
			}
		}
		return nil
	}
	err = (&walker{tree: t, visit: visit, mount: func(string) {}}).run()
	if err == nil {
		err = root.setLabel(value)
	}
	if err != nil {
		return fmt.Errorf("labelling layer %s: %w", directory, err)
	}
	return nil
}

// set labels a file as the walk meets it: a directory when it is there itself, and the tree never.
func (t *tree) set(at *place, file *found, value []byte) error {
	switch had := (&entry{name: file.name}); {
	case file.kind == unix.DT_DIR || had.self() && at.directory == "":
		return nil
	case had.self():
		return fsetxattr(at.descriptor, value)
	}
	descriptor, err := openName(at.descriptor, file.name, unix.O_PATH, t.resolve)
	if err != nil {
		return err
	}
	defer unix.Close(descriptor)
	return pinned{descriptor, true}.setLabel(value)
}
