// SPDX-License-Identifier: Apache-2.0

package syntax

import "strings"

// mqueue reads the rest of mqueue [ACCESS] [type=posix|sysv] [label=LABEL] [NAME].
func (p *parser) mqueue(qualifiers Qualifiers) bool {
	rule := &MQueueRule{Qualifiers: qualifiers}
	p.skip()
	if c := p.peek(); c == '(' || isLetter(c) {
		var ok bool
		if rule.Access, ok = p.access([]string{"r", "w", "rw", "wr", "read", "write", "create", "open", "delete", "getattr", "setattr"}); !ok {
			return false
		}
	}
	ok := p.conditions([]string{"type", "label"}, func(key string) bool {
		value, ok := p.single("a value of " + key)
		if !ok {
			return false
		}
		if key == "label" {
			rule.Label = value
			return true
		}
		if rule.Type = value.Text; rule.Type != "posix" && rule.Type != "sysv" {
			return p.failAt(value.Position, "posix or sysv", "unknown type %q", value.Text)
		}
		return true
	})
	if !ok {
		return false
	}
	if p.skip(); p.peek() != ',' {
		name, ok := p.anyWord("the name of a queue")
		if !ok {
			return false
		}
		posix, sysv := strings.HasPrefix(name.Text, "/"), strings.Trim(name.Text, "0123456789") == ""
		switch {
		case !posix && !sysv:
			return p.failAt(name.Position, "a name that begins with / or a number", "bad name %q of a queue", name.Text)
		case posix && rule.Type == "sysv":
			return p.failAt(name.Position, "a number", "%q is the name of a posix queue", name.Text)
		case sysv && rule.Type == "posix":
			return p.failAt(name.Position, "a name that begins with /", "%q is the key of a sysv queue", name.Text)
		}
		rule.Name = &name
	}
	return p.add(rule)
}
