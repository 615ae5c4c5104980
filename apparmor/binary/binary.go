// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// Policy is one stream: its profiles in their order.
type Policy struct {
	Profiles []*Profile
}

// Split parts the profiles by namespace, in the order in which the namespaces occur. The compiler's output may have several, but the kernel puts all
// profiles of one write into the namespace of the last.
func (p *Policy) Split() []*Policy {
	var parts []*Policy
	byName := map[string]*Policy{}
	for _, profile := range p.Profiles {
		part := byName[profile.Namespace]
		if part == nil {
			part = &Policy{}
			byName[profile.Namespace] = part
			parts = append(parts, part)
		}
		part.Profiles = append(part.Profiles, profile)
	}
	return parts
}

// Orphans are the profiles whose parents are not in the stream. Kernels up to 6.16 take them only where the parent is loaded already.
func (p *Policy) Orphans() []*Profile {
	type key struct{ namespace, name string }
	there := map[key]bool{}
	for _, profile := range p.Profiles {
		there[key{profile.Namespace, profile.Name}] = true
	}
	var orphans []*Profile
	for _, profile := range p.Profiles {
		if parent := profile.Parent(); parent != "" && !there[key{profile.Namespace, parent}] {
			orphans = append(orphans, profile)
		}
	}
	return orphans
}

// Version is the header's word.
type Version struct {
	Kernel        int // 5 to 9: the kernel ABI of what follows
	ForceComplain bool
	Parser        int // ABI of the parser, 2 of today's
	Policy        int // 2 of today's
}

// The parts of the header's word.
const (
	kernelMask    = 0x3ff
	forceComplain = 0x800
	parserShift   = 12
	parserMask    = 0xff
	policyShift   = 20
	policyMask    = 0xfff
	unknownBits   = 0x400
)

// The versions of the kernel ABI that kernels from 4.x on take.
const (
	oldestKernelABI = 5
	newestKernelABI = 9
)

// flagHat is in the first word of the flags.
const flagHat = 1

const (
	permissionVersion = 1 // of rows
	tagsVersion       = 1
)

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
	Namespace       string // "" for the loader's own
	Name            string
	Rename          string
	Attachment      string // only shown by the kernel
	XMatch          *Rules // nil: no attachment but by name
	XMatchLength    uint32 // bytes that surely match: the longest wins
	Disconnected    string
	DisconnectedIPC string
	KillSignal      uint32 // 0: not in the stream
	Error           uint32
	Flags           uint32 // flags beside Hat: the kernel's debugging
	Hat             bool
	Mode            uint32
	Audit           bool
	PathFlags       uint32
	HasPathFlags    bool // 0 in the stream is not none, which kernels read as PathMediateDeleted
	Capabilities    Capabilities
	XAttrs          []string
	Rlimits         *Rlimits
	NetworkAllowed  [][3]uint16 // by address family, kernels before network_v8; nil: not in the stream
	Secmarks        []Secmark
	PolicyDB        *Rules // nil: nothing but files and capabilities is mediated
	File            *Rules
	Data            []Datum
}

// Parent is the name of the profile that this one is a child or a hat of, "" for others.
func (p *Profile) Parent() string {
	if i := strings.LastIndex(p.Name, "//"); i >= 0 {
		return p.Name[:i]
	}
	return ""
}

// EffectivePathFlags are the path flags as kernels have them.
func (p *Profile) EffectivePathFlags() uint32 {
	if p.PathFlags == 0 && !p.HasPathFlags {
		return PathMediateDeleted
	}
	return p.PathFlags
}

// Capabilities are bits by capability number.
type Capabilities struct {
	Allow, Audit, Quiet uint64
	Unused              uint64 // the fourth word, which kernels read and forget
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
	Tags        *Tags        // nil: not in the stream
	Start       uint32       // 0: not in the stream, 1 then
	DFAStart    uint32       // 0: not in the stream
	Targets     []string     // xtable, exec targets from index 4 on; a string may hold NULs as the stream has them
}

// Permission is one row of a permission table.
type Permission struct {
	Reserved, Allow, Deny, Subtree, Cond, Kill, Complain, Prompt, Audit, Quiet, Hide, XIndex, Tag, Label uint32
}

// fields are the words of a row in the order of the stream.
func (p *Permission) fields() []*uint32 {
	return []*uint32{&p.Reserved, &p.Allow, &p.Deny, &p.Subtree, &p.Cond, &p.Kill, &p.Complain, &p.Prompt, &p.Audit, &p.Quiet, &p.Hide, &p.XIndex, &p.Tag, &p.Label}
}

// Tags are the names that the permission rows of newer kernels refer to (Permission.Tag), for what they log.
type Tags struct {
	Strings []string // a string may hold several names, each with its NUL
	Headers []TagHeader
	Sets    []uint32 // a count and that many indices into Headers, repeatedly
}

// TagHeader says which string has the tags of a set, and for which permissions.
type TagHeader struct {
	Mask, Count, Size, Tags uint32
}
