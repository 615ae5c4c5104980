// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// What the kernel asks of a socket is about the socket alone, or of the socket and its peer.
const (
	unixAll    = networkAll
	unixPeer   = networkConnect | networkSend | networkReceive
	unixOfPeer = unixPeer | networkAccept // what a rule with a peer may have

	// unixAddressed is what asks for the socket's own address and label, but not for more.
	unixAddressed = networkShutdown | networkSetattr | networkGetattr | networkAccept | networkBind

	unixOptions = networkSetopt | networkGetopt
)

// The bytes by which the kernel says what comes after the socket's address and label.
const (
	unixAsksPeer    = "\x01" // address, label
	unixAsksBacklog = "\x02" // two bytes
	unixAsksOption  = "\x04" // two bytes
)

// unixSocket is a unix rule's conditions as patterns.
type unixSocket struct {
	kind        dfa.Pattern // two bytes
	local, peer dfa.Pattern // addresses
	peerLabel   dfa.Pattern
	addressed   bool // the local address is written
	auto        bool // it is to be chosen by the kernel
	hasPeer     bool
}

// unixEntries encodes a rule as, each after its class,
//
//	family type protocol                                           create
//	family type protocol address 0 label 0                         bind (the label is empty), and what is about the socket alone
//	family type protocol address 0 label 0 2 backlog               listen
//	family type protocol address 0 label 0 4 option                getopt, setopt
//	family type protocol address 0 label 0 1 address 0 label       of the peer: connect, accept, send, receive
//
// A target without fine mediation of these sockets has the network rule for their family and type instead.
func (u *unit) unixEntries(rule *syntax.UnixRule) []entry {
	perms := u.unixPermissions(rule)
	s := u.unixSockets(rule)
	c := u.classes
	plain := perms == unixAll && rule.Address == nil && !rule.Peer
	switch {
	case !c.network && !c.networkV8:
		u.lost(rule, "unix sockets", plain && len(rule.Type) == 0)
		return nil
	case c.unix:
	case rule.Deny:
		u.lack(rule, "%s: the rule, which would deny more than is written, is left out", u.unixLimit())
	case !plain:
		u.lack(rule, "%s: the rule is for all of that type", u.unixLimit())
	}
	var entries []entry
	if c.unix {
		entries = u.unixSocketEntries(rule, c.unixClass(), perms, u.unixConditions(rule, s))
	}
	if c.networkV8 && !rule.Deny {
		entries = append(entries, u.entry(rule, networkAll, socketPattern(s, rule.Audit)))
	}
	return entries
}

// unixLimit says why addresses and labels of unix sockets are not mediated.
func (u *unit) unixLimit() string {
	if u.features.Yes("network_v9/af_unix") {
		return "the target mediates unix sockets by type only, but for policy of format v9, which is not written"
	}
	return "the target mediates unix sockets by type only"
}

// unixOfNetwork makes the unix rules that a network rule about AF_UNIX is, too.
func (u *unit) unixOfNetwork(rule *syntax.NetworkRule, c classes, s sockets, perms uint32) []entry {
	conditions := unixSocket{kind: dfa.Concat(anyByte, anyByte), local: anyAddress, peer: anyAddress, peerLabel: anyText}
	if !s.all {
		conditions.kind = dfa.Concat(zero, oneOf(s.types))
	}
	return u.unixSocketEntries(rule, c.unixClass(), perms, conditions)
}

// unixPermissions are those of the rule; where it names none, those that its conditions are about.
func (u *unit) unixPermissions(rule *syntax.UnixRule) uint32 {
	implied := uint32(unixAll)
	peer := rule.PeerAddress != nil || rule.PeerLabel != nil
	if peer {
		implied = unixOfPeer | networkBind
	}
	perms := u.accessBits(rule, "unix", rule.Access, networkAccess(), implied)
	if peer && perms&^unixOfPeer != 0 && len(rule.Access) > 0 {
		u.report(rule, "unix create, bind, listen, shutdown, getattr, setattr, getopt and setopt do not go with peer")
	}
	return perms
}

