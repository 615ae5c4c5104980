// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// half is what one half of an accept word says of files: those of the owner, or those of others.
type half struct {
	allow, audit, quiet uint32 // of permBase
	x                   uint32 // of permXHalf, 0 where not executed
}

// fileState is what a state of the file rules says.
type fileState struct{ halves [2]half }

func fileStateOf(a dfa.Accept) fileState {
	var s fileState
	for i := range s.halves {
		one, two := a.One>>(i*otherShift), a.Two>>(i*otherShift)
		s.halves[i] = half{allow: one & permBase, audit: two & permBase, quiet: two >> quietShift & permBase}
		if one&permExec != 0 {
			s.halves[i].x = one & permXHalf
		}
	}
	return s
}

// The bits of covers of file rules: those of permBase for the owner, then for others, and above both the same bits for what is logged.
const (
	otherBits = 7
	auditBits = 16
)

// fileShow finds the rules of an automaton of files.
type fileShow struct {
	rules   *binary.Rules
	start   uint32
	states  []fileState
	pairs   []pairMeaning // by state of a name
	exact   []bool        // few strings lead to the state
	lines   []fileLine
	problem string
	name    string // of the profile
	hats    bool   // it is a hat, or has children
	stuck   []string

	pairLines []pairLine
}

// fileLine is one rule that was found.
type fileLine struct {
	glob    glob
	owner   bool
	other   bool
	audit   bool
	deny    bool
	letters uint32 // permBase without x
	x       uint32 // permXHalf
}

// pairMeaning is what link pairs say whose first half is a name: whether l of a file rule, which is for every target, may be or is to be given.
type pairMeaning struct {
	may, need, denied [2]bool
}

func newFileShow(rules *binary.Rules) *fileShow {
	f := &fileShow{rules: rules, start: dfa.Start}
	if rules.DFAStart != 0 {
		f.start = rules.DFAStart
	}
	for _, accept := range rules.Automaton.Accept {
		f.states = append(f.states, fileStateOf(accept))
	}
	f.findPairs()
	f.findExact()
	return f
}

// findPairs looks at what follows a NUL behind each state.
func (f *fileShow) findPairs() {
	a := f.rules.Automaton
	known := map[uint32]pairMeaning{}
	f.pairs = make([]pairMeaning, len(f.states))
	for state := range f.states {
		behind := a.Step(a.Step(uint32(state), 0), '/')
		meaning, ok := known[behind]
		if !ok {
			meaning = f.pairMeaning(behind)
			known[behind] = meaning
		}
		f.pairs[state] = meaning
	}
}

func (f *fileShow) pairMeaning(behind uint32) pairMeaning {
	// l of a file rule is, in its pairs, l for everybody and for owners that the link may have only what its target has.
	bits := [2]uint32{permLink | permSubset, permLink}
	var m pairMeaning
	if behind == 0 {
		return m
	}
	a := f.rules.Automaton
	m = pairMeaning{may: [2]bool{true, true}, denied: [2]bool{true, true}}
	seen := map[uint32]bool{}
	var visit func(state uint32)
	visit = func(state uint32) {
		if seen[state] {
			return
		}
		seen[state] = true
		for i, h := range f.states[state].halves {
			denied := h.quiet&permLink != 0
			m.may[i] = m.may[i] && (denied || (h.allow|h.quiet)&bits[i] == bits[i])
			m.need[i] = m.need[i] || h.allow&permLink != 0
			m.denied[i] = m.denied[i] && denied
		}
		for _, next := range a.Row(state) {
			visit(next)
		}
	}
	for b := range 256 {
		if b != '/' {
			visit(a.Step(behind, byte(b)))
		}
	}
	for i := range m.need {
		m.need[i] = m.need[i] && m.may[i]
	}
	return m
}

// findExact finds the states that only a few strings lead to, all of them short enough to be counted.
func (f *fileShow) findExact() {
	const few, longest = 16, 512
	a := f.rules.Automaton
	counts := make([]int, len(f.states))
	var many []uint32
	from := map[uint32]int{f.start: 1}
	for length := 0; len(from) > 0; length++ {
		to := map[uint32]int{}
		for state, count := range from {
			if counts[state] > few {
				continue
			}
			counts[state] += count
			if counts[state] > few || length == longest {
				counts[state] = few + 1
				many = append(many, state)
				continue
			}
			for b := 1; b < 256; b++ {
				if next := a.Step(state, byte(b)); next != 0 {
					to[next] = min(to[next]+count, few+1)
				}
			}
		}
		from = to
	}
	for len(many) > 0 {
		state := many[len(many)-1]
		many = many[:len(many)-1]
		for b := 1; b < 256; b++ {
			if next := a.Step(state, byte(b)); next != 0 && counts[next] <= few {
				counts[next] = few + 1
				many = append(many, next)
			}
		}
	}
	f.exact = make([]bool, len(f.states))
	for state, count := range counts {
		f.exact[state] = count > 0 && count <= few
	}
}

