// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
)

// A pipe carries the label of whoever made it. At the execve into the container's label SELinux closes every descriptor that the label may
// not use and puts /dev/null there, without an error to anyone: the container's output is gone. So the kernel is asked beforehand.

// CheckStdio makes sure that a process with that label can use the descriptors that it is to have as 0, 1 and 2. A pipe that it may not use
// gets the container's label; what cannot be made usable is an *plan.UnavailableError.
func CheckStdio(label string, descriptors [3]int) error {
	if label == "" {
		return nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return err
	}
	for standard, descriptor := range descriptors {
		usable, err := mayUse(host, label, descriptor)
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", standard, err)
		}
		if usable {
			continue
		}
		if err := relabelPipe(host, label, descriptor); err != nil {
			return &plan.UnavailableError{Layer: "selinux",
				Reason: fmt.Sprintf("a process labelled %s may not use descriptor %d, and the kernel would silently put /dev/null there: %v", label, standard, err),
				Hint:   "let the policy allow it, put a pipe there (| cat), or run with -d and read the output with `bulkhead logs`"}
		}
	}
	return nil
}

// CheckPipesOf makes sure that a process with that label can use pipes that program makes, an OCI runtime started by this process: where it
// stays in the foreground runc puts pipes of its own between the container and the descriptors that it was given.
func CheckPipesOf(program, label string) error {
	if label == "" {
		return nil
	}
	host, err := selinux.FindHost("/proc")
	if err != nil {
		return err
	}
	maker, err := labelOfProgram(host, program)
	if err != nil {
		return err
	}
	answer, err := host.Access(label, maker, "fifo_file", "read", "write")
	if err != nil || answer["read"] && answer["write"] {
		return err
	}
	return &plan.UnavailableError{Layer: "selinux",
		Reason: fmt.Sprintf("a process labelled %s may not use the pipes that %s makes as %s, and the kernel would silently put /dev/null there", label, program, maker),
		Hint:   `let the policy allow it, or use crun ({"runtime": "crun"} in /etc/bulkhead/bulkhead.json), which makes no pipes`}
}

// labelOfProgram returns the label that this process's child has when it runs the program.
func labelOfProgram(host selinux.Host, program string) (string, error) {
	own, err := host.ProcessLabel(0)
	if err != nil {
		return "", err
	}
	file, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer file.Close()
	label, err := selinux.FileLabel(int(file.Fd()))
	if errors.Is(err, selinux.ErrNoLabel) || errors.Is(err, unix.ENOTSUP) {
		return own, nil
	}
	if err != nil {
		return "", err
	}
	return host.NewLabel(own, label, "process")
}

func mayUse(host selinux.Host, label string, descriptor int) (bool, error) {
	class, err := classOf(descriptor)
	if err != nil || class == "" {
		return err == nil, err
	}
	permissions, err := permissionsOf(descriptor)
	if err != nil {
		return false, err
	}
	target, err := selinux.FileLabel(descriptor)
	if errors.Is(err, selinux.ErrNoLabel) || errors.Is(err, unix.ENOTSUP) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	answer, err := host.Access(label, target, class, permissions...)
	for _, permission := range permissions {
		if !answer[permission] {
			return false, err
		}
	}
	return true, nil
}

// permissionsOf returns what the kernel asks for at execve: whatever the descriptor was opened for, used or not.
func permissionsOf(descriptor int) ([]string, error) {
	flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFL, 0)
	if err != nil {
		return nil, err
	}
	writing := "write"
	if flags&unix.O_APPEND != 0 {
		writing = "append"
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return []string{"read"}, nil
	case unix.O_WRONLY:
		return []string{writing}, nil
	default:
		return []string{"read", writing}, nil
	}
}

// relabelPipe gives a pipe the container's own label, and asks again. A socket cannot be helped so: the kernel goes by the label that it was
// made with.
func relabelPipe(host selinux.Host, label string, descriptor int) error {
	class, err := classOf(descriptor)
	if err != nil {
		return err
	}
	if class != "fifo_file" {
		return fmt.Errorf("it is a %s, which keeps its label", class)
	}
	if err := selinux.SetFileLabel(descriptor, label); err != nil {
		return err
	}
	usable, err := mayUse(host, label, descriptor)
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
		return socketClass(descriptor)
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

// socketClass follows socket_type_to_security_class of the kernel's security/selinux/hooks.c for the sockets that serve as standard streams.
func socketClass(descriptor int) (string, error) {
	domain, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return "", err
	}
	kind, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", err
	}
	unixDomain, datagram := domain == unix.AF_UNIX, kind == unix.SOCK_DGRAM
	switch {
	case unixDomain && datagram:
		return "unix_dgram_socket", nil
	case unixDomain:
		return "unix_stream_socket", nil
	case datagram:
		return "udp_socket", nil
	default:
		return "tcp_socket", nil
	}
}
