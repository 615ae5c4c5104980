// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Elsewhere is the host as far as others give pairs to what they run: processes that are alive, what engines and libvirt keep on disk of containers
// and domains, running or not, and engines' volumes that have the label of one, which may be gone. No daemon is asked.
//
// What users' own engines keep is left out, since any user could fill it with every pair there is; their processes count.
type Elsewhere struct {
	Root string // of the file system; "" for /

	// Cache is the directory, such as the registry's, where the pairs of files that do not change are kept, so that each is read once; "" for none.
	Cache string
}

// Uses returns the pairs that are in use. A file that cannot be read or understood is an error: it may have any pair. What vanishes meanwhile has none.
func (e Elsewhere) Uses() ([]Use, error) {
	return e.find(func(string, format) (bool, error) { return true, nil }, func(Use) bool { return true })
}

// UsesOf returns the uses of one pair. Files that the cache knows to be without it are not read.
func (e Elsewhere) UsesOf(pair Pair) ([]Use, error) {
	cache := openCache(e.Cache)
	defer cache.keep()
	return e.find(func(path string, format format) (bool, error) {
		pairs, err := cache.pairs(path, format)
		return slices.Contains(pairs, pair), err
	}, func(use Use) bool { return use.Pair == pair })
}

// find returns those of the uses that are wanted, of the files that may have any.
func (e Elsewhere) find(may func(path string, format format) (bool, error), wanted func(Use) bool) ([]Use, error) {
	var found []Use
	add := func(uses []Use) {
		for _, use := range uses {
			if wanted(use) {
				found = append(found, use)
			}
		}
	}
	err := e.processes(func(path string, pid int, label []byte) {
		add(Use{By: fmt.Sprintf("process %d", pid), Path: path, PID: pid}.of(string(label)))
	})
	if err != nil {
		return nil, err
	}
	err = e.volumes(func(path, engine, label string) {
		add(Use{By: fmt.Sprintf("%s volume %q", engine, filepath.Base(filepath.Dir(path))), Path: path, Engine: engine}.of(label))
	})
	if err != nil {
		return nil, err
	}
	return found, e.files(func(path string, format format) error {
		if may, err := may(path, format); err != nil || !may {
			return err
		}
		found, err := read(path, format)
		add(found.uses)
		return err
	})
}

