// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// pairLine is a rule about two strings with a NUL between them: a link and its target, or a program and the profile that it is to change to.
type pairLine struct {
	first, second glob
	owner         bool
	audit, deny   bool
	subset        bool
	change        bool
	unsafe        bool
	program       bool // of change: the program is the rule's, not every one
}

// The bits of covers of pairs beside those of permBase: the change of profile at the next exec, and how that is.
const (
	pairOnExec = 1 << 14
	pairExec   = 1 << 15
	pairUnsafe = 1 << 30

	pairLink   = uint64(permLink)
	pairSubset = uint64(permSubset)
	pairLinks  = pairLink | pairLink<<otherBits
)

// twoPhases is the automaton that knows whether a NUL has come, and says nothing before that.
func twoPhases(a *dfa.Automaton) *dfa.Automaton {
	n := uint32(len(a.Accept))
	zero := a.Classes
	two := &dfa.Automaton{Class: a.Class, Classes: a.Classes + 1, Accept: make([]dfa.Accept, 2*n)}
	two.Class[0] = uint8(zero)
	copy(two.Accept[n:], a.Accept)
	shifted := func(state uint32) uint32 {
		if state == 0 {
			return 0
		}
		return state + n
	}
	for phase := range uint32(2) {
		for state := range n {
			for _, to := range a.Row(state) {
				if phase == 1 {
					to = shifted(to)
				}
				two.Next = append(two.Next, to)
			}
			two.Next = append(two.Next, shifted(a.Step(state, 0)))
		}
	}
	return two
}

// findPairs finds the link and change_profile rules: what pairs say that l of file rules has not said already.
func (f *fileShow) findPairRules(ctx context.Context) (bool, error) {
	a := twoPhases(f.rules.Automaton)
	if a.Classes > 256 {
		f.problem = "every byte is of a class of its own"
		return false, nil
	}
	var seeds, denied []covered
	target := dfa.Concat(dfa.Literal("\x00/"), dfa.OneOf(func(b byte) bool { return b != '/' }), dfa.Star(anyByte))
	for _, line := range f.lines {
		if line.letters&permLink == 0 {
			continue
		}
		seed := covered{pattern: dfa.Concat(line.glob.pattern(), target)}
		if !line.other {
			seed.bits |= pairLink | pairSubset
		}
		if !line.owner {
			seed.bits |= pairLink << otherBits
		}
		if line.audit {
			seed.bits |= (seed.bits &^ pairSubset) << auditBits
		}
		if line.deny {
			seed.bits &^= pairSubset
			denied = append(denied, seed)
		} else {
			seeds = append(seeds, seed)
		}
	}
	quiet := func(accept dfa.Accept) uint64 {
		s := fileStateOf(accept)
		return uint64(s.halves[0].quiet&permLink) | uint64(s.halves[1].quiet&permLink)<<otherBits
	}
	if ok, err := f.pairCover(ctx, a, denied, quiet, quiet, func(one covered) pairLine { return pairLine{deny: true, owner: one.bits>>otherBits == 0} }); !ok || err != nil {
		return false, err
	}
	allowed := func(accept dfa.Accept) uint64 {
		s := fileStateOf(accept)
		bits := uint64(s.halves[0].allow&(permLink|permSubset)) | uint64(s.halves[1].allow&permLink)<<otherBits
		bits |= (uint64(s.halves[0].audit&permLink) | uint64(s.halves[1].audit&permLink)<<otherBits) << auditBits
		if accept.One&permOnExec != 0 {
			bits |= pairOnExec
			if accept.One&permExec != 0 {
				bits |= pairExec
			}
			if accept.One&permUnsafe != 0 {
				bits |= pairUnsafe
			}
		}
		return bits
	}
	return f.pairCover(ctx, a, seeds, allowed, func(accept dfa.Accept) uint64 {
		bits := allowed(accept) | quiet(accept)
		if quiet(accept)&pairLink != 0 {
			bits |= pairSubset
		}
		return bits
	}, func(one covered) pairLine {
		return pairLine{
			owner: one.bits&pairLinks>>otherBits == 0, subset: one.bits&pairSubset != 0, audit: one.bits&(pairLinks<<auditBits) != 0,
			change: one.bits&pairOnExec != 0, program: one.bits&pairExec != 0, unsafe: one.bits&pairUnsafe != 0,
		}
	})
}

