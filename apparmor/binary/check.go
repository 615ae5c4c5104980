// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// lastSignal is the highest that a profile may kill with, of those that AppArmor numbers.
const lastSignal = 35

// The fields of a permission row's XIndex.
const (
	xTypeMask  = 0x0c000000
	xTypeTable = 0x08000000
	xIndexMask = 0x00ffffff
)

// The first exec index of accept words that stands for an entry of the xtable, and where the indices are in the word.
const (
	firstTarget     = 4
	userIndexShift  = 10
	otherIndexShift = 14 + 10
	indexMask       = 0xf
)

// ownerPair in a second accept word says that the row is for the owner of a file, and the next one for others.
const ownerPair = 1

// idAccept2 is the table of the second accept words.
const idAccept2 = 7

// spaces are those that the kernel's isspace knows.
const spaces = " \t\n\v\f\r\xa0"

// target reads a string of the xtable. A namespace is parted from its profile by a NUL, which the kernel makes a colon.
func (d *decoder) target() string {
	at := d.at
	text := d.nulled("")
	namespace, profile, parted := strings.Cut(text, "\x00")
	switch {
	case d.err != nil || text == "": // which some compilers write, and never refer to
	case strings.IndexByte(spaces, text[0]) >= 0 || profile != "" && strings.IndexByte(spaces, profile[0]) >= 0:
		d.fail(at, "exec target %q starts with a space", text)
	case parted && (text[0] != ':' || strings.IndexByte(profile, 0) >= 0):
		d.fail(at, "NUL inside the exec target %q", text)
	case namespace == ":":
		d.fail(at, "exec target %q, expected :namespace, a NUL and the profile", text)
	}
	return text
}

// check says what of the rules does not fit together, "" where all does. Exec indices are in the accept words of file rules only.
func (r *Rules) check(file bool) string {
	second := r.hasTable(idAccept2)
	if r.Permissions == nil {
		if !second {
			return "tables without second accept words, which have the permissions to log"
		}
		return r.checkIndices(file)
	}
	// Kernels refuse tables that they do not look for.
	if keeps := r.PermsV > 2; second && !keeps {
		return fmt.Sprintf("second accept words, which permission tables of version %d have not", r.PermsV)
	} else if !second && keeps {
		return fmt.Sprintf("no second accept words, which permission tables of version %d have", r.PermsV)
	}
	for state, accept := range r.Automaton.Accept {
		last := int64(accept.One)
		if r.PermsV > 2 && accept.Two&ownerPair != 0 {
			last++
		}
		if last >= int64(len(r.Permissions)) {
			return fmt.Sprintf("state %d has permission row %d of %d", state, last, len(r.Permissions))
		}
	}
	for i, row := range r.Permissions {
		sets := 0
		if r.Tags != nil {
			sets = len(r.Tags.Sets)
		}
		switch {
		case row.XIndex&xTypeMask == xTypeTable && int(row.XIndex&xIndexMask) >= len(r.Targets):
			return fmt.Sprintf("permission row %d has exec target %d of %d", i, row.XIndex&xIndexMask, len(r.Targets))
		case row.Tag != 0 && int64(row.Tag) >= int64(sets):
			return fmt.Sprintf("permission row %d has tag set %d of %d", i, row.Tag, sets)
		case row.Label != 0 && int64(row.Label) >= int64(len(r.Targets)):
			return fmt.Sprintf("permission row %d has label %d of %d", i, row.Label, len(r.Targets))
		}
	}
	return ""
}

func (r *Rules) checkIndices(file bool) string {
	if !file {
		return ""
	}
	for state, accept := range r.Automaton.Accept {
		for _, shift := range [...]int{userIndexShift, otherIndexShift} {
			if index := int(accept.One >> shift & indexMask); index >= firstTarget && index-firstTarget >= len(r.Targets) {
				return fmt.Sprintf("state %d has exec target %d of %d", state, index-firstTarget, len(r.Targets))
			}
		}
	}
	return ""
}

