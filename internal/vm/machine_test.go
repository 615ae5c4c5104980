// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQEMUCommandLine(t *testing.T) {
	m := machine{kernel: kernel{name: "linux", directory: "/cache/linux"}, append: kernelCommandLine(SELinux), memory: 512, cpus: 1}
	got := strings.Join(m.arguments(devices{disk: "/tmp/a,b/disk", console: "/tmp/console", control: 3, wire: 4}), " ")
	want := "-accel tcg,thread=multi -machine q35 -cpu max,-cx16 -m 512 -smp 1 -nodefaults -no-user-config -display none -no-reboot " +
		"-serial file:/tmp/console -chardev socket,id=control,fd=3 -mon chardev=control,mode=control -chardev socket,id=wire,fd=4 " +
		"-device virtio-serial-pci -device virtserialport,chardev=wire,name=bulkhead " +
		"-drive file=/tmp/a,,b/disk,if=none,id=disk,format=raw,cache=unsafe,read-only=on -device virtio-blk-pci,drive=disk"
	if got != want {
		t.Errorf("arguments\n%s\nwant\n%s", got, want)
	}
	if got, want := strings.Join(m.bootArguments("/tmp/initrd")[:4], " "), "-kernel /cache/linux/vmlinux -initrd /tmp/initrd"; got != want {
		t.Errorf("booting: %s, want %s", got, want)
	}
	if got, want := strings.Join(restoreArguments("/c/it's"), " "), `-incoming exec:cat '/c/it'\''s'`; got != want {
		t.Errorf("restoring: %s, want %s", got, want)
	}
}

func TestSecurityModulesOnTheKernelCommandLine(t *testing.T) {
	for lsm, want := range map[LSM]string{
		SELinux:  "landlock,lockdown,yama,integrity,selinux,bpf",
		AppArmor: "landlock,lockdown,yama,integrity,apparmor,bpf",
		None:     "landlock,lockdown,yama,integrity,bpf",
	} {
		if got := kernelCommandLine(lsm); !strings.HasSuffix(got, " lsm="+want) {
			t.Errorf("%s: %s, want lsm=%s at its end", lsm, got, want)
		}
	}
}

func TestShellQuoteSurvivesTheShell(t *testing.T) {
	for _, word := range []string{"plain", "it's", "a b", "$HOME `id` \\ \"", "'"} {
		text, err := exec.Command("/bin/sh", "-c", "printf %s "+shellQuote(word)).Output()
		if err != nil || string(text) != word {
			t.Errorf("%q became %q, %v", word, text, err)
		}
	}
}

func TestStateKeyChangesWithTheGuest(t *testing.T) {
	base := machine{kernel: kernel{name: "linux-1"}, initrd: []byte("a"), append: "lsm=bpf", version: "7.2", memory: 512, cpus: 1}
	keys := map[string]string{base.key(): "base"}
	for name, change := range map[string]func(*machine){
		"kernel":       func(m *machine) { m.kernel.name = "linux-2" },
		"initrd":       func(m *machine) { m.initrd = []byte("b") },
		"command line": func(m *machine) { m.append = "lsm=selinux,bpf" },
		"qemu":         func(m *machine) { m.version = "10.0" },
		"memory":       func(m *machine) { m.memory = 1024 },
		"processors":   func(m *machine) { m.cpus = 2 },
	} {
		other := base
		change(&other)
		if same, ok := keys[other.key()]; ok {
			t.Errorf("%s: the key is that of %s", name, same)
		}
		keys[other.key()] = name
	}
	if _, ok := keys[base.key()]; !ok {
		t.Error("the key is not stable")
	}
}
