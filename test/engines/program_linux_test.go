// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// attempts are what root in a container with CAP_SYS_ADMIN and no filter tries in order to have exec start another program.
const attempts = `cd /
mv /.bulkhead /elsewhere && echo moved
mv /.bulkhead/init /tmp/init && echo program moved
rm -f /.bulkhead/init; test -e /.bulkhead/init || echo removed
umount /.bulkhead && echo unmounted
umount -l /.bulkhead && echo detached
mount -t tmpfs none /.bulkhead && echo covered
mount -o bind /tmp /.bulkhead && echo bound
mount -o remount,rw,bind /.bulkhead && echo remounted
mkdir /tmp/new; mount --move /.bulkhead /tmp/new && echo mount moved
ln -sf /bin/sh /.bulkhead/init && echo linked
echo x >/.bulkhead/init && echo written
echo done`

// testProgram shows that nothing in a container has exec start another program than the one that confines it.
func (e *engine) testProgram(t *testing.T) {
	powers := []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}
	confined := func(t *testing.T, id string) {
		t.Helper()
		if got := e.do(t, "exec", id, "probe").answers(t); got.Mount != "EPERM" {
			t.Errorf("exec is not confined: %+v", got)
		}
	}
	t.Run("root in the container cannot move, cover or change it", func(t *testing.T) {
		id := e.sleeper(t, ours, powers...)
		if got := e.do(t, "exec", id, "sh", "-c", attempts); got.out != "done\n" {
			t.Errorf("%s%s", got.out, got.err)
		}
		confined(t, id)
	})
	t.Run("one that comes with the image is covered", func(t *testing.T) {
		name := e.imageWith(t, "program", func(place string) error {
			if err := os.Mkdir(place, 0o755); err != nil {
				return err
			}
			return os.Symlink("../bin/busybox", filepath.Join(place, "init"))
		})
		confined(t, e.start(t, ours, append(powers, name, "sleep", "1000")...))
	})
	t.Run("a volume that a link in the image leads there is covered", func(t *testing.T) {
		volume := t.TempDir()
		if err := os.WriteFile(filepath.Join(volume, "init"), []byte("#!/bin/sh\necho other\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		name := e.imageWith(t, "led", func(place string) error {
			return os.Symlink(".bulkhead", filepath.Join(filepath.Dir(place), "led"))
		})
		confined(t, e.start(t, ours, append(powers, "-v", volume+":/led", name, "sleep", "1000")...))
	})
	t.Run("exec reaches a container whose first process has changed its root", func(t *testing.T) {
		id := e.start(t, ours, append(powers, image, "sh", "-c",
			"mkdir -p /tmp/x/bin /tmp/x/.bulkhead; cp /bin/busybox /tmp/x/bin/; cp /bin/busybox /tmp/x/.bulkhead/init; exec busybox chroot /tmp/x /bin/busybox sleep 1000")...)
		eventually(t, "it has", func() bool {
			return strings.Contains(e.do(t, "top", id).out, "/bin/busybox sleep")
		})
		confined(t, id)
	})
}
