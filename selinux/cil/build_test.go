// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// small is what every policy needs; tests put their statements behind it.
const small = `(mls true)(handleunknown allow)
(sid kernel)(sidorder (kernel))(sidcontext kernel (u r kernel_t (low low)))
(class file (read write ioctl))(class dir (read search))(class process (fork transition))(classorder (file dir process))
(sensitivity s0)(sensitivity s1)(sensitivityorder (s0 s1))(category c0)(category c1)(category c2)(categoryorder (c0 c1 c2))
(sensitivitycategory s0 (range c0 c2))(sensitivitycategory s1 (range c0 c2))(level low (s0))(level high (s1 (range c0 c2)))
(user u)(role r)(role object_r)(userrole u r)(userrole u object_r)(userlevel u low)(userrange u (low high))
(type kernel_t)(type a)(type b)(type c)(roletype r kernel_t)(roletype r a)(roletype object_r a)(roletype object_r b)
(allow kernel_t kernel_t (process (fork)))
`

func compiled(t testing.TB, text string, options Options) *Result {
	t.Helper()
	result, err := Compile([]Source{{"test.cil", []byte(text)}}, options)
	if err != nil {
		t.Fatal(err)
	}
	data, err := result.Policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if result.Policy, err = policydb.Decode(data); err != nil {
		t.Fatal(err)
	}
	return result
}