// find finds all rules. It is false where a part needs more globs than anybody reads.
func (f *fileShow) find(ctx context.Context) (bool, error) {
	for _, step := range []func(context.Context) (bool, error){f.findDenials, f.findExecs, f.findAllowed, f.findPairRules} {
		if ok, err := step(ctx); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (f *fileShow) cover(need, may func(state int) uint64, choose func(missing, may uint64) uint64) *cover {
	c := &cover{automaton: f.rules.Automaton, start: f.start, fixed: 1, endByte: true, choose: choose}
	for state := range f.states {
		c.need = append(c.need, need(state))
		c.may = append(c.may, may(state))
	}
	return c
}

// chooseHalves takes what is missing for both owners and others first.
func chooseHalves(missing, may uint64) uint64 {
	const mask = uint64(permBase)
	other := missing >> otherBits & mask
	if both := other & (may & mask); both != 0 {
		return both | both<<otherBits
	}
	if owner := missing & mask; owner != 0 {
		return owner
	}
	return other << otherBits
}

// writeImpliesAppend takes a away where w is, as w gives it.
func writeImpliesAppend(bits uint32) uint32 {
	if bits&permWrite != 0 {
		bits &^= permAppend
	}
	return bits
}

// writable takes w away where a is not.
func writable(bits uint32) uint32 {
	if bits&permAppend == 0 {
		bits &^= permWrite
	}
	return bits
}

func (f *fileShow) findDenials(ctx context.Context) (bool, error) {
	bitsOf := func(state int, link func(pairMeaning, int) bool) uint64 {
		var bits uint64
		for i, h := range f.states[state].halves {
			quiet := h.quiet &^ permLink
			if link(f.pairs[state], i) {
				quiet |= permLink
			}
			bits |= uint64(quiet) << (i * otherBits)
		}
		return bits
	}
	c := f.cover(
		func(state int) uint64 {
			return f.perHalf(bitsOf(state, func(m pairMeaning, i int) bool { return m.denied[i] }), writeImpliesAppend)
		},
		func(state int) uint64 {
			return f.perHalf(bitsOf(state, func(m pairMeaning, i int) bool { return m.denied[i] }), writable)
		}, chooseHalves)
	ok, err := c.run(ctx)
	f.addStuck("denied path", c)
	for _, one := range c.found {
		f.add(one, fileLine{deny: true})
	}
	return ok, err
}

func (f *fileShow) perHalf(bits uint64, change func(uint32) uint32) uint64 {
	const mask = uint64(permBase)
	return uint64(change(uint32(bits&mask))) | uint64(change(uint32(bits>>otherBits&mask)))<<otherBits
}

// add makes lines of a glob with bits as chooseHalves chooses them.
func (f *fileShow) add(one covered, line fileLine) {
	line.glob = one.glob
	owner, other := uint32(one.bits)&permBase, uint32(one.bits>>otherBits)&permBase
	switch {
	case other == 0:
		line.owner = true
		line.letters = owner
	case owner == 0:
		line.other = true
		line.letters = other
	default:
		line.letters = other
	}
	f.lines = append(f.lines, line)
}

// findExecs finds the x rules, by what x does.
func (f *fileShow) findExecs(ctx context.Context) (bool, error) {
	var kinds []uint32
	for _, s := range f.states {
		for _, h := range s.halves {
			if h.x != 0 && !slices.Contains(kinds, h.x) {
				kinds = append(kinds, h.x)
			}
		}
	}
	slices.Sort(kinds)
	const otherKinds, audited = 31, 30
	if len(kinds) > audited {
		f.problem = "more kinds of x than rules can have"
		return false, nil
	}
	need := func(state int) uint64 {
		var bits uint64
		for i, h := range f.states[state].halves {
			if at := slices.Index(kinds, h.x); at >= 0 {
				bits |= 1 << (at + i*otherKinds)
			}
			if h.audit&permExec != 0 {
				bits |= 1 << (audited + i*otherKinds)
			}
		}
		return bits
	}
	may := func(state int) uint64 {
		bits := need(state)
		for i, h := range f.states[state].halves {
			for at, kind := range kinds {
				bit := uint64(1) << (at + i*otherKinds)
				if h.quiet&permExec != 0 || h.x != 0 && h.x != kind && f.exact[state] {
					bits |= bit
				}
			}
		}
		return bits
	}
	choose := func(missing, may uint64) uint64 {
		for at := range audited {
			owner, other := uint64(1)<<at, uint64(1)<<(at+otherKinds)
			var chosen uint64
			switch {
			case missing&other != 0 && may&owner != 0:
				chosen = owner | other
			case missing&other != 0:
				chosen = other
			case missing&owner != 0:
				chosen = owner
			default:
				continue
			}
			return chosen
		}
		return 0
	}
	c := f.cover(need, may, choose)
	if len(kinds) > 1 {
		c.literal = func(state uint32) bool { return f.exact[state] }
	}
	ok, err := c.run(ctx)
	f.addStuck("executed path", c)
	for _, one := range c.found {
		line := fileLine{glob: one.glob}
		owner, other := one.bits&(1<<otherKinds-1), one.bits>>otherKinds
		line.owner, line.other = other == 0, owner == 0
		for at, kind := range kinds {
			if (owner|other)>>at&1 != 0 {
				line.x = kind
			}
		}
		f.lines = append(f.lines, line)
	}
	return ok, err
}

// inherited are the patterns of x rules that bring m.
func (f *fileShow) inherited() []covered {
	var list []covered
	for _, line := range f.lines {
		if line.x&permInherit == 0 {
			continue
		}
		bits := uint64(permMap) | uint64(permMap)<<otherBits
		switch {
		case line.owner:
			bits = uint64(permMap)
		case line.other:
			bits = uint64(permMap) << otherBits
		}
		list = append(list, covered{bits: bits, pattern: line.glob.pattern()})
	}
	return list
}

func (f *fileShow) findAllowed(ctx context.Context) (bool, error) {
	const letters = permBase &^ permExec
	bitsOf := func(state int, may bool) uint64 {
		var bits uint64
		for i, h := range f.states[state].halves {
			has := h.allow & letters
			link := f.pairs[state].need[i] && has&permLink != 0
			if may {
				link = f.pairs[state].may[i] && (has|h.quiet)&permLink != 0
				has = (h.allow | h.quiet) & letters
			}
			has &^= permLink
			if link {
				has |= permLink
			}
			audit := h.audit & letters
			if may {
				has, audit = writable(has), writable(audit)
			} else {
				has, audit = writeImpliesAppend(has), writeImpliesAppend(audit&(h.allow|permAppend))
			}
			bits |= uint64(has)<<(i*otherBits) | uint64(audit)<<(auditBits+i*otherBits)
		}
		return bits
	}
	choose := func(missing, may uint64) uint64 {
		if audited := missing >> auditBits; audited != 0 {
			chosen := chooseHalves(audited, may>>auditBits)
			return chosen | chosen<<auditBits
		}
		return chooseHalves(missing&(1<<auditBits-1), may)
	}
	c := f.cover(func(state int) uint64 { return bitsOf(state, false) }, func(state int) uint64 { return bitsOf(state, true) }, choose)
	allow := make([]uint64, len(f.states))
	for state, s := range f.states {
		allow[state] = uint64(s.halves[0].allow) | uint64(s.halves[1].allow)<<otherBits
	}
	inherited := f.inherited()
	c.allow = allow
	holes, ok := c.holesOf(ctx, inherited)
	if !ok {
		f.problem = "programs that are inherited may not be mapped, in more places than can be shown"
		return false, ctx.Err()
	}
	c.allow, c.holes = nil, holes
	for _, one := range inherited {
		c.extra = append(c.extra, dfa.Rule{Pattern: one.pattern, Tag: len(c.bits)})
		c.bits = append(c.bits, one.bits)
	}
	for _, one := range f.implicit() {
		c.extra = append(c.extra, dfa.Rule{Pattern: one.pattern, Tag: len(c.bits)})
		c.bits = append(c.bits, one.bits)
	}
	need := slices.Clone(c.need)
	ok, err := c.run(ctx)
	if !ok && err == nil {
		// Once more, with deny rules that log.
		c.need, c.found, c.stuck, c.allow = need, nil, nil, allow
		ok, err = c.run(ctx)
	}
	f.addStuck("path", c)
	for _, hole := range c.holes {
		for bits := hole.bits; bits != 0; {
			chosen := chooseHalves(bits, bits)
			f.add(covered{glob: hole.glob, bits: chosen}, fileLine{deny: true, audit: true})
			bits &^= chosen
		}
	}
	for _, one := range c.found {
		f.add(covered{glob: one.glob, bits: one.bits & (1<<auditBits - 1)}, fileLine{audit: one.bits>>auditBits != 0})
	}
	return ok, err
}

// fileRules writes the file rules of a profile.
func (s *shower) fileRules(ctx context.Context, profile *binary.Profile, parent bool, depth int) error {
	rules := profile.File
	if rules == nil || rules.Automaton == nil {
		return nil
	}
	if rules.Permissions != nil {
		s.line(depth, "# the permissions of files are in a table, whose rows the states name, and are not shown as rules; the automaton:")
		s.transitions(rules, dfa.Start, depth)
		return nil
	}
	f := newFileShow(rules)
	f.name, f.hats = profile.Name, profile.Hat || parent
	ok, err := f.find(ctx)
	if err != nil {
		return err
	}
	if !ok {
		s.line(depth, "# the file rules are more than can be shown%s; their automaton:", ifTrue(f.problem != "", ": "+f.problem))
		s.transitions(rules, f.start, depth)
		return nil
	}
	for _, text := range f.texts() {
		s.line(depth, "%s", text)
	}
	return nil
}
