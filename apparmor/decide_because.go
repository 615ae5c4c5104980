// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// explain says what the verdict follows from: the rules of the text where it is known, the patterns of the tables where not.
func (d *decision) explain(question Question) {
	if d.verdict.Unmediated {
		return
	}
	named := d.namedRules()
	if len(d.probes) == 0 {
		d.explainWithout(question, named)
		return
	}
	reasons := len(d.verdict.Because)
	for i, p := range d.probes {
		if p.request == 0 || i+1 < len(d.probes) && !d.verdict.Allowed {
			continue // of a denial the last string that was asked for is what was denied
		}
		if named != nil {
			d.explainByRules(p, named)
		} else {
			d.explainByTables(p)
		}
	}
	if len(d.verdict.Because) == reasons {
		d.because("the tables say so, and no rule is known that would")
	}
}

// missing are the permissions that were asked for and are not there.
func (p *probe) missing() uint32 { return p.request & (^p.perms.allow | p.perms.deny) }

// namedRule is a rule of the text, read again.
type namedRule struct {
	mapped *MappedRule
	rule   syntax.Rule
	unit   *unit
}

// namedRules reads the rules of the text again: each has its own patterns, and whether these match is found without compiling all. Nil where the text is not known.
func (d *decision) namedRules() []namedRule {
	if d.rules == nil || len(d.rules.Rules) == 0 {
		return nil
	}
	var text strings.Builder
	for _, name := range sortedNames(d.rules.Variables) {
		text.WriteString("@{" + name + "}=" + strings.Join(d.rules.Variables[name], " ") + "\n")
	}
	text.WriteString("profile " + profileWord(d.profile.Name) + " {\n")
	for _, rule := range d.rules.Rules {
		text.WriteString(rule.Text + "\n")
	}
	text.WriteString("}\n")
	policy, err := syntax.Parse("map", text.String(), syntax.Options{})
	if err != nil || len(policy.Profiles) != 1 || len(policy.Profiles[0].Rules) != len(d.rules.Rules) {
		return nil
	}
	u := makeUnits(policy, &Options{Features: d.compiledFeatures()})[0]
	named := make([]namedRule, len(d.rules.Rules))
	for i, rule := range u.profile.Rules {
		named[i] = namedRule{&d.rules.Rules[i], rule, u}
	}
	return named
}

// compiledFeatures are those that the profile was compiled for, as far as its tables show them.
func (d *decision) compiledFeatures() Features {
	tree := map[string]string{"domain/stack": "yes", "file/mask": "read", "caps/mask": "chown", "rlimit/mask": "cpu", "policy/versions/v7": "yes"}
	for class, feature := range map[byte][2]string{
		classMount: {"mount/mask", "mount umount pivot_root"}, classSignal: {"signal/mask", strings.Join(signalNames[:], " ")}, classPtrace: {"ptrace/mask", "read trace"},
		classDBus: {"dbus/mask", "acquire send receive"}, classNamespace: {"namespaces/mask", "userns_create"}, classIOUring: {"io_uring/mask", "sqpoll override_creds"},
		classPOSIXMQ: {"ipc/posix_mqueue", "create read write open delete setattr getattr"}, classNetworkV8: {"network_v8/af_mask", strings.Join(families[:], " ")},
		classNetwork: {"network/af_mask", strings.Join(families[:], " ")},
	} {
		if classStart(d.profile, class) != 0 {
			tree[feature[0]] = feature[1]
		}
	}
	if _, ok := d.unixClass(); ok {
		tree["network/af_unix"] = "yes"
	}
	return Features{tree}
}