// printed is the policy in canonical CIL.
func printed(t testing.TB, policy *policydb.Policy) string {
	t.Helper()
	var text strings.Builder
	if err := policy.FormatCIL(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestBuild(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		options Options
		want    []string // lines of the policy's canonical CIL
		missing []string
	}{
		"AnAttributeInRulesIsKept": {text: `(typeattribute at)(typeattributeset at (a b))(allow at c (file (read)))`,
			want: []string{"(typeattribute at)", "(typeattributeset at (a b))", "(allow at c (file (read)))"}},
		"AnAttributeThatNoRuleNamesIsLeftOut":       {text: `(typeattribute at)(typeattributeset at (a b))`, missing: []string{"(typeattribute at)"}},
		"AnEmptyAttributeOfRulesIsLeftOut":          {text: `(typeattribute at)(allow at c (file (read)))`, missing: []string{"(typeattribute at)", "allow at"}},
		"AnEmptyAttributeStaysIfSizeDoesNotMatter":  {text: `(typeattribute at)(allow at c (file (read)))`, options: Options{ExpandSize: -1}, want: []string{"(allow at c (file (read)))"}},
		"AnAttributeOfConstraintsStaysAndIsWritten": {text: `(typeattribute at)(typeattributeset at (a))(constrain (file (read)) (eq t1 at))`, want: []string{"(typeattribute at)", "(constrain (file (read)) (eq t1 at))"}},
		"ExpandTrueWritesRulesForTypes": {text: `(typeattribute at)(typeattributeset at (a b))(expandtypeattribute (at) true)(allow at c (file (read)))`,
			want: []string{"(allow a c (file (read)))", "(allow b c (file (read)))"}, missing: []string{"(typeattribute at)"}},
		"ExpandFalseKeepsWhatIsSmall": {text: `(typeattribute at)(typeattributeset at (a))(expandtypeattribute (at) false)(allow c at (file (read)))`, options: Options{ExpandSize: 5},
			want: []string{"(typeattribute at)", "(allow c a (file (read)))"}},
		"AGeneratedAttributeOfNeverallowIsLeftOutAndItsPartsStay": {
			text: `(typeattribute at)(typeattributeset at (a))(typeattribute m_typeattr_1)(typeattributeset m_typeattr_1 (and (all) (not at)))(neverallow m_typeattr_1 a (process (transition)))`,
			want: []string{"(typeattribute at)"}, missing: []string{"typeattr_1)"}},
		"ExpandGeneratedWritesThemOut": {text: `(typeattribute m_typeattr_1)(typeattributeset m_typeattr_1 (a b))(allow m_typeattr_1 c (file (read)))`, options: Options{ExpandGenerated: true},
			want: []string{"(allow a c (file (read)))", "(allow b c (file (read)))"}},
		"SetsKnowAllOperators": {
			text: `(typeattribute x)(typeattributeset x (a b))(typeattribute y)(typeattributeset y (xor x (b c)))(typeattribute z)(typeattributeset z (and (all) (not (or x y))))(allow y z (file (read)))`,
			want: []string{"(typeattributeset y (a c))", "(allow y z (file (read)))"}},
		"SelfIsWrittenForEachType":          {text: `(typeattribute at)(typeattributeset at (a b))(allow at self (file (read)))`, want: []string{"(allow a self (file (read)))", "(allow b self (file (read)))"}},
		"OtherIsEveryPairOfTwo":             {text: `(typeattribute at)(typeattributeset at (a b))(allow at other (file (read)))`, want: []string{"(allow a b (file (read)))", "(allow b a (file (read)))"}},
		"NotSelfIsEveryOtherType":           {text: `(allow a notself (file (read)))`, want: []string{"(allow a b (file (read)))", "(allow a c (file (read)))", "(allow a kernel_t (file (read)))"}, missing: []string{"(allow a self"}},
		"RulesOfOneKeyAreMerged":            {text: `(allow a b (file (read)))(allow a b (file (write)))(dontaudit a b (dir (read)))(dontaudit a b (dir (search)))`, want: []string{"(allow a b (file (read write)))", "(dontaudit a b (dir (read search)))"}},
		"DontauditIsLeftOutOnRequest":       {text: `(dontaudit a b (dir (read)))`, options: Options{DisableDontAudit: true}, missing: []string{"dontaudit"}},
		"PermissionsKnowAllOperators":       {text: `(allow a b (file (and (all) (not (ioctl)))))(allow a c (file (xor (read write) (write ioctl))))`, want: []string{"(allow a b (file (read write)))", "(allow a c (file (read ioctl)))"}},
		"AClassMapMeansWhatIsMappedToIt":    {text: `(classmap m (look))(classmapping m look (file (read)))(classmapping m look (dir (search)))(allow a b (m (look)))`, want: []string{"(allow a b (file (read)))", "(allow a b (dir (search)))"}},
		"ATrailingNotSwapsTheBranches":      {text: `(boolean t1 false)(booleanif (not t1) (true (allow a b (file (read)))))`, want: []string{"(booleanif t1\n    (false\n        (allow a b (file (read)))"}},
		"EqualConditionsShareTheirBranches": {text: `(boolean x true)(boolean y true)(booleanif (and x y) (true (allow a b (file (read)))))(booleanif (and y x) (true (allow a c (file (read)))))`, want: []string{"(allow a b (file (read)))\n        (allow a c (file (read)))"}},
		"DifferentConditionsOfTwoBooleansDoNot": {text: `(boolean x true)(boolean y true)(booleanif (and x (not y)) (true (allow a b (file (read)))))(booleanif (and y (not x)) (true (allow a c (file (read)))))`,
			want: []string{"(booleanif (and x (not y))", "(booleanif (and y (not x))"}},
		"NumbersOfExtendedRulesArePacked": {text: `(allowx a b (ioctl file (range 0x1200 0x13ff)))(allowx a b (ioctl file (0x1401)))(allowx a b (ioctl file (0x1402)))`,
			want: []string{"(allowx a b (ioctl file (((range 0x1200 0x13ff)))))", "(allowx a b (ioctl file (((range 0x1401 0x1402)))))"}},
		"FilenameTransitionsKeepTheirSources": {text: `(typetransition a b file "n" c)(typetransition kernel_t b file "n" c)(typetransition c b file "n" a)`,
			want: []string{`(typetransition a b file "n" c)`, `(typetransition kernel_t b file "n" c)`, `(typetransition c b file "n" a)`}},
		"FilenameTransitionsOfOldVersions": {text: `(typetransition a b file "n" c)(typetransition kernel_t b file "n" c)`, options: Options{Version: 32},
			want: []string{`(typetransition a b file "n" c)`, `(typetransition kernel_t b file "n" c)`}},
		"AnyNameIsAPlainTransition":            {text: `(typetransition a b file "*" c)`, want: []string{"(typetransition a b file c)"}},
		"NarrowPortsComeFirst":                 {text: `(portcon tcp (1 1024) (u object_r b (low low)))(portcon tcp 80 (u object_r a (low low)))`, want: []string{"(portcon tcp 80 (u object_r a ((s0) (s0))))\n(portcon tcp (1 1024)"}},
		"RoleTransitionsAreWrittenForTypes":    {text: `(role q)(typeattribute at)(typeattributeset at (a b))(roletransition r at process q)`, want: []string{"(roletransition r a process q)", "(roletransition r b process q)"}},
		"RangeTransitionsAreWrittenForTypes":   {text: `(typeattribute at)(typeattributeset at (a b))(rangetransition at c process (low high))`, want: []string{"(rangetransition a c process ((s0) (s1 ((range c0 c2)))))"}},
		"AliasesAndBoundsAndPermissiveAreKept": {text: `(typealias old)(typealiasactual old a)(typebounds kernel_t a)(typepermissive old)`, want: []string{"(typealiasactual old a)", "(typebounds kernel_t a)", "(typepermissive a)"}},
		"RoleAttributesAreExpanded":            {text: `(role q)(roleattribute rs)(roleattributeset rs (r q))(roletype rs b)(userrole u rs)(roleallow r rs)`, want: []string{"(roletype q b)", "(userrole u q)", "(roleallow r q)"}},
		"GlblubIsLeftOutOfOldVersions":         {text: `(defaultrange file glblub)`, options: Options{Version: 31}, missing: []string{"defaultrange"}},
		"GlblubIsKept":                         {text: `(defaultrange file glblub)`, want: []string{"(defaultrange file glblub)"}},
		"DenyTakesAway":                        {text: `(typeattribute at)(typeattributeset at (a b))(allow at c (file (read write)))(deny a c (file (write)))`, want: []string{"(allow at c (file (read)))", "(allow b c (file (write)))"}},
		"DenyOfSelfLeavesTheOthers":            {text: `(typeattribute at)(typeattributeset at (a b))(allow at at (file (read)))(deny at self (file (read)))`, want: []string{"(allow a b (file (read)))", "(allow b a (file (read)))"}, missing: []string{"(allow a self", "(allow a a"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := printed(t, compiled(t, small+test.text, test.options).Policy)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, text)
				}
			}
			for _, missing := range test.missing {
				if strings.Contains(text, missing) {
					t.Errorf("%q is in\n%s", missing, text)
				}
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	for text, want := range map[string]string{
		`(typetransition a b file c)(typetransition a b file a)`:                                                              "the type is a here and c at test.cil",
		`(typetransition a b file "n" c)(typetransition a b file "n" a)`:                                                      `named "n" is a here and c elsewhere`,
		`(boolean x true)(typechange a b file c)(booleanif x (true (typechange a b file a)))`:                                 "the type is a here and c elsewhere",
		`(boolean x true)(booleanif x (true (typetransition a b file "n" a)))`:                                                "by name cannot be conditional",
		`(boolean x true)(booleanif x (true (allowx a b (ioctl file (1)))))`:                                                  "booleanif",
		`(role q)(roletransition r a process q)(roletransition r a process r)`:                                                "the role is r here",
		`(rangetransition a b process (low low))(rangetransition a b process (low high))`:                                     "another range",
		`(portcon tcp 80 (u object_r a (low low)))(portcon tcp 80 (u object_r b (low low)))`:                                  "this port is said otherwise, at test.cil",
		`(portcon tcp 80 (u object_r c (low low)))`:                                                                           "role object_r does not go with type c",
		`(portcon tcp 80 (u r a (high low)))`:                                                                                 "range",
		`(user v)(userlevel v low)(userrange v (low low))(portcon tcp 80 (v object_r a (low low)))`:                           "user v does not go with role object_r",
		`(user v)(userrole v object_r)(userlevel v low)(userrange v (low low))(portcon tcp 80 (v object_r a (low high)))`:     "the range is not within that of user v",
		`(neverallow a b (file (read)))(allow a b (file (read)))`:                                                             "neverallow",
		`(typebounds a b)(allow b c (file (read)))`:                                                                           "bound",
		`(defaultuser file source)(defaultuser file target)`:                                                                  "default user of class file",
		`(filecon "/x" any (u object_r a (low low)))(filecon "/x" any ())`:                                                    "this filecon is said otherwise",
		`(constrain (file (read)) (and (eq t1 a) (and (eq t1 a) (and (eq t1 a) (and (eq t1 a) (and (eq t1 a) (eq t1 a)))))))`: "operands at a time",
	} {
		_, err := Compile([]Source{{"test.cil", []byte(small + text)}}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", text, err, want)
		}
	}
}

// What secilc 3.4 writes for the same lines: runs of categories end where one does not follow.
func TestFileContexts(t *testing.T) {
	const text = `(user w)(userrole w object_r)(userlevel w low)(userrange w (low high))
(filecon "/x(/.*)?" any (u object_r a (low low)))(filecon "/x/y" dir ())(filecon "/x/y\.z" file (w object_r b (low high)))
(filecon "/x/long/stem/.*" socket (u object_r a ((s0 (c0 c2)) (s0 (c0 c1 c2)))))(filecon "/x/y" file (u object_r a (low low)))`
	const want = `/x(/.*)?	u:object_r:a:s0
/x/long/stem/.*	-s	u:object_r:a:s0:c0,c2-s0:c0.c2
/x/y	--	u:object_r:a:s0
/x/y	-d	<<none>>
/x/y\.z	--	w:object_r:b:s0-s1:c0.c2
`
	if got := string(compiled(t, small+text, Options{}).FileContexts); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}
}

func TestUserFiles(t *testing.T) {
	result := compiled(t, small+`(userprefix u staff)(selinuxuser one u (low high))(selinuxuserdefault u (low low))(selinuxuser two u (low low))`, Options{})
	if got, want := string(result.Seusers), "two:u:s0-s0\none:u:s0-s1:c0.c2\n__default__:u:s0-s0\n"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	if got, want := string(result.UserPrefixes), "user u prefix staff;\n"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
}
