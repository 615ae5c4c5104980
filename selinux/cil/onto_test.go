// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const ontoBase = small + `(typeattribute at)(typeattributeset at (a))(allow at c (file (read)))(constrain (file (write)) (neq t1 at))(boolean x true)
(booleanif x (true (allow a b (file (write)))(typechange a b file c)))(dontaudit a b (dir (read)))(typetransition a b file "n" c)(allowx a b (ioctl file (range 0x1200 0x12fe)))
(portcon tcp (1 10) (u object_r a (low low)))(portcon tcp (1 100) (u object_r a (low low)))(genfscon proc /b (u object_r a (low low)))(roletransition r a process r)
(typealias al)(typealiasactual al a)(common com (open))(classcommon dir com)(rangetransition a b process (low low))`

func TestOnto(t *testing.T) {
	base := compiled(t, ontoBase, Options{}).Policy
	before, err := base.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ text, want, missing string }{
		"ATypeJoinsAnAttributeAndItsConstraints": {text: `(type n)(typeattributeset at (n))`, want: "(typeattributeset at (a n))"},
		"PermissionsJoinARule":                   {text: `(allow at c (file (write)))`, want: "(allow at c (file (read write)))"},
		"DontauditJoins":                         {text: `(dontaudit a b (dir (search)))`, want: "(dontaudit a b (dir (read search)))"},
		"CommonPermissionsAreKnown":              {text: `(allow a b (dir (open)))`, want: "(allow a b (dir (open)))"},
		"RulesJoinACondition":                    {text: `(booleanif x (true (allow c b (file (write)))))`, want: "(allow a b (file (write)))\n        (allow c b (file (write)))"},
		"ANewConditionIsAdded":                   {text: `(boolean y false)(booleanif (and x y) (true (allow c b (file (write)))))`, want: "(booleanif (and x y)"},
		"FilenameTransitionsJoin":                {text: `(typetransition c b file "n" c)`, want: `(typetransition c b file "n" c)`},
		"ExtendedNumbersJoin":                    {text: `(allowx a b (ioctl file (0x12ff)))`, want: "(allowx a b (ioctl file (((range 0x1200 0x12ff)))))"},
		"PortsComeInTheirPlace":                  {text: `(portcon tcp (1 50) (u object_r b ((s0) (s0))))`, want: "(portcon tcp (1 10) (u object_r a ((s0) (s0))))\n(portcon tcp (1 50) (u object_r b ((s0) (s0))))\n(portcon tcp (1 100)"},
		"PathsComeInTheirPlace":                  {text: `(genfscon proc /a (u object_r b ((s0) (s0))))`, want: "(genfscon proc \"/a\" (u object_r b ((s0) (s0))))\n(genfscon proc \"/b\""},
		"RolesGetTypes":                          {text: `(type n)(roletype r n)`, want: "(roletype r n)"},
		"UsersGetRoles":                          {text: `(role q)(userrole u q)`, want: "(userrole u q)"},
		"AliasesAreFollowed":                     {text: `(allow al b (process (fork)))`, want: "(allow a b (process (fork)))"},
		"ANewClassComesLast":                     {text: `(class new (see))(classorder (unordered new))(allow a b (new (see)))`, want: "(classorder (file dir process new))"},
		"ANewCategoryComesLast":                  {text: `(category c3)(categoryorder (c2 c3))(sensitivitycategory s1 c3)`, want: "(categoryorder (c0 c1 c2 c3))"},
		"SetsTakeTypesFromThePolicy":             {text: `(typeattribute more)(typeattributeset more (and at (not b)))(typeattributeset more (c))(allow more b (process (fork)))`, want: "(typeattributeset more (a c))"},
		"WhatIsSaidAlreadyChangesNothing":        {text: `(allow at c (file (read)))(portcon tcp (1 10) (u object_r a ((s0) (s0))))(roletransition r a process r)(typetransition a b file "n" c)`, want: "(typeattributeset at (a))"},
	} {
		t.Run(name, func(t *testing.T) {
			text := printed(t, compiled(t, test.text, Options{Onto: base}).Policy)
			if !strings.Contains(text, test.want) {
				t.Errorf("%q is not in\n%s", test.want, text)
			}
			if after, err := base.Encode(); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the policy compiled onto has changed, %v", err)
			}
		})
	}
}

func TestNothingOntoAPolicyIsThatPolicy(t *testing.T) {
	for _, version := range []uint32{24, 30, 33} {
		text := ontoBase
		if version < 30 {
			text = strings.Replace(text, "(allowx a b (ioctl file (range 0x1200 0x12fe)))", "", 1)
		}
		base := compiled(t, text, Options{Version: version}).Policy
		before, err := base.Encode()
		if err != nil {
			t.Fatal(err)
		}
		after, err := compiled(t, "", Options{Onto: base, Order: policydb.Libsepol34}).Policy.Encode()
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("version %d: %d bytes became %d, %v", version, len(before), len(after), err)
		}
	}
}

func TestAPolicyBecomesOneOfALaterVersion(t *testing.T) {
	text := strings.Replace(ontoBase, "(allowx a b (ioctl file (range 0x1200 0x12fe)))", "", 1)
	base := compiled(t, text, Options{Version: 25}).Policy
	later := printed(t, compiled(t, "", Options{Onto: base, Version: 33}).Policy)
	for _, want := range []string{"(roletransition r a process r)", `(typetransition a b file "n" c)`} {
		if !strings.Contains(later, want) {
			t.Errorf("%q is not in\n%s", want, later)
		}
	}
	if _, err := Compile(nil, Options{Onto: base, Version: 24}); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Error(err)
	}
}

func TestATypeThatJoinsAnAttributeComesUnderItsConstraints(t *testing.T) {
	base := compiled(t, ontoBase, Options{}).Policy
	policy := compiled(t, `(type n)(roletype object_r n)(typeattributeset at (n))(allow n b (file (write)))(type free)(roletype object_r free)(allow free b (file (write)))`, Options{Onto: base}).Policy
	class, err := policy.Class("file")
	if err != nil {
		t.Fatal(err)
	}
	context := func(typ string) *policydb.Context {
		context, err := policy.ParseContext("u:object_r:" + typ + ":s0")
		if err != nil {
			t.Fatal(err)
		}
		return context
	}
	const write = 2
	if allowed := policy.Decide(context("n"), context("b"), class.Value).Allowed; allowed&write != 0 {
		t.Errorf("the type that joined writes: %#x", allowed)
	}
	if allowed := policy.Decide(context("free"), context("b"), class.Value).Allowed; allowed&write == 0 {
		t.Errorf("the other does not: %#x", allowed)
	}
}

func TestOntoErrors(t *testing.T) {
	base := compiled(t, ontoBase, Options{}).Policy
	for text, want := range map[string]string{
		`(type a)`:                        "type a is declared already",
		`(type al)`:                       "al is declared already",
		`(role r)`:                        "role r is declared already",
		`(boolean x true)`:                "boolean x is declared already",
		`(typechange a b file b)`:         "", // a condition says otherwise, which is none of a rule that holds always
		`(typetransition a b file "n" b)`: `named "n" is b here and c elsewhere`,
		`(booleanif x (true (typechange a b file b)))`:    "the type is b here and c elsewhere",
		`(portcon tcp (1 10) (u object_r b ((s0) (s0))))`: "said otherwise, in the policy that this is compiled onto",
		`(role q)(roletransition r a process q)`:          "the role is q here",
		`(rangetransition a b process ((s0) (s1)))`:       "another range",
		`(userrange u ((s0) (s0)))`:                       "user u has a range already",
		`(sid new)(sidorder (new))`:                       "initial SID",
		`(mls false)`:                                     "mls false",
		`(handleunknown deny)`:                            "handleunknown",
		`(classcommon file com)`:                          "class file",
		`(allow a b (file (execute)))`:                    "execute",
	} {
		_, err := Compile([]Source{{"test.cil", []byte(text)}}, Options{Onto: base})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, expected %q", text, err, want)
		}
	}
}

// Whatever is compiled, alone or onto a policy, ends in an error or in a policy that can be written and read.
func FuzzBuild(f *testing.F) {
	for _, text := range []string{
		`(typeattribute at)(typeattributeset at (and (all) (not a)))(allow at self (file (read)))(constrain (file (read)) (eq t1 at))`,
		`(type n)(typeattributeset at (n))(deny n notself (file (read)))(allow n other (file (all)))(typebounds a n)`,
		`(boolean y false)(booleanif (xor x (not y)) (true (allow a b (file (read)))) (false (typechange a b file c)))`,
		`(classmap m (p))(classmapping m p (file (not (read))))(mlsconstrain (m (p)) (or (l1 dom h2) (eq u1 u)))(allow a b (m (p)))`,
		`(allowx a b (ioctl file (not (range 0x1200 0x1300))))(typetransition at b file "n" c)(roletransition r at process r)(filecon "/x.*" any (u object_r a ((s0) (s1 (all)))))`,
		`(optional o (block k (type t)(roletype r t))(call z (t)))(macro z ((type t)) (allow t self (process (fork))))`,
	} {
		f.Add(text)
	}
	data, err := Compile([]Source{{"base.cil", []byte(ontoBase)}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	base := data.Policy
	f.Fuzz(func(t *testing.T, text string) {
		for _, options := range []Options{{Onto: base}, {Optimize: true, DisableDontAudit: true, ExpandSize: 2}} {
			sources := []Source{{"test.cil", []byte(text)}}
			if options.Onto == nil {
				sources = append([]Source{{"base.cil", []byte(ontoBase)}}, sources...)
			}
			result, err := Compile(sources, options)
			if err != nil {
				continue
			}
			written, err := result.Policy.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := policydb.Decode(written); err != nil {
				t.Fatal(err)
			}
		}
	})
}
