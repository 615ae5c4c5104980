// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// The first accept word of file rules, in the formats v5 to v8. The lower half is of files that the process's fsuid owns, the upper half, shifted by
// otherShift, of all others; the two highest bits have no halves.
const (
	permExec    uint32 = 0x1
	permWrite   uint32 = 0x2
	permRead    uint32 = 0x4
	permAppend  uint32 = 0x8
	permLink    uint32 = 0x10
	permLock    uint32 = 0x20
	permSubset         = permLock // of a link pair: what the target's file allows must allow what the link's does
	permMap     uint32 = 0x40
	permPUX     uint32 = 0x80  // where a transition finds no profile: ux
	permUnsafe  uint32 = 0x100 // the environment is not scrubbed
	permInherit uint32 = 0x200 // where a transition finds no profile: ix; without a transition ix itself

	execIndexShift        = 10
	execIndexMask  uint32 = 0xf << execIndexShift

	permOnExec        uint32 = 0x40000000 // change_profile at the next exec
	permChangeProfile uint32 = 0x80000000

	otherShift = 14
	quietShift = 7 // in the second accept word, from the bits that are audited

	permBase    = permExec | permWrite | permRead | permAppend | permLink | permLock | permMap
	permHow     = execIndexMask | permPUX | permUnsafe | permInherit // what a half's x does
	permXHalf   = permExec | permHow
	permBoth    = permBase | permBase<<otherShift
	permHowBoth = permHow | permHow<<otherShift
	permXAll    = permXHalf | permXHalf<<otherShift
)

// both is a half for owners and others alike.
func both(half uint32) uint32 { return half | half<<otherShift }

// owned is a half for whom the rule is meant for: the owner, others, or everybody.
func owned(half uint32, owner, other bool) uint32 {
	switch {
	case owner == other:
		return both(half)
	case owner:
		return half
	}
	return half << otherShift
}

// class is what an entry means apart from its pattern: entries of one class are one tag of the automaton.
type class struct {
	perms, audit uint32
	deny, quiet  bool
	specific     specificity
	prompt       bool
	priority     int
}

func (e *entry) class() class {
	return class{e.perms, e.audit, e.deny, e.quiet, e.specific, e.prompt, e.priority}
}

// quieted are the bits of a denial that are not logged.
func (c *class) quieted() uint32 {
	if c.audit != 0 {
		return c.audit
	}
	return c.perms
}

// meanings number the classes of an automaton's entries.
type meanings struct {
	all     []class
	numbers map[class]int
}

func (c *meanings) number(one class) int {
	if number, ok := c.numbers[one]; ok {
		return number
	}
	if c.numbers == nil {
		c.numbers = map[class]int{}
	}
	c.numbers[one] = len(c.all)
	c.all = append(c.all, one)
	return len(c.all) - 1
}

// conflict is two classes of which one string can have only one: they say different things of how it is executed.
type conflict struct{ a, b int }

func (c *conflict) Error() string { return "conflicting x modifiers" }

// level is what the classes of one priority say together.
type level struct {
	allow, deny, audit, quiet, prompt uint32
}

// combine makes the accept words of strings that match entries of all these classes. exec says that the words have exec transitions, as those of
// files have.
//
// Within a priority, permissions add up, deny takes away whatever allows, and of the x modifiers, those of rules without wildcards count where there are any.
// Rules of a higher priority decide alone about the bits that they name.
func (c *meanings) combine(tags []int, exec bool) (dfa.Accept, error) {
	if len(tags) == 1 {
		return c.all[tags[0]].accept(), nil
	}
	ordered := tags
	if !c.onePriority(tags) {
		ordered = slices.Clone(tags)
		slices.SortStableFunc(ordered, func(a, b int) int { return c.all[b].priority - c.all[a].priority })
	}
	var sum level
	var decided uint32
	for start := 0; start < len(ordered); {
		end := start + 1
		for end < len(ordered) && c.all[ordered[end]].priority == c.all[ordered[start]].priority {
			end++
		}
		one, err := c.level(ordered[start:end], exec, sum.allow)
		if err != nil {
			return dfa.Accept{}, err
		}
		sum.allow |= one.allow &^ decided
		sum.audit |= one.audit &^ decided
		sum.quiet |= one.quiet &^ decided
		decided |= one.decides(exec)
		start = end
	}
	return sum.accept(), nil
}

// decides are the bits that lower priorities have no say about any more: a half's x together with its modifiers.
func (l level) decides(exec bool) uint32 {
	bits := l.allow | l.deny | l.prompt
	if !exec {
		return bits
	}
	x := bits & both(permExec)
	return bits&^permXAll | x | x*permHow
}

func (c *meanings) onePriority(tags []int) bool {
	for _, tag := range tags[1:] {
		if c.all[tag].priority != c.all[tags[0]].priority {
			return false
		}
	}
	return true
}

// level adds up the classes of one priority. above is what higher priorities allow: where that has an x, the x of these classes is void, and so is the m
// of ix.
func (c *meanings) level(tags []int, exec bool, above uint32) (level, error) {
	var sum level
	var transitions [2]transition // of owners and others
	for _, tag := range tags {
		one := &c.all[tag]
		if one.deny {
			sum.deny |= one.perms
			if one.quiet {
				sum.quiet |= one.quieted()
			}
			continue
		}
		sum.audit |= one.audit
		if one.prompt {
			sum.prompt |= one.perms
			continue
		}
		perms := one.perms
		if exec {
			void := perms & above & both(permExec)
			inherited := void & (perms / permInherit) // the x bits of the halves that have ix
			perms &^= void*permXHalf | inherited*permMap
			for half := range transitions {
				if err := transitions[half].add(tag, one.specific, perms>>(half*otherShift)&permXHalf); err != nil {
					return level{}, err
				}
			}
			perms &^= permHowBoth
		}
		sum.allow |= perms
	}
	for half := range transitions {
		sum.allow |= transitions[half].how() << (half * otherShift)
	}
	sum.allow &^= sum.deny
	sum.quiet &= sum.deny
	return sum, nil
}

// transition collects how one half of a state's files is executed, by how specific the patterns are that say so. What the most specific ones say counts,
// and those of one rank must agree.
type transition struct {
	bits [specificities]uint32
	tags [specificities]int
}

// add takes another rule's bits.
func (t *transition) add(tag int, rank specificity, bits uint32) error {
	if bits&permExec == 0 {
		return nil
	}
	if known := t.bits[rank]; known != 0 && known != bits {
		return &conflict{t.tags[rank], tag}
	}
	t.bits[rank], t.tags[rank] = bits, tag
	return nil
}

func (t *transition) how() uint32 {
	for _, bits := range slices.Backward(t.bits[:]) {
		if bits != 0 {
			return bits & permHow
		}
	}
	return 0
}

func (l level) accept() dfa.Accept {
	return dfa.Accept{One: l.allow, Two: l.audit&permBoth | l.quiet&permBoth<<quietShift}
}

// accept is that of strings that only entries of this class match.
func (c *class) accept() dfa.Accept {
	switch {
	case c.deny && c.quiet:
		return level{quiet: c.quieted()}.accept()
	case c.deny:
		return dfa.Accept{}
	case c.prompt:
		return level{audit: c.audit}.accept()
	}
	return level{allow: c.perms, audit: c.audit}.accept()
}
