// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// Decode reads a stream and checks it as the kernel would: what Decode takes, the kernel takes (of the versions 5 to 9). Errors are *FormatError.
// An empty stream is a policy without profiles.
func Decode(stream []byte) (*Policy, error) {
	d := &decoder{reader: reader{stream: stream}, policy: &Policy{}}
	for d.err == nil && d.left() > 0 {
		d.profile = ""
		d.one()
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.policy, nil
}

// maximumTransitions bounds what the automata of one stream unfold to: 256 MiB. All that a distribution ships has a tenth of it.
const maximumTransitions = 1 << 26

// decoder reads profiles off a stream.
type decoder struct {
	reader
	policy      *Policy
	version     Version // of the last header: a profile without its own has this one
	transitions int     // of the automata so far
}

func (d *decoder) one() {
	d.header()
	p := &Profile{Version: d.version}
	d.names(p)
	d.attachment(p)
	d.behaviour(p)
	if d.has("path_flags") {
		p.PathFlags, p.HasPathFlags = d.u32("path_flags"), true
	}
	d.capabilities(&p.Capabilities)
	d.xattrs(p)
	d.rlimits(p)
	d.secmarks(p)
	d.network(p)
	if d.has("policydb") {
		d.next(codeStruct, "policydb")
		at := d.at
		p.PolicyDB = d.rules("policydb")
		if d.err == nil && (p.PolicyDB == nil || p.PolicyDB.Raw == nil) {
			d.fail(at, "no automaton, expected one in the policydb")
		}
		d.next(codeStructEnd, "")
	}
	p.File = d.rules("file rules")
	d.data(p)
	d.next(codeStructEnd, "")
	d.policy.Profiles = append(d.policy.Profiles, p)
}

// header reads the version and the namespace. Only the first profile of a stream must have the former.
func (d *decoder) header() {
	at := d.at
	if at == 0 || d.has("version") {
		word := d.u32("version")
		d.version = Version{
			Kernel: int(word & kernelMask), ForceComplain: word&forceComplain != 0,
			Parser: int(word >> parserShift & parserMask), Policy: int(word >> policyShift & policyMask),
		}
		if d.err == nil && word&unknownBits != 0 {
			d.fail(at, "unknown bit in the version %#x", word)
		}
		if v := d.version.Kernel; d.err == nil && (v < oldestKernelABI || v > newestKernelABI) {
			d.fail(at, "version %d, expected %d to %d", v, oldestKernelABI, newestKernelABI)
		}
	}
}

// names reads the namespace, the profile's name, and what it replaces.
func (d *decoder) names(p *Profile) {
	if at := d.at; d.has("namespace") {
		if p.Namespace = d.text("namespace"); p.Namespace == "" {
			d.fail(at, "empty namespace")
		}
	}
	d.next(codeStruct, "profile")
	at := d.at
	p.Name = d.text("")
	d.profile = p.Name
	switch {
	case p.Name == "":
		d.fail(at, "profile without a name")
	case p.Name[0] == ':':
		// The kernel would take it, but put every profile of the stream there.
		d.fail(at, "name %q, expected the namespace in an item of its own", p.Name)
	}
	if d.has("rename") {
		p.Rename = d.text("rename")
	}
	if d.has("attach") {
		p.Attachment = d.text("attach")
	}
}

func (d *decoder) attachment(p *Profile) {
	if p.XMatch = d.rules("attachment"); p.XMatch != nil && p.XMatch.Raw != nil {
		p.XMatchLength = d.u32("")
	}
	if d.has("disconnected") {
		p.Disconnected = d.text("disconnected")
	}
	if d.has("disconnected_ipc") {
		p.DisconnectedIPC = d.text("disconnected_ipc")
	}
}

// behaviour reads what happens on a violation, and the mode.
func (d *decoder) behaviour(p *Profile) {
	if at := d.at; d.has("kill") {
		if p.KillSignal = d.u32("kill"); d.err == nil && (p.KillSignal < 1 || p.KillSignal > lastSignal) {
			d.fail(at, "signal %d to kill with, expected 1 to %d", p.KillSignal, lastSignal)
		}
	}
	if d.has("error") {
		p.Error = d.u32("error")
	}
	d.next(codeStruct, "flags")
	p.Flags = d.u32("")
	p.Hat = p.Flags&flagHat != 0
	p.Flags &^= flagHat
	at := d.at
	if p.Mode = d.u32(""); p.Mode > ModeUser {
		d.fail(at, "mode %d, expected 0 to %d", p.Mode, ModeUser)
	}
	p.Audit = d.u32("") != 0
	d.next(codeStructEnd, "")
}

func (d *decoder) capabilities(c *Capabilities) {
	sets := [...]*uint64{&c.Allow, &c.Audit, &c.Quiet, &c.Unused}
	for _, set := range sets {
		*set = uint64(d.u32(""))
	}
	if d.has("caps64") {
		d.next(codeStruct, "caps64")
		for _, set := range sets {
			*set |= uint64(d.u32("")) << 32
		}
		d.next(codeStructEnd, "")
	}
	if d.has("capsx") {
		d.next(codeStruct, "capsx")
		c.HasExtended = true
		c.Extended = uint64(d.u32(""))
		c.Extended |= uint64(d.u32("")) << 32
		d.next(codeStructEnd, "")
	}
}

// The fewest bytes that items of arrays take.
const (
	leastString     = 1 + 2 + 1
	leastU16        = 1 + 2
	leastU32        = 1 + 4
	leastU64        = 1 + 8
	leastPermission = 14 * leastU32
	leastSecmark    = 2*(1+1) + leastString
)

// strings reads a struct of an array of strings. Each is read by one.
func (d *decoder) strings(name string, one func() string) []string {
	if !d.has(name) {
		return nil
	}
	d.next(codeStruct, name)
	n := d.array("", leastString)
	var strings []string
	for range n {
		strings = append(strings, one())
	}
	d.next(codeArrayEnd, "")
	d.next(codeStructEnd, "")
	return strings
}

func (d *decoder) xattrs(p *Profile) {
	p.XAttrs = d.strings("xattrs", func() string { return d.text("") })
}

func (d *decoder) rlimits(p *Profile) {
	if !d.has("rlimits") {
		return
	}
	d.next(codeStruct, "rlimits")
	p.Rlimits = &Rlimits{Mask: d.u32("")}
	at := d.at
	n := d.array("", leastU64)
	if n > len(p.Rlimits.Values) {
		d.fail(at, "%d limits, expected at most %d", n, len(p.Rlimits.Values))
		return
	}
	for i := range n {
		p.Rlimits.Values[i] = d.u64()
	}
	d.next(codeArrayEnd, "")
	d.next(codeStructEnd, "")
}

func (d *decoder) secmarks(p *Profile) {
	if !d.has("secmark") {
		return
	}
	d.next(codeStruct, "secmark")
	for range d.array("", leastSecmark) {
		p.Secmarks = append(p.Secmarks, Secmark{Audit: d.u8(), Deny: d.u8(), Label: d.text("")})
	}
	d.next(codeArrayEnd, "")
	d.next(codeStructEnd, "")
}

func (d *decoder) network(p *Profile) {
	if !d.has("net_allowed_af") {
		return
	}
	n := d.array("net_allowed_af", 3*leastU16)
	if n == 0 {
		return // kernels do not look for the end then
	}
	p.NetworkAllowed = make([][3]uint16, n)
	for i := range p.NetworkAllowed {
		p.NetworkAllowed[i] = [3]uint16{d.u16(), d.u16(), d.u16()}
	}
	d.next(codeArrayEnd, "")
}

// rules reads an automaton and what belongs to it; nil where nothing of that is there. what names it in errors.
func (d *decoder) rules(what string) *Rules {
	start := d.at
	r := &Rules{}
	d.tags(r)
	d.permissions(r)
	if d.has("aadfa") {
		d.automaton(r, what)
		if d.has("start") {
			r.Start = d.state(r, "start")
		}
		if d.has("dfa_start") {
			r.DFAStart = d.state(r, "dfa_start")
		}
	}
	table := d.at
	r.Targets = d.strings("xtable", d.target)
	switch {
	case d.err != nil || d.at == start || table == start && r.Targets == nil:
		return nil
	case r.Raw == nil && table != start:
		d.fail(table, "permissions without an automaton")
	case r.Raw != nil:
		if fault := r.check(what == "file rules"); fault != "" {
			d.fail(start, "%s: %s", what, fault)
		}
	}
	return r
}

// state reads the number of a state.
func (d *decoder) state(r *Rules, name string) uint32 {
	at := d.at
	state := d.u32(name)
	if d.err == nil && (state == 0 || int64(state) >= int64(len(r.Automaton.Accept))) {
		d.fail(at, "start in state %d, expected one of the %d", state, len(r.Automaton.Accept))
	}
	return state
}

// automaton reads the tables. They are aligned to 8 bytes from the start of their profile when that was written; profiles before it may have put
// them off by as many bytes as the blob's end shows.
func (d *decoder) automaton(r *Rules, what string) {
	body, at := d.blob("aadfa")
	if d.err != nil {
		return
	}
	padding := -(at - d.at&7) & 7
	if padding >= len(body) {
		d.fail(at, "%s: blob of %d bytes is empty, expected tables", what, len(body))
		return
	}
	r.Raw = body[padding:]
	automaton, err := dfa.Decode(r.Raw)
	if err != nil {
		d.fail(at+padding, "%s: %v", what, err)
		return
	}
	r.Automaton = automaton
	if d.transitions += len(automaton.Next); d.transitions > maximumTransitions {
		d.fail(at, "automata with more than %d transitions together", maximumTransitions)
	}
}

func (d *decoder) permissions(r *Rules) {
	if !d.has("perms") {
		return
	}
	d.next(codeStruct, "perms")
	at := d.at
	if r.TableV = d.u32("version"); d.err == nil && r.TableV != permissionVersion {
		d.fail(at, "permission rows of version %d, expected %d", r.TableV, permissionVersion)
	}
	at = d.at
	n := d.array("", leastPermission)
	if n == 0 {
		d.fail(at, "empty permission table")
	}
	r.Permissions = make([]Permission, n)
	for i := range r.Permissions {
		at = d.at
		row := &r.Permissions[i]
		for _, field := range row.fields() {
			*field = d.u32("")
		}
		if fault := row.fault(); fault != "" {
			d.fail(at, "permission row %d: %s", i, fault)
		}
	}
	d.next(codeArrayEnd, "")
	d.next(codeStructEnd, "")
	if d.has("permsv") {
		r.PermsV = d.u32("permsv")
	}
}

func (d *decoder) tags(r *Rules) {
	if !d.has("tags") {
		return
	}
	start := d.at
	d.next(codeStruct, "tags")
	at := d.at
	if version := d.u32("version"); version != tagsVersion {
		d.fail(at, "tags of version %d, expected %d", version, tagsVersion)
	}
	t := &Tags{Strings: d.strings("strs", func() string { return d.nulled("") })}
	for range d.array("hdrs", 4*leastU32) {
		t.Headers = append(t.Headers, TagHeader{Mask: d.u32(""), Count: d.u32(""), Size: d.u32(""), Tags: d.u32("")})
	}
	d.next(codeArrayEnd, "")
	for range d.array("sets", leastU32) {
		t.Sets = append(t.Sets, d.u32(""))
	}
	d.next(codeArrayEnd, "")
	d.next(codeStructEnd, "")
	if fault := t.fault(); d.err == nil && fault != "" {
		d.fail(start, "%s", fault)
	}
	r.Tags = t
}

func (d *decoder) data(p *Profile) {
	if !d.has("data") {
		return
	}
	d.next(codeStruct, "data")
	for d.err == nil {
		if _, kind, _, ok := d.peek(); !ok || kind != codeString {
			break
		}
		key := d.text("")
		value, _ := d.blob("")
		p.Data = append(p.Data, Datum{key, value})
	}
	d.next(codeStructEnd, "")
}
