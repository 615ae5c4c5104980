// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// sediffSections are the heads of sediff's sections, by our kinds.
var sediffSections = map[string]string{
	"Commons": "common", "Classes": "class", "Booleans": "bool", "Roles": "role", "Types": "type", "Type Attributes": "attribute", "Users": "user", "Categories": "category",
	"Sensitivities": "sensitivity", "Levels": "level", "Allow Rules": "allow", "Auditallow Rules": "auditallow", "Dontaudit Rules": "dontaudit", "Allowxperm Rules": "allowxperm",
	"Auditallowxperm Rules": "auditallowxperm", "Dontauditxperm Rules": "dontauditxperm", "Type_transition Rules": "type_trans", "Type_change Rules": "type_change",
	"Type_member Rules": "type_member", "Role allow Rules": "role_allow", "Role_transition Rules": "role_trans", "Range_transition Rules": "range_trans",
	"Constraints": "constrain", "MLS Constraints": "mlsconstrain", "Validatetrans": "validatetrans", "MLS Validatetrans": "mlsvalidatetrans", "Initial SIDs": "initialsid",
	"Fs_use": "fs_use", "Genfscons": "genfscon", "Netifcons": "netifcon", "Nodecons": "nodecon", "Portcons": "portcon", "Policy Capabilities": "polcap", "Defaults": "default",
	"Typebounds": "typebounds", "Policy Properties": "property", "Ibpkeycons": "ibpkeycon", "Ibendportcons": "ibendportcon",
}

var (
	sediffHead    = regexp.MustCompile(`^([A-Z][A-Za-z_ ]*) \(\d+ `)
	sediffEntry   = regexp.MustCompile(`^      ([+*-]) (.*)`)
	sediffDetail  = regexp.MustCompile(`^          +([+-]) (.*)`)
	sediffSummary = regexp.MustCompile(` \((\d+ (Added|Removed)|Modified|Added permissive|Removed permissive).*\)$`)
	bracketed     = regexp.MustCompile(`([+-])\[([^]]*)\]`)
)

// Sediff reads what sediff(1) prints into lines of one form, so that they can be compared with OurLines: kind, sign, words in the order of the alphabet.
func Sediff(out string) []string {
	var lines []string
	var kind, sign, text string
	var details []string
	end := func() {
		if text != "" {
			lines = append(lines, plainLine(kind, sign, text, details))
		}
		text, details = "", nil
	}
	for line := range strings.SplitSeq(out, "\n") {
		if found := sediffHead.FindStringSubmatch(line); found != nil {
			end()
			kind = sediffSections[found[1]]
		} else if found := sediffEntry.FindStringSubmatch(line); found != nil {
			end()
			sign, text = found[1], found[2]
			if strings.Contains(text, "Added permissive") {
				details = append(details, "+true", "-false")
			} else if strings.Contains(text, "Removed permissive") {
				details = append(details, "+false", "-true")
			}
			text = sediffSummary.ReplaceAllString(text, "")
		} else if found := sediffDetail.FindStringSubmatch(line); found != nil {
			details = append(details, found[1]+found[2])
		}
	}
	end()
	slices.Sort(lines)
	return lines
}

// OurLines is a difference of Diff in the form of Sediff's lines.
func OurLines(one policydb.Difference) string {
	var details []string
	for _, detail := range one.Details {
		word := detail[2:]
		if _, last, two := strings.Cut(word, " "); two && one.Kind != "netifcon" {
			word = last // its property comes before
		}
		details = append(details, detail[:1]+word)
	}
	return plainLine(one.Kind, string(one.Sign), one.Text, details)
}

// plainLine leaves the order of words and their separators out.
func plainLine(kind, sign, text string, details []string) string {
	text = strings.NewReplacer(" - ", "-", "low_high", "low-high", "True", "true", "False", "false").Replace(bracketed.ReplaceAllString(text, "$1$2"))
	for _, detail := range details {
		text += " " + strings.NewReplacer(" - ", "-", "c0,c1", "c0.c1", "True", "true", "False", "false").Replace(detail) // a run of two has a point in setools
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ;{}()", r) })
	words = slices.DeleteFunc(words, func(word string) bool {
		return word == "sid" || word == "netifcon" || word == "]" || sign == "*" && strings.HasPrefix(word, "]:") // sediff leaves the branch of modified rules out
	})
	if kind == "netifcon" && sign == "*" {
		words = words[:min(1, len(words))] // sediff tells either of the contexts, ours both
	}
	slices.Sort(words)
	return kind + " " + sign + " " + strings.Join(slices.Compact(words), " ")
}
