// SPDX-License-Identifier: Apache-2.0

//go:build linux

package input

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// imageOf makes an image of one layer.
func imageOf(t *testing.T, entries ...tar.Header) v1.Image {
	t.Helper()
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	for _, entry := range entries {
		content := []byte(nil)
		if entry.Typeflag == tar.TypeReg && entry.Size == 0 {
			content = []byte("hostile")
			entry.Size = int64(len(content))
		}
		if entry.Mode == 0 {
			entry.Mode = 0o755
		}
		if err := writer.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if entry.Name == "bin/busybox" {
			content = busybox(t)
		}
		if _, err := writer.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, withPlatform(t, image))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func withPlatform(t *testing.T, image v1.Image) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	return config
}

func busybox(t *testing.T) []byte {
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal("no busybox: apt-get install busybox-static")
	}
	return data
}

// goodImage is one that runs.
func goodImage(t *testing.T) string {
	size := int64(len(busybox(t)))
	return writeArchive(t, imageOf(t, tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Size: size},
		tar.Header{Name: "bin/true", Typeflag: tar.TypeSymlink, Linkname: "busybox"}, tar.Header{Name: "proc", Typeflag: tar.TypeDir},
		tar.Header{Name: "dev", Typeflag: tar.TypeDir}, tar.Header{Name: "sys", Typeflag: tar.TypeDir}))
}

func writeArchive(t *testing.T, image v1.Image) string {
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, name.MustParseReference("test:latest"), image); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeLayout(t *testing.T, image v1.Image) string {
	path := filepath.Join(t.TempDir(), "layout")
	written, err := layout.Write(path, empty.Index)
	if err == nil {
		err = written.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

const hostileHint = "bulkhead: hint: the image is damaged or hostile, and nothing of it was kept: get it again from a source that you trust\n"

func TestHostileImagesAreRefused(t *testing.T) {
	furnish(t, harness.RootFS(t))
	outside := t.TempDir()
	for name, row := range map[string]struct {
		entries []tar.Header
		stderr  string
	}{
		"FileAbove":             {[]tar.Header{{Name: "../escaped", Typeflag: tar.TypeReg}}, "bulkhead: error: layer sha256:$DIGEST: entry \"../escaped\": leads out of the root file system\n" + hostileHint},
		"FileFarAbove":          {[]tar.Header{{Name: "a/../../../../escaped", Typeflag: tar.TypeReg}}, "bulkhead: error: layer sha256:$DIGEST: entry \"a/../../../../escaped\": leads out of the root file system\n" + hostileHint},
		"DirectoryAbove":        {[]tar.Header{{Name: "../escaped/", Typeflag: tar.TypeDir}}, "bulkhead: error: layer sha256:$DIGEST: entry \"../escaped/\": leads out of the root file system\n" + hostileHint},
		"HardLinkAbove":         {[]tar.Header{{Name: "escaped", Typeflag: tar.TypeLink, Linkname: "../../../../etc/passwd"}}, "bulkhead: error: layer sha256:$DIGEST: entry \"escaped\": hard link to \"../../../../etc/passwd\": leads out of the root file system\n" + hostileHint},
		"WhiteoutAbove":         {[]tar.Header{{Name: "../.wh.escaped", Typeflag: tar.TypeReg}}, "bulkhead: error: layer sha256:$DIGEST: entry \"../.wh.escaped\": leads out of the root file system\n" + hostileHint},
		"FileBelowAbsoluteLink": {[]tar.Header{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "link/escaped", Typeflag: tar.TypeReg}}, "bulkhead: error: layer sha256:$DIGEST: entry \"link/escaped\": directory \"link\" leads out of the root file system\n" + hostileHint},
		"FileBelowLinkAbove":    {[]tar.Header{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "../../../.."}, {Name: "link/tmp/escaped", Typeflag: tar.TypeReg}}, "bulkhead: error: layer sha256:$DIGEST: entry \"link/tmp/escaped\": directory \"link/tmp\" leads out of the root file system\n" + hostileHint},
		"HardLinkByLink":        {[]tar.Header{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, {Name: "escaped", Typeflag: tar.TypeLink, Linkname: "link/passwd"}}, "bulkhead: error: layer sha256:$DIGEST: entry \"escaped\": hard link to \"link/passwd\": \"link\" is a symbolic link or not a directory\n" + hostileHint},
	} {
		for kind, write := range map[string]func(*testing.T, v1.Image) string{"archive": writeArchive, "layout": writeLayout} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				path := write(t, imageOf(t, row.entries...))
				refused(t, exec.Command(harness.Binary(t), "run", "--rm", path, "/bin/true"), path, refusal{125, row.stderr})
				for _, directory := range []string{outside, "/", "/tmp", filepath.Dir(path), "/var/lib"} {
					if _, err := os.Lstat(filepath.Join(directory, "escaped")); err == nil {
						t.Errorf("%s/escaped is there", directory)
					}
				}
			})
		}
	}
}

// An absolute link is no harm by itself: in the container it leads to the container's own files.
func TestAbsoluteLinkStaysInTheContainer(t *testing.T) {
	size := int64(len(busybox(t)))
	path := writeArchive(t, imageOf(t, tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Size: size},
		tar.Header{Name: "bin/cat", Typeflag: tar.TypeSymlink, Linkname: "/bin/busybox"}, tar.Header{Name: "proc", Typeflag: tar.TypeDir},
		tar.Header{Name: "dev", Typeflag: tar.TypeDir}, tar.Header{Name: "sys", Typeflag: tar.TypeDir},
		tar.Header{Name: "inner", Typeflag: tar.TypeReg}, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/inner"}))
	out, err := exec.Command(harness.Binary(t), "run", "--rm", path, "/bin/cat", "/link").Output()
	if err != nil || string(out) != "hostile" {
		t.Errorf("%s: %v", out, err)
	}
}

func TestDamagedImagesAreRefused(t *testing.T) {
	furnish(t, harness.RootFS(t))
	good, err := os.ReadFile(goodImage(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		content []byte
		stderr  string
	}{
		"Truncated": {good[:len(good)/2], "bulkhead: error: image \"$DIR\": docker-archive: $DIR: not a tar, or damaged: unexpected EOF\n" + imageHint},
		"NoArchive": {[]byte("this is no archive"), "bulkhead: error: image \"$DIR\": \"$DIR\" is neither an OCI layout nor a docker-archive\n" + imageHint},
		"Empty":     {nil, "bulkhead: error: image \"$DIR\": \"$DIR\" is neither an OCI layout nor a docker-archive\n" + imageHint},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image.tar")
			if err := os.WriteFile(path, row.content, 0o644); err != nil {
				t.Fatal(err)
			}
			refused(t, exec.Command(harness.Binary(t), "run", "--rm", path, "/bin/true"), path, refusal{125, row.stderr})
		})
	}
}
