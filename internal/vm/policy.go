// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Permissions of the class families. The kernel maps classes and permissions by
// name; what is not declared here is allowed (handleunknown).
const (
	filePermissions = "ioctl read write create getattr setattr lock relabelfrom relabelto append map unlink link rename execute " +
		"quotaon mounton audit_access open execmod watch watch_mount watch_sb watch_with_perm watch_reads"
	socketPermissions = "ioctl read write create getattr setattr lock relabelfrom relabelto append map bind connect listen accept " +
		"getopt setopt shutdown recvfrom sendto name_bind"
	capabilities = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service " +
		"net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot " +
		"sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap"
	capabilities2  = "mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
	ipcPermissions = "create destroy getattr setattr read write associate unix_read unix_write"
)

// What a container may do, by purpose.
const (
	ownFile          = "ioctl read write create getattr setattr lock append map unlink link rename open watch watch_reads"
	ownDirectory     = ownFile + " add_name remove_name reparent search rmdir mounton"
	useDevice        = "read write open getattr ioctl append"
	usePipe          = "read write getattr ioctl append lock"
	useStream        = "read write getattr getopt setopt shutdown ioctl"
	readFile         = "read open getattr ioctl lock"
	readDirectory    = "read open getattr search ioctl"
	runFile          = "map execute execute_no_trans entrypoint"
	ownCapabilities  = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot setfcap"
	ownProcess       = "fork sigchld sigkill sigstop signull signal getsched setsched getsession getpgid setpgid getcap setcap getattr setrlimit getrlimit setexec setfscreate"
	mcsFile          = "read write create getattr setattr relabelfrom append unlink link rename execute open ioctl lock map"
	mcsDirectory     = "read write create getattr setattr relabelfrom unlink link rename open ioctl lock add_name remove_name search rmdir reparent"
	mcsProcess       = "transition dyntransition ptrace sigkill sigstop signal getsched setsched getattr getsession getcap getpgid setpgid"
	mcsDominates     = "(or (dom h1 h2) (neq t1 mcs_constrained_type))"
	mcsOrFromRuntime = "(or (eq t2 stdio_source) " + mcsDominates + ")"
)

var policyClasses = map[string]string{
	"security":                      "compute_av compute_create compute_member check_context load_policy compute_relabel compute_user setenforce setbool setsecparam setcheckreqprot read_policy validate_trans",
	"process":                       "fork transition sigchld sigkill sigstop signull signal ptrace getsched setsched getsession getpgid setpgid getcap setcap share getattr setexec setfscreate noatsecure siginh setrlimit rlimitinh dyntransition setcurrent execmem execstack execheap setkeycreate setsockcreate getrlimit",
	"process2":                      "nnp_transition nosuid_transition",
	"system":                        "ipc_info syslog_read syslog_mod syslog_console module_request module_load",
	"capability":                    capabilities,
	"capability2":                   capabilities2,
	"cap_userns":                    capabilities,
	"cap2_userns":                   capabilities2,
	"filesystem":                    "mount remount unmount getattr relabelfrom relabelto associate quotamod quotaget watch",
	"file":                          filePermissions + " execute_no_trans entrypoint",
	"dir":                           filePermissions + " add_name remove_name reparent search rmdir",
	"fd":                            "use",
	"lnk_file":                      filePermissions,
	"chr_file":                      filePermissions,
	"blk_file":                      filePermissions,
	"sock_file":                     filePermissions,
	"fifo_file":                     filePermissions,
	"anon_inode":                    filePermissions,
	"socket":                        socketPermissions,
	"tcp_socket":                    socketPermissions + " node_bind name_connect",
	"udp_socket":                    socketPermissions + " node_bind",
	"rawip_socket":                  socketPermissions + " node_bind",
	"netlink_socket":                socketPermissions,
	"packet_socket":                 socketPermissions,
	"key_socket":                    socketPermissions,
	"unix_stream_socket":            socketPermissions + " connectto",
	"unix_dgram_socket":             socketPermissions,
	"netlink_route_socket":          socketPermissions,
	"netlink_audit_socket":          socketPermissions,
	"netlink_generic_socket":        socketPermissions,
	"netlink_kobject_uevent_socket": socketPermissions,
	"vsock_socket":                  socketPermissions,
	"alg_socket":                    socketPermissions,
	"sem":                           ipcPermissions,
	"msgq":                          ipcPermissions + " enqueue",
	"shm":                           ipcPermissions + " lock",
	"ipc":                           ipcPermissions,
	"msg":                           "send receive",
	"key":                           "view read write search link setattr create",
	"bpf":                           "map_create map_read map_write prog_load prog_run",
	"perf_event":                    "open cpu kernel tracepoint read write",
	"user_namespace":                "create",
	"io_uring":                      "override_creds sqpoll cmd",
	"netif":                         "ingress egress",
	"node":                          "recvfrom sendto",
	"peer":                          "recv",
}

