// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// families are the kernel's address families by number. 12 was DECnet's: the language has no name for it, and a rule for all families has it.
var families = [...]string{
	"unspec", "unix", "inet", "ax25", "ipx", "appletalk", "netrom", "bridge", "atmpvc", "x25", "inet6", "rose", "", "netbeui", "security", "key",
	"netlink", "packet", "ash", "econet", "atmsvc", "rds", "sna", "irda", "pppox", "wanpipe", "llc", "ib", "mpls", "can", "tipc", "bluetooth", "iucv",
	"rxrpc", "isdn", "phonet", "ieee802154", "caif", "alg", "nfc", "vsock", "kcm", "qipcrtr", "smc", "xdp", "mctp",
}

const (
	familyUnix  = 1
	familyInet  = 2
	familyInet6 = 10
	familyNone  = 12
)

const (
	networkSend     = 0x2
	networkReceive  = 0x4
	networkCreate   = 0x10
	networkShutdown = 0x20
	networkConnect  = 0x40
	networkSetattr  = 1 << otherBit
	networkGetattr  = 2 << otherBit
	networkAccept   = 4 << otherBit
	networkBind     = 8 << otherBit
	networkListen   = 0x10 << otherBit
	networkSetopt   = 0x20 << otherBit
	networkGetopt   = 0x40 << otherBit
	networkAll      = networkSend | networkReceive | networkCreate | networkShutdown | networkConnect | 0x7f<<otherBit
)

func networkAccess() map[string]uint32 {
	return map[string]uint32{
		"send": networkSend, "write": networkSend, "w": networkSend, "receive": networkReceive, "read": networkReceive, "r": networkReceive,
		"rw": networkSend | networkReceive, "wr": networkSend | networkReceive, "create": networkCreate, "shutdown": networkShutdown,
		"connect": networkConnect, "setattr": networkSetattr, "getattr": networkGetattr, "accept": networkAccept, "bind": networkBind,
		"listen": networkListen, "setopt": networkSetopt, "getopt": networkGetopt,
	}
}

// socketTypes are those that the language names; protocols stand for the type that they run over.
func socketTypes() map[string]byte {
	return map[string]byte{"stream": 1, "dgram": 2, "raw": 3, "rdm": 4, "seqpacket": 5, "packet": 10}
}

// everySocketType is how many types a rule for all of them allows: SOCK_MAX and some to spare.
const everySocketType = 16

// sockets are what a network rule is about.
type sockets struct {
	families []byte
	types    []byte
	all      bool // every family and type
}

// networkSockets finds families and types that a rule is about.
func (u *unit) networkSockets(rule *syntax.NetworkRule) (s sockets, ok bool) {
	named := socketTypes()
	conditions := rule.Local != nil || rule.Peer != nil
	if rule.Domain == "" && rule.Type == "" && rule.Protocol == "" && !conditions {
		for family := range families {
			s.families = append(s.families, byte(family))
		}
		s.all = true
		return s, true
	}
	switch kind, known := named[rule.Type]; {
	case rule.Protocol != "":
		s.types = u.protocolTypes(rule)
	case rule.Type == "":
		for _, kind := range named {
			s.types = append(s.types, kind)
		}
		slices.Sort(s.types)
	case known:
		s.types = []byte{kind}
	default:
		u.report(rule, "unknown socket type %q, expected stream, dgram, seqpacket, rdm, raw or packet", rule.Type)
	}
	switch family := slices.Index(families[:], rule.Domain); {
	case rule.Domain != "" && family >= 0:
		s.families = []byte{byte(family)}
	case rule.Domain != "":
		u.report(rule, "unknown address family %q", rule.Domain)
	case rule.Protocol == "icmp":
		s.families = []byte{familyInet}
	case rule.Protocol != "" || conditions:
		s.families = []byte{familyInet, familyInet6}
	default:
		for family := range families {
			if family != familyNone {
				s.families = append(s.families, byte(family))
			}
		}
	}
	return s, len(s.families) > 0 && len(s.types) > 0
}

