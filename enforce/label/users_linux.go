// SPDX-License-Identifier: Apache-2.0

package label

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/bulkhead-project/bulkhead/plan"
)

// User is a mount namespace of others', most likely a container, in which a tree or a part of it is mounted.
type User struct {
	PID         int    // the lowest of its processes
	Namespace   string // as /proc/PID/ns/mnt has it, "mnt:[4026531841]"
	Destination string // where the tree, or the outermost part of it, is mounted there
	ReadOnly    bool   // all of these mounts are
}

// Users returns who has a tree mounted, an absolute path without symbolic links, besides this process's own mount namespace, in the order of their
// processes. Who has no more than the whole file system, or a directory that holds many people's trees, is none: that is the host's own services, and who looks after the host.
func Users(path string) ([]User, error) {
	own, err := ReadMounts()
	if err != nil {
		return nil, err
	}
	in, place := own.holding(path)
	wanted := reach{own: own, device: in.device, place: place, path: path}
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	self, _ := os.Readlink("/proc/self/ns/mnt")
	seen := map[string]bool{self: true}
	var users []User
	for _, pid := range pids {
		directory := "/proc/" + strconv.Itoa(pid)
		namespace, err := os.Readlink(directory + "/ns/mnt")
		if err != nil || seen[namespace] { // it ended, or its other processes were looked at
			continue
		}
		seen[namespace] = true
		text, err := os.ReadFile(directory + "/mountinfo")
		if err != nil {
			continue
		}
		if user, uses := wanted.by(parseMounts(string(text))); uses {
			user.PID, user.Namespace = pid, namespace
			users = append(users, user)
		}
	}
	return users, nil
}

// processes lists /proc in rising order.
func processes() ([]int, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// reach is a tree as other mount namespaces may reach it.
type reach struct {
	own           MountTable
	device, place string // file system and path in it
	path          string // here
}

func (r reach) by(theirs MountTable) (user User, uses bool) {
	root, _ := theirs.holding("/")
	host, _ := r.own.holding("/")
	sameRoot := root.device == host.device && root.root == host.root
	for _, mount := range theirs {
		_, within := below(mount.root, r.place)
		rest, holds := below(r.place, mount.root)
		if mount.device != r.device || !within && !holds || sameRoot && slices.ContainsFunc(r.own, mount.samePlace) {
			continue
		}
		if !within && r.shelf(rest) {
			continue
		}
		if !uses || len(mount.path) < len(user.Destination) {
			user.Destination = mount.path
			if holds {
				user.Destination = filepath.Join(mount.path, rest)
			}
		}
		user.ReadOnly = mount.readOnly && (!uses || user.ReadOnly)
		uses = true
	}
	return user, uses
}

// shelf reports whether a mount that holds the tree, rest below its root, is of a directory that others' trees are in, too.
func (r reach) shelf(rest string) bool {
	above := filepath.Clean(r.path[:max(0, len(r.path)-len(rest))])
	return above == "." || plan.SystemTree(above)
}

func (m mountPoint) samePlace(other mountPoint) bool {
	return m.device == other.device && m.root == other.root && m.path == other.path
}
