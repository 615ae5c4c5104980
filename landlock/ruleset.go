// SPDX-License-Identifier: Apache-2.0

// Package landlock makes the Landlock domain of a container and puts a thread into it.
//
// The domain says: open only what lies beneath the container's own root. A Landlock rule names an inode, and the kernel looks for it by
// walking from the opened file up through every mount point, so one rule on "/" after pivot_root covers the root file system, its volumes
// and its /proc, and nothing that is reached by a descriptor from outside, whose walk ends at another root. What was open before stays
// open: Landlock guards opening, not reading.
//
// Signals and abstract sockets are scoped only where the container shares that namespace with the host. Inside its own namespace the
// container sees no one else, and a process added by exec is in a sibling domain, so that scoping would forbid `exec C kill 1`.
//
// Source: Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h.
package landlock

// AccessFS is a set of LANDLOCK_ACCESS_FS_* rights.
type AccessFS uint64

// The rights, in the kernel's order of bits.
const (
	Execute AccessFS = 1 << iota
	WriteFile
	ReadFile
	ReadDir
	RemoveDir
	RemoveFile
	MakeChar
	MakeDir
	MakeRegular
	MakeSocket
	MakeFIFO
	MakeBlock
	MakeSymlink
	Refer    // ABI 2: link and rename between directories
	Truncate // ABI 3
	IoctlDev // ABI 5
)

// File holds the rights that a rule on something other than a directory may carry.
const File = Execute | WriteFile | ReadFile | Truncate | IoctlDev

// Scope is a set of LANDLOCK_SCOPE_* bits, ABI 6.
type Scope uint64

// What a domain may be cut off from.
const (
	ScopeAbstractSocket Scope = 1 << iota
	ScopeSignal
)

// MinimumABI is the first that can hold a container: in ABI 1 renames and links between directories always fail.
const MinimumABI = 2

// Ruleset is the domain of one container: everything in Handled is denied but beneath the process's root.
type Ruleset struct {
	ABI     int      `json:"abi"` // of the kernel that it was made for; Restrict wants the same or a newer one
	Handled AccessFS `json:"handled"`
	Scoped  Scope    `json:"scoped,omitempty"`
}

// Container returns the ruleset for a kernel of that ABI, and what it cannot hold there, one clause each.
func Container(abi int, hostPID, hostNetwork bool) (Ruleset, []string) {
	rules := Ruleset{ABI: abi, Handled: handled(abi)}
	var missing []string
	if abi < 3 {
		missing = append(missing, "truncate(2) by path is not mediated before ABI 3 (Linux 6.2)")
	}
	if abi < 5 {
		missing = append(missing, "ioctl on devices is not mediated before ABI 5 (Linux 6.10)")
	}
	for _, want := range []struct {
		shared  bool
		scope   Scope
		missing string
	}{
		{hostPID, ScopeSignal, "signals to host processes need ABI 6 (Linux 6.12) to be scoped"},
		{hostNetwork, ScopeAbstractSocket, "abstract sockets of the host need ABI 6 (Linux 6.12) to be scoped"},
	} {
		switch {
		case !want.shared:
		case abi < 6:
			missing = append(missing, want.missing)
		default:
			rules.Scoped |= want.scope
		}
	}
	return rules, missing
}

// handled returns the rights that a kernel of that ABI knows.
func handled(abi int) AccessFS {
	rights := MakeSymlink<<1 - 1
	if abi >= 2 {
		rights |= Refer
	}
	if abi >= 3 {
		rights |= Truncate
	}
	if abi >= 5 {
		rights |= IoctlDev
	}
	return rights
}
