// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// header makes what stands before a profile's rules.
func (u *unit) header(ctx context.Context) (*binary.Profile, error) {
	flags := &u.profile.Flags
	p := &binary.Profile{
		Version: streamVersion(u.kernel), Namespace: u.namespace, Name: u.name, Hat: u.profile.Hat, Audit: flags.Audit,
		Mode: u.mode(), PathFlags: pathFlags(flags), Disconnected: u.flagPath(flags.DisconnectedPath), DisconnectedIPC: u.flagPath(flags.DisconnectedIPCPath),
	}
	if number, ok := signalNumber(flags.KillSignal); ok && u.kernel.Has(killSignalFeature) {
		p.KillSignal = uint32(number)
	}
	p.HasPathFlags = flags.DelegateDeleted || flags.NamespaceRelative || flags.NoAttachDisconnect || flags.ChrootNoAttach
	if flags.Debug {
		p.Flags |= flagDebug
	}
	u.lackFlags(flags)
	u.lackDenials()
	return p, u.attach(ctx, p)
}

// flagPath is the path of a flag. It is a path, not a pattern.
func (u *unit) flagPath(path string) string {
	if path == "" {
		return ""
	}
	for _, text := range u.expand(syntax.Word{Position: u.profile.Flags.Position, Text: path}) {
		literal, ok := dfa.LiteralGlob(text, dfa.PathGlob)
		if !ok {
			u.reportAt(u.profile.Flags.Position, "the path %q of a flag stands for several paths", path)
		}
		path = literal
	}
	return "/" + strings.Trim(path, "/")
}

// killSignalFeature is of kernels by which a profile chooses the signal of its kill mode.
const killSignalFeature = "domain/kill.signal"

// flagDebug makes the kernel trace what the profile does, where it was built for that.
const flagDebug = 2

// streamVersion is the newest version of the stream up to 7 that the kernel takes; what came later is not needed for anything that we write.
func streamVersion(kernel Features) binary.Version {
	for _, one := range [...]struct {
		name   string
		number int
	}{{"v7", 7}, {"v6", 6}} {
		if kernel.Has("policy/versions/" + one.name) {
			return binary.Version{Kernel: one.number, Parser: 2, Policy: 2}
		}
	}
	return binary.Version{Kernel: 5}
}

func (u *unit) mode() uint32 {
	if u.options.Complain {
		return binary.ModeComplain
	}
	switch u.profile.Flags.Mode {
	case syntax.Complain:
		return binary.ModeComplain
	case syntax.Kill:
		return binary.ModeKill
	case syntax.Unconfined, syntax.DefaultAllow:
		return binary.ModeUnconfined // without permission tables there is no default but deny: the kernel lets such a profile do what unconfined may
	case syntax.Prompt:
		if u.kernel.Has("policy/permstable32") {
			return binary.ModeUser // kernels before those refuse a profile of this mode
		}
	}
	return binary.ModeEnforce // of prompt, too: where nobody can be asked, what no rule allows is denied
}

func pathFlags(flags *syntax.Flags) uint32 {
	var bits uint32
	for _, one := range [...]struct {
		set bool
		bit uint32
	}{
		{flags.AttachDisconnected || flags.DisconnectedPath != "", binary.PathAttachDisconnected},
		{flags.AttachIPC || flags.DisconnectedIPCPath != "", binary.PathAttachIPC},
		{flags.ChrootRelative, binary.PathChrootRelative},
		{flags.ChrootAttach, binary.PathChrootAttach},
		{flags.MediateDeleted, binary.PathMediateDeleted},
	} {
		if one.set {
			bits |= one.bit
		}
	}
	return bits
}

// lackFlags says which flags the stream or the target has no place for.
func (u *unit) lackFlags(flags *syntax.Flags) {
	for _, one := range [...]struct {
		set     bool
		feature string
		name    string
	}{
		{flags.KillSignal != "", killSignalFeature, "kill.signal="},
		{flags.Error != "", "", "error="},
		{flags.Interruptible, "", "interruptible"},
		{flags.Mode == syntax.Prompt, "", "prompt"},
		{flags.DisconnectedPath != "", "domain/disconnected.path", "attach_disconnected.path="},
		{flags.AttachIPC || flags.DisconnectedIPCPath != "", "domain/disconnected.ipc", "attach_disconnected.ipc"},
	} {
		if one.set && (one.feature == "" || !u.kernel.Has(one.feature)) {
			u.lackAt(flags.Position, "the target does not take the flag %s", one.name)
		}
	}
}

// lackDenials says of a profile that allows what no rule is about that its denials do not hold: the target has no such profiles, and what it has
// instead is not confined at all.
func (u *unit) lackDenials() {
	if u.profile.Flags.Mode != syntax.DefaultAllow {
		return
	}
	for _, rule := range u.profile.Rules {
		if rule.Head().Deny {
			u.lack(rule, "the target has no flag default_allow: the profile is unconfined, and this denial does not hold")
		}
	}
}

