// SPDX-License-Identifier: Apache-2.0

package syntax

// changeProfile reads the rest of change_profile [[safe|unsafe] EXEC] [-> PROFILE].
func (p *parser) changeProfile(qualifiers Qualifiers) bool {
	rule := &ChangeProfileRule{Qualifiers: qualifiers}
	p.skip()
	if mode := p.peekName(); mode == "safe" || mode == "unsafe" {
		p.name()
		rule.Mode = mode
		p.skip()
	}
	if rule.Mode != "" || p.peek() != ',' && !p.arrowAhead() {
		exec, ok := p.path("the path of a program")
		if !ok {
			return false
		}
		rule.Exec = &exec
	}
	if p.acceptArrow() {
		target, ok := p.anyWord("the name of a profile")
		if !ok {
			return false
		}
		rule.Target = &target
	}
	return p.add(rule)
}
