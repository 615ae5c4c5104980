// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// policy starts in a class of the policy's rules. Where the profile does not mediate it, or the kernel cannot, the question is decided.
func (d *decision) policy(class byte, what string, features ...string) (uint32, bool) {
	if len(features) > 0 && !d.kernelHas(features...) {
		d.unmediated("the kernel does not mediate %s", what)
		return 0, false
	}
	state := classStart(d.profile, class)
	if state == 0 {
		d.unmediated("the profile does not mediate %s: it was compiled for a kernel or an ABI without it", what)
		return 0, false
	}
	return state, true
}

// kernelHas reports whether the kernel has any of the features, a file or a directory of the tree or a word in a file. One that nothing is known of is taken for one before Linux 7.0 that has all others.
func (d *decision) kernelHas(features ...string) bool {
	if d.features.Empty() {
		return !slices.Contains(features, "network_v9")
	}
	return slices.ContainsFunc(features, func(name string) bool {
		return d.features.Has(name) || d.features.Lists(path.Dir(name), path.Base(name))
	})
}

// match walks text from a state and returns the permissions behind it. before is what was walked up to the state.
func (d *decision) match(start uint32, before, text string, request uint32) (permissions, uint32) {
	rules := d.profile.PolicyDB
	state := start
	if state != 0 {
		state = rules.Automaton.Walk(state, text)
	}
	perms := policyPermissions(rules, d.profile.Version.Kernel, state)
	return d.lookup(probe{rules: rules, text: before + text, state: state, perms: perms, request: request}), state
}

func classByte(number byte) string { return string([]byte{number}) }

func big16(number uint16) string { return string(binary.BigEndian.AppendUint16(nil, number)) }

// socketPermissions are the permissions that the words of network and unix rules ask for.
func socketPermissions() map[string]uint32 {
	return map[string]uint32{
		"send": canWrite, "receive": canRead, "create": canCreate, "shutdown": canDelete, "connect": canOpen, "setattr": canSetattr, "getattr": canGetattr,
		"accept": canAccept, "bind": canBind, "listen": canListen, "setopt": canSetopt, "getopt": canGetopt,
	}
}

// familyNumber is the number of an address family.
func familyNumber(name string) (uint16, bool) {
	number := slices.Index(families[:], name)
	return uint16(max(number, 0)), name != "" && number >= 0
}

func socketTypeNumber(name string) (uint16, bool) {
	number, ok := socketTypes()[name]
	return uint16(number), ok
}

func (q NetworkQuestion) ask(d *decision) {
	request := uint32(0)
	for _, word := range q.Access {
		request |= socketPermissions()[word]
	}
	if request == 0 {
		request = canCreate
	}
	family, _ := familyNumber(q.Family)
	kind, _ := socketTypeNumber(q.Type)
	d.network(request, family, kind, q.Protocol)
}

// network is aa_profile_af_perm: version 9 of the rules where the policy has it, version 8 where not, and the table of address families of kernels before those.
func (d *decision) network(request uint32, family, kind, protocol uint16) {
	if state := classStart(d.profile, classNetworkV9); state != 0 && (d.features.Empty() || d.features.Has("network_v9")) {
		perms, state := d.match(state, classByte(classNetworkV9), big16(family)+big16(kind), request)
		if state != 0 && perms.allow&request != request && perms.allow&continueMatch != 0 {
			perms, _ = d.match(state, classByte(classNetworkV9)+big16(family)+big16(kind), big16(protocol), request)
		}
		d.check(perms, request)
		return
	}
	if table := d.profile.NetworkAllowed; table != nil && classStart(d.profile, classNetworkV8) == 0 {
		var perms permissions
		if int(family) < len(table) {
			bit := uint16(1) << kind
			for i, mask := range []*uint32{&perms.allow, &perms.audit, &perms.quiet} {
				if table[family][i]&bit != 0 {
					*mask = request
				}
			}
		}
		d.check(perms, request)
		return
	}
	state, ok := d.policy(classNetworkV8, "sockets", "network_v8", "network")
	if !ok {
		return
	}
	perms, _ := d.match(state, classByte(classNetworkV8), big16(family)+big16(kind), request)
	d.check(perms, request)
}

func (q MountQuestion) ask(d *decision) {
	state, ok := d.policy(classMount, "mounts", "mount")
	if !ok {
		return
	}
	target, ok := d.pathName(q.Target)
	if !ok {
		return
	}
	flags, _ := optionFlags(q.Options)
	source, kind, data := q.Source, q.FSType, q.Data
	switch { // apparmor_sb_mount's order
	case flags&flagRemount != 0:
		source, kind = "", ""
	case flags&flagBind != 0:
		flags &= flagBind | flagRecursive
		kind, data = "", ""
	case flags&flagsPropagation != 0:
		flags &= flagRecursive | flagSilent | flagsPropagation
		source, kind, data = "", "", ""
	case flags&flagMove != 0:
		flags, kind, data = flagMove, "", ""
	}
	// A string ends at its NUL, and so does the walk: the automaton sees mount point, device and type each with a NUL behind it, and the flags.
	text := target + "\x00" + source + "\x00" + kind + "\x00"
	for bit := range 32 {
		if flags>>bit&1 != 0 {
			text += string([]byte{byte(bit + 1)})
		}
	}
	perms, state := d.match(state, classByte(classMount), text, mountMount)
	if perms.allow&mountMount == 0 && data != "" && perms.allow&mountContinue != 0 {
		perms, _ = d.match(state, classByte(classMount)+text, "\x00"+data, mountMount)
	}
	d.check(perms, mountMount)
}