// protocolTypes are the types of the protocol, of inet and inet6 sockets.
func (u *unit) protocolTypes(rule *syntax.NetworkRule) []byte {
	kinds := map[string]byte{"tcp": 1, "udp": 2, "icmp": 3}
	kind, ok := kinds[rule.Protocol]
	switch {
	case !ok:
		u.report(rule, "unknown protocol %q, expected tcp, udp or icmp", rule.Protocol)
		return nil
	case rule.Domain != "" && rule.Domain != "inet" && (rule.Domain != "inet6" || rule.Protocol == "icmp"):
		u.report(rule, "protocol %s does not go with the address family %s", rule.Protocol, rule.Domain)
		return nil
	}
	return []byte{kind}
}

// networkEntries encodes a rule as
//
//	14 family type        two bytes each, the most significant first
//
// and one about AF_UNIX also as a unix rule, where the target mediates these. For kernels before network_v8 it is networkAllowed that has the rule.
func (u *unit) networkEntries(rule *syntax.NetworkRule) []entry {
	s, ok := u.networkSockets(rule)
	perms := u.accessBits(rule, "network", rule.Access, networkAccess(), networkAll)
	if !ok {
		return nil
	}
	c := u.classes
	conditions := rule.Local != nil || rule.Peer != nil
	switch {
	case !c.network && !c.networkV8:
		u.lost(rule, "the network", s.all && perms == networkAll && !conditions)
		return nil
	case conditions:
		// The rule is as wide as it would be without the conditions; whoever needs them is told.
		u.lack(rule, "the target does not mediate addresses and ports: the rule is for all of them")
	}
	var entries []entry
	if c.unix && slices.Contains(s.families, familyUnix) {
		entries = u.unixOfNetwork(rule, c, s, perms)
	}
	if c.networkV8 {
		entries = append(entries, u.entry(rule, perms, socketPattern(s, rule.Audit || rule.Deny || len(rule.Access) > 0)))
	} else if perms != networkAll {
		u.lack(rule, "the target does not mediate single accesses: the rule is for all of them")
	}
	return entries
}

// socketPattern matches the sockets in class 14. loose is how apparmor_parser has rules for all sockets that log, deny or name
// accesses: every type there is.
func socketPattern(s sockets, loose bool) dfa.Pattern {
	var kinds dfa.Pattern
	switch {
	case s.all && loose:
		kinds = dfa.Concat(anyByte, anyByte)
	case s.all:
		kinds = dfa.Concat(zero, dfa.OneOf(func(b byte) bool { return b < everySocketType }))
	default:
		kinds = dfa.Concat(zero, oneOf(s.types))
	}
	return dfa.Concat(dfa.Literal(string(rune(classNetworkV8))), zero, oneOf(s.families), kinds)
}

// networkAllowed makes the table of families of kernels that mediate the network beside policydb: for each the types that are allowed, logged and
// quietly denied, a bit each. It is nil for other kernels, and where no rule is about the network.
func (u *unit) networkAllowed(rules []syntax.Rule) [][3]uint16 {
	c := u.classes
	if !c.network || c.networkV8 {
		return nil
	}
	var allow, audit, deny, quiet [len(families)]uint16
	found := false
	for _, rule := range rules {
		var s sockets
		switch rule := rule.(type) {
		case *syntax.NetworkRule:
			s, _ = u.networkSockets(rule)
		case *syntax.UnixRule:
			s = u.unixSockets(rule)
			if rule.Deny {
				found = true
				continue // it would deny more than is written; unixEntries said so
			}
		case *syntax.AllRule:
			s, _ = u.networkSockets(&syntax.NetworkRule{})
		}
		bits := uint16(0)
		for _, kind := range s.types {
			bits |= 1 << kind
		}
		if s.all || s.types == nil {
			bits = 0xffff
		}
		head := rule.Head()
		found = found || len(s.families) > 0
		for _, family := range s.families {
			switch {
			case head.Deny:
				deny[family] |= bits
				if quietly(head) {
					quiet[family] |= bits
				}
			case head.Prompt: // policyEntries says that nobody is asked
			case head.Audit:
				audit[family] |= bits
				fallthrough
			default:
				allow[family] |= bits
			}
		}
	}
	if !found {
		return nil
	}
	table := make([][3]uint16, len(families))
	for family := range table {
		table[family] = [3]uint16{allow[family] &^ deny[family], audit[family], quiet[family]}
	}
	return table
}
