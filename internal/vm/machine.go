// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/internal/vm/cpio"
	"github.com/bulkhead-project/bulkhead/internal/vm/wire"
)

// machine is a guest's hardware and what it boots: all that its state depends on.
type machine struct {
	kernel  kernel
	initrd  []byte
	append  string // kernel command line
	qemu    string // program
	version string // of QEMU
	memory  int    // MiB
	cpus    int
}

// Modules that every guest gets if its kernel has not built them in: the two
// devices (6.1), overlayfs for container runtimes, FUSE for shielded volumes.
var guestModules = []string{"virtio_pci", "virtio_blk", "virtio_console", "overlay", "fuse"}

// kernelParameters make booting under emulation fast (no clock calibration or
// watchdogs, no legacy devices, no crypto self-tests), and keep every AVC.
const kernelParameters = "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check lpj=4000000 mitigations=off nokaslr " +
	"rcupdate.rcu_expedited=1 i8042.noaux i8042.nokbd cryptomgr.notests random.trust_cpu=on sysctl.kernel.printk_ratelimit=0"

// kernelCommandLine always names the modules: Debian's built-in order has
// AppArmor before SELinux, and only the first of the two is active.
func kernelCommandLine(lsm LSM) string {
	modules := []string{"landlock", "lockdown", "yama", "integrity"}
	if lsm != None {
		modules = append(modules, string(lsm))
	}
	return kernelParameters + " lsm=" + strings.Join(append(modules, "bpf"), ",")
}

func (c cache) machine(ctx context.Context, options Options) (machine, error) {
	version, err := output(exec.CommandContext(ctx, options.QEMU, "--version"))
	if err != nil {
		return machine{}, err
	}
	chosen, err := c.kernel(ctx, options.Kernel)
	if err != nil {
		return machine{}, err
	}
	initrd, err := c.initrd(ctx, chosen, options)
	if err != nil {
		return machine{}, err
	}
	return machine{
		kernel: chosen, initrd: initrd, append: kernelCommandLine(options.LSM),
		qemu: options.QEMU, version: string(version), memory: options.Memory, cpus: options.CPUs,
	}, nil
}

// initrd packs the initramfs: PID 1, busybox, modules and the SELinux policy.
func (c cache) initrd(ctx context.Context, chosen kernel, options Options) ([]byte, error) {
	files := tree{}
	for _, path := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/var/tmp", "/newroot"} {
		files.directory(path)
	}
	files.put("/dev/console", node{mode: cpio.CharDevice | 0o600, major: 5, minor: 1})
	files.file("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	files.file("/etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	files.file("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n"))
	init, err := c.guestProgram(ctx, options.Dir)
	if err != nil {
		return nil, err
	}
	shell, err := c.busybox(ctx)
	if err != nil {
		return nil, err
	}
	files.put("/init", node{mode: cpio.Regular | 0o755, host: init})
	files.put("/bin/busybox", node{mode: cpio.Regular | 0o755, host: shell})
	setup := wire.Setup{SELinux: options.LSM == SELinux}
	modules, err := chosen.modules(slices.Concat(guestModules, options.Modules))
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		path := "/bulkhead/modules/" + m.name + ".ko"
		files.file(path, 0o644, m.image)
		setup.Modules = append(setup.Modules, path)
	}
	if setup.SELinux {
		policy := options.Policy
		if policy == "" {
			if policy, err = c.policy(ctx); err != nil {
				return nil, err
			}
		}
		files.put(wire.PolicyPath, node{mode: cpio.Regular | 0o644, host: policy})
	}
	text, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	files.file(wire.SetupPath, 0o644, text)
	var image bytes.Buffer
	err = files.archive(&image)
	return image.Bytes(), err
}

// buildGuest links PID 1 statically.
func buildGuest(ctx context.Context, root, path string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "./internal/vm/guest")
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	_, err := output(command)
	return err
}

// stateFormat changes when states are saved in another way.
const stateFormat = "1"

// key names the state: it changes with everything that a guest is made of.
func (m machine) key() string {
	digest := sha256.New()
	fmt.Fprintln(digest, stateFormat, m.version, m.kernel.name, len(m.initrd))
	for _, argument := range m.arguments(devices{disk: "disk"}) {
		fmt.Fprintln(digest, argument)
	}
	fmt.Fprintln(digest, m.append)
	digest.Write(m.initrd)
	return fmt.Sprintf("%x", digest.Sum(nil))
}

// devices are the host's ends of a machine's devices.
type devices struct {
	disk    string // image
	console string // file for the kernel's messages
	control int    // descriptor of the QMP socket, in QEMU
	wire    int    // descriptor of the port's socket, in QEMU
}

// arguments is QEMU's command line without what is booted or restored: it has to
// be the same for saving and restoring.
//
// Without cx16: QEMU 7.2 gets cmpxchg16b wrong, which kernels since 6.5 use in
// their allocator.
func (m machine) arguments(d devices) []string {
	return []string{
		"-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max,-cx16",
		"-m", strconv.Itoa(m.memory), "-smp", strconv.Itoa(m.cpus),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:" + d.console,
		"-chardev", "socket,id=control,fd=" + strconv.Itoa(d.control), "-mon", "chardev=control,mode=control",
		"-chardev", "socket,id=wire,fd=" + strconv.Itoa(d.wire),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=wire,name=" + wire.Port,
		"-drive", "file=" + strings.ReplaceAll(d.disk, ",", ",,") + ",if=none,id=disk,format=raw,cache=unsafe,read-only=on",
		"-device", "virtio-blk-pci,drive=disk",
	}
}

func (m machine) bootArguments(initrd string) []string {
	return []string{"-kernel", m.kernel.vmlinux(), "-initrd", initrd, "-append", m.append}
}

func restoreArguments(state string) []string {
	return []string{"-incoming", "exec:cat " + shellQuote(state)}
}

// shellQuote quotes a word for sh, which QEMU runs for exec: migrations.
func shellQuote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func statePath(directory string) string { return filepath.Join(directory, "state") }
