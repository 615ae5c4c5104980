// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"fmt"
	"strings"
)

// qualifierText writes the qualifiers, each with a blank behind it.
func qualifierText(q *Qualifiers) string {
	var b strings.Builder
	if q.HasPriority {
		fmt.Fprintf(&b, "priority=%d ", q.Priority)
	}
	for _, word := range []struct {
		set  bool
		text string
	}{
		{q.Audit, "audit "}, {q.Allow, "allow "}, {q.Deny && !q.Quiet && !q.KillTask, "deny "}, {q.Quiet, "quiet "}, {q.KillTask, "kill "}, {q.Prompt, "prompt "},
		{q.Owner, "owner "}, {q.Other, "other "},
	} {
		if word.set {
			b.WriteString(word.text)
		}
	}
	return b.String()
}

// ruleText writes a rule without its qualifiers and its comma.
func ruleText(rule Rule) string {
	switch rule := rule.(type) {
	case *FileRule:
		return rule.text()
	case *LinkRule:
		if rule.Subset {
			return "link subset " + rule.Link.String() + " -> " + rule.Target.String()
		}
		return "link " + rule.Link.String() + " -> " + rule.Target.String()
	case *CapabilityRule:
		return join("capability", texts(rule.Capabilities)...)
	case *NetworkRule:
		text := join("network", access(rule.Access), rule.Domain, rule.Type, rule.Protocol, rule.Local.text())
		if rule.Peer != nil {
			text += " peer=(" + rule.Peer.text() + ")"
		}
		return text
	case *MountRule:
		return rule.text()
	case *PivotRootRule:
		return join("pivot_root", condition("oldroot", rule.OldRoot), word("", rule.NewRoot), word("-> ", rule.Profile))
	case *PtraceRule:
		return join("ptrace", access(rule.Access), condition("peer", rule.Peer))
	case *SignalRule:
		set := ""
		if rule.Signals != nil {
			set = "set=(" + strings.Join(texts(rule.Signals), ", ") + ")"
		}
		return join("signal", access(rule.Access), set, condition("peer", rule.Peer))
	case *UnixRule:
		text := join("unix", access(rule.Access))
		for _, kind := range rule.Type {
			text += " type=" + kind.String()
		}
		text = join(text, condition("addr", rule.Address))
		if rule.Peer {
			text += " peer=(" + join(condition("addr", rule.PeerAddress), condition("label", rule.PeerLabel)) + ")"
		}
		return text
	case *DBusRule:
		text := join("dbus", access(rule.Access), condition("bus", rule.Bus), condition("path", rule.Path), condition("interface", rule.Interface),
			condition("member", rule.Member), condition("name", rule.Name))
		if rule.PeerName != nil || rule.PeerLabel != nil {
			text += " peer=(" + join(condition("name", rule.PeerName), condition("label", rule.PeerLabel)) + ")"
		}
		return text
	case *UsernsRule:
		return join("userns", rule.Access...)
	case *IOUringRule:
		return join("io_uring", access(rule.Access), condition("label", rule.Label))
	case *MQueueRule:
		kind := ""
		if rule.Type != "" {
			kind = "type=" + rule.Type
		}
		return join("mqueue", access(rule.Access), kind, condition("label", rule.Label), word("", rule.Name))
	case *ChangeProfileRule:
		return join("change_profile", rule.Mode, word("", rule.Exec), word("-> ", rule.Target))
	case *RlimitRule:
		return rule.text()
	}
	return "all"
}

// join puts the parts that are not empty together with blanks.
func join(first string, parts ...string) string {
	var b strings.Builder
	b.WriteString(first)
	for _, part := range parts {
		if part != "" {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(part)
		}
	}
	return b.String()
}

func texts(words []Word) []string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = word.String()
	}
	return list
}

// access writes an access list.
func access(names []string) string {
	switch {
	case names == nil:
		return ""
	case len(names) == 1:
		return names[0]
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// condition writes KEY=WORD, word WORD behind a text; nothing where there is none.
func condition(key string, value *Word) string { return word(key+"=", value) }

func word(before string, value *Word) string {
	if value == nil {
		return ""
	}
	return before + value.String()
}

// text writes ip= and port=.
func (a *NetworkAddress) text() string {
	if a == nil {
		return ""
	}
	ip, port := "", ""
	if a.IP != "" {
		ip = "ip=" + a.IP
	}
	if a.HasPort {
		port = fmt.Sprintf("port=%d", a.Port)
		if a.PortHigh > a.Port {
			port += fmt.Sprintf("-%d", a.PortHigh)
		}
	}
	return join(ip, port)
}

// text writes the path and then the permissions.
func (r *FileRule) text() string {
	if r.Path == nil {
		return "file"
	}
	return join(r.Path.String(), r.letters(), word("-> ", r.Exec.Target))
}

// letters writes the permissions.
func (r *FileRule) letters() string {
	var b strings.Builder
	p := r.Permissions
	for _, letter := range []struct {
		set  bool
		text byte
	}{{p.Map, 'm'}, {p.Read, 'r'}, {p.Write, 'w'}, {p.Append, 'a'}, {p.Link, 'l'}, {p.Lock, 'k'}, {p.Exec, 'x'}} {
		if letter.set {
			b.WriteByte(letter.text)
		}
	}
	mode := map[ExecMode]string{ExecInherit: "i", ExecUnconfined: "u", ExecProfile: "p", ExecChild: "c"}[r.Exec.Mode]
	if r.Exec.Scrub {
		mode = strings.ToUpper(mode)
	}
	switch r.Exec.Fallback {
	case ExecInherit:
		mode += "i"
	case ExecUnconfined:
		mode += "u"
		if r.Exec.Scrub {
			mode = strings.ToUpper(mode)
		}
	}
	if r.Exec.Mode != NoExec {
		mode += "x"
	}
	return b.String() + mode
}

// text writes the conditions in their order.
func (r *MountRule) text() string {
	text := [...]string{"mount", "remount", "umount"}[r.Kind]
	for _, condition := range r.Conditions {
		switch {
		case condition.In:
			text += " " + condition.Key + " in (" + strings.Join(texts(condition.Values), ", ") + ")"
		case len(condition.Values) == 1:
			text += " " + condition.Key + "=" + condition.Values[0].String()
		default:
			text += " " + condition.Key + "=(" + strings.Join(texts(condition.Values), ", ") + ")"
		}
	}
	if r.Kind != Mount {
		return join(text, word("", r.MountPoint))
	}
	return join(text, word("", r.Source), word("-> ", r.MountPoint))
}

// text writes the value in the limit's own unit.
func (r *RlimitRule) text() string {
	value := fmt.Sprint(r.Value)
	switch {
	case r.Infinite:
		value = "infinity"
	case rlimitUnits[r.Resource] == niceUnit:
		value = fmt.Sprint(int64(r.Value) - niceZero)
	}
	return "set rlimit " + r.Resource + " <= " + value
}
