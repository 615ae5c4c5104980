// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withVolume is a box with a directory of the host at /volume, and a file system in memory at /memory.
func withVolume(t *testing.T) (box, string) {
	volume := t.TempDir()
	return box{root: newRoot(t), edit: func(spec *specs.Spec) {
		spec.Mounts = append(spec.Mounts,
			specs.Mount{Destination: "/volume", Type: "bind", Source: volume, Options: []string{"rbind", "rw"}},
			specs.Mount{Destination: "/memory", Type: "tmpfs", Source: "tmpfs"})
		empower(spec, "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER")
	}}, volume
}

// Each script ends with status 0 where all is well.
var everyday = map[string]string{
	"rename across directories of the root":   "mkdir -p /tmp/a /tmp/b; echo x >/tmp/a/f; mv /tmp/a/f /tmp/b/g; grep -q x /tmp/b/g",
	"rename across directories of a volume":   "mkdir -p /volume/a /volume/b; echo x >/volume/a/f; mv /volume/a/f /volume/b/g; grep -q x /volume/b/g",
	"rename of a directory":                   "mkdir -p /volume/c/d /volume/e; mv /volume/c/d /volume/e/d; test -d /volume/e/d",
	"move from a volume to the root":          "echo x >/volume/m; mv /volume/m /tmp/m; grep -q x /tmp/m",
	"hard link in another directory":          "mkdir -p /volume/h; echo x >/volume/l; ln /volume/l /volume/h/l; test /volume/l -ef /volume/h/l",
	"symbolic link and its target":            "ln -s /tmp/target /tmp/symlink; echo x >/tmp/symlink; grep -q x /tmp/target; readlink /tmp/symlink | grep -qx /tmp/target",
	"FIFO":                                    "busybox mkfifo /tmp/fifo; (echo x >/tmp/fifo &); grep -q x /tmp/fifo",
	"truncate, append and remove":             "echo xyz >/volume/t; : >/volume/t; echo y >>/volume/t; test \"$(cat /volume/t)\" = y; rm /volume/t; test ! -e /volume/t",
	"permissions and owner":                   "touch /volume/p; chmod 600 /volume/p; chown 1000:1000 /volume/p; test $(stat -c %a:%u /volume/p) = 600:1000",
	"program of a volume":                     "cp /bin/busybox /volume/busybox 2>/dev/null || cat /bin/busybox >/volume/busybox; chmod 755 /volume/busybox; /volume/busybox true",
	"file system in memory":                   "echo x >/memory/f; mv /memory/f /memory/g; grep -q x /memory/g",
	"shared memory":                           "echo x >/dev/shm/s; grep -q x /dev/shm/s",
	"null, zero, full and random":             "echo x >/dev/null; test $(head -c 4 /dev/zero | wc -c) = 4; test $(head -c 4 /dev/urandom | wc -c) = 4; ! echo x 2>/dev/null >/dev/full",
	"own entries in proc":                     "grep -q Name /proc/self/status; ls /proc/self/fd >/dev/null; ls -l /proc/self/exe | grep -q busybox; cat /proc/self/environ >/dev/null; cat /proc/1/cmdline >/dev/null",
	"setting in proc of the container's own":  "test -r /proc/sys/kernel/hostname",
	"working directory":                       "cd /volume; pwd | grep -qx /volume; ls . >/dev/null; ls .. >/dev/null",
	"script by its interpreter":               "printf '#!/bin/sh\\nexit 0\\n' >/tmp/script; chmod 755 /tmp/script; /tmp/script",
	"standard output by its name":             "echo out >/dev/stdout; echo err >/dev/stderr; echo again >/proc/self/fd/1",
	"timers as exact as those outside":        "test $(cat /proc/self/timerslack_ns) = 50000",
	"standard output by its name, in a child": "sh -c 'echo out >/dev/stdout'",
}

