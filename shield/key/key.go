// SPDX-License-Identifier: Apache-2.0

// Package key holds what opens a volume of the shield: its header file, in which the master key lies sealed in slots, one for each key file, passphrase,
// age recipient or TPM that may open it.
//
//	header, master, err := key.Create(key.Encrypted, key.AnchorFile, wrapper...)   // a new volume: its master key is in master and in each wrapper's slot
//	header, err := key.ReadFile(directory)                                          // of a volume that there is
//	unlocked, err := header.Unlock(opener...)                                       // the first slot that one of them opens
//	err = header.Add(master, wrapper); err = header.Remove(master, 2)               // other keys, same data
//
// The header is text, one statement a line, described at Parse. It is hostile until the master key has confirmed it: sizes and costs are bounded, and Unlock compares the
// header's authentication code before it returns the key. What it cannot see is an older header with its own slots: whoever kept a copy of one, and a key that it was
// sealed for, opens the volume still, as with every format that keeps a master key in slots. A key that was stolen is answered with a new volume.
package key

import (
	"fmt"
	"strings"
)

// Version is the format of volumes that this package writes and reads. It stands for the ciphers too: AES-256-GCM, HKDF and HMAC with SHA-256.
const Version = 1

// MasterSize is how long the master key is, in bytes.
const MasterSize = 32

// Policy is what a volume does for its content. The numbers are part of the format: keys of the volume are derived from them.
type Policy uint8

// Policies.
const (
	Encrypted     Policy = 1 // unreadable and tamper-evident
	Authenticated Policy = 2 // readable in the backing store, and tamper-evident
	Ephemeral     Policy = 3 // encrypted under a key that is stored nowhere
)

func policyNames() []string { return []string{"", "encrypted", "authenticated", "ephemeral"} }

func (p Policy) String() string { return nameOf(policyNames(), int(p)) }

// ParsePolicy reads a policy's name.
func ParsePolicy(name string) (Policy, error) {
	number, err := numberOf(policyNames(), "policy", name)
	return Policy(number), err
}

// Anchor says where the freshness of a volume is kept, outside of it: what tells the newest state from an older copy of the whole volume.
type Anchor uint8

// Anchors.
const (
	AnchorNone Anchor = 1 // nowhere: an older copy of the whole volume is taken for the volume
	AnchorFile Anchor = 2 // a file of the host
	AnchorTPM  Anchor = 3 // the file, and a counter in a TPM that no copy of the file goes back behind
)

func anchorNames() []string { return []string{"", "none", "file", "tpm"} }

func (a Anchor) String() string { return nameOf(anchorNames(), int(a)) }

// ParseAnchor reads an anchor's name.
func ParseAnchor(name string) (Anchor, error) {
	number, err := numberOf(anchorNames(), "anchor", name)
	return Anchor(number), err
}

// Level is what vouches for the machine that a key was released to. Each includes those before it, and none is ever reported for what was not verified.
type Level uint8

// Levels.
const (
	LevelNone Level = iota // whoever has the key file, the passphrase or the identity
	LevelTPM               // the machine's TPM, in the measured state that the key was sealed to
	LevelCVM               // a confidential virtual machine, by its verified report
	LevelSGX               // an SGX enclave, by its verified quote
)

func levelNames() []string { return []string{"none", "tpm", "cvm", "sgx"} }

func (l Level) String() string { return nameOf(levelNames(), int(l)) }

// ParseLevel reads a level's name.
func ParseLevel(name string) (Level, error) {
	for number, known := range levelNames() {
		if known == name {
			return Level(number), nil
		}
	}
	return 0, fmt.Errorf("level %q: one of %s", name, strings.Join(levelNames(), ", "))
}

func nameOf(names []string, number int) string {
	if number < len(names) && names[number] != "" {
		return names[number]
	}
	return fmt.Sprint(number)
}

func numberOf(names []string, what, name string) (int, error) {
	for number, known := range names {
		if known == name && name != "" {
			return number, nil
		}
	}
	return 0, fmt.Errorf("%s %q: one of %s", what, name, strings.Join(names[1:], ", "))
}

// Fault is the kind of an Error.
type Fault uint8

// Faults.
const (
	NoVolume    Fault = iota + 1 // there is no header
	Damaged                      // the header is not as it was written
	Tampered                     // the header was changed by somebody who has no key of the volume
	Unsupported                  // of a format, or with a slot, that this version does not know
	NoSlot                       // no slot is for a key of this kind
	WrongKey                     // there are slots for keys of this kind, and none opens
	WrongState                   // the TPM keeps the key for another state of the machine
	NoKey                        // the volume's key is stored nowhere
	Refused                      // what was asked for would lose or weaken the volume
	Unavailable                  // the machine lacks what was asked for
)

// Error says why a volume could not be opened or changed, and what to do about it.
type Error struct {
	Fault  Fault
	Reason string
	Hint   string // what to do, or ""
	Err    error  // what it comes from, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

func (e *Error) Unwrap() error { return e.Err }
