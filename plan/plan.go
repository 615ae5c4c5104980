// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/landlock"
)

// State says what becomes of a layer.
type State string

// The states. There is no "enforced" here: that word belongs to what was read back from the kernel.
const (
	On         State = "on"
	Off        State = "off"        // switched off by request
	Absent     State = "absent"     // a default that this kernel lacks
	Permissive State = "permissive" // applied, and the kernel only logs
)

// Layer is what all layers have in common.
type Layer struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is not on
}

// Active reports whether the layer is applied at all.
func (l Layer) Active() bool { return l.State == On || l.State == Permissive }

// Plan is what every layer will do for one container. The same Request and Facts give the same Plan, and the same JSON.
type Plan struct {
	Container    string       `json:"container,omitempty"`
	Kernel       string       `json:"kernel"`
	MCS          MCS          `json:"mcs"`
	SELinux      SELinux      `json:"selinux"`
	AppArmor     AppArmor     `json:"apparmor"`
	Seccomp      Seccomp      `json:"seccomp"`
	Landlock     Landlock     `json:"landlock"`
	Capabilities Capabilities `json:"capabilities"`
	// NoNewPrivileges is the process attribute of that name, see prctl(2).
	NoNewPrivileges bool     `json:"no_new_privileges"`
	Masked          []string `json:"masked_paths,omitempty"`
	ReadOnlyPaths   []string `json:"read_only_paths,omitempty"`
	Volumes         []Volume `json:"volumes,omitempty"`
	Shields         []Shield `json:"shields,omitempty"`
	Remains         []string `json:"remains,omitempty"` // what nothing in this plan stops, a sentence each
}

// MCS is the container's level. Level is empty while the unique pair is still to be taken, which happens at the start.
type MCS struct {
	Level  string `json:"level,omitempty"`
	Shared bool   `json:"shared,omitempty"` // asked for by name: other containers may have it too
}

// SELinux is the labels of the process and of its files. A field that ends in a level gets the MCS level when it is compiled.
type SELinux struct {
	Layer
	Process string `json:"process,omitempty"` // context; without a level while the pair is not taken
	Files   string `json:"files,omitempty"`
	Nested  bool   `json:"nested,omitempty"` // the container sees selinuxfs
	// Generated: the kernel's policy has no container types; those that are built in are put onto it first.
	Generated bool `json:"generated,omitempty"`
}

// AppArmor is the profile of the process.
type AppArmor struct {
	Layer
	Profile string `json:"profile,omitempty"`
	// Generated: the profile's text is built in, and compiled for this kernel and loaded where it is not.
	Generated bool `json:"generated,omitempty"`
}

// Seccomp is the filter that the program inside installs.
type Seccomp struct {
	Layer
	Source       string         `json:"source,omitempty"`       // docker-default, bulkhead-default, the file, or config.json
	Default      string         `json:"default,omitempty"`      // action, as the OCI runtime specification calls it
	ABIs         []string       `json:"abis,omitempty"`         // by which calls are possible, the native one first: x86_64, x86, ...
	Rules        int            `json:"rules,omitempty"`        // that apply to this container
	Instructions int            `json:"instructions,omitempty"` // of the program
	Digest       string         `json:"digest,omitempty"`       // sha256: of the program's bytes
	Listener     *Listener      `json:"listener,omitempty"`
	Warnings     []string       `json:"warnings,omitempty"` // what in the profile is hardly meant as it is written, with its place
	Filter       *inside.Filter `json:"-"`
}

// Listener is who answers the calls that a filter hands to user space.
type Listener struct {
	Path     string `json:"path"`               // of a UNIX stream socket on the host, absolute
	Metadata string `json:"metadata,omitempty"` // passed on to it
}

// Landlock is the domain of the process.
type Landlock struct {
	Layer
	Ruleset landlock.Ruleset `json:"ruleset,omitzero"`
}