func (f *fileShow) pairCover(ctx context.Context, a *dfa.Automaton, seeds []covered, need, may func(dfa.Accept) uint64, line func(covered) pairLine) (bool, error) {
	c := &cover{automaton: a, start: f.start, noZero: true}
	c.choose = func(missing, may uint64) uint64 {
		if changes := missing & (pairOnExec | pairExec | pairUnsafe); changes != 0 {
			return changes
		}
		missing |= missing >> auditBits & pairLinks
		return missing
	}
	for state, accept := range a.Accept {
		if state < len(f.states) {
			accept = dfa.Accept{}
		}
		c.need, c.may = append(c.need, need(accept)), append(c.may, may(accept))
	}
	for _, seed := range seeds {
		c.extra = append(c.extra, dfa.Rule{Pattern: seed.pattern, Tag: len(c.bits)})
		c.bits = append(c.bits, seed.bits)
	}
	ok, err := c.run(ctx)
	for _, one := range c.found {
		made := line(one)
		parts := splitGlob(one.glob)
		if len(parts) != 2 {
			f.stuck = append(f.stuck, "pair "+one.glob.String())
			continue
		}
		made.first, made.second = parts[0], parts[1]
		f.pairLines = append(f.pairLines, made)
	}
	f.addStuck("pair", c)
	return ok, err
}

// addStuck remembers what no rule gives.
func (f *fileShow) addStuck(what string, c *cover) {
	for _, m := range c.stuck {
		f.stuck = append(f.stuck, what+" "+literalGlob(string(m.text)).String())
	}
}

// changes reports whether profiles may be changed to.
func (f *fileShow) changes() bool {
	return slices.ContainsFunc(f.rules.Automaton.Accept, func(accept dfa.Accept) bool { return accept.One&permChangeProfile != 0 })
}

// implicit are the permissions that profiles get which have children or change profiles, as the compiler gives them.
func (f *fileShow) implicit() []covered {
	if !f.hats && !f.changes() {
		return nil
	}
	var list []covered
	add := func(text string, bits uint64) {
		if pattern, err := dfa.Glob(text, dfa.PathGlob); err == nil {
			list = append(list, covered{pattern: pattern, bits: bits})
		}
	}
	for _, one := range implicitRules(f.hats, f.changes()) {
		add(one.path, uint64(one.perms))
	}
	return list
}

// implicitRule is a permission that no rule asks for.
type implicitRule struct {
	path  string
	perms uint32
}

func implicitRules(hats, changes bool) []implicitRule {
	list := []implicitRule{{"/proc/*/attr/apparmor/", permRead}, {"/sys/module/apparmor/parameters/enabled", permRead}}
	if hats {
		list = append(list, implicitRule{"/proc/[0-9]*/attr/{apparmor/,}current", permWrite})
	}
	if changes {
		list = append(list, implicitRule{"/proc/*/attr/{apparmor/,}{current,exec}", permWrite})
	}
	return list
}

func (l *pairLine) text() string {
	qualifiers := words(ifTrue(l.audit, "audit"), ifTrue(l.deny, "deny"), ifTrue(l.owner && !l.change, "owner"))
	if !l.change {
		return words(qualifiers, "link", ifTrue(l.subset, "subset"), l.first.word(), "->", l.second.word()) + ","
	}
	program := ""
	if l.program {
		program = words(ifTrue(l.unsafe, "unsafe"), l.first.word())
	}
	target := l.second.word()
	if target == "**" {
		return words("change_profile", program) + ","
	}
	return words("change_profile", program, "->", target) + ","
}

