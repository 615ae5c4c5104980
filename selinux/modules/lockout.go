// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Process is a running process, as far as the check for lock-outs looks at it.
type Process struct {
	PID        int
	Parent     int
	Command    string // its name in /proc/PID/comm
	Context    string
	Executable string // context of its executable file; "" where it has none or it cannot be read
}

// Machine is what the check for lock-outs knows of the machine.
type Machine struct {
	Caller    int // the process that loads the policy
	Processes []Process
	Shell     string // context of /bin/sh; "" where there is none
}

// Violation is something that a new policy would take from those who have to be able to take it back.
type Violation struct {
	Invariant string `json:"invariant"`
	What      string `json:"what"`              // in words
	Because   string `json:"because,omitempty"` // the rule that is missing or the constraint
}

func (v Violation) String() string {
	if v.Because == "" {
		return v.What
	}
	return v.What + ": " + v.Because
}

// LockOutError is a policy that was not loaded, as it would have locked somebody out.
type LockOutError struct{ Violations []Violation }

func (e *LockOutError) Error() string {
	const some = 4
	var lines []string
	for _, violation := range e.Violations[:min(some, len(e.Violations))] {
		lines = append(lines, violation.String())
	}
	if more := len(e.Violations) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return "the policy would lock this machine out: " + strings.Join(lines, "; ")
}

// The invariants.
const (
	KeepsUnknown      = "unknown"      // classes and permissions that the policy does not know are treated no worse
	KeepsCapabilities = "capabilities" // the policy capabilities, which say what the kernel asks about, are the same
	KeepsContexts     = "contexts"     // the context of every running process is valid
	KeepsLoader       = "loader"       // of the running domains that can load a policy today one still can
	KeepsControl      = "control"      // the keepers may do to the security server and selinuxfs what they may today
	KeepsSelf         = "self"         // the keepers may do to themselves what they may today, with all capabilities that they have
	KeepsWay          = "way"          // the keepers come to be in their domains as they did, and can start a shell in the same one
)

// LockOut compares the policy that would be loaded with the one that is, for the keepers: the caller, the processes that it descends from, the first process and the
// kernel itself. They are those who have to be able to load another policy, now and after the next boot. It finds every invariant that does not hold; what a keeper
// may not do today it need not be able to later. It does not look at what else might fail.
func LockOut(before, after *policydb.Policy, machine Machine) []Violation {
	l := &lockOut{before: before, after: after, machine: machine}
	l.settings()
	l.contexts()
	l.loader()
	for _, keeper := range l.keepers() {
		l.control(keeper)
		l.self(keeper)
	}
	l.ways()
	return l.found
}

type lockOut struct {
	before, after *policydb.Policy
	machine       Machine
	found         []Violation
}

func (l *lockOut) add(invariant, because, format string, arguments ...any) {
	violation := Violation{invariant, fmt.Sprintf(format, arguments...), because}
	if !slices.Contains(l.found, violation) {
		l.found = append(l.found, violation)
	}
}

func (l *lockOut) settings() {
	strictness := map[policydb.UnknownPermissions]int{policydb.AllowUnknown: 0, policydb.DenyUnknown: 1, policydb.RejectUnknown: 2}
	words := []string{"allowed", "denied", "refused at load"}
	if from, to := strictness[l.before.Unknown], strictness[l.after.Unknown]; to > from {
		l.add(KeepsUnknown, "", "what the policy does not know would be %s, and is %s", words[to], words[from])
	}
	if !l.before.Capabilities.Equal(l.after.Capabilities) {
		l.add(KeepsCapabilities, "", "the policy capabilities, by which the kernel asks about more or less, would be %v, and are %v",
			slices.Collect(l.after.Capabilities.All()), slices.Collect(l.before.Capabilities.All()))
	}
}

// contexts: the kernel treats a process whose context is not valid as unlabeled.
func (l *lockOut) contexts() {
	users := map[string][]string{}
	var order []string
	for _, process := range l.machine.Processes {
		if len(users[process.Context]) == 0 {
			order = append(order, process.Context)
		}
		users[process.Context] = append(users[process.Context], fmt.Sprintf("%d (%s)", process.PID, process.Command))
	}
	for _, context := range order {
		if _, err := l.before.ParseContext(context); err != nil {
			continue
		}
		if _, err := l.after.ParseContext(context); err != nil {
			l.add(KeepsContexts, err.Error(), "process %s would be left without a valid context", shortened(users[context]))
		}
	}
}

