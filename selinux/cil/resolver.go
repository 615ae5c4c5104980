// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// resolver makes the tree of the sources and resolves what stands in it.
type resolver struct {
	options  Options
	words    *syntax.Words
	root     *scope
	repeated map[symbol]int // how often a symbol is declared beyond the first time
}
