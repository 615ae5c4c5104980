// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// lines are the differences, of some kinds, as one line each.
func lines(a, b *Policy, kinds ...string) []string {
	var found []string
	for one := range Diff(a, b, kinds...) {
		found = append(found, strings.Join(append([]string{string(one.Sign) + " " + one.Text}, one.Details...), " | "))
	}
	return found
}

// renumber gives the types other values, and puts what has no order into another one.
func renumber(p *Policy, random *rand.Rand) {
	values := random.Perm(int(p.Types.Primary)) // of each value less 1, its new one less 1
	of := func(value uint32) uint32 {
		if value == 0 {
			return 0
		}
		return uint32(values[value-1]) + 1
	}
	set := func(set Bitmap, less uint32) Bitmap {
		var made Bitmap
		for bit := range set.All() {
			made.set(of(bit+1-less) - 1 + less)
		}
		return made
	}
	attributes := make([]Bitmap, len(p.Attributes))
	for i := range p.Attributes {
		attributes[values[i]] = set(p.Attributes[i], 0)
	}
	p.Attributes, p.Permissive, p.NeverAudit = attributes, set(p.Permissive, 1), set(p.NeverAudit, 1)
	for i := range p.Types.Entries {
		p.Types.Entries[i].Value, p.Types.Entries[i].Bounds = of(p.Types.Entries[i].Value), of(p.Types.Entries[i].Bounds)
	}
	for i := range p.Roles.Entries {
		p.Roles.Entries[i].Types = set(p.Roles.Entries[i].Types, 0)
	}
	for i := range p.Classes.Entries {
		for _, constraint := range slices.Concat(p.Classes.Entries[i].Constraints, p.Classes.Entries[i].Transitions) {
			for j := range constraint.Expression {
				if term := &constraint.Expression[j]; term.Kind == TermNames && term.Attribute&AttributeType != 0 {
					term.Names, term.Types.Types = set(term.Names, 0), set(term.Types.Types, 0)
				}
			}
		}
	}
	renumberRules(p, of, set, random)
	for _, context := range contextsOf(p) {
		context.Type = of(context.Type)
	}
	for _, table := range []func(i, j int){swapper(p.Types.Entries), swapper(p.Classes.Entries), swapper(p.Users.Entries), swapper(p.Booleans.Entries)} {
		random.Shuffle(2, table)
	}
}

func swapper[T any](list []T) func(i, j int) {
	return func(i, j int) { list[i], list[j] = list[j], list[i] }
}

func renumberRules(p *Policy, of func(uint32) uint32, set func(Bitmap, uint32) Bitmap, random *rand.Rand) {
	lists := [][]Rule{p.Rules}
	for i := range p.Conditions {
		lists = append(lists, p.Conditions[i].True, p.Conditions[i].False)
	}
	for _, rules := range lists {
		for i := range rules {
			rule := &rules[i]
			rule.Source, rule.Target = uint16(of(uint32(rule.Source))), uint16(of(uint32(rule.Target)))
			if rule.Kind&ruleTypes != 0 {
				rule.Data = of(rule.Data)
			}
		}
		random.Shuffle(len(rules), swapper(rules))
	}
	random.Shuffle(len(p.Conditions), swapper(p.Conditions))
	for i := range p.RoleChanges {
		p.RoleChanges[i].Type = of(p.RoleChanges[i].Type)
	}
	for i := range p.RangeRules {
		p.RangeRules[i].Source, p.RangeRules[i].Target = of(p.RangeRules[i].Source), of(p.RangeRules[i].Target)
	}
	for i := range p.Filenames {
		p.Filenames[i].Target = of(p.Filenames[i].Target)
		for j := range p.Filenames[i].Results {
			result := &p.Filenames[i].Results[j]
			result.Sources, result.Type = set(result.Sources, 0), of(result.Type)
		}
	}
}

func contextsOf(p *Policy) []*Context {
	var found []*Context
	o := &p.Objects
	for i := range o.Initial {
		found = append(found, &o.Initial[i].Context)
	}
	for i := range o.Ports {
		found = append(found, &o.Ports[i].Context)
	}
	for i := range o.Interfaces {
		found = append(found, &o.Interfaces[i].First, &o.Interfaces[i].Second)
	}
	for i := range o.Nodes {
		found = append(found, &o.Nodes[i].Context)
	}
	for i := range o.Nodes6 {
		found = append(found, &o.Nodes6[i].Context)
	}
	for i := range o.FilesystemUses {
		found = append(found, &o.FilesystemUses[i].Context)
	}
	for i := range p.Filesystems {
		for j := range p.Filesystems[i].Paths {
			found = append(found, &p.Filesystems[i].Paths[j].Context)
		}
	}
	return found
}

