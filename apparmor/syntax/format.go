// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Format writes the policy as text that Parse reads into the same tree, but for positions and warnings: includes and conditions are resolved in
// it, and each rule has its qualifiers itself.
func Format(policy *Policy) string {
	f := &formatter{}
	if policy.ABI != nil {
		f.line(0, "abi %s,", reference(*policy.ABI))
	}
	f.variables(0, policy.Variables)
	for _, name := range slices.Sorted(maps.Keys(policy.Booleans)) {
		f.line(0, "${%s} = %v", name, policy.Booleans[name])
	}
	for _, alias := range policy.Aliases {
		f.line(0, "alias %s -> %s,", quote(alias.From), quote(alias.To))
	}
	for i, profile := range policy.Profiles {
		if i > 0 || f.Len() > 0 {
			f.WriteByte('\n')
		}
		f.profile(0, profile)
	}
	return f.String()
}

// FormatRule writes one rule, without a line end.
func FormatRule(rule Rule) string {
	return qualifierText(rule.Head()) + ruleText(rule) + ","
}

type formatter struct{ strings.Builder }

func (f *formatter) line(depth int, format string, arguments ...any) {
	f.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(f, format, arguments...)
	f.WriteByte('\n')
}

// variables writes each value with its own +=, because a value may end with a backslash, which must end the line.
func (f *formatter) variables(depth int, variables map[string]*Variable) {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		operator := "="
		var values []string
		for i, value := range variables[name].Values {
			values = append(values, value.String())
			if last := i == len(variables[name].Values)-1; last || strings.HasSuffix(value.Text, `\`) {
				f.line(depth, "@{%s} %s %s", name, operator, strings.Join(values, " "))
				operator, values = "+=", nil
			}
		}
	}
}

func (f *formatter) profile(depth int, profile *Profile) {
	f.line(depth, "%s {", head(profile))
	f.variables(depth+1, profile.Variables)
	for _, rule := range profile.Rules {
		f.line(depth+1, "%s", FormatRule(rule))
	}
	for _, child := range profile.Children {
		f.WriteByte('\n')
		f.profile(depth+1, child)
	}
	f.line(depth, "}")
}

// head writes what stands before a profile's block.
func head(profile *Profile) string {
	name := profile.Name
	if profile.Namespace != "" {
		separator := ":"
		if strings.HasPrefix(name.Text, "//") {
			separator = "://"
		}
		name.Text = ":" + profile.Namespace + separator + name.Text
	}
	text := name.String()
	switch {
	case profile.Hat && profile.Keyword:
		text = "hat " + text
	case profile.Hat:
		text = "^" + text
	case profile.Keyword:
		text = "profile " + text
	}
	if profile.Attachment != nil {
		text += " " + profile.Attachment.String()
	}
	if profile.XAttrs != nil {
		var attributes []string
		for _, attribute := range profile.XAttrs {
			text := attribute.Name
			if attribute.Value != (Word{}) {
				text += "=" + attribute.Value.String()
			}
			attributes = append(attributes, text)
		}
		text += " xattrs=(" + strings.Join(attributes, " ") + ")"
	}
	if flags := profile.Flags.list(); len(flags) > 0 {
		text += " flags=(" + strings.Join(flags, ", ") + ")"
	}
	return text
}

// list returns the flags as they are written.
func (f *Flags) list() []string {
	var list []string
	if f.Mode != Enforce {
		list = append(list, f.Mode.String())
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{f.Audit, "audit"}, {f.MediateDeleted, "mediate_deleted"}, {f.DelegateDeleted, "delegate_deleted"},
		{f.AttachDisconnected && f.DisconnectedPath == "", "attach_disconnected"}, {f.NoAttachDisconnect, "no_attach_disconnected"},
		{f.DisconnectedPath != "", "attach_disconnected.path=" + f.DisconnectedPath},
		{f.AttachIPC && f.DisconnectedIPCPath == "", "attach_disconnected.ipc"},
		{f.DisconnectedIPCPath != "", "attach_disconnected.ipc=" + f.DisconnectedIPCPath},
		{f.ChrootRelative, "chroot_relative"}, {f.NamespaceRelative, "namespace_relative"},
		{f.ChrootAttach, "chroot_attach"}, {f.ChrootNoAttach, "chroot_no_attach"},
		{f.Debug, "debug"}, {f.Interruptible, "interruptible"},
		{f.KillSignal != "", "kill.signal=" + f.KillSignal}, {f.Error != "", "error=" + f.Error},
	} {
		if flag.set {
			list = append(list, flag.name)
		}
	}
	return list
}

// String returns the mode's keyword.
func (m Mode) String() string {
	for name, mode := range modes {
		if mode == m {
			return name
		}
	}
	return fmt.Sprintf("mode %d", int(m))
}

func reference(r Reference) string {
	if r.Magic {
		return "<" + r.Path + ">"
	}
	return `"` + r.Path + `"`
}

// String returns the word as it is written, in quotation marks where it was or where it must be.
func (w Word) String() string {
	if w.Quoted {
		return `"` + w.Text + `"`
	}
	return quote(w.Text)
}

// quote writes a text so that it is read as one word.
func quote(text string) string {
	plain := text != "" && !strings.HasPrefix(text, "#")
	if plain {
		s := newScanner("", text)
		plain = s.word(false) == text
	}
	if plain {
		return text
	}
	return `"` + text + `"`
}
