// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// secret is one neverallow rule of secrets.cil about a type.
type secret struct {
	typ, class  string
	permissions []string // "all" for all
}

// readSecrets reads the rules that name what no container gets. What is about the container itself, or about all types but its own, is not among them: nothing that is
// mounted could ask for it.
func readSecrets() ([]secret, error) {
	file := embedded("secrets")
	tree, err := syntax.Parse(file.Name, file.Text)
	if err != nil {
		return nil, err
	}
	var found []secret
	var visit func(node syntax.Node)
	visit = func(node syntax.Node) {
		if node.Keyword() == "neverallow" && node.Len() == 4 && node.Child(2).Word() != "self" {
			access := node.Child(3)
			found = append(found, secret{node.Child(2).Word(), access.Keyword(), words(access.Child(1))})
			return
		}
		for child := node.First(); child.Valid(); child = child.Next() {
			if child.IsList() {
				visit(child)
			}
		}
	}
	visit(tree.Root())
	return found, nil
}

func words(list syntax.Node) []string {
	var all []string
	for word := list.First(); word.Valid(); word = word.Next() {
		all = append(all, word.Word())
	}
	return all
}

// givesAway returns the rule that forbids one of the permissions, or nil.
func givesAway(secrets []secret, typ, class string, permissions []string) *secret {
	for i := range secrets {
		s := &secrets[i]
		if s.typ != typ || s.class != class {
			continue
		}
		if slices.Contains(s.permissions, "all") || slices.ContainsFunc(permissions, func(permission string) bool { return slices.Contains(s.permissions, permission) }) {
			return s
		}
	}
	return nil
}

func (s *secret) reason() string {
	if slices.Contains(s.permissions, "all") {
		return fmt.Sprintf("it is %s: no container has anything to do with that", s.typ)
	}
	return fmt.Sprintf("it is %s: no container may do any of %v to a %s of that type", s.typ, s.permissions, s.class)
}

// hostTypes are those by which the host lives: whoever writes to them becomes the host. What the policy calls a program's (exec_type, entry_type) is one, too.
var hostTypes = map[string]string{
	"root_t": "the host's root", "etc_t": "the host's configuration", "etc_runtime_t": "the host's configuration", "bin_t": "the host's programs", "lib_t": "the host's libraries",
	"ld_so_t": "the host's program loader", "ld_so_cache_t": "the host's libraries", "usr_t": "the host's programs and their data", "boot_t": "the host's kernels",
	"modules_dep_t": "the host's kernel modules", "systemd_unit_t": "the host's services", "udev_rules_t": "the host's device rules",
	"cron_spool_t": "what the host runs by the clock", "system_cron_spool_t": "what the host runs by the clock", "user_cron_spool_t": "what the host runs by the clock",
	"ssh_home_t": "keys that let users in", "admin_home_t": "root's own files", "user_home_dir_t": "a user's whole home", "home_root_t": "all users' homes",
	"container_var_lib_t": "every container's files", "container_config_t": "the runtime's configuration", "container_ro_file_t": "what all containers run",
	"container_var_run_t": "the runtime's state", "sysfs_t": "the kernel's devices", "sysctl_t": "the kernel's settings", "proc_t": "the kernel's state", "device_t": "the host's devices",
	"cgroup_t": "the host's cgroups", "debugfs_t": "the kernel's insides", "tracefs_t": "the kernel's insides", "bpf_t": "the kernel's programs",
}

// runtimeSockets are those whose server starts any container for whoever asks, by their last names.
var runtimeSockets = []string{"docker.sock", "containerd.sock", "crio.sock", "podman.sock", "buildkitd.sock", "libvirt-sock"}
