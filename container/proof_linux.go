// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/bulkhead-project/bulkhead/inside"
)

// makeProbe makes the directory that the program inside of one process is given by descriptor. In it is a file that it must be refused once the
// Landlock domain holds, and into which it then writes, by a descriptor from before, that it was. The program may have any user, also of
// a user namespace, so that the file is open to all; the way to it is not.
func makeProbe(directory string) error {
	file := filepath.Join(directory, inside.ProbeFile)
	return errors.Join(os.Mkdir(directory, 0o755), os.Chmod(directory, 0o755), os.WriteFile(file, nil, 0o666), os.Chmod(file, 0o666))
}

// proven reports whether the program inside has found the domain to hold: an OCI runtime that leaves the program out leaves the file empty.
func proven(probe string) bool {
	info, err := os.Stat(filepath.Join(probe, inside.ProbeFile))
	return err == nil && info.Size() > 0
}
