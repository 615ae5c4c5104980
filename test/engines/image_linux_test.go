// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// probe is the program of the directory of that name, built once.
var probe = sync.OnceValues(func() ([]byte, error) {
	directory, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "probe")
	build := exec.Command("go", "build", "-o", path, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, out)
	}
	return os.ReadFile(path)
})

// rootFS makes a root file system of busybox and the probe.
func rootFS(t *testing.T) string {
	t.Helper()
	root := harness.RootFS(t)
	binary, err := probe()
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "bin", "probe"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return root
}

// archive makes a docker-archive of a root file system, which every engine loads, and returns its path.
func archive(t *testing.T, root, image string) string {
	t.Helper()
	layer, err := exec.Command("tar", "-C", root, "--numeric-owner", "-c", ".").Output()
	if err != nil {
		t.Fatalf("tar: %v", err)
	}
	config := encode(t, map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Env": []string{"PATH=/bin", "IMAGE=yes"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}}})
	manifest := encode(t, []map[string]any{{"Config": digest(config) + ".json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}}})
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, file := range []struct {
		name string
		data []byte
	}{{"layer.tar", layer}, {digest(config) + ".json", config}, {"manifest.json", manifest}} {
		if err := writer.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(file.data); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
