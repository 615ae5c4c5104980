// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// layerLabels are what the lower layers of containers may carry, the better one first: what every container may read and execute and none may
// write.
var layerLabels = []string{"system_u:object_r:container_ro_file_t:s0", "system_u:object_r:container_file_t:s0"}

// LabelLayer gives every file of an unpacked layer, a directory of Bulkhead's own, a label under which containers may execute it. The mount of an
// overlay has a label for all its files, and yet kernels such as 6.1 check mprotect(2), which every program calls at its start, against the
// label of the file below. The directory itself comes last, so that one that carries the label is done.
func LabelLayer(directory string) error {
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return err
	}
	for _, label := range layerLabels {
		err = host.CheckContext(label)
		if err == nil {
			return labelTree(directory, label)
		}
		var unknown *selinux.InvalidContextError
		if !errors.As(err, &unknown) {
			return err
		}
	}
	return err
}

func labelTree(directory, label string) error {
	value := append([]byte(label), 0)
	if held, err := readLabel(directory); err != nil || bytes.Equal(held, value) {
		return err
	}
	err := walk(directory, func(path string, descriptor int, _ *unix.Stat_t) error {
		if path == "." {
			return nil
		}
		return unix.Setxattr(handleOf(descriptor), labelAttribute, value, 0)
	})
	if err == nil {
		err = unix.Setxattr(directory, labelAttribute, value, 0)
	}
	if err != nil {
		return fmt.Errorf("labelling layer %s: %w", directory, err)
	}
	return nil
}

// Runs reports whether a process labelled process may run programs of a tree by the label that its directory carries, which is returned. Where one may not, kernels such
// as 6.1 end the program at its start, whatever the mount says: see LabelLayer. A tree without labels has that of its file system, which is not looked at.
func Runs(directory, process string) (label string, runs bool, err error) {
	value, err := readLabel(directory)
	if err != nil || len(value) == 0 {
		return "", true, nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return "", false, err
	}
	label = trimNUL(value)
	answer, err := host.Access(process, label, "file", "read", "execute")
	return label, answer["read"] && answer["execute"], err
}
