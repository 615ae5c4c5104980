// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Open finds what reference names, in this order:
//
//	oci:PATH[:TAG]               an OCI layout directory
//	docker-archive:PATH[:TAG]    a tar file as `docker save` writes it
//	PATH[:TAG]                   whichever of the two exists at PATH
//	[HOST/]NAME[:TAG|@DIGEST]    an image in a registry, Docker Hub unless HOST is given
//
// A TAG is needed only if there are several images for the platform. The error says whether there is no such thing, or
// what the registry answered.
func Open(ctx context.Context, reference string, options Options) (*Image, error) {
	platform, err := parsePlatform(options.Platform)
	if err != nil {
		return nil, err
	}
	found, err := open(ctx, reference, platform, options)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", reference, err)
	}
	found.Reference = reference
	return found, nil
}

func open(ctx context.Context, reference string, platform v1.Platform, options Options) (*Image, error) {
	if rest, ok := strings.CutPrefix(reference, "oci:"); ok {
		path, tag := splitTag(rest)
		return openLayout(ctx, path, tag, platform)
	}
	if rest, ok := strings.CutPrefix(reference, "docker-archive:"); ok {
		path, tag := splitTag(rest)
		return openArchive(path, tag, platform)
	}
	path, tag := splitTag(reference)
	switch {
	case isLayout(path):
		return openLayout(ctx, path, tag, platform)
	case isTar(path):
		return openArchive(path, tag, platform)
	}
	parsed, err := parseReference(reference)
	if err == nil {
		return openRegistry(ctx, parsed, platform, options.Keychain)
	}
	if _, failure := os.Stat(path); failure == nil {
		return nil, fmt.Errorf("%s is neither an OCI layout nor a docker-archive", quote(path))
	}
	return nil, fmt.Errorf("no such OCI layout or docker-archive, and not a valid reference: %w", line{err})
}

// parseReference reads a registry reference. "./name" and "/name" could be read as one, but are meant as paths.
func parseReference(text string) (name.Reference, error) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") {
		return nil, errors.New("it starts as a path does")
	}
	return name.ParseReference(text)
}

// splitTag splits PATH:TAG. A path that exists as it is written has no tag; a tag may hold colons itself, as in
// localhost:5000/name:latest, so the longest path that exists wins.
func splitTag(text string) (path, tag string) {
	for end := len(text); end > 0; end = strings.LastIndexByte(text[:end], ':') {
		if _, err := os.Stat(text[:end]); err == nil {
			return text[:end], strings.TrimPrefix(text[end:], ":")
		}
	}
	return text, ""
}

func isLayout(path string) bool {
	info, err := os.Stat(filepath.Join(path, "oci-layout"))
	return err == nil && info.Mode().IsRegular()
}

// isTar looks for the magic of POSIX and GNU tar, which is at byte 257 of the first header.
func isTar(path string) bool {
	file, err := openRegular(path)
	if err != nil {
		return false
	}
	defer file.Close()
	magic := make([]byte, 5)
	_, err = file.ReadAt(magic, 257)
	return err == nil && string(magic) == "ustar"
}

// openRegular opens a file that can be read to its end: never a pipe, which would hang, or a device.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("is not a regular file")}
	}
	return os.Open(path)
}
