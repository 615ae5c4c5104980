// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"strings"
)

// profile reads a profile or hat with its block. keyword is what stands here: "profile", "hat", "^", or "" for the name itself.
func (p *parser) profile(keyword string) bool {
	profile := &Profile{Position: p.position(), Keyword: keyword == "profile" || keyword == "hat", Hat: keyword == "hat" || keyword == "^", Parent: p.body.profile}
	switch keyword {
	case "^":
		p.at++
		if c := p.peek(); c == ' ' || c == '\t' || c == '\n' {
			return p.unexpected("the hat's name directly behind ^")
		}
	case "profile", "hat":
		p.name()
		p.skip()
	}
	name, ok := p.headWord("the profile's name")
	if !ok || !p.split(profile, name) {
		return false
	}
	if p.skip(); !profile.Hat && p.startsPath() {
		attachment, ok := p.headWord("the path of the program")
		if !ok {
			return false
		}
		profile.Attachment = &attachment
	}
	if profile.Parent == nil && keyword == "" && profile.Attachment == nil && !strings.HasPrefix(profile.Name.Text, "/") && profile.Namespace == "" {
		return p.failAt(name.Position, `"profile" before it`, "the name %q is no path", name.Text)
	}
	if keyword == "" && oldHat(profile.Name.Text) {
		return p.failAt(name.Position, `"hat NAME" or "^NAME" within its profile, or "profile" before a name with ^`, "a hat stands outside of its profile")
	}
	if !p.headConditions(profile) {
		return false
	}
	if !p.accept("{") {
		return p.unexpected(`"{", attachment, xattrs=(...) or flags=(...)`)
	}
	if !p.countRule() {
		return false
	}
	if profile.Parent == nil {
		p.policy.Profiles = append(p.policy.Profiles, profile)
	} else {
		profile.Parent.Children = append(profile.Parent.Children, profile)
	}
	return p.block(&body{profile: profile})
}

// oldHat says whether a name is PROFILE^HAT, as hats were once written. Taken for a profile's name, its rules would never apply to the hat.
func oldHat(name string) bool {
	inSet := false
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '[':
			inSet = true
		case ']':
			inSet = false
		case '^':
			if !inSet {
				return true
			}
		}
	}
	return false
}

// headWord reads a word of a profile's head.
func (p *parser) headWord(expected string) (Word, bool) {
	p.skip()
	switch p.peek() {
	case '{', '(', ')', '}', '=':
		return Word{}, p.unexpected(expected)
	}
	word, ok := p.anyWord(expected)
	if ok && word.Text == "" {
		return word, p.failAt(word.Position, expected, "empty name")
	}
	return word, ok
}

// split takes the namespace off a profile's name.
func (p *parser) split(profile *Profile, name Word) bool {
	profile.Name = name
	rest, ok := strings.CutPrefix(name.Text, ":")
	if !ok {
		return true
	}
	namespace, rest, ok := strings.Cut(rest, ":")
	if !ok || namespace == "" {
		return p.failAt(name.Position, ":namespace:name", "bad namespace in %q", name.Text)
	}
	if strings.HasPrefix(rest, "//") {
		rest = rest[2:]
	}
	if rest == "" {
		return p.failAt(name.Position, ":namespace:name", "no name behind the namespace in %q", name.Text)
	}
	profile.Namespace, profile.Name.Text = namespace, rest
	return true
}

// headConditions reads [xattrs=(...)] [[flags=](...)].
func (p *parser) headConditions(profile *Profile) bool {
	flags := false
	for {
		p.skip()
		place := p.position()
		key := ""
		if p.peek() != '(' {
			saved := p.cursor
			key = p.name()
			p.skip()
			if key == "" || !p.accept("=") {
				p.cursor = saved
				return true
			}
			p.skip()
		}
		if p.peek() != '(' {
			return p.unexpected(`"("`)
		}
		p.at++
		switch {
		case key == "xattrs" && !flags && profile.XAttrs == nil && !profile.Hat:
			if !p.xattrs(profile) {
				return false
			}
		case (key == "flags" || key == "") && !flags:
			profile.Flags.Position = place
			if flags = true; !p.flags(profile) {
				return false
			}
		default:
			return p.failAt(place, "xattrs=(...) and then flags=(...)", "unexpected %q", key)
		}
	}
}

// xattrs reads the list behind xattrs=(.
func (p *parser) xattrs(profile *Profile) bool {
	profile.XAttrs = []XAttr{}
	for {
		p.skipCommas()
		place := p.position()
		if p.accept(")") {
			return true
		}
		start := p.at
		for wordByte(p.peek()) && strings.IndexByte("=()", p.peek()) < 0 {
			p.at++
		}
		attribute := XAttr{Position: place, Name: p.text[start:p.at]}
		if attribute.Name == "" {
			return p.unexpected("the name of an extended attribute")
		}
		if p.accept("=") {
			value, ok := p.listWord("a value")
			if !ok {
				return false
			}
			attribute.Value = value
		}
		if !p.countWord() {
			return false
		}
		profile.XAttrs = append(profile.XAttrs, attribute)
	}
}