// shortened lists some of many.
func shortened(words []string) string {
	const some = 5
	if len(words) <= some {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:some], ", "), len(words)-some)
}

// keepers are the contexts of the kernel, the first process, the caller and its ancestors.
func (l *lockOut) keepers() []string {
	var contexts []string
	for i := range l.before.Objects.Initial {
		if initial := &l.before.Objects.Initial[i]; initial.SID == kernelSID {
			contexts = append(contexts, l.before.FormatContext(&initial.Context))
		}
	}
	for _, process := range l.line() {
		contexts = append(contexts, process.Context)
	}
	slices.Sort(contexts)
	return slices.Compact(contexts)
}

// line is the caller, its parent and so on to the first process.
func (l *lockOut) line() []Process {
	processes := map[int]Process{}
	for _, process := range l.machine.Processes {
		processes[process.PID] = process
	}
	var line []Process
	for pid := l.machine.Caller; ; {
		process, known := processes[pid]
		if !known {
			break
		}
		line = append(line, process)
		delete(processes, pid) // a circle ends, too
		pid = process.Parent
	}
	if first, known := processes[1]; known {
		line = append(line, first)
	}
	return line
}

// Initial SIDs that the kernel numbers (security/selinux/include/initial_sid_to_string.h).
const (
	kernelSID   = 1
	securitySID = 2
)

// question is whether a source may do something to a target, by names: the two policies have their own values.
type question struct{ source, target, class string }

// security is the context of the security server, by each policy's own word; ok is false where it has none.
func security(p *policydb.Policy) (context string, ok bool) {
	for i := range p.Objects.Initial {
		if initial := &p.Objects.Initial[i]; initial.SID == securitySID {
			return p.FormatContext(&initial.Context), true
		}
	}
	return "", false
}

// selinuxfs is the context of the files by which the kernel's policy is changed.
func selinuxfs(p *policydb.Policy) (context string, ok bool) {
	for i := range p.Filesystems {
		if p.Filesystems[i].Name != "selinuxfs" {
			continue
		}
		for j := range p.Filesystems[i].Paths {
			if path := &p.Filesystems[i].Paths[j]; path.Path == "/" {
				return p.FormatContext(&path.Context), true
			}
		}
	}
	return "", false
}

// loads reports whether a context can load a policy: by type enforcement and constraints, with the way to the file.
func loads(p *policydb.Policy, context string) bool {
	server, ok := security(p)
	if !ok || allowed(p, question{context, server, "security"})["load_policy"] == false {
		return false
	}
	files, ok := selinuxfs(p)
	if !ok {
		return true
	}
	file, directory := allowed(p, question{context, files, "file"}), allowed(p, question{context, files, "dir"})
	return file["write"] && file["open"] && directory["search"]
}

// loader looks at all running domains. It says what the check of the keepers does not, where none of them may load a policy itself.
func (l *lockOut) loader() {
	var could []string
	for _, process := range l.machine.Processes {
		if slices.Contains(could, process.Context) || !loads(l.before, process.Context) {
			continue
		}
		if loads(l.after, process.Context) {
			return
		}
		could = append(could, process.Context)
	}
	if len(could) > 0 {
		l.add(KeepsLoader, "", "no running domain could load a policy any more; today %s can", shortened(could))
	}
}

// control compares what a keeper may do to the security server and its files.
func (l *lockOut) control(keeper string) {
	for _, find := range []struct {
		of      func(*policydb.Policy) (string, bool)
		classes []string
	}{{security, []string{"security"}}, {selinuxfs, []string{"file", "dir"}}} {
		old, had := find.of(l.before)
		now, has := find.of(l.after)
		if !had {
			continue
		}
		if !has {
			l.add(KeepsControl, "", "the policy has no context for the security server or selinuxfs")
			continue
		}
		for _, class := range find.classes {
			l.compare(KeepsControl, question{keeper, old, class}, question{keeper, now, class})
		}
	}
}

func (l *lockOut) self(keeper string) {
	for _, class := range []string{"process", "process2", "capability", "capability2", "fd", "file", "dir", "lnk_file", "fifo_file", "unix_stream_socket"} {
		same := question{keeper, keeper, class}
		l.compare(KeepsSelf, same, same)
	}
}

