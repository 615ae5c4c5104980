// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// Show writes compiled policy as text of the language. What it writes means exactly what the tables mean: the rules are found in the automata, and compiled
// again they give the same ones. Where the language has no rules for a part, or none that are few enough to read, a comment says so and shows what is there.
func Show(ctx context.Context, policy *binary.Policy) (string, error) {
	s := shower{policy: policy}
	for _, profile := range policy.Profiles {
		if parent, _ := s.parent(profile); parent != nil {
			continue
		}
		if err := s.profile(ctx, profile, 0); err != nil {
			return "", err
		}
	}
	return s.text.String(), nil
}

type shower struct {
	policy *binary.Policy
	text   strings.Builder
}

func (s *shower) line(depth int, format string, arguments ...any) {
	s.text.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&s.text, format, arguments...)
	s.text.WriteByte('\n')
}

// parent is the profile of the policy that a profile is a child of, and its name there.
func (s *shower) parent(profile *binary.Profile) (*binary.Profile, string) {
	var parent *binary.Profile
	for _, other := range s.policy.Profiles {
		if other.Namespace == profile.Namespace && strings.HasPrefix(profile.Name, other.Name+"//") && (parent == nil || len(other.Name) > len(parent.Name)) {
			parent = other
		}
	}
	if parent == nil {
		return nil, profile.Name
	}
	return parent, profile.Name[len(parent.Name)+2:]
}

// profile writes a profile and its children in it.
func (s *shower) profile(ctx context.Context, profile *binary.Profile, depth int) error {
	if s.text.Len() > 0 {
		s.line(0, "")
	}
	var children []*binary.Profile
	for _, other := range s.policy.Profiles {
		if parent, _ := s.parent(other); parent == profile {
			children = append(children, other)
		}
	}
	if err := s.head(ctx, profile, depth); err != nil {
		return err
	}
	if missing := notShown(profile); missing != "" {
		s.line(depth+1, "# the profile has more, which is not shown: %s", missing)
	}
	s.capabilities(profile, depth+1)
	s.rlimits(profile, depth+1)
	if err := s.policyRules(ctx, profile, depth+1); err != nil {
		return err
	}
	if err := s.fileRules(ctx, profile, len(children) > 0, depth+1); err != nil {
		return err
	}
	for _, child := range children {
		if err := s.profile(ctx, child, depth+1); err != nil {
			return err
		}
	}
	s.line(depth, "}")
	return nil
}

// head writes the line that a profile begins with.
func (s *shower) head(ctx context.Context, profile *binary.Profile, depth int) error {
	parent, name := s.parent(profile)
	if profile.Namespace != "" && parent == nil {
		name = ":" + profile.Namespace + ":" + name
	}
	keyword := "profile"
	if profile.Hat {
		keyword = "hat"
	}
	s.line(depth, "# version %d of the stream", profile.Version.Kernel)
	attachment, err := attachmentOf(ctx, profile)
	if err != nil {
		return err
	}
	if attachment == name || profile.Hat {
		attachment = ""
	}
	flags := showFlags(profile)
	s.line(depth, "%s {", words(keyword, profileWord(name), attachment, ifTrue(flags != "", "flags=("+flags+")")))
	return nil
}

func profileWord(name string) string {
	if name == "" || strings.ContainsAny(name, " \t\n,\"#=(){}") {
		return `"` + strings.ReplaceAll(name, `"`, `\"`) + `"`
	}
	return name
}

// notShown names what a profile has besides rules that has no place in the text.
func notShown(profile *binary.Profile) string {
	var parts []string
	for _, part := range []struct {
		there bool
		name  string
	}{
		{len(profile.XAttrs) > 0, "xattrs " + strings.Join(profile.XAttrs, " ")}, {profile.Rename != "", "rename " + profile.Rename},
		{len(profile.Secmarks) > 0, "secmarks"}, {len(profile.Data) > 0, "data"}, {profile.DisconnectedIPC != "", "disconnected_ipc " + profile.DisconnectedIPC},
		{profile.KillSignal != 0, fmt.Sprintf("kill signal %d", profile.KillSignal)}, {profile.Error != 0, fmt.Sprintf("error %d", profile.Error)},
		{profile.Capabilities.Extended != 0, "extended capabilities"},
	} {
		if part.there {
			parts = append(parts, part.name)
		}
	}
	return strings.Join(parts, ", ")
}

