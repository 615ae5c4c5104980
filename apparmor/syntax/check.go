// SPDX-License-Identifier: Apache-2.0

package syntax

// check reports what only the whole policy shows and no automaton is needed for.
func (p *parser) check() {}
