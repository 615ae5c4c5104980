// SPDX-License-Identifier: Apache-2.0

// Package image turns a container image into unpacked layer directories that overlayfs can stack.
//
// [Open] finds the image: an OCI layout directory, a docker-archive tar file or a registry. [Store.Layers] unpacks the
// layers that the store does not hold yet and returns their directories. A layer is there completely and verified, or
// not at all: it is unpacked beside its place, under a lock, and renamed when both of its digests (of the blob in the
// manifest, of the tar in the configuration) have been confirmed.
//
// A layer is untrusted input. No entry can be created outside the layer's directory, whatever names, links or order the
// tar uses: a directory is reached through [os.Root] and the entry is made in it by its last component alone. A hostile
// or corrupt layer is an error that names the layer and the entry, and leaves nothing behind.
//
// What differs from the tar, and why:
//   - A leading "/" of an entry's name is dropped, as Docker does; ".." is refused, also where it would stay inside.
//   - Of extended attributes only security.capability and user.* are kept. trusted.overlay.* and user.overlay.* would let
//     an image redirect overlayfs lookups; security.selinux, security.apparmor, security.ima and the like are the host's
//     own labels, which the confinement sets; POSIX access control lists (system.*) are not kept. Attributes are set on
//     regular files and directories only.
//   - Whiteouts become what overlayfs reads: a character device 0/0, or trusted.overlay.opaque=y. A device 0/0 of the
//     image's own would be mistaken for one and is refused.
//   - A directory that the tar implies but does not list takes the owner, mode and time it has in the layers below (else 0755,
//     root, time 0). So an unpacked layer depends on those below it and is kept under its chain ID, not its diff ID.
//
// Limits: layers are plain tar, gzip or zstd; manifests are Docker schema 2 or OCI; schema 1, encrypted and
// non-distributable layers are refused. Plain http is used for loopback registries only. Unpacking needs root, for
// ownership, device nodes and trusted.* attributes, and a file system with trusted.* and security.* attributes.
//
// Sources followed: OCI image-spec 1.1 (image-layout, manifest, image-index, config, layer), Linux
// Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories), POSIX pax.
package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	maxDocument   = 8 << 20 // bytes of one index, manifest or configuration
	maxLayers     = 500     // what overlayfs stacks (OVL_MAX_STACK)
	maxIndexDepth = 4       // indexes inside indexes
)

// Options of Open; the zero value is right for `docker run`'s defaults.
type Options struct {
	Platform string         // OS/ARCHITECTURE[/VARIANT]; empty: linux and the architecture of this program
	Keychain authn.Keychain // registry credentials; nil: Docker's config.json
}

// Image is an image that was found, with its configuration read and checked; its layers have not been read yet.
type Image struct {
	Reference string    // as given to Open
	Digest    string    // of the manifest, "sha256:..."; of the configuration for a docker-archive, which has no manifest
	Config    v1.Config // what to run and how

	layers []layer // lowest first
}

// layer is one compressed or plain tar, lowest first in its image.
type layer struct {
	blob   v1.Hash // digest of the bytes that open gives; zero for a docker-archive, which records none
	diffID v1.Hash // digest of the uncompressed tar
	size   int64   // bytes that open gives
	open   func(context.Context) (io.ReadCloser, error)
}

// digest is the name by which the image's author knows the layer.
func (l layer) digest() v1.Hash {
	if l.blob == (v1.Hash{}) {
		return l.diffID
	}
	return l.blob
}

// repository is where the documents and layers of an image are read from.
type repository interface {
	manifest(ctx context.Context, wanted v1.Descriptor) ([]byte, error)
	blob(ctx context.Context, wanted v1.Descriptor) (io.ReadCloser, error)
}