// texts are all rules of files, sorted: first what is allowed, by path, then what is denied.
func (f *fileShow) texts() []string {
	var allowed, denied, changes []string
	for _, line := range f.merged() {
		if line.deny {
			denied = append(denied, line.text(f))
			continue
		}
		allowed = append(allowed, line.text(f))
	}
	for _, line := range f.pairLines {
		switch {
		case line.change:
			changes = append(changes, line.text())
		case line.deny:
			denied = append(denied, line.text())
		default:
			allowed = append(allowed, line.text())
		}
	}
	slices.SortStableFunc(allowed, byPath)
	slices.SortStableFunc(denied, byPath)
	slices.Sort(changes)
	all := slices.Concat(allowed, denied, changes)
	for _, text := range f.stuck {
		all = append(all, "# no rule of the language gives this alone: "+text)
	}
	return slices.Compact(all)
}

// byPath compares rules by what begins with the first slash.
func byPath(a, b string) int {
	path := func(text string) string {
		if at := strings.IndexByte(text, '/'); at >= 0 {
			return text[at:]
		}
		return ""
	}
	return strings.Compare(path(a), path(b))
}

// merged are the lines, those of one glob for the same files made one.
func (f *fileShow) merged() []fileLine {
	type key struct {
		glob                      string
		owner, other, audit, deny bool
	}
	var lines []fileLine
	places := map[key]int{}
	for _, line := range f.lines {
		k := key{line.glob.String(), line.owner, line.other, line.audit, line.deny}
		at, ok := places[k]
		if ok && (line.x == 0 || lines[at].x == 0) {
			lines[at].x |= line.x
			lines[at].letters |= line.letters
			continue
		}
		places[k] = len(lines)
		lines = append(lines, line)
	}
	return lines
}

func (l *fileLine) text(f *fileShow) string {
	qualifiers := words(ifTrue(l.audit, "audit"), ifTrue(l.deny, "deny"), ifTrue(l.owner, "owner"), ifTrue(l.other, "other"))
	permissions := showLetters(l.letters, l.deny)
	target := ""
	if l.x != 0 {
		mode, to := f.execText(l.x)
		permissions += mode
		if to != "" {
			target = "-> " + to
		}
	}
	const every = permRead | permWrite | permLink | permLock
	if l.glob.String() == everyFile && l.letters&every == every && l.x == permExec|permInherit {
		return words(qualifiers, "file") + ","
	}
	return words(qualifiers, l.glob.word(), permissions, target) + ","
}

// showLetters are the letters of a rule; x is of deny rules only.
func showLetters(bits uint32, deny bool) string {
	var text strings.Builder
	for _, letter := range [...]struct {
		name byte
		bit  uint32
	}{{'r', permRead}, {'w', permWrite}, {'a', permAppend}, {'k', permLock}, {'l', permLink}, {'m', permMap}, {'x', permExec}} {
		if bits&letter.bit == 0 || letter.name == 'a' && bits&permWrite != 0 || letter.name == 'x' && !deny {
			continue
		}
		text.WriteByte(letter.name)
	}
	return text.String()
}

// execText is the mode of an x, and its target.
func (f *fileShow) execText(x uint32) (mode, target string) {
	index := x & execIndexMask >> execIndexShift
	switch index {
	case indexInherit:
		return "ix", ""
	case indexUnconfined:
		mode = "u"
	case indexProfile:
		mode = "p"
	case indexChild:
		mode = "c"
	default:
		mode = "p"
		if int(index) < indexTable+len(f.rules.Targets) {
			target = strings.ReplaceAll(strings.TrimRight(f.rules.Targets[index-indexTable], "\x00"), "\x00", ":")
		}
		if child, ok := strings.CutPrefix(target, f.name+"//"); ok {
			mode, target = "c", child
		}
		target = profileWord(target)
	}
	switch {
	case x&permInherit != 0:
		mode += "i"
	case x&permPUX != 0:
		mode += "u"
	}
	if x&permUnsafe == 0 {
		mode = strings.ToUpper(mode[:1]) + mode[1:]
		mode = strings.Replace(mode, "u", "U", 1)
	}
	return mode + "x", target
}
