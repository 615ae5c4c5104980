// SPDX-License-Identifier: Apache-2.0

// Package kernel says what the running kernel can enforce. Probe asks the kernel itself (system calls, securityfs, selinuxfs, /proc), never
// a version number or a configuration file, and returns plain Facts that the rest of the program, and its tests, reason with.
//
// Limits: a fact is what this process may see. In a container of somebody else's, a layer that the kernel has may look absent; absent is
// the safe answer, because a layer is only planned where it was seen.
package kernel

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotSupported is what errors.Is finds in every error that says the kernel lacks a layer.
var ErrNotSupported = errors.New("not supported by this kernel")

// NotSupportedError names the layer that is missing and what would bring it.
type NotSupportedError struct {
	Layer   string // as in Layers
	Missing string // what is missing, one clause
}

func (e *NotSupportedError) Error() string {
	return fmt.Sprintf("%s is not there: %s", e.Layer, e.Missing)
}

// Is makes every NotSupportedError an ErrNotSupported.
func (e *NotSupportedError) Is(target error) bool { return target == ErrNotSupported }

// Layers are the names of everything that `check` reports, in its order.
var layers = []string{"selinux", "apparmor", "bpf", "landlock", "seccomp", "userns", "fuse"}

// LayerNames returns the names that `check --require` takes, in the order of the report.
func LayerNames() []string { return slices.Clone(layers) }

// Facts is what Probe found. The zero value is a kernel that enforces nothing.
type Facts struct {
	Release  string   `json:"release"`        // uname -r
	LSMs     []string `json:"lsms,omitempty"` // active security modules, in the kernel's order of lsm_list_modules(2) or securityfs
	SELinux  SELinux  `json:"selinux"`
	AppArmor AppArmor `json:"apparmor"`
	BPF      BPF      `json:"bpf"`
	Landlock Landlock `json:"landlock"`
	Seccomp  Seccomp  `json:"seccomp"`
	UserNS   UserNS   `json:"userns"`
	FUSE     FUSE     `json:"fuse"`
}

// SELinux holds what selinuxfs says.
type SELinux struct {
	Active         bool `json:"active"`          // the module runs and a policy is loaded
	Enforcing      bool `json:"enforcing"`       // false: permissive
	PolicyVersion  int  `json:"policy_version"`  // highest that the kernel reads
	MLS            bool `json:"mls"`             // the policy has levels, which a category pair needs
	ContainerTypes bool `json:"container_types"` // the policy knows container_t and container_file_t
}

// AppArmor holds what securityfs says.
type AppArmor struct {
	Active   bool      `json:"active"`
	Profiles []Profile `json:"profiles,omitempty"` // loaded in this namespace
}

// Profile is one loaded AppArmor profile.
type Profile struct {
	Name string `json:"name"`
	Mode string `json:"mode"` // enforce, complain, kill, unconfined, prompt
}

// Find returns the loaded profile of that name.
func (a AppArmor) Find(name string) (Profile, bool) {
	i := slices.IndexFunc(a.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return a.Profiles[i], true
}

// BPF says whether BPF LSM programs can be attached: bpf is among the active modules and a program of that type was accepted.
type BPF struct {
	Active bool   `json:"active"`
	Reason string `json:"reason,omitempty"` // why not
}

// Landlock holds the ABI version; 0 is a kernel without it.
type Landlock struct {
	ABI    int    `json:"abi"`
	Errata int    `json:"errata"`           // bit n-1 set: erratum n is fixed
	Reason string `json:"reason,omitempty"` // why not
}

// Seccomp holds the kernel's own list of actions, empty without filters, and the flags of a filter that it takes.
type Seccomp struct {
	Actions []string `json:"actions,omitempty"`
	Flags   []string `json:"flags,omitempty"` // without the prefix SECCOMP_FILTER_FLAG_: LOG, SPEC_ALLOW, ...
}

// UserNS says whether user namespaces can be made, and how many.
type UserNS struct {
	Maximum int    `json:"maximum"`
	Reason  string `json:"reason,omitempty"`
}

// FUSE says whether /dev/fuse opens.
type FUSE struct {
	Active bool   `json:"active"`
	Reason string `json:"reason,omitempty"`
}