// ways are the steps by which the line of the caller came about, and the shell that each of it would start.
func (l *lockOut) ways() {
	line := l.line()
	for i, process := range line {
		if l.machine.Shell != "" {
			l.executes(process.Context, l.machine.Shell, "a shell")
		}
		if process.Executable == "" {
			continue
		}
		l.compare(KeepsWay, question{process.Context, process.Executable, "file"}, question{process.Context, process.Executable, "file"})
		if i+1 == len(line) || line[i+1].PID != process.Parent {
			continue
		}
		parent := line[i+1].Context
		l.executes(parent, process.Executable, process.Command)
		if parent != process.Context {
			l.compare(KeepsWay, question{parent, process.Context, "process"}, question{parent, process.Context, "process"})
		}
	}
}

// executes compares what may be done with an executable file, and in which context it ends.
func (l *lockOut) executes(context, file, command string) {
	same := question{context, file, "file"}
	l.compare(KeepsWay, same, same)
	old, known := transition(l.before, context, file)
	if now, _ := transition(l.after, context, file); known && now != old {
		l.add(KeepsWay, "", "%s would start %s as %s, and does as %s", context, command, orNothing(now), old)
	}
}

func orNothing(context string) string {
	if context == "" {
		return "nothing that is valid"
	}
	return context
}

// transition is the context of a new process.
func transition(p *policydb.Policy, context, file string) (string, bool) {
	source, err := p.ParseContext(context)
	if err != nil {
		return "", false
	}
	target, err := p.ParseContext(file)
	if err != nil {
		return "", false
	}
	class, err := p.Class("process")
	if err != nil {
		return "", false
	}
	made, err := p.Compute(policydb.Transition, source, target, class.Value, "")
	if err != nil {
		return "", false
	}
	return p.FormatContext(made), true
}

// allowed are the permissions that a policy gives, by name. A permissive type has them all; what the policy does not know has none, since that is KeepsUnknown's.
func allowed(p *policydb.Policy, q question) map[string]bool {
	source, target, class, ok := resolve(p, q)
	if !ok {
		return nil
	}
	decision := p.Decide(source, target, class.Value)
	if decision.Permissive {
		decision.Allowed = ^uint32(0)
	}
	names := map[string]bool{}
	for _, name := range p.PermissionNames(class, decision.Allowed) {
		names[name] = true
	}
	return names
}

func resolve(p *policydb.Policy, q question) (source, target *policydb.Context, class *policydb.Class, ok bool) {
	var err error
	if source, err = p.ParseContext(q.source); err != nil {
		return
	}
	if target, err = p.ParseContext(q.target); err != nil {
		return
	}
	class, err = p.Class(q.class)
	return source, target, class, err == nil
}

// compare finds the permissions that are there before and not after, with the reason of the first.
func (l *lockOut) compare(invariant string, before, after question) {
	now := allowed(l.after, after)
	var lost []string
	for name := range allowed(l.before, before) {
		if !now[name] {
			lost = append(lost, name)
		}
	}
	if len(lost) == 0 {
		return
	}
	slices.Sort(lost)
	l.add(invariant, l.because(before, after, lost[0]), "%s would lose { %s } on %s %s", after.source, strings.Join(lost, " "), after.class, after.target)
}

// because says what denies a permission in the new policy, and what allows it in the old one.
func (l *lockOut) because(before, after question, permission string) string {
	source, target, class, ok := resolve(l.after, after)
	if !ok {
		return "a context or class of it is not in the policy"
	}
	bit, err := l.after.Permission(class, permission)
	if err != nil {
		return err.Error()
	}
	explained := l.after.Explain(source, target, class.Value, bit)
	for explained.Bounds != nil {
		explained = *explained.Bounds
	}
	switch explained.Cause {
	case policydb.ByConstraint:
		return "the constraint " + l.after.FormatExpression(explained.Constraint.Expression) + " does not hold"
	case policydb.NoRule:
		if rule := l.allowing(before, permission); rule != "" {
			return "without the rule " + rule
		}
	}
	return "by " + string(explained.Cause)
}

// allowing is the rule by which the old policy allows.
func (l *lockOut) allowing(q question, permission string) string {
	source, target, class, ok := resolve(l.before, q)
	if !ok {
		return ""
	}
	bit, err := l.before.Permission(class, permission)
	if err != nil {
		return ""
	}
	if explained := l.before.Explain(source, target, class.Value, bit); len(explained.Rules) > 0 {
		return l.before.FormatRule(explained.Rules[0])
	}
	return ""
}
