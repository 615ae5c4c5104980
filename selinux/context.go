// SPDX-License-Identifier: Apache-2.0

// Package selinux holds SELinux security contexts, their levels and categories, and the few questions that are put to
// the kernel's own SELinux.
//
// Contexts are read and printed as the kernel does it (security/selinux/ss/services.c and mls.c): text that the kernel
// would refuse under every policy is refused here, with a hint where the mistake is a usual one, and what is printed is
// the kernel's canonical form. Whether the names exist is for the loaded policy to say: Host.CheckContext asks it.
//
// Limits: sensitivities are named s0 to s1023 and categories c0 to c1023, as in every distribution's policy; other
// names for them, which a policy may declare, are not read. Translations turn the names of mcstrans (SystemHigh) into these.
package selinux

import "strings"

// Context is a security context: user:role:type:range. Equal contexts are ==. A zero Range is s0.
type Context struct {
	User, Role, Type string
	Range            Range
	NoRange          bool // of a policy without MLS and MCS: three fields only, Range is ignored
}

// ParseContext reads "system_u:system_r:container_t:s0:c1,c2", or the same without the range. Errors are *ParseError.
func ParseContext(text string) (Context, error) {
	return parseAll("context", text, parseContext, repairContext)
}

func parseContext(text string) (Context, *fault) {
	fields := strings.SplitN(text, ":", 4)
	if len(fields) < 3 {
		return Context{}, faultAt(len(text), "fewer than three fields (user:role:type)")
	}
	offset := 0
	for i, what := range []string{"user", "role", "type"} {
		if bad := checkName(what, fields[i]); bad != nil {
			return Context{}, bad.shifted(offset)
		}
		offset += len(fields[i]) + 1
	}
	context := Context{User: fields[0], Role: fields[1], Type: fields[2], NoRange: len(fields) == 3}
	if context.NoRange {
		return context, nil
	}
	var bad *fault
	if context.Range, bad = parseRange(fields[3]); bad != nil {
		return Context{}, bad.shifted(offset)
	}
	return context, nil
}

// checkName holds names to what the policy compilers accept: a letter, then letters, digits, ".", "_" and "-".
func checkName(what, name string) *fault {
	if name == "" {
		return faultAt(0, "the %s is empty", what)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789._-", rune(c))) {
			return faultAt(i, "%s %.64q has %q at byte %d", what, name, c, i)
		}
	}
	return nil
}

// String prints the context in the kernel's form.
func (c Context) String() string {
	text := c.User + ":" + c.Role + ":" + c.Type
	if c.NoRange {
		return text
	}
	return text + ":" + c.Range.String()
}
