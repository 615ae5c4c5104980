// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"math"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// capabilityNames are the kernel's capabilities by number (include/uapi/linux/capability.h).
func capabilityNames() []string {
	return strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast
		net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time
		sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
		checkpoint_restore`)
}

// capabilityBefore is the capability that asked for what a younger one asks for now.
func capabilityBefore(name string) (older string, ok bool) {
	switch name {
	case "perfmon", "bpf", "checkpoint_restore":
		return "sys_admin", true
	}
	return "", false
}

// capabilities sums the profile's capability rules.
func (u *unit) capabilities() binary.Capabilities {
	var sum binary.Capabilities
	var deny uint64
	for _, rule := range u.profile.Rules {
		var set uint64
		switch rule := rule.(type) {
		case *syntax.CapabilityRule:
			set = u.capabilitySet(rule)
		case *syntax.AllRule:
			set = math.MaxUint64
		default:
			continue
		}
		head := rule.Head()
		switch {
		case head.Deny:
			deny |= set
			if quietly(head) {
				sum.Quiet |= set
			}
		case head.Prompt: // policyEntries says that nobody is asked
		default:
			sum.Allow |= set
			if head.Audit {
				sum.Audit |= set
			}
		}
	}
	sum.Allow &^= deny
	sum.Audit &^= deny
	return sum
}

// capabilitySet is the set of a rule's capabilities. One that the target does not know yet is the older one that it is a part of.
func (u *unit) capabilitySet(rule *syntax.CapabilityRule) uint64 {
	if len(rule.Capabilities) == 0 {
		return math.MaxUint64
	}
	names := capabilityNames()
	known := u.kernel.Values("caps/mask")
	var set uint64
	for _, word := range rule.Capabilities {
		name := word.Text
		if older, ok := capabilityBefore(name); ok && !slices.Contains(known, name) {
			u.warn(rule, "the target does not know capability %s: the rule is for %s, which has it", name, older)
			name = older
		}
		number := slices.Index(names, name)
		if number < 0 {
			u.report(rule, "unknown capability %q", name)
			continue
		}
		set |= 1 << number
	}
	return set
}
