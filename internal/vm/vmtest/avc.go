// SPDX-License-Identifier: Apache-2.0

// Package vmtest is for tests that need a kernel with a certain security module,
// which they get in a guest of package vm. Outside a guest such a test runs if
// the kernel has the feature and is skipped if not; inside, a feature that the
// guest was made for and that is missing fails the test.
//
// It imports nothing of the host side, to keep test binaries small.
package vmtest

import (
	"fmt"
	"strings"
)

// AVC is one access decision that SELinux logged.
type AVC struct {
	Denied      bool     // otherwise it was granted, and audited by a rule
	Permissions []string // e.g. read, open
	Source      string   // context of the process
	Target      string   // context of the object
	Class       string   // of the object, e.g. file
	Permissive  bool     // denied, but not enforced
	Command     string   // comm of the process
}

// String gives the form in which policies are discussed.
func (a AVC) String() string {
	verdict := "granted"
	if a.Denied {
		verdict = "denied"
	}
	return fmt.Sprintf("%s { %s } %s -> %s %s (%s)", verdict, strings.Join(a.Permissions, " "), a.Source, a.Target, a.Class, a.Command)
}

// ParseAVC reads the text of an audit record of type AVC:
//
//	audit(1.2:3): avc:  denied  { read } for  pid=1 comm="cat" scontext=... tcontext=... tclass=file permissive=0
func ParseAVC(text string) (AVC, error) {
	var record AVC
	_, rest, ok := strings.Cut(text, "avc:")
	verdict, rest, open := strings.Cut(rest, "{")
	permissions, rest, end := strings.Cut(rest, "}")
	if !ok || !open || !end {
		return record, fmt.Errorf("avc record %q: no \"avc: VERDICT { PERMISSIONS }\"", text)
	}
	switch strings.TrimSpace(verdict) {
	case "denied":
		record.Denied = true
	case "granted":
	default:
		return record, fmt.Errorf("avc record %q: verdict %q", text, strings.TrimSpace(verdict))
	}
	record.Permissions = strings.Fields(permissions)
	for field := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "scontext":
			record.Source = value
		case "tcontext":
			record.Target = value
		case "tclass":
			record.Class = value
		case "permissive":
			record.Permissive = value == "1"
		case "comm":
			record.Command = strings.Trim(value, `"`)
		}
	}
	if record.Source == "" || record.Target == "" || record.Class == "" || len(record.Permissions) == 0 {
		return record, fmt.Errorf("avc record %q: no scontext, tcontext, tclass or permission", text)
	}
	return record, nil
}
