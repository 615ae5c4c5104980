// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

const (
	auditX86_64 = 0xc000003e
	auditI386   = 0x40000003
	x32         = 1 << 30
)

func mustRules(t testing.TB, list []Rule, otherwise Answer) *Rules {
	t.Helper()
	rules, err := NewRules(list, otherwise)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestFirstRuleThatHoldsDecides(t *testing.T) {
	unixSocket := seccomp.Condition{Index: 0, Op: seccomp.Equal, Value: 1}
	stream := seccomp.Condition{Index: 1, Op: seccomp.MaskedEqual, Value: 1, Mask: 0xf}
	rules := mustRules(t, []Rule{
		{[]string{"socket"}, []seccomp.Condition{unixSocket, stream}, Answer{Continue: true}},
		{[]string{"socket"}, []seccomp.Condition{unixSocket}, Answer{Errno: 93}},
		{[]string{"socket", "bind"}, nil, Answer{Errno: 13}},
		{[]string{"getpriority"}, nil, Answer{Value: 7}},
	}, Answer{Errno: 38})
	for name, test := range map[string]struct {
		data bpf.Data
		want Answer
	}{
		"AllConditions":        {bpf.Data{Number: 41, Arch: auditX86_64, Args: [6]uint64{1, 1 | 0x80000}}, Answer{Continue: true}},
		"OneCondition":         {bpf.Data{Number: 41, Arch: auditX86_64, Args: [6]uint64{1, 2}}, Answer{Errno: 93}},
		"NoCondition":          {bpf.Data{Number: 41, Arch: auditX86_64, Args: [6]uint64{2, 1}}, Answer{Errno: 13}},
		"HighBitsAreNotRead":   {bpf.Data{Number: 41, Arch: auditX86_64, Args: [6]uint64{1 | 1<<32, 2}}, Answer{Errno: 93}},
		"SecondName":           {bpf.Data{Number: 49, Arch: auditX86_64}, Answer{Errno: 13}},
		"Value":                {bpf.Data{Number: 140, Arch: auditX86_64}, Answer{Value: 7}},
		"ByItsNumberOnI386":    {bpf.Data{Number: 96, Arch: auditI386}, Answer{Value: 7}},
		"ByItsNumberOnX32":     {bpf.Data{Number: 140 | x32, Arch: auditX86_64}, Answer{Value: 7}},
		"NumberOfAnotherABI":   {bpf.Data{Number: 96, Arch: auditX86_64}, Answer{Errno: 38}},
		"UnknownArchitecture":  {bpf.Data{Number: 41, Arch: 1}, Answer{Errno: 38}},
		"NumberThatIsNoCall":   {bpf.Data{Number: 1<<32 - 1, Arch: auditX86_64}, Answer{Errno: 38}},
		"CallThatNobodyNames":  {bpf.Data{Number: 0, Arch: auditX86_64}, Answer{Errno: 38}},
		"PrivateNumbersOfArms": {bpf.Data{Number: 0xf0002, Arch: auditX86_64}, Answer{Errno: 38}},
	} {
		if got := rules.Answer(test.data); got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestRulesThatMakeNoSense(t *testing.T) {
	for name, test := range map[string]struct {
		rule      Rule
		otherwise Answer
		want      string
	}{
		"UnknownCall":        {Rule{Names: []string{"sokcet"}}, Answer{}, `rule 0: unknown call "sokcet"`},
		"NoSuchArgument":     {Rule{Conditions: []seccomp.Condition{{Index: 6, Op: seccomp.Equal}}}, Answer{}, "rule 0: condition"},
		"NoSuchOperator":     {Rule{Conditions: []seccomp.Condition{{Index: 0}}}, Answer{}, "rule 0: condition"},
		"NoSuchWidth":        {Rule{Conditions: []seccomp.Condition{{Op: seccomp.Equal, Width: 16}}}, Answer{}, "rule 0: condition"},
		"GoesOnAndFails":     {Rule{Answer: Answer{Continue: true, Errno: 1}}, Answer{}, "rule 0: a call that goes on"},
		"FailsWithAValue":    {Rule{Answer: Answer{Value: 1, Errno: 1}}, Answer{}, "rule 0: errno 1 and value 1"},
		"ErrnoTooLarge":      {Rule{Answer: Answer{Errno: 4096}}, Answer{}, "errno 4096 is above"},
		"OtherwiseGoesWrong": {Rule{}, Answer{Continue: true, Value: 1}, "otherwise: a call that goes on"},
	} {
		if _, err := NewRules([]Rule{test.rule}, test.otherwise); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	rules := mustRules(f, []Rule{{[]string{"socket", "ioctl"}, []seccomp.Condition{{Index: 1, Op: seccomp.Less, Value: 3}}, Answer{Errno: 1}}}, Answer{Continue: true})
	f.Add(uint32(41), uint32(auditX86_64), uint64(1))
	f.Fuzz(func(t *testing.T, number, arch uint32, argument uint64) {
		if got := rules.Answer(bpf.Data{Number: number, Arch: arch, Args: [6]uint64{argument, argument}}); got.check() != nil {
			t.Errorf("%+v", got)
		}
	})
}
