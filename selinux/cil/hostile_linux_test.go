// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// many is a text for each of so many numbers: N counts up and K down, M and L are one more.
func many(count int, format string) string {
	var text strings.Builder
	for i := range count {
		text.WriteString(strings.NewReplacer("N", strconv.Itoa(i), "M", strconv.Itoa(i+1), "K", strconv.Itoa(count-1-i), "L", strconv.Itoa(count-i)).Replace(format) + "\n")
	}
	return text.String()
}

// TestWhatGrowsEndsSoon has texts of a few lines that would be 2^40 of something if they were written out, and long ones that could take the square of their
// length: they are refused, or worked out once.
func TestWhatGrowsEndsSoon(t *testing.T) {
	doubling := func(first, format string) string {
		text := first
		for i := range 40 {
			text += strings.NewReplacer("A", fmt.Sprintf("x%d", i+1), "B", fmt.Sprintf("x%d", i)).Replace(format) + "\n"
		}
		return text
	}
	for _, hostile := range []struct{ name, text string }{
		{"ClassMaps", doubling("(classmap x0 (a b)) (classmapping x0 a (base_file (read))) (classmapping x0 b (base_file (write)))\n",
			"(classmap A (a b)) (classmapping A a (B (a b))) (classmapping A b (B (all)))") + "(allow base_t base_t (x40 (a b)))"},
		{"PermissionSets", doubling("(classpermission x0) (classpermissionset x0 (base_file (read)))\n",
			"(classpermission A) (classpermissionset A B) (classpermissionset A B)") + "(allow base_t base_t x40)"},
		{"Attributes", doubling("(typeattribute x0) (typeattributeset x0 (base_t))\n", "(typeattribute A) (typeattributeset A (and B (not (xor B B))))") + "(allow x40 x40 (base_file (read)))"},
		{"RoleAttributes", doubling("(roleattribute x0) (roleattributeset x0 (base_r))\n", "(roleattribute A) (roleattributeset A (or B (and B B)))") + "(roletype x40 base_u)"},
		{"CategorySets", doubling("(categoryset x0 (base_c0 base_c1))\n", "(categoryset A (xor B (not B)))") + "(userrange base_user ((base_s0) (base_s0 x40)))"},
		{"Brackets", "(typeattributeset base_a " + strings.Repeat("(not ", 3000) + "(base_t)" + strings.Repeat(")", 3001)},
		{"Bounds", many(20000, "(type xN)") + many(20000, "(typebounds xN xM)")},
		{"PermissionsOfAMap", "(classmap x (" + many(20000, "pN ") + ")) " + many(20000, "(classmapping x pN (base_file (read)))") + "(allow base_t base_t (x (all)))"},
		{"Orders", many(3000, "(category xN)") + "(categoryorder (base_c3 x0))" + many(2999, "(categoryorder (xN xM))")},
		{"OrdersThatWait", many(3000, "(category xN)") + "(categoryorder (base_c3 x0))" + many(2999, "(categoryorder (xK xL))")},
		{"Permissions", "(class x (" + many(20000, "pN ") + "))"},
	} {
		t.Run(hostile.name, func(t *testing.T) {
			before := processorTime(t)
			_, err := Compile([]Source{{"base", []byte(testBase)}, {"t", []byte(hostile.text)}}, Options{})
			if took := processorTime(t) - before; took > 3*time.Second {
				t.Errorf("%v: %.300v", took, err)
			}
		})
	}
}

// processorTime is what this process used up so far, which does not depend on what else runs.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