func TestValuesAndOrderAreNoDifference(t *testing.T) {
	_, p := small(t, 33)
	for seed := range uint64(20) {
		_, other := small(t, 33)
		renumber(other, rand.New(rand.NewPCG(seed, 1)))
		data, err := other.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if other, err = Decode(data); err != nil {
			t.Fatal(err)
		}
		if found := lines(p, other); len(found) > 0 {
			t.Fatalf("renumbered by %d: %s", seed, found)
		}
		var first, second bytes.Buffer
		if err := p.FormatCIL(&first); err != nil || other.FormatCIL(&second) != nil || first.String() != second.String() {
			t.Fatalf("renumbered by %d the text is another, %v", seed, err)
		}
	}
}

func TestVersionsAreNoDifference(t *testing.T) {
	_, first := small(t, 32)
	for _, version := range []int{33, 32} {
		_, p := small(t, version)
		if found := lines(first, p); len(found) > 0 {
			t.Errorf("version %d: %s", version, found)
		}
	}
	_, first = small(t, 30)
	_, second := small(t, 31)
	if found := lines(first, second); len(found) > 0 {
		t.Errorf("30 and 31: %s", found)
	}
}

// rule finds a rule that FormatRule writes so.
func rule(t *testing.T, p *Policy, text string) *Rule {
	t.Helper()
	for i := range p.Rules {
		if p.FormatRule(Found{Rule: &p.Rules[i]}) == text {
			return &p.Rules[i]
		}
	}
	for i := range p.Conditions {
		for branch, rules := range [][]Rule{p.Conditions[i].True, p.Conditions[i].False} {
			for j := range rules {
				if p.FormatRule(Found{Rule: &rules[j], Condition: &p.Conditions[i], Branch: branch == 0}) == text {
					return &rules[j]
				}
			}
		}
	}
	t.Fatalf("no rule %q", text)
	return nil
}

// changed is a change to the small policy and the differences that it makes.
type changed struct {
	change func(p *Policy)
	want   []string
}

func typeOf(p *Policy, name string) *Type { return p.names().typeNames[name] }

func (c changed) check(t *testing.T) {
	_, before := small(t, 33)
	_, after := small(t, 33)
	c.change(after)
	if err := after.Check(); err != nil {
		t.Fatal(err)
	}
	if got := lines(before, after); !slices.Equal(got, c.want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
	}
	if back := lines(after, before); len(back) != len(c.want) {
		t.Errorf("the other way round: %s", strings.Join(back, "\n"))
	}
}

