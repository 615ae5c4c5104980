// SPDX-License-Identifier: Apache-2.0

// Command guest is PID 1 of the test guest. It mounts the usual file systems,
// loads modules and the SELinux policy, says Ready, and then sleeps: the host
// saves the machine's state here. In every machine restored from that state it
// gets a Job, unpacks the job's files from the disk and runs the command.
//
// It never ends by itself: the host stops the machine once it has the Exit
// frame. If PID 1 dies nevertheless, the kernel panics and QEMU ends.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: error: this is the first process of a test guest")
		os.Exit(2)
	}
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "guest: error:", err)
		os.Exit(1)
	}
	select {}
}

func boot() error {
	if err := movableRoot(); err != nil {
		return err
	}
	if err := openConsole(); err != nil {
		return err
	}
	setup, err := readSetup()
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		mountAll,
		func() error { return loadModules(setup.Modules) },
		delegateControllers,
		installBusybox,
		func() error { return enforceSELinux(setup.SELinux) },
		dropCaches,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	return serve(port)
}

// serve says Ready, which is when the state is saved, and runs the one job.
func serve(port io.ReadWriter) error {
	if err := wire.Write(port, wire.KindReady, nil); err != nil {
		return err
	}
	var job wire.Job
	if err := wire.ReadValue(port, wire.KindJob, &job); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	exit, err := run(port, job)
	if err != nil {
		exit.Error = err.Error()
	}
	return wire.WriteValue(port, wire.KindExit, exit)
}

func readSetup() (wire.Setup, error) {
	var setup wire.Setup
	text, err := os.ReadFile(wire.SetupPath)
	if err != nil {
		return setup, err
	}
	if err := json.Unmarshal(text, &setup); err != nil {
		return setup, fmt.Errorf("%s: %w", wire.SetupPath, err)
	}
	return setup, nil
}

// movableRoot makes the root an attached bind mount of the initramfs: pivot_root,
// which OCI runtimes use, does not work on the initramfs itself.
func movableRoot() error {
	const root = "/newroot"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("chdir %s: %w", root, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return unix.Chdir("/")
}

var mounts = []struct{ kind, target string }{
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"tmpfs", "/tmp"},
	{"tmpfs", "/run"},
	{"devpts", "/dev/pts"},
	{"tmpfs", "/dev/shm"},
	{"mqueue", "/dev/mqueue"},
	{"cgroup2", "/sys/fs/cgroup"},
	{"bpf", "/sys/fs/bpf"},
	{"securityfs", "/sys/kernel/security"},
	{"debugfs", "/sys/kernel/debug"},
	{"tracefs", "/sys/kernel/tracing"},
}

func mountAll() error {
	for _, m := range mounts {
		if err := mount(m.kind, m.target); err != nil {
			return err
		}
	}
	links := map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}
	for name, target := range links {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return os.Chmod("/tmp", 0o1777)
}

func mount(kind, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, target, kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, target, err)
	}
	return nil
}

// openConsole mounts /dev, and connects what PID 1 itself says, and what the Go
// runtime says when it panics, to the kernel's console.
func openConsole() error {
	if err := mount("devtmpfs", "/dev"); err != nil {
		return err
	}
	console, err := unix.Open("/dev/console", unix.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("/dev/console: %w", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(console, fd, 0); err != nil && console != fd {
			return fmt.Errorf("/dev/console as %d: %w", fd, err)
		}
	}
	return nil
}

func loadModules(paths []string) error {
	for _, path := range paths {
		image, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := unix.InitModule(image, ""); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// delegateControllers gives every cgroup v2 controller to the root's children,
// as an init system does: container runtimes expect memory, pids and cpu there.
func delegateControllers() error {
	const root = "/sys/fs/cgroup"
	names, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(names)) {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
			return fmt.Errorf("delegate %s: %w", name, err)
		}
	}
	return nil
}

func installBusybox() error {
	for _, arguments := range [][]string{{"--install", "-s", "/bin"}, {"ip", "link", "set", "lo", "up"}} {
		if output, err := exec.Command("/bin/busybox", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("busybox %s: %w: %s", arguments[0], err, output)
		}
	}
	return nil
}

func enforceSELinux(wanted bool) error {
	if !wanted {
		return nil
	}
	if err := mount("selinuxfs", "/sys/fs/selinux"); err != nil {
		return err
	}
	policy, err := os.ReadFile(wire.PolicyPath)
	if err != nil {
		return err
	}
	// The kernel takes the policy only in a single write.
	if err := writeOnce("/sys/fs/selinux/load", policy); err != nil {
		return err
	}
	return writeOnce("/sys/fs/selinux/enforce", []byte("1"))
}

func writeOnce(path string, data []byte) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	if n, err := unix.Write(fd, data); err != nil || n != len(data) {
		return fmt.Errorf("%s: wrote %d of %d bytes: %w", path, n, len(data), err)
	}
	return nil
}

// dropCaches makes the saved state smaller.
func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// port is the virtio-serial port. A read gives nothing while the host is not
// connected, which it is not for a moment after the state is restored.
type port struct{ fd int }

// openPort waits for the port: its device is set up in the background.
func openPort() (port, error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return port{}, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || strings.TrimSpace(string(text)) != wire.Port {
				continue
			}
			device := "/dev/" + filepath.Base(filepath.Dir(name))
			fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return port{}, fmt.Errorf("%s: %w", device, err)
			}
			return port{fd}, nil
		}
	}
	return port{}, fmt.Errorf("no virtio-serial port %q", wire.Port)
}

func (p port) Read(data []byte) (int, error) {
	for {
		n, err := unix.Read(p.fd, data)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("port: %w", err)
		case n > 0:
			return n, nil
		default:
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (p port) Write(data []byte) (int, error) {
	done := 0
	for done < len(data) {
		n, err := unix.Write(p.fd, data[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("port: %w", err)
		}
		done += n
	}
	return done, nil
}
