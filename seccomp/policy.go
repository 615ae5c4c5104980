// SPDX-License-Identifier: Apache-2.0

// Package seccomp makes filters of system calls: it reads the profiles that Docker and Podman users write and engines put into a config.json
// (Parse), says what they mean for one container on one machine (Resolve), compiles that to the program that the kernel runs (Compile),
// and proves that the program means the same.
//
// Source of the data of Docker's default profile: github.com/moby/profiles.
package seccomp

import "github.com/bulkhead-project/bulkhead/seccomp/syscalls"

// Action is what the kernel does with a call: a SECCOMP_RET_* value with its data (errno, trace message) in the low 16 bits.
type Action uint32

// The actions of seccomp(2).
const (
	KillProcess Action = 0x80000000
	KillThread  Action = 0x00000000
	Trap        Action = 0x00030000
	Errno       Action = 0x00050000
	Notify      Action = 0x7fc00000
	Trace       Action = 0x7ff00000
	Log         Action = 0x7ffc0000
	Allow       Action = 0x7fff0000
)

// Operator compares an argument with a value.
type Operator uint8

// The operators of an OCI profile (SCMP_CMP_*).
const (
	NotEqual Operator = iota + 1
	Less
	LessEqual
	Equal
	GreaterEqual
	Greater
	MaskedEqual // argument & Mask == Value
)

// Condition is one comparison of one argument.
type Condition struct {
	Index int // of the argument, 0 to 5
	Op    Operator
	Value uint64
	Mask  uint64 // of MaskedEqual
	Width int    // bits that are compared: 0 = as many as the kernel reads, with its sign; 32 or 64 = so many, unsigned
}

// Rule is what a policy says of some calls. Where several rules of a call hold, the strictest action wins, as among the filters of a process; but of those
// without conditions only the first counts, as with libseccomp.
type Rule struct {
	Names      []string // of system calls, as the kernel spells them
	Action     Action
	Conditions []Condition // all have to hold
	Place      Place
}

// Place is where a rule stands in the text that it was read from: line and column from 1; 0 = the text is not at hand.
type Place struct{ Line, Column int }

// Policy is a profile as it applies to one container: its conditions on capabilities, architecture and kernel are resolved.
type Policy struct {
	Default Action
	ABIs    []*syscalls.ABI // the native one first; calls by any other way end the thread
	Rules   []Rule
	// Newest is the first kernel of the newest call that the profile names anywhere: calls that are newer answer ENOSYS, so that a C library
	// falls back, unless the default action lets them pass.
	Newest           syscalls.Version
	Flags            Flags
	ListenerPath     string
	ListenerMetadata string
}

// Flags are those of seccomp(2), SECCOMP_FILTER_FLAG_*.
type Flags uint32

// The flags that a profile may name.
const (
	FlagSync             Flags = 1 << 0
	FlagLog              Flags = 1 << 1
	FlagSpecAllow        Flags = 1 << 2
	FlagNewListener      Flags = 1 << 3
	FlagWaitKillableRecv Flags = 1 << 5
)
