// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const plainTranslations = `# levels and ranges
s0=SystemLow
 s0-s0:c0.c1023 = SystemLow-SystemHigh	# the machine
s0:c0.c1023=SystemHigh
s0:c1,c2=Payroll
s0:c1,c2=Wages
s0:c3=Secret:A
`

const modifiedTranslations = `Domain=Example
s0=SystemLow
Base=Sensitivity Levels
s1=Unclassified
s2:c200.c210=Restricted
s2:c200.c210=R
ModifierGroup=Releasable
Prefix=REL
Prefix=Releasable to
Whitespace=, /
Join=/
Default=c200.c210
~c201=AUS
~c202=GBR
~c201,~c202=AUS AND GBR
ModifierGroup=Pipes
Suffix=Pipes Only
c101=Iron
c102=Copper
# copper is for level 2, and iron goes with it
s1!c102
c103>c101
`

func translations(t testing.TB, text string) *Translations {
	t.Helper()
	made, err := ParseTranslations(TranslationFile{"setrans.conf", []byte(text)}, func(string) ([]TranslationFile, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTranslations(t *testing.T) {
	for name, test := range map[string]struct{ config, raw, translated string }{
		"ALevel":                    {plainTranslations, "s0", "SystemLow"},
		"ARange":                    {plainTranslations, "s0-s0:c0.c1023", "SystemLow-SystemHigh"},
		"TheFirstNameIsTheOne":      {plainTranslations, "s0:c1,c2", "Payroll"},
		"ANameWithAColon":           {plainTranslations, "s0:c3", "Secret:A"},
		"TheLevelsOfARange":         {plainTranslations, "s0-s0:c1,c2", "SystemLow-Payroll"},
		"ALevelWithoutName":         {plainTranslations, "s0:c9", "s0:c9"},
		"ARangeOfWhichOneHasAName":  {plainTranslations, "s0-s0:c9", "SystemLow-s0:c9"},
		"ABaseClassification":       {modifiedTranslations, "s2:c200.c210", "Restricted"},
		"AModifierTakesAway":        {modifiedTranslations, "s2:c200,c202.c210", "Restricted REL AUS"},
		"TheNearestModifier":        {modifiedTranslations, "s2:c200,c203.c210", "Restricted REL AUS AND GBR"},
		"AModifierAdds":             {modifiedTranslations, "s2:c101,c200.c210", "Restricted Iron Pipes Only"},
		"SeveralGroups":             {modifiedTranslations, "s2:c101,c102,c200,c201,c203.c210", "Restricted REL GBR Iron Copper Pipes Only"},
		"Modifiers of a range":      {modifiedTranslations, "s1-s2:c101,c200.c210", "Unclassified-Restricted Iron Pipes Only"},
		"AConstraintLeavesItRaw":    {modifiedTranslations, "s1:c102", "s1:c102"},
		"AConstraintThatIsFollowed": {modifiedTranslations, "s2:c9,c200.c210", "s2:c9,c200.c210"},
	} {
		known, head := translations(t, test.config), "user_u:user_r:user_t:"
		if got := known.Translate(head + test.raw); got != head+test.translated {
			t.Errorf("%s: %s is %s, want %s", name, test.raw, got, test.translated)
		}
		if got := known.Raw(head + test.translated); got != head+test.raw {
			t.Errorf("%s: %s is %s raw, want %s", name, test.translated, got, test.raw)
		}
	}
}

func TestNamesThatPeopleWrite(t *testing.T) {
	known := translations(t, modifiedTranslations)
	for text, want := range map[string]string{
		"R REL AUS":                      "s2:c200,c202.c210",
		"Restricted Releasable to GBR":   "s2:c200,c201,c203.c210",
		"Restricted rel AUS, GBR":        "s2:c200,c203.c210",
		"R  Copper  Iron Pipes Only":     "s2:c101,c102,c200.c210",
		"restricted":                     "restricted", // is to be written as it is
		"R REL aus":                      "R REL aus",
		"R REL":                          "R REL",
		"R Iron":                         "R Iron", // without the suffix
		"R and more":                     "R and more",
		"Unclassified Copper Pipes Only": "Unclassified Copper Pipes Only", // violates a constraint
	} {
		if got := strings.TrimPrefix(known.Raw("u:r:t:"+text), "u:r:t:"); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := known.Raw("u:r:t"); got != "u:r:t" {
		t.Errorf("without a range: %s", got)
	}
	if got := translations(t, "Domain=A\ns0=One\nDomain=B\ns1=Two\n").Translate("u:r:t:s1"); got != "u:r:t:Two" {
		t.Errorf("of the second domain: %s", got)
	}
}

func TestBadTranslations(t *testing.T) {
	for text, want := range map[string]string{
		"s0=A\nnothing\n":              `setrans.conf:2: "nothing" has none of = ! >`,
		"s0=\n":                        "nothing on one side of =",
		"Join=/\n":                     "Join outside of a ModifierGroup",
		"Base=x\nfoo=A\n":              "setrans.conf:2: level \"foo\"",
		"ModifierGroup=x\nc1=a-b\n":    `modifier "a-b" has a -`,
		"ModifierGroup=x\nc9999=a\n":   "category",
		"ModifierGroup=x\nDefault=q\n": "categories \"q\"",
		"c1!q\n":                       "categories \"q\"",
		"s0\x00!c1\n":                  "level",
		"s0=A\nInclude=self\n":         "deeper than",
		"s0=A\nInclude=nowhere\n":      "setrans.conf:2: Include=nowhere: no such",
		"Include=bad\n":                "bad.conf:3: ",
	} {
		var include func(string) ([]TranslationFile, error)
		include = func(pattern string) ([]TranslationFile, error) {
			switch pattern {
			case "self":
				return []TranslationFile{{"setrans.conf", []byte(text)}}, nil
			case "bad":
				return []TranslationFile{{"bad.conf", []byte("s0=A\n\nwhat\n")}}, nil
			}
			return nil, fmt.Errorf("no such file")
		}
		var bad *TranslationError
		if _, err := ParseTranslations(TranslationFile{"setrans.conf", []byte(text)}, include); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestTranslationsIncludeFiles(t *testing.T) {
	directory := t.TempDir()
	for name, text := range map[string]string{"setrans.conf": "Include=" + directory + "/d/*.conf\ns1=Two\n", "d/a.conf": "s0=One\n", "d/b.conf": "s2=Three\n", "d/c.other": "what\n"} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known, err := LoadTranslations(filepath.Join(directory, "setrans.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if got := known.Translate("u:r:t:s0-s2"); got != "u:r:t:One-Three" {
		t.Errorf("%s", got)
	}
	if _, err := LoadTranslations(filepath.Join(directory, "nothing")); err == nil {
		t.Error("a file that is not there")
	}
}

func FuzzTranslations(f *testing.F) {
	f.Add([]byte(plainTranslations), "u:r:t:s0-s0:c1,c2", "u:r:t:SystemLow-Wages")
	f.Add([]byte(modifiedTranslations), "u:r:t:s2:c200,c202.c210", "u:r:t:R REL AUS/GBR")
	f.Fuzz(func(t *testing.T, text []byte, raw, name string) {
		known, err := ParseTranslations(TranslationFile{"setrans.conf", text}, func(string) ([]TranslationFile, error) { return []TranslationFile{{"setrans.conf", text}}, nil })
		if err != nil {
			return
		}
		head := strings.SplitN(raw, ":", 4)
		for _, made := range []string{known.Translate(raw), known.Raw(name)} {
			_ = known.Raw(made)
		}
		if got := known.Translate(raw); len(head) > 3 && !strings.HasPrefix(got, strings.Join(head[:3], ":")+":") {
			t.Fatalf("%q became %q", raw, got)
		}
	})
}
