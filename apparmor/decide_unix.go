// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"
	"strings"
)

// ask is af_unix.c: the policy's own rules for these sockets where policy and kernel have them, the rules for the family and type where not.
func (q UnixQuestion) ask(d *decision) {
	request := socketPermissions()[q.Access]
	kind, _ := socketTypeNumber(q.Type)
	number, ok := d.unixClass()
	if !ok {
		d.network(request, familyUnix, kind, q.Protocol)
		return
	}
	if q.askFile(d, request) {
		return
	}
	start := classStart(d.profile, number)
	text := big16(familyUnix) + big16(kind)
	if number == classNetworkV9 {
		// Here a match may end early, and goes on only where the permissions say so.
		if perms, _ := d.match(start, classByte(number), text, request); perms.allow&request == request || perms.allow&continueMatch == 0 {
			d.check(perms, request)
			return
		}
	}
	text += big16(q.Protocol)
	if q.Access == "create" {
		perms, _ := d.match(start, classByte(number), text, request)
		d.check(perms, request)
		return
	}
	text += unixName(q.Address) + "\x00\x00" // the label of the own socket is not asked for yet
	switch q.Access {
	case "listen":
		text += unixAsksBacklog + big16(q.Backlog)
	case "getopt", "setopt":
		text += unixAsksOption + big16(q.Option)
	case "connect", "send", "receive":
		text += unixAsksPeer + unixName(q.PeerAddress) + "\x00"
		q.askPeers(d, start, number, text, request)
		return
	}
	perms, _ := d.match(start, classByte(number), text, request)
	d.check(perms, request)
}

// askPeers matches every profile of the peer's label alone.
func (q UnixQuestion) askPeers(d *decision, start uint32, number byte, text string, request uint32) {
	own := profileNamespace(d.profile)
	for _, peer := range components(q.PeerLabel, own) {
		perms, _ := d.match(start, classByte(number), text+peer.name, request)
		if !d.check(perms, request) {
			return
		}
	}
}

// unixClass is the class by which AF_UNIX is finely mediated. Class 4 is that of Ubuntu's kernels before network_v9.
func (d *decision) unixClass() (byte, bool) {
	unknown := d.features.Empty()
	if classStart(d.profile, classNetworkV9) != 0 && (unknown || d.features.Has("network_v9/af_unix")) {
		return classNetworkV9, true
	}
	if !unknown && !d.features.Has("network/af_unix") {
		return 0, false
	}
	for _, number := range []byte{classNetwork, classNetworkV8} {
		if state := classStart(d.profile, number); state != 0 && d.goesOn(state, unknown && number == classNetworkV8) {
			return number, true
		}
	}
	return 0, false
}

// goesOn reports whether a class has anything of AF_UNIX, and with further anything behind the type of the sockets: rules about more than family and type.
func (d *decision) goesOn(state uint32, further bool) bool {
	automaton := d.profile.PolicyDB.Automaton
	state = automaton.Walk(state, big16(familyUnix))
	if !further {
		return state != 0
	}
	for _, kind := range socketTypes() {
		behind := automaton.Walk(state, big16(uint16(kind)))
		if slices.ContainsFunc(automaton.Row(behind), func(next uint32) bool { return next != 0 }) {
			return true
		}
	}
	return false
}

// askFile decides about sockets that are files: rules for files are asked instead.
func (q UnixQuestion) askFile(d *decision, request uint32) bool {
	path := q.Address
	if strings.HasPrefix(q.PeerAddress, "/") {
		path = q.PeerAddress
	}
	if !strings.HasPrefix(path, "/") || q.Access == "create" {
		return false
	}
	if q.Access == "bind" {
		d.unmediated("a socket in the file system is bound by making a file: ask for that (file %s w)", path)
		return true
	}
	const ofFiles = canWrite | canRead | canCreate | canDelete | canOpen | canSetattr | canGetattr
	if request&ofFiles == 0 {
		d.unmediated("of sockets in the file system the kernel does not mediate %s", q.Access)
		return true
	}
	perms, _ := d.file(path, false, request&ofFiles)
	d.check(perms, request&ofFiles)
	return true
}

// unixName is an address as the kernel matches it: an abstract name behind a NUL, or 1 for a socket without any.
func unixName(address string) string {
	if name, ok := strings.CutPrefix(address, "@"); ok {
		return "\x00" + name
	}
	if address == "" || address == "none" {
		return "\x01"
	}
	return address
}
