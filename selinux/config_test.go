// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"bytes"
	"testing"
)

const debianConfig = `# This file controls the state of SELinux on the system.
# SELINUX= can take one of these three values:
# enforcing - SELinux security policy is enforced.
SELINUX=permissive
# SELINUXTYPE= can take one of these values:
SELINUXTYPE=default

# SETLOCALDEFS= Check local definition changes
SETLOCALDEFS=0
`

func TestConfigIsReadAsLibselinuxDoes(t *testing.T) {
	for text, want := range map[string]Config{
		debianConfig:                            {Permissive, "default"},
		"":                                      {},
		"SELINUX=ENFORCING\nSELINUX=disabled\n": {Enforcing, ""},
		"SELINUX=nonsense\nSELINUX= disabled please":                 {Disabled, ""},
		" SELINUX=enforcing\nselinux=enforcing\n#SELINUX=permissive": {},
		"SELINUXTYPE=a\n  selinuxtype= targeted \r\n":                {"", "targeted"},
		"SELINUXTYPE=default # Debian":                               {"", "default # Debian"},
		"SELINUXTYPE=mls\n# SELINUXTYPE=default":                     {"", "mls"},
	} {
		if got := ParseConfig([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestOnlyTheModeChanges(t *testing.T) {
	for text, want := range map[string]string{
		"SELINUX=permissive\nSELINUXTYPE=x":               "SELINUX=enforcing\nSELINUXTYPE=x",
		"# a\nSELINUX=Disabled yes\r\nSELINUX=disabled\n": "# a\nSELINUX=enforcing\r\nSELINUX=disabled\n",
		"SELINUX=what\nSELINUX=permissive":                "SELINUX=what\nSELINUX=enforcing",
		"":                                                "SELINUX=enforcing\n",
		"SELINUXTYPE=x":                                   "SELINUXTYPE=x\nSELINUX=enforcing\n",
	} {
		if got := SetMode([]byte(text), Enforcing); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := SetMode(SetMode([]byte(debianConfig), Disabled), Permissive); string(got) != debianConfig {
		t.Errorf("there and back: %q", got)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(debianConfig))
	f.Add([]byte("SELINUX=enforcing"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := ParseConfig(text)
		for _, mode := range []Mode{Enforcing, Permissive, Disabled} {
			changed := SetMode(text, mode)
			if got := ParseConfig(changed); got.Mode != mode || got.Type != before.Type {
				t.Fatalf("%q set to %s is %q: %+v, was %+v", text, mode, changed, got, before)
			}
			if before.Mode == mode && !bytes.Equal(SetMode(changed, mode), changed) {
				t.Fatalf("%q: %q is not the end", text, changed)
			}
		}
	})
}

func TestModesAreThreeWords(t *testing.T) {
	for text, good := range map[string]bool{"enforcing": true, "permissive": true, "disabled": true, "Enforcing": false, "1": false, "": false} {
		if _, err := ParseMode(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
