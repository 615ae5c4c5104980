// SPDX-License-Identifier: Apache-2.0

package syntax

// pivotRoot reads the rest of pivot_root [oldroot=OLD] [NEW] [-> PROFILE].
func (p *parser) pivotRoot(qualifiers Qualifiers) bool {
	rule := &PivotRootRule{Qualifiers: qualifiers}
	ok := p.conditions([]string{"oldroot"}, func(string) bool {
		var ok bool
		rule.OldRoot, ok = p.single("the path of the old root")
		return ok
	})
	if !ok {
		return false
	}
	if p.skip(); p.startsPath() {
		root, ok := p.anyWord("the path of the new root")
		if !ok {
			return false
		}
		rule.NewRoot = &root
	}
	if p.acceptArrow() {
		profile, ok := p.anyWord("the name of a profile")
		if !ok {
			return false
		}
		rule.Profile = &profile
	}
	return p.add(rule)
}