// resolve follows indexes from a descriptor to the image for platform.
func resolve(ctx context.Context, from repository, wanted v1.Descriptor, platform v1.Platform, depth int) (*Image, error) {
	switch {
	case wanted.MediaType.IsSchema1():
		return nil, fmt.Errorf("manifest %s: Docker schema 1 is not supported", wanted.Digest)
	case !wanted.MediaType.IsIndex() && !wanted.MediaType.IsImage():
		return nil, fmt.Errorf("manifest %s: media type %s is neither an image nor an index", wanted.Digest, quote(string(wanted.MediaType)))
	case depth == maxIndexDepth:
		return nil, fmt.Errorf("manifest %s: indexes nested more than %d deep", wanted.Digest, maxIndexDepth)
	}
	document, err := from.manifest(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if err := verify(document, wanted.Digest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", wanted.Digest, err)
	}
	if wanted.MediaType.IsImage() {
		return read(ctx, from, wanted.Digest, document, platform)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", wanted.Digest, err)
	}
	child, err := choose(index.Manifests, platform)
	if err != nil {
		return nil, err
	}
	return resolve(ctx, from, child, platform, depth+1)
}

// read reads an image's configuration and pairs its layers with their diff IDs.
func read(ctx context.Context, from repository, digest v1.Hash, document []byte, platform v1.Platform) (*Image, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", digest, err)
	}
	if kind := manifest.Config.MediaType; kind != types.OCIConfigJSON && kind != types.DockerConfigJSON {
		return nil, fmt.Errorf("manifest %s: holds %s, not a container image", digest, quote(string(kind)))
	}
	if manifest.Config.Size < 0 || manifest.Config.Size > maxDocument {
		return nil, fmt.Errorf("configuration %s: size %d is out of range", manifest.Config.Digest, manifest.Config.Size)
	}
	config, err := readConfig(ctx, from, manifest.Config)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", manifest.Config.Digest, err)
	}
	layers := make([]layer, len(manifest.Layers))
	for i, wanted := range manifest.Layers {
		if err := checkLayer(wanted); err != nil {
			return nil, fmt.Errorf("layer %s: %w", wanted.Digest, err)
		}
		layers[i] = layer{blob: wanted.Digest, size: wanted.Size, open: func(ctx context.Context) (io.ReadCloser, error) {
			return from.blob(ctx, wanted)
		}}
	}
	return assemble(digest, config, layers, platform)
}

func readConfig(ctx context.Context, from repository, wanted v1.Descriptor) ([]byte, error) {
	reader, err := from.blob(ctx, wanted)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	document, err := io.ReadAll(io.LimitReader(reader, wanted.Size+1))
	if err != nil {
		return nil, err
	}
	return document, verify(document, wanted.Digest)
}

// assemble checks a configuration against the platform and the layers, and gives the layers their diff IDs.
func assemble(digest v1.Hash, document []byte, layers []layer, platform v1.Platform) (*Image, error) {
	config, err := v1.ParseConfigFile(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("image %s: configuration: %w", digest, err)
	}
	switch {
	case !satisfies(config.Platform(), platform):
		return nil, fmt.Errorf("image %s: is for %s, not for %s", digest, quote(config.Platform().String()), platform)
	case len(layers) == 0:
		return nil, fmt.Errorf("image %s: has no layers", digest)
	case len(layers) > maxLayers:
		return nil, fmt.Errorf("image %s: %d layers are more than overlayfs can stack (%d)", digest, len(layers), maxLayers)
	case len(config.RootFS.DiffIDs) != len(layers):
		return nil, fmt.Errorf("image %s: %d layers but %d diff IDs", digest, len(layers), len(config.RootFS.DiffIDs))
	}
	for i, diffID := range config.RootFS.DiffIDs {
		if diffID.Algorithm != "sha256" {
			return nil, fmt.Errorf("image %s: diff ID %s: only sha256 is supported", digest, quote(diffID.String()))
		}
		layers[i].diffID = diffID
	}
	return &Image{Digest: digest.String(), Config: config.Config, layers: layers}, nil
}

// checkLayer refuses what is no file system layer that anybody may distribute. Addresses of its own in a layer's
// descriptor would make the host ask servers of the image author's choice, so they are refused too.
func checkLayer(wanted v1.Descriptor) error {
	switch wanted.MediaType {
	case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.DockerLayer, types.DockerUncompressedLayer:
	default:
		return fmt.Errorf("media type %s is not a file system layer", quote(string(wanted.MediaType)))
	}
	switch {
	case len(wanted.URLs) > 0:
		return errors.New("is to be fetched from elsewhere, which is not supported")
	case wanted.Size < 0:
		return fmt.Errorf("size %d is negative", wanted.Size)
	}
	return nil
}

func verify(document []byte, wanted v1.Hash) error {
	got, _, err := v1.SHA256(bytes.NewReader(document))
	if err != nil {
		return err
	}
	if got != wanted {
		return fmt.Errorf("content has digest %s", got)
	}
	return nil
}

// quote shows untrusted text on one line of bounded length.
func quote(text string) string {
	const limit = 200
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return fmt.Sprintf("%q", text)
}

// line is an error whose text, which may come from a server, is kept to one line of bounded length.
type line struct{ error }

func (l line) Error() string {
	text := strings.Join(strings.Fields(l.error.Error()), " ")
	return strings.Trim(quote(text), `"`)
}

func (l line) Unwrap() error { return l.error }
