// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	maxPath      = 4095 // bytes of a name or link target, Linux PATH_MAX without its NUL
	maxComponent = 255  // bytes of one component, NAME_MAX
	maxDepth     = 512  // components of a name; what is deeper costs a file descriptor each to remove again

	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	attributeKey   = "SCHILY.xattr." // PAX record of an extended attribute
)

type kind int

const (
	directory kind = iota
	regular
	hardLink
	symbolicLink
	characterDevice
	blockDevice
	pipe
	whiteout // hides base in the layers below
	opaque   // hides everything that the layers below have in parent
)

// entry is one checked member of a layer's tar.
type entry struct {
	kind         kind
	parent, base string // clean and relative to the layer's root, "." and "." for the root itself
	target       string // of a symbolic link as it is; of a hard link clean and relative to the layer's root
	mode         uint32 // permission, set-ID and sticky bits
	uid, gid     int
	modified     time.Time
	major, minor uint32
	attributes   []attribute // by name
	size         int64       // bytes of content, holes included
	sparse       bool
}

type attribute struct{ name, value string }

// check validates a header. Nothing of it has reached the file system yet.
func check(header *tar.Header) (entry, error) {
	parent, base, err := split(header.Name)
	if err != nil {
		return entry{}, err
	}
	e := entry{parent: parent, base: base, mode: uint32(header.Mode & 0o7777), uid: header.Uid, gid: header.Gid,
		modified: header.ModTime, size: header.Size}
	for _, id := range []int{header.Uid, header.Gid} {
		if id < 0 || int64(id) >= 1<<32-1 { // -1 would mean "leave it" to chown
			return entry{}, fmt.Errorf("owner %d is out of range", id)
		}
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		err = e.checkWhiteout(header)
	} else {
		err = e.checkKind(header)
	}
	if err == nil && base == "." && e.kind != directory {
		err = errors.New("the root of the file system must be a directory")
	}
	return e, err
}

// split cleans a name without ever resolving "..".
func split(name string) (parent, base string, err error) {
	clean, err := cleanName(name)
	if err != nil {
		return "", "", err
	}
	parent, base = path.Dir(clean), path.Base(clean)
	for component := range strings.SplitSeq(parent, "/") {
		if strings.HasPrefix(component, whiteoutPrefix) {
			return "", "", fmt.Errorf("directory %s has the name of a whiteout", quote(component))
		}
	}
	return parent, base, nil
}

func cleanName(name string) (string, error) {
	switch {
	case name == "":
		return "", errors.New("empty name")
	case len(name) > maxPath:
		return "", fmt.Errorf("name is longer than %d bytes", maxPath)
	case strings.IndexByte(name, 0) >= 0:
		return "", errors.New("name contains a NUL byte")
	case leads(name):
		return "", errors.New("leads out of the root file system")
	}
	depth := 0
	for component := range strings.SplitSeq(name, "/") {
		switch {
		case component == "..":
			return "", errors.New(`name has a ".." component`)
		case len(component) > maxComponent:
			return "", fmt.Errorf("a component is longer than %d bytes", maxComponent)
		}
		depth++
	}
	if depth > maxDepth {
		return "", fmt.Errorf("more than %d components", maxDepth)
	}
	return path.Clean("./" + strings.TrimLeft(name, "/")), nil
}

// leads says whether a name's ".." components lead above where it starts, by its text alone.
func leads(name string) bool {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	return clean == ".." || strings.HasPrefix(clean, "../")
}

func (e *entry) checkWhiteout(header *tar.Header) error {
	hidden := strings.TrimPrefix(e.base, whiteoutPrefix)
	switch {
	case header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeLink:
		return errors.New("a whiteout must be an empty file")
	case e.base == opaqueName:
		e.kind = opaque
	case hidden == "" || hidden == "." || hidden == "..":
		return errors.New("whiteout of no file")
	case strings.HasPrefix(hidden, whiteoutPrefix):
		return errors.New("unknown kind of whiteout")
	default:
		e.kind, e.base = whiteout, hidden
	}
	return nil
}

func (e *entry) checkKind(header *tar.Header) (err error) {
	switch header.Typeflag {
	case tar.TypeDir:
		e.kind = directory
	case tar.TypeReg, tar.TypeGNUSparse:
		e.kind, e.sparse = regular, isSparse(header)
	case tar.TypeLink:
		e.kind = hardLink
		e.target, err = linkTarget(header.Linkname)
	case tar.TypeSymlink:
		e.kind, e.target = symbolicLink, header.Linkname
		err = symbolicTarget(header.Linkname)
	case tar.TypeChar, tar.TypeBlock:
		err = e.checkDevice(header)
	case tar.TypeFifo:
		e.kind = pipe
	default:
		return fmt.Errorf("unknown type %q", header.Typeflag)
	}
	if e.kind == directory || e.kind == regular {
		e.attributes = attributes(header.PAXRecords)
	}
	return err
}

func isSparse(header *tar.Header) bool {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return header.Typeflag == tar.TypeGNUSparse
}

func linkTarget(target string) (string, error) {
	if strings.HasPrefix(target, "/") {
		return "", fmt.Errorf("hard link to the absolute name %s", quote(target))
	}
	clean, err := cleanName(target)
	if err != nil {
		return "", fmt.Errorf("hard link to %s: %w", quote(target), err)
	}
	return clean, nil
}

// symbolicTarget accepts any target, since nothing follows it out of the layer: /etc/mtab -> /proc/mounts is ordinary.
func symbolicTarget(target string) error {
	switch {
	case target == "":
		return errors.New("symbolic link to an empty name")
	case len(target) > maxPath:
		return fmt.Errorf("symbolic link to a name longer than %d bytes", maxPath)
	case strings.IndexByte(target, 0) >= 0:
		return errors.New("symbolic link to a name that contains a NUL byte")
	}
	return nil
}

func (e *entry) checkDevice(header *tar.Header) error {
	const maxMajor, maxMinor = 1<<12 - 1, 1<<20 - 1 // dev_t of Linux
	e.kind = blockDevice
	if header.Typeflag == tar.TypeChar {
		e.kind = characterDevice
	}
	switch {
	case header.Devmajor < 0 || header.Devmajor > maxMajor || header.Devminor < 0 || header.Devminor > maxMinor:
		return fmt.Errorf("device number %d:%d is out of range", header.Devmajor, header.Devminor)
	case e.kind == characterDevice && header.Devmajor == 0 && header.Devminor == 0:
		return errors.New("character device 0:0 would be taken for a whiteout")
	}
	e.major, e.minor = uint32(header.Devmajor), uint32(header.Devminor)
	return nil
}

// attributes keeps the extended attributes that an image may set; see the package comment.
func attributes(records map[string]string) (kept []attribute) {
	for key, value := range records {
		name, ok := strings.CutPrefix(key, attributeKey)
		user := strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
		if ok && (user || name == "security.capability") {
			kept = append(kept, attribute{name, value})
		}
	}
	slices.SortFunc(kept, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return kept
}
