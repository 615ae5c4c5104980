// SPDX-License-Identifier: Apache-2.0

package policydb

import "strings"

// What Compute works out.
const (
	Transition = RuleTransition // the context of a new object or process
	Member     = RuleMember     // of a member of a polyinstantiated object
	Change     = RuleChange     // to which an object is relabelled
)

// Where a new object's user, role and type come from (Class.DefaultUser ...).
const (
	defaultSource = 1
	defaultTarget = 2
)

// Where a new object's range comes from (Class.DefaultRange).
const (
	rangeSourceLow  = 1
	rangeSourceHigh = 2
	rangeSource     = 3
	rangeTargetLow  = 4
	rangeTargetHigh = 5
	rangeTarget     = 6
	rangeCommon     = 7 // the greatest lower and the least upper bound of both: glblub
)

// Compute works out a context as security_compute_sid of the kernel does: name is the last component of a new object's path, which file name transitions ask for,
// or "". The error says why the policy does not take the context that the rules give; the kernel then refuses the operation.
func (p *Policy) Compute(kind uint16, source, target *Context, class uint32, name string) (*Context, error) {
	names := p.names()
	var known Class
	if class != 0 && class <= uint32(len(names.classes)) {
		known = *names.classes[class-1]
	}
	process := known.Name == "process" || isSocket(known.Name)
	made := &Context{User: source.User, Role: roleObject, Type: target.Type}
	if kind == Member || known.DefaultUser == defaultTarget {
		made.User = target.User
	}
	made.Role = inherited(known.DefaultRole, source.Role, target.Role, process, roleObject)
	made.Type = inherited(known.DefaultType, source.Type, target.Type, process, target.Type)
	if rule := p.typeRule(uint16(source.Type), uint16(target.Type), uint16(class), kind); rule != nil {
		made.Type = rule.Data
	}
	if typ := p.filenameRule(source.Type, target.Type, class, name); typ != 0 {
		made.Type = typ
	}
	if kind == Transition {
		for _, change := range p.RoleChanges {
			if change.Role == source.Role && change.Type == target.Type && p.changesClass(change, class) {
				made.Role = change.NewRole
				break
			}
		}
	}
	if p.MLS {
		made.Range = p.computeRange(kind, source, target, class, known.DefaultRange, process)
	}
	return made, p.CheckContext(made)
}

// sockets are the classes of the kernel's own sockets, each without "_socket" at its end (security/selinux/include/classmap.h): a new one is labelled as its maker.
// A class that only the policy calls a socket is not.
const sockets = " tcp udp rawip netlink packet key unix_stream unix_dgram netlink_route netlink_tcpdiag netlink_nflog netlink_xfrm netlink_selinux " +
	"netlink_iscsi netlink_audit netlink_fib_lookup netlink_connector netlink_netfilter netlink_dnrt netlink_kobject_uevent netlink_generic " +
	"netlink_scsitransport netlink_rdma netlink_crypto appletalk dccp tun sctp icmp ax25 ipx netrom atmpvc x25 rose decnet atmsvc rds irda pppox " +
	"llc can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp mctp "

func isSocket(class string) bool {
	kind, ok := strings.CutSuffix(class, "_socket")
	return class == "socket" || ok && strings.Contains(sockets, " "+kind+" ")
}

// inherited is the role or the type before rules change it.
func inherited(defaults, source, target uint32, process bool, otherwise uint32) uint32 {
	switch {
	case defaults == defaultSource:
		return source
	case defaults == defaultTarget:
		return target
	case process:
		return source
	}
	return otherwise
}

// changesClass reports whether a role transition is for the class; before version 26 they were for processes.
func (p *Policy) changesClass(change RoleTransition, class uint32) bool {
	if p.Version >= versionRoleTransitionClass {
		return change.Class == class
	}
	process := p.names().classNames["process"]
	return process != nil && process.Value == class
}

