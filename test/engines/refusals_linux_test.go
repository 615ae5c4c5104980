// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testRefusals shows that the engine's user reads Bulkhead's own words, and that nothing is left of what was refused.
func (e *engine) testRefusals(t *testing.T) {
	volume := t.TempDir()
	for _, destination := range []string{"/.bulkhead", "/.bulkhead/init", "/tmp/../.bulkhead/"} {
		t.Run("a volume on "+destination+" is refused", func(t *testing.T) {
			e.refused(t, "the program that confines the container has its place there", "-v", volume+":"+destination, image, "true")
		})
	}
	for name, change := range map[string]func(place string) error{
		"file": func(place string) error { return os.WriteFile(place, nil, 0o755) },
		"link": func(place string) error { return os.Symlink("tmp", place) },
	} {
		t.Run("an image with a "+name+" at /.bulkhead is refused", func(t *testing.T) {
			e.refused(t, "its /.bulkhead is no directory", e.imageWith(t, name, change), "true")
		})
	}
}

// refused runs what must not start.
func (e *engine) refused(t *testing.T, says string, args ...string) {
	t.Helper()
	got := e.run(t, ours, args...)
	if got.status != 125 && got.status != 126 || !strings.Contains(got.err, says) || got.out != "" {
		t.Errorf("got %+v", got)
	}
	if left := records(t, e.place); len(left) != 0 {
		t.Errorf("left: record of %s", left[0].ID)
	}
	noOrphans(t)
}

// imageWith loads an image that has something of its own at /.bulkhead.
func (e *engine) imageWith(t *testing.T, name string, change func(place string) error) string {
	t.Helper()
	root := rootFS(t)
	if err := change(filepath.Join(root, ".bulkhead")); err != nil {
		t.Fatal(err)
	}
	name = "localhost/bulkhead-test:" + name
	e.load(t, root, name)
	return name
}
