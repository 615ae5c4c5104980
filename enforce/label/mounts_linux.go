// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MountTable is the mounts of one mount namespace, in the order in which they were made.
type MountTable []mountPoint

// mountPoint is one line of mountinfo, see proc_pid_mountinfo(5).
type mountPoint struct {
	device   string // major:minor
	root     string // what of the file system is mounted
	path     string
	readOnly bool
	kind     string // of file system
	options  string // of the file system, as ext4 has them: "rw,seclabel"
}

// ReadMounts reads the mounts that this process sees.
func ReadMounts() (MountTable, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	return parseMounts(string(text)), err
}

func parseMounts(mountinfo string) MountTable {
	var mounts MountTable
	for line := range strings.Lines(mountinfo) {
		front, back, _ := strings.Cut(line, " - ")
		fields := strings.Fields(front)
		if len(fields) < 5 {
			continue
		}
		mount := mountPoint{device: fields[2], root: unescape(fields[3]), path: unescape(fields[4])}
		if len(fields) > 5 {
			mount.readOnly = slices.Contains(strings.Split(fields[5], ","), "ro")
		}
		if super := strings.Fields(back); len(super) >= 3 {
			mount.kind, mount.options = super[0], super[2]
		}
		mounts = append(mounts, mount)
	}
	return mounts
}

// unescape undoes the octal escapes of spaces, tabs, newlines and backslashes.
func unescape(text string) string {
	var out bytes.Buffer
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// holding returns the mount that a path is in, and where in its file system the path leads.
func (t MountTable) holding(path string) (in mountPoint, place string) {
	for _, mount := range t { // a later one on the same path covers the earlier
		if _, ok := below(path, mount.path); ok && len(mount.path) >= len(in.path) {
			in = mount
		}
	}
	inner, _ := below(path, in.path)
	return in, filepath.Join(in.root, inner)
}

// Aliases returns the other paths that lead to the same tree, sorted.
func (t MountTable) Aliases(path string) []string {
	in, place := t.holding(path)
	var found []string
	for _, mount := range t {
		rest, ok := below(place, mount.root)
		if !ok || mount.device != in.device {
			continue
		}
		if alias := filepath.Join(mount.path, rest); alias != path {
			found = append(found, alias)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