// typeRule finds the type rule; those of conditions count while their branch holds, and after the others.
func (p *Policy) typeRule(source, target, class, kind uint16) *Rule {
	engine := p.engineOf()
	if rule := engine.typeRules()[typeKey{source, target, class, kind}]; rule != nil {
		return rule
	}
	for i := range p.Conditions {
		for branch, rules := range [][]Rule{p.Conditions[i].True, p.Conditions[i].False} {
			if !engine.holds[1+2*i+branch] {
				continue
			}
			for j := range rules {
				if r := &rules[j]; r.Source == source && r.Target == target && r.Class == class && r.Kind&ruleTypes == kind {
					return r
				}
			}
		}
	}
	return nil
}

// typeKey is what a type rule is found by: no attributes are in these rules.
type typeKey struct{ source, target, class, kind uint16 }

func (e *engine) typeRules() map[typeKey]*Rule {
	e.once.Do(func() {
		e.byKey = map[typeKey]*Rule{}
		for i := range e.policy.Rules {
			if r := &e.policy.Rules[i]; r.Kind&ruleTypes != 0 {
				e.byKey[typeKey{r.Source, r.Target, r.Class, r.Kind & ruleTypes}] = r
			}
		}
	})
	return e.byKey
}

// filenameRule is the type of an object of that name, 0 where there is no rule.
func (p *Policy) filenameRule(source, target, class uint32, name string) uint32 {
	if name == "" {
		return 0
	}
	for i := range p.Filenames {
		transition := &p.Filenames[i]
		if transition.Name != name || transition.Target != target || transition.Class != class {
			continue
		}
		for _, result := range transition.Results {
			if result.Sources.Has(source - 1) {
				return result.Type
			}
		}
	}
	return 0
}

// computeRange is mls_compute_sid.
func (p *Policy) computeRange(kind uint16, source, target *Context, class, defaults uint32, process bool) Range {
	if kind == Transition {
		for i := range p.RangeRules {
			if rule := &p.RangeRules[i]; rule.Source == source.Type && rule.Target == target.Type && rule.Class == class {
				return rule.Range
			}
		}
		if r, ok := defaultRange(defaults, &source.Range, &target.Range); ok {
			return r
		}
	}
	if kind != Member && process {
		return source.Range
	}
	return oneLevel(source.Range.Low)
}

func oneLevel(level Level) Range { return Range{Low: level, High: level, Single: true} }

func defaultRange(defaults uint32, source, target *Range) (Range, bool) {
	switch defaults {
	case rangeSourceLow:
		return oneLevel(source.Low), true
	case rangeSourceHigh:
		return oneLevel(source.High), true
	case rangeSource:
		return *source, true
	case rangeTargetLow:
		return oneLevel(target.Low), true
	case rangeTargetHigh:
		return oneLevel(target.High), true
	case rangeTarget:
		return *target, true
	case rangeCommon:
		return common(source, target)
	}
	return Range{}, false
}

// common is what both ranges have in common: from the higher of the low levels to the lower of the high ones. Ranges that do not meet have none, which makes the
// context invalid: the empty range has a sensitivity that no policy has.
func common(a, b *Range) (Range, bool) {
	if a.High.Sensitivity < b.Low.Sensitivity || b.High.Sensitivity < a.Low.Sensitivity {
		return Range{}, true
	}
	low := Level{max(a.Low.Sensitivity, b.Low.Sensitivity), a.Low.Categories.intersection(b.Low.Categories)}
	high := Level{min(a.High.Sensitivity, b.High.Sensitivity), a.High.Categories.intersection(b.High.Categories)}
	return Range{Low: low, High: high}, true
}

// ValidateTransition reports whether an object's context may change from old to new by the process's hand (validatetrans): it returns the constraint that
// does not hold, or nil.
func (p *Policy) ValidateTransition(old, new, process *Context, class uint32) *Constraint {
	if class == 0 || class > uint32(len(p.names().classes)) {
		return nil
	}
	constraints := p.names().classes[class-1].Transitions
	for i := range constraints {
		if !p.holds(constraints[i].Expression, old, new, process) {
			return &constraints[i]
		}
	}
	return nil
}
