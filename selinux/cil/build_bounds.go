// SPDX-License-Identifier: Apache-2.0

package cil

// bound is what bounds a symbol, and where that is said.
type bound struct {
	parent uint32
	at     place
}

// parentsOf are the bounding symbols by the value of the bounded, of which each has one (boundsOnce).
func parentsOf[T any](b *builder, said []bounds[T], kind string, of func(T) *named) map[uint32]bound {
	parents := map[uint32]bound{}
	for i := range said {
		if child, parent := of(said[i].child), of(said[i].parent); b.given(child, kind) && b.given(parent, kind) {
			parents[child.value] = bound{parent.value, said[i].at}
		}
	}
	return parents
}

// setBounds writes them into the table; entry gives an entry's value and where its bounds are, nil for an alias.
func setBounds[T any](b *builder, parents map[uint32]bound, entries []T, entry func(*T) (uint32, *uint32)) {
	if len(parents) == 0 {
		return
	}
	for i := range entries {
		value, bounds := entry(&entries[i])
		above, bounded := parents[value]
		switch {
		case bounds == nil || !bounded:
		case *bounds != 0 && *bounds != above.parent:
			b.fail(above.at, "the policy that this is compiled onto bounds it by another")
		default:
			*bounds = above.parent
		}
	}
}
