// SPDX-License-Identifier: Apache-2.0

// Package wire is what the host and the guest say to each other over one
// virtio-serial port: frames of a kind byte, a little-endian uint32 length and
// that many bytes. The guest says Ready when it is booted, the host answers
// with a Job, the guest streams Stdout, Stderr and File frames and ends with
// Exit. The job's files are on the disk, see package cpio.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Port is the name of the virtio-serial port.
const Port = "bulkhead"

// SetupPath is where the initramfs holds the Setup, PolicyPath the SELinux policy.
const (
	SetupPath  = "/bulkhead/setup.json"
	PolicyPath = "/bulkhead/policy"
)

// MaxFrame bounds the payload of a frame, in bytes.
const MaxFrame = 256 << 20

// Kind says what a frame holds.
type Kind byte

const (
	KindReady  Kind = 'r' // empty
	KindJob    Kind = 'j' // Job
	KindStdout Kind = 'o' // raw bytes
	KindStderr Kind = 'e' // raw bytes
	KindFile   Kind = 'f' // File
	KindExit   Kind = 'x' // Exit
)

// Setup is what the guest does before its state is saved.
type Setup struct {
	Modules []string // files in the initramfs, in the order of loading
	SELinux bool     // load the policy and enforce it
}

// Job is one command to run in a restored guest.
type Job struct {
	Command []string
	Env     []string
	Dir     string
	Label   string        // SELinux context of the command; "" keeps that of PID 1
	Collect []string      // files and directories to send back
	Timeout time.Duration // then SIGQUIT, and SIGKILL a little later
	Now     time.Time     // the guest's clock stood still while it was saved
	Seed    []byte        // entropy: all guests start from the same random state
}

// File is one regular file that was asked for in Collect.
type File struct {
	Path string
	Data []byte
}

// Exit is the end of a job. Code is that of the command, or 128 plus the signal
// that killed it. Error says why the command could not be run or was killed.
type Exit struct {
	Code     int
	TimedOut bool
	Error    string
}

// Write sends one frame.
func Write(output io.Writer, kind Kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("frame %q: %d bytes are more than %d", kind, len(payload), MaxFrame)
	}
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = byte(kind)
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(payload)))
	if _, err := output.Write(append(frame, payload...)); err != nil {
		return fmt.Errorf("frame %q: %w", kind, err)
	}
	return nil
}

// WriteValue sends value as JSON.
func WriteValue(output io.Writer, kind Kind, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("frame %q: %w", kind, err)
	}
	return Write(output, kind, payload)
}

// Read receives one frame. It returns io.EOF when the other side has ended
// between two frames.
func Read(input io.Reader) (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(input, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(head[0]), binary.LittleEndian.Uint32(head[1:])
	if size > MaxFrame {
		return 0, nil, fmt.Errorf("frame %q: %d bytes are more than %d", kind, size, MaxFrame)
	}
	payload, err := io.ReadAll(io.LimitReader(input, int64(size)))
	if err == nil && len(payload) < int(size) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("frame %q: %d of %d bytes: %w", kind, len(payload), size, err)
	}
	return kind, payload, nil
}

// ReadValue receives one frame, which must be of the wanted kind, into value.
func ReadValue(input io.Reader, want Kind, value any) error {
	kind, payload, err := Read(input)
	if err != nil {
		return err
	}
	if kind != want {
		return fmt.Errorf("frame %q where %q was expected", kind, want)
	}
	if err := json.Unmarshal(payload, value); err != nil {
		return fmt.Errorf("frame %q: %w", kind, err)
	}
	return nil
}
