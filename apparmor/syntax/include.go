// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// Cache keeps what was read from a file system. It may be shared by calls that run at the same time.
type Cache struct {
	mutex sync.Mutex
	files map[string]cached
}

// cached is a file's text, or the names in a directory, or why there is neither.
type cached struct {
	text      string
	directory []string
	isDir     bool
	err       error
}

// read returns the file or directory at the slash-separated path.
func (c *Cache) read(files fs.FS, name string) cached {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if found, ok := c.files[name]; ok {
		return found
	}
	if c.files == nil {
		c.files = map[string]cached{}
	}
	found := load(files, strings.TrimPrefix(name, "/"))
	c.files[name] = found
	return found
}

func load(files fs.FS, name string) cached {
	if name == "" {
		name = "."
	}
	if files == nil || !fs.ValidPath(name) {
		return cached{err: fs.ErrNotExist}
	}
	info, err := fs.Stat(files, name)
	switch {
	case err != nil:
		return cached{err: err}
	case info.IsDir():
		entries, err := fs.ReadDir(files, name)
		names := make([]string, 0, len(entries))
		for _, entry := range entries {
			if !ignored(entry.Name()) {
				names = append(names, entry.Name())
			}
		}
		return cached{directory: names, isDir: true, err: err}
	case info.Size() > maximumText:
		return cached{err: errors.New("the file is too large")}
	}
	text, err := fs.ReadFile(files, name)
	return cached{text: string(text), err: err}
}

// ignored says whether a file of an included directory is left out: hidden, an editor's backup, or what package managers leave behind.
func ignored(name string) bool {
	if strings.HasPrefix(name, ".") || name == "README" {
		return true
	}
	for _, suffix := range []string{".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-bak", ".dpkg-remove", ".pacsave", ".pacnew", ".rpmnew", ".rpmsave", ".orig", ".rej", "~"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// includeStatement reads include [if exists] FILE and what is in the file. The word is next.
func (p *parser) includeStatement() bool {
	place := p.position()
	p.accept("#")
	p.accept("include")
	p.skipBlanks()
	ifExists := false
	if p.peekName() == "if" {
		p.name()
		p.skipBlanks()
		if p.peekName() != "exists" {
			p.fail("exists", "bad condition of an include")
			return p.failedLine()
		}
		p.name()
		p.skipBlanks()
		ifExists = true
	}
	reference, ok := p.reference("a file: <path> or \"path\"", false)
	if !ok {
		return p.failedLine()
	}
	reference.Position = place
	name, found := p.find(reference)
	if found.err != nil {
		if ifExists && errors.Is(found.err, fs.ErrNotExist) {
			return true
		}
		p.settled = true
		return p.failAt(place, "", "include %q: %v", reference.Path, plain(found.err))
	}
	if len(p.stack) >= maximumDepth {
		p.settled = true
		return p.failAt(place, "", "files include each other more than %d deep", maximumDepth)
	}
	p.include(name, found)
	return true
}

// plain is a file system's error without the path that it repeats.
func plain(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// include reads a file, or the files of a directory, in place.
func (p *parser) include(name string, found cached) {
	if found.isDir {
		for _, entry := range found.directory {
			inner := path.Join(name, entry)
			if file := p.cache.read(p.options.Files, inner); !file.isDir {
				if file.err != nil {
					p.fail("", "include %q: %v", inner, plain(file.err))
					continue
				}
				p.include(inner, file)
			}
		}
		return
	}
	if slices.Contains(p.stack, name) {
		return // a file that includes itself adds nothing the second time
	}
	if !p.enough(len(found.text)) {
		return
	}
	if !p.visited[name] {
		p.visited[name] = true
		p.policy.Files = append(p.policy.Files, name)
	}
	outer := p.scanner
	p.stack = append(p.stack, name)
	p.scanner = newScanner(name, found.text)
	p.file()
	p.scanner = outer
	p.stack = p.stack[:len(p.stack)-1]
}

// reference reads <path>, "path" or a bare path. In an abi rule a comma may follow it at once.
func (p *parser) reference(expected string, comma bool) (Reference, bool) {
	p.skipBlanks()
	reference := Reference{Position: p.position()}
	switch p.peek() {
	case '<':
		end := strings.IndexAny(p.text[p.at:], ">\n")
		if end < 0 || p.text[p.at+end] == '\n' {
			return reference, p.fail(">", "the name of the file is not closed on its line")
		}
		reference.Magic = true
		reference.Path = strings.Trim(p.text[p.at+1:p.at+end], " \t")
		if rest, ok := strings.CutPrefix(reference.Path, `"`); ok {
			if reference.Path, ok = strings.CutSuffix(rest, `"`); !ok {
				return reference, p.fail(`"`, "the quotation mark is not closed")
			}
		}
		p.at += end + 1
	case '"':
		text, ok := p.quoted()
		if !ok {
			return reference, p.failAt(reference.Position, `"`, "the quotation mark is not closed on its line")
		}
		reference.Path = text
	default:
		start := p.at
		for !p.atEnd() && strings.IndexByte(" \t\r\n\"<>", p.peek()) < 0 && !(comma && p.peek() == ',') {
			p.at++
		}
		reference.Path = p.text[start:p.at]
	}
	if reference.Path == "" {
		return reference, p.failAt(reference.Position, expected, "no name of a file")
	}
	return reference, true
}

// find returns the file that a reference names: an absolute one as it stands, others in Base and then, if magic, in Include.
func (p *parser) find(reference Reference) (string, cached) {
	if path.IsAbs(reference.Path) && !reference.Magic {
		name := path.Clean(reference.Path)
		return name, p.cache.read(p.options.Files, name)
	}
	base := p.options.Base
	if base == "" {
		base = "/etc/apparmor.d"
	}
	if !reference.Magic && p.options.Directory != "" {
		base = p.options.Directory
	}
	name := path.Join(base, reference.Path)
	found := p.cache.read(p.options.Files, name)
	for _, directory := range p.options.Include {
		if found.err == nil || !reference.Magic {
			break
		}
		other := path.Join(directory, reference.Path)
		if next := p.cache.read(p.options.Files, other); next.err == nil || !errors.Is(next.err, fs.ErrNotExist) {
			return other, next
		}
	}
	return name, found
}
