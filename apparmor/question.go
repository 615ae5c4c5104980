// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Question is one access that a confined process may try. Its String is in the words of ParseQuestion.
type Question interface {
	fmt.Stringer
	ask(d *decision)
}

// FileQuestion asks for a file by its path as the kernel names it: a directory ends in a slash.
type FileQuestion struct {
	Path   string
	Access string // of the letters r w a k l m x
	Owner  bool   // the process's fsuid owns the file
}

// ExecQuestion asks whether a program may be executed, and what it then runs under.
type ExecQuestion struct {
	Path  string
	Owner bool
}

// LinkQuestion asks for a new hard link at Link to the file Target.
type LinkQuestion struct {
	Link, Target string
	Owner        bool
}

// CapabilityQuestion asks for a capability, lower case and without CAP_.
type CapabilityQuestion struct{ Name string }

// NetworkQuestion asks for an operation on a socket; of AF_UNIX, UnixQuestion asks more closely.
type NetworkQuestion struct {
	Access       []string // create where there is none
	Family, Type string
	Protocol     uint16
}

// MountQuestion asks for a mount by the arguments of mount(2): the options tell a new mount from remount, bind, move and a change of propagation.
type MountQuestion struct {
	Source, Target string
	FSType         string
	Options        []string
	Data           string // what the file system itself takes
}

// UmountQuestion asks for umount(2).
type UmountQuestion struct{ Target string }

// PivotRootQuestion asks for pivot_root(2).
type PivotRootQuestion struct{ New, Old string }

// SignalQuestion asks for a signal to a peer (send) or from one (receive).
type SignalQuestion struct {
	Access string
	Signal string // name without SIG in lower case, exists for the signal 0, rtmin+N
	Peer   string // label
}

// PtraceQuestion asks for read, trace, readby or tracedby.
type PtraceQuestion struct{ Access, Peer string }

// UnixQuestion asks for an operation on a Unix socket.
type UnixQuestion struct {
	Access      string // create, bind, listen, accept, connect, send, receive, getattr, setattr, shutdown, getopt, setopt
	Type        string
	Protocol    uint16
	Address     string // of the own socket: @name, none, or a path; "" is none
	PeerAddress string
	PeerLabel   string
	Option      uint16 // of getopt and setopt
	Backlog     uint16 // of listen
}

// UsernsQuestion asks for a new user namespace.
type UsernsQuestion struct{}

// IOUringQuestion asks for sqpoll, or for override_creds with the label of the credentials.
type IOUringQuestion struct{ Access, Label string }

// MQueueQuestion asks for a message queue: a POSIX one by its name, a System V one by its key.
type MQueueQuestion struct {
	Access string // create, open, delete, read, write, getattr, setattr
	Name   string
	SysV   bool
	Label  string
}

// DBusQuestion asks what dbus-daemon asks the kernel about a message (send, receive), a name (bind) or eavesdropping.
type DBusQuestion struct {
	Access                             string
	Bus, Path, Interface, Member, Name string
	PeerName, PeerLabel                string
}

// ChangeProfileQuestion asks for aa_change_profile, or with OnExec for aa_change_onexec and the exec of Exec, where it is set, behind it.
type ChangeProfileQuestion struct {
	Target string // a label; &label stacks
	OnExec bool
	Exec   string
}

// RlimitQuestion asks for a hard limit.
type RlimitQuestion struct {
	Resource string
	Value    uint64
}

// words joins what is not empty.
func words(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), " ")
}

func pair(key, value string) string {
	if value == "" {
		return ""
	}
	return key + "=" + quoteWord(value)
}

// quoteWord quotes what would not be read back as one word.
func quoteWord(word string) string {
	if word == "" || strings.ContainsAny(word, " \t\n\",()=") {
		return strconv.Quote(word)
	}
	return word
}

func ifTrue(is bool, word string) string {
	if is {
		return word
	}
	return ""
}

func (q FileQuestion) String() string {
	return words(ifTrue(q.Owner, "owner"), "file", quoteWord(q.Path), q.Access)
}

func (q ExecQuestion) String() string {
	return words(ifTrue(q.Owner, "owner"), "exec", quoteWord(q.Path))
}

func (q LinkQuestion) String() string {
	return words(ifTrue(q.Owner, "owner"), "link", quoteWord(q.Link), "->", quoteWord(q.Target))
}

func (q CapabilityQuestion) String() string { return "capability " + q.Name }

func (q NetworkQuestion) String() string {
	return words("network", list(q.Access), q.Family, q.Type, ifTrue(q.Protocol != 0, "protocol="+strconv.Itoa(int(q.Protocol))))
}

// list is one word as it is and several as (a b).
func list(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return "(" + strings.Join(items, ",") + ")"
}

func (q MountQuestion) String() string {
	options := ""
	if len(q.Options) > 0 {
		options = "options=" + list(q.Options)
	}
	return words("mount", pair("fstype", q.FSType), options, pair("data", q.Data), q.Source, "->", quoteWord(q.Target))
}

func (q UmountQuestion) String() string { return "umount " + quoteWord(q.Target) }

func (q PivotRootQuestion) String() string {
	return words("pivot_root", pair("oldroot", q.Old), quoteWord(q.New))
}

func (q SignalQuestion) String() string {
	return words("signal", q.Access, q.Signal, pair("peer", q.Peer))
}

func (q PtraceQuestion) String() string { return words("ptrace", q.Access, pair("peer", q.Peer)) }

func (q UnixQuestion) String() string {
	peer := words(pair("addr", q.PeerAddress), pair("label", q.PeerLabel))
	return words("unix", q.Access, pair("type", q.Type), ifTrue(q.Protocol != 0, "protocol="+strconv.Itoa(int(q.Protocol))), pair("addr", q.Address),
		ifTrue(q.Option != 0, "opt="+strconv.Itoa(int(q.Option))), ifTrue(q.Backlog != 0, "backlog="+strconv.Itoa(int(q.Backlog))),
		ifTrue(peer != "", "peer=("+peer+")"))
}

func (q UsernsQuestion) String() string { return "userns create" }

func (q IOUringQuestion) String() string { return words("io_uring", q.Access, pair("label", q.Label)) }

func (q MQueueQuestion) String() string {
	return words("mqueue", q.Access, ifTrue(q.SysV, "type=sysv"), pair("label", q.Label), quoteWord(q.Name))
}

func (q DBusQuestion) String() string {
	peer := words(pair("name", q.PeerName), pair("label", q.PeerLabel))
	return words("dbus", q.Access, pair("bus", q.Bus), pair("path", q.Path), pair("interface", q.Interface), pair("member", q.Member), pair("name", q.Name),
		ifTrue(peer != "", "peer=("+peer+")"))
}

func (q ChangeProfileQuestion) String() string {
	return words("change_profile", ifTrue(q.OnExec, "onexec"), q.Exec, ifTrue(q.Exec != "", "->"), quoteWord(q.Target))
}

func (q RlimitQuestion) String() string {
	return words("rlimit", q.Resource, strconv.FormatUint(q.Value, 10))
}
