// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"
	"testing"
)

func TestClassesAndOrders(t *testing.T) {
	for _, f := range []finding{
		{"ClassesHaveCommons", `(common c (a b)) (class k (x)) (classorder (unordered k)) (classcommon k c) (allow base_t base_t (k (a x)))`, `
			commons c
			classes k
			classcommon k c
			allow base_t base_t k (or a x)`},
		{"OrdersMerge", `(class k ()) (class l ()) (class m ()) (classorder (base_process m)) (classorder (unordered k base_file)) (classorder (m l))`, `
			classes m l k`},
		{"OrdersWaitForEachOther", `(class k ()) (class l ()) (class m ()) (classorder (l k)) (classorder (m l)) (classorder (base_process m))`, `
			classes m l k`},
		{"AnOrderPutsBefore", `(sid a) (sid b) (sidorder (a b base_sid))`, `
			sids a b`},
		{"DefaultsAreOfSeveralClasses", `(defaultuser (base_file base_process) source) (defaultrole base_file target) (defaulttype base_file source) (defaultrange base_file target low-high)
			(defaultrange base_process glblub)`, `
			default 0 base_file base_process false
			default 1 base_file true
			default 2 base_file false
			defaultrange base_file 6
			defaultrange base_process 7`},
		{"SettingsOfThePolicy", `(mls true) (handleunknown reject) (policycap open_perms)`, `
			policycap open_perms
			mls true
			handleunknown 2`},
	} {
		f.run(t)
	}
}

func TestClassesAndOrdersRefused(t *testing.T) {
	many := strings.Fields(strings.Repeat("p ", maximumPermissions-3))
	for i := range many {
		many[i] = "p" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
	}
	for _, r := range []refusal{
		{"AClassInNoOrder", `(class k ())`, `t:1:8: k is in no classorder`},
		{"AClassInNoOrderOfAnOptionalThatFalls", `(optional o (class k ()) (typepermissive missing))`, `t:1:20: k is in no classorder, in optional o`},
		{"AnUnknownClassInAnOrderOfAnOptional", `(optional o (classorder (base_file missing)))`, `t:1:36: class missing is not declared, in optional o`},
		{"AnOrderWithNothingInCommon", `(class k ()) (class l ()) (classorder (k l))`,
			`t:1:27: classorder does not fit the others: it contradicts them, repeats a name, or has no name in common with them behind which the rest could come`},
		{"AnOrderThatRepeats", `(class k ()) (classorder (base_process k k))`,
			`t:1:14: classorder does not fit the others: it contradicts them, repeats a name, or has no name in common with them behind which the rest could come`},
		{"AnOrderThatIsGuessed", `(class k ()) (class l ()) (class m ()) (classorder (base_process k l)) (classorder (base_process m l))`,
			`t:1:72: whether m follows k is not said: no list has one behind the other`},
		{"UnorderedStandsFirst", `(class k ()) (classorder (k unordered))`, `t:1:29: ([unordered] class ...) of classorder: "unordered", expected a class: unordered stands first`},
		{"UnorderedIsOfClasses", `(sidorder (unordered base_sid))`, `t:1:12: sid unordered is not declared`},
		{"MapsHaveNoOrder", `(classmap m (a)) (classmapping m a (base_file (read))) (classorder (unordered m))`, `t:1:79: m is a class map: only what has a value of its own is ordered`},
		{"AClassNamedUnordered", `(class unordered ())`, `t:1:8: a class cannot be named unordered, which is a word of classorder`},
		{"APermissionNamedAll", `(class k (all))`, `t:1:11: all is a reserved word and cannot be the name of a permission`},
		{"TwoCommons", `(common c (a)) (common d (b)) (classcommon base_file c) (classcommon base_file d)`, `t:1:57: class base_file has a common already`},
		{"APermissionTwice", `(common c (read)) (classcommon base_file c)`, `t:1:19: permission read is both class base_file's own and common c's`},
		{"TooManyWithTheCommon", `(common c (` + strings.Join(many, " ") + `)) (classcommon base_file c)`,
			`t:1:104: class base_file has 33 permissions with those of common c, 32 is the most`},
		{"ACommonOfAMap", `(classmap m (a)) (common c (b)) (classcommon m c)`, `t:1:46: m is a class map: only classes have a common`},
		{"TwoSettings", `(mls true) (mls true)`, `t:1:12: mls is said already, at t:1:1`},
		{"ACapabilityThatThereIsNot", `(policycap mind_reading)`, `t:1:12: policy capability mind_reading is not known`},
		{"ADefaultRangeOfNothing", `(defaultrange base_file source)`, `t:1:1: defaultrange takes low, high or low-high behind source and target, and nothing behind glblub`},
		{"OfAnotherKernel", `(pirqcon 33 base_con)`, `t:1:1: pirqcon is of policies for Xen: this compiler makes policies for Linux`},
	} {
		r.run(t)
	}
}