// RowsOf are the permission rows for the owner of a file and for others in a state of file rules that have a permission table. Tables older than version
// 3 cannot say that rows are pairs: they are where there are two for each state. Linux 6.12 reads them so; 6.17 gives the owner's to everyone.
func (r *Rules) RowsOf(state uint32) (owner, other Permission) {
	accept := r.Automaton.Accept[state]
	owner = r.Permissions[accept.One]
	paired := r.PermsV > 2 && accept.Two&ownerPair != 0 || r.PermsV <= 2 && len(r.Permissions) == 2*len(r.Automaton.Accept)
	if next := int(accept.One) + 1; paired && next < len(r.Permissions) {
		return owner, r.Permissions[next]
	}
	return owner, owner
}

// hasTable reports whether the tables, which were decoded already, have that with the number.
func (r *Rules) hasTable(id uint16) bool {
	const head = 12
	at := int(binary.BigEndian.Uint32(r.Raw[4:]))
	for at+head <= len(r.Raw) {
		found, width := binary.BigEndian.Uint16(r.Raw[at:]), int(binary.BigEndian.Uint16(r.Raw[at+2:]))
		if found == id {
			return true
		}
		at += (head + width*int(binary.BigEndian.Uint32(r.Raw[at+8:])) + 7) &^ 7
	}
	return false
}

// fault says which fields of a row exclude each other, "" where none do.
func (p *Permission) fault() string {
	for _, rule := range [...]struct {
		bits uint32
		text string
	}{
		{p.Allow & p.Deny, "allowed and denied"},
		{p.Subtree &^ p.Allow, "subtree without being allowed"},
		{p.Cond & (p.Allow | p.Deny), "conditional and decided"},
		{p.Kill & p.Allow, "killing and allowed"},
		{p.Complain & (p.Allow | p.Deny), "complaining and decided"},
		{p.Prompt & (p.Allow | p.Deny), "prompting and decided"},
		{p.Complain & p.Prompt, "complaining and prompting"},
		{p.Hide & p.Allow, "hidden and allowed"},
	} {
		if rule.bits != 0 {
			return fmt.Sprintf("permissions %#x are %s", rule.bits, rule.text)
		}
	}
	return ""
}

// fault says which reference of the tags leads nowhere, "" where all lead somewhere.
func (t *Tags) fault() string {
	if len(t.Strings) == 0 || len(t.Headers) == 0 || len(t.Sets) == 0 {
		return "incomplete tags"
	}
	for i := 0; i < len(t.Sets); i++ {
		count := t.Sets[i]
		if int64(i)+int64(count) >= int64(len(t.Sets)) {
			return fmt.Sprintf("tag set at %d of %d tags, which %d words cannot hold", i, count, len(t.Sets))
		}
		for ; count > 0; count-- {
			i++
			if int64(t.Sets[i]) >= int64(len(t.Headers)) {
				return fmt.Sprintf("tag set refers to header %d of %d", t.Sets[i], len(t.Headers))
			}
		}
	}
	for i, header := range t.Headers {
		if int64(header.Tags) >= int64(len(t.Strings)) {
			return fmt.Sprintf("tag header %d refers to string %d of %d", i, header.Tags, len(t.Strings))
		}
		text := t.Strings[header.Tags]
		tags := strings.Split(strings.TrimSuffix(text, "\x00"), "\x00")
		switch {
		case !strings.HasSuffix(text, "\x00") || strings.TrimSuffix(text, "\x00") == "" || strings.IndexByte(spaces, text[0]) >= 0:
			return fmt.Sprintf("tag string %d is %q, expected names each with a NUL", header.Tags, text)
		case int64(header.Count) != int64(len(tags)) || int64(header.Size) != int64(len(text)+1):
			return fmt.Sprintf("tag header %d counts %d tags in %d bytes, expected %d in %d", i, header.Count, header.Size, len(tags), len(text)+1)
		}
	}
	return ""
}
