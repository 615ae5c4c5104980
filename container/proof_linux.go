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

// readProof reads what the program inside has found: an OCI runtime that leaves the program out leaves the file empty.
func readProof(probe string) inside.Proof {
	content, err := os.ReadFile(filepath.Join(probe, inside.ProbeFile))
	if err != nil {
		content = nil
	}
	return inside.ReadProof(content)
}

// acknowledge tells the program inside that the listener was taken.
func acknowledge(probe string) error {
	file, err := os.OpenFile(filepath.Join(probe, inside.ProbeFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(inside.Taken)
	return errors.Join(err, file.Close())
}
