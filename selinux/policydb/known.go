// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"strings"
)

// capabilities are the kernel's names by number (security/selinux/include/policycap_names.h).
var capabilities = [...]string{"network_peer_controls", "open_perms", "extended_socket_class", "always_check_network", "cgroup_seclabel", "nnp_nosuid_transition",
	"genfs_seclabel_symlinks", "ioctl_skip_cloexec", "userspace_initial_context", "netlink_xperm", "netif_wildcard", "genfs_seclabel_wildcard", "functionfs_seclabel", "memfd_class"}

// CapabilityName is the name of a policy capability, "" where the number has none.
func CapabilityName(number uint32) string {
	if number < uint32(len(capabilities)) {
		return capabilities[number]
	}
	return ""
}

// CapabilityNumber finds a policy capability by its name, in letters of either case.
func CapabilityNumber(name string) (number uint32, known bool) {
	for number, capability := range capabilities {
		if strings.EqualFold(capability, name) {
			return uint32(number), true
		}
	}
	return 0, false
}

// initialSIDs are the names by number that policies use (flask/initial_sids of the reference policy); the kernel's own list has lost those that it no longer asks for.
var initialSIDs = [...]string{"", "kernel", "security", "unlabeled", "fs", "file", "file_labels", "init", "any_socket", "port", "netif", "netmsg", "node", "igmp_packet", "icmp_socket",
	"tcp_socket", "sysctl_modprobe", "sysctl", "sysctl_fs", "sysctl_kernel", "sysctl_net", "sysctl_net_unix", "sysctl_vm", "sysctl_dev", "kmod", "policy", "scmp_packet", "devnull"}

// InitialSIDName is the name of an initial SID, made of its number where it has none.
func InitialSIDName(number uint32) string {
	if number > 0 && number < uint32(len(initialSIDs)) {
		return initialSIDs[number]
	}
	return fmt.Sprintf("UNKNOWN%d", number)
}

// String is the word of the policy language.
func (u UnknownPermissions) String() string {
	switch u {
	case RejectUnknown:
		return "reject"
	case AllowUnknown:
		return "allow"
	}
	return "deny"
}