// attachmentOf rebuilds the pattern that a profile attaches by.
func attachmentOf(ctx context.Context, profile *binary.Profile) (string, error) {
	if profile.Attachment != "" {
		return attachmentWord(profile.Attachment), nil
	}
	if profile.XMatch == nil || profile.XMatch.Automaton == nil {
		return "", nil
	}
	a := profile.XMatch.Automaton
	c := &cover{automaton: a, start: dfa.Start, choose: lowestSet, endByte: true, budget: 100, fixed: 1}
	for _, accept := range a.Accept {
		c.need, c.may = append(c.need, uint64(accept.One&permExec)), append(c.may, uint64(accept.One&permExec))
	}
	ok, err := c.run(ctx)
	if err != nil || !ok || len(c.found) == 0 {
		return "", err
	}
	var choices []string
	for _, one := range c.found {
		choices = append(choices, one.glob.String())
	}
	slices.Sort(choices)
	if len(choices) == 1 {
		return attachmentWord(choices[0]), nil
	}
	for i, choice := range choices {
		choices[i] = strings.TrimPrefix(choice, "/")
	}
	return attachmentWord("/{" + strings.Join(choices, ",") + "}"), nil
}

func attachmentWord(text string) string {
	if strings.ContainsAny(text, " \t\n\"") {
		return `"` + text + `"`
	}
	return text
}

// showFlags are the words of flags=().
func showFlags(profile *binary.Profile) string {
	var flags []string
	add := func(is bool, word string) {
		if is {
			flags = append(flags, word)
		}
	}
	add(profile.Mode == binary.ModeComplain || profile.Version.ForceComplain, "complain")
	add(profile.Mode == binary.ModeKill, "kill")
	add(profile.Mode == binary.ModeUnconfined, "unconfined")
	add(profile.Mode == binary.ModeUser, "prompt")
	add(profile.Audit, "audit")
	attach := "attach_disconnected"
	if profile.Disconnected != "" {
		attach += ".path=" + profile.Disconnected
	}
	add(profile.PathFlags&binary.PathAttachDisconnected != 0, attach)
	add(profile.PathFlags&binary.PathMediateDeleted != 0, "mediate_deleted")
	add(profile.PathFlags&binary.PathChrootRelative != 0, "chroot_relative")
	add(profile.PathFlags&binary.PathChrootAttach != 0, "chroot_attach")
	return strings.Join(flags, ",")
}

// capabilities writes the capability rules.
func (s *shower) capabilities(profile *binary.Profile, depth int) {
	caps := profile.Capabilities
	names := capabilityNames()
	all := uint64(1)<<len(names) - 1
	for _, rule := range []struct {
		qualifier string
		set       uint64
	}{{"", caps.Allow &^ caps.Audit}, {"audit ", caps.Allow & caps.Audit}, {"deny ", caps.Quiet}} {
		switch {
		case rule.set&all == 0:
		case rule.set&all == all:
			s.line(depth, "%scapability,", rule.qualifier)
		default:
			for number, name := range names {
				if rule.set>>number&1 != 0 {
					s.line(depth, "%scapability %s,", rule.qualifier, name)
				}
			}
		}
	}
}

// rlimits writes the limits, in the units of setrlimit(2) that need none.
func (s *shower) rlimits(profile *binary.Profile, depth int) {
	if profile.Rlimits == nil {
		return
	}
	for number, name := range rlimitNames {
		if profile.Rlimits.Mask>>number&1 == 0 {
			continue
		}
		value := profile.Rlimits.Values[number]
		switch {
		case value == ^uint64(0):
			s.line(depth, "set rlimit %s <= infinity,", name)
		case name == "nice":
			s.line(depth, "set rlimit nice <= %d,", 20-int64(value))
		case name == "rttime":
			s.line(depth, "set rlimit rttime <= %dus,", value)
		default:
			s.line(depth, "set rlimit %s <= %d,", name, value)
		}
	}
}

// strayUnix is the first byte of a string that apparmor_parser writes where Unix sockets are mediated (see mediation.go), and no kernel looks for.
const strayUnix = '4'

// shownClasses are those whose rules are shown, or that are no rules of their own: of files, whose automaton is another, and of stacked labels.
var shownClasses = []byte{classFile, classNetwork, classMount, classPtrace, classSignal, classNetworkV8, classLabel, classPOSIXMQ, classSysVMQ, classNamespace, classIOUring,
	classDBus, strayUnix}