func TestDifferencesOfRules(t *testing.T) {
	for name, test := range map[string]changed{
		"Nothing": {func(*Policy) {}, nil},
		"ARuleOfAttributesForEachOfItsTypesIsTheSame": {func(p *Policy) {
			old := *rule(t, p, "allow domain file_type:file { getattr read };")
			p.Rules = slices.DeleteFunc(p.Rules, func(r Rule) bool { return r == old })
			for source := range p.Members(typeOf(p, "domain")).All() {
				for target := range p.Members(typeOf(p, "file_type")).All() {
					p.Rules = append(p.Rules, Rule{uint16(source + 1), uint16(target + 1), old.Class, old.Kind, old.Data, nil})
				}
			}
		}, nil},
		"WithoutOneOfTheTypes": {func(p *Policy) {
			old := *rule(t, p, "allow domain file_type:file { getattr read };")
			p.Rules = slices.DeleteFunc(p.Rules, func(r Rule) bool { return r == old })
			for source := range p.Members(typeOf(p, "domain")).All() {
				if source+1 != typeOf(p, "other_t").Value {
					p.Rules = append(p.Rules, Rule{uint16(source + 1), old.Target, old.Class, old.Kind, old.Data, nil})
				}
			}
		}, []string{"- allow other_t bin_t:file { getattr read };", "- allow other_t data_t:file { getattr read };", "- allow other_t named_t:file { getattr read };",
			"- allow other_t quiet_t:file { getattr read };", "- allow other_t secret_t:file { getattr read };", "- allow other_t tmp_t:file { getattr read };"}},
		"Permissions": {func(p *Policy) { rule(t, p, "allow app_t data_t:dir { add_name search };").Data = 1 << 6 },
			[]string{"* allow app_t data_t:dir { add_name -search };"}},
		"WhatAnotherRuleAllowsToo": {func(p *Policy) {
			p.Rules = append(p.Rules, Rule{uint16(typeOf(p, "app_t").Value), uint16(typeOf(p, "bin_t").Value), 1, RuleAllow, 1, nil})
		}, nil},
		"ABranchOfTheNegatedCondition": {func(p *Policy) {
			for i := range p.Conditions {
				c := &p.Conditions[i]
				c.Expression = append(slices.Clone(c.Expression), ConditionTerm{conditionNot, 0})
				c.True, c.False = c.False, c.True
			}
		}, nil},
		"AConditionInAnotherOrder": {func(p *Policy) {
			for i := range p.Conditions {
				if e := p.Conditions[i].Expression; len(e) == 3 {
					p.Conditions[i].Expression = []ConditionTerm{e[1], e[0], e[2]}
				}
			}
		}, nil},
		"AConditionThatAlwaysHolds": {func(p *Policy) {
			one := rule(t, p, "allow app_t data_t:dir { add_name search };")
			same := *one
			one.Data = 1 << 6
			p.Conditions = append(p.Conditions, Condition{Expression: []ConditionTerm{{conditionBoolean, 1}, {conditionBoolean, 1}, {conditionEqual, 0}}, True: []Rule{same}})
		}, nil},
		"BothBranches": {func(p *Policy) {
			one := rule(t, p, "allow app_t data_t:dir { add_name search };")
			same := *one
			one.Data = 1 << 6
			p.Conditions = append(p.Conditions, Condition{Expression: []ConditionTerm{{conditionBoolean, 1}}, True: []Rule{same}, False: []Rule{same}})
		}, nil},
		"AnotherCondition": {func(p *Policy) {
			for i := range p.Conditions {
				if p.FormatCondition(&p.Conditions[i]) == "third == may_write" {
					p.Conditions[i].Expression[2].Kind = conditionOr
				}
			}
		}, []string{"- allow other_t tmp_t:file write; [ third == may_write ]:True", "+ allow other_t tmp_t:file write; [ third || may_write ]:True"}},
	} {
		t.Run(name, test.check)
	}
}

func TestDifferences(t *testing.T) {
	for name, test := range map[string]changed{
		"ExtendedPermissions": {func(p *Policy) {
			rule(t, p, "allowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };").Extended.Bits[0] = 1 << 0x11
		},
			[]string{"* allowxperm app_t data_t:file ioctl { 0x5400-0x54ff 0x8920-0x8930 +0x8911 -0x8910 };"}},
		"AWholeDriverIsAllItsFunctions": {func(p *Policy) {
			e := rule(t, p, "allowxperm app_t data_t:file ioctl 0x5400-0x54ff;").Extended
			*e = Extended{Kind: extendedFunctions, Driver: 0x54, Bits: [8]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}}
		}, nil},
		"Dontaudit": {func(p *Policy) {
			rule(t, p, "dontaudit domain quiet_t:file write;").Source = uint16(typeOf(p, "app_t").Value)
		}, []string{"- dontaudit init_t quiet_t:file write;", "- dontaudit kernel_t quiet_t:file write;", "- dontaudit other_t quiet_t:file write;", "- dontaudit parent_t quiet_t:file write;", "- dontaudit parent_t_child quiet_t:file write;"}},
		"Transition": {func(p *Policy) {
			rule(t, p, "type_transition init_t bin_t:process app_t;").Data = typeOf(p, "other_t").Value
		}, []string{"* type_transition init_t bin_t:process | + other_t | - app_t"}},
		"Unknown":      {func(p *Policy) { p.Unknown = AllowUnknown }, []string{"* handle_unknown | + allow | - deny"}},
		"Capability":   {func(p *Policy) { p.Capabilities.set(4) }, []string{"+ cgroup_seclabel"}},
		"Permissive":   {func(p *Policy) { p.Permissive = nil }, []string{"* other_t | + permissive false | - permissive true"}},
		"NeverAudit":   {func(p *Policy) { p.NeverAudit.set(typeOf(p, "app_t").Value) }, []string{"* app_t | + neveraudit true | - neveraudit false"}},
		"Boolean":      {func(p *Policy) { p.Booleans.Entries[0].State ^= 1 }, []string{"* third | + default true | - default false"}},
		"RolesOfUsers": {func(p *Policy) { p.names().userNames["user_u"].Roles = nil }, []string{"* user_u | - role user_r"}},
		"ALaterPortThatCovers": {func(p *Policy) {
			both := p.Objects.Ports[1]
			both.Low, both.High, both.Context.Type = 1, 1000, typeOf(p, "tmp_t").Value
			p.Objects.Ports = append(p.Objects.Ports, both)
		}, []string{"+ portcon tcp 1-1000 system_u:object_r:tmp_t:s0"}},
	} {
		t.Run(name, test.check)
	}
}

