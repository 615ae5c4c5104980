// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// effective are the permissions as they decide: of the bits that are asked for, what is logged of those allowed, and what becomes of the others.
func (d *differ) effective(p permissions, asked uint32) permissions {
	allow := p.allow &^ p.deny & asked
	denied := asked &^ allow
	p = permissions{
		allow: allow, kill: p.kill & denied, complain: p.complain & denied, prompt: p.prompt & denied, hide: p.hide & denied,
		audit: p.audit & allow, quiet: p.quiet & denied, xindex: p.xindex,
	}
	if d.options.Access {
		p.audit, p.quiet = 0, 0
	}
	return p
}

// describe puts permissions into words: what is allowed, which the caller has put so, and what else becomes of which bits.
func (p permissions) describe(allowed string, words func(perms uint32) string) string {
	text := cmp.Or(allowed, "nothing")
	for _, also := range []struct {
		perms uint32
		what  string
	}{
		{p.audit, "logs"}, {p.quiet, "does not log"}, {p.kill, "kills for"}, {p.complain, "only logs"}, {p.prompt, "asks for"}, {p.hide, "hides for"},
	} {
		if also.perms != 0 {
			text += fmt.Sprintf(" (%s %s)", also.what, words(also.perms))
		}
	}
	return text
}

// nowhere is an automaton that accepts nothing, for what is not there.
func nowhere() *binary.Rules {
	return &binary.Rules{Automaton: &dfa.Automaton{Classes: 1, Next: make([]uint32, 2), Accept: make([]dfa.Accept, 2)}}
}

// The parts of a string of file rules.
const (
	filePartNone  = iota // before the first byte
	filePartPath         // a path, or the name of a profile that is one
	filePartLabel        // a label that a process changes to
	filePartPair         // behind the NUL: the target of a link, the label of an exec
)

func filePart(at place, b byte) (uint16, bool) {
	switch {
	case at.part == filePartNone && b == '/':
		return filePartPath, true
	case at.part == filePartNone && b != 0:
		return filePartLabel, true
	case b != 0:
		return at.part, true
	}
	return filePartPair, at.part == filePartPath
}

// fileAsked are the bits that the kernel asks for in a part.
func fileAsked(part uint16) uint32 {
	switch part {
	case filePartPath:
		return asked(classFile)
	case filePartLabel:
		return canOnExec | canChangeProfile
	case filePartPair:
		return canLink | linkSubset | canOnExec
	}
	return 0
}

// nulAndSlash tells the two bytes from others that begin parts.
func nulAndSlash(b byte) uint8 {
	switch b {
	case 0:
		return 1
	case '/':
		return 2
	}
	return 0
}

// fileView is what a state of file rules says to the owner of a file and to others.
type fileView struct {
	owner, other permissions
	exec         [2]string // of either
}

func (d *differ) fileView(rules *binary.Rules, state uint32, part uint16) fileView {
	view := fileView{
		owner: d.effective(filePermissions(rules, state, true), fileAsked(part)), other: d.effective(filePermissions(rules, state, false), fileAsked(part)),
	}
	for i, perms := range []*permissions{&view.owner, &view.other} {
		switch {
		case perms.allow&canExec != 0:
			view.exec[i] = execWord(perms.xindex, rules.Targets)
		case part == filePartPair && perms.allow&canOnExec != 0 && perms.xindex&execUnsafe == 0:
			view.exec[i] = "safe"
		}
		perms.xindex = 0
	}
	return view
}

// describe puts a view into the letters of rules, or into the kernel's words where these are to tell more.
func (v fileView) describe(part uint16, long bool) string {
	one := func(p permissions, exec string) string {
		if long {
			kernels := func(perms uint32) string { return strings.Join(accessWords(classFile, perms), " ") }
			return p.describe(words(kernels(p.allow), exec), kernels)
		}
		return p.describe(ruleWords(part, p.allow, exec), func(perms uint32) string {
			return cmp.Or(ruleWords(part, perms, ifTrue(perms&canExec != 0, "x")), strings.Join(accessWords(classFile, perms), " "))
		})
	}
	owner, other := one(v.owner, v.exec[0]), one(v.other, v.exec[1])
	if owner == other {
		return owner
	}
	return "owner " + owner + ", others " + other
}

// ruleWords are permissions as a rule has them; exec is how x is done.
func ruleWords(part uint16, perms uint32, exec string) string {
	change := words(ifTrue(perms&canChangeProfile != 0, "change_profile"), ifTrue(perms&canOnExec != 0, "onexec"))
	if part == filePartPair {
		return words(letters(perms&canLink), ifTrue(perms&linkSubset != 0, "subset"), exec, change)
	}
	return words(letters(perms&^canExec)+exec, change)
}

