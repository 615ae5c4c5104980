// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// Aliased returns the paths of a file rule, a link rule (link and target) or an attachment, and then those that the aliases make of them. The
// paths are patterns without variables. An alias replaces the beginning of a pattern as text; what comes of it is not replaced again.
func (p *Policy) Aliased(paths ...string) [][]string {
	all := [][]string{paths}
	for _, alias := range p.Aliases {
		var replaced []string
		for i, path := range paths {
			rest, ok := strings.CutPrefix(path, alias.From)
			if !ok {
				continue
			}
			if replaced == nil {
				replaced = slices.Clone(paths)
			}
			replaced[i] = CollapseSlashes(alias.To + rest)
		}
		if replaced != nil {
			all = append(all, replaced)
		}
	}
	return all
}
