// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Inner is the OCI runtime that makes namespaces, cgroups and mounts.
type Inner struct {
	Path string // absolute
}

// Name is runc or crun, or whatever the program is called.
func (i Inner) Name() string { return filepath.Base(i.Path) }

// InnerError says that no OCI runtime can be used here, and why each one cannot.
type InnerError struct{ Reasons []string }

func (e *InnerError) Error() string { return "no OCI runtime: " + strings.Join(e.Reasons, "; ") }

// systemPaths are where runtimes lie; engines start a runtime with little or no PATH.
var systemPaths = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// FindInner chooses runc, then crun, leaving out what cannot work here. configured, a path or a name, is the only candidate where it is
// not empty.
func FindInner(configured string) (Inner, error) {
	candidates := []string{"runc", "crun"}
	if configured != "" {
		candidates = []string{configured}
	}
	var reasons []string
	for _, name := range candidates {
		path, err := lookPath(name)
		if err == nil {
			err = usable(path)
		}
		if err == nil {
			return Inner{path}, nil
		}
		reasons = append(reasons, err.Error())
	}
	return Inner{}, &InnerError{reasons}
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return "", err
		}
		return filepath.Abs(name)
	}
	for _, directory := range systemPaths {
		path := filepath.Join(directory, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// usable says why a runtime that is there cannot work: crun refuses a hierarchy that is part cgroup v1 and part v2.
func usable(path string) error {
	if filepath.Base(path) == "crun" && hybridCgroups("/sys/fs/cgroup") {
		return errors.New("crun is installed, and refuses this host's hybrid cgroups")
	}
	return nil
}

// hybridCgroups reports whether root holds cgroup v1 hierarchies and a v2 one at unified.
func hybridCgroups(root string) bool {
	var whole, unified unix.Statfs_t
	if unix.Statfs(root, &whole) != nil || unix.Statfs(filepath.Join(root, "unified"), &unified) != nil {
		return false
	}
	return whole.Type != unix.CGROUP2_SUPER_MAGIC && unified.Type == unix.CGROUP2_SUPER_MAGIC
}