var (
	policyDomains = []string{"kernel_t", "container_runtime_t", "user_t", "spc_t", "container_t", "container_init_t"}
	policyObjects = []string{
		"unlabeled_t", "container_file_t", "container_ro_file_t", "container_device_t", "root_t", "bin_t", "etc_t", "proc_t", "sysfs_t",
		"tmpfs_t", "device_t", "devpts_t", "cgroup_t", "selinuxfs_t", "fs_t", "nsfs_t", "securityfs_t", "bpf_t", "debugfs_t", "secret_t",
		"sysctl_t", "port_t", "node_t", "netif_t",
	}
	policyCapabilities = []string{"network_peer_controls", "open_perms", "extended_socket_class", "cgroup_seclabel", "nnp_nosuid_transition", "genfs_seclabel_symlinks"}
	policySIDs         = []string{
		"kernel", "security", "unlabeled", "fs", "file", "file_labels", "init", "any_socket", "port", "netif", "netmsg", "node", "igmp_packet",
		"icmp_socket", "tcp_socket", "sysctl_modprobe", "sysctl", "sysctl_fs", "sysctl_kernel", "sysctl_net", "sysctl_net_unix", "sysctl_vm",
		"sysctl_dev", "kmod", "policy", "scmp_packet", "devnull",
	}
	policySIDTypes = map[string]string{
		"kernel": "kernel_t", "init": "kernel_t", "security": "selinuxfs_t", "fs": "fs_t", "file": "root_t", "port": "port_t",
		"netif": "netif_t", "node": "node_t", "netmsg": "netif_t", "devnull": "device_t",
	}
	policyFilesystems = []struct{ statement, names, label string }{
		{"fsuse xattr", "ext4 ext3 xfs btrfs squashfs overlay erofs", "fs_t"},
		{"fsuse trans", "tmpfs shm hugetlbfs mqueue", "tmpfs_t"},
		{"fsuse trans", "devtmpfs", "device_t"},
		{"fsuse trans", "devpts", "devpts_t"},
		{"fsuse task", "pipefs sockfs", "fs_t"},
	}
	policyPseudoFilesystems = []struct{ names, label string }{
		{"rootfs ramfs", "root_t"}, {"proc", "proc_t"}, {"sysfs", "sysfs_t"}, {"selinuxfs", "selinuxfs_t"}, {"cgroup cgroup2", "cgroup_t"},
		{"nsfs", "nsfs_t"}, {"securityfs", "securityfs_t"}, {"bpf", "bpf_t"}, {"debugfs tracefs", "debugfs_t"}, {"virtiofs fuse", "fs_t"},
	}
)

// GuestPolicy returns the SELinux policy of the guest in CIL: the types that
// container policies use, in the few rules that tests need, with MCS constraints
// as in the reference policy. Its domains are
//
//   - kernel_t (PID 1 and the tests), container_runtime_t, user_t and spc_t:
//     unconfined, at s0-s0:c0.c1023;
//   - container_t and container_init_t: may use container_file_t and run
//     container_ro_file_t within their categories, and pipes and stream sockets
//     made by themselves at their level.
//
// Pipes and sockets inherited from kernel_t or container_runtime_t work in a
// container, those of user_t do not: so a test can be a runtime whose stdio
// the kernel takes from the container.
func GuestPolicy() string {
	w := &cilWriter{classes: policyClasses}
	w.declarations()
	w.levels()
	w.types()
	w.unconfinedRules()
	w.containerFileRules()
	w.containerProcessRules()
	w.containerNetworkRules()
	w.constraints()
	w.contexts()
	return w.text.String()
}

type cilWriter struct {
	text    strings.Builder
	classes map[string]string
}

func (w *cilWriter) line(format string, arguments ...any) {
	fmt.Fprintf(&w.text, format+"\n", arguments...)
}

func (w *cilWriter) allow(source, target, class, permissions string) {
	w.line("(allow %s %s (%s (%s)))", source, target, class, permissions)
}

func (w *cilWriter) constrain(class, permissions, expression string) {
	w.line("(mlsconstrain (%s (%s)) %s)", class, permissions, expression)
}

func (w *cilWriter) attribute(name string, types ...string) {
	w.line("(typeattribute %s)\n(typeattributeset %s (%s))", name, name, strings.Join(types, " "))
}

