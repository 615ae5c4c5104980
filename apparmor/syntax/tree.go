// SPDX-License-Identifier: Apache-2.0

// Package syntax reads the AppArmor policy language, apparmor.d(5) as of AppArmor 4.x and 5.x, into a tree.
//
//	policy, err := syntax.Parse("usr.bin.foo", text, syntax.Options{Files: os.DirFS("/")})
//
// The error is source.Diagnostics: every bad rule with its file, line and column, and what would have been right there. Included files stand in
// positions as themselves. Format writes a tree as text again, an Expander says what the variables in its words stand for.
//
// The language is what apparmor_parser 4.1 accepts, checked with its own tests and by changing them at random. It is stricter in these:
//
//   - a statement ends in the file in which it begins, and an include stands between statements, not within one;
//   - lists have at least one member: "signal ()," and "flags=()" are errors;
//   - a path begins with / or a variable: "foo r," and "link /a -> b," could never match anything;
//   - "-> target" goes with px, cx and their fallbacks, and with leading l; other permissions have none. Behind a trailing l, which in-use
//     policies have, it is a warning, because the tool passes over it;
//   - owner within other and the reverse, which would leave no access at all;
//   - an attachment by a variable must be an absolute path for each value, and fstype=a,b is no list: both are what the tests of the tool
//     want and the tool does not do;
//   - peer=() of dbus and network has only the conditions that are documented;
//   - variables in -> targets must be set;
//   - PROFILE^HAT without "profile" before it is the hat of old that it looks like, and an error, as the tests of the tool want;
//   - values of limits that do not fit in 64 bits;
//   - what a block denies stays denied within it, and "audit { deny ... }" is denied: 4.1.0 makes an allow rule of it.
//
// It takes more in these: "and", "or" and parentheses in conditions, variables of a profile, attach_disconnected.ipc, @{attach_path} and
// @{exec_path} (5.x); quiet and kill as qualifiers; "," before a } of its line; comments that begin with "#include" and a letter.
package syntax

import "github.com/bulkhead-project/bulkhead/source"

// Policy is what one policy file and the files that it includes define. Includes are resolved and conditionals decided: what a false condition
// leaves out is checked and not in the tree. Patterns still have their variables, which Expand replaces.
type Policy struct {
	ABI       *Reference // of the first abi rule, nil where there is none
	Variables map[string]*Variable
	Booleans  map[string]bool
	Aliases   []Alias
	Profiles  []*Profile // at the top of the file, in their order
	Files     []string   // every file that was read, in the order of the first reading
	Warnings  source.Diagnostics
}

// Reference names a file: an absolute path, or one under a directory of the search path.
type Reference struct {
	Position source.Position
	Path     string
	Magic    bool // <path>: searched for under the include directories
}

// Variable is a set variable, @{name}. It holds the words of = and +=, unexpanded, in their order.
type Variable struct {
	Position source.Position
	Name     string // without @{ and }
	Values   []Word
}

// Alias maps paths that begin with From to To.
type Alias struct {
	Position source.Position
	From, To string
}

// Word is one string of the text, without its quotation marks and with the text's own escapes still in it (they belong to the pattern).
type Word struct {
	Position source.Position
	Text     string
	Quoted   bool
}

// Profile is a profile, a child profile or a hat.
type Profile struct {
	Position   source.Position
	Keyword    bool   // declared with "profile" (or "hat")
	Namespace  string // of :namespace:name or :namespace://name; "" for the loader's own
	Name       Word   // without the namespace; may hold variables
	Attachment *Word  // nil: none of its own (the name is the attachment where it begins with / or a variable and "profile" was not written)
	XAttrs     []XAttr
	Flags      Flags
	Hat        bool
	Parent     *Profile
	Variables  map[string]*Variable // of the profile's own, which hide those of the file
	Rules      []Rule               // in their order, those of includes in their place
	Children   []*Profile           // child profiles and hats
}

// XAttr is a condition of the attachment: the extended attribute's value must match.
type XAttr struct {
	Position source.Position
	Name     string
	Value    Word
}

// Mode is what the kernel does with what no rule allows.
type Mode int

// The modes by their keywords.
const (
	Enforce Mode = iota
	Complain
	Kill
	Unconfined
	Prompt
	DefaultAllow
)

// Flags are the profile's flags=(...).
type Flags struct {
	Position            source.Position
	Mode                Mode
	Audit               bool
	MediateDeleted      bool
	AttachDisconnected  bool
	DisconnectedPath    string // of attach_disconnected.path=
	AttachIPC           bool   // attach_disconnected.ipc
	DisconnectedIPCPath string // of attach_disconnected.ipc=
	ChrootRelative      bool
	ChrootAttach        bool
	ChrootNoAttach      bool
	Debug               bool
	Interruptible       bool
	KillSignal          string // name without SIG, lower case; "" for the default
	Error               string // name of an errno, upper case; "" for the default
	DelegateDeleted     bool
	NamespaceRelative   bool
	NoAttachDisconnect  bool
}

// Rule is one rule of a profile.
type Rule interface {
	Head() *Qualifiers // never nil
}

// Qualifiers stand before a rule, or before a block of rules that then all have them.
type Qualifiers struct {
	Position    source.Position // of the rule's first word
	End         source.Position // just behind the rule's comma
	Priority    int             // -1000 to 1000
	HasPriority bool
	Audit       bool
	Deny        bool // quiet and kill are ways to deny
	Allow       bool // the word was written
	Quiet       bool
	KillTask    bool // access type kill
	Prompt      bool
	Owner       bool // the process's fsuid owns the object
	Other       bool // it does not
}

