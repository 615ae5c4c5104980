// SPDX-License-Identifier: Apache-2.0

package syntax

import "slices"

// dbus reads the rest of dbus [ACCESS] [bus= path= interface= member= name=] [peer=(name= label=)].
func (p *parser) dbus(qualifiers Qualifiers) bool {
	rule := &DBusRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access([]string{"send", "receive", "bind", "eavesdrop", "r", "read", "w", "write", "rw", "wr"}); !ok {
		return false
	}
	fields := map[string]**Word{"bus": &rule.Bus, "path": &rule.Path, "interface": &rule.Interface, "member": &rule.Member, "name": &rule.Name}
	peerWritten := false
	ok = p.conditions([]string{"bus", "path", "interface", "member", "name", "peer"}, func(key string) bool {
		if peerWritten {
			return p.fail("the conditions of the peer at the end", "%s= behind peer=", key)
		}
		var ok bool
		if key != "peer" {
			*fields[key], ok = p.single("a value of " + key)
			return ok
		}
		peerWritten = true
		return p.peer([]string{"name", "label"}, func(key string) bool {
			value, ok := p.nested("a value of " + key)
			if key == "name" {
				rule.PeerName = value
			} else {
				rule.PeerLabel = value
			}
			return ok
		})
	})
	return ok && p.checkDBus(rule) && p.add(rule)
}

// checkDBus reports accesses and conditions of different kinds of rules: messages, services, eavesdropping.
func (p *parser) checkDBus(rule *DBusRule) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(rule.Access, func(access string) bool { return slices.Contains(names, access) })
	}
	message := rule.Path != nil || rule.Interface != nil || rule.Member != nil || rule.PeerName != nil || rule.PeerLabel != nil
	service := rule.Name != nil
	switch {
	case message && service:
		return p.failAt(rule.Position, "name= alone, or without it", "conditions of messages and of services in one rule")
	case has("eavesdrop") && (message || service):
		return p.failAt(rule.Position, "bus= only", "the access eavesdrop with other conditions than bus=")
	case has("bind") && message:
		return p.failAt(rule.Position, "bus= and name= only", "the access bind with conditions of messages")
	case has("send", "receive", "r", "read", "w", "write", "rw", "wr") && service:
		return p.failAt(rule.Position, "bind", "the accesses send and receive with the condition name=")
	}
	return true
}
