// SPDX-License-Identifier: Apache-2.0

package syntax

// all reads the rest of all.
func (p *parser) all(qualifiers Qualifiers) bool { return p.add(&AllRule{Qualifiers: qualifiers}) }