// bits are all that either view has, which a witness is to be about.
func (v fileView) bits() uint32 {
	return v.owner.allow | v.other.allow | v.owner.audit | v.other.audit | v.owner.quiet | v.other.quiet
}

// hideCommon takes away what both sides have of changing profiles: every path has it where a profile may change to another on any exec.
func hideCommon(x, y *fileView) {
	common := x.owner.allow & x.other.allow & y.owner.allow & y.other.allow & (canOnExec | canChangeProfile)
	for _, perms := range []*permissions{&x.owner, &x.other, &y.owner, &y.other} {
		perms.allow &^= common
	}
}

func (d *differ) files() error {
	a, startA := fileRules(d.a)
	b, startB := fileRules(d.b)
	if a == nil {
		a = nowhere()
	}
	if b == nil {
		b = nowhere()
	}
	walk := comparison{a: a.Automaton, b: b.Automaton, start: place{startA, startB, filePartNone}, part: filePart, alone: nulAndSlash}
	walk.differ = func(at place) (string, string, bool) {
		x, y := d.fileView(a, at.a, at.part), d.fileView(b, at.b, at.part)
		if x == y {
			return "", "", false
		}
		hideCommon(&x, &y)
		textA, textB := x.describe(at.part, false), y.describe(at.part, false)
		if textA == textB {
			textA, textB = x.describe(at.part, true), y.describe(at.part, true)
		}
		return textA, textB, true
	}
	found, err := walk.run(d.options.Witnesses)
	for _, w := range found {
		x, y := d.fileView(a, w.at.a, w.at.part), d.fileView(b, w.at.b, w.at.part)
		hideCommon(&x, &y)
		perms := x.bits() | y.bits()
		d.add("file", operation(classFile, w.text, perms), w.a, w.b)
	}
	d.more(found)
	return err
}

// attachment compares which programs a profile attaches to, and how surely.
func (d *differ) attachment() error {
	a, b := attachmentRules(d.a), attachmentRules(d.b)
	attaches := func(rules *binary.Rules, state uint32) bool {
		if rules.Permissions != nil {
			return tablePermissions(rules, rules.Automaton.Accept[state].One).allow&canExec != 0
		}
		return state != 0 && rules.Automaton.Accept[state].One&canExec != 0
	}
	words := func(attaches bool) string {
		if attaches {
			return "attaches"
		}
		return "does not attach"
	}
	walk := comparison{a: a.Automaton, b: b.Automaton, start: place{startState(a), startState(b), filePartNone}, alone: nulAndSlash}
	walk.part = func(at place, b byte) (uint16, bool) { return filePartPath, at.part != filePartNone || b == '/' }
	walk.differ = func(at place) (string, string, bool) {
		x, y := attaches(a, at.a), attaches(b, at.b)
		return words(x), words(y), x != y
	}
	found, err := walk.run(d.options.Witnesses)
	for _, w := range found {
		path, attributes, more := strings.Cut(w.text, "\x00")
		program := operation(classFile, path, canExec)
		if more {
			program += fmt.Sprintf(" with the attribute %q", attributes)
		}
		d.add("attachment", program, w.a, w.b)
	}
	d.more(found)
	if err == nil && found == nil && d.a.XMatch != nil && d.b.XMatch != nil {
		property(d, "surely matching bytes of the attachment", d.a.XMatchLength, d.b.XMatchLength, func(n uint32) string { return fmt.Sprint(n) })
	}
	return err
}

// attachmentRules are those of a profile; without any it attaches to the program of its own name.
func attachmentRules(p *binary.Profile) *binary.Rules {
	if p.XMatch != nil && p.XMatch.Automaton != nil {
		return p.XMatch
	}
	name := p.Name
	if i := strings.LastIndex(name, "//"); i >= 0 {
		name = name[i+2:]
	}
	if !strings.HasPrefix(name, "/") {
		return nowhere()
	}
	rules := nowhere()
	// A chain of states, one for each byte; class 0 is that of the bytes that the name has not.
	automaton := rules.Automaton
	for i := range len(name) {
		if automaton.Class[name[i]] == 0 {
			automaton.Class[name[i]] = uint8(automaton.Classes)
			automaton.Classes++
		}
	}
	states := len(name) + 2
	automaton.Next, automaton.Accept = make([]uint32, states*automaton.Classes), make([]dfa.Accept, states)
	for i := range len(name) {
		automaton.Next[(i+1)*automaton.Classes+int(automaton.Class[name[i]])] = uint32(i + 2)
	}
	automaton.Accept[states-1].One = canExec
	return rules
}
