// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// digest names a stream in a Map.
func digest(stream []byte) string {
	sum := sha256.Sum256(stream)
	return hex.EncodeToString(sum[:])
}

// mapRules are the rules of a profile, in their order.
func mapRules(profile *syntax.Profile) ProfileMap {
	rules := make([]MappedRule, len(profile.Rules))
	for i, rule := range profile.Rules {
		rules[i] = MappedRule{Position: rule.Head().Position, Text: syntax.FormatRule(rule)}
	}
	return ProfileMap{Position: profile.Position, Rules: rules}
}
