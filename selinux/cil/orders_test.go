// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"
	"testing"
)

func TestOrdersOntoAPolicyPutWhatIsNewBehind(t *testing.T) {
	base, err := Compile([]Source{{"base", []byte(testBase + "(mls true)")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, want string }{
		{"CategoriesFollow", `(category base_c4) (category base_c5) (categoryorder (base_c3 base_c4 base_c5)) (sensitivitycategory base_s0 (range base_c0 base_c5))
			(user u) (userlevel u (base_s0 base_c5)) (userrange u ((base_s0 base_c5) (base_s0 (not base_c0))))`, ""},
		{"ClassesMayBeUnordered", `(class k (a)) (classorder (unordered k)) (allow base_t base_t (k (a)))`, ""},
		{"SensitivitiesFollow", `(sensitivity base_s1) (sensitivityorder (base_s0 base_s1)) (levelrange up ((base_s0) (base_s1)))`, ""},
		{"CategoriesCannotComeBetween", `(category base_c4) (categoryorder (base_c2 base_c4 base_c3))`, "m:1:11: base_c4 cannot come before base_c3, which the policy compiled onto has"},
		{"SensitivitiesCannotComeBelow", `(sensitivity base_s1) (sensitivityorder (base_s1 base_s0))`, "m:1:14: base_s1 cannot come before base_s0, which the policy compiled onto has"},
		{"NewOnesAloneFollow", `(category base_c4) (category base_c5) (categoryorder (base_c4 base_c5))`, ""},
		{"CategoriesOfThePolicyStayWithTheirSensitivity", `(levelrange all ((base_s0) (base_s0 (range base_c0 base_c3))))`, ""},
		{"ANewSensitivityHasNone", `(sensitivity base_s1) (sensitivityorder (base_s0 base_s1)) (levelrange bad ((base_s0) (base_s1 (base_c0))))`,
			"m:1:60: sensitivity base_s1 does not go with all of these categories: no sensitivitycategory says so"},
		{"PermissionsOfThePolicysClassesAreKnown", `(allow base_t base_u (base_file (read append)))`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			result, err := Compile([]Source{{"m", []byte(test.text)}}, Options{Onto: base.Policy})
			switch {
			case err != nil && err.Error() != test.want:
				t.Fatalf("got %v, want %q", err, test.want)
			case err == nil && test.want != "":
				t.Fatalf("it is taken, want %s", test.want)
			case err == nil:
				if _, err := result.Policy.Encode(); err != nil {
					t.Error(err)
				}
				for _, category := range result.Policy.Categories.Entries {
					if number, ok := strings.CutPrefix(category.Name, "base_c"); !ok || string(rune('0'+category.Value-1)) != number {
						t.Errorf("category %s has the value %d", category.Name, category.Value)
					}
				}
			}
		})
	}
}
