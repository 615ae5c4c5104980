// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/source"
)

// Verdict is what the kernel does with an access, and why.
type Verdict struct {
	Allowed    bool
	Audited    bool // the kernel logs it
	Quiet      bool // denied, and not logged
	Unmediated bool // allowed because nothing of this kind is mediated under the profile
	Complaint  bool // no rule allows it: it is allowed because the profile complains only
	Killed     bool // denied, and the process is killed
	// Transition is what a program that is executed, or a process that changes its profile, then runs under; "" where it stays under the profile.
	Transition string
	Because    []Reason // never empty
}

// Reason is one thing that a verdict follows from: a rule of the text, a rule rebuilt from the tables, or a sentence.
type Reason struct {
	Position source.Position // of the rule; zero where its text is not known
	Text     string
}

func (r Reason) String() string {
	if r.Position == (source.Position{}) {
		return r.Text
	}
	return r.Position.String() + ": " + r.Text
}

// String is the answer in lines, of which the first begins with the word allow or deny.
func (v Verdict) String() string {
	answer := "deny"
	if v.Allowed {
		answer = "allow"
	}
	var notes []string
	for _, note := range []struct {
		is   bool
		text string
	}{{v.Unmediated, "unmediated"}, {v.Complaint, "complain mode"}, {v.Killed, "the process is killed"}, {v.Audited, "logged"}, {v.Quiet, "not logged"}} {
		if note.is {
			notes = append(notes, note.text)
		}
	}
	if len(notes) > 0 {
		answer += " (" + strings.Join(notes, ", ") + ")"
	}
	if v.Transition != "" {
		answer += "; " + v.Transition
	}
	lines := []string{answer}
	for _, reason := range v.Because {
		lines = append(lines, "  "+strings.ReplaceAll(reason.String(), "\n", "\n  "))
	}
	return strings.Join(lines, "\n")
}

// decision is a question on its way to a verdict.
type decision struct {
	profile  *binary.Profile
	features Features
	rules    *ProfileMap // nil: of the text nothing is known
	verdict  Verdict
	probes   []probe
	decided  bool
}

// probe is one string that was matched, and what was asked of where it ended.
type probe struct {
	rules   *binary.Rules
	file    bool // permissions are laid out as those of files
	owner   bool
	text    string
	state   uint32
	perms   permissions
	request uint32
}

// Decide answers a question from the profile's compiled tables as the kernel would: security/apparmor of Linux 6.1 to 7.x, whose differences follow from
// the features. The zero Features stands for a kernel that mediates all that the tables do. rules, which may be nil, names the rules of the text.
//
// What a label is stacked of is asked one by one: the access is allowed where every profile allows it.
func Decide(profile *binary.Profile, features Features, question Question, rules *ProfileMap) Verdict {
	d := &decision{profile: profile, features: features, rules: rules}
	if profile.Mode == binary.ModeUnconfined {
		d.unmediated("the profile is unconfined: it confines nothing")
		return d.verdict
	}
	question.ask(d)
	if !d.decided {
		d.allow()
	}
	d.explain(question)
	return d.verdict
}

func (d *decision) because(format string, arguments ...any) {
	d.verdict.Because = append(d.verdict.Because, Reason{Text: fmt.Sprintf(format, arguments...)})
}

func (d *decision) unmediated(format string, arguments ...any) {
	d.decided = true
	d.verdict.Allowed, d.verdict.Unmediated = true, true
	d.because(format, arguments...)
}

func (d *decision) allow() {
	d.decided = true
	d.verdict.Allowed = true
}

// refuse denies what the kernel denies before it looks at permissions.
func (d *decision) refuse(format string, arguments ...any) {
	d.decided = true
	d.verdict.Allowed = false
	d.because(format, arguments...)
	if d.complains() {
		d.verdict.Allowed, d.verdict.Complaint = true, true
	}
	d.verdict.Audited = true
}

func (d *decision) complains() bool {
	return d.profile.Mode == binary.ModeComplain || d.profile.Version.ForceComplain
}

// lookup records that a string was matched and what was asked of the permissions there.
func (d *decision) lookup(p probe) permissions {
	d.probes = append(d.probes, p)
	return p.perms
}

// check is aa_check_perms and aa_audit_file: whether the permissions give what is asked, and what the mode of the profile makes of it. It returns whether
// the access goes on; of several checks in one decision the first denial decides.
func (d *decision) check(perms permissions, request uint32) bool {
	perms = d.applyModes(perms)
	missing := request & (^perms.allow | perms.deny)
	if missing == 0 {
		d.verdict.Allowed = true
		d.verdict.Audited = d.verdict.Audited || request&perms.audit != 0
		return true
	}
	d.decided = true
	d.verdict.Allowed = false
	loud := missing &^ perms.quiet
	d.verdict.Audited, d.verdict.Quiet = loud != 0, loud == 0
	switch {
	case missing&perms.kill != 0:
		d.verdict.Killed = true
	case loud == 0:
		// What a rule denies quietly stays denied, in complain mode too.
	case missing&^perms.complain == 0:
		d.verdict.Allowed, d.verdict.Complaint = true, true
	}
	return d.verdict.Allowed
}

// applyModes is aa_apply_modes_to_perms.
func (d *decision) applyModes(perms permissions) permissions {
	if d.profile.Audit {
		perms.audit, perms.quiet = ^uint32(0), 0
	}
	switch {
	case d.profile.Mode == binary.ModeKill:
		perms.kill = ^uint32(0)
	case d.complains():
		perms.complain = ^uint32(0)
	case d.profile.Mode == binary.ModeUser:
		perms.prompt = ^uint32(0)
	}
	return perms
}
