// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// referenceName is the annotation by which an OCI layout's index.json tags an image.
const referenceName = "org.opencontainers.image.ref.name"

// layout is an OCI layout directory.
type layout struct{ path string }

func openLayout(ctx context.Context, path, tag string, platform v1.Platform) (*Image, error) {
	from := layout{path}
	document, err := from.document("index.json")
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("OCI layout: index.json: %w", err)
	}
	top, err := pick(index.Manifests, tag, platform)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	return resolve(ctx, from, top, platform, 0)
}

// pick finds the one image that a layout's index has under tag, or at all if tag is empty.
func pick(manifests []v1.Descriptor, tag string, platform v1.Platform) (v1.Descriptor, error) {
	var tags []string
	var found []v1.Descriptor
	for _, candidate := range manifests {
		named := candidate.Annotations[referenceName]
		if named != "" && !slices.Contains(tags, named) {
			tags = append(tags, named)
		}
		if tag == "" || named == tag {
			found = append(found, candidate)
		}
	}
	switch {
	case len(found) == 0:
		return v1.Descriptor{}, fmt.Errorf("no image tagged %q; %s", tag, listTags(tags))
	case len(found) == 1:
		return found[0], nil
	case tag == "" && len(tags) > 1:
		return v1.Descriptor{}, fmt.Errorf("holds several images, name one as PATH:TAG; %s", listTags(tags))
	}
	return choose(found, platform)
}

func listTags(tags []string) string {
	if len(tags) == 0 {
		return "it has no tags"
	}
	return line{errors.New("its tags are " + strings.Join(tags, ", "))}.Error()
}

func (l layout) manifest(_ context.Context, wanted v1.Descriptor) ([]byte, error) {
	return l.document(blobPath(wanted.Digest))
}

func (l layout) blob(_ context.Context, wanted v1.Descriptor) (io.ReadCloser, error) {
	return openRegular(filepath.Join(l.path, blobPath(wanted.Digest)))
}

func (l layout) document(name string) ([]byte, error) {
	file, err := openRegular(filepath.Join(l.path, name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	document, err := io.ReadAll(io.LimitReader(file, maxDocument+1))
	if err == nil && len(document) > maxDocument {
		err = fmt.Errorf("%s: larger than %d bytes", file.Name(), maxDocument)
	}
	return document, err
}

// blobPath is safe to join: a Hash read from JSON holds a known algorithm and hexadecimal digits.
func blobPath(digest v1.Hash) string {
	return filepath.Join("blobs", digest.Algorithm, digest.Hex)
}