func sortedNames(variables map[string][]string) []string {
	names := make([]string, 0, len(variables))
	for name := range variables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// gives are the permissions that a rule's entries have for the string of a probe, in the kernel's layout.
func (n *namedRule) gives(p *probe) uint32 {
	entries := n.unit.policyEntries(n.rule)
	if p.rules == nil || p.file {
		entries = n.unit.fileEntries(n.rule)
	}
	var perms uint32
	for i := range entries {
		if e := &entries[i]; e.pattern.Matches(p.text) {
			perms |= entryPermissions(e.perms, p)
		}
	}
	return perms
}

func entryPermissions(bits uint32, p *probe) uint32 {
	if !p.file {
		return bits&0x7f | mapOther(bits>>otherBit&0x7f)
	}
	half := bits
	if !p.owner {
		half = bits >> otherShift
	}
	perms := mapFile(half & permBase)
	if bits&permChangeProfile != 0 {
		perms |= canChangeProfile
	}
	if bits&permOnExec != 0 {
		perms |= canOnExec
	}
	return perms
}

func (d *decision) name(n namedRule, before string) {
	d.verdict.Because = append(d.verdict.Because, Reason{Position: n.mapped.Position, Text: before + n.mapped.Text})
}

// explainByRules names the rules that allow what was asked for, or those that deny it; where none does, those that match the same string.
func (d *decision) explainByRules(p probe, named []namedRule) {
	const nearest = 5
	missing := p.missing()
	var near []namedRule
	found := false
	for _, n := range named {
		perms := n.gives(&p)
		if perms == 0 {
			continue
		}
		deny := n.rule.Head().Deny
		switch {
		case missing == 0 && !deny && perms&p.request != 0, missing != 0 && deny && perms&missing != 0:
			d.name(n, "")
			found = true
		case !deny && perms&^(canOnExec|canChangeProfile) != 0:
			near = append(near, n)
		}
	}
	if found {
		return
	}
	if missing == 0 {
		d.because("the compiler gives it to profiles that have hats or change profiles")
		return
	}
	d.because("no rule allows it")
	for i, n := range near {
		if i == nearest {
			d.because("and %d rules more that match", len(near)-nearest)
			return
		}
		d.name(n, "matches, and does not allow it: ")
	}
}

// explainByTables rebuilds a pattern from the automaton: one that matches the string, as wide as it can be for all of it to have what the string has.
func (d *decision) explainByTables(p probe) {
	missing := p.missing()
	rule := ""
	switch {
	case missing == 0:
		rule = d.rebuilt(&p, p.request, false)
	case missing&p.perms.quiet == missing:
		rule = d.rebuilt(&p, missing, true)
	default:
		d.because("no rule allows it, or one denies it with audit")
		if has := letters(p.perms.allow); p.file && has != "" {
			d.because("what is allowed there: %s", has)
		}
		return
	}
	if rule != "" {
		d.because("by the tables: %s", rule)
	}
}

// rebuilt is a rule that says of a string what the tables say of it.
func (d *decision) rebuilt(p *probe, perms uint32, deny bool) string {
	if p.rules.Permissions != nil || strings.Contains(p.text, "\x00") && p.file {
		return ""
	}
	c := &cover{automaton: p.rules.Automaton, choose: lowestSet}
	text, class := p.text, byte(classFile)
	if p.file {
		_, c.start = fileRules(d.profile)
		c.fixed = 1
	} else {
		before := 1
		if text[0] == classLabel {
			before = 2 // the class comes behind it
		}
		c.start = p.rules.Automaton.Walk(startState(p.rules), text[:before])
		c.noZero = true
		class, text = text[before-1], text[before:]
	}
	for state := range c.automaton.Accept {
		at := *p
		if p.file {
			at.perms = filePermissions(p.rules, uint32(state), p.owner)
		} else {
			at.perms = policyPermissions(p.rules, d.profile.Version.Kernel, uint32(state))
		}
		has := at.perms.allow
		if deny {
			has = at.perms.quiet
		}
		c.need = append(c.need, uint64(has&perms))
		if p.file && !deny {
			has |= at.perms.quiet // what deny rules take away again
		}
		c.may = append(c.may, uint64(has&perms))
	}
	if c.compile(context.Background()) != nil {
		return ""
	}
	if class == classSignal || class == classMount {
		c.few = func(int) int { return 256 }
	}
	found := c.widen([]byte(text), uint64(perms))
	if p.file {
		return words(ifTrue(deny, "deny"), found.word(), letters(perms)) + ","
	}
	line := policyLine{class: class, glob: found, parts: splitGlob(found), perms: packedFrom(perms), deny: deny}
	if rule, ok := line.text(); ok {
		return rule
	}
	return ""
}

// packedFrom is the accept word for permissions in the kernel's layout.
func packedFrom(perms uint32) uint32 {
	word := perms & 0x7f
	for bit := range 7 {
		if other := mapOther(1 << bit); perms&other != 0 {
			word |= 1 << (bit + otherBit)
		}
	}
	return word
}

// explainWithout is about capabilities and limits, which are in no automaton, and about what was refused before one was asked.
func (d *decision) explainWithout(question Question, named []namedRule) {
	var found bool
	for _, n := range named {
		deny := n.rule.Head().Deny
		matches := false
		switch rule := n.rule.(type) {
		case *syntax.CapabilityRule:
			asked, ok := question.(CapabilityQuestion)
			matches = ok && (len(rule.Capabilities) == 0 || slices.ContainsFunc(rule.Capabilities, func(w syntax.Word) bool { return w.Text == asked.Name }))
			matches = matches && deny != (d.verdict.Allowed && !d.verdict.Complaint)
		case *syntax.RlimitRule:
			asked, ok := question.(RlimitQuestion)
			matches = ok && rule.Resource == asked.Resource
		case *syntax.AllRule:
			_, ok := question.(CapabilityQuestion)
			matches = ok && d.verdict.Allowed && !d.verdict.Complaint
		}
		if matches {
			d.name(n, "")
			found = true
		}
	}
	if found || len(d.verdict.Because) > 0 {
		return
	}
	kind, _, _ := strings.Cut(question.String(), " ")
	switch {
	case d.verdict.Allowed && !d.verdict.Complaint:
		d.because("a %s rule allows it", kind)
	case d.verdict.Quiet:
		d.because("a deny %s rule, which is not logged", kind)
	default:
		d.because("no %s rule allows it, or one denies it with audit", kind)
	}
}
