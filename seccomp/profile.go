// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Version is a kernel's version.
type Version = syscalls.Version

// MaximumProfile is the size in bytes over which a profile is refused. Docker's default has 14,000.
const MaximumProfile = 4 << 20

// maximumRules bounds what a policy may consist of, and maximumArguments one entry: programs have 4,096 instructions at most.
const (
	maximumRules     = 4096
	maximumArguments = 256
	maximumAlternate = 64 // rules that one entry becomes
)

// Profile is a profile as it is written, for every machine and every container: either form is read by Parse. Resolve makes a Policy of it.
type Profile struct {
	action           answer
	listed           []*syscalls.ABI // architectures
	machines         []machine       // archMap
	flags            Flags
	listenerPath     string
	listenerMetadata string
	groups           []group
	newest           Version // of the calls of all groups, whether they apply or not
	text             string  // that it was parsed from, for places
	warnings         []Warning
}

// machine is one element of archMap: the ABIs of the machines that have this native one.
type machine struct {
	native *syscalls.ABI
	others []*syscalls.ABI
}

// group is one element of syscalls.
type group struct {
	offset     int // in the text
	names      []string
	calls      []syscalls.Call // of the names; those that no kernel has are left out of both
	action     answer
	arguments  []argument
	alternates [][]Condition // the group holds where all conditions of any of these hold
	includes   filter
	excludes   filter
}

// argument is one element of args.
type argument struct {
	Condition
	offset int
}

// filter is what includes and excludes say of a container and its machine. An empty list and the zero version are no condition.
type filter struct {
	capabilities []string
	machines     []*syscalls.ABI
	kernel       Version
}

// selects reports whether the group applies. Every condition of includes has to hold, and none of excludes may.
func (g *group) selects(target *target) bool {
	in, out := &g.includes, &g.excludes
	for _, name := range in.capabilities {
		if !slices.Contains(target.Capabilities, name) {
			return false
		}
	}
	for _, name := range out.capabilities {
		if slices.Contains(target.Capabilities, name) {
			return false
		}
	}
	none := Version{}
	return (len(in.machines) == 0 || slices.Contains(in.machines, target.native)) && !slices.Contains(out.machines, target.native) &&
		!target.Kernel.Before(in.kernel) && (out.kernel == none || target.Kernel.Before(out.kernel))
}

// knownCapabilities are those of Linux 6.18, include/uapi/linux/capability.h, without the prefix CAP_.
const knownCapabilities = " CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST" +
	" NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME" +
	" SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF" +
	" CHECKPOINT_RESTORE "

// capability splits a name into its parts: prefixed tells whether it looks like one, known whether the kernel has it.
func capability(name string) (prefixed, known bool) {
	rest, prefixed := strings.CutPrefix(name, "CAP_")
	for _, letter := range []byte(rest) {
		prefixed = prefixed && (letter >= 'A' && letter <= 'Z' || letter == '_' || letter >= '0' && letter <= '9')
	}
	return prefixed && rest != "", strings.Contains(knownCapabilities, " "+rest+" ")
}
