// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"errors"
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// check reports what only the whole policy shows and no automaton is needed for: names that stand twice, variables that are not set, globs that
// are none. Left to the compiler are modes of x that conflict, safe and unsafe change_profile rules that do, and what a kernel does not know.
func (p *parser) check() {
	p.checkNames(p.policy.Profiles)
	budget := maximumCheck
	for _, profile := range p.policy.Profiles {
		p.checkProfile(profile, &budget)
	}
}

// checkNames reports profiles beside each other that have the same name.
func (p *parser) checkNames(profiles []*Profile) {
	known := map[string]*Profile{}
	for _, profile := range profiles {
		name := profile.Namespace + ":" + profile.Name.Text
		if first := known[name]; first != nil {
			p.failAt(profile.Position, "", "the profile %q was defined before, at %v", profile.Name.Text, first.Position)
			continue
		}
		known[name] = profile
	}
}

// checkProfile looks at the words of a profile and of those in it.
func (p *parser) checkProfile(profile *Profile, budget *int) {
	check := wordCheck{parser: p, expander: p.policy.Expander(profile)}
	check.expander.budget = budget
	if profile.Attachment == nil {
		check.glob(&profile.Name)
	} else {
		check.defined(&profile.Name)
		check.glob(profile.Attachment)
		check.attachment(*profile.Attachment)
	}
	for i := range profile.XAttrs {
		check.glob(&profile.XAttrs[i].Value)
	}
	if path := profile.Flags.DisconnectedPath; strings.Contains(path, "@{") {
		expanded, err := check.expander.Strings(Word{Position: profile.Flags.Position, Text: path})
		if check.report(err) && (len(expanded) != 1 || !strings.HasPrefix(expanded[0], "/")) {
			p.failAt(profile.Flags.Position, "one absolute path", "the path of attach_disconnected.path is %s", strings.Join(expanded, " and "))
		}
	}
	for _, rule := range profile.Rules {
		check.rule(rule)
	}
	p.checkNames(profile.Children)
	for _, child := range profile.Children {
		p.checkProfile(child, budget)
	}
}

// wordCheck looks at words.
type wordCheck struct {
	*parser
	expander *Expander
}

// report reports an error of the expander, and says whether there was none.
func (c *wordCheck) report(err error) bool {
	var diagnostic source.Diagnostic
	switch {
	case err == nil:
		return true
	case errors.As(err, &diagnostic):
		return c.failAt(diagnostic.Position, diagnostic.Expected, "%s", diagnostic.Message)
	}
	return c.fail("", "%v", err)
}

// attachment reports values of an attachment's variables that are no paths.
func (c *wordCheck) attachment(word Word) {
	if strings.HasPrefix(word.Text, "/") {
		return
	}
	paths, err := c.expander.Strings(word)
	if err != nil {
		return // it was reported
	}
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "{") {
			c.failAt(word.Position, "an absolute path", "the attachment %q stands for %q", word.Text, path)
			return
		}
	}
}

// rule looks at the words of a rule.
func (c *wordCheck) rule(rule Rule) {
	switch rule := rule.(type) {
	case *FileRule:
		c.glob(rule.Path)
		c.defined(rule.Exec.Target)
	case *LinkRule:
		c.glob(&rule.Link, &rule.Target)
	case *MountRule:
		c.glob(rule.Source, rule.MountPoint)
		for i := range rule.Conditions {
			for k := range rule.Conditions[i].Values {
				c.glob(&rule.Conditions[i].Values[k])
			}
		}
	case *PivotRootRule:
		c.glob(rule.OldRoot, rule.NewRoot)
		c.defined(rule.Profile)
	case *PtraceRule:
		c.glob(rule.Peer)
	case *SignalRule:
		c.glob(rule.Peer)
	case *UnixRule:
		c.glob(rule.Address, rule.PeerAddress, rule.PeerLabel)
	case *DBusRule:
		c.glob(rule.Bus, rule.Path, rule.Interface, rule.Member, rule.Name, rule.PeerName, rule.PeerLabel)
	case *IOUringRule:
		c.glob(rule.Label)
	case *MQueueRule:
		c.glob(rule.Label, rule.Name)
	case *ChangeProfileRule:
		c.glob(rule.Exec, rule.Target)
	}
}

// defined reports variables that are not set.
func (c *wordCheck) defined(words ...*Word) {
	for _, word := range words {
		if word != nil && strings.Contains(word.Text, "@{") {
			_, err := c.expander.Pattern(*word)
			c.report(err)
		}
	}
}

// glob reports variables that are not set and what is no glob.
func (c *wordCheck) glob(words ...*Word) {
	for _, word := range words {
		if word == nil || !strings.ContainsAny(word.Text, `@{}[]\`) {
			continue
		}
		pattern, err := c.expander.Pattern(*word)
		if !c.report(err) {
			continue
		}
		offset, reason := globFault(pattern)
		if reason == "" {
			continue
		}
		place := word.Position
		if pattern == word.Text {
			if place.Column += offset; word.Quoted {
				place.Column++
			}
		}
		c.failAt(place, "", "%s in %q", reason, pattern)
	}
}

const maximumBraces = 49 // alternations within alternations, as in the reference tool

// globFault finds what is wrong with the brackets of a glob.
func globFault(glob string) (offset int, reason string) {
	var open [maximumBraces]struct{ offset, commas int }
	depth := 0
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			if i++; i == len(glob) {
				return i - 1, "nothing behind the last backslash"
			}
		case '[':
			end := setEnd(glob, i)
			if end < 0 {
				return i, "the set is not closed"
			}
			if members := strings.TrimPrefix(glob[i+1:end], "^"); members == "" {
				return i, "the set is empty"
			}
			i = end
		case ']':
			return i, "] without ["
		case '{':
			if depth == maximumBraces {
				return i, "too many alternations within each other"
			}
			open[depth].offset, open[depth].commas = i, 0
			depth++
		case ',':
			if depth > 0 {
				open[depth-1].commas++
			}
		case '}':
			if depth == 0 {
				return i, "} without {"
			}
			if depth--; open[depth].commas == 0 {
				return open[depth].offset, "the alternation has no comma"
			}
		}
	}
	if depth > 0 {
		return open[depth-1].offset, "the alternation is not closed"
	}
	return 0, ""
}

// setEnd finds the ] of the set that begins at start.
func setEnd(glob string, start int) int {
	for i := start + 1; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			i++
		case ']':
			return i
		}
	}
	return -1
}
