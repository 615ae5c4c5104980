// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// The layout of the first accept word of file rules: six permissions, the exec index and its flags, once for the owner and once for others.
const (
	indexWidth = 0xf
	ownerIndex = 10
	otherIndex = 24
)

// firstTarget is the first exec index that refers to the profile's targets.
const firstTarget = 4

// differences are what two policies of the same text differ in, in words. Profiles and exec targets go by name: their order is nobody's concern.
func differences(ours, theirs *binary.Policy) []string {
	var found []string
	mine, others := byName(ours), byName(theirs)
	if a, b := names(ours), names(theirs); !slices.Equal(a, b) {
		found = append(found, fmt.Sprintf("profiles %q, reference %q", a, b))
	}
	for name, profile := range mine {
		if other := others[name]; other != nil {
			for _, difference := range profileDifferences(profile, other) {
				found = append(found, fmt.Sprintf("%s: %s", name, difference))
			}
		}
	}
	slices.Sort(found)
	return found
}

func names(p *binary.Policy) []string {
	var names []string
	for _, profile := range p.Profiles {
		names = append(names, fullName(profile))
	}
	slices.Sort(names)
	return names
}

// fullName is a profile's name with its namespace.
func fullName(p *binary.Profile) string {
	if p.Namespace == "" {
		return p.Name
	}
	return ":" + p.Namespace + ":" + p.Name
}

func byName(p *binary.Policy) map[string]*binary.Profile {
	profiles := map[string]*binary.Profile{}
	for _, profile := range p.Profiles {
		profiles[fullName(profile)] = profile
	}
	return profiles
}

// profileDifferences compares the header field by field and the three automata string by string.
func profileDifferences(ours, theirs *binary.Profile) []string {
	var found []string
	mine, others := reflect.ValueOf(*ours), reflect.ValueOf(*theirs)
	for i := range mine.NumField() {
		name := mine.Type().Field(i).Name
		if mine.Field(i).Type() == reflect.TypeFor[*binary.Rules]() {
			continue
		}
		if a, b := mine.Field(i).Interface(), others.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			found = append(found, fmt.Sprintf("%s %s, reference %s", name, field(a), field(b)))
		}
	}
	for _, rules := range []struct {
		name         string
		ours, theirs *binary.Rules
		same         func(a, b dfa.Accept) bool
	}{
		{"xmatch", ours.XMatch, theirs.XMatch, identical},
		{"policydb", ours.PolicyDB, theirs.PolicyDB, identical},
		{"file", ours.File, theirs.File, sameButForIndices(ours.File, theirs.File)},
	} {
		if difference := rulesDifference(rules.ours, rules.theirs, rules.same); difference != "" {
			found = append(found, rules.name+": "+difference)
		}
	}
	return found
}

func field(value any) string {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && !v.IsNil() {
		return fmt.Sprintf("%+v", v.Elem())
	}
	return fmt.Sprintf("%+v", value)
}

func rulesDifference(ours, theirs *binary.Rules, same func(a, b dfa.Accept) bool) string {
	if ours == nil || theirs == nil {
		if ours != theirs {
			return fmt.Sprintf("there %v, reference %v", ours != nil, theirs != nil)
		}
		return ""
	}
	if (ours.Permissions == nil) != (theirs.Permissions == nil) {
		return "only one has a permission table"
	}
	difference := dfa.Compare(ours.Automaton, theirs.Automaton, start(ours), start(theirs), same)
	if difference == nil {
		return ""
	}
	return fmt.Sprintf("%q %v: %s, reference %s", difference.Text, difference.OutOf, accept(difference.A, ours), accept(difference.B, theirs))
}

func start(r *binary.Rules) uint32 {
	if r.Start != 0 {
		return r.Start
	}
	return dfa.Start
}

func identical(a, b dfa.Accept) bool { return a == b }

// sameButForIndices compares accept words with exec indices as what they stand for.
func sameButForIndices(ours, theirs *binary.Rules) func(a, b dfa.Accept) bool {
	const indices = indexWidth<<ownerIndex | indexWidth<<otherIndex
	return func(a, b dfa.Accept) bool {
		return a.Two == b.Two && a.One&^indices == b.One&^indices &&
			target(ours, a.One>>ownerIndex) == target(theirs, b.One>>ownerIndex) && target(ours, a.One>>otherIndex) == target(theirs, b.One>>otherIndex)
	}
}

func target(r *binary.Rules, word uint32) string {
	index := int(word & indexWidth)
	if index < firstTarget {
		return fmt.Sprint(index)
	}
	if index -= firstTarget; index < len(r.Targets) {
		return r.Targets[index]
	}
	return fmt.Sprintf("%d is out of bounds", index)
}

func accept(a dfa.Accept, r *binary.Rules) string {
	text := fmt.Sprintf("%#x %#x", a.One, a.Two)
	if targets := []string{target(r, a.One>>ownerIndex), target(r, a.One>>otherIndex)}; len(r.Targets) > 0 && !slices.Equal(targets, []string{"0", "0"}) {
		text += fmt.Sprintf(" (to %s)", strings.ReplaceAll(strings.Join(targets, ", "), "\x00", "\\0"))
	}
	return text
}

// The comparison is what the equivalence rests on: each of its parts sees what it is for.
func TestDifferencesAreSeen(t *testing.T) {
	from := reference.Sources{Features: debianFeatures}
	decode := func(text string) *binary.Policy {
		stream, err := compile(t.Context(), from, "-", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		policy, err := binary.Decode(stream)
		if err != nil {
			t.Fatal(err)
		}
		return policy
	}
	const text = "profile a /bin/a { /x r, /y px -> one, /z px -> two, signal, capability kill, }"
	for name, other := range map[string]string{
		"":              "profile a /bin/a { /z px -> two, /y px -> one, /x r, capability kill, signal, }",
		"profiles":      text + "profile b { }",
		"a: Mode":       strings.Replace(text, "{", "flags=(complain) {", 1),
		"a: Capabilit":  strings.Replace(text, "kill", "chown", 1),
		"a: xmatch":     strings.Replace(text, "/bin/a", "/bin/[ab]", 1),
		"a: policydb":   strings.Replace(text, "signal,", "signal (send),", 1),
		"a: file: \"/x": strings.Replace(text, "/x r,", "/x w,", 1),
		"a: file: \"/y": strings.Replace(text, "-> one", "-> three", 1),
	} {
		got := differences(decode(text), decode(other))
		if seen := slices.ContainsFunc(got, func(one string) bool { return strings.HasPrefix(one, name) }); (name != "") != seen || name == "" && len(got) > 0 {
			t.Errorf("%q: %q", name, got)
		}
	}
}
