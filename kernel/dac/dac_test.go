// SPDX-License-Identifier: Apache-2.0

package dac

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

const (
	all   = Read | Write | Execute
	alice = 1000
	bob   = 1001
	team  = 2000
	guild = 2001
)

// list is an access control list: owner rwx, alice and bob, the owner's group and a named one, mask and other.
func list(aliceMay, bobMay, groupMay, guildMay, mask, other Access) []Entry {
	return []Entry{{TagOwner, all, 0}, {TagUser, aliceMay, alice}, {TagUser, bobMay, bob}, {TagOwnerGroup, groupMay, 0}, {TagGroup, guildMay, guild},
		{TagMask, mask, 0}, {TagOther, other, 0}}
}

func TestOneClassDecides(t *testing.T) {
	acl := list(Read|Write, Read, 0, Read|Execute, Read|Execute, Write)
	for name, test := range map[string]struct {
		subject Subject
		object  Object
		access  Access
		allowed bool
		by      string
		helps   []Capability
	}{
		"Owner":                          {Subject{UID: alice}, Object{Mode: 0o640, UID: alice}, Read | Write, true, "owner rw-", nil},
		"OwnerHasLessThanOthers":         {Subject{UID: alice}, Object{Mode: 0o007, UID: alice}, Read, false, "owner ---", []Capability{ReadSearch, Override}},
		"Group":                          {Subject{UID: alice, GID: team}, Object{Mode: 0o640, GID: team}, Read, true, "group r--", nil},
		"SupplementaryGroup":             {Subject{UID: alice, Groups: []uint32{1, team}}, Object{Mode: 0o604, GID: team}, Read, false, "group ---", []Capability{ReadSearch, Override}},
		"Other":                          {Subject{UID: alice}, Object{Mode: 0o644}, Read, true, "other r--", nil},
		"OtherMayNotWrite":               {Subject{UID: alice}, Object{Mode: 0o644}, Read | Write, false, "other r--", []Capability{Override}},
		"RootReads":                      {Subject{Root: true}, Object{Mode: 0, UID: alice}, Read, true, "other ---", []Capability{ReadSearch, Override}},
		"RootWrites":                     {Subject{Root: true}, Object{Mode: 0, UID: alice}, Write, true, "other ---", []Capability{Override}},
		"RootExecutesWhatSomebodyMay":    {Subject{Root: true}, Object{Mode: 0o100, UID: alice}, Execute, true, "other ---", []Capability{Override}},
		"RootExecutesNoPlainFile":        {Subject{Root: true}, Object{Mode: 0o666, UID: alice}, Execute, false, "other rw-", nil},
		"RootSearchesAnyDirectory":       {Subject{Root: true}, Object{Directory: true, UID: alice}, Execute, true, "other ---", []Capability{ReadSearch, Override}},
		"RootWritesInAnyDirectory":       {Subject{Root: true}, Object{Directory: true, UID: alice}, Write | Execute, true, "other ---", []Capability{Override}},
		"NamedUserWithinTheMask":         {Subject{UID: alice}, Object{Mode: 0o752, List: acl}, Read, true, "user 1000 rw- within mask r-x", nil},
		"NamedUserBeyondTheMask":         {Subject{UID: alice}, Object{Mode: 0o752, List: acl}, Write, false, "user 1000 rw- within mask r-x", []Capability{Override}},
		"NamedUserBeforeGroups":          {Subject{UID: bob, Groups: []uint32{guild}}, Object{Mode: 0o752, List: acl}, Execute, false, "user 1001 r-- within mask r-x", []Capability{Override}},
		"AnyOfSeveralGroups":             {Subject{UID: 5, GID: team, Groups: []uint32{guild}}, Object{Mode: 0o752, GID: team, List: acl}, Read, true, "group 2001 r-x within mask r-x", nil},
		"NoGroupGivesItSoNorDoesOther":   {Subject{UID: 5, GID: team}, Object{Mode: 0o752, GID: team, List: acl}, Write, false, "group ---, and no other group gives -w-", []Capability{Override}},
		"OtherOfTheList":                 {Subject{UID: 5}, Object{Mode: 0o752, List: acl}, Write, true, "other -w-", nil},
		"AMaskOfNothingLeavesTheMode":    {Subject{UID: alice}, Object{Mode: 0o702, List: acl}, Write, true, "other -w-", nil},
		"TheOwnerHasNothingFromTheGroup": {Subject{UID: alice, GID: team}, Object{Mode: 0o070, UID: alice, GID: team}, Read, false, "owner ---", []Capability{ReadSearch, Override}},
	} {
		if test.object.GID == 0 {
			test.object.GID = 3000
		}
		got := Decide(&test.subject, &test.object, test.access)
		if got.Allowed != test.allowed || got.By != test.by || !slices.Equal(got.Overrides, test.helps) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatOwnersAloneMayDo(t *testing.T) {
	for name, test := range map[string]struct {
		verdict Verdict
		allowed bool
		helps   int
	}{
		"ChangeOwn":                       {DecideOwner(&Subject{UID: alice}, &Object{UID: alice}), true, 0},
		"ChangeAnothers":                  {DecideOwner(&Subject{UID: alice}, &Object{UID: bob, Mode: 0o777}), false, 1},
		"RootChanges":                     {DecideOwner(&Subject{Root: true}, &Object{UID: bob}), true, 1},
		"RemoveAnothersFromATemporary":    {DecideRemoval(&Subject{UID: alice}, &Object{Mode: 0o1777}, &Object{UID: bob}), false, 1},
		"RemoveOwnFromATemporary":         {DecideRemoval(&Subject{UID: alice}, &Object{Mode: 0o1777}, &Object{UID: alice}), true, 0},
		"RemoveFromAnOwnTemporary":        {DecideRemoval(&Subject{UID: alice}, &Object{Mode: 0o1777, UID: alice}, &Object{UID: bob}), true, 0},
		"RemoveAnothersElsewhere":         {DecideRemoval(&Subject{UID: alice}, &Object{Mode: 0o777}, &Object{UID: bob}), true, 0},
		"FollowALinkInATemporary":         {DecideFollow(&Subject{UID: alice}, &Object{Mode: 0o1777}, &Object{UID: bob}), false, 0},
		"NoCapabilityFollowsIt":           {DecideFollow(&Subject{Root: true}, &Object{Mode: 0o1777}, &Object{UID: bob}), false, 0},
		"FollowOnesOwn":                   {DecideFollow(&Subject{UID: bob}, &Object{Mode: 0o1777}, &Object{UID: bob}), true, 0},
		"FollowTheDirectorysOwners":       {DecideFollow(&Subject{UID: alice}, &Object{Mode: 0o1777}, &Object{}), true, 0},
		"FollowWhereOthersCannotMakeAny":  {DecideFollow(&Subject{UID: alice}, &Object{Mode: 0o1775}, &Object{UID: bob}), true, 0},
		"FollowWhereThereIsNoStickyBit":   {DecideFollow(&Subject{UID: alice}, &Object{Mode: 0o777}, &Object{UID: bob}), true, 0},
		"RootRemovesAnothersFromATempDir": {DecideRemoval(&Subject{Root: true}, &Object{Mode: 0o1777, UID: alice}, &Object{UID: bob}), true, 1},
	} {
		if test.verdict.Allowed != test.allowed || len(test.verdict.Overrides) != test.helps {
			t.Errorf("%s: %+v", name, test.verdict)
		}
	}
}

// encodeList writes a list as the kernel's attribute.
func encodeList(list []Entry) []byte {
	value := binary.LittleEndian.AppendUint32(nil, listVersion)
	for _, entry := range list {
		id := entry.ID
		if entry.Tag != TagUser && entry.Tag != TagGroup {
			id = ^uint32(0)
		}
		value = binary.LittleEndian.AppendUint16(value, uint16(entry.Tag))
		value = binary.LittleEndian.AppendUint16(value, uint16(entry.Access))
		value = binary.LittleEndian.AppendUint32(value, id)
	}
	return value
}

func TestLists(t *testing.T) {
	whole := list(Read, Write, all, 0, Read, Execute)
	if got, err := ParseList(encodeList(whole)); err != nil || !slices.Equal(got, whole) {
		t.Errorf("%v, %v", got, err)
	}
	for name, test := range map[string]struct {
		value []byte
		want  string
	}{
		"Short":         {[]byte{2, 0, 0}, "of 3 bytes"},
		"HalfAnEntry":   {encodeList(whole)[:10], "of 10 bytes"},
		"Version":       {[]byte{1, 0, 0, 0}, "version 1, expected 2"},
		"Tag":           {encodeList([]Entry{{3, Read, 0}}), "at byte 4: tag 0x3"},
		"Permissions":   {encodeList([]Entry{{TagOwner, 8, 0}}), "at byte 4: permissions 0x8"},
		"Order":         {encodeList([]Entry{{TagUser, Read, 1}, {TagOwner, Read, 0}}), "at byte 12: tag 0x1 after 0x2"},
		"TwoOwners":     {encodeList([]Entry{{TagOwner, Read, 0}, {TagOwner, Read, 0}}), "tag 0x1 after 0x1"},
		"NoMask":        {encodeList([]Entry{{TagOwner, Read, 0}, {TagUser, Read, 1}, {TagOwnerGroup, Read, 0}, {TagOther, Read, 0}}), "has the tags 0x27 only"},
		"NothingAtAll":  {encodeList(nil), "has the tags 0x0 only"},
		"NoOtherAtTail": {encodeList(whole[:6]), "has the tags"},
	} {
		if list, err := ParseList(test.value); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add(encodeList(list(Read, Write, all, 0, Read, Execute)))
	f.Fuzz(func(t *testing.T, value []byte) {
		entries, err := ParseList(value)
		if err != nil {
			return
		}
		if again, err := ParseList(encodeList(entries)); err != nil || !slices.Equal(again, entries) {
			t.Errorf("%v became %v, %v", entries, again, err)
		}
		Decide(&Subject{UID: alice}, &Object{Mode: 0o070, List: entries}, Read)
	})
}