// attach makes the automaton of the attachment, by which the kernel finds the profile for a program. A profile whose name has no wildcard and that has no
// attachment of its own is found by its name.
func (u *unit) attach(ctx context.Context, p *binary.Profile) error {
	word := u.profile.Attachment
	if word == nil {
		if u.profile.Hat {
			return nil
		}
		own := u.profile.Name
		if at := strings.LastIndex(own.Text, "//"); at >= 0 {
			own.Text = own.Text[at+len("//"):] // parent//child: the kernel looks for a child by what is its own of the name
		}
		word = &own
	}
	texts := u.expandPath(*word)
	if u.profile.Attachment == nil && len(u.profile.XAttrs) == 0 && len(texts) == 1 && isLiteral(texts[0]) {
		return nil
	}
	var rules []dfa.Rule
	for i, text := range texts {
		pattern, err := dfa.Glob(text, dfa.PathGlob)
		if err != nil {
			u.reportAt(word.Position, "attachment %q: %v", text, err)
			return nil
		}
		rules = append(rules, dfa.Rule{Pattern: pattern})
		if length := fixedLength(syntax.CollapseSlashes(text)); i == 0 || length < p.XMatchLength {
			p.XMatchLength = length
		}
	}
	if len(rules) == 0 {
		return nil
	}
	rules = u.attachXAttrs(p, rules)
	automaton, err := dfa.Compile(ctx, rules, func([]int) (dfa.Accept, error) { return dfa.Accept{One: permExec}, nil }, u.options.Limits)
	if err != nil {
		return err
	}
	p.XMatch, err = tables(automaton)
	return err
}

// attachXAttrs appends what the kernel matches behind the path: for each attribute a separator that no path contains, a NUL and the value. Up to each
// value the string must be accepted.
func (u *unit) attachXAttrs(p *binary.Profile, rules []dfa.Rule) []dfa.Rule {
	if len(u.profile.XAttrs) == 0 {
		return rules
	}
	if !u.features.Has("domain/attach_conditions/xattr") {
		u.lackAt(u.profile.XAttrs[0].Position, "the target does not match extended attributes")
		return rules
	}
	separator := u.shared.nul
	if u.kernel.Has("policy/outofband") {
		separator = dfa.OutOfBand()
	}
	paths := make([]dfa.Pattern, len(rules))
	for i, rule := range rules {
		paths[i] = rule.Pattern
	}
	prefix := dfa.Alternate(paths...)
	for _, attribute := range slices.Backward(u.profile.XAttrs) { // any order is right, this one is apparmor_parser's
		if attribute.Value.Text == "" && !attribute.Value.Quoted {
			attribute.Value.Text = everyLabel // that it is there is all that is asked
		}
		var values []dfa.Pattern
		for _, text := range u.expand(attribute.Value) {
			value, err := dfa.Glob(text, dfa.NullGlob)
			if err != nil {
				u.reportAt(attribute.Position, "value of %s: %v", attribute.Name, err)
				return rules
			}
			values = append(values, value)
		}
		prefix = dfa.Concat(prefix, separator, u.shared.nul, dfa.Alternate(values...))
		rules = append(rules, dfa.Rule{Pattern: prefix})
		p.XAttrs = append(p.XAttrs, attribute.Name)
	}
	return rules
}

// fixedLength is how many bytes of a path a glob says for sure before its first wildcard that is longer than a byte; of several alternatives the fewest.
// Kernels that do not count for themselves prefer the profile with more.
func fixedLength(glob string) uint32 {
	length, _, _ := fixedPrefix(glob, 0)
	return length
}

// fixedPrefix reads one sequence of a glob, up to its end or the comma or brace that ends it. open reports that it went on to its end.
func fixedPrefix(glob string, at int) (length uint32, end int, open bool) {
	open = true
	count := func() {
		if open {
			length++
		}
	}
	for at < len(glob) {
		switch glob[at] {
		case '\\':
			count()
			at++
		case '?':
			count()
			open = false
		case '*':
			if at > 0 && glob[at-1] == '/' && starEndsComponent(glob, at) {
				count()
			}
			open = false
		case '[':
			count()
			open = open && at+1 < len(glob) && glob[at+1] != '^'
			for at+1 < len(glob) && glob[at] != ']' {
				at++
			}
		case '{':
			fewest, after, all := fixedAlternatives(glob, at+1)
			if open {
				length += fewest
				open = all
			}
			at = after
			continue
		case '}', ',':
			return length, at, open
		default:
			count()
		}
		at++
	}
	return length, at, open
}

func fixedAlternatives(glob string, at int) (fewest uint32, end int, open bool) {
	open = true
	for first := true; at < len(glob); first = false {
		length, after, all := fixedPrefix(glob, at)
		if first || length < fewest {
			fewest = length
		}
		open = open && all
		at = after + 1
		if after >= len(glob) || glob[after] == '}' {
			return fewest, min(at, len(glob)), open
		}
	}
	return fewest, at, open
}

// starEndsComponent reports whether the stars at a place are all of the component that begins there.
func starEndsComponent(glob string, at int) bool {
	rest := strings.TrimLeft(glob[at:], "*")
	return rest == "" || rest[0] == '/'
}
