// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// removeCgroups removes the control groups of a container that the OCI runtime knows nothing of: one that is killed after it has made them,
// and before it has written down that it did, leaves them. Only empty ones can be removed, so that nothing that is in use is touched.
func (r *Record) removeCgroups() error {
	path := r.cgroupsPath()
	if strings.Contains(path, ":") {
		return nil // systemd's: it removes empty ones itself
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	var failed error
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, directory := range cgroupDirectories(fields[1], fields[2], path) {
			err := removeEmpty(directory)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) {
				failed = errors.Join(failed, &fs.PathError{Op: "rmdir", Path: directory, Err: err})
			}
		}
	}
	return failed
}

// removeEmpty gives what is left of an OCI runtime that was killed half a second to end.
func removeEmpty(directory string) error {
	const attempts, pause = 50, 10 * time.Millisecond
	var err error
	for range attempts {
		if err = unix.Rmdir(directory); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(pause)
	}
	return err
}

// cgroupDirectories returns where a control group may be in one hierarchy. A relative path starts at the runtime's own group.
func cgroupDirectories(controllers, own, path string) []string {
	if filepath.IsAbs(path) {
		own = "/"
	}
	if controllers == "" {
		return []string{filepath.Join("/sys/fs/cgroup/unified", own, path), filepath.Join("/sys/fs/cgroup", own, path)}
	}
	return []string{filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(controllers, "name="), own, path)}
}

// cgroupsPath is linux.cgroupsPath, and without one the ID, as runc and crun have it.
func (r *Record) cgroupsPath() string {
	var config struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	data, err := r.Asked()
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil || config.Linux.CgroupsPath == "" {
		return r.ID
	}
	return filepath.Clean(config.Linux.CgroupsPath)
}