func TestEverydayThingsWork(t *testing.T) {
	b, _ := withVolume(t)
	runtime := confined(t)
	id := runtime.start(t, b, "/bin/sleep", "600")
	for name, script := range everyday {
		t.Run(name, func(t *testing.T) {
			script := "rm -rf /tmp/* /volume/*; set -e; " + script
			if out, stderr, status := runtime.run(t, b, "/bin/sh", "-c", script); status != 0 {
				t.Errorf("run: exit status %d: %s%s", status, out, stderr)
			}
			if out, stderr, status := runtime.exec(t, id, box{}, "/bin/sh", "-c", script); status != 0 {
				t.Errorf("exec: exit status %d: %s%s", status, out, stderr)
			}
		})
	}
}

func TestTerminalOfTheContainerCanBeAsked(t *testing.T) {
	// A terminal of the container's own devpts, as script(1) would make: TCGETS and TIOCGPTN are device ioctls.
	b := box{root: newRoot(t)}
	for _, way := range ways {
		wantAnswer(t, confined(t).ask(t, way, b, "terminal", "mapexec:/bin/busybox", "pathsocket:/tmp"), "ok", "terminal", "mapexec:/bin/busybox", "pathsocket:/tmp")
	}
}

// A file of the host that is standard output may be opened again for writing, as programs do by /dev/stdout, and for nothing else.
func TestHostFileAsStandardOutputIsAllThatOpens(t *testing.T) {
	questions := []string{"reopen:1:write", "reopen:1:read", "openat:1:..", "magic:1:../beside"}
	args := append([]string{"/probe"}, questions...)
	b := box{root: newRoot(t)}
	control := readAnswers(t, plain(t).detached(t, b, args...), questions)
	wantAnswer(t, control, "ok", "reopen:1:write", "reopen:1:read")

	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "beside"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(filepath.Join(directory, "out"), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b.out = out
	answers := readAnswers(t, confined(t).detached(t, b, args...), questions)
	wantAnswer(t, answers, "ok", "reopen:1:write")
	wantRefused(t, answers, "reopen:1:read")
	wantAnswer(t, answers, "ENOTDIR", "openat:1:..", "magic:1:../beside")

	if text := confined(t).detached(t, box{root: b.root}, "/bin/sh", "-c", "echo one >/dev/stdout; echo two >>/proc/self/fd/1"); !strings.Contains(text, "two") {
		t.Errorf("the file has %q", text)
	}
}

func TestMountsCannotBeChanged(t *testing.T) {
	questions := []string{"mount:/bin:/tmp", "tmpfs:/tmp", "remount:/proc/sys", "private:/", "move_mount:/bin:/tmp", "fsmount:tmpfs:.", "umount:/dev/shm", "umount:/.bulkhead",
		"pivot_root:/tmp"}
	able := func(spec *specs.Spec) {
		empower(spec, "CAP_SYS_ADMIN")
		spec.Linux.Seccomp = nil
	}
	b := box{root: newRoot(t), edit: able}
	for _, way := range ways {
		wantRefused(t, confined(t).ask(t, way, b, questions...), questions...)
	}
	// pivot_root would want a mount point to begin with, and there is no program inside to unmount.
	questions = questions[:len(questions)-2]
	wantAnswer(t, plain(t).ask(t, "run", b, questions...), "ok", questions...)
}

func TestProgramInsideCannotBeReplaced(t *testing.T) {
	b := box{root: newRoot(t), edit: func(spec *specs.Spec) { empower(spec, "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN") }}
	runtime := confined(t)
	id := runtime.start(t, b, "/bin/sleep", "600")
	for _, script := range []string{
		"mv /.bulkhead /tmp/gone", "busybox rmdir /.bulkhead", "mv /.bulkhead/init /tmp/init", "rm -f /.bulkhead/init", "echo x >/.bulkhead/init", "echo x >>/.bulkhead/init",
		"chmod 644 /.bulkhead/init", "touch /.bulkhead/other", "ln -f /bin/busybox /.bulkhead/init", "mount -o bind /bin /.bulkhead", "mount -t tmpfs none /.bulkhead",
		"mount -o remount,rw,bind /.bulkhead", "umount -l /.bulkhead", "mv -f /bin/busybox /.bulkhead/init",
	} {
		out, stderr, status := runtime.exec(t, id, box{}, "/bin/sh", "-c", script)
		if status == 0 {
			t.Errorf("%s: it succeeds: %s%s", script, out, stderr)
		}
	}
	if out, stderr, status := runtime.exec(t, id, box{}, "/bin/echo", "still"); status != 0 || out != "still\n" {
		t.Errorf("exec after all that: %d: %s%s", status, out, stderr)
	}
}

// An image, or a volume, may not have its own program where ours is mounted.
func TestProgramInsideIsNotTheImages(t *testing.T) {
	root := newRoot(t)
	if err := os.MkdirAll(filepath.Join(root, ".bulkhead"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".bulkhead", "init"), []byte("#!/bin/sh\necho replaced\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, stderr, status := confined(t).run(t, box{root: root}, "/bin/echo", "ours"); status != 0 || out != "ours\n" {
		t.Errorf("exit status %d: %s%s", status, out, stderr)
	}
	for target, want := range map[string]int{"/.bulkhead": 4, "/.bulkhead/init": 4, "/bin/../.bulkhead/": 4} {
		b := box{root: root, edit: func(spec *specs.Spec) {
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: target, Type: "bind", Source: t.TempDir(), Options: []string{"bind"}})
		}}
		if out, stderr, status := confined(t).run(t, b, "/bin/true"); status != want {
			t.Errorf("a mount on %s: exit status %d, want %d: %s%s", target, status, want, out, stderr)
		}
	}
	link := newRoot(t)
	if err := os.Symlink("tmp", filepath.Join(link, ".bulkhead")); err != nil {
		t.Fatal(err)
	}
	if out, stderr, status := confined(t).run(t, box{root: link}, "/bin/true"); status != 4 || !strings.Contains(stderr, "/.bulkhead is no directory") {
		t.Errorf("a link in the image: exit status %d: %s%s", status, out, stderr)
	}
}