// unixSockets are the sockets that the rule is about by type.
func (u *unit) unixSockets(rule *syntax.UnixRule) sockets {
	s := sockets{families: []byte{familyUnix}, all: len(rule.Type) == 0}
	for _, word := range rule.Type {
		for _, name := range u.expand(word) {
			kind, ok := socketTypes()[name]
			if !ok {
				u.report(rule, "unknown socket type %q, expected stream, dgram or seqpacket", name)
			}
			s.types = append(s.types, kind)
		}
	}
	return s
}

// unixConditions reads addresses and labels of a rule.
func (u *unit) unixConditions(rule *syntax.UnixRule, s sockets) unixSocket {
	conditions := unixSocket{
		kind:      dfa.Concat(anyByte, anyByte),
		local:     u.unixAddress(rule, rule.Address),
		peer:      u.unixAddress(rule, rule.PeerAddress),
		auto:      rule.Address != nil && rule.Address.Text == "auto",
		addressed: rule.Address != nil,
		peerLabel: u.patternOr(rule, rule.PeerLabel, dfa.PlainGlob, anyText),
		hasPeer:   rule.PeerAddress != nil || rule.PeerLabel != nil,
	}
	if !s.all {
		conditions.kind = dfa.Concat(zero, oneOf(s.types))
	}
	return conditions
}

var (
	// anyAddress is any address, abstract ones with NULs in them, too, and none.
	anyAddress = dfa.Star(anyByte)

	// autoAddress is what the kernel chooses where a socket is bound to no address in particular.
	autoAddress = dfa.Concat(zero, hexDigit, hexDigit, hexDigit, hexDigit, hexDigit)
	hexDigit    = dfa.OneOf(func(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' })
)

// unixAddress reads addr=: none (\1), auto, or @ and an abstract name (\0 and the name).
func (u *unit) unixAddress(rule syntax.Rule, word *syntax.Word) dfa.Pattern {
	switch {
	case word == nil:
		return anyAddress
	case word.Text == "none":
		return dfa.Literal("\x01")
	case word.Text == "auto":
		return autoAddress
	}
	var choices []dfa.Pattern
	for _, text := range u.expand(*word) {
		name, ok := strings.CutPrefix(syntax.CollapseSlashes(text), "@")
		if !ok {
			u.report(rule, "unix address %q, expected none, auto or @ and an abstract name (a socket in the file system is for file rules)", text)
			continue
		}
		glob, err := dfa.Glob(name, dfa.NullGlob)
		if err != nil {
			u.report(rule, "pattern %q: %v", text, err)
			continue
		}
		choices = append(choices, dfa.Concat(zero, glob))
	}
	return dfa.Alternate(choices...)
}

// unixSocketEntries makes the entries of the permissions.
func (u *unit) unixSocketEntries(rule syntax.Rule, class byte, perms uint32, s unixSocket) []entry {
	protocol := dfa.Concat(anyByte, anyByte)
	created := dfa.Concat(dfa.Literal(string([]byte{class, 0, familyUnix})), s.kind, protocol)
	var entries []entry
	add := func(perms uint32, parts ...dfa.Pattern) {
		if perms != 0 {
			entries = append(entries, u.entry(rule, perms, append([]dfa.Pattern{created}, parts...)...))
		}
	}
	add(perms & networkCreate)
	addressed := perms & unixAddressed
	if s.auto || !s.addressed {
		// A socket that the kernel is to choose an address for has none while it is bound.
		add(perms&networkBind, zero, anyText, zero)
	}
	if s.auto || s.hasPeer {
		addressed &^= networkBind
	}
	local := dfa.Concat(s.local, zero, anyText, zero)
	add(addressed, local)
	add(perms&networkListen, local, dfa.Literal(unixAsksBacklog), anyByte, anyByte)
	add(perms&unixOptions, local, dfa.Literal(unixAsksOption), anyByte, anyByte)
	add(perms&unixOfPeer, local, dfa.Literal(unixAsksPeer), s.peer, zero, s.peerLabel)
	return entries
}
