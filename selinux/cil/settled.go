// SPDX-License-Identifier: Apache-2.0

package cil

// settled is what the statements of earlier stages settle for those of later ones, and what names stand for as far as it was looked up. It holds until an
// optional with declarations is left out.
type settled struct {
	orders
	commons map[*class]*class // of classes, by classcommon

	categorySets map[*definition]categorySet
	levels       map[*definition]level
	ranges       map[*definition]levelRange
	contexts     map[*definition]context
	extendedSets map[*definition]*extendedPermissions
	open         map[*definition]bool // those that are being resolved: one that comes back is a circle
	permissions  map[permissionsKey][]classPermissions

	accessRules   *slabs[accessRule]
	attributeSets *slabs[typeSet]
	buffer        []byte
}

// slabs keeps items that there are many of. Those of an earlier pass are given up as a whole, and their room is used again.
type slabs[T any] struct {
	rooms [][]T
	used  int // of all rooms
}

const slabSize = 512

func (s *slabs[T]) keep(value T) *T {
	room, at := s.used/slabSize, s.used%slabSize
	if room == len(s.rooms) {
		s.rooms = append(s.rooms, make([]T, slabSize))
	}
	s.used++
	s.rooms[room][at] = value
	return &s.rooms[room][at]
}

// reserve makes room in the model for the items of which there are many.
func (r *resolver) reserve(m *model) {
	m.rules = make([]*accessRule, 0, r.accessRules.used)
	m.typeSets = make([]attributeSet[*typ], 0, r.attributeSets.used)
}

// settle takes what the statements of a stage say to those behind.
func (r *resolver) settle(stage stage, items []item) error {
	switch stage {
	case stageOrder:
		if err := r.mergeOrders(items); err != nil {
			return err
		}
		return r.allOrdered(r.root)
	case stageCommon:
		return r.settleCommons(items)
	}
	return nil
}

// newSettled begins again: nothing is settled, and what was kept is given up.
func newSettled(before settled) settled {
	if before.accessRules == nil {
		before.accessRules, before.attributeSets = &slabs[accessRule]{}, &slabs[typeSet]{}
	}
	before.accessRules.used, before.attributeSets.used = 0, 0
	return settled{
		commons:      map[*class]*class{},
		categorySets: map[*definition]categorySet{},
		levels:       map[*definition]level{},
		ranges:       map[*definition]levelRange{},
		contexts:     map[*definition]context{},
		extendedSets: map[*definition]*extendedPermissions{},
		open:         map[*definition]bool{},
		permissions:  map[permissionsKey][]classPermissions{},

		accessRules:   before.accessRules,
		attributeSets: before.attributeSets,
	}
}
