// SPDX-License-Identifier: Apache-2.0

package policydb

// ClassAccess is what a source may do to a target's objects of one class.
type ClassAccess struct {
	Class   *Class
	Allowed uint32
	Stopped uint32 // the rules allow it, and a constraint does not
}

// Residue works out, for every class, what the source may do to the target, and what only constraints (MLS and MCS) stop: between two containers of one type that
// is what their categories leave, and what they achieve. Classes of which neither is true are left out.
func (p *Policy) Residue(source, target *Context) []ClassAccess {
	engine := p.engineOf()
	var found []ClassAccess
	for i, class := range engine.names.classes {
		decision := p.Decide(source, target, uint32(i+1))
		var rules Decision
		engine.enforceTypes(&rules, source.Type, target.Type, uint32(i+1))
		access := ClassAccess{Class: class, Allowed: decision.Allowed}
		for j := range class.Constraints {
			constraint := &class.Constraints[j]
			if stopped := constraint.Permissions & rules.Allowed &^ decision.Allowed; stopped != 0 && !p.holds(constraint.Expression, source, target, nil) {
				access.Stopped |= stopped
			}
		}
		if access.Allowed != 0 || access.Stopped != 0 {
			found = append(found, access)
		}
	}
	return found
}
