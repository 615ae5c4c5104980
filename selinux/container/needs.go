// SPDX-License-Identifier: Apache-2.0

package container

import "fmt"

// Needs is what one container needs of its domain, as its configuration says.
type Needs struct {
	Name         string   // of the block: a letter, then letters, digits and "_"
	Origin       string   // what it was made from, for the first line of the text
	Mounts       []Mount  // in the order of the configuration
	Devices      []Device // that the OCI runtime makes nodes for
	Ports        []Port   // that the container listens on
	Capabilities []string // lower case, without cap_
	// UserNamespace: the capabilities hold in a user namespace of the container's own.
	UserNamespace bool
	// WritableCgroup: a cgroup tree is mounted for the container to manage.
	WritableCgroup bool
}

// Mount is a file or directory of the host that the container sees.
type Mount struct {
	Source, Destination string
	Class               string // of the source, by SELinux's name: dir, file, lnk_file, sock_file, fifo_file, chr_file, blk_file
	Label               string // of the source; the context of a file with none that anybody knows is ""
	ReadOnly            bool
	Executable          bool // the mount's options say exec
}

// Device is a node that the OCI runtime makes in the container's /dev.
type Device struct {
	Path  string
	Block bool
	Label string // of the host's own node of that path, "" where there is none
}

// Port is a port that the container listens on, in its own numbering.
type Port struct {
	Number   uint16
	Protocol string // tcp, udp, sctp or dccp
}

func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// Domain is what was generated.
type Domain struct {
	Type string // NAME.process, for --security-opt label=type:
	Text []byte // one module in CIL, whole in itself
}

// RefusedError is a need that would hand a part of the host to the container.
type RefusedError struct {
	Need   string // "mount /etc/shadow on /x"
	Reason string
	Always bool // force does not help
}

func (e *RefusedError) Error() string { return e.Need + ": " + e.Reason }