// withConstraint are the differences after a change to a class.
func withConstraint(t *testing.T, change func(c *Class)) []string {
	t.Helper()
	_, before := small(t, 33)
	_, after := small(t, 33)
	change(after.names().classNames["file"])
	if err := after.Check(); err != nil {
		t.Fatal(err)
	}
	return lines(before, after)
}

func TestConstraintsAreComparedByWhatTheySay(t *testing.T) {
	if got := withConstraint(t, func(c *Class) {
		for i := range c.Constraints { // a or b becomes b or a
			if e := c.Constraints[i].Expression; len(e) == 3 {
				e[0], e[1] = e[1], e[0]
			}
		}
	}); got != nil {
		t.Errorf("operands swapped: %s", got)
	}
	if got := withConstraint(t, func(c *Class) {
		for i := range c.Constraints {
			if e := c.Constraints[i].Expression; e[0].Operator == OperatorDominates && e[0].Attribute == AttributeLowLow {
				e[0].Operator = OperatorIncomparable // l1 incomp l2
			}
		}
	}); !slices.Equal(got, []string{"- mlsconstrain file read ( l1 dom l2 or t1 == kernel_t );", "+ mlsconstrain file read ( l1 incomp l2 or t1 == kernel_t );"}) {
		t.Errorf("another operator: %s", got)
	}
	if got := withConstraint(t, func(c *Class) { c.Constraints = append(c.Constraints, c.Constraints[0]) }); got != nil {
		t.Errorf("a constraint twice: %s", got)
	}
	if got := withConstraint(t, func(c *Class) {
		split := c.Constraints[0]
		split.Permissions, c.Constraints[0].Permissions = 1<<0, c.Constraints[0].Permissions|1<<1
		c.Constraints = append(c.Constraints, split)
	}); len(got) != 1 || !strings.HasPrefix(got[0], "+ ") || !strings.Contains(got[0], "{ getattr ioctl }") {
		t.Errorf("for more permissions: %s", got)
	}
	if got := withConstraint(t, func(c *Class) {
		for i := range c.Constraints {
			for j := range c.Constraints[i].Expression {
				if term := &c.Constraints[i].Expression[j]; term.Kind == TermNames && term.Attribute == AttributeType && term.Names.Len() == 1 {
					term.Names.set(0) // as when an attribute has one type more
				}
			}
		}
	}); len(got) != 1 || !strings.HasPrefix(got[0], "* mlsconstrain file read ( l1 dom l2 or t1 == kernel_t ); | + t1 == kernel_t: ") {
		t.Errorf("for more types: %s", got)
	}
}

// Of overlapping ports of different contexts the kernel takes the first.
func TestTheOrderOfWhatOverlapsIsADifference(t *testing.T) {
	_, before := small(t, 33)
	_, after := small(t, 33)
	for i, p := range []*Policy{before, after} {
		wide := p.Objects.Ports[0]
		wide.Low, wide.High, wide.Context.Type = 1, 1000, p.names().typeNames["tmp_t"].Value
		p.Objects.Ports = slices.Insert(p.Objects.Ports, i*2, wide)
	}
	if got := lines(before, after); len(got) != 1 || !strings.HasPrefix(got[0], "* portcon order | ") {
		t.Errorf("%s", got)
	}
}

// triple is what one question is about.
type triple struct{ source, target, class string }