// The program gets the very sets that it would get without Bulkhead: what the program inside was lent is gone.
func TestCapabilitiesAreThoseOfPlainRunc(t *testing.T) {
	root := newRoot(t)
	user := func(spec *specs.Spec) { spec.Process.User = specs.User{UID: 1000, GID: 1000} }
	for name, edit := range map[string]func(*specs.Spec){
		"default":                      nil,
		"none":                         func(spec *specs.Spec) { spec.Process.Capabilities = &specs.LinuxCapabilities{} },
		"no field":                     func(spec *specs.Spec) { spec.Process.Capabilities = nil },
		"asked to administer":          func(spec *specs.Spec) { empower(spec, "CAP_SYS_ADMIN", "CAP_SETPCAP") },
		"another user":                 user,
		"another user with none":       func(spec *specs.Spec) { user(spec); spec.Process.Capabilities = &specs.LinuxCapabilities{} },
		"no new privileges":            func(spec *specs.Spec) { spec.Process.NoNewPrivileges = true },
		"another user, none to be won": func(spec *specs.Spec) { user(spec); spec.Process.NoNewPrivileges = true },
		"another user with ambient ones": func(spec *specs.Spec) {
			user(spec)
			one := []string{"CAP_NET_BIND_SERVICE"}
			spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: one, Effective: one, Permitted: one, Inheritable: one, Ambient: one}
		},
	} {
		b := box{root: root, edit: edit}
		want := plain(t).ask(t, "run", b, "caps")["caps"]
		withFilter := box{root: root, edit: func(spec *specs.Spec) {
			if edit != nil {
				edit(spec)
			}
			spec.Linux.Seccomp = acctDenied()
		}}
		for _, way := range ways {
			if got := confined(t).ask(t, way, b, "caps")["caps"]; got != want {
				t.Errorf("%s, %s:\n%s, want\n%s", name, way, got, want)
			}
			if got := confined(t).ask(t, way, withFilter, "caps")["caps"]; got != want {
				t.Errorf("%s, %s, with a filter:\n%s, want\n%s", name, way, got, want)
			}
		}
	}
}
