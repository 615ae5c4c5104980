// SPDX-License-Identifier: Apache-2.0

package syntax

// ptrace reads the rest of ptrace [ACCESS] [peer=LABEL].
func (p *parser) ptrace(qualifiers Qualifiers) bool {
	rule := &PtraceRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access([]string{"r", "w", "rw", "wr", "read", "write", "trace", "readby", "tracedby"}); !ok {
		return false
	}
	ok = p.conditions([]string{"peer"}, func(string) bool {
		var ok bool
		rule.Peer, ok = p.label()
		return ok
	})
	return ok && p.add(rule)
}
