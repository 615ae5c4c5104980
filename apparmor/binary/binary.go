// SPDX-License-Identifier: Apache-2.0

// Package binary reads and writes compiled AppArmor policy, the stream of tagged items that the kernel takes in .load and .replace
// (security/apparmor/policy_unpack.c).
package binary

import "github.com/bulkhead-project/bulkhead/apparmor/dfa"

// Policy is one stream: the profiles of one load, in their order.
type Policy struct {
	Namespace string // "" for the loader's own; the kernel takes one namespace in a stream
	Profiles  []*Profile
}

// Version is the header's word.
type Version struct {
	Kernel        int // 5 to 9: the kernel ABI of what follows
	ForceComplain bool
	Parser        int // ABI of the parser, 2 of today's
	Policy        int // 2 of today's
}

// The modes of a profile in the stream.
const (
	ModeEnforce    = 0
	ModeComplain   = 1
	ModeKill       = 2
	ModeUnconfined = 3
	ModeUser       = 4 // prompt
)

// The path flags.
const (
	PathAttachDisconnected = 0x4
	PathChrootRelative     = 0x8
	PathChrootAttach       = 0x10
	PathAttachIPC          = 0x20
	PathMediateDeleted     = 0x10000
)

// Profile is one profile. A child or a hat is a profile of its own, named parent//child.
type Profile struct {
	Version         Version
	Name            string
	Rename          string
	Attachment      string // only shown by the kernel
	XMatch          *Rules // nil: no attachment but by name
	XMatchLength    uint32 // bytes that surely match: the longest wins
	Disconnected    string
	DisconnectedIPC string
	KillSignal      uint32 // 0: not in the stream
	Error           uint32
	Hat             bool
	Mode            uint32
	Audit           bool
	PathFlags       uint32
	Capabilities    Capabilities
	XAttrs          []string
	Rlimits         *Rlimits
	NetworkAllowed  [][3]uint16 // by address family, kernels before network_v8; nil: not in the stream
	Secmarks        []Secmark
	PolicyDB        *Rules // nil: nothing but files and capabilities is mediated
	File            *Rules
	Data            []Datum
}

// Capabilities are bits by capability number.
type Capabilities struct {
	Allow, Audit, Quiet uint64
	Extended            uint64 // capsx of newer kernels: 0 where not there
	HasExtended         bool
}

// Rlimits are hard limits by the kernel's RLIMIT numbers.
type Rlimits struct {
	Mask   uint32
	Values [16]uint64
}

// Secmark is one secmark rule.
type Secmark struct {
	Audit, Deny uint8
	Label       string
}

// Datum is one key of the data section.
type Datum struct {
	Key   string
	Value []byte
}

// Rules are an automaton and what its accept words refer to.
type Rules struct {
	Automaton   *dfa.Automaton
	Raw         []byte       // the tables as they were decoded; Encode writes these where they are set, the automaton's own otherwise
	Permissions []Permission // nil: permissions are in the accept words (v5 to v8)
	PermsV      uint32       // "permsv", 0: not there
	TableV      uint32       // version of the permission table
	Start       uint32       // 0: not in the stream, 1 then
	DFAStart    uint32       // 0: not in the stream
	Targets     []string     // xtable, exec targets from index 4 on; a string may hold NULs as the stream has them
}

// Permission is one row of a permission table.
type Permission struct {
	Allow, Deny, Subtree, Cond, Kill, Complain, Prompt, Audit, Quiet, Hide, XIndex, Tag, Label uint32
}

// Decode reads a stream and checks it as the kernel would: what Decode takes, the kernel takes (of the versions 5 to 9).
func Decode(stream []byte) (*Policy, error) { panic("being written") }

// Encode writes the stream that Decode reads: one stream for one write to .load or .replace.
func Encode(p *Policy) ([]byte, error) { panic("being written") }
