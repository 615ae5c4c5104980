// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// What audit2why says of denials under Debian's policy, in its words.
func TestReasonsAreAudit2whys(t *testing.T) {
	path, policy := debian(t)
	a := newAsker(policy, 5)
	process, err := policy.Class("process")
	if err != nil {
		t.Fatal(err)
	}
	transition, err := policy.Permission(process, "transition")
	if err != nil {
		t.Fatal(err)
	}
	var transitions []policydb.Rule
	for _, rule := range policy.Rules {
		if uint32(rule.Class) == process.Value && rule.Kind == policydb.RuleAllow && rule.Data&transition != 0 {
			transitions = append(transitions, rule)
		}
	}
	var questions, ours []string
	for len(questions) < 600 {
		rules := policy.Rules
		switch condition := policy.Conditions[a.IntN(len(policy.Conditions))]; a.IntN(4) {
		case 0:
			rules = condition.True
		case 1:
			rules = transitions
		}
		if question, answer, ok := whyQuestion(a, rules); ok {
			questions, ours = append(questions, question), append(ours, answer)
		}
	}
	command := exec.Command("/usr/bin/python3", filepath.Join("testdata", "why.py"), path) // Debian's own, which python3-selinux is for
	command.Stdin = strings.NewReader(strings.Join(questions, "\n") + "\n")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("audit2why: %v (apt-get install python3-selinux)", err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	counts := map[string]int{}
	for i, question := range questions {
		reason, _, _ := strings.Cut(answers[i], " ")
		counts[reason]++
		if answers[i] != ours[i] {
			t.Errorf("%s: audit2why says %s, ours is %s", question, answers[i], ours[i])
		}
	}
	t.Logf("%v", counts)
	for reason, least := range map[string]int{"ALLOW": 50, "TERULE": 50, "BOOLEAN": 10, "CONSTRAINT": 10, "RBAC": 5} {
		if counts[reason] < least {
			t.Errorf("only %d questions are about %s", counts[reason], reason)
		}
	}
}

// whyQuestion is a question about one permission that one of the rules gives, and our answer.
func whyQuestion(a *asker, rules []policydb.Rule) (question, answer string, ok bool) {
	if len(rules) == 0 {
		return "", "", false
	}
	rule := rules[a.IntN(len(rules))]
	source, target := a.pick(rule.Source), a.pick(rule.Target)
	from, err := a.policy.ParseContext(source)
	if err != nil {
		return "", "", false
	}
	to, err := a.policy.ParseContext(target)
	if err != nil {
		return "", "", false
	}
	class := &a.policy.Classes.Entries[slices.IndexFunc(a.policy.Classes.Entries, func(c policydb.Class) bool { return c.Value == uint32(rule.Class) })]
	names := a.policy.PermissionNames(class, rule.Data)
	if len(names) == 0 || rule.Kind&policydb.RuleAllow == 0 {
		return "", "", false
	}
	permission := names[a.IntN(len(names))]
	bit, err := a.policy.Permission(class, permission)
	if err != nil {
		return "", "", false
	}
	x := a.policy.Explain(from, to, class.Value, bit)
	return fmt.Sprintf("%s %s %s %s", source, target, class.Name, permission), audit2whys(a.policy, &x), true
}

// audit2whys puts an explanation in the words of audit2why.
func audit2whys(policy *policydb.Policy, x *policydb.Explanation) string {
	switch x.Cause {
	case policydb.ByConstraint:
		return "CONSTRAINT"
	case policydb.ByRole:
		return "RBAC"
	case policydb.ByBounds:
		return "BOUNDS"
	}
	if x.Allowed {
		return "ALLOW"
	}
	var settings []string
	for _, rule := range x.Off {
		for _, setting := range policy.Settings(rule) {
			settings = append(settings, fmt.Sprintf("%s=%t", setting.Boolean, setting.Value))
		}
	}
	slices.Sort(settings)
	switch {
	case len(settings) > 0 && x.Constraint == nil && !x.Role:
		return "BOOLEAN " + strings.Join(slices.Compact(settings), " ")
	case x.Silent:
		return "DONTAUDIT"
	}
	return "TERULE"
}