// vectors are, for every pair of types and class, what the rules say under every setting of the booleans: Diff's answer by brute force.
func vectors(p *Policy) map[triple][]Decision {
	found := map[triple][]Decision{}
	e := p.newEngine(p.makeIndex(), make([]bool, p.Booleans.Primary))
	for setting := range 1 << p.Booleans.Primary {
		state := make([]bool, p.Booleans.Primary)
		for i := range state {
			state[i] = setting&(1<<i) != 0
		}
		e = p.newEngine(e.index, state)
		for i, source := range e.names.types {
			for j, target := range e.names.types {
				if (source.Properties|target.Properties)&TypeAttribute != 0 {
					continue
				}
				for k, class := range e.names.classes {
					d := Decision{AuditDeny: ^uint32(0)}
					e.enforceTypes(&d, uint32(i+1), uint32(j+1), uint32(k+1))
					at := triple{source.Name, target.Name, class.Name}
					found[at] = append(found[at], d)
				}
			}
		}
	}
	return found
}

// mutate changes something about the access rules.
func mutate(p *Policy, random *rand.Rand) {
	symbol := func() uint16 { return uint16(random.Uint32N(p.Types.Primary) + 1) }
	lists := []*[]Rule{&p.Rules}
	for i := range p.Conditions {
		lists = append(lists, &p.Conditions[i].True, &p.Conditions[i].False)
	}
	rules := lists[random.IntN(len(lists))]
	access := func(r Rule) bool { return r.Kind&ruleAccess != 0 }
	switch at := slices.IndexFunc(*rules, access); {
	case random.IntN(4) == 0:
		p.Attributes[random.IntN(len(p.Attributes))].set(random.Uint32N(p.Types.Primary))
	case at < 0 || random.IntN(3) == 0:
		class := p.Classes.Entries[random.IntN(len(p.Classes.Entries))]
		vector := random.Uint32() & (1<<class.Permissions.Primary - 1)
		kind := []uint16{RuleAllow, RuleAuditAllow, RuleAuditDeny}[random.IntN(3)]
		if kind == RuleAuditDeny {
			vector = ^vector
		}
		*rules = append(*rules, Rule{symbol(), symbol(), uint16(class.Value), kind, vector, nil})
	case random.IntN(2) == 0:
		(*rules)[at].Source = symbol()
	default:
		*rules = slices.Delete(*rules, at, at+1)
	}
}

// Random changes to the rules: Diff names exactly the pairs of types and the classes that brute force finds to differ.
func TestDiffFindsWhatBruteForceFinds(t *testing.T) {
	_, before := small(t, 33)
	was := vectors(before)
	nonempty := 0
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 2))
		_, after := small(t, 33)
		for range 1 + random.IntN(4) {
			mutate(after, random)
		}
		is := vectors(after)
		want := map[string]bool{}
		for at, decisions := range is {
			for i := range decisions {
				a, b := was[at][i], decisions[i]
				known := uint32(1)<<before.names().classNames[at.class].Permissions.Primary - 1
				for kind, differ := range map[string]bool{"allow": a.Allowed != b.Allowed, "auditallow": a.AuditAllow != b.AuditAllow, "dontaudit": (a.AuditDeny^b.AuditDeny)&known != 0} {
					if differ {
						want[fmt.Sprintf("%s %s %s:%s", kind, at.source, at.target, at.class)] = true
					}
				}
			}
		}
		got := map[string]bool{}
		for one := range Diff(before, after, "allow", "auditallow", "dontaudit") {
			got[strings.Join(strings.Fields(one.Text)[:3], " ")] = true
		}
		for head := range got {
			if !want[head] {
				t.Errorf("seed %d: %s is told, and is the same", seed, head)
			}
		}
		for head := range want {
			nonempty++
			if !got[head] {
				t.Errorf("seed %d: %s is not told", seed, head)
			}
		}
	}
	if nonempty < 2000 {
		t.Errorf("the changes changed %d", nonempty)
	}
}

// Diff stops when it is told to.
func TestDiffStops(t *testing.T) {
	_, before := small(t, 33)
	_, after := small(t, 27)
	count := 0
	for range Diff(before, after) {
		if count++; count == 2 {
			break
		}
	}
	if count != 2 {
		t.Errorf("%d", count)
	}
}

func FuzzDiff(f *testing.F) {
	for _, version := range []int{24, 30, 33} {
		data, _ := small(f, version)
		f.Add(data, data)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, err := Decode(first)
		if err != nil {
			return
		}
		if found := lines(a, a); len(found) > 0 {
			t.Fatalf("a policy differs from itself: %s", found)
		}
		var text bytes.Buffer
		_ = a.FormatCIL(&text)
		if b, err := Decode(second); err == nil {
			if forth, back := lines(a, b), lines(b, a); (len(forth) == 0) != (len(back) == 0) {
				t.Fatalf("forth %s, back %s", forth, back)
			}
		}
	})
}
