// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// component is one profile of a label.
type component struct{ namespace, name string }

// components splits a label as the kernel orders its profiles: by namespace, the nearest first, and by name.
func components(label, own string) []component {
	var all []component
	for part := range strings.SplitSeq(label, "//&") {
		all = append(all, splitName(part, own))
	}
	slices.SortFunc(all, func(a, b component) int {
		return cmp.Or(cmp.Compare(depth(a.namespace), depth(b.namespace)), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(all)
}

func depth(namespace string) int {
	if namespace == "" {
		return 0
	}
	return 1 + strings.Count(namespace, "//")
}

// splitName parts :namespace:name; what names none is in the namespace own.
func splitName(name, own string) component {
	rest, ok := strings.CutPrefix(name, ":")
	if !ok {
		return component{own, name}
	}
	namespace, rest, ok := strings.Cut(rest, ":")
	if !ok {
		return component{namespace, "unconfined"}
	}
	return component{namespace, strings.TrimPrefix(rest, "//")}
}

// profileNamespace is the namespace that a profile is in; "" is the loader's.
func profileNamespace(profile *binary.Profile) string {
	return splitName(profile.Name, profile.Namespace).namespace
}

// labelMatch is what the kernel's label_match needs to know of the rules.
type labelMatch struct {
	rules *binary.Rules
	subns bool // components in other namespaces are matched, with the namespace
	stack bool
	own   string
	perms func(state uint32) permissions
}

func (m *labelMatch) text(c component, stack bool) string {
	text := c.name
	if c.namespace != m.own {
		text = ":" + c.namespace + ":" + c.name
	}
	if stack {
		return "&" + text
	}
	return text
}

// label is label_match (domain.c) and aa_label_match (label.c): the whole label is matched, and where that does not give what is asked, every component of it
// must. file says which of the two: before Linux 7.0 aa_label_match asks no components where the whole label falls off the automaton.
func (d *decision) label(m *labelMatch, start uint32, before, label string, request uint32, file bool) permissions {
	var visible []component
	for _, c := range components(label, m.own) {
		if c.namespace == m.own || m.subns {
			visible = append(visible, c)
		}
	}
	if len(visible) == 0 {
		d.because("the peer is in another namespace, where the kernel checks nothing")
		return permissions{allow: ^uint32(0), quiet: ^uint32(0), hide: ^uint32(0)}
	}
	texts := make([]string, len(visible))
	for i, c := range visible {
		texts[i] = m.text(c, m.stack)
	}
	whole := texts[0]
	for _, c := range visible[1:] {
		whole += "//&" + m.text(c, false)
	}
	match := func(text string) permissions {
		state := m.rules.Automaton.Walk(start, text)
		return d.lookup(probe{rules: m.rules, file: file, text: before + text, state: state, perms: m.perms(state), request: request})
	}
	perms := match(whole)
	if perms.allow&request == request || len(visible) == 1 {
		return perms
	}
	if !file && d.probes[len(d.probes)-1].state == 0 && !d.kernelHas("network_v9") {
		d.because("no rule is for the stacked label as a whole, and Linux before 7.0 then asks for none of its parts")
		return permissions{}
	}
	perms = permissions{allow: ^uint32(0), quiet: ^uint32(0), hide: ^uint32(0)}
	for _, text := range texts {
		perms = perms.accumulate(match(text))
	}
	return perms
}

// policyLabel matches a label in the policy's rules.
func (d *decision) policyLabel(start uint32, before, label string, request uint32) permissions {
	rules := d.profile.PolicyDB
	m := labelMatch{rules: rules, own: profileNamespace(d.profile), perms: func(state uint32) permissions { return policyPermissions(rules, d.profile.Version.Kernel, state) }}
	return d.label(&m, start, before, label, request, false)
}

// isUnconfined reports whether a label confines nothing.
func isUnconfined(label string) bool {
	for _, c := range components(label, "") {
		if c.name != "unconfined" {
			return false
		}
	}
	return true
}
