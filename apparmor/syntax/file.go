// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// permissionLetters are those of a file rule's permissions.
const permissionLetters = "rwalkmxipucRWLMXIPUC"

// isPermissions says whether the word can be permissions by its letters.
func isPermissions(word string) bool {
	return word != "" && strings.Trim(word, permissionLetters) == ""
}

// fileKeyword reads the rest of file [PATH ...].
func (p *parser) fileKeyword(qualifiers Qualifiers) bool {
	p.skip()
	if p.peek() == ',' {
		return p.add(&FileRule{Qualifiers: qualifiers})
	}
	if p.startsPath() {
		return p.pathRule(qualifiers, "")
	}
	if name := p.peekName(); name == "safe" || name == "unsafe" || isPermissions(name) {
		return p.leadingRule(qualifiers)
	}
	return p.unexpected("a path, permissions or \",\"")
}

// pathRule reads PATH PERMISSIONS [-> TARGET].
func (p *parser) pathRule(qualifiers Qualifiers, safety string) bool {
	path, ok := p.anyWord("a path")
	if !ok || !p.checkPath(path) {
		return false
	}
	p.skip()
	place := p.position()
	letters := p.name()
	if !isPermissions(letters) || wordByte(p.peek()) && !strings.HasPrefix(p.text[p.at:], "->") {
		p.at -= len(letters)
		return p.unexpected("permissions of " + permissionLetters[:11])
	}
	return p.fileRule(qualifiers, path, letters, place, safety, pathFirst)
}

// leadingRule reads [safe|unsafe] PERMISSIONS PATH [-> TARGET], where the path may also come first behind safe and unsafe.
func (p *parser) leadingRule(qualifiers Qualifiers) bool {
	place := p.position()
	letters := p.name()
	safety := ""
	if letters == "safe" || letters == "unsafe" {
		safety = letters
		if p.skip(); p.startsPath() {
			return p.pathRule(qualifiers, safety)
		}
		place = p.position()
		letters = p.name()
	}
	if !isPermissions(letters) || wordByte(p.peek()) {
		p.at -= len(letters)
		return p.unexpected("permissions of " + permissionLetters[:11])
	}
	if p.skip(); p.peekName() == "subset" && strings.Trim(letters, "lL") == "" && safety == "" {
		return p.link(qualifiers)
	}
	path, ok := p.path("a path behind the permissions")
	if !ok || !p.checkPath(path) {
		return false
	}
	return p.fileRule(qualifiers, path, letters, place, safety, permissionsFirst)
}

// checkPath reports a path that is one by its first letter only.
func (p *parser) checkPath(path Word) bool {
	if rest, ok := strings.CutPrefix(path.Text, "@{"); ok && !path.Quoted {
		name, rest, closed := strings.Cut(rest, "}")
		if !closed || name == "" || strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, "+") {
			return p.failAt(path.Position, "a path", "bad path %q", path.Text)
		}
	}
	return true
}

// order says what stood first in a file rule.
type order int

const (
	pathFirst order = iota
	permissionsFirst
)

