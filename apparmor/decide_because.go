// SPDX-License-Identifier: Apache-2.0

package apparmor

import "strings"

// explain says what the verdict follows from: of the last string that was matched, as the others gave what they were asked for.
func (d *decision) explain(question Question) {
	if d.verdict.Unmediated || len(d.probes) == 0 {
		d.explainMask(question)
		return
	}
	last := d.probes[len(d.probes)-1]
	missing := last.request & (^last.perms.allow | last.perms.deny)
	switch {
	case missing == 0:
		d.because("the tables allow it")
	case missing&(last.perms.quiet|last.perms.deny) == missing && !d.profile.Audit:
		d.because("a deny rule, which is not logged")
	default:
		d.because("no rule allows it, or one denies it with audit")
	}
	if last.file {
		if has := letters(last.perms.allow); has != "" && missing != 0 {
			d.because("of this path is allowed: %s", has)
		}
	}
}

// explainMask is about questions that are not answered from an automaton.
func (d *decision) explainMask(question Question) {
	if len(d.verdict.Because) > 0 {
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
