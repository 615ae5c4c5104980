// SPDX-License-Identifier: Apache-2.0

package policydb

// Permissions that extended rules refine (allowxperm and the like).
const (
	PermissionIoctl = "ioctl" // by the low 16 bits of the command
	PermissionNlmsg = "nlmsg" // by the type of the netlink message; kernels since 6.13 with policy capability netlink_xperm
)

// ExtendedExplanation says whether one ioctl command or netlink message is allowed.
type ExtendedExplanation struct {
	Allowed    bool
	Cause      Cause       // of Permission where that is denied; otherwise ByRule (no extended rules), ByExtended or NoExtended
	Logged     bool        // said in the log, be it allowed or denied
	Permission Explanation // of ioctl or nlmsg itself
	Rules      []Found     // allowxperm rules: those with the number, or where none has it all that there are
}

// ExplainExtended answers for a number of the permission, which is PermissionIoctl or PermissionNlmsg, as avc_has_extended_perms in security/selinux/avc.c does.
// The permission itself comes first: constraints and bounds know nothing of numbers. As soon as there is one extended rule of any kind between the contexts, even
// one that is only about the log or the other permission, every number needs an allowxperm rule. The contexts must be valid. A class without the permission is
// an *UnknownError; class 0 is one that the policy does not know.
func (p *Policy) ExplainExtended(source, target *Context, class uint32, permission string, number uint16) (ExtendedExplanation, error) {
	bit := uint32(1)
	if known := p.names().classes; class != 0 && class <= uint32(len(known)) {
		var err error
		if bit, err = p.Permission(known[class-1], permission); err != nil {
			return ExtendedExplanation{}, err
		}
	}
	x := ExtendedExplanation{Permission: p.Explain(source, target, class, bit)}
	x.Allowed, x.Cause = x.Permission.Allowed, x.Permission.Cause
	found := p.extendedRules(source, target, class, permission, number)
	x.Rules = found.rules
	switch {
	case !x.Allowed || !found.any:
	case found.allowed:
		x.Cause = ByExtended
	default:
		x.Allowed, x.Cause = false, NoExtended
	}
	if decision := p.Decide(source, target, class); x.Allowed {
		x.Logged = decision.AuditAllow&bit != 0 && (found.logged || !found.any)
	} else {
		x.Logged = decision.AuditDeny&bit != 0 && !found.silent
	}
	return x, nil
}

// extendedRules are the extended rules between two contexts, as far as a number is concerned.
type extendedRules struct {
	any                     bool    // there is a rule, about whatever number
	allowed, logged, silent bool    // one of that kind has the number
	rules                   []Found // allowxperm rules: those with the number, or else all
}

func (p *Policy) extendedRules(source, target *Context, class uint32, permission string, number uint16) extendedRules {
	var result extendedRules
	var others []Found
	sources, targets := p.Attributes[source.Type-1], p.Attributes[target.Type-1]
	p.engineOf().eachRule(func(found Found, holds bool) {
		rule := found.Rule
		if !holds || rule.Kind&ruleExtended == 0 || uint32(rule.Class) != class || !sources.Has(uint32(rule.Source)-1) || !targets.Has(uint32(rule.Target)-1) {
			return
		}
		result.any = true
		has := rule.Extended.permission() == permission && rule.Extended.Has(number)
		switch kind := rule.Kind & ruleExtended; {
		case kind == RuleAllowExtended && has:
			result.allowed = true
			result.rules = append(result.rules, found)
		case kind == RuleAllowExtended:
			others = append(others, found)
		case kind == RuleAuditExtended:
			result.logged = result.logged || has
		case kind == RuleSilentExtended:
			result.silent = result.silent || has
		}
	})
	if !result.allowed {
		result.rules = others
	}
	return result
}

// IoctlPermission is what the kernel asks for an ioctl command (all 32 bits; selinux_file_ioctl in security/selinux/hooks.c): PermissionIoctl, or another permission
// of the file for the few commands that every file has; "" where only use of the descriptor is asked. Keyboard tables are left to capability sys_tty_config,
// which is "", too.
func (p *Policy) IoctlPermission(command uint32) string {
	const skipCloexec = 7 // policy capability ioctl_skip_cloexec
	switch command {
	case 0x541b, 0x1, 0x2, 0x80086601, 0x80087601: // FIONREAD FIBMAP FIGETBSZ FS_IOC_GETFLAGS FS_IOC_GETVERSION
		return "getattr"
	case 0x40086602, 0x40087602: // FS_IOC_SETFLAGS FS_IOC_SETVERSION
		return "setattr"
	case 0x5421, 0x5452, 0x4b47, 0x4b49: // FIONBIO FIOASYNC KDSKBENT KDSKBSENT
		return ""
	case 0x5451, 0x5450: // FIOCLEX FIONCLEX
		if p.Capabilities.Has(skipCloexec) {
			return ""
		}
	}
	return PermissionIoctl
}