// pairs returns the pairs of Uses as a set.
func (e Elsewhere) pairs() (*pairSet, error) {
	set := new(pairSet)
	seen := map[string]bool{} // many processes have the same label
	err := e.processes(func(_ string, _ int, label []byte) {
		if !seen[string(label)] {
			seen[string(label)] = true
			set.add(pairsIn(string(label))...)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := e.volumes(func(_, _, label string) { set.add(pairsIn(label)...) }); err != nil {
		return nil, err
	}
	cache := openCache(e.Cache)
	defer cache.keep()
	return set, e.files(func(path string, format format) error {
		pairs, err := cache.pairs(path, format)
		set.add(pairs...)
		return err
	})
}

// path is where a path of the host is.
func (e Elsewhere) path(path string) string { return filepath.Join("/", e.Root, path) }

// files visits every file that may have pairs; one that vanishes meanwhile, too.
func (e Elsewhere) files(visit func(path string, format format) error) error {
	dockerRoot, err := e.dockerRoot()
	if err != nil {
		return err
	}
	roots, err := e.storageRoots()
	if err != nil {
		return err
	}
	type place struct {
		directory, pattern string
		format             format
	}
	places := []place{
		{dockerRoot, "containers/*/config.v2.json", dockerContainer},
		{"/run/containerd/io.containerd.runtime.v2.task", "*/*/config.json", containerdBundle},
		{"/run/libvirt", "*/*.xml", libvirtDomain}, // qemu, lxc, libxl
		{"/etc/libvirt", "*/*.xml", libvirtDomain},
	}
	for _, root := range roots {
		places = append(places, place{root, "*-containers/containers.json", storageList}, place{root, "*-containers/volatile-containers.json", storageList},
			place{root, "*-containers/*/userdata/config.json", storageBundle})
	}
	for _, place := range places {
		err := match(e.path(place.directory), place.pattern, func(path string) error { return visit(path, place.format) })
		if err != nil {
			return err
		}
	}
	return nil
}

// volumes visits the label of every volume that an engine made and keeps. It costs no more to read than to see whether it changed, so that none is cached.
func (e Elsewhere) volumes(visit func(path, engine, label string)) error {
	dockerRoot, err := e.dockerRoot()
	if err != nil {
		return err
	}
	roots, err := e.storageRoots()
	if err != nil {
		return err
	}
	text := make([]byte, 4096) // longer ones have more than a pair
	for i, root := range append([]string{dockerRoot}, roots...) {
		engine := storage
		if i == 0 {
			engine = docker
		}
		err := match(e.path(root), "volumes/*/_data", func(path string) error {
			size, err := unix.Lgetxattr(path, "security.selinux", text)
			switch {
			case err == nil:
				visit(path, engine, string(trimLabel(text[:size])))
			case !absent(err) && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ERANGE):
				return &os.PathError{Op: "lgetxattr", Path: path, Err: err}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// match visits what a pattern names beneath a directory, which need not be there. A directory that cannot be listed is an error.
func match(directory, pattern string, visit func(string) error) error {
	first, rest, deeper := strings.Cut(pattern, "/")
	names := []string{first}
	if strings.Contains(first, "*") {
		var err error
		if names, err = list(directory); err != nil {
			return err
		}
	}
	for _, name := range names {
		if matched, err := path.Match(first, name); err != nil || !matched {
			continue
		}
		err := error(nil)
		if next := directory + "/" + name; deeper {
			err = match(next, rest, visit)
		} else {
			err = visit(next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// list returns the sorted names in a directory; none where it is none.
func list(path string) ([]string, error) {
	directory, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if errors.Is(err, unix.ENOENT) { // it was removed meanwhile
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// reading is what was read of a file.
type reading struct {
	uses  []Use
	state fileState // before its content was read
	quiet bool      // it had not changed for long enough that whoever changes it gives it another state
}

// A file that cannot be understood may be half written: so many times it is read again, in intervals of so much.
const (
	rereads = 10
	reread  = 10 * time.Millisecond
)

// read reads the pairs of a file; none where it is not there.
func read(path string, format format) (reading, error) {
	for attempt := 0; ; attempt++ {
		found, data, err := readOnce(path, format)
		if err != nil || data == nil && (found.state == fileState{} || found.quiet || attempt == rereads) {
			return reading{}, err // not there, or empty and to stay so
		}
		if data == nil { // empty: its content may be on the way
			time.Sleep(reread)
			continue
		}
		if found.uses, err = format.uses(path, data); err == nil {
			return found, nil
		}
		if attempt == rereads || found.quiet {
			return reading{}, fmt.Errorf("%s: which category pairs it has cannot be read: %w", path, err)
		}
		time.Sleep(reread)
	}
}

func readOnce(path string, format format) (found reading, data []byte, err error) {
	before := time.Now().Add(-settled)
	file, err := openState(path)
	if absent(err) {
		return found, nil, nil
	}
	if err != nil {
		return found, nil, err
	}
	defer file.Close()
	if found.state, err = stateOf(int(file.Fd()), "", format); err != nil {
		return found, nil, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	found.quiet = found.state.StatusChange < before.UnixNano() && tellsChanges(int(file.Fd()))
	data, err = readOpen(file)
	return found, data, err
}

// maxState bounds an engine's file, in bytes. containers.json of a thousand containers has a few MiB.
const maxState = 64 << 20

// openState opens a file of an engine's, which may be anything.
func openState(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// readState reads a file whole; nil where there is none or it is empty.
func readState(path string) ([]byte, error) {
	file, err := openState(path)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readOpen(file)
}

func readOpen(file *os.File) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxState+1))
	if err == nil && len(data) > maxState {
		err = fmt.Errorf("%s: longer than %d bytes", file.Name(), maxState)
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
			return root, nil
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
			if root, ok := storageRoot(line); ok && !slices.Contains(roots, root) {
				roots = append(roots, root)
			}
		}
	}
	return roots, nil
}

// processes visits the label of every live process. Where SELinux does not run, their attribute is of another module. The label is valid during the visit.
//
// Nothing is kept of processes: each execve may change a label, and shows nowhere else.
func (e Elsewhere) processes(visit func(path string, pid int, label []byte)) error {
	if _, err := os.Stat(e.path("/sys/fs/selinux/enforce")); err != nil {
		return nil
	}
	directory, err := os.Open(e.path("/proc"))
	if err != nil {
		return err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return err
	}
	buffer := make([]byte, 4096) // a page is what the kernel shows
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		path := name + "/attr/current"
		size, err := readAt(int(directory.Fd()), path, buffer)
		switch {
		case err == nil:
			label := trimLabel(buffer[:size])
			if bytes.Contains(label, []byte(":c")) { // a zombie shows its label until somebody waits for it
				if p, err := readProcess(directory.Name(), pid); err == nil && p.ended() {
					continue
				}
			}
			visit(directory.Name()+"/"+path, pid, label)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it ended
		default:
			return &os.PathError{Op: "read", Path: directory.Name() + "/" + path, Err: err}
		}
	}
	return nil
}

func trimLabel(text []byte) []byte {
	for len(text) > 0 && (text[len(text)-1] == 0 || text[len(text)-1] == '\n') {
		text = text[:len(text)-1]
	}
	return text
}

// readAt reads a file of procfs, which gives all in one piece.
func readAt(directory int, path string, into []byte) (int, error) {
	for {
		file, err := unix.Openat(directory, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			var size int
			size, err = unix.Read(file, into)
			unix.Close(file)
			if err == nil {
				return size, nil
			}
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
}
