// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// networkDomains are the names of the address families.
var networkDomains = strings.Fields(`unspec unix inet ax25 ipx appletalk netrom bridge atmpvc x25 inet6 rose netbeui security key netlink packet ash econet
	atmsvc rds sna irda pppox wanpipe llc ib mpls can tipc bluetooth iucv rxrpc isdn phonet ieee802154 caif alg nfc vsock kcm qipcrtr smc xdp mctp`)

// socketTypes are the names of the types of sockets.
var socketTypes = []string{"stream", "dgram", "seqpacket", "rdm", "raw", "packet"}

// networkProtocols are the protocols that stand for a type.
var networkProtocols = []string{"tcp", "udp", "icmp"}

// socketAccess are the accesses of network and unix rules.
var socketAccess = strings.Fields("create bind listen accept connect shutdown getattr setattr getopt setopt send receive r w rw wr read write")

// localAccess are those of the own socket alone, which have no peer.
var localAccess = []string{"create", "bind", "listen", "shutdown", "getattr", "setattr", "getopt", "setopt"}

// network reads the rest of network [ACCESS] [DOMAIN] [TYPE|PROTOCOL] [ip= port=] [peer=(ip= port=)].
func (p *parser) network(qualifiers Qualifiers) bool {
	rule := &NetworkRule{Qualifiers: qualifiers}
	p.skip()
	if word := p.peekName(); p.peek() == '(' || slices.Contains(socketAccess, word) {
		var ok bool
		if rule.Access, ok = p.access(socketAccess); !ok {
			return false
		}
	}
	if !p.networkNames(rule) {
		return false
	}
	local := &NetworkAddress{}
	ok := p.conditions([]string{"ip", "port", "peer"}, func(key string) bool {
		if key != "peer" {
			if rule.Peer != nil {
				return p.fail("the conditions of the peer at the end", "%s= behind peer=", key)
			}
			rule.Local = local
			value, ok := p.single("a value")
			return ok && p.address(local, key, *value)
		}
		rule.Peer = &NetworkAddress{}
		return p.peer([]string{"ip", "port"}, func(key string) bool {
			value, ok := p.nested("a value")
			return ok && p.address(rule.Peer, key, *value)
		})
	})
	return ok && p.checkNetwork(rule) && p.add(rule)
}

// networkNames reads [DOMAIN] [TYPE|PROTOCOL].
func (p *parser) networkNames(rule *NetworkRule) bool {
	for {
		p.skip()
		saved := p.cursor
		place := p.position()
		name := p.name()
		if p.peek() == '=' || name == "" || p.equalsAhead() {
			p.cursor = saved
			return true
		}
		switch first := rule.Domain == "" && rule.Type == "" && rule.Protocol == ""; {
		case slices.Contains(networkDomains, name) && first:
			rule.Domain = name
		case rule.Type != "" || rule.Protocol != "":
			return p.failAt(place, "conditions or \",\"", "unexpected %q", name)
		case slices.Contains(socketTypes, name):
			rule.Type = name
		case slices.Contains(networkProtocols, name):
			if rule.Domain != "" && rule.Domain != "inet" && (rule.Domain != "inet6" || name == "icmp") {
				return p.failAt(place, "a type of socket", "there is no %s in the domain %s", name, rule.Domain)
			}
			rule.Protocol = name
		case first:
			return p.failAt(place, "an access, a domain, a type or a protocol", "unknown word %q in a network rule", name)
		default:
			return p.failAt(place, "a type or a protocol", "unknown word %q in a network rule", name)
		}
	}
}

// address sets one condition of an end.
func (p *parser) address(end *NetworkAddress, key string, value Word) bool {
	if key == "ip" {
		if _, err := netip.ParseAddr(value.Text); value.Text != "none" && (err != nil || strings.Contains(value.Text, "%")) {
			return p.failAt(value.Position, "an IPv4 or IPv6 address, or none", "bad address %q", value.Text)
		}
		end.IP = value.Text
		return true
	}
	low, high, ranged := strings.Cut(value.Text, "-")
	from, err := strconv.ParseUint(low, 10, 16)
	to, other := from, error(nil)
	if ranged {
		to, other = strconv.ParseUint(high, 10, 16)
	}
	if err != nil || other != nil || to < from {
		return p.failAt(value.Position, "a number from 0 to 65535, or two with - between them", "bad port %q", value.Text)
	}
	end.Port, end.PortHigh, end.HasPort = uint16(from), uint16(to), true
	return true
}

// checkNetwork reports conditions that the domain or the access does not go with.
func (p *parser) checkNetwork(rule *NetworkRule) bool {
	if (rule.Local != nil || rule.Peer != nil) && rule.Domain != "" && rule.Domain != "inet" && rule.Domain != "inet6" {
		return p.failAt(rule.Position, "inet, inet6 or no domain", "the domain %s has no ip= and port=", rule.Domain)
	}
	if rule.Peer != nil && (rule.Peer.IP != "" || rule.Peer.HasPort) {
		return p.checkLocalAccess(rule.Access, rule)
	}
	return true
}

// checkLocalAccess reports accesses that have no peer.
func (p *parser) checkLocalAccess(access []string, rule Rule) bool {
	for _, name := range access {
		if slices.Contains(localAccess, name) {
			return p.failAt(rule.Head().Position, "accept, connect, send or receive", "the access %s has no peer", name)
		}
	}
	return true
}
