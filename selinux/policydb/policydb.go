// SPDX-License-Identifier: Apache-2.0

// Package policydb reads and writes the binary policy that the kernel loads, and answers from it what the kernel's security server would.
//
// The format is the one of security/selinux/ss/policydb.c, versions 24 to 35, and the answers are those of ss/services.c. What is read keeps its order,
// so that it is written back to the same bytes.
package policydb

import "sync"

// The versions that are read and written. The kernel's names for what came with each are beside the fields.
const (
	MinimumVersion = 24
	MaximumVersion = 35
)

const (
	versionFilenameTransitions = 25
	versionRoleTransitionClass = 26
	versionObjectDefaults      = 27
	versionTypeDefault         = 28
	versionConstraintNames     = 29
	versionInfiniband          = 31
	versionCompressedFilenames = 33
	versionNeverAudit          = 35
)

// UnknownPermissions is what the kernel does with classes and permissions of its own that the policy does not know.
type UnknownPermissions uint32

// The settings; bits of the header's configuration.
const (
	DenyUnknown   UnknownPermissions = 0
	RejectUnknown UnknownPermissions = 2
	AllowUnknown  UnknownPermissions = 4
)

// Policy is one binary policy. Values of symbols count from 1; Bitmaps of them have value less 1. It may be asked from several goroutines at once, and is not to
// be changed after the first question but by SetBooleans.
type Policy struct {
	Version      uint32
	MLS          bool
	Unknown      UnknownPermissions
	Capabilities Bitmap // by the kernel's numbers
	Permissive   Bitmap // by type value (not less 1)
	NeverAudit   Bitmap // the same

	Commons     Symbols[Common]
	Classes     Symbols[Class]
	Roles       Symbols[Role]
	Types       Symbols[Type]
	Users       Symbols[User]
	Booleans    Symbols[Boolean]
	Levels      Symbols[Sensitivity]
	Categories  Symbols[Category]
	Rules       []Rule
	Conditions  []Condition
	RoleChanges []RoleTransition
	RoleAllows  []RoleAllow
	Filenames   []FilenameTransition
	Objects     ObjectContexts
	Filesystems []GenericFilesystem
	RangeRules  []RangeTransition
	Attributes  []Bitmap // of each type, by value less 1: itself and the attributes that it has

	found   sync.Once
	symbols names
	ready   sync.Mutex
	current *engine
}

// Symbols is one symbol table, in the order of the file, which is that of its hash table.
type Symbols[T any] struct {
	Primary uint32 // the highest value
	Entries []T
}

// Permission is one permission of a class or a common; its bit is 1 << (Value-1).
type Permission struct {
	Name  string
	Value uint32
}

// Common is a set of permissions that classes share.
type Common struct {
	Name        string
	Value       uint32
	Permissions Symbols[Permission]
}

// Class is a kind of object.
type Class struct {
	Name        string
	Value       uint32
	Common      string // "" for none; its permissions come before the class's own
	Permissions Symbols[Permission]
	Constraints []Constraint
	Transitions []Constraint // validatetrans; Permissions is unused
	// What a new object's context takes from the source or the target (version 27 and 28 on); 0: by the class's own rule.
	DefaultUser, DefaultRole, DefaultRange, DefaultType uint32
}

// Constraint is a condition that must hold for the permissions, in postfix order.
type Constraint struct {
	Permissions uint32
	Expression  []Term
}

// Term is one operator or operand of a constraint's expression.
type Term struct {
	Kind      uint32 // TermNot ... TermNames
	Attribute uint32 // what is compared, for TermAttributes and TermNames
	Operator  uint32
	Names     Bitmap // of TermNames: users, roles or types, attributes expanded
	Types     TypeSet
}

// TypeSet is how the names of a term were written (version 29 on); only for showing.
type TypeSet struct {
	Types, Negated Bitmap
	Flags          uint32
}

// Role is a role.
type Role struct {
	Name      string
	Value     uint32
	Bounds    uint32 // value of the bounding role, 0 for none
	Dominates Bitmap
	Types     Bitmap
}

// Properties of a type.
const (
	TypePrimary   = 1
	TypeAttribute = 2
)

// Type is a type, an attribute or an alias: an alias has another's value and is not primary.
type Type struct {
	Name       string
	Value      uint32
	Properties uint32
	Bounds     uint32 // value of the bounding type, 0 for none
}

// User is a SELinux user.
type User struct {
	Name    string
	Value   uint32
	Bounds  uint32
	Roles   Bitmap
	Range   Range
	Default Level
}

// Boolean is a conditional boolean.
type Boolean struct {
	Name  string
	Value uint32
	State uint32
}

// Sensitivity is a sensitivity with the categories that may go with it.
type Sensitivity struct {
	Name  string
	Alias uint32
	Level Level
}

