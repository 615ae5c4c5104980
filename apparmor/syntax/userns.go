// SPDX-License-Identifier: Apache-2.0

package syntax

// userns reads the rest of userns [create].
func (p *parser) userns(qualifiers Qualifiers) bool {
	rule := &UsernsRule{Qualifiers: qualifiers}
	if p.skip(); p.peekName() == "create" {
		rule.Access = []string{p.name()}
	}
	return p.add(rule)
}
