// SPDX-License-Identifier: Apache-2.0

package dac

import (
	"encoding/binary"
	"fmt"
)

// Tag says whom an entry of an access control list is for.
type Tag uint16

// The tags (include/uapi/linux/posix_acl.h).
const (
	TagOwner      Tag = 0x01
	TagUser       Tag = 0x02 // Entry.ID
	TagOwnerGroup Tag = 0x04
	TagGroup      Tag = 0x08 // Entry.ID
	TagMask       Tag = 0x10 // what users and groups that are named, and the owner's group, have at most
	TagOther      Tag = 0x20
)

// Entry is one entry of a POSIX access control list.
type Entry struct {
	Tag    Tag
	Access Access
	ID     uint32 // of TagUser and TagGroup
}

// ListAttribute is the extended attribute with a file's access control list.
const ListAttribute = "system.posix_acl_access"

// Layout of the attribute: a version, then entries of tag, permissions and id, little-endian.
const (
	listVersion = 2
	headerSize  = 4
	entrySize   = 8
)

// ParseList reads the value of ListAttribute. It keeps to the rules of posix_acl_valid: the entries in the order of their tags, one each of owner, owner's group and
// other, and a mask where somebody is named.
func ParseList(value []byte) ([]Entry, error) {
	if len(value) < headerSize || (len(value)-headerSize)%entrySize != 0 {
		return nil, fmt.Errorf("%s of %d bytes", ListAttribute, len(value))
	}
	if version := binary.LittleEndian.Uint32(value); version != listVersion {
		return nil, fmt.Errorf("%s of version %d, expected %d", ListAttribute, version, listVersion)
	}
	list := []Entry{}
	var seen, last Tag
	for at := headerSize; at < len(value); at += entrySize {
		word := value[at:]
		entry := Entry{Tag(binary.LittleEndian.Uint16(word)), Access(binary.LittleEndian.Uint16(word[2:])), binary.LittleEndian.Uint32(word[4:])}
		named := entry.Tag == TagUser || entry.Tag == TagGroup
		switch {
		case entry.Tag == 0 || entry.Tag > TagOther || entry.Tag&(entry.Tag-1) != 0:
			return nil, fmt.Errorf("%s at byte %d: tag %#x", ListAttribute, at, entry.Tag)
		case binary.LittleEndian.Uint16(word[2:]) > 7:
			return nil, fmt.Errorf("%s at byte %d: permissions %#x", ListAttribute, at, binary.LittleEndian.Uint16(word[2:]))
		case entry.Tag < last || entry.Tag == last && !named:
			return nil, fmt.Errorf("%s at byte %d: tag %#x after %#x", ListAttribute, at, entry.Tag, last)
		}
		if !named {
			entry.ID = 0
		}
		seen, last = seen|entry.Tag, entry.Tag
		list = append(list, entry)
	}
	const base = TagOwner | TagOwnerGroup | TagOther
	if seen&base != base || seen&(TagUser|TagGroup) != 0 && seen&TagMask == 0 {
		return nil, fmt.Errorf("%s has the tags %#x only", ListAttribute, seen)
	}
	return list, nil
}

// listed are the permissions that the list gives to one who is not the owner.
func listed(subject *Subject, object *Object, access Access) (granted Access, by string) {
	mask, masked := Read|Write|Execute, ""
	var other Access
	for _, entry := range object.List {
		switch entry.Tag {
		case TagMask:
			mask, masked = entry.Access, " within mask "+entry.Access.String()
		case TagOther:
			other = entry.Access
		}
	}
	denied := ""
	for _, entry := range object.List {
		switch {
		case entry.Tag == TagUser && entry.ID == subject.UID:
			return entry.Access & mask, fmt.Sprintf("user %d %s%s", entry.ID, entry.Access, masked)
		case entry.Tag == TagOwnerGroup && subject.in(object.GID), entry.Tag == TagGroup && subject.in(entry.ID):
			name := "group"
			if entry.Tag == TagGroup {
				name = fmt.Sprintf("group %d", entry.ID)
			}
			name += " " + entry.Access.String()
			if access&^entry.Access == 0 {
				return entry.Access & mask, name + masked
			}
			denied = name // another group may give more
		}
	}
	if denied != "" {
		return 0, denied + ", and no other group gives " + access.String()
	}
	return other, "other " + other.String()
}
