// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"strings"
	"testing"
)

// checked is what the tests of the checks are compiled with.
const checked = `(handleunknown deny)(mls false)(sid kernel)(sidorder (kernel))(class file (read write append ioctl))(class process (signal fork))(class netlink (ioctl nlmsg))
(classorder (file process netlink))(sensitivity s0)(sensitivityorder (s0))(category c0)(categoryorder (c0))(sensitivitycategory s0 (c0))
(user u)(role r)(role object_r)(userrole u r)(userlevel u (s0))(userrange u ((s0) (s0)))(type a)(type b)(type c)(typeattribute all_three)(typeattributeset all_three (a b c))
(roletype r all_three)(sidcontext kernel (u r a ((s0) (s0))))(allow c c (file (append)))(boolean on true)(boolean off false)
`

func checkedSources(text string) []Source {
	return []Source{{"base", []byte(checked)}, {"t", []byte(text)}}
}

// Each finding names the rule that is broken and the statements that break it.
func TestBrokenRulesOnRulesAreToldWithTheStatements(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a rule": {"(neverallow a b (file (read write)))\n(allow a b (file (read append)))", `
			t:1:1: neverallow is violated: a b:file { read } is allowed
			t:2:1: allow a b:file { read } violates the neverallow at t:1:1`},
		"several rules, one in a condition that does not hold": {"(neverallow all_three b (file (read)))\n(allow a b (file (read)))\n(booleanif off (true (allow c all_three (file (read)))))", `
			t:1:1: neverallow is violated: a b:file { read } is allowed
			t:2:1: allow a b:file { read } violates the neverallow at t:1:1
			t:3:22: allow c b:file { read } violates the neverallow at t:1:1`},
		"self, by attributes": {"(neverallow all_three self (process (signal)))\n(allow a b (process (signal)))\n(typeattribute two)(typeattributeset two (b c))(allow two two (process (signal)))", `
			t:1:1: neverallow is violated: b b:process { signal } is allowed
			t:3:48: allow b b:process { signal } violates the neverallow at t:1:1`},
		"notself": {"(neverallow a notself (process (signal)))\n(allow a self (process (signal)))\n(allow all_three all_three (process (signal)))", `
			t:1:1: neverallow is violated: a b:process { signal } is allowed
			t:3:1: allow a b:process { signal } violates the neverallow at t:1:1`},
		"a command by an allowx": {"(neverallowx a b (ioctl file (range 0x100 0x2ff)))\n(allow a b (file (ioctl)))\n(allowx a b (ioctl file (0x101)))\n(allowx a b (ioctl file (0x501)))", `
			t:1:1: neverallowx is violated: a b:file { ioctl } is allowed
			t:3:1: allowx a b:file { ioctl } violates the neverallowx at t:1:1`},
		"commands for want of an allowx": {"(neverallowx all_three b (ioctl file (0x1)))\n(allow all_three b (file (ioctl)))\n(allowx a b (ioctl file (0x2)))\n(allowx b b (ioctl file (0x2)))", `
			t:1:1: neverallowx is violated: c b:file { ioctl } without an allowx is allowed
			t:2:1: allow c b:file { ioctl } without an allowx violates the neverallowx at t:1:1`},
		"commands, where messages alone are narrowed": {"(neverallowx a self (ioctl netlink (0x1)))\n(allow a self (netlink (ioctl nlmsg)))\n(allowx a self (nlmsg netlink (0x2)))", `
			t:1:1: neverallowx is violated: a a:netlink { ioctl } without an allowx is allowed
			t:2:1: allow a a:netlink { ioctl } without an allowx violates the neverallowx at t:1:1`},
		"bounds of a type": {"(type d)(typebounds a d)(allow a b (file (read)))\n(allow d b (file (read write)))\n(allow d self (process (fork)))(allow a self (process (fork)))", `
			t:1:9: type d exceeds its bounds, type a: allow d b:file { write }
			t:2:1: allow gives type d what its bounds, type a, has not`},
		"bounds of a type, of the target too": {"(type d)(typebounds a d)(allow a d (process (signal)))(allow d self (process (signal)))", `
			t:1:9: type d exceeds its bounds, type a: allow d d:process { signal }
			t:1:55: allow gives type d what its bounds, type a, has not`},
		"bounds of a type, in another condition": {"(type d)(typebounds a d)(booleanif on (true (allow a b (file (read)))))\n(booleanif off (true (allow d b (file (read)))))", `
			t:1:9: type d exceeds its bounds, type a: allow d b:file { read }
			t:2:22: allow gives type d what its bounds, type a, has not`},
		"bounds of a role": {"(role s)(roletype s a)(rolebounds s r)", `
			t:1:23: role r exceeds its bounds, role s: it has the types b c`},
		"bounds of a user": {"(user v)(userrole v r)(role s)(userrole v s)(userlevel v (s0))(userrange v ((s0) (s0)))(userbounds u v)", `
			t:1:88: user v exceeds its bounds, user u: it has the roles s`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(checkedSources(test.text), Options{Version: 33})
			var lines []string
			for line := range strings.Lines(test.want) {
				if line = strings.TrimSpace(line); line != "" {
					lines = append(lines, line)
				}
			}
			if want := strings.Join(lines, "\n"); err == nil || err.Error() != want {
				t.Errorf("got:\n%v\nwant:\n%s", err, want)
			}
		})
	}
}

func TestRulesOnRulesThatHold(t *testing.T) {
	for name, text := range map[string]string{
		"other permissions":                   "(neverallow a b (file (read)))(allow a b (file (write)))(allow a c (file (read)))",
		"self, by attributes without overlap": "(neverallow all_three self (process (signal)))(allow a b (process (signal)))",
		"notself, by a rule about self":       "(neverallow all_three notself (process (signal)))(allow all_three self (process (signal)))",
		"other, to others than these":         "(neverallow all_three other (process (signal)))(type d)(allow all_three d (process (signal)))(allow d all_three (process (signal)))",
		"an allowx of other commands":         "(neverallowx a b (ioctl file (0x1)))(allow a b (file (ioctl)))(allowx a b (ioctl file (0x2)))",
		"an allowx without the permission":    "(neverallowx a b (ioctl file (0x1)))(allowx a b (ioctl file (0x1)))",
		"a child that has less":               "(type d)(typebounds a d)(allow a all_three (file (read write)))(allow d b (file (read)))",
		"both branches are always":            "(type d)(typebounds a d)(allow d b (file (read)))(booleanif on (true (allow a b (file (read)))) (false (allow a b (file (read write)))))",
		"a branch, within the branch":         "(type d)(typebounds a d)(booleanif on (true (allow a b (file (read))) (allow d b (file (read)))))",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(checkedSources(text), Options{Version: 33}); err != nil {
				t.Error(err)
			}
		})
	}
	broken := "(neverallow a b (file (read)))(allow a b (file (read)))(type d)(typebounds a d)(allow d b (file (write)))"
	if _, err := Compile(checkedSources(broken), Options{DisableNeverAllow: true}); err != nil {
		t.Errorf("nothing is to be checked: %v", err)
	}
}

// What the policy that is compiled onto allows is told without a statement; its own rules on rules are not in it any more.
func TestRulesOfThePolicyCompiledOntoAreCheckedToo(t *testing.T) {
	base, err := Compile([]Source{{"base", []byte(checked + "(allow a b (file (read)))(type d)(typebounds c d)(allow c b (file (read)))")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"(neverallow a b (file (read)))": "t:1:1: neverallow is violated: a b:file { read } is allowed, by the policy that is compiled onto",
		"(neverallow a c (file (read)))": "",
		"(allow d b (file (read)))":      "",
		"(allow d b (file (write)))":     "t:1:1: type d exceeds its bounds, type c: allow d b:file { write }",
	} {
		_, err := Compile([]Source{{"t", []byte(text)}}, Options{Onto: base.Policy})
		if got := ""; err != nil {
			got = err.Error()
			if !strings.Contains(got, want) || want == "" {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		} else if want != "" {
			t.Errorf("%s is taken, want %s", text, want)
		}
	}
}

func TestMoreStatementsThanAreShownAreCounted(t *testing.T) {
	text := "(neverallow a b (file (read)))" + strings.Repeat("(allow a b (file (read)))", shownStatements+7)
	_, err := Compile(checkedSources(text), Options{})
	if err == nil || strings.Count(err.Error(), "\n") != shownStatements || !strings.Contains(err.Error(), "and 7 more statements") {
		t.Errorf("%d lines", strings.Count(err.Error(), "\n"))
	}
}