// policyRules writes the rules of policydb.
func (s *shower) policyRules(ctx context.Context, profile *binary.Profile, depth int) error {
	rules := profile.PolicyDB
	if rules == nil || rules.Automaton == nil {
		s.line(depth, "# nothing but files and capabilities is mediated")
		return nil
	}
	if rules.Permissions != nil {
		s.line(depth, "# the permissions are in a table, whose rows the states name, and are not shown as rules; the automaton:")
		s.transitions(rules, startState(rules), depth)
		return nil
	}
	if profile.NetworkAllowed != nil && len(profile.NetworkAllowed) <= 256 {
		s.networkTable(profile, depth)
	}
	for _, class := range []byte{classNetworkV8, classMount, classSignal, classPtrace, classDBus, classNamespace, classIOUring, classPOSIXMQ, classSysVMQ} {
		if classStart(profile, class) == 0 {
			continue
		}
		if class == classNetworkV8 {
			s.network(profile, depth)
			continue
		}
		lines, ok, err := classCover(ctx, rules, class)
		if err != nil {
			return err
		}
		if !ok {
			s.line(depth, "# the rules of class %d are more than can be shown", class)
			continue
		}
		s.policyLines(lines, depth)
	}
	for class := range 256 {
		if !slices.Contains(shownClasses, byte(class)) && classStart(profile, byte(class)) != 0 {
			s.line(depth, "# class %d is mediated, and its rules are not shown", class)
		}
	}
	if classStart(profile, classNetwork) != 0 && rules.Automaton.Walk(classStart(profile, classNetwork), big16(familyUnix)) != 0 {
		return s.unix(ctx, rules, depth)
	}
	return nil
}

func (s *shower) policyLines(lines []policyLine, depth int) {
	var texts []string
	for i := range lines {
		text, ok := lines[i].text()
		if !ok {
			text = fmt.Sprintf("# no rule of the language: class %d %s, permissions %#x%s", lines[i].class, lines[i].glob, lines[i].perms, ifTrue(lines[i].deny, ", denied"))
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		s.line(depth, "%s", text)
	}
}

// unix writes the rules of Unix sockets where they are finely mediated in class 4: the one for all of them, or in comments the strings that others are about.
func (s *shower) unix(ctx context.Context, rules *binary.Rules, depth int) error {
	all, err := everyUnix(ctx)
	if err != nil {
		return err
	}
	a := rules.Automaton
	same := func(a, b dfa.Accept) bool { return packed(a.One) == packed(b.One) && a.Two == b.Two }
	if dfa.Compare(a, all, a.Step(startState(rules), classNetwork), all.Step(dfa.Start, classNetwork), same) == nil {
		s.line(depth, "unix,")
		return nil
	}
	lines, ok, err := classCover(ctx, rules, classNetwork)
	if err != nil {
		return err
	}
	if !ok {
		s.line(depth, "# the rules for unix sockets are more than can be shown")
		return nil
	}
	s.policyLines(lines, depth)
	return nil
}

// everyUnix is the automaton of the rule for all Unix sockets.
func everyUnix(ctx context.Context) (*dfa.Automaton, error) {
	policy, err := syntax.Parse("unix", "profile unix {\nunix,\n}\n", syntax.Options{})
	if err != nil {
		return nil, err
	}
	u := makeUnits(policy, &Options{Features: Features{map[string]string{"network/af_mask": "unix", "network/af_unix": "yes"}}})[0]
	rules, err := u.rules(ctx, append(u.policyEntries(u.profile.Rules[0]), u.mediates()...), false)
	if err != nil {
		return nil, err
	}
	return rules.Automaton, nil
}

// transitions writes an automaton as it is, in comments: of each state what it says, and where bytes lead.
func (s *shower) transitions(rules *binary.Rules, start uint32, depth int) {
	const most = 4000
	a := rules.Automaton
	states := a.Reachable(start)
	for i, row := range rules.Permissions {
		s.line(depth, "# row %d: allow %#x, deny %#x, audit %#x, quiet %#x, x %#x", i, row.Allow, row.Deny, row.Audit, row.Quiet, row.XIndex)
	}
	for i, state := range states {
		if i == most {
			s.line(depth, "# and %d states more", len(states)-most)
			return
		}
		if state == 0 {
			continue
		}
		var leads []string
		targets := map[uint32]byteSet{}
		var order []uint32
		for b := range 256 {
			to := a.Step(state, byte(b))
			if to == 0 {
				continue
			}
			set, known := targets[to]
			if !known {
				order = append(order, to)
			}
			set.add(byte(b))
			targets[to] = set
		}
		for _, to := range order {
			set := targets[to]
			leads = append(leads, fmt.Sprintf("%s %d", glob{{set: set}}, to))
		}
		accept := a.Accept[state]
		s.line(depth, "# state %d: %#x %#x: %s", state, accept.One, accept.Two, strings.Join(leads, ", "))
	}
}
