// SPDX-License-Identifier: Apache-2.0

// Package dac decides discretionary access control as the kernel does before it asks a security module: mode bits, POSIX access control lists, and the capabilities
// that override them. It follows generic_permission in fs/namei.c and posix_acl_permission in fs/posix_acl.c, for identities of the initial user namespace.
// What is not of a file's inode is not in it: mounts, and attributes such as immutable.
package dac

import "slices"

// Access is what is asked for, as bits of a mode.
type Access uint8

// The bits; Execute of a directory is to search it.
const (
	Execute Access = 1
	Write   Access = 2
	Read    Access = 4
)

func (a Access) String() string {
	text := []byte("---")
	for i, bit := range []Access{Read, Write, Execute} {
		if a&bit != 0 {
			text[i] = "rwx"[i]
		}
	}
	return string(text)
}

// Subject is a process: the identities that it accesses files with, and the capabilities that it has in effect.
type Subject struct {
	UID, GID uint32
	Groups   []uint32 // supplementary
	Root     bool     // it has the capabilities dac_override, dac_read_search and fowner
}

func (s *Subject) in(group uint32) bool { return s.GID == group || slices.Contains(s.Groups, group) }

// Object is a file or a directory.
type Object struct {
	Mode      uint32 // permission bits, with the sticky bit
	UID, GID  uint32
	Directory bool
	List      []Entry // POSIX ACL; nil for none
}

// sticky is the bit of directories in which only owners remove files.
const sticky = 0o1000

// Capability is one that overrides; "" is none.
type Capability string

// The capabilities, by the names of their permissions in class capability.
const (
	Override   Capability = "dac_override"
	ReadSearch Capability = "dac_read_search"
	Owner      Capability = "fowner"
)

// Verdict is a decision. Where capabilities decide, the kernel asks for them in the order of Overrides until one is granted, which includes a question to the
// security module; without Subject.Root they are what would help.
type Verdict struct {
	Allowed   bool
	By        string // what decided: owner rwx, user 1000 r-- within mask rwx, group 100 r-x, other --x
	Overrides []Capability
}

// Decide answers for an access to an object.
func Decide(subject *Subject, object *Object, access Access) Verdict {
	granted, by := permissions(subject, object, access)
	v := Verdict{Allowed: access&^granted == 0, By: by}
	if v.Allowed {
		return v
	}
	switch {
	case object.Directory:
		if access&Write == 0 {
			v.Overrides = append(v.Overrides, ReadSearch)
		}
		v.Overrides = append(v.Overrides, Override)
	default:
		if access == Read {
			v.Overrides = append(v.Overrides, ReadSearch)
		}
		if access&Execute == 0 || object.Mode&0o111 != 0 { // what nobody may execute is no program
			v.Overrides = append(v.Overrides, Override)
		}
	}
	v.Allowed = subject.Root && len(v.Overrides) > 0
	return v
}

// permissions are those that one class of the mode or one entry of the list gives. With several groups it is the entry that decides for this access.
func permissions(subject *Subject, object *Object, access Access) (granted Access, by string) {
	mode := Access(object.Mode & 7)
	group := Access(object.Mode >> 3 & 7)
	switch {
	case subject.UID == object.UID:
		owner := Access(object.Mode >> 6 & 7)
		return owner, "owner " + owner.String()
	case object.List != nil && group != 0: // the group's bits are the mask; where it takes everything, the kernel looks at the mode alone
		return listed(subject, object, access)
	case subject.in(object.GID):
		return group, "group " + group.String()
	}
	return mode, "other " + mode.String()
}

// DecideOwner answers for what only the owner may do: to change mode, times or label.
func DecideOwner(subject *Subject, object *Object) Verdict {
	if subject.UID == object.UID {
		return Verdict{Allowed: true, By: "owner"}
	}
	return Verdict{Allowed: subject.Root, By: "not the owner", Overrides: []Capability{Owner}}
}

// DecideRemoval answers for taking an object's name out of a directory, besides what writing to the directory takes: the sticky bit.
func DecideRemoval(subject *Subject, directory, object *Object) Verdict {
	switch {
	case directory.Mode&sticky == 0:
		return Verdict{Allowed: true, By: "no sticky bit"}
	case subject.UID == object.UID || subject.UID == directory.UID:
		return Verdict{Allowed: true, By: "owner"}
	}
	return Verdict{Allowed: subject.Root, By: "sticky bit", Overrides: []Capability{Owner}}
}

// DecideFollow answers for following a symbolic link as a part of a path with sysctl fs.protected_symlinks: it refuses links that others put into directories where
// everybody may put some.
func DecideFollow(subject *Subject, directory, link *Object) Verdict {
	const shared = sticky | 0o002
	if directory.Mode&shared != shared || subject.UID == link.UID || directory.UID == link.UID {
		return Verdict{Allowed: true, By: "fs.protected_symlinks"}
	}
	return Verdict{By: "fs.protected_symlinks"}
}
