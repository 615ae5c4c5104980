// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// What distributions let everybody do, and this machine may not: /dev/fuse is for all users.
func publicDevice(t *testing.T) {
	t.Helper()
	node := filepath.Join(t.TempDir(), "fuse")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(node, "/dev/fuse", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/dev/fuse", unix.MNT_DETACH) })
}

func TestOrdinaryUsersMountInTheirNamespaces(t *testing.T) {
	publicDevice(t)
	home, err := os.MkdirTemp("", "rootless")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	program, err := os.ReadFile(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "bulkhead"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	const script = `cd "$HOME"; mkdir mnt
./bulkhead shield init --new-key-file key volume >/dev/null
for round in 1 2; do
	./bulkhead shield mount --key-file key volume mnt & mount=$!
	for i in $(seq 200); do grep -q fuse.bulkhead /proc/self/mounts && break; sleep 0.05; done
	echo "round $round" >>mnt/f; sync mnt/f
	stat -c '%u %g' mnt/f
	[ $round = 1 ] || cat mnt/f
	umount mnt; wait $mount
done
./bulkhead shield verify --key-file key volume`
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "unshare", "-Urm", "sh", "-ec", script)
	command.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	out, err := command.CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "0 0\nround 1\nround 2\n") || !strings.Contains(text, "every block is authentic") {
		t.Errorf("%v: %s", err, out)
	}
}
