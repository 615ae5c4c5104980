// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestExplanations(t *testing.T) {
	_, p := small(t, 33)
	for name, test := range map[string]struct {
		source, target, class, permission string
		cause                             Cause
		rules, off                        []string
		constraint                        string
		values                            []TermValue
	}{
		"Allowed":                 {app, object + "tmp_t:s0", "file", "read", ByRule, []string{"allow domain file_type:file { getattr read };"}, nil, "", nil},
		"NoRule":                  {app, object + "tmp_t:s0", "dir", "search", NoRule, nil, nil, "", nil},
		"RuleOfABooleanThatIsOff": {app, object + "tmp_t:s0", "file", "write", NoRule, nil, []string{"allow app_t tmp_t:file write; [ ! may_signal ^ may_write ]:True"}, "", nil},
		"Constraint": {"system_u:system_r:app_t:s0:c1", object + "tmp_t:s0:c2", "file", "read", ByConstraint, []string{"allow domain file_type:file { getattr read };"}, nil,
			"( l1 dom l2 or t1 == kernel_t )", []TermValue{{"l1 dom l2", "s0:c1 and s0:c2", false}, {"t1 == kernel_t", "app_t", false}}},
		"Role": {"system_u:system_r:init_t:s0", "user_u:user_r:app_t:s0", "process", "dyntransition", ByRole, []string{"allow init_t domain:process { dyntransition signal transition };"}, nil, "", nil},
	} {
		source, _ := p.ParseContext(test.source)
		target, _ := p.ParseContext(test.target)
		class, _ := p.Class(test.class)
		bit, err := p.Permission(class, test.permission)
		if err != nil {
			t.Fatal(err)
		}
		x := p.Explain(source, target, class.Value, bit)
		if x.Cause != test.cause || x.Allowed != (test.cause == ByRule) {
			t.Errorf("%s: %s, want %s", name, x.Cause, test.cause)
		}
		words := func(list []Found) (texts []string) {
			for _, found := range list {
				texts = append(texts, p.FormatRule(found))
			}
			return texts
		}
		if got := words(x.Rules); !slices.Equal(got, test.rules) {
			t.Errorf("%s: rules %q", name, got)
		}
		if got := words(x.Off); !slices.Equal(got, test.off) {
			t.Errorf("%s: rules that are off %q", name, got)
		}
		if test.constraint != "" && (x.Constraint == nil || p.FormatExpression(x.Constraint.Expression) != test.constraint || !slices.Equal(x.Terms, test.values)) {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

func TestBoundsAreExplained(t *testing.T) {
	_, p := small(t, 33)
	source, _ := p.ParseContext("system_u:system_r:parent_t_child:s0")
	target, _ := p.ParseContext(object + "tmp_t:s0")
	file, _ := p.Class("file")
	write, _ := p.Permission(file, "write")
	child := p.names().typeNames["parent_t_child"]
	p.Rules = append(p.Rules, Rule{Source: uint16(child.Value), Target: uint16(target.Type), Class: uint16(file.Value), Kind: RuleAllow, Data: write})
	x := p.Explain(source, target, file.Value, write)
	if x.Allowed || x.Cause != ByBounds || x.Bounds == nil || x.Bounds.Cause != NoRule || x.Bounding != "parent_t" || len(x.Rules) != 1 {
		t.Errorf("%+v", x)
	}
}

// Every explanation says what the decision is, and a cause that goes with it.
func TestExplanationsAgreeWithDecisions(t *testing.T) {
	_, p := small(t, 33)
	random := rand.New(rand.NewPCG(1, 2))
	var contexts []*Context
	for _, text := range []string{app, "system_u:system_r:init_t:s0-s1", "user_u:user_r:parent_t_child:s0:c1", "system_u:admin_r:kernel_t:s1", object + "data_t:s0",
		object + "secret_t:s1:c1", object + "tmp_t:s0:c0,c1", object + "quiet_t:s0", "system_u:system_r:other_t:s0"} {
		context, err := p.ParseContext(text)
		if err != nil {
			t.Fatal(err)
		}
		contexts = append(contexts, context)
	}
	for range 5000 {
		source, target := contexts[random.IntN(len(contexts))], contexts[random.IntN(len(contexts))]
		class, bit := random.Uint32N(p.Classes.Primary)+1, uint32(1)<<random.IntN(8)
		d, x := p.Decide(source, target, class), p.Explain(source, target, class, bit)
		if x.Allowed != (d.Allowed&bit != 0) || x.Allowed != (x.Cause == ByRule) || (x.Cause == NoRule) != (len(x.Rules) == 0) || x.Permissive != d.Permissive {
			t.Fatalf("%s on %s, class %d, %#x: %+v, %+v", p.FormatContext(source), p.FormatContext(target), class, bit, d, x)
		}
	}
}

func TestResidue(t *testing.T) {
	_, p := small(t, 33)
	for target, want := range map[string][]string{
		object + "data_t:s0:c1": {"file { getattr ioctl read relabelfrom } stopped relabelto", "dir { add_name search } stopped -"},
		object + "data_t:s0:c2": {"file { getattr ioctl relabelfrom } stopped { read relabelto }", "dir add_name stopped search"},
		"system_u:system_r:app_t:s0:c2": {"process fork stopped signal", "unix_stream_socket { connectto read write } stopped -",
			"netlink_route_socket nlmsg_read stopped -"},
	} {
		source, _ := p.ParseContext("system_u:system_r:app_t:s0:c1")
		context, err := p.ParseContext(target)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, access := range p.Residue(source, context) {
			class := uint16(access.Class.Value)
			got = append(got, access.Class.Name+" "+p.formatPermissions(class, access.Allowed)+" stopped "+p.formatPermissions(class, access.Stopped))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
