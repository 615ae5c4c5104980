// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// fileLetters are the permissions that the letters of file rules ask for.
var fileLetters = map[byte]uint32{'r': canRead, 'w': canWrite, 'a': canAppend, 'k': canLock, 'l': canLink, 'm': canMap, 'x': canExec}

// pathName is aa_path_name for a path that is known as the kernel would print it: a path that does not begin with a slash is out of the process's reach
// (disconnected), and is matched only where the profile attaches it.
func (d *decision) pathName(path string) (string, bool) {
	if strings.HasPrefix(path, "/") {
		return path, true
	}
	if d.profile.PathFlags&binary.PathAttachDisconnected == 0 {
		d.refuse("the path is disconnected (it does not begin with /), and the profile has no attach_disconnected")
		return "", false
	}
	return d.profile.Disconnected + "/" + path, true
}

// file matches a path and returns the permissions there.
func (d *decision) file(path string, owner bool, request uint32) (permissions, uint32) {
	rules, start := fileRules(d.profile)
	if rules == nil {
		return permissions{}, 0
	}
	state := rules.Automaton.Walk(start, path)
	p := probe{rules: rules, file: rules == d.profile.File, owner: owner, text: path, state: state, request: request}
	if p.file {
		p.perms = filePermissions(rules, state, owner)
	} else {
		p.perms = policyPermissions(rules, d.profile.Version.Kernel, state)
	}
	return d.lookup(p), state
}

// fileFrom matches further from a state, behind text.
func (d *decision) fileFrom(state uint32, text, more string, owner bool, request uint32) permissions {
	rules, _ := fileRules(d.profile)
	if rules == nil || state == 0 {
		return permissions{}
	}
	state = rules.Automaton.Walk(rules.Automaton.Step(state, 0), more)
	return d.lookup(probe{
		rules: rules, file: true, owner: owner, text: text + "\x00" + more, state: state, perms: filePermissions(rules, state, owner), request: request,
	})
}

func (q FileQuestion) ask(d *decision) {
	path, ok := d.pathName(q.Path)
	if !ok {
		return
	}
	var request uint32
	for i := range len(q.Access) {
		request |= fileLetters[q.Access[i]]
	}
	perms, _ := d.file(path, q.Owner, request)
	d.check(perms, request)
}

func (q LinkQuestion) ask(d *decision) {
	link, ok := d.pathName(q.Link)
	if !ok {
		return
	}
	target, ok := d.pathName(q.Target)
	if !ok {
		return
	}
	first, state := d.file(link, q.Owner, canLink)
	if first.allow&canLink == 0 {
		d.check(first, canLink)
		return
	}
	second := d.fileFrom(state, link, target, q.Owner, canLink)
	if !d.check(second, canLink) || second.allow&linkSubset == 0 {
		return
	}
	// The link may allow only what the target allows.
	first.audit, first.quiet, first.kill = second.audit, second.quiet, second.kill
	direct, _ := d.file(target, q.Owner, 0)
	request := first.allow &^ canLink
	first.allow &= direct.allow | canLink
	if request&^first.allow != 0 {
		d.because("the link would have permissions that its target has not: %s", letters(request&^first.allow))
		d.check(first, request)
		return
	}
	if first.allow&canExec != 0 && !execIsSubset(first.xindex, direct.xindex) {
		d.because("the link would be executed in another way than its target")
		first.allow &^= canExec
		d.check(first, canExec)
	}
}

func execIsSubset(link, target uint32) bool {
	return link&^execUnsafe == target&^execUnsafe && (link&execUnsafe == 0 || target&execUnsafe != 0)
}

// letters are the letters of file rules for permissions.
func letters(perms uint32) string {
	var text strings.Builder
	for _, letter := range "rwaklmx" {
		bit := fileLetters[byte(letter)]
		if perms&bit != 0 && (letter != 'a' || perms&canWrite == 0) {
			text.WriteRune(letter)
		}
	}
	return text.String()
}

func (q ExecQuestion) ask(d *decision) {
	path, ok := d.pathName(q.Path)
	if !ok {
		return
	}
	perms, _ := d.file(path, q.Owner, canExec)
	if !d.check(perms, canExec) {
		return
	}
	if perms.allow&canExec == 0 {
		d.verdict.Transition = "runs under the learning profile " + d.profile.Name + "//null-" + path
		return
	}
	d.verdict.Transition = d.transition(path, perms.xindex)
	if d.verdict.Transition == "" {
		d.refuse("x is allowed, and the tables name no transition: the kernel does not execute")
	}
}

