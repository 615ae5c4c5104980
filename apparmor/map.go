// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// digest names a stream in a Map.
func digest(stream []byte) string {
	sum := sha256.Sum256(stream)
	return hex.EncodeToString(sum[:])
}

// mapRules are the rules of a profile, in their order, and the variables that they use.
func mapRules(policy *syntax.Policy, profile *syntax.Profile) ProfileMap {
	mapped := ProfileMap{Position: profile.Position, Rules: make([]MappedRule, len(profile.Rules))}
	for i, rule := range profile.Rules {
		mapped.Rules[i] = MappedRule{Position: rule.Head().Position, Text: syntax.FormatRule(rule)}
		mapped.mapVariables(policy, profile, mapped.Rules[i].Text)
	}
	return mapped
}

// mapVariables adds the variables of a text, and those of their words.
func (m *ProfileMap) mapVariables(policy *syntax.Policy, profile *syntax.Profile, text string) {
	for {
		_, rest, ok := strings.Cut(text, "@{")
		if !ok {
			return
		}
		name, rest, ok := strings.Cut(rest, "}")
		text = rest
		variable := policy.Variables[name]
		for p := profile; p != nil; p = p.Parent {
			if own := p.Variables[name]; own != nil {
				variable = own
				break
			}
		}
		if _, known := m.Variables[name]; !ok || known || variable == nil {
			continue
		}
		if m.Variables == nil {
			m.Variables = map[string][]string{}
		}
		values := make([]string, len(variable.Values))
		for i, word := range variable.Values {
			values[i] = word.String()
		}
		m.Variables[name] = values
		for _, value := range values {
			m.mapVariables(policy, profile, value)
		}
	}
}
