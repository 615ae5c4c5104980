// SPDX-License-Identifier: Apache-2.0

package syntax

// ioUring reads the rest of io_uring [ACCESS] [label=LABEL].
func (p *parser) ioUring(qualifiers Qualifiers) bool {
	rule := &IOUringRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access([]string{"sqpoll", "override_creds"}); !ok {
		return false
	}
	ok = p.conditions([]string{"label"}, func(string) bool {
		var ok bool
		rule.Label, ok = p.single("a label")
		return ok
	})
	return ok && p.add(rule)
}
