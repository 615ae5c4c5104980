// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func bulkhead(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.Command(harness.Binary(t), args...)
	errors := newFile(t) // of a detached container's keeper, too
	out := newFile(t)
	command.Stdout = out
	outputTo(t, command, errors)
	return content(t, out), content(t, errors), command.ProcessState.ExitCode()
}

func bindVolume(source string) func(*specs.Spec) {
	return func(spec *specs.Spec) {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: source, Options: []string{"rbind"}})
	}
}

// wantVolume asks for the volume in every way that there is.
func wantVolume(t *testing.T, root, source string, allowed bool, holder string) {
	t.Helper()
	b := box{root: root, edit: bindVolume(source)}
	planned := []string{"plan", "--rootfs", root, "-v", source + ":/volume", "/bin/true"}
	bundle := b.bundle(t, "/bin/true")
	before := recordCount(t)
	for what, ask := range map[string]func() (string, string, int){
		"plan":          func() (string, string, int) { return bulkhead(t, planned...) },
		"plan --bundle": func() (string, string, int) { return bulkhead(t, "plan", "--bundle", bundle) },
		"run": func() (string, string, int) {
			return bulkhead(t, append([]string{"run", "--rm"}, planned[1:]...)...)
		},
		"runtime run": func() (string, string, int) { return confined(t).run(t, b, "/bin/true") },
	} {
		out, stderr, status := ask()
		if allowed && status != 0 {
			t.Errorf("%s with %s: exit status %d, want 0: %s%s", what, source, status, out, stderr)
		}
		reason := "bulkhead: error: volume " + source + ": its private label belongs to container " + holder
		if !allowed && (status != 4 || !strings.HasPrefix(stderr, reason) || !strings.Contains(stderr, "\nbulkhead: hint: remove that container, or share the volume with :z in both\n")) {
			t.Errorf("%s with %s: exit status %d, want 4 and %q: %s%s", what, source, status, reason, out, stderr)
		}
	}
	if after := recordCount(t); after != before {
		t.Errorf("%d records before, %d after", before, after)
	}
}

func recordCount(t *testing.T) int {
	paths, err := filepath.Glob("/run/bulkhead/containers/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(paths)
}

func TestVolumeThatAnotherContainerHasForItselfIsRefused(t *testing.T) {
	root, volume := newRoot(t), t.TempDir()
	inner := filepath.Join(volume, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(volume, link); err != nil {
		t.Fatal(err)
	}
	out, stderr, status := bulkhead(t, "run", "-d", "--name", "owner", "--rootfs", root, "-v", filepath.Join(volume, "a")+":/mine:Z", "/bin/sleep", "600")
	if status != 0 {
		t.Fatalf("%s%s", out, stderr)
	}
	t.Cleanup(func() { bulkhead(t, "rm", "-f", "owner") })
	holder := strings.TrimSpace(out)
	for _, source := range []string{filepath.Join(volume, "a"), inner, volume} {
		wantVolume(t, root, source, false, holder)
	}
	if _, stderr, status := bulkhead(t, "plan", "--rootfs", root, "-v", link+"/a:/volume", "/bin/true"); status != 4 {
		t.Errorf("by a symbolic link: exit status %d, want 4: %s", status, stderr)
	}
	if out, stderr, status := bulkhead(t, "rm", "-f", "owner"); status != 0 {
		t.Fatalf("rm: %s%s", out, stderr)
	}
	wantVolume(t, root, filepath.Join(volume, "a"), true, "")
}

func TestVolumeThatCarriesAnothersPrivateLabelIsRefused(t *testing.T) {
	root, volume := newRoot(t), t.TempDir()
	runtime := confined(t)
	id := runtime.start(t, box{root: root}, "/bin/sleep", "600")
	var record struct{ Level string }
	if err := json.Unmarshal([]byte(readRecord(t, id)), &record); err != nil || !strings.Contains(record.Level, ",") {
		t.Fatalf("level %q: %v", record.Level, err)
	}
	if err := unix.Setxattr(volume, "security.selinux", []byte("system_u:object_r:container_file_t:"+record.Level+"\x00"), 0); err != nil {
		t.Fatal(err)
	}
	wantVolume(t, root, volume, false, id)
	if out, err := runtime.command("delete", "--force", id).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantVolume(t, root, volume, true, "")
}

func TestVolumeThatIsSharedIsNotRefused(t *testing.T) {
	root, volume := newRoot(t), t.TempDir()
	if out, stderr, status := bulkhead(t, "run", "-d", "--name", "sharer", "--rootfs", root, "-v", volume+":/ours:z", "/bin/sleep", "600"); status != 0 {
		t.Fatalf("%s%s", out, stderr)
	}
	t.Cleanup(func() { bulkhead(t, "rm", "-f", "sharer") })
	wantVolume(t, root, volume, true, "")
}

func TestLandlockSwitchedOffByNameIsSeen(t *testing.T) {
	root := newRoot(t)
	out, stderr, status := bulkhead(t, "run", "--rm", "--rootfs", root, "--security-opt", "landlock=unconfined", "--security-opt", "seccomp=unconfined", "/bin/ls", "/.bulkhead")
	if status == 0 || !strings.Contains(stderr, "No such file") {
		t.Errorf("the program inside is there: %d: %s%s", status, out, stderr)
	}
	out, _, _ = bulkhead(t, "plan", "--rootfs", root, "--security-opt", "landlock=unconfined", "/bin/true")
	if !strings.Contains(out, "landlock=unconfined") || !strings.Contains(out, "a host descriptor that leaks into the container opens what lies beneath it") {
		t.Errorf("the plan does not say so: %s", out)
	}
}
