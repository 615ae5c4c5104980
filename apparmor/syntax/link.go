// SPDX-License-Identifier: Apache-2.0

package syntax

// link reads the rest of link [subset] LINK -> TARGET.
func (p *parser) link(qualifiers Qualifiers) bool {
	rule := &LinkRule{Qualifiers: qualifiers}
	p.skip()
	if p.peekName() == "subset" {
		p.name()
		rule.Subset = true
	}
	var ok bool
	if rule.Link, ok = p.path("the path of the link"); !ok {
		return false
	}
	if !p.acceptTightArrow() {
		return p.unexpected(`"->"`)
	}
	if rule.Target, ok = p.path("the path that is linked to"); !ok {
		return false
	}
	return p.add(rule)
}
