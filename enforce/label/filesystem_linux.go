// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// CheckFileSystem refuses a tree, an absolute path without symbolic links, on whose file system no label can be set, before anything is written. Where
// SELinux runs, reading says nothing of that: the kernel makes a label up for every file.
func CheckFileSystem(path string, change Change) error {
	if change.Label == "" {
		return nil
	}
	current, err := Read(path)
	if err != nil {
		return unsupported(path, change, fmt.Errorf("%s: %w", path, err))
	}
	if current == change.Label {
		return nil // by context=, perhaps
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return nil
	}
	mounts, err := ReadMounts()
	if err != nil {
		return err
	}
	if in, _ := mounts.holding(path); !in.setsLabels() {
		return unsupported(path, change, fmt.Errorf("its files are %s, by the mount or by the policy: %w", current, unix.EOPNOTSUPP))
	}
	return nil
}

// setsLabels reports whether SELinux lets labels of this file system's files be set: it shows seclabel among the options then (security/selinux/hooks.c).
func (m mountPoint) setsLabels() bool {
	return slices.Contains(strings.Split(m.options, ","), "seclabel")
}

// unsupported turns the errors of a file system that holds no labels into what to do about it.
func unsupported(path string, change Change, err error) error {
	if change.Label == "" || !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return &plan.UnavailableError{Layer: "label", Reason: fmt.Sprintf("%s: %s holds no labels: %v", path, fileSystem(path), err),
		Hint: fmt.Sprintf("mount it with -o context=%q, which gives all of its files that label", change.Label)}
}

func fileSystem(path string) string {
	mounts, err := ReadMounts()
	if err != nil {
		return "its file system"
	}
	in, _ := mounts.holding(path)
	return fmt.Sprintf("its file system (%s, mounted on %s)", in.kind, in.path)
}
