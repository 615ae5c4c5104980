// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// The kernel's side: files of selinuxfs (security/selinux/selinuxfs.c) and of procfs.

// readSequence reads policyload, which the kernel changes with every policy that is loaded and every boolean that is set, from the status page: five words, of which
// it is the fourth (struct selinux_kernel_status). The kernel makes the page when it is first opened, and counts from then on.
func readSequence(selinuxfs string) (uint32, error) {
	path := filepath.Join(selinuxfs, "status")
	page, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if len(page) < 20 {
		return 0, fmt.Errorf("%s: %d bytes, expected 20", path, len(page))
	}
	return binary.NativeEndian.Uint32(page[12:]), nil
}

// busyLimit is how long another reader of the kernel's policy is waited for: it takes one at a time.
const busyLimit = 10 * time.Second

// readPolicy reads the policy that the kernel runs. It needs security:read_policy.
func readPolicy(selinuxfs string) ([]byte, error) {
	path := filepath.Join(selinuxfs, "policy")
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		policy, err := readWhole(path)
		if !errors.Is(err, unix.EBUSY) || time.Since(start) > busyLimit {
			return policy, err
		}
	}
}

// readWhole reads in pieces of the file's size: os.ReadFile's small ones are slow where each is copied out of the kernel's whole.
func readWhole(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var content bytes.Buffer
	if info, err := file.Stat(); err == nil && info.Size() < 1<<30 {
		content.Grow(int(info.Size()) + bytes.MinRead)
	}
	_, err = content.ReadFrom(file)
	return content.Bytes(), err
}

// loadPolicy writes a policy in one write, as the kernel wants it. It needs security:load_policy.
func loadPolicy(selinuxfs string, policy []byte) error {
	path := filepath.Join(selinuxfs, "load")
	descriptor, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(descriptor)
	written, err := unix.Write(descriptor, policy)
	if err == nil && written != len(policy) {
		err = fmt.Errorf("%d of %d bytes were taken", written, len(policy))
	}
	if err != nil {
		return fmt.Errorf("load the policy: %w", &fs.PathError{Op: "write", Path: path, Err: err})
	}
	return nil
}

// survey reads the running processes. Those that end meanwhile are left out.
func survey(host selinux.Host, caller int) (Machine, error) {
	entries, err := os.ReadDir(host.Proc)
	if err != nil {
		return Machine{}, err
	}
	machine := Machine{Caller: caller}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 0 {
			continue
		}
		if process, err := readProcess(host, pid); err == nil {
			machine.Processes = append(machine.Processes, process)
		}
	}
	machine.Shell = labelAt("/bin/sh")
	return machine, nil
}

func readProcess(host selinux.Host, pid int) (Process, error) {
	context, err := host.ProcessLabel(pid)
	if err != nil {
		return Process{}, err
	}
	text, err := os.ReadFile(filepath.Join(host.Proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return Process{}, err
	}
	process := Process{PID: pid, Context: context}
	// pid (comm) state ppid ...: a name may have anything in it, so the last ")" ends it.
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("/proc/%d/stat: %.80q", pid, text)
	}
	process.Command = string(text[open+1 : end])
	if fields := strings.Fields(string(text[end+1:])); len(fields) > 1 {
		process.Parent, _ = strconv.Atoi(fields[1])
	}
	process.Executable = labelAt(filepath.Join(host.Proc, strconv.Itoa(pid), "exe"))
	return process, nil
}

// labelAt is the context of a file, or "".
func labelAt(path string) string {
	buffer := make([]byte, 4096)
	n, err := unix.Getxattr(path, "security.selinux", buffer)
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(buffer[:n], "\x00"))
}

// bootID tells this boot from others.
func bootID(proc string) (string, error) {
	text, err := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"))
	return strings.TrimSpace(string(text)), err
}
