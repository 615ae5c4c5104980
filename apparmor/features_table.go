// SPDX-License-Identifier: Apache-2.0

package apparmor

import "strings"

// kernelFeatures are what a kernel's /sys/kernel/security/apparmor/features has more, or otherwise, than that of the kernel before it in the table.
type kernelFeatures struct {
	kernel  string
	changes string // a file in each line
}

// Kernels are the versions that KernelFeatures knows, oldest first.
func Kernels() []string {
	var names []string
	for _, one := range tableOfFeatures() {
		names = append(names, one.kernel)
	}
	return names
}

// KernelFeatures are those of the Debian kernel of a version, as "6.12".
func KernelFeatures(version string) (Features, bool) {
	tree := map[string]string{}
	for _, one := range tableOfFeatures() {
		for line := range strings.Lines(one.changes) {
			path, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			tree[path] = value
		}
		if one.kernel == version {
			return Features{tree}, true
		}
	}
	return Features{}, false
}

// tableOfFeatures was read from running kernels: Debian's 6.1.0-56, 6.12.117 and 7.2.13.
func tableOfFeatures() []kernelFeatures {
	return []kernelFeatures{
		{"6.1", `capability: 0xffffff
caps/mask: chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
domain/attach_conditions/xattr: yes
domain/change_hat: yes
domain/change_hatv: yes
domain/change_onexec: yes
domain/change_profile: yes
domain/computed_longest_left: yes
domain/fix_binfmt_elf_mmap: yes
domain/post_nnp_subset: yes
domain/stack: yes
domain/version: 1.2
file/mask: create read write exec append mmap_exec link lock
mount/mask: mount umount pivot_root
namespaces/pivot_root: no
namespaces/profile: yes
network_v8/af_mask: unspec unix inet ax25 ipx appletalk netrom bridge atmpvc x25 inet6 rose netbeui security key netlink packet ash econet atmsvc rds sna irda pppox wanpipe llc ib mpls can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp mctp
network_v8/tcp-fast-open: yes
policy/outofband: 0x000001
policy/set_load: yes
policy/versions/v5: yes
policy/versions/v6: yes
policy/versions/v7: yes
policy/versions/v8: yes
policy/versions/v9: yes
ptrace/mask: read trace
query/label/data: yes
query/label/multi_transaction: yes
query/label/perms: allow deny audit quiet
rlimit/mask: cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime
signal/mask: hup int quit ill trap abrt bus fpe kill usr1 segv usr2 pipe alrm term stkflt chld cont stop stp ttin ttou urg xcpu xfsz vtalrm prof winch io pwr sys emt lost`},
		{"6.12", `domain/disconnected.path: yes
io_uring/mask: sqpoll override_creds
mount/move_mount: detached
namespaces/mask: userns_create
policy/permstable32: allow deny subtree cond kill complain prompt audit quiet hide xindex tag label
policy/permstable32_version: 0x000001
policy/unconfined_restrictions/change_profile: yes`},
		{"7.2", `caps/extended: yes
dbus/mask: acquire send receive
domain/kill.signal: yes
domain/unconfined_allowed_children: yes
network_v9/af_mask: unspec unix inet ax25 ipx appletalk netrom bridge atmpvc x25 inet6 rose netbeui security key netlink packet ash econet atmsvc rds sna irda pppox wanpipe llc ib mpls can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp mctp
network_v9/af_unix: yes
network_v9/tcp-fast-open: yes
policy/diff-encode: yes
policy/permstable32_version: 0x000003
policy/state32: 0x000001`},
	}
}
