// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// mountOptions are the options by what they say; those of one group with different values exclude each other.
type mountOption struct {
	group string // "" for those that stand alone
	value int
}

var mountOptions = map[string]mountOption{
	"ro": {"ro", 1}, "r": {"ro", 1}, "read-only": {"ro", 1}, "rw": {"ro", 2}, "w": {"ro", 2},
	"suid": {"suid", 1}, "nosuid": {"suid", 2}, "dev": {"dev", 1}, "nodev": {"dev", 2}, "exec": {"exec", 1}, "noexec": {"exec", 2},
	"sync": {"sync", 1}, "async": {"sync", 2}, "mand": {"mand", 1}, "nomand": {"mand", 2}, "dirsync": {},
	"symfollow": {"symfollow", 1}, "nosymfollow": {"symfollow", 2}, "atime": {"atime", 1}, "noatime": {"atime", 2},
	"diratime": {"diratime", 1}, "nodiratime": {"diratime", 2}, "verbose": {"silent", 2}, "silent": {"silent", 1}, "loud": {"silent", 2},
	"acl": {"acl", 1}, "noacl": {"acl", 2}, "relatime": {"relatime", 1}, "norelatime": {"relatime", 2},
	"iversion": {"iversion", 1}, "noiversion": {"iversion", 2}, "strictatime": {"strictatime", 1}, "nostrictatime": {"strictatime", 2},
	"lazytime": {"lazytime", 1}, "nolazytime": {"lazytime", 2}, "user": {"user", 1}, "nouser": {"user", 2},
	"remount": {}, "bind": {}, "B": {}, "rbind": {}, "R": {}, "move": {}, "M": {},
	"unbindable": {}, "private": {}, "slave": {}, "shared": {}, "runbindable": {}, "rprivate": {}, "rslave": {}, "rshared": {},
	"make-unbindable": {}, "make-private": {}, "make-slave": {}, "make-shared": {},
	"make-runbindable": {}, "make-rprivate": {}, "make-rslave": {}, "make-rshared": {},
}

// propagation says whether the option changes how mounts propagate, which has no source.
func propagation(option string) bool {
	kind := strings.TrimPrefix(strings.TrimPrefix(option, "make-"), "r")
	return kind == "unbindable" || kind == "private" || kind == "slave" || kind == "shared"
}

// mount reads the rest of mount, remount and umount, whose keyword ends here.
func (p *parser) mount(qualifiers Qualifiers) bool {
	rule := &MountRule{Qualifiers: qualifiers}
	switch before := p.text[:p.at]; {
	case strings.HasSuffix(before, "remount"):
		rule.Kind = Remount
	case strings.HasSuffix(before, "umount"):
		rule.Kind = Umount
	}
	if !p.mountConditions(rule) {
		return false
	}
	if p.skip(); p.peek() == '=' {
		return p.unexpected("a path, or the name of a condition before it")
	}
	if p.peek() != ',' && !p.arrowAhead() {
		place, ok := p.anyWord("a path")
		if !ok {
			return false
		}
		if rule.Kind == Mount {
			rule.Source = &place
		} else {
			rule.MountPoint = &place
		}
	}
	if rule.Kind == Mount && p.acceptArrow() {
		point, ok := p.anyWord("the path that is mounted on")
		if !ok {
			return false
		}
		rule.MountPoint = &point
	}
	return p.checkMount(rule) && p.add(rule)
}

// mountConditions reads KEY=VALUES and KEY in (VALUES).
func (p *parser) mountConditions(rule *MountRule) bool {
	for {
		p.skip()
		condition := Conditional{Position: p.position()}
		saved := p.cursor
		condition.Key = p.name()
		p.skip()
		switch {
		case condition.Key != "" && p.accept("="):
		case condition.Key != "" && p.peekName() == "in":
			p.name()
			p.skip()
			condition.In = true
			if p.peek() == '(' {
				break
			}
			fallthrough
		default:
			p.cursor = saved
			return true
		}
		var ok bool
		switch condition.Key {
		case "fstype", "vfstype":
			condition.Values, ok = p.values("the type of a file system")
			ok = ok && p.checkTypes(condition)
		case "options", "option":
			condition.Values, ok = p.values("an option of mount")
			ok = ok && p.checkOptions(condition)
		default:
			return p.failAt(condition.Position, "fstype, vfstype or options", "unknown condition %q", condition.Key)
		}
		if !ok {
			return false
		}
		rule.Conditions = append(rule.Conditions, condition)
	}
}

// checkTypes reports a list of types without parentheses: it would be one type with a comma in its name.
func (p *parser) checkTypes(condition Conditional) bool {
	for _, word := range condition.Values {
		depth := 0
		for i := 0; i < len(word.Text) && !word.Quoted; i++ {
			switch word.Text[i] {
			case '\\':
				i++
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			case ',':
				if depth <= 0 {
					return p.failAt(word.Position, "several types in parentheses", "a comma in the type %q", word.Text)
				}
			}
		}
	}
	return true
}

// checkOptions reports unknown options, and those that exclude each other where all must hold.
func (p *parser) checkOptions(condition Conditional) bool {
	groups := map[string]mountOption{}
	for _, word := range condition.Values {
		option, known := mountOptions[word.Text]
		if !known {
			return p.failAt(word.Position, "an option of mount(8) that apparmor.d(5) lists", "unknown option %q", word.Text)
		}
		if condition.In || option.group == "" {
			continue
		}
		if other, ok := groups[option.group]; ok && other != option {
			return p.failAt(word.Position, "", "the option %q contradicts one before it", word.Text)
		}
		groups[option.group] = option
	}
	return true
}

// checkMount reports conditions that no operation of mount(2) can meet: where the options name operations and nothing else, these decide whether
// there are a source and a type.
func (p *parser) checkMount(rule *MountRule) bool {
	var operations []Word
	var kind *Conditional
	for i, condition := range rule.Conditions {
		switch {
		case condition.Key == "fstype" || condition.Key == "vfstype":
			kind = &rule.Conditions[i]
		case condition.In:
			return true
		default:
			operations = append(operations, condition.Values...)
		}
	}
	sourceless := func(word Word) bool { return word.Text == "remount" || propagation(word.Text) }
	if len(operations) == 0 || rule.Kind == Umount || !all(operations, func(word Word) bool { return sourceless(word) || attaches(word) }) {
		return true
	}
	onlyPropagation := all(operations, func(word Word) bool { return propagation(word.Text) })
	switch {
	case kind != nil && !(rule.Kind == Remount && onlyPropagation):
		return p.failAt(kind.Position, "no type", "the option %q takes no type of a file system", operations[0].Text)
	case rule.Source != nil && all(operations, sourceless) && (rule.MountPoint != nil || !onlyPropagation):
		return p.failAt(rule.Source.Position, "only the path that is mounted on", "the option %q takes no source", operations[0].Text)
	}
	return true
}

func all(words []Word, hold func(Word) bool) bool {
	return !slices.ContainsFunc(words, func(word Word) bool { return !hold(word) })
}

// attaches says whether the option names an operation that has a source.
func attaches(word Word) bool {
	return slices.Contains([]string{"bind", "B", "rbind", "R", "move", "M"}, word.Text)
}
