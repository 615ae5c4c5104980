// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
)

// installOne is `bulkhead apply` of a module onto a policy in a file, in the place of the kernel's: reading it, compiling, the check for lock-outs, the journal, writing
// the result and reading that back. The kernel's own load is not in it; nor does `semodule -n` make one.
func installOne(policy, module string) error {
	content, err := os.ReadFile(policy)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "bench-install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	loads := uint32(0)
	load := func(content []byte) error {
		loads++
		page := make([]byte, 20)
		binary.NativeEndian.PutUint32(page[12:], loads)
		if err := os.WriteFile(filepath.Join(directory, "status"), page, 0o600); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(directory, "policy"), content, 0o600)
	}
	if err := load(content); err != nil {
		return err
	}
	host := modules.New(selinux.Host{Selinuxfs: directory, Proc: "/proc"}, directory, directory)
	host.Load = load
	result, err := host.Apply([]modules.Source{{Name: "bench", File: module, Text: text}}, modules.Options{})
	if err == nil && !result.Loaded {
		err = fmt.Errorf("nothing was loaded: %+v", result)
	}
	return err
}

// installRow is one small module more in Debian's policy. The module is the one that oneMore writes.
func installRow(debian, policy, directory string) (commandRow, error) {
	root, err := moduleStore(debian, directory)
	if err != nil {
		return commandRow{}, err
	}
	self, err := os.Executable()
	module := filepath.Join(directory, "container.cil")
	return commandRow{"install a small module (without the kernel's load) beside `semodule -i`", 3,
		[]string{"semodule", "-n", "-N", "-s", "default", "-p", root, "-i", module}, []string{self, "-install", policy, module}}, err
}

// moduleStore is a directory with Debian's modules in a store of libsemanage.
func moduleStore(debian, directory string) (string, error) {
	root := filepath.Join(directory, "root")
	for _, path := range []string{"etc/selinux/default/policy", "etc/selinux/default/contexts/files", "var/lib/selinux"} {
		if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{"config": "SELINUX=disabled\nSELINUXTYPE=default\n", "semanage.conf": "module-store = direct\nexpand-check = 0\n"} {
		if err := os.WriteFile(filepath.Join(root, "etc/selinux", name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	files, err := filepath.Glob(filepath.Join(debian, "cil", "*.cil"))
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("semodule", append([]string{"-n", "-N", "-s", "default", "-p", root, "-X", "100", "-i"}, files...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("semodule: %w: %s (apt-get install policycoreutils)", err, out)
	}
	return root, nil
}
