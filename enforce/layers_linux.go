// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"

	"github.com/bulkhead-project/bulkhead/enforce/label"
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
	for _, context := range layerLabels {
		err = host.CheckContext(context)
		if err == nil {
			return label.Own(directory, context)
		}
		var unknown *selinux.InvalidContextError
		if !errors.As(err, &unknown) {
			return err
		}
	}
	return err
}

// Runs reports whether a process labelled process may run programs of a tree by the label that its directory carries, which is returned. Where one may not, kernels such
// as 6.1 end the program at its start, whatever the mount says: see LabelLayer. A tree without labels has that of its file system, which is not looked at.
func Runs(directory, process string) (files string, runs bool, err error) {
	files, err = label.Read(directory)
	if err != nil || files == "" {
		return "", true, nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return "", false, err
	}
	answer, err := host.Access(process, files, "file", "read", "execute")
	return files, answer["read"] && answer["execute"], err
}
