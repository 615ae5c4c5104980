// SPDX-License-Identifier: Apache-2.0

// Package inside is what happens in the container, last before the program starts: the SELinux label and the AppArmor profile for the
// execve to come, the Landlock domain, the capability sets, the seccomp filter, and execve.
//
// The OCI runtime starts /.bulkhead/init with a Spec and the program's arguments; that program is this package and little else, so that
// what runs in the container with borrowed power stays small. It has the power it needs until then: the runtime lends it CAP_SYS_ADMIN
// (landlock_restrict_self and seccomp without no_new_privs) and CAP_SETPCAP (taking both out of the bounding set), and the program starts
// without them. It runs under the runtime's own label, because the container's label and profile need not allow that power, and
// asks the kernel to change both at the execve, as an OCI runtime does. Every step that fails ends the process; nothing is ever started
// half confined.
//
// Between the filter and execve there is no system call, of Go's runtime neither: a filter need permit execve alone.
package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/bulkhead-project/bulkhead/landlock"
)

// Directory is where the runtime mounts the program's directory, read-only, in every container. The mount point is a child of the root, so
// that nothing in the container can rename it or a directory above it and put another program in its place.
const (
	Directory = "/.bulkhead"
	Path      = Directory + "/init"
)

// ProbeFile is the name that must be openable for writing through the probe descriptor before the domain holds, and not after. Once it is not,
// the program writes into it what Proof reads, and a process that it did not confine leaves it empty.
const ProbeFile = "probe"

// Exit statuses of the program where it does not start another, as shells and Docker use them.
const (
	ExitRefused  = 126 // the program is there and cannot be started
	ExitNotFound = 127
	ExitUnheld   = 125 // a layer could not be applied: nothing was started
)

// Spec is one process's share of the plan. It travels as the first argument, so it holds nothing secret.
type Spec struct {
	SELinuxLabel    string            `json:"selinux_label,omitempty"`    // of the program
	AppArmorProfile string            `json:"apparmor_profile,omitempty"` // of the program
	Landlock        *landlock.Ruleset `json:"landlock,omitempty"`
	Probe           int               `json:"probe,omitempty"`        // descriptor of a host directory with ProbeFile; 0 = none
	Capabilities    *Capabilities     `json:"capabilities,omitempty"` // what the program starts with; nil leaves them alone
	Seccomp         *Filter           `json:"seccomp,omitempty"`
	// TimerSlack is what the program's timers are to have (prctl(2)), in ns, where the runtime lent what it starts another; 0 leaves it alone.
	TimerSlack uint64 `json:"timer_slack,omitempty"`
}

// Filter is a compiled seccomp filter.
type Filter struct {
	// Program is one struct sock_filter (8 bytes, in the byte order of this machine) after the other.
	Program []byte `json:"program"`
	// Flags are SECCOMP_FILTER_FLAG_*. With FilterListener the program starts once the host has taken the listener's descriptor, see Proof.
	Flags uint32 `json:"flags,omitempty"`
}

// FilterListener is SECCOMP_FILTER_FLAG_NEW_LISTENER: somebody answers calls by way of a descriptor.
const FilterListener = 1 << 3

// filterFlags are those that a thread may give which is about to become a program of its own: LOG, SPEC_ALLOW, NEW_LISTENER and
// WAIT_KILLABLE_RECV. TSYNC and what goes with it are for threads that stay together.
const filterFlags = 1<<1 | 1<<2 | FilterListener | 1<<5

const (
	instructionSize   = 8
	maximumFilterSize = 4096 * instructionSize // BPF_MAXINSNS
)

func (f *Filter) check() error {
	switch size := len(f.Program); {
	case size == 0 || size > maximumFilterSize || size%instructionSize != 0:
		return fmt.Errorf("seccomp: a program of %d bytes: it is 1 to %d instructions of %d bytes", size, maximumFilterSize/instructionSize, instructionSize)
	case f.Flags&^filterFlags != 0:
		return fmt.Errorf("seccomp: flags %#x", f.Flags)
	}
	return nil
}

func (f *Filter) listens() bool { return f != nil && f.Flags&FilterListener != 0 }

// Capabilities are bit sets indexed by the kernel's capability numbers.
type Capabilities struct {
	Bounding    uint64 `json:"bounding"`
	Permitted   uint64 `json:"permitted"`
	Effective   uint64 `json:"effective"`
	Inheritable uint64 `json:"inheritable"`
	Ambient     uint64 `json:"ambient"`
}

// lookPath resolves a program name in PATH as execvp(3) does; executable tells whether a candidate may be run (nil, fs.ErrNotExist, other).
func lookPath(name, searchPath string, executable func(string) error) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if name == "" {
		return "", fmt.Errorf("%q: %w", name, fs.ErrNotExist)
	}
	refused := fmt.Errorf("%q: executable file not found in PATH: %w", name, fs.ErrNotExist)
	for _, directory := range strings.Split(searchPath, ":") {
		if directory == "" {
			directory = "."
		}
		candidate := path.Join(directory, name)
		if directory == "." {
			candidate = "./" + name
		}
		switch err := executable(candidate); {
		case err == nil:
			return candidate, nil
		case !errors.Is(err, fs.ErrNotExist):
			refused = fmt.Errorf("%q: %w", candidate, err)
		}
	}
	return "", refused
}
