// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
)

// A pipe carries the label of whoever made it. At the execve into the container's label SELinux closes every descriptor that the label may
// not use and puts /dev/null there, without an error to anyone: the container's output is gone. So the kernel is asked beforehand.

// direction is what a standard descriptor needs.
var direction = map[int]string{0: "read", 1: "write", 2: "write"}

// CheckStdio makes sure that a process with that label can use the descriptors that it is to have as 0, 1 and 2. What it may not use and
// is a pipe or socket gets the container's label; what cannot be made usable is an *plan.UnavailableError.
func CheckStdio(label string, descriptors [3]int) error {
	if label == "" {
		return nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return err
	}
	for standard, descriptor := range descriptors {
		usable, err := mayUse(host, label, descriptor, direction[standard])
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", standard, err)
		}
		if usable {
			continue
		}
		if err := relabelPipe(host, label, descriptor, direction[standard]); err != nil {
			return &plan.UnavailableError{Layer: "selinux",
				Reason: fmt.Sprintf("a process labelled %s may not %s descriptor %d, and the kernel would silently put /dev/null there: %v", label, direction[standard], standard, err),
				Hint:   "let the policy allow it, or run with -d and read the output with `bulkhead logs`"}
		}
	}
	return nil
}

func mayUse(host selinux.Host, label string, descriptor int, permission string) (bool, error) {
	class, err := classOf(descriptor)
	if err != nil || class == "" {
		return err == nil, err
	}
	target, err := selinux.FileLabel(descriptor)
	if errors.Is(err, selinux.ErrNoLabel) || errors.Is(err, unix.ENOTSUP) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	answer, err := host.Access(label, target, class, permission)
	return answer[permission], err
}

// relabelPipe gives a pipe or socket the container's own label, and asks again.
func relabelPipe(host selinux.Host, label string, descriptor int, permission string) error {
	class, err := classOf(descriptor)
	if err != nil {
		return err
	}
	if class != "fifo_file" && class != "unix_stream_socket" {
		return fmt.Errorf("it is a %s, which keeps its label", class)
	}
	if err := selinux.SetFileLabel(descriptor, label); err != nil {
		return err
	}
	usable, err := mayUse(host, label, descriptor, permission)
	if err == nil && !usable {
		err = errors.New("refused with the container's own label too")
	}
	return err
}

// classOf returns the SELinux class of an open descriptor, "" for a closed one.
func classOf(descriptor int) (string, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		if errors.Is(err, unix.EBADF) {
			return "", nil
		}
		return "", err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return "fifo_file", nil
	case unix.S_IFSOCK:
		return "unix_stream_socket", nil
	case unix.S_IFCHR:
		return "chr_file", nil
	case unix.S_IFREG:
		return "file", nil
	case unix.S_IFDIR:
		return "dir", nil
	default:
		return "blk_file", nil
	}
}
