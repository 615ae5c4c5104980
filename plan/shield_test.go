// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/kernel"
)

func TestShieldsAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []Shield
	}{
		"EncryptedUnlessSaid": {"/data=/srv/v", []Shield{{Source: "/srv/v", Destination: "/data", Policy: "encrypted"}}},
		"PolicyByName":        {"/data=/srv/v:authenticated", []Shield{{Source: "/srv/v", Destination: "/data", Policy: "authenticated"}}},
		"PathsAreCleaned":     {"/data/=/srv//v/", []Shield{{Source: "/srv/v", Destination: "/data", Policy: "encrypted"}}},
		"KeysOfEach": {"/a=/v1,key-file=/k1,identity=/k2; /b=/v2:ephemeral", []Shield{{Source: "/v1", Destination: "/a", Policy: "encrypted", Keys: []string{"--key-file=/k1", "--identity=/k2"}},
			{Source: "/v2", Destination: "/b", Policy: "ephemeral"}}},
	} {
		got, err := ParseShields(test.text)
		if err != nil || !slices.EqualFunc(got, test.want, func(a, b Shield) bool {
			return a.Source == b.Source && a.Destination == b.Destination && a.Policy == b.Policy && slices.Equal(a.Keys, b.Keys)
		}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestShieldsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"NoDirectory":               "/data",
		"TheRootItself":             "/=/srv/v",
		"DotsInTheDestination":      "/data/../etc=/srv/v",
		"RelativeDestination":       "data=/srv/v",
		"RelativeDirectory":         "/data=v",
		"UnknownPolicy":             "/data=/srv/v:readable",
		"EmptyPolicy":               "/data=/srv/v:",
		"KeyItself":                 "/data=/srv/v,key=abc",
		"RelativeKeyFile":           "/data=/srv/v,key-file=k",
		"OptionInsteadOfKey":        "/data=/srv/v,pid=1",
		"TwoMountsOfOneVolume":      "/a=/srv/v;/b=/srv/v",
		"OneHidesTheOther":          "/a/b=/srv/v;/a=/srv/w",
		"TwoAtOnePlace":             "/a=/srv/v;/a=/srv/w",
		"NothingAfterTheSemicolon":  "/a=/srv/v;",
		"PassphraseOnTheTerminal":   "/a=/srv/v,passphrase=",
		"NoAnnotationOfSpacesAlone": " ",
	} {
		if got, err := ParseShields(text); err == nil {
			t.Errorf("%s: %q is taken for %+v", name, text, got)
		}
	}
}

func TestShieldsAreInThePlan(t *testing.T) {
	made, err := Make(Request{Shields: []Shield{{Source: "/srv/v", Destination: "/data", Policy: "encrypted"}}}, kernel.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(made.Rows(), func(row Row) bool {
		return row.Layer == "shield" && strings.Contains(row.Detail, "/srv/v on /data (encrypted)")
	}) {
		t.Errorf("rows: %v", made.Rows())
	}
}

func FuzzParseShields(f *testing.F) {
	f.Add("/a=/v1,key-file=/k1;/b=/v2:ephemeral")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseShields(text)
		for _, shield := range list {
			if err == nil && (shield.Destination == "/" || !strings.HasPrefix(shield.Destination, "/") || !strings.HasPrefix(shield.Source, "/")) {
				t.Errorf("%q gives %+v", text, shield)
			}
		}
	})
}
