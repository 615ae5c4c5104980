// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel/dac"
)

// node is what the kernel meets at one place of a path.
type node struct {
	path   string
	class  string // file, dir, lnk_file ...
	object dac.Object
	label  string // "" where none is known
	// What keeps it from being changed or executed whoever asks.
	immutable, readOnlyFilesystem, readOnlyMount, noExec bool
}

// walk is how the kernel gets to a file.
type walk struct {
	passed    []passage
	directory *node // the last one
	file      *node
}

// passage is a directory that is searched, or a symbolic link that is followed.
type passage struct {
	node      *node
	directory *node // of a link
	last      bool  // of a link: it is the end of the path
}

// linkLimit is how many symbolic links the kernel follows in one path.
const linkLimit = 40

// walkTo follows a path from the root. It sees everything as the caller does, not as the process in question: a mount namespace is the caller's.
func walkTo(name string) (*walk, error) {
	if !strings.HasPrefix(name, "/") {
		directory, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		name = directory + "/" + name
	}
	w, links := &walk{}, 0
	at, err := lookAt("/")
	if err != nil {
		return nil, err
	}
	rest := strings.Split(name, "/")
	w.file = at
	for len(rest) > 0 {
		component := rest[0]
		if rest = rest[1:]; component == "" || component == "." {
			continue
		}
		if at.class != "dir" {
			return nil, fmt.Errorf("%s: %w", at.path, unix.ENOTDIR)
		}
		w.passed = append(w.passed, passage{node: at})
		next, err := lookAt(path.Join(at.path, component)) // of "..", too: no link is in at.path
		if err != nil {
			return nil, err
		}
		if next.class == "lnk_file" {
			target, err := os.Readlink(next.path)
			if err != nil {
				return nil, err
			}
			if links++; links > linkLimit {
				return nil, fmt.Errorf("%s: more than %d symbolic links", name, linkLimit)
			}
			w.passed = append(w.passed, passage{next, at, strings.Join(rest, "") == ""})
			rest = append(strings.Split(target, "/"), rest...)
			if !strings.HasPrefix(target, "/") {
				continue
			}
			if next, err = lookAt("/"); err != nil {
				return nil, err
			}
		}
		w.directory, w.file, at = at, next, next
	}
	if w.directory == nil {
		w.directory = w.file
	}
	return w, nil
}

// lookAt reads what decisions about the object at a path need.
func lookAt(name string) (*node, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer unix.Close(fd)
	var stat unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &stat); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	n := &node{path: name, class: classOfMode(stat.Mode), immutable: stat.Attributes&unix.STATX_ATTR_IMMUTABLE != 0,
		object: dac.Object{Mode: uint32(stat.Mode) & 0o7777, UID: stat.Uid, GID: stat.Gid, Directory: stat.Mode&unix.S_IFMT == unix.S_IFDIR}}
	magic := fmt.Sprintf("/proc/self/fd/%d", fd)
	if list := attribute(magic, dac.ListAttribute); list != nil && n.class != "lnk_file" {
		if n.object.List, err = dac.ParseList(list); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	n.label = string(bytes.TrimRight(attribute(magic, "security.selinux"), "\x00"))
	return n, n.readMount(fd)
}

// attribute is the value of an extended attribute, nil where there is none.
func attribute(name, attribute string) []byte {
	value := make([]byte, 1<<16) // XATTR_SIZE_MAX
	n, err := unix.Getxattr(name, attribute, value)
	if err != nil {
		return nil
	}
	return value[:n]
}

func classOfMode(mode uint16) string {
	return map[uint16]string{unix.S_IFDIR: "dir", unix.S_IFLNK: "lnk_file", unix.S_IFCHR: "chr_file", unix.S_IFBLK: "blk_file", unix.S_IFIFO: "fifo_file",
		unix.S_IFSOCK: "sock_file", unix.S_IFREG: "file"}[mode&unix.S_IFMT]
}

// readMount reads the options of the mount that the descriptor is on.
func (n *node) readMount(fd int) error {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(info), "mnt_id:")
	number, _, _ := strings.Cut(rest, "\n")
	id, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return fmt.Errorf("%s: /proc/self/fdinfo without mnt_id", n.path)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		// ID parent device root place OPTIONS [optional fields] - type source SUPEROPTIONS
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[0] != strconv.Itoa(id) {
			continue
		}
		options, super := ","+fields[5]+",", ","+fields[len(fields)-1]+","
		n.readOnlyMount, n.noExec = strings.Contains(options, ",ro,"), strings.Contains(options, ",noexec,")
		n.readOnlyFilesystem = strings.Contains(super, ",ro,")
	}
	return nil
}
