// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// Under SELinux the layers of an image carry a label of their own, which kernels such as 6.1 look at below the overlay.
func TestRunFromAnImage(t *testing.T) {
	require(t)
	either(t)
	archive := harness.Archive(t, harness.Image(t, rootFS(t), v1.Config{}))
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
