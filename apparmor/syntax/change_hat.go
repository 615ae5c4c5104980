// SPDX-License-Identifier: Apache-2.0

package syntax

// changeHat reads the rest of change_hat NAME.
func (p *parser) changeHat(qualifiers Qualifiers) bool {
	name, ok := p.anyWord("the name of a hat")
	return ok && p.add(&ChangeHatRule{Qualifiers: qualifiers, Name: name})
}
