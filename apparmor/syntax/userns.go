// SPDX-License-Identifier: Apache-2.0

package syntax

// userns reads the rest of userns [create].
func (p *parser) userns(qualifiers Qualifiers) bool {
	rule := &UsernsRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access([]string{"create"}); !ok {
		return false
	}
	return p.add(rule)
}
