// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSatisfiableIsWhatTryingAllNumbersSays holds satisfiable and leastMasked against all numbers of 8 bits, by conditions that confine an argument to them.
func TestSatisfiableIsWhatTryingAllNumbersSays(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	holds := func(c Condition, x uint64) bool {
		switch c.Op {
		case NotEqual:
			return x != c.Value
		case Less:
			return x < c.Value
		case LessEqual:
			return x <= c.Value
		case Equal:
			return x == c.Value
		case GreaterEqual:
			return x >= c.Value
		case Greater:
			return x > c.Value
		}
		return x&c.Mask == c.Value&c.Mask
	}
	outcomes := [2]int{}
	for range 20000 {
		conditions := []Condition{{Op: LessEqual, Value: 255}}
		for range 1 + random.IntN(6) {
			conditions = append(conditions, Condition{Op: Operator(1 + random.IntN(7)), Value: random.Uint64N(260), Mask: random.Uint64N(256)})
		}
		want := false
	numbers:
		for x := range uint64(256) {
			for _, c := range conditions {
				if !holds(c, x) {
					continue numbers
				}
			}
			want = true
		}
		if got := satisfiable(conditions); got != want {
			t.Fatalf("%+v: %t", conditions, got)
		}
		if want {
			outcomes[1]++
		} else {
			outcomes[0]++
		}
	}
	if outcomes[0] < 2000 || outcomes[1] < 2000 {
		t.Errorf("%d contradictions of 20000", outcomes[0])
	}
}

func TestLeastMaskedAtTheEnds(t *testing.T) {
	const top = 1 << 63
	for _, test := range []struct {
		low, mask, value, want uint64
		ok                     bool
	}{
		{0, 0, 0, 0, true}, {^uint64(0), 0, 0, ^uint64(0), true}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), true}, {1, ^uint64(0), 0, 0, false},
		{top + 1, top, 0, 0, false}, {0, top, top, top, true}, {top + 7, 7, 0, top + 8, true}, {^uint64(0), 1, 0, 0, false}, {5, 3, 2, 6, true},
	} {
		if got, ok := leastMasked(test.low, test.mask, test.value); ok != test.ok || ok && got != test.want {
			t.Errorf("%#x & %#x == %#x: %#x, %t", test.low, test.mask, test.value, got, ok)
		}
	}
}

// TestConditionsOnOneArgument is what becomes of entries that name an argument more than once.
func TestConditionsOnOneArgument(t *testing.T) {
	arg := func(index int, op string, value, second uint64, more string) string {
		return fmt.Sprintf(`{"index": %d, "op": "SCMP_CMP_%s", "value": %d, "valueTwo": %d%s}`, index, op, value, second, more)
	}
	eq := func(index int, value uint64) string { return arg(index, "EQ", value, 0, "") }
	for name, test := range map[string]struct {
		args []string
		want string // rules are separated by |
	}{
		"None":                       {nil, ""},
		"OtherArguments":             {[]string{eq(0, 1), eq(1, 2)}, "0=1 1=2"},
		"TwoNumbers":                 {[]string{eq(0, 1), eq(0, 2)}, "0=1|0=2"},
		"SameNumberTwice":            {[]string{eq(0, 1), eq(0, 1)}, "0=1 0=1"},
		"TwoNumbersAndAnother":       {[]string{eq(0, 1), eq(2, 7), eq(0, 2)}, "0=1 2=7|0=2 2=7"},
		"TwoTimesTwo":                {[]string{eq(0, 1), eq(1, 3), eq(0, 2), eq(1, 4)}, "0=1 1=3|0=1 1=4|0=2 1=3|0=2 1=4"},
		"Range":                      {[]string{arg(0, "GE", 3, 0, ""), arg(0, "LE", 5, 0, "")}, "0>=3 0<=5"},
		"EmptyRange":                 {[]string{arg(0, "LT", 3, 0, ""), arg(0, "GT", 5, 0, "")}, "0<3|0>5"},
		"AllButTwo":                  {[]string{arg(0, "NE", 38, 0, ""), arg(0, "NE", 40, 0, "")}, "0!38 0!40"},
		"RangeWithoutItsOnlyNumbers": {[]string{arg(0, "GE", 3, 0, ""), arg(0, "LE", 4, 0, ""), arg(0, "NE", 3, 0, ""), arg(0, "NE", 4, 0, "")}, "0>=3|0<=4|0!3|0!4"},
		"BitsThatGoTogether":         {[]string{arg(0, "MASKED_EQ", 3, 1, ""), arg(0, "MASKED_EQ", 12, 4, "")}, "0&3=1 0&12=4"},
		"BitsThatDoNot":              {[]string{arg(0, "MASKED_EQ", 3, 1, ""), arg(0, "MASKED_EQ", 6, 2, "")}, "0&3=1|0&6=2"},
		"BitsAndNumbers":             {[]string{arg(0, "MASKED_EQ", 1, 1, ""), arg(0, "GE", 4, 0, ""), arg(0, "LT", 5, 0, "")}, "0&1=1|0>=4|0<5"},
		"OtherWidths":                {[]string{eq(0, 1), arg(0, "EQ", 2, 0, `, "width": 32`), arg(0, "EQ", 3, 0, `, "width": 64`)}, "0=1 0=2/32 0=3/64"},
		"NeverIn32Bits":              {[]string{arg(0, "GE", 1<<32, 0, `, "width": 32`), arg(0, "NE", 7, 0, `, "width": 32`)}, "0>=4294967296/32|0!7/32"},
	} {
		text := `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["pread64"], "action": "SCMP_ACT_ALLOW", "args": [` + strings.Join(test.args, ", ") + `]}]}`
		policy, _ := resolved(t, text, dockerTarget)
		var rules []string
		for _, rule := range policy.Rules {
			var all []string
			for _, c := range rule.Conditions {
				all = append(all, shortCondition(c))
			}
			rules = append(rules, strings.Join(all, " "))
		}
		if got := strings.Join(rules, "|"); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func shortCondition(c Condition) string {
	text := fmt.Sprint(c.Index, [...]string{"", "!", "<", "<=", "=", ">=", ">", fmt.Sprintf("&%d=", c.Mask)}[c.Op], c.Value)
	if c.Width != 0 {
		text += fmt.Sprintf("/%d", c.Width)
	}
	return strings.ReplaceAll(text, " ", "")
}

func TestWhatWasProbablyMeant(t *testing.T) {
	for word, want := range map[string]string{"arg": "args", "Args": "args", "includs": "includes", "exclude": "excludes", "errnoret": "errnoRet", "errNo": "errno",
		"x": "", "op": "", "syscalls": "", "comments": "comment", "names2": "names", "action": "action", "naem": "", "nams": "names"} {
		if got := nearest(word, groupFields); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
