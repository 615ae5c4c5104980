// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const everyFile = "/{**,}"

// fileEntries are the entries of a rule in the automaton of files: file, link and change_profile rules, and the part of "all" that is about files.
func (u *unit) fileEntries(rule syntax.Rule) []entry {
	switch rule := rule.(type) {
	case *syntax.FileRule:
		return u.pathEntries(rule)
	case *syntax.LinkRule:
		return u.linkEntries(rule)
	case *syntax.ChangeProfileRule:
		return u.changeProfileEntries(rule)
	case *syntax.AllRule:
		return u.allFiles(rule)
	}
	return nil
}

// halfBits are the bits of the simple letters for one half.
func halfBits(p syntax.FilePermissions) uint32 {
	var bits uint32
	for _, letter := range [...]struct {
		set  bool
		bits uint32
	}{
		{p.Read, permRead}, {p.Write, permWrite | permAppend}, {p.Append, permAppend},
		{p.Link, permLink}, {p.Lock, permLock}, {p.Map, permMap},
	} {
		if letter.set {
			bits |= letter.bits
		}
	}
	return bits
}

func (u *unit) pathEntries(rule *syntax.FileRule) []entry {
	x, ok := u.execBits(rule)
	if !ok {
		return nil
	}
	letters := halfBits(rule.Permissions)
	half := letters | x
	texts := []string{everyFile}
	if rule.Path != nil {
		texts = u.expandPath(*rule.Path)
	} else if half == 0 {
		half, letters = permBase|permInherit, permBase // "file" alone: everything
	}
	entries := make([]entry, 0, len(texts))
	for _, text := range texts {
		pattern, ok := u.glob(rule, text, dfa.PathGlob)
		if !ok {
			continue
		}
		entries = u.appendPath(entries, rule, text, pattern, half, letters|x&permExec)
	}
	return entries
}

// appendPath appends the entries of one path: its own, and with l the pair of it and whatever it is linked to. What is audited is what the rule says, not
// what that brings along.
func (u *unit) appendPath(entries []entry, rule syntax.Rule, text string, pattern dfa.Pattern, half, audited uint32) []entry {
	own := half
	if rule.Head().Deny {
		own &^= permLink // it is the pair that is denied: the name may be linked by another rule, to something else
	}
	if own != 0 {
		entries = append(entries, u.fileEntry(rule, text, pattern, own, audited&own))
	}
	if half&permLink != 0 {
		entries = append(entries, u.pairEntry(rule, text, dfa.Concat(pattern, u.shared.anyTarget), true))
	}
	return entries
}

// linkEntries are of the link itself, which must be allowed to be one, and of the pair.
func (u *unit) linkEntries(rule *syntax.LinkRule) []entry {
	var entries []entry
	for _, paths := range u.linkPaths(rule) {
		name, ok := u.glob(rule, paths.link, dfa.PathGlob)
		target, okTarget := u.glob(rule, paths.target, dfa.PathGlob)
		if !ok || !okTarget {
			continue
		}
		if !rule.Deny {
			entries = append(entries, u.fileEntry(rule, paths.link, name, permLink, permLink))
		}
		entries = append(entries, u.pairEntry(rule, paths.link, dfa.Concat(name, u.shared.nul, target), rule.Subset))
	}
	return entries
}

// pairEntry is of a link and what it links to. That the link may not allow more than its target does is asked of owners only, as policy has it
// that is compiled elsewhere.
func (u *unit) pairEntry(rule syntax.Rule, link string, pattern dfa.Pattern, subset bool) entry {
	pair := u.fileEntry(rule, link, pattern, permLink, permLink)
	if head := rule.Head(); subset && (head.Owner || !head.Other) {
		pair.perms |= permSubset
	}
	return pair
}

type linkPaths struct{ link, target string }

// linkPaths are the paths of a rule, and those that each alias makes of it: both that it is for change at once.
func (u *unit) linkPaths(rule *syntax.LinkRule) []linkPaths {
	var all []linkPaths
	targets := u.expand(rule.Target)
	for _, link := range u.expand(rule.Link) {
		for _, target := range targets {
			all = append(all, linkPaths{link, target})
			for i := range u.aliases {
				otherLink, ok := applyAlias(&u.aliases[i], link)
				otherTarget, okTarget := applyAlias(&u.aliases[i], target)
				if !ok {
					otherLink = link
				}
				if !okTarget {
					otherTarget = target
				}
				if ok || okTarget {
					all = append(all, linkPaths{otherLink, otherTarget})
				}
			}
		}
	}
	return all
}

// fileEntry is an entry for the halves that the rule is meant for; audited are bits of a half, too.
func (u *unit) fileEntry(rule syntax.Rule, text string, pattern dfa.Pattern, half, audited uint32) entry {
	head := rule.Head()
	one := entry{
		pattern: pattern, rule: rule,
		perms: owned(half, head.Owner, head.Other), deny: head.Deny, quiet: quietly(head),
		prompt: head.Prompt, priority: head.Priority,
	}
	if half&permExec != 0 {
		one.specific = specificityOf(text)
	}
	if head.Audit && !head.Deny || one.quiet {
		one.audit = owned(audited&permBase, head.Owner, head.Other)
	}
	return one
}

// specificity ranks patterns by how much they leave open.
type specificity uint8

// A pattern is open where it has wildcards of unknown length or content, ranged where it has sets like [ab] only, exact otherwise: alternatives are no
// wildcards, each stands for itself.
const (
	open specificity = iota
	ranged
	exact
	specificities
)

func specificityOf(glob string) specificity {
	found := exact
	for at := 0; at < len(glob); at++ {
		switch glob[at] {
		case '\\':
			at++
		case '*', '?':
			return open
		case '[':
			found = ranged
			if strings.HasPrefix(glob[at:], "[^") {
				return open
			}
			for at+1 < len(glob) && glob[at] != ']' {
				at++
			}
		}
	}
	return found
}

// isLiteral reports whether a glob matches one string only.
func isLiteral(glob string) bool {
	_, ok := dfa.LiteralGlob(glob, dfa.PlainGlob)
	return ok
}

// allFiles is what "all" says about files: everything, and of x the inherited one, which gives way to every other rule's.
func (u *unit) allFiles(rule *syntax.AllRule) []entry {
	pattern, ok := u.glob(rule, everyFile, dfa.PathGlob)
	if !ok {
		return nil
	}
	entries := u.appendPath(nil, rule, everyFile, pattern, permBase&^permExec, permBase)
	x := permExec | permInherit | permMap
	if rule.Deny {
		x = permXHalf
	}
	inherited := u.fileEntry(rule, everyFile, pattern, x, x)
	inherited.priority = min(inherited.priority, allExecPriority)
	return append(entries, inherited)
}

// allExecPriority is below the default of rules, as "all" has no say where a rule says how a program is executed.
const allExecPriority = -2
