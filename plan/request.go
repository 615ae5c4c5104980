// SPDX-License-Identifier: Apache-2.0

// Package plan decides, for one container on one kernel, what every layer is to do. It is pure: a Request (what was asked, whoever asked)
// and kernel.Facts go in, a Plan (a plain document to print, compare and keep) comes out, and Compile turns it into what is applied.
//
// The rule it keeps: a layer that was asked for by name and cannot hold is an UnavailableError and nothing starts; a default layer that
// the kernel lacks is left out, and the plan says so in words.
package plan

import (
	"fmt"

	"github.com/bulkhead-project/bulkhead/seccomp"
)

// Request is what one container asks of every layer.
type Request struct {
	ID string // the container's

	// Security is what the options of `run`, or an engine's annotations, say by name.
	Security SecurityOptions
	// Engine is set where a config.json came from an engine, which has made its own choices: a layer that it left out is off.
	Engine *EngineChoices

	Process        Process
	Namespaces     Namespaces
	Privileged     bool // every capability, nothing masked, no filter: confinement is off, visibly
	Volumes        []Volume
	Take           bool   // volumes that are to be labelled are taken from a container whose private ones they are
	Root           string // of the container on the host, absolute; "" where it is not known yet
	Shields        []Shield
	Masked         []string // paths in the container that are hidden
	ReadOnlyPaths  []string
	SeccompProfile []byte // the content of the file that Security.Seccomp names
	// CompileFilter replaces seccomp.Compile, for a caller who keeps filters that were compiled before.
	CompileFilter func(*seccomp.Policy) (*seccomp.Filter, error) `json:"-"`
}

// EngineChoices is what a config.json says of the layers that an OCI runtime knows.
type EngineChoices struct {
	ProcessLabel    string
	MountLabel      string
	AppArmorProfile string
	Seccomp         []byte // the linux.seccomp object as it is written; nil: none
}

// Process is the container's first process, before the program inside lends and gives back anything.
type Process struct {
	UID             uint32
	Capabilities    Capabilities
	NoNewPrivileges bool
}

// Namespaces says which of the host's namespaces the container shares.
type Namespaces struct {
	HostPID, HostNetwork, HostIPC bool
	User                          bool     // the container has a user namespace of its own
	Joined                        []string // namespaces of other containers that it joins, by path
}

// Volume is a directory or file of the host that the container sees.
type Volume struct {
	Source      string  `json:"source"`      // absolute, symbolic links resolved
	Destination string  `json:"destination"` // in the container
	ReadOnly    bool    `json:"read_only,omitempty"`
	Relabel     Relabel `json:"relabel,omitempty"`
	Chown       bool    `json:"chown,omitempty"`  // :U
	Holder      string  `json:"holder,omitempty"` // whose private volume it is, or whose label it carries, if another's: "container ID"
	HolderLevel string  `json:"holder_level,omitempty"`
	Own         bool    `json:"own,omitempty"` // it carries the pair that the container was given by name: whoever gave it has labelled it
}

// Relabel is what :z and :Z ask for.
type Relabel string

// The two kinds, beside none.
const (
	RelabelShared  Relabel = "shared"  // :z
	RelabelPrivate Relabel = "private" // :Z
)

// UnavailableError says that a layer was asked for by name and this kernel cannot hold it. Exit status 3.
type UnavailableError struct {
	Layer, Reason, Hint string
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%s: %s", e.Layer, e.Reason) }

// RefusedError says that the request would harm the host or another container. Exit status 4.
type RefusedError struct {
	Subject, Reason, Hint string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s: %s", e.Subject, e.Reason) }