func (w *cilWriter) classNames() []string { return slices.Sorted(maps.Keys(w.classes)) }

func (w *cilWriter) declarations() {
	w.line("(handleunknown allow)\n(mls true)")
	for _, capability := range policyCapabilities {
		w.line("(policycap %s)", capability)
	}
	for _, class := range w.classNames() {
		w.line("(class %s (%s))", class, w.classes[class])
	}
	w.line("(classorder (%s))", strings.Join(w.classNames(), " "))
}

func (w *cilWriter) levels() {
	w.line("(sensitivity s0)\n(sensitivityorder (s0))")
	categories := make([]string, 1024)
	for i := range categories {
		categories[i] = fmt.Sprintf("c%d", i)
		w.line("(category %s)", categories[i])
	}
	w.line("(categoryorder (%s))", strings.Join(categories, " "))
	w.line("(sensitivitycategory s0 (range c0 c1023))")
	w.line("(level low (s0))\n(level high (s0 (range c0 c1023)))")
	w.line("(levelrange low_low (low low))\n(levelrange low_high (low high))")
	w.line("(user system_u)\n(role system_r)\n(role object_r)")
	w.line("(userrole system_u system_r)\n(userrole system_u object_r)")
	w.line("(userlevel system_u low)\n(userrange system_u low_high)")
}

func (w *cilWriter) types() {
	for _, name := range policyDomains {
		w.line("(type %s)\n(roletype object_r %s)\n(roletype system_r %s)", name, name, name)
	}
	for _, name := range policyObjects {
		w.line("(type %s)\n(roletype object_r %s)", name, name)
	}
	w.attribute("unconfined_domain", "kernel_t", "container_runtime_t", "user_t", "spc_t")
	w.attribute("container_domain", "container_t", "container_init_t")
	w.attribute("mcs_constrained_type", "container_t", "container_init_t")
	w.attribute("stdio_source", "kernel_t", "container_runtime_t")
	w.attribute("all_type", slices.Concat(policyDomains, policyObjects)...)
}

func (w *cilWriter) unconfinedRules() {
	for _, class := range w.classNames() {
		w.allow("unconfined_domain", "all_type", class, w.classes[class])
	}
	w.allow("all_type", "all_type", "filesystem", "associate")
}

func (w *cilWriter) containerFileRules() {
	w.allow("container_domain", "container_file_t", "file", ownFile+" "+runFile)
	w.allow("container_domain", "container_file_t", "dir", ownDirectory)
	for _, class := range []string{"lnk_file", "sock_file", "fifo_file"} {
		w.allow("container_domain", "container_file_t", class, ownFile)
	}
	w.allow("container_domain", "container_ro_file_t", "file", readFile+" "+runFile)
	w.allow("container_domain", "container_ro_file_t", "dir", readDirectory+" lock")
	w.allow("container_domain", "container_ro_file_t", "lnk_file", "read getattr")
	for _, name := range []string{"proc_t", "sysctl_t", "sysfs_t", "cgroup_t", "nsfs_t"} {
		w.allow("container_domain", name, "file", readFile)
		w.allow("container_domain", name, "dir", readDirectory)
		w.allow("container_domain", name, "lnk_file", "read getattr")
	}
	for _, name := range []string{"root_t", "tmpfs_t"} { // the way to what is labelled for it
		w.allow("container_domain", name, "dir", "search getattr")
	}
	for _, name := range []string{"container_file_t", "container_device_t", "device_t", "devpts_t"} {
		w.allow("container_domain", name, "chr_file", useDevice)
	}
	for _, name := range []string{"device_t", "devpts_t"} {
		w.allow("container_domain", name, "dir", readDirectory)
		w.allow("container_domain", name, "lnk_file", "read getattr")
	}
	w.allow("container_domain", "container_file_t", "chr_file", "setattr")
	w.allow("container_domain", "devpts_t", "chr_file", "setattr")
	w.allow("container_domain", "all_type", "filesystem", "getattr")
	for _, class := range []string{"file", "dir"} {
		w.line("(typetransition container_domain tmpfs_t %s container_file_t)", class)
	}
}

