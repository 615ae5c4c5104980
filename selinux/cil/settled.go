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

	spareRules []accessRule
	buffer     []byte
}

// settle takes what the statements of a stage say to those behind.
func (r *resolver) settle(stage stage, items []item) error {
	switch stage {
	case stageOrder:
		return r.mergeOrders(items)
	case stageCommon:
		return r.settleCommons(items)
	}
	return nil
}

func newSettled() settled {
	return settled{
		commons:      map[*class]*class{},
		categorySets: map[*definition]categorySet{},
		levels:       map[*definition]level{},
		ranges:       map[*definition]levelRange{},
		contexts:     map[*definition]context{},
		extendedSets: map[*definition]*extendedPermissions{},
		open:         map[*definition]bool{},
		permissions:  map[permissionsKey][]classPermissions{},
	}
}
