// SPDX-License-Identifier: Apache-2.0

// Package process is how the shield process, cmd/bulkhead-shield, is spoken to: what it is given when it starts and what it answers. It needs neither arguments nor
// environment, and everything that it opens is opened for it, so that its domain may be closed.
//
// On the control socket, its creator sends a Setup and the master key; the process answers with one Reply, or in verification with several. Then the creator puts the
// mount where it belongs and sends one byte. A creator that ends before that takes the process with it; after it, the process lives as long as the mount.
package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Descriptors of the process, besides standard error. Those that a Setup does not need are /dev/null.
const (
	Control = 3 + iota // a socket to its creator
	Image              // the volume's blocks, open for reading and writing
	Anchor             // the file of the volume's freshness anchor, locked
	Report             // a file for Status
	Device             // of the FUSE mount
	TPM                // the device of a TPM
)

// Anchors of Setup, as package key numbers them.
const (
	AnchorNone = 1 // and no descriptor
	AnchorFile = 2
	AnchorTPM  = 3
)

// MasterSize is how many bytes follow a Setup: the master key. As many follow it with AnchorTPM: the password of its counter.
const MasterSize = 32

// Setup is what the process is to do.
type Setup struct {
	Verify         bool     `json:"verify,omitempty"`    // read every block instead of serving
	Ephemeral      bool     `json:"ephemeral,omitempty"` // make one and serve it; nothing is left of it afterwards
	ReadOnly       bool     `json:"read_only,omitempty"`
	AcceptRollback bool     `json:"accept_rollback,omitempty"` // take an older state than the anchor knows
	Version        uint8    `json:"version"`
	Policy         uint8    `json:"policy"`
	Volume         [16]byte `json:"volume"`
	Anchor         uint8    `json:"anchor"`
	Counter        uint32   `json:"counter,omitempty"` // handle of the TPM's counter
	Name           string   `json:"name"`              // directory of the volume, for messages
	Landlock       int      `json:"landlock"`          // ABI of the kernel; 0 where it has none
	Filter         []byte   `json:"filter"`            // seccomp: struct sock_filter, one after the other, as the kernel takes them
}

// Reply is what came of it.
type Reply struct {
	Ready bool   `json:"ready,omitempty"` // the mount is served; or, in verification, all was read
	Done  uint64 `json:"done,omitempty"`  // blocks read so far, in verification
	Total uint64 `json:"total,omitempty"`
	Error *Error `json:"error,omitempty"` // the process ends after it
}

// Error is why the volume cannot be used.
type Error struct {
	Kind   string `json:"kind"`   // as in package store: "tampered", "rolled back", "busy"...; "" for others
	Reason string `json:"reason"` // with the place
	Hint   string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Reason }

// Status is what a process reports of itself, for `bulkhead shield info` and `bulkhead why`.
type Status struct {
	PID       int               `json:"pid"`
	Name      string            `json:"name"` // directory of the volume
	Started   time.Time         `json:"started"`
	Ended     *time.Time        `json:"ended,omitempty"`        // nil while it serves
	Landlock  int               `json:"landlock"`               // ABI of the domain that it is in; 0 for none
	Locked    bool              `json:"locked"`                 // none of its memory reaches a swap device; otherwise only the master key
	Requests  map[string]uint64 `json:"requests"`               // answered, by the kernel's name of the request
	Failed    uint64            `json:"failed"`                 // requests that were answered with EIO
	Failures  []Failure         `json:"failures,omitempty"`     // the first of them
	CloseFail string            `json:"close_failed,omitempty"` // what went wrong when the volume was closed
}

// Failure is a request that was answered with EIO: damage, tampering, or storage that is gone.
type Failure struct {
	Time      time.Time `json:"time"`
	Operation string    `json:"operation"` // the kernel's name of the request
	Inode     uint64    `json:"inode"`
	Reason    string    `json:"reason"`
}

// maximumMessage bounds a Setup or Reply, in bytes: a filter has at most 32 KiB, and base64 makes 4 bytes of 3.
const maximumMessage = 128 << 10

// Send writes one message: its length in four bytes, big endian, and JSON.
func Send(to io.Writer, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(text) > maximumMessage {
		return fmt.Errorf("message of %d bytes", len(text))
	}
	_, err = to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// ErrEnded says that the other end is gone.
var ErrEnded = errors.New("the other end of the control socket is gone")

// Receive reads one message.
func Receive(from io.Reader, message any) error {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return ErrEnded
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maximumMessage {
		return fmt.Errorf("message of %d bytes", length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(from, text); err != nil {
		return ErrEnded
	}
	return json.Unmarshal(text, message)
}
