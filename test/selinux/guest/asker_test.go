// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// variants is how many contexts of one type are asked about: the kernel keeps each in its table for good.
const variants = 4

// subject is a context as text and as policydb reads it: nil where it does not take it.
type subject struct {
	text    string
	context *policydb.Context
}

// asker makes up questions that are about something: most pairs of types have no rule.
type asker struct {
	*rand.Rand
	policy  *policydb.Policy
	rules   []*policydb.Rule // about access
	types   []*policydb.Rule // about the types of new objects
	holders [][]uint32       // types by attribute (or type) value
	names   []string         // of types by value
	roles   [][]string       // by type value: object_r and those that go with it
	made    [][]subject      // contexts by type value
	files   []string         // names that file name transitions ask for
}

func newAsker(policy *policydb.Policy, random *rand.Rand) *asker {
	count := policy.Types.Primary + 1
	a := &asker{Rand: random, policy: policy, holders: make([][]uint32, count), names: make([]string, count), roles: make([][]string, count), made: make([][]subject, count)}
	for _, entry := range policy.Types.Entries {
		if entry.Properties&policydb.TypePrimary != 0 && entry.Properties&policydb.TypeAttribute == 0 {
			a.names[entry.Value] = entry.Name
			a.roles[entry.Value] = []string{"object_r"}
		}
	}
	for i, attributes := range policy.Attributes {
		for attribute := range attributes.All() {
			if a.names[i+1] == "" {
				continue // an attribute
			}
			a.holders[attribute+1] = append(a.holders[attribute+1], uint32(i+1))
		}
	}
	for _, role := range policy.Roles.Entries {
		for typ := range role.Types.All() {
			if role.Name != "object_r" {
				a.roles[typ+1] = append(a.roles[typ+1], role.Name)
			}
		}
	}
	for i := range policy.Filenames {
		a.files = append(a.files, policy.Filenames[i].Name)
	}
	a.sortRules(policy.Rules)
	for i := range policy.Conditions {
		a.sortRules(policy.Conditions[i].True)
		a.sortRules(policy.Conditions[i].False)
	}
	return a
}

func (a *asker) sortRules(rules []policydb.Rule) {
	for i := range rules {
		if rules[i].Kind&(policydb.RuleTransition|policydb.RuleMember|policydb.RuleChange) != 0 {
			a.types = append(a.types, &rules[i])
		} else {
			a.rules = append(a.rules, &rules[i])
		}
	}
}

// among picks one of a list.
func among[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }

// pick is a context of a type that has the attribute.
func (a *asker) pick(attribute uint32) subject {
	types := a.holders[attribute]
	for len(types) == 0 { // an attribute that no type has
		types = among(a.Rand, a.holders)
	}
	return a.ofType(among(a.Rand, types))
}

// ofType is a context of the type: any user, a role that goes with it (or rarely not), any range.
func (a *asker) ofType(typ uint32) subject {
	if len(a.made[typ]) == variants {
		return among(a.Rand, a.made[typ])
	}
	role := among(a.Rand, a.roles[typ])
	if a.IntN(20) == 0 {
		role = among(a.Rand, a.policy.Roles.Entries).Name
	}
	text := among(a.Rand, a.policy.Users.Entries).Name + ":" + role + ":" + a.names[typ]
	if a.policy.MLS {
		text += ":" + a.levels()
	}
	made := subject{text: text}
	if context, err := a.policy.ParseContext(text); err == nil {
		made.context = context
	}
	// Contexts that are not valid are asked about, not kept: questions about them ask little.
	if made.context != nil || a.IntN(20) == 0 {
		a.made[typ] = append(a.made[typ], made)
	}
	return made
}

// levels is a range in any spelling, valid or not.
func (a *asker) levels() string {
	low := a.level()
	switch a.IntN(5) {
	case 0:
		return low
	case 1:
		return low + "-" + a.level()
	}
	// One that is likely to be valid: everything below is in it.
	return fmt.Sprintf("%s-%s:c0.c%d", low, a.sensitivity(), a.policy.Categories.Primary-1)
}

func (a *asker) sensitivity() string {
	entries := a.policy.Levels.Entries
	return among(a.Rand, entries).Name
}

func (a *asker) level() string {
	count := int(a.policy.Categories.Primary)
	first, second := a.IntN(count), a.IntN(count)
	if a.IntN(2) == 0 {
		first, second = first%4, second%4 // so that they meet
	}
	return a.sensitivity() + []string{"", "", fmt.Sprintf(":c%d", first), fmt.Sprintf(":c%d,c%d", first, second), fmt.Sprintf(":c%d.c%d", first, second),
		fmt.Sprintf(":c%d,c0.c%d", second, first)}[a.IntN(6)]
}

// object picks what a question is about, after a rule.
func (a *asker) object(rules []*policydb.Rule) (source, target subject, class uint32) {
	rule := among(a.Rand, rules)
	source, target, class = a.pick(uint32(rule.Source)), a.pick(uint32(rule.Target)), uint32(rule.Class)
	if a.IntN(8) == 0 {
		class = a.Uint32N(a.policy.Classes.Primary + 2) // 0 and one too many are asked, too
	}
	return source, target, class
}

// file is the name of a new object, or rarely none.
func (a *asker) file() string {
	if len(a.files) == 0 || a.IntN(8) == 0 {
		return among(a.Rand, []string{"", "nothing", "a file"})
	}
	return among(a.Rand, a.files)
}

// escape writes a name as /sys/fs/selinux/create reads it.
func escape(name string) string {
	var text strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c <= ' ' || c == '%' || c == '+' || c > '~':
			fmt.Fprintf(&text, "%%%02x", c)
		default:
			text.WriteByte(c)
		}
	}
	return text.String()
}