func TestLevels(t *testing.T) {
	for _, f := range []finding{
		{"CategorySetsAreWrittenOut", `(categoryset both (base_c0 base_c1)) (categoryset more (and both (not (range base_c1 base_c3)))) (sensitivitycategory base_s0 more)`, `
			sensitivitycategory base_s0 (and (or base_c0 base_c1) (not (range base_c1 base_c3)))`},
		{"AliasesOfCategoriesEndRanges", `(categoryalias n) (categoryaliasactual n base_c2) (sensitivityalias m) (sensitivityaliasactual m base_s0) (rangetransition base_t base_a base_process ((m) (m (range base_c0 n))))`, `
			alias n base_c2
			alias m base_s0
			rangetransition base_t base_a base_process base_s0-base_s0:(range base_c0 base_c2)`},
		{"EveryPartMayBePassedToAMacro", `(macro m ((categoryset cs) (level l) (levelrange lr) (category c) (sensitivity s))
				(rangetransition base_t base_t base_file ((s c) (s cs))) (rangetransition base_t base_u base_file (l l)) (rangetransition base_u base_t base_file lr))
			(call m ((not base_c2) (base_s0 base_c1) (base_l (base_s0 (all))) base_c3 base_s0))`, `
			rangetransition base_t base_t base_file base_s0:base_c3-base_s0:(not base_c2)
			rangetransition base_t base_u base_file base_s0:base_c1-base_s0:base_c1
			rangetransition base_u base_t base_file base_s0-base_s0:(all)`},
		{"SensitivitiesHaveAnOrder", `(sensitivity s1) (sensitivityorder (base_s0 s1)) (levelrange up ((base_s0) (s1)))`, `
			sensitivities s1`},
	} {
		f.run(t)
	}
}

func TestLevelsRefused(t *testing.T) {
	const order = `(sensitivity s1) (sensitivityorder (base_s0 s1)) `
	deep := "(categoryset x0 (base_c0 base_c1))"
	for i := range 40 {
		deep += strings.NewReplacer("A", "x"+strings.Repeat("i", i+1), "B", "x"+strings.Repeat("i", i)).Replace("(categoryset A (B B))")
	}
	for _, r := range []refusal{
		{"ARangeThatFalls", `(categoryset down (range base_c3 base_c1)) (userlevel base_user (base_s0 down))`, `t:1:44: category base_c1 comes before base_c3: the range is empty`},
		{"ASetEndsNoRange", `(categoryset both (base_c0 base_c1)) (categoryset run (range both base_c3))`, `t:1:62: both is the name of something written out, expected a category`},
		{"ASetInACircle", `(categoryset a (b)) (categoryset b (a))`, "t:1:17: b is a part of itself\nt:1:37: a is a part of itself"},
		{"HighBelowLow", order + `(levelrange bad ((s1) (base_s0)))`, `t:1:50: the range's high sensitivity base_s0 is below its low one, s1`},
		{"LowNotWithinHigh", `(levelrange bad ((base_s0 (base_c1)) (base_s0 (base_c2))))`, `t:1:1: the range's low level has categories that its high level has not`},
		{"CategoriesThatDoNotGo", order + `(levelrange bad ((base_s0) (s1 (base_c2))))`, `t:1:50: sensitivity s1 does not go with all of these categories: no sensitivitycategory says so`},
		{"AContextWithSuchARange", order + `(filecon "/" any (base_user base_r base_t ((s1) (base_s0))))`, `t:1:50: the range's high sensitivity base_s0 is below its low one, s1`},
		{"ASensitivityInABlock", `(block b (sensitivity s1))`, `t:1:10: sensitivity is not allowed in block`},
		{"ALevelNeedsItsSensitivity", `(level l ((base_c0)))`, `t:1:11: (sensitivity [categories]) of level: the list (base_c0 ...), expected a word`},
		{"ARangeIsTwoLevels", `(levelrange lr (base_l))`, `t:1:16: (low high) of levelrange: the list (base_l ...), expected (low high)`},
		{"SetsOfSetsOfSets", strings.Replace(deep, "x0", "x", 1), `t:1:728: category set of more than 65536 categories written out`},
	} {
		r.run(t)
	}
}
