// SPDX-License-Identifier: Apache-2.0

package syntax

// ifStatement reads if CONDITION { RULES } [else if ... | else { RULES }]. What is not taken is read into a profile that nobody keeps.
func (p *parser) ifStatement() bool {
	taken := false
	for {
		p.name() // if
		truth, ok := p.condition()
		if !ok || !p.branch(truth && !taken) {
			return false
		}
		taken = taken || truth
		p.skip()
		if p.peekName() != "else" {
			return true
		}
		p.name()
		p.skip()
		if p.peekName() != "if" {
			return p.branch(!taken)
		}
	}
}

// branch reads the block of one condition.
func (p *parser) branch(taken bool) bool {
	p.skip()
	if !p.accept("{") {
		return p.unexpected(`"{"`)
	}
	inner := *p.body
	if !taken {
		unused := *p.body.profile
		unused.Rules, unused.Children = nil, nil
		inner.profile = &unused
	}
	return p.block(&inner)
}

// condition reads terms joined by "or", which binds less than "and".
func (p *parser) condition() (truth, ok bool) {
	truth, ok = p.conjunction()
	for ok {
		p.skip()
		if p.peekName() != "or" {
			return truth, true
		}
		p.name()
		var right bool
		right, ok = p.conjunction()
		truth = truth || right
	}
	return false, false
}

func (p *parser) conjunction() (truth, ok bool) {
	truth, ok = p.term()
	for ok {
		p.skip()
		if p.peekName() != "and" {
			return truth, true
		}
		p.name()
		var right bool
		right, ok = p.term()
		truth = truth && right
	}
	return false, false
}

// term reads [not] ($BOOLEAN | defined @{VARIABLE} | defined $BOOLEAN | ( CONDITION )).
func (p *parser) term() (truth, ok bool) {
	negated, defined := false, false
	for {
		p.skip()
		if p.peekName() == "not" && !defined {
			p.name()
			negated = !negated
			continue
		}
		if p.peekName() != "defined" || defined {
			break
		}
		p.name()
		defined = true
	}
	place := p.position()
	mark := p.peek()
	switch {
	case mark == '(' && !defined:
		p.at++
		p.nesting++
		defer func() { p.nesting-- }()
		if p.nesting > maximumNesting {
			p.stop("conditions are nested more than %d deep", maximumNesting)
			return false, false
		}
		truth, ok = p.condition()
		p.skip()
		if ok && !p.accept(")") {
			return false, p.unexpected(`")"`)
		}
		return truth != negated, ok
	case mark != '$' && (mark != '@' || !defined):
		return false, p.unexpected("a condition: $VARIABLE, defined @{VARIABLE} or not")
	}
	name, ok := p.variableReference()
	if !ok {
		return false, p.failAt(place, "a letter, then letters, digits and _", "bad name of a variable")
	}
	value, known := p.policy.Booleans[name]
	switch {
	case mark == '@':
		truth = p.lookup(name) != nil
	case defined:
		truth = known
	case !known:
		return false, p.failAt(place, "", "$%s is not set", name)
	default:
		truth = value
	}
	return truth != negated, true
}

// lookup finds a variable of the profile that is being read, of those around it, or of the file.
func (p *parser) lookup(name string) *Variable { return p.policy.variable(p.body.profile, name) }
