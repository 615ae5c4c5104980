// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// DiffOptions say what counts as a difference.
type DiffOptions struct {
	// Access leaves out what is only logged, or not logged.
	Access bool
	// Witnesses is how many kinds of differences each automaton of a profile is searched for; 0 stands for 8.
	Witnesses int
}

// Difference is one access, or one property of a profile, that two policies decide differently.
type Difference struct {
	Profile   string `json:"profile"`             // :namespace:name where it is in one
	What      string `json:"what"`                // profile, mode, flags, capability, rlimit, attachment, file, mount ...: the kind of rule
	Operation string `json:"operation,omitempty"` // the access, in the words of a Question
	A         string `json:"a"`                   // what either policy says
	B         string `json:"b"`
	More      bool   `json:"more,omitempty"` // as many kinds of differences were found in this automaton as were looked for
}

func (d Difference) String() string {
	subject := d.What
	if d.Operation != "" {
		subject = d.Operation
	}
	text := fmt.Sprintf("profile %s: %s: %s / %s", d.Profile, subject, d.A, d.B)
	if d.More {
		text += ", and there may be more"
	}
	return text
}

// Diff compares what kernels make of two policies. The comparison is exact: without differences no access is decided otherwise, and the same profiles
// attach to the same programs. Strings that no kernel asks about (mount flags that do not go together, socket types that there are none of) are no
// differences; where kernels differ in how much they ask, as of the addresses of Unix sockets, what any of them asks counts. Of each difference of automata the shortest access that shows it is named.
func Diff(a, b *binary.Policy, options DiffOptions) ([]Difference, error) {
	if options.Witnesses <= 0 {
		options.Witnesses = 8
	}
	ours, theirs := byName(a), byName(b)
	names := slices.Collect(maps.Keys(ours))
	for name := range theirs {
		if ours[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []Difference
	for _, name := range names {
		d := &differ{options: options, name: name, a: ours[name], b: theirs[name]}
		if err := d.profile(); err != nil {
			return nil, fmt.Errorf("profile %s: %w", name, err)
		}
		all = append(all, d.found...)
	}
	return all, nil
}

// byName has the profiles of a policy; of two of one name the last, which replaces the other.
func byName(p *binary.Policy) map[string]*binary.Profile {
	profiles := map[string]*binary.Profile{}
	for _, profile := range p.Profiles {
		name := profile.Name
		if profile.Namespace != "" {
			name = ":" + profile.Namespace + ":" + name
		}
		profiles[name] = profile
	}
	return profiles
}

// differ compares two profiles of one name.
type differ struct {
	options DiffOptions
	name    string
	a, b    *binary.Profile
	found   []Difference
}

func (d *differ) add(what, operation, a, b string) {
	d.found = append(d.found, Difference{Profile: d.name, What: what, Operation: operation, A: a, B: b})
}

// more says of the last difference that there may be others like it.
func (d *differ) more(found []witness) {
	if len(found) == d.options.Witnesses {
		d.found[len(d.found)-1].More = true
	}
}

// property compares two values of a property.
func property[T comparable](d *differ, what string, a, b T, words func(T) string) {
	if a != b {
		d.add(what, "", words(a), words(b))
	}
}

func (d *differ) profile() error {
	if d.a == nil || d.b == nil {
		there := func(p *binary.Profile) string {
			if p == nil {
				return "not there"
			}
			return "there"
		}
		d.add("profile", "", there(d.a), there(d.b))
		return nil
	}
	quoted := func(text string) string { return fmt.Sprintf("%q", text) }
	number := func(n uint32) string { return fmt.Sprint(n) }
	property(d, "mode", mode(d.a), mode(d.b), func(m string) string { return m })
	property(d, "flags", flagText(d.a), flagText(d.b), func(f string) string { return f })
	property(d, "disconnected path", d.a.Disconnected, d.b.Disconnected, quoted)
	property(d, "disconnected path of IPC", disconnectedIPC(d.a), disconnectedIPC(d.b), quoted)
	property(d, "renamed profile", d.a.Rename, d.b.Rename, quoted)
	property(d, "signal that kills", cmp.Or(d.a.KillSignal, 9), cmp.Or(d.b.KillSignal, 9), func(n uint32) string { return signalName(byte(n)) })
	property(d, "error number of a refusal", d.a.Error, d.b.Error, number)
	d.capabilities()
	d.rlimits()
	d.lists()
	if err := d.attachment(); err != nil {
		return err
	}
	if err := d.files(); err != nil {
		return err
	}
	return d.mediation()
}

func mode(p *binary.Profile) string {
	if p.Version.ForceComplain {
		return "complain"
	}
	if names := []string{"enforce", "complain", "kill", "unconfined", "prompt"}; int(p.Mode) < len(names) {
		return names[p.Mode]
	}
	return fmt.Sprint(p.Mode)
}

func disconnectedIPC(p *binary.Profile) string { return cmp.Or(p.DisconnectedIPC, p.Disconnected) }

// flagText is what the profile's flags come to, in the words of the language.
func flagText(p *binary.Profile) string {
	path := p.EffectivePathFlags()
	var words []string
	for _, flag := range []struct {
		set  bool
		word string
	}{
		{p.Hat, "hat"}, {p.Audit, "audit"}, {path&binary.PathAttachDisconnected != 0, "attach_disconnected"},
		{path&binary.PathChrootRelative != 0, "chroot_relative"}, {path&binary.PathChrootAttach != 0, "chroot_attach"},
		{path&binary.PathAttachIPC != 0, "attach_disconnected.ipc"}, {path&binary.PathMediateDeleted != 0, "mediate_deleted"},
	} {
		if flag.set {
			words = append(words, flag.word)
		}
	}
	const known = binary.PathAttachDisconnected | binary.PathChrootRelative | binary.PathChrootAttach | binary.PathAttachIPC | binary.PathMediateDeleted
	if rest := path &^ known; rest != 0 {
		words = append(words, fmt.Sprintf("path flags %#x", rest))
	}
	if p.Flags != 0 {
		words = append(words, fmt.Sprintf("flags %#x", p.Flags))
	}
	return cmp.Or(strings.Join(words, ", "), "none")
}

// capabilities compares each capability: what is logged matters where it is allowed, what is not logged where it is denied.
func (d *differ) capabilities() {
	words := func(c binary.Capabilities, bit uint64) string {
		switch {
		case c.Allow&bit != 0 && c.Audit&bit != 0 && !d.options.Access:
			return "allowed and logged"
		case c.Allow&bit != 0:
			return "allowed"
		case c.Quiet&bit != 0 && !d.options.Access:
			return "denied silently"
		}
		return "denied"
	}
	names := capabilityNames()
	var unnamed []string // which kernels do not have yet
	var last [2]string
	for number := range 64 {
		a, b := words(d.a.Capabilities, 1<<number), words(d.b.Capabilities, 1<<number)
		switch {
		case a == b:
		case number < len(names):
			d.add("capability", "capability "+names[number], a, b)
		default:
			unnamed, last = append(unnamed, fmt.Sprint(number)), [2]string{a, b}
		}
	}
	if unnamed != nil {
		d.add("capability", "capability "+strings.Join(unnamed, " "), last[0], last[1])
	}
	// The kernel may mediate more than capabilities ask for.
	if extended := d.a.Capabilities.Extended ^ d.b.Capabilities.Extended; extended != 0 {
		d.add("capability", fmt.Sprintf("%d extended capabilities", bits.OnesCount64(extended)), fmt.Sprintf("%#x", d.a.Capabilities.Extended),
			fmt.Sprintf("%#x", d.b.Capabilities.Extended))
	}
}

func (d *differ) rlimits() {
	limit := func(r *binary.Rlimits, number int) string {
		if r == nil || r.Mask>>number&1 == 0 {
			return "not limited"
		}
		return fmt.Sprint(r.Values[number])
	}
	for number := range len(binary.Rlimits{}.Values) {
		name := fmt.Sprint(number)
		if number < len(rlimitNames) {
			name = rlimitNames[number]
		}
		property(d, "rlimit "+name, limit(d.a.Rlimits, number), limit(d.b.Rlimits, number), func(text string) string { return text })
	}
}

// lists compares what has its own order.
func (d *differ) lists() {
	same := func(text string) string { return text }
	property(d, "extended attributes", fmt.Sprintf("%q", d.a.XAttrs), fmt.Sprintf("%q", d.b.XAttrs), same)
	property(d, "secmarks", fmt.Sprintf("%v", d.a.Secmarks), fmt.Sprintf("%v", d.b.Secmarks), same)
	property(d, "data", fmt.Sprintf("%q", d.a.Data), fmt.Sprintf("%q", d.b.Data), same)
	words := func(table [][3]uint16, family, kind int) string {
		allow, audit, quiet := false, false, false
		if family < len(table) {
			allow, audit, quiet = table[family][0]>>kind&1 != 0, table[family][1]>>kind&1 != 0, table[family][2]>>kind&1 != 0
		}
		switch {
		case table == nil:
			return "not mediated"
		case allow && audit && !d.options.Access:
			return "allowed and logged"
		case allow:
			return "allowed"
		case quiet && !d.options.Access:
			return "denied silently"
		}
		return "denied"
	}
	seen := 0
	for family := range max(len(d.a.NetworkAllowed), len(d.b.NetworkAllowed)) {
		for kind := range 16 {
			a, b := words(d.a.NetworkAllowed, family, kind), words(d.b.NetworkAllowed, family, kind)
			if a == b || seen == d.options.Witnesses {
				continue
			}
			seen++
			d.add("network", NetworkQuestion{Family: familyWord(uint16(family)), Type: socketWord(uint16(kind))}.String(), a, b)
		}
	}
}
