// SPDX-License-Identifier: Apache-2.0

package syntax

import "strconv"

// qualified reads [priority=N] [audit] [allow|deny|quiet|kill|prompt] [owner|other] and the rule, or the block of rules, behind them.
func (p *parser) qualified() bool {
	qualifiers := p.newQualifiers()
	stage := 0 // what may come: 0 priority, 1 audit, 2 the access type, 3 owner or other, 4 the rule
	for {
		p.skip()
		place := p.position()
		saved := p.cursor
		name := p.name()
		next := 0
		switch name {
		case "priority":
			next = 1
		case "audit":
			next = 2
		case "allow", "deny", "quiet", "kill", "prompt":
			next = 3
		case "owner", "other":
			next = 4
		default:
			p.cursor = saved
			if p.peek() == '{' && (stage > 0 || !wordByte(p.peekAt(1)) || p.peekAt(1) == '}') {
				if qualifiers.HasPriority && !p.body.qualifiers.HasPriority {
					return p.failAt(qualifiers.Position, "", "priority does not go with a block")
				}
				p.at++
				inner := *p.body
				inner.qualifiers = qualifiers
				return p.block(&inner)
			}
			return p.rule(qualifiers)
		}
		if next <= stage {
			return p.failAt(place, "the order priority, audit, allow or deny, owner or other", "unexpected %q", name)
		}
		stage = next
		if name == "priority" {
			if !p.priority(&qualifiers) {
				return false
			}
			continue
		}
		if qualifiers.set(name); qualifiers.Owner && qualifiers.Other {
			return p.failAt(place, "one of them", "owner and other exclude each other")
		}
	}
}

// set notes one word. What the block around it denies stays denied, whatever the rule says; the words say nothing of the other kinds.
func (q *Qualifiers) set(name string) {
	switch name {
	case "audit":
		q.Audit = true
	case "owner":
		q.Owner = true
	case "other":
		q.Other = true
	default:
		if !q.Deny {
			q.Allow, q.Quiet, q.KillTask, q.Prompt = name == "allow", name == "quiet", name == "kill", name == "prompt"
			q.Deny = name == "deny" || q.Quiet || q.KillTask
		}
	}
}

// priority reads =N.
func (p *parser) priority(qualifiers *Qualifiers) bool {
	p.skip()
	if !p.accept("=") {
		return p.unexpected(`"=" and a number`)
	}
	p.skip()
	place := p.position()
	start := p.at
	if c := p.peek(); c == '-' || c == '+' {
		p.at++
	}
	for isDigit(p.peek()) {
		p.at++
	}
	number, err := strconv.Atoi(p.text[start:p.at])
	if err != nil || number < -1000 || number > 1000 {
		return p.failAt(place, "a number from -1000 to 1000", "bad priority")
	}
	qualifiers.Priority, qualifiers.HasPriority = number, true
	return true
}
