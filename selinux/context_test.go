// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"strings"
	"testing"
)

func TestContextsPrintInTheKernelsForm(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"pair":                              {"system_u:system_r:container_t:s0:c1,c2", "system_u:system_r:container_t:s0:c1,c2"},
		"order and repetition do not count": {"u:r:t:s0:c2,c1,c2", "u:r:t:s0:c1,c2"},
		"no range":                          {"u:r:t", "u:r:t"},
		"equal levels are printed once":     {"u:r:t:s0:c1-s0:c1", "u:r:t:s0:c1"},
		"full clearance":                    {"u:r:t:s0-s0:c0.c1023", "u:r:t:s0-s0:c0.c1023"},
		"run of two takes a comma":          {"u:r:t:s0:c0.c1", "u:r:t:s0:c0,c1"},
		"run of three takes a dot":          {"u:r:t:s0:c0,c1,c2", "u:r:t:s0:c0.c2"},
		"runs between single categories":    {"u:r:t:s0:c9,c1,c5,c6,c7,c63,c64,c65,c1022,c1023", "u:r:t:s0:c1,c5.c7,c9,c63.c65,c1022,c1023"},
		"level above s0":                    {"u:r:t:s1-s15:c0.c3", "u:r:t:s1-s15:c0.c3"},
		"namespaced type":                   {"u:r:my-app.process:s0", "u:r:my-app.process:s0"},
	} {
		t.Run(name, func(t *testing.T) {
			context, err := ParseContext(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := context.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestMistakesHaveAPlaceAndAHint(t *testing.T) {
	level := func(text string) error { _, err := ParseLevel(text); return err }
	ranged := func(text string) error { _, err := ParseRange(text); return err }
	context := func(text string) error { _, err := ParseContext(text); return err }
	set := func(text string) error { _, err := ParseCategories(text); return err }
	for _, test := range []struct {
		parse        func(string) error
		text         string
		offset       int
		reason, hint string
	}{
		{level, "s0:110", 3, `category "110" lacks its "c"`, "s0:c110"},
		{level, "s0:c1;c2", 3, `category "c1;c2" is not`, "s0:c1,c2"},
		{level, "0:c1", 0, `sensitivity "0" lacks its "s"`, "s0:c1"},
		{level, "s0:c1024", 4, "out of range c0 to c1023", ""},
		{level, "s0:c99999999999999999999", 4, "out of range", ""},
		{level, "s0:c5.c3", 3, "does not rise", "s0:c3.c5"},
		{level, "s0:c10.c9", 3, "does not rise", "s0:c9.c10"},
		{level, "s0:c3.c3", 3, "does not rise", "s0:c3"},
		{level, "s0:c1,2", 6, `category "2" lacks its "c"`, "s0:c1,c2"},
		{level, "s0:c1, c2", 6, `category " c2" is not`, "s0:c1,c2"},
		{level, "S0:C1", 0, `sensitivity "S0" is not`, "s0:c1"},
		{level, "s0:", 3, "a category is missing", "s0"},
		{level, "s0:c1,", 6, "a category is missing", "s0:c1"},
		{level, "s0:c01", 4, "leading zero", "s0:c1"},
		{level, "s0:c1-c5", 5, "a level has no", "s0:c1.c5"},
		{level, "s0-s0:c1", 2, "a level has no", ""},
		{level, "", 0, "a sensitivity is missing", ""},
		{level, "s1024", 1, "out of range s0 to s1023", ""},
		{level, "s-1", 1, "a level has no", ""},
		{ranged, "s0-s0:c0.1023", 9, `category "1023" lacks its "c"`, "s0-s0:c0.c1023"},
		{ranged, "s0:c1-s0:c2", 6, "does not dominate", ""},
		{ranged, "s1-s0", 3, "does not dominate", ""},
		{ranged, "s0:7-s0:7,8", 3, `category "7" lacks its "c"`, "s0:c7-s0:c7,c8"},
		{ranged, "s0-s0-s0", 5, "a level has no", ""},
		{context, "u:r:t:s0:110", 9, `lacks its "c"`, "u:r:t:s0:c110"},
		{context, "u:r:t:", 6, "a sensitivity is missing", ""},
		{context, "u:r:t:s0\n", 6, `sensitivity "s0\n" is not`, "u:r:t:s0"},
		{context, "u:r", 3, "fewer than three fields", ""},
		{context, "u::t:s0", 2, "the role is empty", ""},
		{context, "u:r:a b:s0", 5, `has ' ' at byte 1`, ""},
		{context, "u:r:1t:s0", 4, `has '1' at byte 0`, ""},
		{set, "12,907", 0, `category "12" lacks its "c"`, "c12,c907"},
	} {
		t.Run(test.text, func(t *testing.T) {
			var failure *ParseError
			if err := test.parse(test.text); !errors.As(err, &failure) {
				t.Fatalf("accepted, or not a ParseError: %v", err)
			}
			if failure.Offset != test.offset || failure.Hint != test.hint || !strings.Contains(failure.Error(), test.reason) {
				t.Errorf("got %v, offset %d, hint %q; want %q, %d, %q", failure, failure.Offset, failure.Hint, test.reason, test.offset, test.hint)
			}
		})
	}
}

func TestTheFamousTypoReadsAsTold(t *testing.T) {
	_, err := ParseLevel("s0:110")
	if want := `level "s0:110": category "110" lacks its "c"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOverlongTextIsRefusedBeforeItIsRead(t *testing.T) {
	if _, err := ParseLevel("s0:" + strings.Repeat("c1,", maxText/3) + "c1"); err == nil || len(err.Error()) > 1000 {
		t.Errorf("accepted, or the error repeats the text: %.60v", err)
	}
}

func TestDominance(t *testing.T) {
	for _, test := range []struct {
		high, low string
		want      bool
	}{
		{"s0:c1,c2", "s0:c2,c1", true},
		{"s0:c1,c2", "s0:c1", true},
		{"s0:c1", "s0:c1,c2", false},
		{"s0:c0.c1023", "s0:c7,c900", true},
		{"s0:c1,c2", "s0:c1,c3", false},
		{"s1", "s0", true},
		{"s1", "s0:c1", false},
		{"s0", "s1", false},
	} {
		high, low := mustLevel(t, test.high), mustLevel(t, test.low)
		if got := high.Dominates(low); got != test.want {
			t.Errorf("%s dominates %s: got %v", high, low, got)
		}
	}
}

func TestRangesContainOnlyWhatLiesInside(t *testing.T) {
	outer, _ := ParseRange("s0-s0:c0.c1023")
	inner, _ := ParseRange("s0:c1-s0:c1,c2")
	if !outer.Contains(inner) || !outer.Contains(outer) || inner.Contains(outer) {
		t.Errorf("%s and %s", outer, inner)
	}
}

func TestSetsCompareAsSetsNotAsText(t *testing.T) {
	if mustLevel(t, "s0:c2,c1") != mustLevel(t, "s0:c1,c2") || mustLevel(t, "s0:c5.c7") != mustLevel(t, "s0:c7,c6,c5") {
		t.Error("equal sets differ")
	}
	set := Categories(0, 63, 64, 1023)
	if set.Len() != 4 || !set.Has(1023) || set.Has(1) || set.Has(1024) || set.String() != "c0,c63,c64,c1023" {
		t.Errorf("got %s", set)
	}
}

func mustLevel(t *testing.T, text string) Level {
	t.Helper()
	level, err := ParseLevel(text)
	if err != nil {
		t.Fatal(err)
	}
	return level
}

func FuzzParseContext(f *testing.F) {
	for _, seed := range []string{"system_u:system_r:container_t:s0:c1,c2", "u:r:t", "u:r:t:s0-s0:c0.c1023", "u:r:t:s0:110",
		"u:r:t:0:c1;c2", "u:r:t:s0:c5.c3", "u:r:t:s0:c1-c5", "::::", "u:r:t:s0:c1-s0:c1,c3.c9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		context, err := ParseContext(text)
		if err != nil {
			checkFailure(t, text, err)
			return
		}
		again, err := ParseContext(context.String())
		if err != nil || again != context {
			t.Errorf("%q printed as %q, which reads as %q (%v)", text, context, again, err)
		}
	})
}

// checkFailure holds every refusal to a place inside the text and a hint that would be accepted.
func checkFailure(t *testing.T, text string, err error) {
	var failure *ParseError
	if !errors.As(err, &failure) || failure.Offset < 0 || failure.Offset > len(text) {
		t.Fatalf("%q: no place: %v", text, err)
	}
	if failure.Hint != "" {
		if _, err := ParseContext(failure.Hint); err != nil {
			t.Errorf("%q: hint %q does not parse: %v", text, failure.Hint, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"s0", "s0:c1,c2", "s0-s15:c0.c1023", "0", "s0:1,2;3-4", "s0:c1.c2.c3", "s0:c5.c3-s0:7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := ParseRange(text)
		if err != nil {
			return
		}
		again, err := ParseRange(value.String())
		if err != nil || again != value || !value.High.Dominates(value.Low) {
			t.Errorf("%q printed as %q, which reads as %q (%v)", text, value, again, err)
		}
	})
}
