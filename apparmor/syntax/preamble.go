// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// kernelABI is the abi of the kernel that the policy is compiled for.
const kernelABI = "kernel"

const topExpected = "a profile, a variable, abi, alias or include"

// topStatement reads what stands outside of profiles.
func (p *parser) topStatement() bool {
	switch c := p.peek(); {
	case c == '#':
		return p.includeStatement()
	case c == '$':
		return p.booleanAssignment() || p.failedLine()
	case c == '@':
		return p.variableAssignment(p.policy.Variables) || p.failedLine()
	case c == '/' || c == '"' || c == ':':
		return p.profile("")
	case c == '^':
		return p.profile("^")
	}
	switch name := p.peekName(); name {
	case "include":
		return p.includeStatement()
	case "abi":
		return p.abi()
	case "alias", "rewrite":
		return p.alias()
	case "profile", "hat":
		return p.profile(name)
	}
	return p.unexpected(topExpected)
}

// preamble reports a line of the preamble that comes too late.
func (p *parser) preamble(place source.Position, what string) {
	if len(p.policy.Profiles) > 0 {
		p.failAt(place, "", "%s after a profile: the preamble comes first", what)
	}
}

// abi reads abi FILE.
func (p *parser) abi() bool {
	place := p.position()
	p.name()
	reference, ok := p.reference("a file: <path> or \"path\"", true)
	if !ok || !p.end() {
		return false
	}
	if p.body.profile == nil {
		p.preamble(place, "abi")
	}
	if reference.Path != kernelABI {
		if _, found := p.find(reference); found.err != nil {
			return p.failAt(place, "", "abi %q: %v", reference.Path, plain(found.err))
		}
	}
	if first := p.policy.ABI; first != nil && (first.Path != reference.Path || first.Magic != reference.Magic) {
		p.warn(place, "abi %q: the abi was set before, at %v, and stays", reference.Path, first.Position)
		return true
	}
	p.policy.ABI = &reference
	return true
}

// alias reads alias FROM -> TO, or rewrite, which is the same.
func (p *parser) alias() bool {
	place := p.position()
	p.name()
	from, ok := p.path("an absolute path")
	if !ok {
		return false
	}
	if !p.acceptArrow() {
		return p.unexpected(`"->"`)
	}
	to, ok := p.anyWord("a path")
	if !ok || !p.end() {
		return false
	}
	p.preamble(place, "alias")
	p.policy.Aliases = append(p.policy.Aliases, Alias{Position: place, From: from.Text, To: to.Text})
	return true
}

// assignmentAhead says whether the variable that stands here is assigned to.
func (p *parser) assignmentAhead() bool {
	saved := p.cursor
	defer func() { p.cursor = saved }()
	if _, ok := p.variableReference(); !ok {
		return false
	}
	p.skip()
	return p.peek() == '=' || p.peek() == '+' && p.peekAt(1) == '='
}

// variableAssignment reads @{NAME} = VALUES or @{NAME} += VALUES, which end with their line.
func (p *parser) variableAssignment(variables map[string]*Variable) bool {
	place := p.position()
	name, ok := p.variableReference()
	if !ok {
		return p.failAt(place, "a letter, then letters, digits and _", "bad name of a variable")
	}
	p.skip()
	add := p.accept("+")
	if !p.accept("=") {
		return p.unexpected(`"=" or "+=" behind the variable; a profile that is named by one begins with "profile"`)
	}
	var values []Word
	for {
		p.skipBlanks()
		if p.atEnd() || p.peek() == '\n' || p.peek() == '#' {
			break
		}
		value, ok := p.anyWord("a value")
		if !ok {
			return false
		}
		values = append(values, value)
	}
	if len(values) == 0 {
		return p.fail(`values, "" for the empty one`, "no value for @{%s}", name)
	}
	if p.body.profile == nil {
		p.preamble(place, "a variable")
	}
	known := variables[name]
	switch {
	case name == "profile_name":
		return p.failAt(place, "", "@{%s} is set by the profile itself", name)
	case add && known == nil:
		return p.failAt(place, "", "@{%s} is added to before it is set", name)
	case add:
		known.Values = append(known.Values, values...)
		return true
	case known != nil:
		return p.failAt(place, "", "@{%s} was set before, at %v", name, known.Position)
	}
	variables[name] = &Variable{Position: place, Name: name, Values: values}
	return true
}

// booleanAssignment reads $NAME = true|false.
func (p *parser) booleanAssignment() bool {
	place := p.position()
	name, ok := p.variableReference()
	if !ok {
		return p.failAt(place, "a letter, then letters, digits and _", "bad name of a variable")
	}
	p.skip()
	if p.peek() != '=' {
		return p.unexpected(`"="`)
	}
	p.at++
	p.skipBlanks()
	if !p.countWord() {
		return false
	}
	value := p.word(false)
	truth := strings.EqualFold(value, "true")
	if !truth && !strings.EqualFold(value, "false") {
		return p.fail("true or false", "bad value %q of $%s", value, name)
	}
	p.skipBlanks()
	if !p.atEnd() && p.peek() != '\n' && p.peek() != '#' {
		return p.unexpected("the end of the line")
	}
	p.preamble(place, "a variable")
	if _, known := p.policy.Booleans[name]; known {
		return p.failAt(place, "", "$%s was set before", name)
	}
	p.policy.Booleans[name] = truth
	return true
}

// localVariable reads a variable of the profile.
func (p *parser) localVariable() bool {
	profile := p.body.profile
	if profile.Variables == nil {
		profile.Variables = map[string]*Variable{}
	}
	return p.variableAssignment(profile.Variables) || p.failedLine()
}
