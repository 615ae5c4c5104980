// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Elsewhere is the host as far as others give pairs to what they run: processes that are alive, and what engines and libvirt keep on disk of containers
// and domains, running or not. No daemon is asked.
//
// What users' own engines keep is left out, since any user could fill it with every pair there is; their processes count.
type Elsewhere struct {
	Root string // of the file system; "" for /
}

// Uses returns the pairs that are in use. A file that cannot be read or understood is an error: it may have any pair. What vanishes meanwhile has none.
func (e Elsewhere) Uses() ([]Use, error) {
	found, err := e.processes()
	if err != nil {
		return nil, err
	}
	docker, err := e.dockerRoot()
	if err != nil {
		return nil, err
	}
	storage, err := e.storageRoots()
	if err != nil {
		return nil, err
	}
	type place struct {
		pattern string
		read    stateReader
	}
	places := []place{
		{docker + "/containers/*/config.v2.json", readDocker},
		{"/run/containerd/io.containerd.runtime.v2.task/*/*/config.json", readBundle},
		{"/run/libvirt/*/*.xml", readDomain}, // qemu, lxc, libxl
		{"/etc/libvirt/*/*.xml", readDomain},
	}
	for _, root := range storage {
		places = append(places, place{root + "/*-containers/containers.json", readStorage}, place{root + "/*-containers/volatile-containers.json", readStorage},
			place{root + "/*-containers/*/userdata/config.json", readBundle})
	}
	for _, place := range places {
		more, err := e.read(place.pattern, place.read)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// path is where a path of the host is.
func (e Elsewhere) path(path string) string { return filepath.Join("/", e.Root, path) }

func (e Elsewhere) read(pattern string, read stateReader) ([]Use, error) {
	paths, err := filepath.Glob(e.path(pattern))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	var found []Use
	for _, path := range paths {
		data, err := readState(path)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		more, err := read(path, data)
		if err != nil {
			return nil, fmt.Errorf("%s: which category pairs it has cannot be read: %w", path, err)
		}
		found = append(found, more...)
	}
	return found, nil
}

// maxState bounds an engine's file, in bytes. containers.json of a thousand containers has a few MiB.
const maxState = 64 << 20

// readState reads a file whole; nil where there is none or it is empty.
func readState(path string) ([]byte, error) {
	file, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxState+1))
	if err == nil && len(data) > maxState {
		err = fmt.Errorf("%s: longer than %d bytes", path, maxState)
	}
	if len(data) == 0 {
		return nil, err
	}
	return data, err
}

// dockerRoot is where dockerd keeps its state: data-root in its configuration (graph in old ones), else the default. That of its command line is not seen.
func (e Elsewhere) dockerRoot() (string, error) {
	path := e.path("/etc/docker/daemon.json")
	data, err := readState(path)
	if err != nil || data == nil {
		return "/var/lib/docker", err
	}
	var config struct {
		Root  string `json:"data-root"`
		Graph string `json:"graph"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	for _, root := range []string{config.Root, config.Graph} {
		if root != "" {
			return escapeGlob(root), nil
		}
	}
	return "/var/lib/docker", nil
}

// storageRoot returns the directory of containers/storage that a line of storage.conf names (containers-storage.conf(5)): a TOML file, whose strings
// are "..." or '...' and whose paths need no escapes.
func storageRoot(line string) (string, bool) {
	key, value, _ := strings.Cut(line, "=")
	if key = strings.TrimSpace(key); key != "graphroot" && key != "runroot" {
		return "", false
	}
	value = strings.TrimSpace(value)
	if value == "" || value[0] != '"' && value[0] != '\'' {
		return "", false
	}
	root, _, closed := strings.Cut(value[1:], value[:1])
	return filepath.Clean(root), closed && filepath.IsAbs(root) && !strings.Contains(root, `\`)
}

// storageRoots are the directories in which containers/storage keeps containers: the defaults, and those of the files that replace each other.
func (e Elsewhere) storageRoots() ([]string, error) {
	roots := []string{"/var/lib/containers/storage", "/run/containers/storage"}
	for _, path := range []string{"/usr/share/containers/storage.conf", "/etc/containers/storage.conf"} {
		text, err := readState(e.path(path))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if root, ok := storageRoot(line); ok && root != roots[0] && root != roots[1] {
				roots = append(roots, escapeGlob(root))
			}
		}
	}
	return roots, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// processes returns the pairs of live processes. Where SELinux does not run, their attribute is of another module.
func (e Elsewhere) processes() ([]Use, error) {
	if _, err := os.Stat(e.path("/sys/fs/selinux/enforce")); err != nil {
		return nil, nil
	}
	directory, err := os.Open(e.path("/proc"))
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []Use
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			continue
		}
		path := filepath.Join(directory.Name(), name, "attr/current")
		text, err := os.ReadFile(path)
		switch {
		case err == nil:
			found = append(found, uses("process "+name, path, strings.TrimRight(string(text), "\x00\n"))...)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it ended
		default:
			return nil, err
		}
	}
	return found, nil
}
