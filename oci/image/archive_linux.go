// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxMembers bounds the members of a docker-archive: three per layer and a few more in the oldest form.
const maxMembers = 64 * maxLayers

// archive is a docker-archive: a tar with manifest.json, configurations and layers, read in place.
type archive struct {
	path    string
	members map[string]member
}

// member is one file in the archive, by position, or a link to another member.
type member struct {
	offset, size int64
	link         string
}

// archived is one image in manifest.json.
type archived struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func openArchive(path, tag string, platform v1.Platform) (*Image, error) {
	found, err := readArchive(path, tag, platform)
	if err != nil {
		return nil, fmt.Errorf("docker-archive: %w", err)
	}
	return found, nil
}

func readArchive(path, tag string, platform v1.Platform) (*Image, error) {
	from, err := list(path)
	if err != nil {
		return nil, err
	}
	document, err := from.document("manifest.json")
	if err != nil {
		return nil, err
	}
	var images []archived
	if err := json.Unmarshal(document, &images); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	wanted, err := pickArchived(images, tag)
	if err != nil {
		return nil, err
	}
	config, err := from.document(wanted.Config)
	if err != nil {
		return nil, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	layers := make([]layer, len(wanted.Layers))
	for i, name := range wanted.Layers {
		at, err := from.find(name)
		if err != nil {
			return nil, err
		}
		layers[i] = layer{size: at.size, open: func(context.Context) (io.ReadCloser, error) { return from.open(at) }}
	}
	return assemble(digest, config, layers, platform)
}

// list records where each member is; only headers are read.
func list(location string) (*archive, error) {
	file, err := openRegular(location)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	from := &archive{path: location, members: map[string]member{}}
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return from, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, fmt.Errorf("%s: not a tar, or damaged: %w", location, err)
		}
		if len(from.members) == maxMembers {
			return nil, fmt.Errorf("%s: more than %d members", location, maxMembers)
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		from.add(header, offset)
	}
}

func (a *archive) add(header *tar.Header, offset int64) {
	name := path.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeReg:
		a.members[name] = member{offset: offset, size: header.Size}
	case tar.TypeSymlink: // a layer that occurs twice
		a.members[name] = member{link: path.Join(path.Dir(name), header.Linkname)}
	case tar.TypeLink:
		a.members[name] = member{link: path.Clean(header.Linkname)}
	}
}

func (a *archive) find(name string) (member, error) {
	at, ok := a.members[path.Clean(name)]
	for hops := 0; ok && at.link != ""; hops++ {
		if hops == 8 {
			return member{}, fmt.Errorf("member %s: too many links", quote(name))
		}
		at, ok = a.members[at.link]
	}
	if !ok {
		return member{}, fmt.Errorf("no member %s", quote(name))
	}
	return at, nil
}

func (a *archive) open(at member) (io.ReadCloser, error) {
	file, err := openRegular(a.path)
	if err != nil {
		return nil, err
	}
	return section{io.NewSectionReader(file, at.offset, at.size), file}, nil
}

// section is a part of a file that closes the file.
type section struct {
	*io.SectionReader
	file *os.File
}

func (s section) Close() error { return s.file.Close() }

func (a *archive) document(name string) ([]byte, error) {
	at, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if at.size > maxDocument {
		return nil, fmt.Errorf("member %s: larger than %d bytes", quote(name), maxDocument)
	}
	reader, err := a.open(at)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

// pickArchived finds the image that has tag, as it is written in the archive or in full, or the only one.
func pickArchived(images []archived, tag string) (archived, error) {
	var tags []string
	for _, candidate := range images {
		if tag != "" && slices.ContainsFunc(candidate.RepoTags, func(have string) bool { return sameTag(have, tag) }) {
			return candidate, nil
		}
		tags = append(tags, candidate.RepoTags...)
	}
	switch {
	case tag != "":
		return archived{}, fmt.Errorf("no image tagged %q; %s", tag, listTags(tags))
	case len(images) == 0:
		return archived{}, errors.New("manifest.json names no image")
	case len(images) > 1:
		return archived{}, fmt.Errorf("holds several images, name one as PATH:TAG; %s", listTags(tags))
	}
	return images[0], nil
}

// sameTag compares REPOSITORY:TAG as a registry would: busybox is docker.io/library/busybox:latest. A bare TAG stands for
// any repository's.
func sameTag(have, wanted string) bool {
	if have == wanted {
		return true
	}
	if _, tag, ok := cutLast(have); ok && tag == wanted {
		return true
	}
	first, err1 := name.NewTag(have)
	second, err2 := name.NewTag(wanted)
	return err1 == nil && err2 == nil && first.Name() == second.Name()
}

func cutLast(text string) (before, after string, found bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
