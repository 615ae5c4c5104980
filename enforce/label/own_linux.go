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
	if held, err := readLabel(unix.Getxattr, handle(t.root), make([]byte, 256)); err != nil || bytes.Equal(held, value) {
		return err
	}
	visit := func(_ string, descriptor int, files []found) error {
		for i := range files {
			if err := t.set(descriptor, files[i].name, value); err != nil {
				return fmt.Errorf("%s: %w", files[i].name, err)
			}
		}
		return nil
	}
	err = (&walker{tree: t, visit: visit, mount: func(string) {}}).run(workers)
	if err == nil {
		err = unix.Setxattr(handle(t.root), Attribute, value, 0)
	}
	if err != nil {
		return fmt.Errorf("labelling layer %s: %w", directory, err)
	}
	return nil
}

func (t *tree) set(directory int, name string, value []byte) error {
	descriptor, err := t.open(directory, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(descriptor)
	return unix.Setxattr(handle(descriptor), Attribute, value, 0)
}
