// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"
	"strings"
)

// mountText is a mount, umount or pivot_root rule.
func (l *policyLine) mountText() (string, bool) {
	word := func(at int) string {
		if isAny(l.parts[at], false) {
			return ""
		}
		return l.parts[at].word()
	}
	switch {
	case l.perms == mountUmount && len(l.parts) == 1:
		return words("umount", word(0)), true
	case l.perms == mountPivotRoot && len(l.parts) == 2:
		old := word(1)
		return words("pivot_root", ifTrue(old != "", "oldroot="+old), word(0)), true
	case l.perms != mountMount || len(l.parts) != 4:
		return "", false
	}
	point, from, kind := word(0), word(1), word(2)
	if kind != "" {
		kind = "fstype=" + kind
	}
	options, remount, ok := mountFlagWords(l.parts[3])
	if !ok {
		return "", false
	}
	keyword := "mount"
	if remount {
		keyword, from = "remount", ""
	}
	switch {
	case remount && point != "":
		return words(keyword, kind, options, point), true
	case point != "":
		return words(keyword, kind, options, from, "->", point), true
	}
	return words(keyword, kind, options, from), true
}

// mountFlagWords are the options of a rule for the flags of a mount. remount is whether the rule is one of that keyword, which has its options by itself.
func mountFlagWords(g glob) (options string, remount, ok bool) {
	if isAny(g, false) {
		return "", false, true
	}
	var exact, optionals uint32
	for _, p := range g {
		if p.repeat == maybe {
			for flag := range byte(32) {
				if p.set.has(flag + 1) {
					optionals |= 1 << flag
				}
			}
			continue
		}
		b, single := p.only()
		switch {
		case !single || p.repeat != once:
			return "", false, false
		case string([]byte{b}) == impossible:
		case b == 0 || b > 32:
			return "", false, false
		default:
			exact |= 1 << (b - 1)
		}
	}
	if exact == flagRemount && optionals == flagsRemount&^flagRemount {
		return "", true, true
	}
	set, ok := optionWords(exact)
	if !ok {
		return "", false, false
	}
	if exact == 0 && optionals == 0 {
		set = []string{"rw"}
	}
	var conditions []string
	if len(set) > 0 {
		conditions = append(conditions, "options="+list(set))
	}
	if optionals != 0 {
		may, ok := optionWords(optionals)
		if !ok {
			return "", false, false
		}
		conditions = append(conditions, "options in ("+strings.Join(may, ",")+")")
	}
	return strings.Join(conditions, " "), false, true
}

// optionWords are options that set flags.
func optionWords(flags uint32) ([]string, bool) {
	known := mountOptions()
	keys := make([]string, 0, len(known))
	for word := range known {
		keys = append(keys, word)
	}
	// Words for several flags come before those for one, long ones before their short forms.
	slices.SortFunc(keys, func(a, b string) int {
		if x, y := ones(known[a].set), ones(known[b].set); x != y {
			return y - x
		}
		if x, y := optionRank(a), optionRank(b); x != y {
			return x - y
		}
		return strings.Compare(a, b)
	})
	var words []string
	left := flags
	for _, word := range keys {
		set := known[word].set
		if set != 0 && set&flags == set && set&left != 0 {
			if set&flagRecursive != 0 && set&left != set {
				continue
			}
			words = append(words, word)
			left &^= set
		}
	}
	slices.Sort(words)
	return words, left == 0
}

// optionRank prefers the words that people use.
func optionRank(word string) int {
	switch {
	case strings.HasPrefix(word, "make-"):
		return 0
	case word == "ro":
		return 1
	case len(word) < 3 || word == "read-only" || word == "verbose":
		return 3
	}
	return 2
}

func ones(flags uint32) int {
	count := 0
	for ; flags != 0; flags &= flags - 1 {
		count++
	}
	return count
}
