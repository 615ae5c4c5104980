// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// rules parses the body of a profile.
func rules(t *testing.T, preamble, body string) []string {
	t.Helper()
	policy, err := syntax.Parse("t", preamble+"profile t {\n"+body+"\n}\n", syntax.Options{})
	if err != nil {
		t.Fatalf("%v\nin %s", err, body)
	}
	var all []string
	for _, rule := range policy.Profiles[0].Rules {
		all = append(all, syntax.FormatRule(rule))
	}
	return all
}

// The modes that are the same here are the same bits in what apparmor_parser 3.0.8 compiles.
func TestExecModes(t *testing.T) {
	for letters, want := range map[string]syntax.Exec{
		"ix":           {Mode: syntax.ExecInherit},
		"iX":           {Mode: syntax.ExecInherit},
		"Ix":           {Mode: syntax.ExecInherit},
		"ux":           {Mode: syntax.ExecUnconfined},
		"Ux":           {Mode: syntax.ExecUnconfined, Scrub: true},
		"px":           {Mode: syntax.ExecProfile},
		"PX":           {Mode: syntax.ExecProfile, Scrub: true},
		"cx":           {Mode: syntax.ExecChild},
		"Cx":           {Mode: syntax.ExecChild, Scrub: true},
		"pix":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecInherit},
		"pIx":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecInherit},
		"Pix":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecInherit, Scrub: true},
		"cIx":          {Mode: syntax.ExecChild, Fallback: syntax.ExecInherit},
		"pUx":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecUnconfined},
		"Pux":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecUnconfined, Scrub: true},
		"PUx":          {Mode: syntax.ExecProfile, Fallback: syntax.ExecUnconfined, Scrub: true},
		"CUx":          {Mode: syntax.ExecChild, Fallback: syntax.ExecUnconfined, Scrub: true},
		"rpxpxpx":      {Mode: syntax.ExecProfile},
		"safe px":      {Mode: syntax.ExecProfile, Scrub: true},
		"unsafe Px":    {Mode: syntax.ExecProfile},
		"unsafe PUx":   {Mode: syntax.ExecProfile, Fallback: syntax.ExecUnconfined},
		"safe ux":      {Mode: syntax.ExecUnconfined, Scrub: true},
		"unsafe ix":    {Mode: syntax.ExecInherit},
		"safe ix":      {Mode: syntax.ExecInherit},
		"unsafe Cx":    {Mode: syntax.ExecChild},
		"safe cix":     {Mode: syntax.ExecChild, Fallback: syntax.ExecInherit, Scrub: true},
		"mrwklix":      {Mode: syntax.ExecInherit},
		"file Px":      {Mode: syntax.ExecProfile, Scrub: true},
		"file safe px": {Mode: syntax.ExecProfile, Scrub: true},
	} {
		policy, err := syntax.Parse("t", "profile t { "+letters+" /a, }", syntax.Options{})
		if err != nil {
			t.Errorf("%s: %v", letters, err)
			continue
		}
		if got := policy.Profiles[0].Rules[0].(*syntax.FileRule).Exec; got != want {
			t.Errorf("%s: %+v, wanted %+v", letters, got, want)
		}
	}
}

func TestRulesInTheirCanonicalForm(t *testing.T) {
	for text, want := range map[string]string{
		"rw /a,":                              "/a rw,",
		"/a wr,":                              "/a rw,",
		"file /a r,":                          "/a r,",
		"unsafe /a Px -> b,":                  "/a px -> b,",
		"/a,b r,":                             "/a,b r,",
		`/a\ b r,`:                            `/a\ b r,`,
		`"/a b"r,`:                            `"/a b" r,`,
		"l /a -> /b,":                         "link /a -> /b,",
		"l subset /a -> /b,":                  "link subset /a -> /b,",
		"owner rwl /a -> /b,":                 "owner /a rw, owner link /a -> /b,",
		"/a l,":                               "/a l,",
		"/a rwl -> /b,":                       "/a rwl,",
		"/a r,/b w,":                          "/a r, /b w,",
		"/a r,#c\n/b w, # c":                  "/a r, /b w,",
		"deny /a x,":                          "deny /a x,",
		"audit allow /a r,":                   "audit allow /a r,",
		"priority=+7 /a r,":                   "priority=7 /a r,",
		"signal(read)set = ( hup,int )peer=a": "signal read set=(hup, int) peer=a,",
		"signal peer=a set=hup":               "signal set=(hup) peer=a,",
		"network inet tcp":                    "network inet tcp,",
		"network packet dgram":                "network packet dgram,",
		"network rw packet":                   "network rw packet,",
		"network ip=(::1) port = 5":           "network ip=::1 port=5,",
		"dbus send path=/{a,b} bus=system":    "dbus send bus=system path=/{a,b},",
		"dbus peer=(name=(a|b),label=c)":      "dbus peer=(name=a|b label=c),",
		"mount in -> /b":                      "mount in -> /b,",
		"mount options in(ro) /a":             "mount options in (ro) /a,",
		"mount fstype={a,b} -> {/c,/d},":      "mount fstype={a,b} -> {/c,/d},",
		"set rlimit cpu <= 2weeks":            "set rlimit cpu <= 1209600,",
		"set rlimit data<=3 K":                "set rlimit data <= 3072,",
		"set rlimit rttime <= 2ms":            "set rlimit rttime <= 2000,",
		"set rlimit nofile <= infinity":       "set rlimit nofile <= infinity,",
		"change_profile -> a,b":               "change_profile -> a,b,",
		"unix peer=(addr=none,label=x)":       "unix peer=(addr=none label=x),",
		"{ /a r, { /b r, } }":                 "/a r, /b r,",
		"deny { /a r, allow /b r, audit /c r, file, }":                "deny /a r, deny /b r, audit deny /c r, deny file,",
		"audit { deny /a r, prompt /b r, }":                           "audit deny /a r, audit prompt /b r,",
		"owner { /a r, network, set rlimit cpu <= 1, all, }":          "owner /a r, network, set rlimit cpu <= 1, all,",
		"audit deny { owner { link /a -> /b, } set rlimit as <= 1, }": "audit deny owner link /a -> /b, set rlimit as <= 1,",
	} {
		if !strings.HasSuffix(text, ",") && !strings.HasSuffix(text, "}") && !strings.HasSuffix(text, "# c") {
			text += ","
		}
		if got := strings.Join(rules(t, "", text), " "); got != want {
			t.Errorf("%s is %s, wanted %s", text, got, want)
		}
	}
}

