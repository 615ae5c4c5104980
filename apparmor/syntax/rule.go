// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"strings"
)

const ruleExpected = "a rule, a profile, a hat, if or include"

// ruleKind returns what reads the rule that begins with the keyword, nil where there is none.
func ruleKind(keyword string) func(*parser, Qualifiers) bool {
	switch keyword {
	case "all":
		return (*parser).all
	case "capability":
		return (*parser).capability
	case "change_profile":
		return (*parser).changeProfile
	case "dbus":
		return (*parser).dbus
	case "file":
		return (*parser).fileKeyword
	case "io_uring":
		return (*parser).ioUring
	case "link":
		return (*parser).link
	case "mount", "remount", "umount":
		return (*parser).mount
	case "mqueue":
		return (*parser).mqueue
	case "network":
		return (*parser).network
	case "pivot_root":
		return (*parser).pivotRoot
	case "ptrace":
		return (*parser).ptrace
	case "set":
		return (*parser).rlimit
	case "signal":
		return (*parser).signal
	case "unix":
		return (*parser).unix
	case "userns":
		return (*parser).userns
	}
	return nil
}

// fits says whether the rule's own qualifiers go with its kind; those of the block that do not are taken off.
func (p *parser) fits(qualifiers *Qualifiers, keyword string) bool {
	given := p.body.qualifiers
	place := qualifiers.Position
	switch keyword {
	case "file", "link":
		return true
	case "all":
		if qualifiers.HasPriority {
			return false
		}
	case "set":
		own := *qualifiers
		own.Position = given.Position
		*qualifiers = Qualifiers{Position: place}
		return own == given
	}
	fits := qualifiers.Owner == given.Owner && qualifiers.Other == given.Other
	qualifiers.Owner, qualifiers.Other = false, false
	return fits
}

// profileStatement reads what stands within a profile.
func (p *parser) profileStatement() bool {
	switch c := p.peek(); {
	case c == '#':
		return p.includeStatement()
	case c == '^':
		return p.profile("^")
	case c == '$':
		p.fail("", "a boolean variable is set before the profiles")
		return p.failedLine()
	case c == '@' && p.assignmentAhead():
		return p.localVariable()
	case c == '/' || c == '@' || c == '"':
		return p.rule(p.newQualifiers())
	}
	switch name := p.peekName(); name {
	case "include":
		return p.includeStatement()
	case "abi":
		return p.abi()
	case "alias", "rewrite":
		return p.fail("", "an alias stands before the profiles")
	case "profile", "hat":
		return p.profile(name)
	case "if":
		return p.ifStatement()
	}
	return p.qualified()
}

// rule reads a rule whose qualifiers were read.
func (p *parser) rule(qualifiers Qualifiers) bool {
	p.skip()
	place := p.position()
	if p.startsPath() {
		return p.pathRule(qualifiers, "")
	}
	saved := p.cursor
	name := p.name()
	if kind := ruleKind(name); kind != nil && !p.wordGoesOn() {
		if !p.fits(&qualifiers, name) {
			return p.failAt(place, "", "qualifiers that do not go with %s", name)
		}
		return kind(p, qualifiers)
	}
	p.cursor = saved
	if name == "safe" || name == "unsafe" || isPermissions(name) {
		return p.leadingRule(qualifiers)
	}
	return p.unexpected(ruleExpected)
}

// wordGoesOn says whether more of the word stands behind the name that was read.
func (p *parser) wordGoesOn() bool {
	c := p.peek()
	return wordByte(c) && !p.arrowAhead() && strings.IndexByte("({<=/@", c) < 0
}

// newQualifiers are those of the block.
func (p *parser) newQualifiers() Qualifiers {
	qualifiers := p.body.qualifiers
	qualifiers.Position = p.position()
	return qualifiers
}