func (w *cilWriter) containerProcessRules() {
	w.allow("container_domain", "self", "process", ownProcess)
	w.allow("container_domain", "self", "capability", ownCapabilities)
	w.allow("container_domain", "self", "cap_userns", ownCapabilities)
	w.allow("container_domain", "self", "fd", "use")
	for _, class := range []string{"fifo_file", "unix_stream_socket", "unix_dgram_socket", "sem", "shm", "msgq", "msg", "anon_inode"} {
		w.allow("container_domain", "self", class, withoutRelabel(w.classes[class]))
	}
	// /proc/PID of its own processes.
	w.allow("container_domain", "self", "file", readFile+" write append")
	w.allow("container_domain", "self", "dir", readDirectory)
	w.allow("container_domain", "self", "lnk_file", "read getattr")
	w.allow("container_domain", "unconfined_domain", "fd", "use")
	w.allow("container_domain", "unconfined_domain", "process", "sigchld")
	w.allow("container_domain", "stdio_source", "fifo_file", usePipe)
	w.allow("container_domain", "stdio_source", "unix_stream_socket", useStream)
}

func withoutRelabel(permissions string) string {
	return strings.NewReplacer("relabelfrom ", "", "relabelto ", "").Replace(permissions)
}

func (w *cilWriter) containerNetworkRules() {
	for _, class := range []string{"tcp_socket", "udp_socket", "netlink_route_socket"} {
		w.allow("container_domain", "self", class, withoutRelabel(w.classes[class]))
	}
	w.allow("container_domain", "port_t", "tcp_socket", "name_bind name_connect")
	w.allow("container_domain", "port_t", "udp_socket", "name_bind")
	w.allow("container_domain", "node_t", "tcp_socket", "node_bind")
	w.allow("container_domain", "node_t", "udp_socket", "node_bind")
	w.allow("container_domain", "all_type", "peer", "recv")
	w.allow("all_type", "node_t", "node", "recvfrom sendto")
	w.allow("all_type", "netif_t", "netif", "ingress egress")
}

func (w *cilWriter) constraints() {
	for _, class := range []string{"file", "lnk_file", "chr_file", "blk_file", "sock_file"} {
		w.constrain(class, mcsFile+" relabelto", mcsDominates)
	}
	w.constrain("dir", mcsDirectory+" relabelto", mcsDominates)
	w.constrain("fifo_file", "open create unlink rename link setattr relabelfrom relabelto", mcsDominates)
	w.constrain("fifo_file", usePipe, mcsOrFromRuntime)
	w.constrain("unix_stream_socket", "connectto", mcsDominates)
	w.constrain("unix_stream_socket", useStream, mcsOrFromRuntime)
	w.constrain("unix_dgram_socket", "sendto", mcsDominates)
	w.constrain("process", mcsProcess, mcsDominates)
	for _, class := range []string{"sem", "msgq", "shm"} {
		w.constrain(class, ipcPermissions, mcsDominates)
	}
	w.constrain("key", "view read write search link setattr", mcsDominates)
}

func (w *cilWriter) contexts() {
	context := func(name, role, levels string) {
		w.line("(context %s_context (system_u %s %s %s))", name, role, name, levels)
	}
	context("kernel_t", "system_r", "low_high")
	for _, name := range policyObjects {
		context(name, "object_r", "low_low")
	}
	for _, sid := range policySIDs {
		label, ok := policySIDTypes[sid]
		switch {
		case ok:
		case strings.HasPrefix(sid, "sysctl"):
			label = "sysctl_t"
		default:
			label = "unlabeled_t"
		}
		w.line("(sid %s)\n(sidcontext %s %s_context)", sid, sid, label)
	}
	w.line("(sidorder (%s))", strings.Join(policySIDs, " "))
	for _, use := range policyFilesystems {
		for name := range strings.FieldsSeq(use.names) {
			w.line("(%s %s %s_context)", use.statement, name, use.label)
		}
	}
	for _, pseudo := range policyPseudoFilesystems {
		for name := range strings.FieldsSeq(pseudo.names) {
			w.line("(genfscon %s \"/\" %s_context)", name, pseudo.label)
		}
	}
	w.line("(genfscon proc \"/sys\" sysctl_t_context)")
}

// policyVersion is the binary format, the newest that the compilers of both Debian
// releases write; all supported kernels read it.
const policyVersion = "33"

// policy returns the path of the compiled guest policy.
func (c cache) policy(ctx context.Context) (string, error) {
	text := []byte(GuestPolicy())
	name := fmt.Sprintf("policy/%x", sha256.Sum256(text))
	directory, err := c.once(ctx, name, func(directory string) error {
		source, binary := filepath.Join(directory, "guest.cil"), filepath.Join(directory, "policy")
		if err := os.WriteFile(source, text, 0o644); err != nil {
			return err
		}
		_, err := output(exec.CommandContext(ctx, "secilc", "-M", "true", "-c", policyVersion, "-f", os.DevNull, "-o", binary, source))
		return err
	})
	return filepath.Join(directory, "policy"), err
}
