// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"
	"testing"
)

func TestOptimize(t *testing.T) {
	const attributes = `(typeattribute at)(typeattributeset at (a b))(typeattribute more)(typeattributeset more (a b c))(expandtypeattribute (at more) false)(boolean x true)`
	for name, test := range map[string]struct{ text, want, missing string }{
		"ARuleOfATypeIsCoveredByItsAttributes":      {text: `(allow at c (file (read)))(allow a c (file (read)))`, want: "(allow at c (file (read)))", missing: "(allow a c"},
		"ARuleOfAnAttributeIsCoveredByAWiderOne":    {text: `(allow more c (file (read)))(allow at c (file (read)))`, want: "(allow more c (file (read)))", missing: "(allow at c"},
		"WhatIsCoveredInPartKeepsTheRest":           {text: `(allow at c (file (read)))(allow a c (file (read write)))`, want: "(allow a c (file (write)))"},
		"WhatIsNotAuditedIsCoveredToo":              {text: `(dontaudit at c (file (read)))(dontaudit a c (file (read write)))`, want: "(dontaudit a c (file (write)))"},
		"AnotherKindDoesNotCover":                   {text: `(auditallow at c (file (read)))(allow a c (file (read)))`, want: "(allow a c (file (read)))"},
		"AConditionalRuleIsCoveredByOneThatHolds":   {text: `(allow at c (file (read)))(booleanif x (true (allow a c (file (read)))))`, missing: "booleanif"},
		"AConditionalRuleCoversNoneThatHoldsAlways": {text: `(booleanif x (true (allow at c (file (read)))))(allow a c (file (read)))`, want: "(allow a c (file (read)))"},
		"ConditionalRulesCoverThoseOfTheirBranch":   {text: `(booleanif x (true (allow at c (file (read)))(allow a c (file (read)))) (false (allow b c (file (read)))))`, want: "(allow b c (file (read)))", missing: "(allow a c"},
		"WholeDriversCoverTheirCommands":            {text: `(allowx at c (ioctl file (range 0x1200 0x12ff)))(allowx a c (ioctl file (0x1203)))`, want: "(allowx at c", missing: "(allowx a c"},
		"CommandsAreCoveredOneByOne":                {text: `(allowx at c (ioctl file (0x1201)))(allowx a c (ioctl file (0x1201 0x1203)))`, want: "(allowx a c (ioctl file ((0x1203))))"},
	} {
		text := printed(t, compiled(t, small+attributes+test.text, Options{Optimize: true}).Policy)
		if !strings.Contains(text, test.want) || test.missing != "" && strings.Contains(text, test.missing) {
			t.Errorf("%s: with %q and without %q expected\n%s", name, test.want, test.missing, text)
		}
	}
}
