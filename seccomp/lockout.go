// SPDX-License-Identifier: Apache-2.0

package seccomp

import "slices"

// LocksOut returns the first of execve and exit_group that the policy denies whatever the arguments: no program starts under it, or none ends. TRACE
// denies, since at execve of a container's first program nobody traces it. A call that NOTIFY asks about is not denied: that is up to the supervisor.
func (p *Policy) LocksOut() (call string, action Action, locked bool) {
	for _, name := range []string{"execve", "exit_group"} {
		if action, denied := p.denies(name); denied {
			return name, action, true
		}
	}
	return "", 0, false
}

// goesOn reports whether a call that has the action can be made.
func (a Action) goesOn() bool {
	kind := a.Kind()
	return kind == Allow || kind == Log || kind == Notify
}

// denies reports whether a call is denied whatever its arguments, and how: by an unconditional rule, or because no rule lets it go on.
func (p *Policy) denies(name string) (action Action, denied bool) {
	action, denied = p.Default, !p.Default.goesOn()
	settled := false // by a rule without conditions: the first one counts
	for i := range p.Rules {
		rule := &p.Rules[i]
		if !slices.Contains(rule.Names, name) {
			continue
		}
		if len(rule.Conditions) == 0 {
			if settled {
				continue
			}
			if settled = true; !rule.Action.goesOn() {
				return rule.Action, true
			}
		}
		denied = denied && !rule.Action.goesOn()
	}
	return action, denied
}