func TestBlocksGiveNothingToProfilesInThem(t *testing.T) {
	policy, err := syntax.Parse("t", "profile t { deny { ^h { /b rix, } } }", syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rule := syntax.FormatRule(policy.Profiles[0].Children[0].Rules[0]); rule != "/b rix," {
		t.Error(rule)
	}
}

func TestConditions(t *testing.T) {
	const preamble = "$YES = true\n${NO} = FALSE\n@{SET} = a\n@OLD = \"\"\n"
	for condition, want := range map[string]bool{
		"$YES":                            true,
		"${NO}":                           false,
		"not $NO":                         true,
		"not not not $NO":                 true,
		"defined @{SET}":                  true,
		"defined @SET":                    true,
		"defined @OLD":                    true,
		"defined @{NONE}":                 false,
		"not defined @{NONE}":             true,
		"defined $YES":                    true,
		"defined $NONE":                   false,
		"$YES and $NO":                    false,
		"$YES or $NO":                     true,
		"$NO and $NO or $YES":             true,
		"$NO and ($NO or $YES)":           false,
		"not ($NO or $NO) and not \n $NO": true,
	} {
		got := rules(t, preamble, "if "+condition+" { /then r, } else if $YES { /else r, } else { /never r, }")
		if len(got) != 1 || (got[0] == "/then r,") != want || got[0] == "/never r," {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestWhatIsNotTakenIsReadAndLeftOut(t *testing.T) {
	if _, err := syntax.Parse("t", "$A=false\nprofile t { if $A { /a q, } }", syntax.Options{}); err == nil {
		t.Error("a bad rule was not found")
	}
	policy, err := syntax.Parse("t", "$A=false\nprofile t { ^h { } if $A { ^h { } /@{NONE} r, } }", syntax.Options{})
	if err != nil || len(policy.Profiles[0].Children) != 1 || len(policy.Profiles[0].Rules) != 0 {
		t.Errorf("%v, %v", policy, err)
	}
}

func TestNamesAndNamespaces(t *testing.T) {
	policy, err := syntax.Parse("t", `@{V}=a b
/bin/{x,y} { ^h { } profile /c { } }
profile :ns:one /two { profile inner { ^deep { } } }
:ns://three { }
profile v@{V} { }
hat lonely { }
profile "sp ace" xattrs=(a=b user.c) (audit) { }
`, syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var walk func(profiles []*syntax.Profile)
	walk = func(profiles []*syntax.Profile) {
		for _, profile := range profiles {
			name, err := policy.Expander(profile).Name()
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, profile.Namespace+":"+name)
			walk(profile.Children)
		}
	}
	walk(policy.Profiles)
	want := []string{":/bin/{x,y}", ":/bin/{x,y}//h", ":/bin/{x,y}///c", "ns:one", ":one//inner", ":one//inner//deep", "ns:three", ":v{a,b}", ":lonely", ":sp ace"}
	if !slices.Equal(names, want) {
		t.Errorf("%q\nwanted %q", names, want)
	}
	if last := policy.Profiles[len(policy.Profiles)-1]; !last.Flags.Audit || len(last.XAttrs) != 2 || !policy.Profiles[4].Hat {
		t.Errorf("%+v", last)
	}
}

func TestRulesKnowWhereTheyStand(t *testing.T) {
	policy, err := syntax.Parse("t", "profile t {\n  audit\n    deny /a r,\n  /b \\\n   w ,\n}\n", syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := policy.Profiles[0].Rules[0].Head(), policy.Profiles[0].Rules[1].Head()
	for name, pair := range map[string][2]string{
		"Begin":         {first.Position.String(), "t:2:3"},
		"End":           {first.End.String(), "t:3:15"},
		"Path":          {policy.Profiles[0].Rules[0].(*syntax.FileRule).Path.Position.String(), "t:3:10"},
		"BehindARule":   {second.Position.String(), "t:4:3"},
		"Continuation":  {second.End.String(), "t:5:7"},
		"Profile":       {policy.Profiles[0].Position.String(), "t:1:1"},
		"NameOfProfile": {policy.Profiles[0].Name.Position.String(), "t:1:9"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, wanted %s", name, pair[0], pair[1])
		}
	}
}
