// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// storedPolicy has something in every field.
func storedPolicy() *Policy {
	return &Policy{
		Default: Errno | 1, ABIs: []*syscalls.ABI{syscalls.ByName("x86_64"), syscalls.ByName("x86")}, Newest: Version{Major: 6, Minor: 9}, Flags: FlagLog,
		Rules: []Rule{
			{Names: []string{"read", "write"}, Action: Allow},
			{Names: []string{"socket"}, Action: Allow, Conditions: []Condition{{Index: 1, Op: MaskedEqual, Value: 2, Mask: 3, Width: 32}, {Index: 2, Op: Less, Value: 9}}},
		},
	}
}

func TestEverythingThatMattersIsInTheBytes(t *testing.T) {
	original, _ := storedPolicy().AppendBinary(nil)
	if again, _ := storedPolicy().AppendBinary(nil); !bytes.Equal(original, again) {
		t.Error("the same policy gives other bytes")
	}
	for name, change := range map[string]func(*Policy){
		"Default":      func(p *Policy) { p.Default = Errno | 2 },
		"NoABI":        func(p *Policy) { p.ABIs = p.ABIs[:1] },
		"OtherABI":     func(p *Policy) { p.ABIs[1] = syscalls.ByName("x32") },
		"Newest":       func(p *Policy) { p.Newest.Minor++ },
		"Flags":        func(p *Policy) { p.Flags |= FlagSpecAllow },
		"Action":       func(p *Policy) { p.Rules[0].Action = Log },
		"Name":         func(p *Policy) { p.Rules[0].Names[1] = "writf" },
		"NameMoves":    func(p *Policy) { p.Rules[0].Names = []string{"readw", "rite"} },
		"RuleMoves":    func(p *Policy) { slices.Reverse(p.Rules) },
		"RulesJoin":    func(p *Policy) { p.Rules[0].Names = append(p.Rules[0].Names, "socket"); p.Rules = p.Rules[:1] },
		"Index":        func(p *Policy) { p.Rules[1].Conditions[0].Index = 0 },
		"Operator":     func(p *Policy) { p.Rules[1].Conditions[0].Op = Equal },
		"Value":        func(p *Policy) { p.Rules[1].Conditions[0].Value = 1 },
		"Mask":         func(p *Policy) { p.Rules[1].Conditions[0].Mask = 7 },
		"Width":        func(p *Policy) { p.Rules[1].Conditions[0].Width = 64 },
		"OneCondition": func(p *Policy) { p.Rules[1].Conditions = p.Rules[1].Conditions[:1] },
	} {
		p := storedPolicy()
		change(p)
		if got, _ := p.AppendBinary(nil); bytes.Equal(got, original) {
			t.Errorf("%s: another policy gives the same bytes", name)
		}
	}
	// What AppendBinary does not know of would be missing.
	for kind, fields := range map[reflect.Type]string{
		reflect.TypeFor[Policy](): "Default ABIs Rules Newest Flags ListenerPath ListenerMetadata", reflect.TypeFor[Rule](): "Names Action Conditions Place",
		reflect.TypeFor[Condition](): "Index Op Value Mask Width",
	} {
		var names []string
		for field := range kind.Fields() {
			names = append(names, field.Name)
		}
		if strings.Join(names, " ") != fields {
			t.Errorf("%s has the fields %v: is AppendBinary right?", kind, names)
		}
	}
}

func TestFilterComesBackFromItsBytes(t *testing.T) {
	filter, err := Compile(storedPolicy())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DecodeFilter(filter.Bytes(), filter.BigEndian, filter.Flags); err != nil || !reflect.DeepEqual(again, filter) {
		t.Errorf("got %+v, %v", again, err)
	}
	for name, raw := range map[string][]byte{"Empty": nil, "Cut": filter.Bytes()[:len(filter.Bytes())-8], "Odd": filter.Bytes()[:12], "Zeros": make([]byte, 16)} {
		if _, err := DecodeFilter(raw, false, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
