// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// loader finds a program's libraries as the dynamic linker does, and reads them.
type loader struct {
	open    Opener
	limits  Limits
	left    int64 // bytes that may still be read
	objects []*object
	extra   []*object          // of Options.Libraries
	byName  map[string]*object // by path, and by the name that others ask for it; nil = missing
	missing []Missing
	cache   map[string][]string // of ld.so.cache: paths by name
	paths   []string            // the default ones
}

// load reads the program, what it needs in breadth, which is the order of symbol lookup, and its dynamic linker.
func (l *loader) load(name string, libraries []string) error {
	program, err := l.read(name)
	if err != nil {
		return err
	}
	l.add(name, program)
	l.paths = l.searchPaths(program)
	l.cache = l.cached(program)
	for _, library := range libraries {
		o, err := l.read(library)
		if err != nil {
			return err
		}
		if o.file.Machine != program.file.Machine {
			return fmt.Errorf("%s: for %s, while the program is for %s", library, o.file.Machine, program.file.Machine)
		}
		l.add(library, o)
		l.extra = append(l.extra, o)
	}
	for i := 0; i < len(l.objects); i++ {
		for _, needed := range l.objects[i].needed {
			if err := l.need(needed, l.objects[i]); err != nil {
				return err
			}
		}
	}
	return l.loadInterpreter(program)
}

// loadInterpreter reads the dynamic linker, which comes last unless a library asks for it by name, as glibc does.
func (l *loader) loadInterpreter(program *object) error {
	if program.interp == "" {
		return nil
	}
	o, err := l.read(program.interp)
	if errors.Is(err, fs.ErrNotExist) {
		l.missing = append(l.missing, Missing{program.interp, program.path})
		program.interp = ""
		return nil
	}
	if err != nil {
		return err
	}
	l.objects = slices.DeleteFunc(l.objects, func(known *object) bool {
		return known != program && (known.path == o.path || known.soname != "" && known.soname == o.soname)
	})
	l.objects = append(l.objects, o)
	return nil
}

func (l *loader) add(name string, o *object) {
	l.objects = append(l.objects, o)
	l.byName[name] = o
	if o.soname != "" {
		l.byName[o.soname] = o
	}
}

// read opens and parses one file.
func (l *loader) read(name string) (*object, error) {
	if len(l.objects) >= l.limits.Objects {
		return nil, fmt.Errorf("%s: more than %d files", name, l.limits.Objects)
	}
	file, err := l.open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if closer, ok := file.(io.Closer); ok {
		defer closer.Close()
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, l.left+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if l.left -= int64(len(text)); l.left < 0 {
		return nil, fmt.Errorf("%s: files of more than %d bytes in all", name, l.limits.Bytes)
	}
	return newObject(name, text)
}

// need finds a library that an object asks for.
func (l *loader) need(name string, by *object) error {
	if _, known := l.byName[name]; known {
		return nil
	}
	for _, candidate := range l.candidates(name, by) {
		if o := l.byName[candidate]; o != nil {
			l.byName[name] = o
			return nil
		}
		o, err := l.read(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", by.path, name, err)
		}
		if o.file.Machine != l.objects[0].file.Machine || o.file.Class != l.objects[0].file.Class {
			continue // the dynamic linker, too, goes on looking
		}
		l.add(candidate, o)
		l.byName[name] = o
		return nil
	}
	l.byName[name] = nil
	l.missing = append(l.missing, Missing{name, by.path})
	return nil
}

// candidates returns where a library may be, in the order of ld.so(8): DT_RPATH of the object and the program, DT_RUNPATH of the object, then
// the directories of the system. LD_LIBRARY_PATH is the caller's affair.
func (l *loader) candidates(name string, by *object) []string {
	if strings.Contains(name, "/") {
		return []string{path.Join("/", expand(name, by))}
	}
	var directories []string
	if len(by.runpath) == 0 {
		for _, o := range []*object{by, l.objects[0]} {
			for _, d := range o.rpath {
				directories = append(directories, expand(d, o))
			}
		}
	}
	for _, d := range by.runpath {
		directories = append(directories, expand(d, by))
	}
	var all []string
	for _, d := range directories {
		if strings.HasPrefix(d, "/") {
			all = append(all, path.Join(d, name))
		}
	}
	all = append(all, l.cache[name]...)
	for _, d := range l.paths {
		all = append(all, path.Join(d, name))
	}
	return all
}

// expand replaces the names that the dynamic linker replaces. $PLATFORM depends on the processor and is not known here.
func expand(text string, o *object) string {
	lib := "lib"
	if o.word == 8 {
		lib = "lib64"
	}
	return strings.NewReplacer("${ORIGIN}", o.origin, "$ORIGIN", o.origin, "${LIB}", lib, "$LIB", lib).Replace(text)
}

// multiarch are Debian's directories for libraries of an architecture.
var multiarch = map[string]string{"x86_64": "x86_64-linux-gnu", "x86": "i386-linux-gnu", "aarch64": "aarch64-linux-gnu"}

// searchPaths returns the directories that are searched for every object. Those of /etc/ld.so.conf
// are in glibc's cache; musl has a file of its own, or three.
func (l *loader) searchPaths(program *object) []string {
	native, _ := abiNames(program.file)
	if interpreter := path.Base(program.interp); strings.HasPrefix(interpreter, "ld-musl-") {
		text := l.text(path.Join(path.Dir(program.interp), "../etc", strings.TrimSuffix(interpreter, ".so.1")+".path"))
		if own := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ':' }); len(own) > 0 {
			return own
		}
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	paths := []string{"/lib/" + multiarch[native], "/usr/lib/" + multiarch[native]}
	if program.word == 8 {
		paths = append(paths, "/lib64", "/usr/lib64")
	}
	return append(paths, "/lib", "/usr/lib", "/lib32", "/usr/lib32")
}

// maximumText bounds what is read of a text file, in bytes.
const maximumText = 1 << 16

// text returns a small file, or "" if there is none.
func (l *loader) text(name string) string {
	file, err := l.open(name)
	if err != nil {
		return ""
	}
	if closer, ok := file.(io.Closer); ok {
		defer closer.Close()
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maximumText))
	if err != nil {
		return ""
	}
	return string(text)
}