// transition is x_to_label in words.
func (d *decision) transition(path string, index uint32) string {
	var into, stack string
	scrubbed := index&execUnsafe == 0 && (index&execTypeMask != 0 || index&execInherit == 0) // what stays under its profile keeps its environment
	switch index & execTypeMask {
	case execByTable:
		target := d.target(index & execTableMask)
		switch {
		case strings.HasPrefix(target, "&"):
			stack = target[1:]
			into = d.attached(path, index)
		case index&execChild != 0:
			into = "enters " + d.profile.Name + "//" + target
		default:
			into = "enters " + target
		}
	case execByName:
		into = d.attached(path, index)
	}
	fallback := ""
	switch {
	case index&execInherit != 0:
		fallback = "stays under " + d.profile.Name
	case index&execUnconfined != 0:
		fallback = "is unconfined"
	}
	text := into
	switch {
	case into == "":
		text = fallback
	case fallback != "":
		text += ", or " + fallback + " where that is not loaded"
	default:
		text += ", or is not executed where that is not loaded"
	}
	if text == "" {
		return ""
	}
	if stack != "" {
		text += ", stacked with " + stack
	}
	if scrubbed {
		text += " (secure execution: environment scrubbed)"
	}
	return text
}

func (d *decision) attached(path string, index uint32) string {
	if index&execChild != 0 {
		return "enters the child profile of " + d.profile.Name + " that attaches to " + path
	}
	return "enters the profile that attaches to " + path
}

// target is an entry of the table of exec targets. Before tables of permissions the index in the accept word counts from 4, which mapExec took off.
func (d *decision) target(index uint32) string {
	rules, _ := fileRules(d.profile)
	if rules == nil || int(index) >= len(rules.Targets) {
		return "?"
	}
	return strings.ReplaceAll(strings.TrimRight(rules.Targets[index], "\x00"), "\x00", ":")
}

func (q CapabilityQuestion) ask(d *decision) {
	number, ok := capabilityNumber(q.Name)
	if !ok {
		d.refuse("%s is no capability that is known", q.Name)
		return
	}
	bit := uint64(1) << number
	caps := d.profile.Capabilities
	var perms permissions
	for _, part := range []struct {
		mask  uint64
		perms *uint32
	}{{caps.Allow, &perms.allow}, {caps.Audit, &perms.audit}, {caps.Quiet, &perms.quiet}} {
		if part.mask&bit != 0 {
			*part.perms = 1
		}
	}
	d.check(perms, 1)
}

func (q RlimitQuestion) ask(d *decision) {
	number, ok := rlimitNumber(q.Resource)
	if !ok {
		d.refuse("%s is no limit that is known", q.Resource)
		return
	}
	limits := d.profile.Rlimits
	if limits == nil || limits.Mask&(1<<number) == 0 {
		d.unmediated("the profile sets no limit %s", q.Resource)
		return
	}
	if q.Value > limits.Values[number] {
		d.check(permissions{}, 1)
		d.because("the profile's limit of %s is %d", q.Resource, limits.Values[number])
		return
	}
	d.allow()
	d.because("the profile's limit of %s is %d", q.Resource, limits.Values[number])
}

func (q ChangeProfileQuestion) ask(d *decision) {
	request := uint32(canChangeProfile)
	if q.OnExec || q.Exec != "" {
		request = canOnExec
	}
	rules, start := fileRules(d.profile)
	if rules == nil {
		d.check(permissions{}, request)
		return
	}
	target, stack := strings.CutPrefix(q.Target, "&")
	m := labelMatch{rules: rules, subns: true, stack: stack, own: profileNamespace(d.profile), perms: func(state uint32) permissions { return filePermissions(rules, state, false) }}
	perms := d.label(&m, start, "", target, request, true)
	if !d.check(perms, request) || q.Exec == "" {
		return
	}
	path, ok := d.pathName(q.Exec)
	if !ok {
		return
	}
	first, state := d.file(path, false, canOnExec)
	if !d.check(first, canOnExec) {
		return
	}
	d.check(d.label(&m, rules.Automaton.Step(state, 0), path+"\x00", target, canOnExec, true), canOnExec)
	if d.verdict.Allowed {
		d.verdict.Transition = "enters " + q.Target
	}
}

func capabilityNumber(name string) (int, bool) {
	number := slices.Index(capabilityNames(), name)
	return number, number >= 0
}

func rlimitNumber(name string) (int, bool) {
	number := slices.Index(rlimitNames[:], name)
	return number, number >= 0
}
