// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// rootFS is a root file system of busybox.
func rootFS(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, directory := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "data"} {
		if err := os.Mkdir(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Open("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	file, err := os.OpenFile(filepath.Join(root, "bin/busybox"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(file, program)
	if err = errors.Join(err, file.Close(), os.Symlink("busybox", root+"/bin/sh"), os.Symlink("busybox", root+"/bin/cat")); err != nil {
		t.Fatal(err)
	}
	return root
}

// inContainer runs a script to its end, under SELinux alone.
func inContainer(root, script string, options ...string) (string, error) {
	arguments := append([]string{"run", "--rm", "--rootfs", root, "--security-opt", "landlock=unconfined", "--security-opt", "seccomp=unconfined"}, options...)
	command := exec.Command("/usr/bin/bulkhead", append(arguments, "/bin/sh", "-c", script)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &stderr)
	}
	return strings.TrimRight(stdout.String(), "\x00\n"), err
}

// A container among files of its own, of another container and of the host, which were all mounted into it by mistake.
func TestAContainerUnderDebiansPolicyReachesItsOwnFilesAlone(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	load(t, encode(t, debian(t)))
	// The guest's own root was labelled before this policy knew it.
	if err := unix.Mount("tmpfs", "/var", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/var", unix.MNT_DETACH) })
	root := rootFS(t)
	// The first container brings the policy of containers. On 6.1 it comes to nothing: that kernel asks for the label of the program below the overlay.
	_, _ = inContainer(root, ":")
	label := []byte("system_u:object_r:container_ro_file_t:s0\x00")
	if err := unix.Setxattr(root+"/bin/busybox", "security.selinux", label, 0); err != nil {
		t.Fatal(err)
	}
	const process, own, other, host = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2",
		"system_u:object_r:container_file_t:s0:c3,c4", "system_u:object_r:shadow_t:s0"
	shared := t.TempDir()
	for name, label := range map[string]string{"own": own, "other": other, "host": host} {
		if _, err := labelled(t, filepath.Join(shared, name), label).WriteString("data of " + name + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	before, watch := messages(t), vmtest.WatchAVCs(t)
	text, err := inContainer(root, "for name in own other host; do cat /data/$name; echo x >>/data/$name; done; cat /proc/self/attr/current",
		"-v", shared+":/data", "--security-opt", "label=level:s0:c1,c2")
	if err != nil || text != "data of own\n"+process {
		t.Fatalf("%q, %v; denials %v", text, err, watch.Denials())
	}
	policy, denials, list := shown(t), watch.Denials(), why(t, before, process)
	for target, cause := range map[string]policydb.Cause{other: policydb.ByConstraint, host: policydb.NoRule} {
		for _, permission := range []string{"read", "append"} {
			if x := ask(t, policy, process, target, permission); x.Allowed || x.Cause != cause {
				t.Errorf("%s of %s: policydb says %t, %s", permission, target, x.Allowed, x.Cause)
			}
			if got := reasonOf(list, target, permission); got != string(cause) {
				t.Errorf("%s of %s: why says %q, want %s", permission, target, got, cause)
			}
			if !slices.ContainsFunc(denials, func(a vmtest.AVC) bool {
				return a.Source == process && a.Target == target && a.Class == "file" && slices.Contains(a.Permissions, permission)
			}) {
				t.Errorf("%s of %s is not in the log: %v", permission, target, denials)
			}
		}
	}
	for _, denial := range denials {
		if denial.Source == process && denial.Target != other && denial.Target != host {
			t.Errorf("a denial of something else: %v", denial)
		}
	}
}