// Category is a category.
type Category struct {
	Name  string
	Value uint32
	Alias uint32
}

// Level is a sensitivity (its value) and categories (their values less 1).
type Level struct {
	Sensitivity uint32
	Categories  Bitmap
}

// Range is a low and a high level. Single says that the file has one level for both.
type Range struct {
	Low, High Level
	Single    bool
}

// Context is a security context by values.
type Context struct {
	User, Role, Type uint32
	Range            Range
}

// Kinds of rules: the specified field of the access vector table.
const (
	RuleAllow          = 0x0001
	RuleAuditAllow     = 0x0002
	RuleAuditDeny      = 0x0004 // a dontaudit rule: the permissions that are *not* in Data are not audited
	RuleTransition     = 0x0010
	RuleMember         = 0x0020
	RuleChange         = 0x0040
	RuleAllowExtended  = 0x0100
	RuleAuditExtended  = 0x0200
	RuleSilentExtended = 0x0400

	ruleAccess   = RuleAllow | RuleAuditAllow | RuleAuditDeny
	ruleTypes    = RuleTransition | RuleMember | RuleChange
	ruleExtended = RuleAllowExtended | RuleAuditExtended | RuleSilentExtended
	ruleEnabled  = 0x8000 // of conditional rules, as the file has it
)

// Rule is one entry of the access vector table.
type Rule struct {
	Source, Target, Class, Kind uint16
	Data                        uint32    // permissions, or the type of RuleTransition, RuleMember and RuleChange
	Extended                    *Extended // of the three extended kinds
}

// Extended are extended permissions: ioctl commands or netlink message types.
type Extended struct {
	Kind   uint8 // 1: functions of one driver, 2: whole drivers, 3: netlink messages
	Driver uint8
	Bits   [8]uint32
}

// Condition is a conditional expression over booleans, in postfix order, with the rules of both branches.
type Condition struct {
	State       uint32 // of the expression, as the file has it
	Expression  []ConditionTerm
	True, False []Rule
}

// ConditionTerm is one operator or one boolean (by value) of a condition.
type ConditionTerm struct{ Kind, Boolean uint32 }

// RoleTransition gives a new process, or an object of the class, another role.
type RoleTransition struct{ Role, Type, NewRole, Class uint32 }

// RoleAllow lets a process change from a role to another.
type RoleAllow struct{ Role, NewRole uint32 }

// FilenameTransition gives an object of that name a type. Before version 33 Sources has one bit.
type FilenameTransition struct {
	Name          string
	Target, Class uint32
	Results       []FilenameResult
}

// FilenameResult is the type for the sources.
type FilenameResult struct {
	Sources Bitmap // of versions before 33: one bit
	Type    uint32
}

// ObjectContexts are the contexts of what the kernel names itself.
type ObjectContexts struct {
	Initial         []InitialSID
	Filesystems     []NamedContexts // fscon
	Ports           []Port
	Interfaces      []NamedContexts
	Nodes           []Node
	FilesystemUses  []FilesystemUse
	Nodes6          []Node6
	InfinibandKeys  []InfinibandKey
	InfinibandPorts []InfinibandPort
}

// InitialSID is the context of an initial SID.
type InitialSID struct {
	SID     uint32
	Context Context
}

// NamedContexts are the two contexts of a network interface (itself, packets) or of a file system.
type NamedContexts struct {
	Name          string
	First, Second Context
}

// Port is a range of ports of a protocol (IPPROTO_*).
type Port struct {
	Protocol, Low, High uint32
	Context             Context
}

// Node is an IPv4 network, in the byte order of the network.
type Node struct {
	Address, Mask uint32
	Context       Context
}

// Node6 is an IPv6 network, in the byte order of the network.
type Node6 struct {
	Address, Mask [4]uint32
	Context       Context
}

// FilesystemUse says how a file system's objects get their labels.
type FilesystemUse struct {
	Behavior uint32 // 1 xattr, 2 trans, 3 task
	Name     string
	Context  Context
}

// InfinibandKey is a range of partition keys.
type InfinibandKey struct {
	Prefix    uint64
	Low, High uint32
	Context   Context
}

// InfinibandPort is a port of a device.
type InfinibandPort struct {
	Device  string
	Port    uint32
	Context Context
}

// GenericFilesystem are the genfscon rules of a file system.
type GenericFilesystem struct {
	Name  string
	Paths []GenericPath
}

// GenericPath is the context below a path, of a class or (0) of all.
type GenericPath struct {
	Path    string
	Class   uint32
	Context Context
}

// RangeTransition gives a new process, or an object of the class, another range.
type RangeTransition struct {
	Source, Target, Class uint32
	Range                 Range
}
