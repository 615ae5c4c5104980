// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// The patterns are those that apparmor_parser 3.0.8 and 4.1.0 show with -D rule-exprs for the same text.
func TestVariablesBecomeThePatternsOfTheReference(t *testing.T) {
	const preamble = "@{HOME}=/home/*/ /root/\n@{A}=a b\n@{ROOT}=/root/\n@{HD}=/home/\n@{H}=@{HD}/*/ /root/\n@{K}=@{HD}@{A}@{HD}\n@{E}=\"\"\n@{N}=@{HOME}x/ @{A}\n@{Z}=/*/ //\n"
	for name, row := range map[string][2]string{
		"TrailingSlashesOfSeveralValuesAreTrimmed": {"@{HOME}/Mail/", "{/home/*,/root}/Mail/"},
		"TrimmedAtTheLiteralSeamOnly":              {"@{HOME}@{HOME}/f", "{/home/*/,/root/}{/home/*,/root}/f"},
		"LeadingSlashesAreTrimmed":                 {"/q/@{HOME}", "/q/{home/*/,root/}"},
		"NoSlashNoTrimming":                        {"/x@{HOME}/m", "/x{/home/*,/root}/m"},
		"DefinitionsAreCrossProducts":              {"/p/@{N}/x", "/p/{home/*/x,root/x,a,b}/x"},
		"DefinitionsCollapseAtTheEnd":              {"@{H}/g", "{/home/*,/root}/g"},
		"AllSlashesAtTheSeam":                      {"/@{Z}b", "/{*/,}b"},
		"OneValueIsText":                           {"@{ROOT}/Mail//b//", "/root/Mail/b/"},
		"CrossProductAroundAnother":                {"@{K}/k", "{/home/a/home,/home/b/home}/k"},
		"TwoSlashesAtTheBeginningStay":             {"/@{ROOT}/l", "//root/l"},
		"EmptyValue":                               {"/@{E}/e", "//e"},
		"WithinAlternations":                       {"/{,/@{ROOT},@{HOME}}/g", "/{,/root/,{/home/*/,/root/}}/g"},
		"EscapedIsText":                            {`/a\@{A,b}`, `/a\@{A,b}`},
		"NotAName":                                 {"/a@b", "/a@b"},
		"ProfileNameIsEscaped":                     {"/@{profile_name}/x", `/p\*/x`},
	} {
		policy, err := syntax.Parse("t", preamble+"profile \"p*\" {\n "+row[0]+" r,\n}\n", syntax.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		profile := policy.Profiles[0]
		pattern, err := policy.Expander(profile).Pattern(*profile.Rules[0].(*syntax.FileRule).Path)
		if got := syntax.CollapseSlashes(pattern); err != nil || got != row[1] {
			t.Errorf("%s: %s is %s, %v, wanted %s", name, row[0], pattern, err, row[1])
		}
	}
}

func TestExpansionFailsWithinLimits(t *testing.T) {
	for name, row := range map[string][2]string{
		"Undefined":      {"", "the variable @{X} is not set"},
		"ItsOwnValue":    {"@{X}=a@{X}\n", "@{X} is defined by itself"},
		"ARoundOfThree":  {"@{X}=@{Y}\n@{Y}=@{Z}\n@{Z}=@{X}\n", "is defined by itself"},
		"CrossExplosion": {"@{A}=a b c d e f g h\n@{B}=@{A}@{A}@{A}@{A}\n@{X}=@{B}@{B}@{B}\n", "more than 65536 strings"},
	} {
		policy, _ := syntax.Parse("t", row[0]+"profile p { }\n", syntax.Options{})
		_, err := policy.Expander(policy.Profiles[0]).Pattern(syntax.Word{Text: "/@{X}"})
		if err == nil || !strings.Contains(err.Error(), row[1]) {
			t.Errorf("%s: %v, wanted %q", name, err, row[1])
		}
	}
}
