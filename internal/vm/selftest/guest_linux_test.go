// SPDX-License-Identifier: Apache-2.0

package selftest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// inGuest skips a test of what every guest has.
func inGuest(t *testing.T) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run make vm")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(text), "\x00\n")
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// attribute runs a command with something written to one of the calling thread's
// files in /proc/thread-self/attr, from where exec takes it.
func attribute(t *testing.T, file, value string, arguments ...string) (string, error) {
	t.Helper()
	var text bytes.Buffer
	command := exec.Command(arguments[0], arguments[1:]...)
	command.Stdout, command.Stderr = &text, &text
	startWith(t, command, file, value)
	err := command.Wait()
	return text.String(), err
}

func startWith(t *testing.T, command *exec.Cmd, file, value string) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path := "/proc/thread-self/attr/" + file
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if file == "exec" { // SELinux keeps it for the thread's next execve too
		if err := os.WriteFile(path, []byte("\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLandlockHasTheABIOfTheKernel(t *testing.T) {
	inGuest(t)
	vmtest.Require(t, vmtest.Landlock)
	want := map[string]int{"6.1": 2, "6.12": 6}
	version := strings.Join(strings.SplitN(read(t, "/proc/sys/kernel/osrelease"), ".", 3)[:2], ".")
	if got := vmtest.LandlockABI(); got < want[version] {
		t.Errorf("kernel %s has Landlock ABI %d, want at least %d", version, got, want[version])
	}
}

func TestBPFIsASecurityModuleWithTypes(t *testing.T) {
	inGuest(t)
	vmtest.Require(t, vmtest.BPF)
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Error(err)
	}
	var filesystem unix.Statfs_t
	if err := unix.Statfs("/sys/fs/bpf", &filesystem); err != nil || filesystem.Type != unix.BPF_FS_MAGIC {
		t.Errorf("/sys/fs/bpf has type %#x, %v", filesystem.Type, err)
	}
}

func TestControllersAreDelegated(t *testing.T) {
	inGuest(t)
	group := "/sys/fs/cgroup/selftest"
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(group)
	have := strings.Fields(read(t, group+"/cgroup.controllers"))
	for _, controller := range []string{"memory", "pids", "cpu", "cpuset", "io"} {
		if !slices.Contains(have, controller) {
			t.Errorf("a cgroup has %v, not %s", have, controller)
		}
	}
}

func TestOverlayAndPivotRootWork(t *testing.T) {
	inGuest(t)
	root := t.TempDir()
	mountOverlay(t, root, "")
	script := "cd " + root + "/merged && mkdir -p old bin && cp /bin/busybox bin/ && mount --bind . . && cd . && cd " + root + "/merged && pivot_root . old && /bin/busybox ls /old/proc/self/status"
	text, err := exec.Command("/bin/unshare", "-m", "/bin/sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

func mountOverlay(t *testing.T, root, options string) {
	t.Helper()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "lower/file"), "lower", 0o644)
	data := "lowerdir=" + root + "/lower,upperdir=" + root + "/upper,workdir=" + root + "/work" + options
	if err := unix.Mount("overlay", root+"/merged", "overlay", 0, data); err != nil {
		t.Fatal("overlay: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root+"/merged", unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestAppArmorEnforcesAProfile(t *testing.T) {
	vmtest.Require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "selftest")
	write(t, "/tmp/selftest/open", "open", 0o644)
	write(t, "/tmp/selftest/secret", "secret", 0o644)
	cat := []string{"/bin/busybox", "cat", "/tmp/selftest/open", "/tmp/selftest/secret"}
	if text, err := exec.Command(cat[0], cat[1:]...).CombinedOutput(); err != nil || string(text) != "opensecret" {
		t.Errorf("without the profile: %q, %v", text, err)
	}
	text, err := attribute(t, "apparmor/exec", "exec selftest", cat...)
	if err == nil || !strings.HasPrefix(text, "open") || !strings.Contains(text, "Permission denied") {
		t.Errorf("with the profile: %q, %v", text, err)
	}
}

func TestAppArmorStartsWithoutProfiles(t *testing.T) {
	vmtest.Require(t, vmtest.AppArmor)
	if got := read(t, "/sys/kernel/security/apparmor/profiles"); got != "" {
		t.Errorf("profiles %q", got)
	}
}

func TestTestdataIsHere(t *testing.T) {
	inGuest(t)
	text, err := os.ReadFile("testdata/selftest.profile")
	if err != nil || !bytes.Contains(text, []byte("profile selftest")) {
		t.Errorf("%q, %v", text, err)
	}
}
