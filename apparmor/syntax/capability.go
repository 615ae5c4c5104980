// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// capabilityNames are those of capabilities(7) in the order of their numbers, as rules write them.
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
	net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice
	sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend
	audit_read perfmon bpf checkpoint_restore`)

// capability reads the rest of capability [NAMES].
func (p *parser) capability(qualifiers Qualifiers) bool {
	rule := &CapabilityRule{Qualifiers: qualifiers}
	for {
		p.skip()
		place := p.position()
		name := p.name()
		if name == "" {
			return p.add(rule)
		}
		if !p.countWord() {
			return false
		}
		if !slices.Contains(capabilityNames, name) {
			return p.failAt(place, "the name of a capability in lower case, without CAP_", "unknown capability %q", name)
		}
		rule.Capabilities = append(rule.Capabilities, Word{Position: place, Text: name})
	}
}
