// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Under SELinux the layers of an image carry a label of their own, which kernels such as 6.1 look at below the overlay.
func TestRunFromAnImage(t *testing.T) {
	require(t)
	either(t)
	archive := buildImage(t)
	t.Cleanup(func() { os.RemoveAll("/var/lib/bulkhead/images") })
	for range 2 { // unpacked, and found in the store
		run(t, bulkhead, "run", "--rm", archive, "/bin/sh", "-c", "echo from the image; cat /etc/passwd | head -n 1 >/tmp/x; cat /tmp/x").
			has(t, "from the image", "root:x:0:0:root:/:/bin/sh")
	}
	if os.Getenv("BULKHEAD_VM") != "selinux" {
		return
	}
	layers, err := filepath.Glob("/var/lib/bulkhead/images/layers/sha256/*/bin/busybox")
	if err != nil || len(layers) != 1 {
		t.Fatalf("layers %v, %v", layers, err)
	}
	for _, path := range []string{layers[0], filepath.Dir(layers[0]), filepath.Dir(filepath.Dir(layers[0]))} {
		if got := xattr(t, path); got != "system_u:object_r:container_ro_file_t:s0" {
			t.Errorf("%s has label %s", path, got)
		}
	}
}

// buildImage packs the shared root file system into a docker-archive.
func buildImage(t *testing.T) string {
	t.Helper()
	layerPath, archive := filepath.Join(t.TempDir(), "layer.tar"), filepath.Join(t.TempDir(), "image.tar")
	file, err := os.Create(layerPath)
	if err != nil {
		t.Fatal(err)
	}
	writer := tar.NewWriter(file)
	if err := writer.AddFS(os.DirFS(rootFS(t))); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromFile(layerPath)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := picture.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if picture, err = mutate.ConfigFile(picture, config); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("test/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, picture); err != nil {
		t.Fatal(err)
	}
	return archive
}