// Head returns the qualifiers themselves, for the types that embed them.
func (q *Qualifiers) Head() *Qualifiers { return q }

// FilePermissions are the simple letters of a file rule.
type FilePermissions struct {
	Read, Write, Append, Link, Lock, Map, Exec bool // Exec without a mode is the x of deny rules
}

// ExecMode is the transition of an x permission.
type ExecMode int

// The transitions; those with Fallback fall back to it where there is no profile to enter.
const (
	NoExec         ExecMode = iota
	ExecInherit             // ix
	ExecUnconfined          // ux
	ExecProfile             // px
	ExecChild               // cx
)

// Exec is how a file rule lets a program be executed.
type Exec struct {
	Mode     ExecMode
	Fallback ExecMode // NoExec, ExecInherit (pix, cix) or ExecUnconfined (pux, cux)
	Scrub    bool     // upper case: secure execution, the environment is scrubbed
	Target   *Word    // of ->, nil: the attachment decides
}

// FileRule is PATH PERMISSIONS [-> TARGET], or "file".
type FileRule struct {
	Qualifiers
	Path        *Word // nil: all files ("file,")
	Permissions FilePermissions
	Exec        Exec
}

// LinkRule is link [subset] LINK -> TARGET.
type LinkRule struct {
	Qualifiers
	Subset       bool
	Link, Target Word
}

// CapabilityRule names capabilities, all where there is none.
type CapabilityRule struct {
	Qualifiers
	Capabilities []Word // lower case, without CAP_
}

// NetworkRule is network [ACCESS] [DOMAIN] [TYPE|PROTOCOL] [local] [peer].
type NetworkRule struct {
	Qualifiers
	Access       []string // as written; nil: all
	Domain, Type string   // "" for every one
	Protocol     string
	Local        *NetworkAddress // nil: any
	Peer         *NetworkAddress
}

// NetworkAddress is the ip= and port= of one end.
type NetworkAddress struct {
	IP       string // "" for any, "none"
	Port     uint16
	PortHigh uint16 // Port where there is no range
	HasPort  bool
}

// Conditional is a key with its values: fstype=(a b), options in (ro, nodev).
type Conditional struct {
	Position source.Position
	Key      string
	In       bool // "in" instead of "="
	Values   []Word
}

// MountKind tells mount, remount and umount apart.
type MountKind int

// The kinds by their keywords.
const (
	Mount MountKind = iota
	Remount
	Umount
)

// MountRule is mount [CONDITIONS] [SOURCE] [-> MOUNTPOINT], remount or umount [CONDITIONS] [MOUNTPOINT].
type MountRule struct {
	Qualifiers
	Kind       MountKind
	Conditions []Conditional // fstype, vfstype, options, option
	Source     *Word
	MountPoint *Word
}

// PivotRootRule is pivot_root [oldroot=OLD] [NEW] [-> PROFILE].
type PivotRootRule struct {
	Qualifiers
	OldRoot, NewRoot, Profile *Word
}

// PtraceRule is ptrace [ACCESS] [peer=LABEL].
type PtraceRule struct {
	Qualifiers
	Access []string // read, trace, readby, tracedby; r, w, rw, write as written; nil: all
	Peer   *Word
}

// SignalRule is signal [ACCESS] [set=(SIGNALS)] [peer=LABEL].
type SignalRule struct {
	Qualifiers
	Access  []string
	Signals []Word // nil: all
	Peer    *Word
}

// UnixRule is unix [ACCESS] [type=] [protocol=] [addr= label= attr= opt=] [peer=(addr= label=)].
type UnixRule struct {
	Qualifiers
	Access                    []string
	Type, Protocol            []Word
	Address, Label, Attr, Opt *Word
	Peer                      bool // peer= was written
	PeerAddress, PeerLabel    *Word
}

// DBusRule is dbus [ACCESS] [bus=] [path=] [interface=] [member=] [name=] [peer=(name= label=)].
type DBusRule struct {
	Qualifiers
	Access                             []string
	Bus, Path, Interface, Member, Name *Word
	PeerName, PeerLabel                *Word
}

// UsernsRule is userns [create].
type UsernsRule struct {
	Qualifiers
	Access []string
}

// IOUringRule is io_uring [ACCESS] [label=LABEL].
type IOUringRule struct {
	Qualifiers
	Access []string // sqpoll, override_creds; nil: all
	Label  *Word
}

// MQueueRule is mqueue [ACCESS] [type=posix|sysv] [label=LABEL] [NAME].
type MQueueRule struct {
	Qualifiers
	Access []string
	Type   string // "", posix or sysv
	Label  *Word
	Name   *Word
}

// ChangeProfileRule is change_profile [safe|unsafe] [EXEC] [-> PROFILE].
type ChangeProfileRule struct {
	Qualifiers
	Mode   string // "", safe or unsafe
	Exec   *Word
	Target *Word
}

// RlimitRule is set rlimit NAME <= VALUE.
type RlimitRule struct {
	Qualifiers
	Resource string // the keyword: cpu, nofile ...
	Value    uint64 // in the unit of setrlimit(2); RLIM_INFINITY for infinity; nice as the kernel stores it
	Infinite bool
}

// AllRule is "all".
type AllRule struct {
	Qualifiers
}