// optionFlags are the flags of mount(2) for words of options=.
func optionFlags(words []string) (uint32, error) {
	known := mountOptions()
	var flags uint32
	for _, word := range words {
		option, ok := known[word]
		if !ok {
			return 0, fmt.Errorf("unknown mount option %q, expected one of mount rules, as ro, nosuid, bind, make-rprivate", word)
		}
		flags |= option.set
	}
	return flags, nil
}

func (q UmountQuestion) ask(d *decision) {
	state, ok := d.policy(classMount, "mounts", "mount")
	if !ok {
		return
	}
	if target, ok := d.pathName(q.Target); ok {
		perms, _ := d.match(state, classByte(classMount), target, mountUmount)
		d.check(perms, mountUmount)
	}
}

func (q PivotRootQuestion) ask(d *decision) {
	state, ok := d.policy(classMount, "mounts", "mount")
	if !ok {
		return
	}
	perms, _ := d.match(state, classByte(classMount), q.New+"\x00"+q.Old, mountPivotRoot)
	d.check(perms, mountPivotRoot)
}

func (q SignalQuestion) ask(d *decision) {
	state, ok := d.policy(classSignal, "signals", "signal")
	if !ok {
		return
	}
	request := uint32(canWrite)
	if q.Access == "receive" {
		request = canRead
	}
	number, _ := signalNumber(q.Signal)
	state = d.profile.PolicyDB.Automaton.Step(state, number)
	d.check(d.policyLabel(state, classByte(classSignal)+classByte(number), q.Peer, request), request)
}

func (q PtraceQuestion) ask(d *decision) {
	request := ptraceAccess()[q.Access]
	own := request&(canRead|canWrite) != 0
	if !d.kernelHas("ptrace") || classStart(d.profile, classPtrace) == 0 {
		switch {
		case !own:
			d.unmediated("the profile does not mediate ptrace")
		case q.Peer == d.profile.Name:
			d.unmediated("the profile does not mediate ptrace, and the peer runs under it too")
		default:
			d.because("the profile does not mediate ptrace: the kernel asks for the capability sys_ptrace")
			CapabilityQuestion{"sys_ptrace"}.ask(d)
		}
		return
	}
	if !own && isUnconfined(q.Peer) {
		d.unmediated("a tracer that is unconfined is not asked for")
		return
	}
	// The label's class comes first, then what it is matched for.
	state := classStart(d.profile, classLabel)
	before := classByte(classLabel) + classByte(classPtrace)
	if state != 0 {
		state = d.profile.PolicyDB.Automaton.Step(state, classPtrace)
	}
	d.check(d.policyLabel(state, before, q.Peer, request), request)
}

func (q UsernsQuestion) ask(d *decision) {
	state, ok := d.policy(classNamespace, "user namespaces", "namespaces/mask/userns_create")
	if !ok {
		return
	}
	perms, _ := d.match(state, classByte(classNamespace), "", canAppend)
	d.check(perms, canAppend) // AA_USERNS_CREATE is that bit
}

func (q IOUringQuestion) ask(d *decision) {
	state, ok := d.policy(classIOUring, "io_uring", "io_uring")
	if !ok {
		return
	}
	if q.Access == "override_creds" {
		d.check(d.policyLabel(state, classByte(classIOUring), q.Label, canAppend), canAppend)
		return
	}
	perms, _ := d.match(state, classByte(classIOUring), "", canCreate)
	d.check(perms, canCreate)
}

// queuePermissions are those that the words of mqueue rules ask for.
func queuePermissions() map[string]uint32 {
	return map[string]uint32{
		"write": canWrite, "read": canRead, "create": canCreate, "delete": canDelete, "open": canOpen, "setattr": canSetattr, "getattr": canGetattr,
	}
}

func (q MQueueQuestion) ask(d *decision) {
	number, feature, name := byte(classPOSIXMQ), "ipc/posix_mqueue", q.Name
	if q.SysV {
		number, feature = classSysVMQ, "ipc/sysv_mqueue"
		key, _ := strconv.ParseUint(q.Name, 10, 32)
		name = string(binary.BigEndian.AppendUint32(nil, uint32(key)))
	}
	state, ok := d.policy(number, "message queues", feature)
	if !ok {
		return
	}
	request := queuePermissions()[q.Access]
	perms, state := d.match(state, classByte(number), name, request)
	if perms.allow&request == 0 && q.Label != "" && state != 0 {
		state = d.profile.PolicyDB.Automaton.Step(state, 0)
		perms = d.policyLabel(state, classByte(number)+name+"\x00", q.Label, request)
	}
	d.check(perms, request)
}

func (q DBusQuestion) ask(d *decision) {
	state, ok := d.policy(classDBus, "D-Bus", "dbus")
	if !ok {
		return
	}
	request := dbusAccess()[q.Access]
	text := q.Bus
	switch q.Access {
	case "bind":
		text += "\x00" + q.Name
	case "send", "receive":
		text = strings.Join([]string{q.Bus, q.PeerName, q.PeerLabel, q.Path, q.Interface, q.Member}, "\x00")
	}
	perms, _ := d.match(state, classByte(classDBus), text, request)
	d.check(perms, request)
}
