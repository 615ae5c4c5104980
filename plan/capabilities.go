// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/inside"
)

// capabilityNames is indexed by the kernel's numbers (include/uapi/linux/capability.h, Linux 6.18: CAP_LAST_CAP is 40).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// Capabilities are the five sets of a process, by name with the prefix CAP_, as config.json spells them.
type Capabilities struct {
	Bounding    []string `json:"bounding,omitempty"`
	Permitted   []string `json:"permitted,omitempty"`
	Effective   []string `json:"effective,omitempty"`
	Inheritable []string `json:"inheritable,omitempty"`
	Ambient     []string `json:"ambient,omitempty"`
}

// CapabilityNames returns every capability that the kernel of this table knows, with the prefix CAP_, in the kernel's order.
func CapabilityNames() []string {
	names := make([]string, len(capabilityNames))
	for i, name := range capabilityNames {
		names[i] = "CAP_" + name
	}
	return names
}

// lend returns the sets with further capabilities in each of them: ambient too, since execve takes the others from a user who is not root.
func (c Capabilities) lend(names ...string) Capabilities {
	add := func(set []string) []string {
		set = slices.Clone(set)
		for _, name := range names {
			if !slices.Contains(set, name) {
				set = append(set, name)
			}
		}
		return set
	}
	return Capabilities{add(c.Bounding), add(c.Permitted), add(c.Effective), add(c.Inheritable), add(c.Ambient)}
}

// bits converts the names to the kernel's bit sets.
func (c Capabilities) bits() (inside.Capabilities, error) {
	var out inside.Capabilities
	for _, set := range []struct {
		names []string
		bits  *uint64
	}{{c.Bounding, &out.Bounding}, {c.Permitted, &out.Permitted}, {c.Effective, &out.Effective}, {c.Inheritable, &out.Inheritable}, {c.Ambient, &out.Ambient}} {
		for _, name := range set.names {
			number := slices.Index(capabilityNames[:], strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
			if number < 0 {
				return inside.Capabilities{}, fmt.Errorf("process.capabilities: unknown capability %q", name)
			}
			*set.bits |= 1 << number
		}
	}
	return out, nil
}

// BoundingBits returns the bounding set as the kernel's bit set.
func (c Capabilities) BoundingBits() (uint64, error) {
	bits, err := c.bits()
	return bits.Bounding, err
}
