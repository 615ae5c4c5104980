// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// unix reads the rest of unix [ACCESS] [type= addr=] [peer=(addr= label=)].
func (p *parser) unix(qualifiers Qualifiers) bool {
	rule := &UnixRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access(socketAccess); !ok {
		return false
	}
	ok = p.conditions([]string{"type", "addr", "peer"}, func(key string) bool {
		if rule.Peer {
			return p.fail("the conditions of the peer at the end", "%s= behind peer=", key)
		}
		switch key {
		case "type":
			kind, ok := p.single("a type of socket")
			if !ok {
				return false
			}
			if !slices.Contains(socketTypes, kind.Text) && !strings.Contains(kind.Text, "@{") {
				return p.failAt(kind.Position, strings.Join(socketTypes, ", "), "unknown type %q", kind.Text)
			}
			rule.Type = []Word{*kind}
			return true
		case "addr":
			address, ok := p.single("an address")
			rule.Address = address
			return ok && p.checkUnixAddress(address)
		}
		rule.Peer = true
		return p.peer([]string{"addr", "label"}, func(key string) bool {
			value, ok := p.nested("a value")
			if !ok {
				return false
			}
			if key == "label" {
				rule.PeerLabel = value
				return true
			}
			rule.PeerAddress = value
			return p.checkUnixAddress(value)
		})
	})
	if !ok {
		return false
	}
	if rule.PeerAddress != nil || rule.PeerLabel != nil {
		ok = p.checkLocalAccess(rule.Access, rule)
	}
	return ok && p.add(rule)
}

// checkUnixAddress reports an address that no socket of the rule can have: paths are for file rules.
func (p *parser) checkUnixAddress(address *Word) bool {
	if strings.HasPrefix(address.Text, "@") || address.Text == "none" || address.Text == "auto" {
		return true
	}
	return p.failAt(address.Position, "none, auto or @ and the name", "bad address %q", address.Text)
}