// fileRule reads [-> TARGET] and builds the rule. Behind leading permissions the target of l is what may be linked to; behind trailing ones
// apparmor_parser takes no notice of it, and policies that are in use have such rules.
func (p *parser) fileRule(qualifiers Qualifiers, path Word, letters string, place source.Position, safety string, first order) bool {
	rule := &FileRule{Qualifiers: qualifiers, Path: &path}
	fault, expected := rule.permit(letters, qualifiers.Deny)
	if fault != "" {
		return p.failAt(place, expected, "%s", fault)
	}
	if safety != "" {
		if rule.Exec.Mode == NoExec {
			return p.failAt(place, "an x permission", "%s goes with x only", safety)
		}
		rule.Exec.Scrub = safety == "safe" && rule.Exec.Mode != ExecInherit
	}
	if !p.acceptTightArrow() {
		return p.add(rule)
	}
	executes := rule.Exec.Mode == ExecProfile || rule.Exec.Mode == ExecChild
	switch {
	case rule.Permissions.Link && rule.Exec.Mode == NoExec && first == permissionsFirst:
		return p.linking(rule, path)
	case rule.Permissions.Link && rule.Exec.Mode == NoExec:
		target, ok := p.path("the path that is linked to")
		if ok {
			p.warn(target.Position, "a target behind trailing permissions has no effect: the rule is as one without; %q is the one for it", "link "+path.String()+" -> "+target.String()+",")
		}
		return ok && p.add(rule)
	case !executes || rule.Permissions.Link && first == permissionsFirst:
		return p.fail("px, cx or l with a target", "the permissions %q have no target", letters)
	}
	target, ok := p.anyWord("a name")
	if ok && target.Text == "" {
		return p.failAt(target.Position, "a name", "empty target")
	}
	rule.Exec.Target = &target
	return ok && p.add(rule)
}

// linking reads what leading permissions with l allow to be linked to, and makes a link rule and one of the other permissions.
func (p *parser) linking(rule *FileRule, path Word) bool {
	target, ok := p.path("the path that is linked to")
	if !ok {
		return false
	}
	link := &LinkRule{Qualifiers: rule.Qualifiers, Link: path, Target: target}
	if rule.Permissions.Link = false; rule.Permissions == (FilePermissions{}) {
		return p.add(link)
	}
	if !p.add(rule) {
		return false
	}
	link.End = rule.End
	p.body.profile.Rules = append(p.body.profile.Rules, link)
	return true
}

// permit sets the permissions, and says what is wrong with the letters.
func (r *FileRule) permit(letters string, deny bool) (fault, expected string) {
	rest := letters
	for rest != "" {
		switch rest[0] {
		case 'r', 'R':
			r.Permissions.Read = true
		case 'w', 'W':
			r.Permissions.Write = true
		case 'a':
			r.Permissions.Append = true
		case 'l', 'L':
			r.Permissions.Link = true
		case 'k':
			r.Permissions.Lock = true
		case 'm', 'M':
			r.Permissions.Map = true
		default:
			end := strings.IndexAny(rest, "xX")
			if end < 0 {
				return "the letter " + rest[:1] + " stands without x", "ix, ux, px, cx, pix, pux, cix or cux"
			}
			if fault = r.execute(rest[:end], deny); fault != "" {
				return fault, "ix, ux, px, cx, pix, pux, cix or cux"
			}
			rest = rest[end:]
		}
		rest = rest[1:]
	}
	if r.Permissions.Write && r.Permissions.Append {
		return "w and a exclude each other", "one of them"
	}
	return "", ""
}

// execute sets the x permission whose letters before the x are given.
func (r *FileRule) execute(mode string, deny bool) string {
	if deny != (mode == "") {
		if deny {
			return "a deny rule has no mode of x, it denies them all"
		}
		return "x without a mode"
	}
	var exec Exec
	switch strings.ToLower(mode) {
	case "":
		r.Permissions.Exec = true
		return ""
	case "i":
		exec.Mode = ExecInherit
	case "u":
		exec.Mode = ExecUnconfined
	case "p":
		exec.Mode = ExecProfile
	case "c":
		exec.Mode = ExecChild
	case "pi":
		exec.Mode, exec.Fallback = ExecProfile, ExecInherit
	case "pu":
		exec.Mode, exec.Fallback = ExecProfile, ExecUnconfined
	case "ci":
		exec.Mode, exec.Fallback = ExecChild, ExecInherit
	case "cu":
		exec.Mode, exec.Fallback = ExecChild, ExecUnconfined
	default:
		return "unknown mode " + mode + "x"
	}
	exec.Scrub = mode[0] >= 'A' && mode[0] <= 'Z' && exec.Mode != ExecInherit
	if r.Exec.Mode != NoExec && r.Exec != exec {
		return "two modes of x exclude each other"
	}
	r.Exec = exec
	return ""
}
