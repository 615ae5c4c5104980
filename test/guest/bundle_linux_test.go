// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bundle is what an engine asks of bulkhead-runtime.
type bundle struct {
	process, files  string // SELinux contexts
	profile         string // of AppArmor
	script          string
	uid             uint32
	noNewPrivileges bool
	capabilities    []string
	binds           map[string]string // by destination
	noLandlock      bool
	plainRoot       bool // no overlay: for a label that cannot be mounted
}

// make writes the bundle. Its root is an overlay mounted with the label, as engines mount it.
func (b bundle) make(t *testing.T) string {
	t.Helper()
	directory, root := t.TempDir(), rootFS(t)
	if !b.plainRoot {
		root = overlay(t, directory, b.files)
	}
	data, err := json.Marshal(b.spec(root))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(directory, "config.json"), string(data), 0o644)
	return directory
}

func overlay(t *testing.T, directory, label string) string {
	t.Helper()
	root := filepath.Join(directory, "merged")
	for _, name := range []string{"upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := "lowerdir=" + rootFS(t) + ",upperdir=" + directory + "/upper,workdir=" + directory + "/work"
	if label != "" {
		options += `,context="` + label + `"`
	}
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		t.Fatalf("overlay %s: %v", options, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Errorf("unmount %s: %v", root, err)
		}
	})
	return root
}

func (b bundle) spec(root string) *specs.Spec {
	mount := func(destination, kind string, options ...string) specs.Mount {
		return specs.Mount{Destination: destination, Type: kind, Source: kind, Options: options}
	}
	spec := &specs.Spec{Version: "1.0.2", Root: &specs.Root{Path: root}, Hostname: "guest",
		Process: &specs.Process{User: specs.User{UID: b.uid, GID: b.uid}, Args: []string{"/bin/sh", "-c", b.script}, Env: []string{"PATH=/bin"}, Cwd: "/",
			SelinuxLabel: b.process, ApparmorProfile: b.profile, NoNewPrivileges: b.noNewPrivileges,
			Capabilities: &specs.LinuxCapabilities{Bounding: b.capabilities, Permitted: b.capabilities, Effective: b.capabilities}},
		Mounts: []specs.Mount{mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
			mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777"), mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro")},
		Linux: &specs.Linux{MountLabel: b.files, MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"}}}
	for _, kind := range []specs.LinuxNamespaceType{"pid", "network", "ipc", "uts", "mount", "cgroup"} {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
	}
	for destination, source := range b.binds {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind", "rw"}})
	}
	if b.noLandlock {
		spec.Annotations = map[string]string{"org.bulkhead.landlock": "unconfined"}
	}
	return spec
}

// run runs the bundle to its end, with files as descriptors 3 and so on.
func (b bundle) run(t *testing.T, id string, files ...*os.File) result {
	t.Helper()
	command := exec.Command(runtime, "run", "--bundle", b.make(t), "--preserve-fds", "0", id)
	if len(files) > 0 {
		command.Args[4+1] = string(rune('0' + len(files)))
		command.ExtraFiles = files
	}
	return finish(t, command)
}

// start leaves the container running until the end of the test, and returns its first process.
func (b bundle) start(t *testing.T, id string) int {
	t.Helper()
	b.script = "exec sleep 1000"
	if err := os.MkdirAll("/run/guest", 0o755); err != nil {
		t.Fatal(err)
	}
	directory := b.make(t)
	command := exec.Command(runtime, "run", "--detach", "--bundle", directory, id) // its output would keep a pipe open
	if err := command.Run(); err != nil {
		t.Fatalf("start %s: %v: %s", id, err, run(t, runtime, "run", "--bundle", directory, id).stderr)
	}
	t.Cleanup(func() { succeeds(t, runtime, "delete", "--force", id) })
	return record(t, id).PID()
}
