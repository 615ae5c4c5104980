// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
)

var moment = time.Unix(1_600_000_000, 123_000_000)

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: moment,
		Format: tar.FormatPAX, PAXRecords: map[string]string{"TEST.content": content}}
}

func dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: moment}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: moment}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: moment}
}

// pack writes a tar; a file's content travels in a record of its header that is taken out again.
func pack(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, header := range headers {
		content := header.PAXRecords["TEST.content"]
		if header.PAXRecords != nil {
			records := map[string]string{}
			for key, value := range header.PAXRecords {
				if key != "TEST.content" {
					records[key] = value
				}
			}
			header.PAXRecords = records
		}
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatalf("%q: %v", header.Name, err)
		}
		if _, err := io.WriteString(writer, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func digestOf(data []byte) v1.Hash {
	digest, _, _ := v1.SHA256(bytes.NewReader(data))
	return digest
}

// memory makes a layer whose blob is blob and whose tar ought to be content.
func memory(content, blob []byte) layer {
	return layer{blob: digestOf(blob), diffID: digestOf(content), size: int64(len(blob)),
		open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil }}
}

func imageOf(tars ...[]byte) *Image {
	made := &Image{Digest: "sha256:test"}
	for _, content := range tars {
		made.layers = append(made.layers, memory(content, content))
	}
	return made
}

func newStore(t testing.TB) Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("unpacking needs root")
	}
	return Store{Dir: filepath.Join(t.TempDir(), "store")}
}

func mustUnpack(t testing.TB, s Store, of *Image) Unpacked {
	t.Helper()
	unpacked, err := s.Layers(context.Background(), of)
	if err != nil {
		t.Fatal(err)
	}
	checkClean(t, s)
	return unpacked
}

// checkClean fails if an unpacker has left something.
func checkClean(t testing.TB, s Store) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(s.Dir, "unpacking"))
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range left {
		t.Errorf("left behind: %s", item.Name())
	}
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func contains(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got error %v\nwant %s", err, want)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Fatalf("error of several lines: %q", err)
	}
}
