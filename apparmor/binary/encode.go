// SPDX-License-Identifier: Apache-2.0

package binary

import "fmt"

// Encode writes the stream that Decode reads: one stream for one write to .load or .replace. Equal policies give equal bytes.
func Encode(p *Policy) ([]byte, error) {
	w := &writer{}
	for _, profile := range p.Profiles {
		w.profile(profile)
		if w.err != nil {
			return nil, fmt.Errorf("profile %s: %w", profile.Name, w.err)
		}
	}
	return w.stream, nil
}

// word is the version as the header has it.
func (v Version) word() uint32 {
	word := uint32(v.Kernel)&kernelMask | uint32(v.Parser)&parserMask<<parserShift | uint32(v.Policy)&policyMask<<policyShift
	if v.ForceComplain {
		word |= forceComplain
	}
	return word
}

func (w *writer) profile(p *Profile) {
	w.start = len(w.stream)
	w.u32("version", p.Version.word())
	w.optional("namespace", p.Namespace)
	w.head(codeStruct, "profile")
	w.text("", p.Name)
	w.optional("rename", p.Rename)
	w.optional("attach", p.Attachment)
	if p.XMatch != nil {
		w.rules(p.XMatch, p.XMatchLength, true)
	}
	w.optional("disconnected", p.Disconnected)
	w.optional("disconnected_ipc", p.DisconnectedIPC)
	if p.KillSignal != 0 {
		w.u32("kill", p.KillSignal)
	}
	if p.Error != 0 {
		w.u32("error", p.Error)
	}
	flags, audit := p.Flags, uint32(0)
	if p.Hat {
		flags |= flagHat
	}
	if p.Audit {
		audit = 1
	}
	w.head(codeStruct, "flags")
	w.u32("", flags)
	w.u32("", p.Mode)
	w.u32("", audit)
	w.head(codeStructEnd, "")
	if p.PathFlags != 0 || p.HasPathFlags {
		w.u32("path_flags", p.PathFlags)
	}
	w.capabilities(p.Capabilities)
	w.xattrs(p.XAttrs)
	w.rlimits(p.Rlimits)
	w.secmarks(p.Secmarks)
	w.network(p.NetworkAllowed)
	if p.PolicyDB != nil {
		w.head(codeStruct, "policydb")
		w.rules(p.PolicyDB, 0, false)
		w.head(codeStructEnd, "")
	}
	if p.File != nil {
		w.rules(p.File, 0, false)
	}
	w.data(p.Data)
	w.head(codeStructEnd, "")
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) capabilities(c Capabilities) {
	for _, set := range [...]uint64{c.Allow, c.Audit, c.Quiet, c.Unused} {
		w.u32("", uint32(set))
	}
	w.head(codeStruct, "caps64")
	for _, set := range [...]uint64{c.Allow, c.Audit, c.Quiet, c.Unused} {
		w.u32("", uint32(set>>32))
	}
	w.head(codeStructEnd, "")
	if c.HasExtended {
		w.head(codeStruct, "capsx")
		w.u32("", uint32(c.Extended))
		w.u32("", uint32(c.Extended>>32))
		w.head(codeStructEnd, "")
	}
}

func (w *writer) strings(name string, strings []string) {
	w.head(codeStruct, name)
	w.array("", len(strings))
	for _, text := range strings {
		w.text("", text)
	}
	w.head(codeArrayEnd, "")
	w.head(codeStructEnd, "")
}

func (w *writer) xattrs(names []string) {
	if len(names) > 0 {
		w.strings("xattrs", names)
	}
}

func (w *writer) rlimits(limits *Rlimits) {
	if limits == nil {
		return
	}
	w.head(codeStruct, "rlimits")
	w.u32("", limits.Mask)
	w.array("", len(limits.Values))
	for _, value := range limits.Values {
		w.u64(value)
	}
	w.head(codeArrayEnd, "")
	w.head(codeStructEnd, "")
}

func (w *writer) secmarks(marks []Secmark) {
	if len(marks) == 0 {
		return
	}
	w.head(codeStruct, "secmark")
	w.array("", len(marks))
	for _, mark := range marks {
		w.u8(mark.Audit)
		w.u8(mark.Deny)
		w.text("", mark.Label)
	}
	w.head(codeArrayEnd, "")
	w.head(codeStructEnd, "")
}

func (w *writer) network(families [][3]uint16) {
	if len(families) == 0 {
		return
	}
	w.array("net_allowed_af", len(families))
	for _, family := range families {
		for _, types := range family {
			w.u16(types)
		}
	}
	w.head(codeArrayEnd, "")
}

// rules writes what goes with one automaton. The length of an xmatch stands behind its tables.
func (w *writer) rules(r *Rules, length uint32, xmatch bool) {
	w.tags(r.Tags)
	w.permissions(r)
	tables := r.Raw
	if tables == nil && r.Automaton != nil {
		var err error
		if tables, err = r.Automaton.Encode(); err != nil {
			w.fail("%w", err)
		}
	}
	if tables != nil {
		w.blob("aadfa", tables, true)
		if r.Start != 0 {
			w.u32("start", r.Start)
		}
		if r.DFAStart != 0 {
			w.u32("dfa_start", r.DFAStart)
		}
	}
	if len(r.Targets) > 0 {
		w.strings("xtable", r.Targets)
	}
	if tables != nil && xmatch {
		w.u32("", length)
	}
}

func (w *writer) permissions(r *Rules) {
	if r.Permissions != nil {
		w.head(codeStruct, "perms")
		w.u32("version", r.TableV)
		w.array("", len(r.Permissions))
		for _, row := range r.Permissions {
			for _, field := range row.fields() {
				w.u32("", *field)
			}
		}
		w.head(codeArrayEnd, "")
		w.head(codeStructEnd, "")
	}
	if r.PermsV != 0 {
		w.u32("permsv", r.PermsV)
	}
}

func (w *writer) tags(t *Tags) {
	if t == nil {
		return
	}
	w.head(codeStruct, "tags")
	w.u32("version", tagsVersion)
	w.strings("strs", t.Strings)
	w.array("hdrs", len(t.Headers))
	for _, header := range t.Headers {
		w.u32("", header.Mask)
		w.u32("", header.Count)
		w.u32("", header.Size)
		w.u32("", header.Tags)
	}
	w.head(codeArrayEnd, "")
	w.array("sets", len(t.Sets))
	for _, set := range t.Sets {
		w.u32("", set)
	}
	w.head(codeArrayEnd, "")
	w.head(codeStructEnd, "")
}

func (w *writer) data(data []Datum) {
	if len(data) == 0 {
		return
	}
	w.head(codeStruct, "data")
	for _, datum := range data {
		w.text("", datum.Key)
		w.blob("", datum.Value, false)
	}
	w.head(codeStructEnd, "")
}
