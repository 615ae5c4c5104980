// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bulkhead-project/bulkhead/internal/vm/cpio"
)

// tree is the content of an archive for the guest: nodes by absolute guest path.
type tree map[string]node

// node is a file whose content is data, or that of the host's file if host is set.
type node struct {
	mode         uint32
	data         []byte
	host         string
	major, minor uint32
}

// directory adds a directory and those above it.
func (t tree) directory(path string) {
	for path = filepath.Clean(path); path != "/" && path != "."; path = filepath.Dir(path) {
		if _, ok := t[path]; !ok {
			t[path] = node{mode: cpio.Directory | 0o755}
		}
	}
}

// put adds a node, in place of one that is there, and the directories above it.
func (t tree) put(path string, n node) {
	path = filepath.Clean(path)
	t.directory(filepath.Dir(path))
	t[path] = n
}

func (t tree) file(path string, permissions uint32, data []byte) {
	t.put(path, node{mode: cpio.Regular | permissions, data: data})
}

// add adds the host's file or directory at a guest path, and the shared libraries
// of the programs among it at their own paths. Links inside a directory stay links.
func (t tree) add(host, guest string) error {
	host, err := filepath.EvalSymlinks(host)
	if err != nil {
		return err
	}
	return filepath.WalkDir(host, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(host, path)
		if err != nil {
			return err
		}
		return t.addEntry(path, filepath.Join("/", guest, relative), entry)
	})
}

func (t tree) addEntry(host, guest string, entry fs.DirEntry) error {
	switch entry.Type() {
	case fs.ModeDir:
		t.directory(guest)
		return nil
	case fs.ModeSymlink:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		t.put(guest, node{mode: cpio.Symlink | 0o777, data: []byte(target)})
		return nil
	case 0:
		return t.addFile(host, guest)
	}
	return fmt.Errorf("%s: a guest gets no files of type %s", host, entry.Type())
}

func (t tree) addFile(host, guest string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	mode := uint32(info.Mode().Perm())
	if status, ok := info.Sys().(*syscall.Stat_t); ok {
		mode = status.Mode & 0o7777
	}
	t.put(guest, node{mode: cpio.Regular | mode, host: host})
	if dynamic, err := isDynamic(host); err != nil || !dynamic {
		return err
	}
	libraries, err := sharedLibraries(host)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		t.put(library, node{mode: cpio.Regular | 0o755, host: library})
	}
	return nil
}

// isDynamic tells whether the file is an ELF program or library that needs others.
func isDynamic(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil || string(magic) != elf.ELFMAG {
		return false, nil
	}
	object, err := elf.NewFile(file)
	if err != nil || object.Type != elf.ET_EXEC && object.Type != elf.ET_DYN {
		return false, nil // test data, a kernel module: nothing that the loader would load
	}
	libraries, err := object.ImportedLibraries()
	return err == nil && len(libraries) > 0, nil
}

// sharedLibraries asks the dynamic loader which files it would load.
func sharedLibraries(path string) ([]string, error) {
	text, err := output(exec.Command("/usr/bin/ldd", path))
	if err != nil {
		return nil, err
	}
	libraries, err := parseLdd(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return libraries, nil
}

// parseLdd takes lines such as "libc.so.6 => /lib/libc.so.6 (0x7f00)",
// "/lib64/ld-linux-x86-64.so.2 (0x7f00)" and "linux-vdso.so.1 (0x7f00)".
func parseLdd(text string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, target, ok := strings.Cut(line, " => "); ok {
			if target == "not found" {
				return nil, fmt.Errorf("library %s is not found", name)
			}
			line = target
		}
		path, _, _ := strings.Cut(line, " (0x")
		if filepath.IsAbs(path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// archive writes the tree; parents come before what they hold.
func (t tree) archive(output io.Writer) error {
	writer := cpio.NewWriter(output)
	for _, path := range slices.Sorted(maps.Keys(t)) {
		if err := t[path].archive(writer, strings.TrimPrefix(path, "/")); err != nil {
			return err
		}
	}
	return writer.Close()
}

func (n node) archive(writer *cpio.Writer, name string) error {
	header := cpio.Header{Name: name, Mode: n.mode, Size: int64(len(n.data)), Major: n.major, Minor: n.minor}
	if n.host == "" {
		return writer.Add(header, bytes.NewReader(n.data))
	}
	file, err := os.Open(n.host)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	header.Size = info.Size()
	return errors.Join(writer.Add(header, file), file.Close())
}
