// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeHost is a tree with the files that a kernel with SELinux shows.
func fakeHost(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Selinuxfs: filepath.Join(root, "fs"), Proc: filepath.Join(root, "proc")}
}

func TestSelinuxfsIsFoundWhereItIsMounted(t *testing.T) {
	host := fakeHost(t, map[string]string{"proc/self/mounts": "proc /proc proc rw 0 0\nselinuxfs /mnt/se\\040linux selinuxfs rw 0 0\n"})
	if found, err := FindHost(host.Proc); err != nil || found.Selinuxfs != "/mnt/se linux" || found.Proc != host.Proc {
		t.Errorf("got %+v, %v", found, err)
	}
	host = fakeHost(t, map[string]string{"proc/self/mounts": "selinuxfs /x tmpfs rw 0 0\n"})
	if _, err := FindHost(host.Proc); !errors.Is(err, ErrNotMounted) {
		t.Errorf("a name is not a file system type: %v", err)
	}
}

func TestADirectoryThatOnlyLooksLikeSelinuxfsIsNotEnabled(t *testing.T) {
	host := fakeHost(t, map[string]string{"fs/enforce": "1"})
	if status, err := host.Status(); err != nil || status != (Status{}) {
		t.Errorf("got %+v, %v", status, err)
	}
}

func TestStatusReadsEveryFile(t *testing.T) {
	files := map[string]string{"fs/enforce": "1", "fs/mls": "1", "fs/deny_unknown": "0", "fs/policyvers": "33",
		"proc/self/attr/current": "system_u:system_r:init_t:s0\x00"}
	status, err := fakeHost(t, files).readStatus()
	if want := (Status{true, true, true, true, false, 33}); err != nil || status != want {
		t.Errorf("got %+v, %v", status, err)
	}
	files["proc/self/attr/current"] = "kernel\x00"
	if status, err = fakeHost(t, files).readStatus(); err != nil || status.Loaded {
		t.Errorf("loaded before a policy is: %+v, %v", status, err)
	}
	files["fs/mls"] = "yes"
	if _, err = fakeHost(t, files).readStatus(); err == nil || !strings.Contains(err.Error(), "fs/mls") {
		t.Errorf("no place: %v", err)
	}
	delete(files, "fs/mls")
	if _, err = fakeHost(t, files).readStatus(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestProcessLabelHasNoNULOrNewline(t *testing.T) {
	host := fakeHost(t, map[string]string{"proc/42/attr/current": "u:r:container_t:s0:c1,c2\x00", "proc/43/attr/current": "u:r:t:s0\n"})
	if label, err := host.ProcessLabel(42); err != nil || label != "u:r:container_t:s0:c1,c2" {
		t.Errorf("got %q, %v", label, err)
	}
	if label, err := host.ProcessLabel(43); err != nil || label != "u:r:t:s0" {
		t.Errorf("got %q, %v", label, err)
	}
}

func TestTheKernelsEINVALIsAnInvalidContext(t *testing.T) {
	host := fakeHost(t, map[string]string{"fs/enforce": "1"})
	// oom_score_adj is a kernel file that answers EINVAL to anything but a number.
	if err := os.Symlink("/proc/self/oom_score_adj", filepath.Join(host.Selinuxfs, "context")); err != nil {
		t.Fatal(err)
	}
	var invalid *InvalidContextError
	if err := host.CheckContext("u:r:t:s0"); !errors.As(err, &invalid) || invalid.Context != "u:r:t:s0" {
		t.Errorf("got %v", err)
	}
}

func TestCheckContextWritesTheTextWithItsNUL(t *testing.T) {
	host := fakeHost(t, map[string]string{"fs/context": ""})
	if err := host.CheckContext("u:r:t:s0"); err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(filepath.Join(host.Selinuxfs, "context")); err != nil || string(written) != "u:r:t:s0\x00" {
		t.Errorf("got %q, %v", written, err)
	}
}

func TestAccessAsksByClassIndex(t *testing.T) {
	host := fakeHost(t, map[string]string{"fs/access": "", "fs/class/file/index": "7", "fs/class/file/perms/read": "2"})
	// A plain file gives the request back, which is no answer: the refusal shows the request.
	_, err := host.Access("u:r:a:s0", "u:r:b:s0", "file", "read")
	if err == nil || !strings.Contains(err.Error(), `"u:r:a:s0 u:r:b:s0 7"`) {
		t.Errorf("got %v", err)
	}
	if _, err := host.Access("u:r:a:s0 u:r:c:s0", "u:r:b:s0", "file", "read"); err == nil {
		t.Error("a context with a space is accepted")
	}
	for _, class := range []string{"../class/file", "", "nothing"} {
		if _, err := host.Access("u:r:a:s0", "u:r:b:s0", class, "read"); err == nil {
			t.Errorf("class %q is accepted", class)
		}
	}
}

func TestPermissionsAreBitsOfTheVector(t *testing.T) {
	host := fakeHost(t, map[string]string{"fs/class/file/perms/ioctl": "1", "fs/class/file/perms/read": "2",
		"fs/class/file/perms/last": "32", "fs/class/file/perms/bad": "33"})
	vector, err := allowedVector([]byte("80000002 ffffffff 0 ffffffff 9 0\x00"))
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := host.pick(vector, "class/file", []string{"ioctl", "read", "last"})
	if err != nil || allowed["ioctl"] || !allowed["read"] || !allowed["last"] || len(allowed) != 3 {
		t.Errorf("got %v, %v", allowed, err)
	}
	for _, permission := range []string{"bad", "unknown", "../perms/read"} {
		if _, err := host.pick(vector, "class/file", []string{permission}); err == nil {
			t.Errorf("permission %q is accepted", permission)
		}
	}
	for _, answer := range []string{"", "1 2 3 4", "100000000 0 0 0 0 0", "x 0 0 0 0 0"} {
		if _, err := allowedVector([]byte(answer)); err == nil {
			t.Errorf("answer %q is accepted", answer)
		}
	}
}

func TestFileLabelsGoRoundAndEndWithANULOnDisk(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "label")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	var even []uint16
	for category := range uint16(MaxCategories / 2) {
		even = append(even, category*2)
	}
	long := "system_u:object_r:container_file_t:s0:" + Categories(even...).String()
	for _, context := range []string{"system_u:object_r:container_file_t:s0:c1,c2", long} {
		if err := SetFileLabel(fd, context); errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
			t.Skipf("needs CAP_SYS_ADMIN and a file system with labels: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		if label, err := FileLabel(fd); err != nil || label != context {
			t.Errorf("got %q, %v", label, err)
		}
		raw := make([]byte, 4096)
		if n, err := unix.Fgetxattr(fd, labelAttribute, raw); err != nil || string(raw[:n]) != context+"\x00" {
			t.Errorf("on disk: %q, %v", raw[:max(n, 0)], err)
		}
	}
	if err := SetFileLabel(fd, "u:r:t\x00:s0"); err == nil {
		t.Error("a NUL inside is accepted")
	}
}

func TestAFileWithoutALabelIsSaidToHaveNone(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "label")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	label, err := FileLabel(int(file.Fd()))
	if (Host{Selinuxfs: "/sys/fs/selinux"}).Enabled() {
		if err != nil || label == "" {
			t.Errorf("SELinux labels every file: got %q, %v", label, err)
		}
	} else if !errors.Is(err, ErrNoLabel) {
		t.Errorf("got %q, %v", label, err)
	}
}
