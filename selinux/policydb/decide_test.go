// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"errors"
	"strings"
	"testing"
)

// ask puts a question in words: the permissions that are allowed, in the order of their bits.
func ask(t *testing.T, p *Policy, source, target, class string) (Decision, string) {
	t.Helper()
	from, err := p.ParseContext(source)
	if err != nil {
		t.Fatal(err)
	}
	to, err := p.ParseContext(target)
	if err != nil {
		t.Fatal(err)
	}
	of, err := p.Class(class)
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(from, to, of.Value)
	return d, strings.Join(p.PermissionNames(of, d.Allowed), " ")
}

const (
	app    = "system_u:system_r:app_t:s0"
	object = "system_u:object_r:"
)

func TestDecisions(t *testing.T) {
	_, p := small(t, 33)
	for name, test := range map[string]struct{ source, target, class, want string }{
		"RuleOfAttributes":                {app, object + "tmp_t:s0", "file", "getattr read"},
		"RuleOfTheTypeItself":             {app, object + "data_t:s0", "file", "getattr ioctl read relabelfrom"},
		"TheConstraintAsksForAnotherUser": {"user_u:user_r:app_t:s0", object + "data_t:s0", "file", "getattr ioctl read relabelfrom relabelto"},
		"NoRule":                          {app, object + "tmp_t:s0", "dir", ""},
		"Self":                            {app, app, "unix_stream_socket", "connectto read write"},
		"SelfIsNotAnother":                {app, "system_u:system_r:init_t:s0", "unix_stream_socket", ""},
		"LowerMayNotReadUp":               {app, object + "tmp_t:s1", "file", "getattr"},
		"HigherReadsDown":                 {"system_u:system_r:app_t:s1", object + "tmp_t:s0", "file", "getattr read"},
		"OtherCategoryIsNotRead":          {"system_u:system_r:app_t:s0:c1", object + "tmp_t:s0:c2", "file", "getattr"},
		"MoreCategoriesRead":              {"system_u:system_r:app_t:s0:c1,c2", object + "tmp_t:s0:c2", "file", "getattr read"},
		"TheConstraintExemptsAType":       {"system_u:system_r:kernel_t:s0", object + "tmp_t:s1:c2", "file", "getattr read"},
		"RolesMustAllowTheChange":         {"system_u:system_r:init_t:s0", "user_u:user_r:app_t:s0", "process", "fork signal"},
		"RoleAllowLetsItChange":           {"system_u:system_r:init_t:s0", "system_u:admin_r:app_t:s0", "process", "transition dyntransition fork signal"},
		"SignalNeedsTheSameLevel":         {"system_u:system_r:init_t:s0-s1", "system_u:system_r:app_t:s1", "process", "transition dyntransition fork"},
		"BoundsTakeWhatTheParentLacks":    {"system_u:system_r:parent_t_child:s0", object + "tmp_t:s0", "file", "getattr read"},
		"BoundsLeaveWhatTheParentHas":     {"system_u:system_r:parent_t_child:s0", object + "data_t:s0", "file", "getattr read write"},
		"TheTargetsBoundsAreAskedInTurn":  {"system_u:system_r:parent_t_child:s0", object + "secret_t:s0", "file", "getattr read write"},
		"RelabelOfSecrets":                {app, object + "secret_t:s0", "file", "getattr ioctl read"},
	} {
		if _, got := ask(t, p, test.source, test.target, test.class); got != test.want {
			t.Errorf("%s: %s on %s, %s: got %q, want %q", name, test.source, test.target, test.class, got, test.want)
		}
	}
}

func TestAuditAndPermissive(t *testing.T) {
	_, p := small(t, 33)
	file, _ := p.Class("file")
	write, _ := p.Permission(file, "write")
	read, _ := p.Permission(file, "read")
	if d, _ := ask(t, p, app, object+"quiet_t:s0", "file"); d.AuditDeny&write != 0 || d.AuditDeny&read == 0 {
		t.Errorf("dontaudit write: %#x", d.AuditDeny)
	}
	if d, _ := ask(t, p, app, object+"secret_t:s0", "file"); d.AuditAllow != read {
		t.Errorf("auditallow read: %#x", d.AuditAllow)
	}
	for source, want := range map[string]bool{app: false, "system_u:system_r:other_t:s0": true} {
		if d, _ := ask(t, p, source, object+"tmp_t:s0", "file"); d.Permissive != want {
			t.Errorf("%s: permissive %v", source, d.Permissive)
		}
	}
}

func TestBooleansSwitchBranches(t *testing.T) {
	_, p := small(t, 33)
	const without, with = "getattr ioctl read relabelfrom", "getattr ioctl read write relabelfrom"
	for _, step := range []struct {
		set  map[string]bool
		data string // app_t on data_t
		tmp  bool   // app_t writes tmp_t
	}{
		{nil, without, false},
		{map[string]bool{"may_write": true}, with, true},
		{map[string]bool{"may_write": false, "third": true}, with, false},
		{map[string]bool{"may_signal": false}, without, true},
	} {
		if err := p.SetBooleans(step.set); err != nil {
			t.Fatal(err)
		}
		if _, got := ask(t, p, app, object+"data_t:s0", "file"); got != step.data {
			t.Errorf("%v: %q, want %q", step.set, got, step.data)
		}
		if _, got := ask(t, p, app, object+"tmp_t:s0", "file"); strings.Contains(got, "write") != step.tmp {
			t.Errorf("%v: on tmp_t %q", step.set, got)
		}
	}
	var unknown *UnknownError
	if err := p.SetBooleans(map[string]bool{"third": false, "fourth": true}); !errors.As(err, &unknown) || unknown.Name != "fourth" {
		t.Errorf("unknown boolean: %v", err)
	}
}

func TestUnknownClasses(t *testing.T) {
	_, p := small(t, 33)
	context, err := p.ParseContext(app)
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[UnknownPermissions]uint32{DenyUnknown: 0, RejectUnknown: 0, AllowUnknown: ^uint32(0)} {
		p.Unknown = setting
		if d := p.Decide(context, context, 0); d.Allowed != want {
			t.Errorf("unknown %d: %#x", setting, d.Allowed)
		}
		if d := p.Decide(context, context, p.Classes.Primary+1); d.Allowed != 0 {
			t.Errorf("unknown %d, a class that cannot be: %#x", setting, d.Allowed)
		}
	}
}

func TestContexts(t *testing.T) {
	_, p := small(t, 33)
	for text, want := range map[string]string{
		"system_u:system_r:app_t:s0-s1:c0.c5":       "system_u:system_r:app_t:s0-s1:c0.c5",
		"system_u:system_r:old_app_t:low":           app,
		"system_u:object_r:tmp_t:s0:c1,c0,red":      "system_u:object_r:tmp_t:s0:c0,c1,c5",
		"system_u:object_r:tmp_t:s1:c2.c4-s1:c0.c4": "system_u:object_r:tmp_t:s1:c2.c4-s1:c0.c4",
		"user_u:object_r:tmp_t:s1":                  "user_u:object_r:tmp_t:s1", // objects are not held to the user's range
	} {
		context, err := p.ParseContext(text)
		if err != nil || p.FormatContext(context) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"system_u:system_r:app_t":          "no range",
		"nobody_u:system_r:app_t:s0":       `no user "nobody_u"`,
		"system_u:system_r:domain:s0":      `no type "domain"`,
		"system_u:system_r:tmp_t:s0":       "role system_r does not go with type tmp_t",
		"user_u:system_r:app_t:s0":         "user user_u does not go with role system_r",
		"user_u:user_r:app_t:s0:c2":        "not within that of user user_u, s0-s0:c0,c1",
		"system_u:system_r:app_t:s2:c5":    "does not go with all of the categories",
		"system_u:system_r:app_t:s1-s0":    "does not dominate",
		"system_u:system_r:app_t:s0:c3.c1": "does not rise",
		"system_u:system_r:app_t:s0:c9":    `no category "c9"`,
		"system_u:system_r:app_t:s9":       `no sensitivity "s9"`,
		"app_t:s0":                         "fewer than three fields",
	} {
		if _, err := p.ParseContext(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTransitions(t *testing.T) {
	_, p := small(t, 33)
	for name, test := range map[string]struct {
		kind                              uint16
		source, target, class, file, want string
	}{
		"ProcessByRule":          {Transition, "system_u:system_r:init_t:s0", object + "bin_t:s0", "process", "", "system_u:admin_r:app_t:s1-s1:c0,c2"},
		"ProcessWithoutRule":     {Transition, app, object + "data_t:s0", "process", "", app},
		"FileByRule":             {Transition, app, object + "data_t:s0", "file", "", object + "tmp_t:s0"},
		"FileByName":             {Transition, app, object + "data_t:s0", "file", "named", object + "named_t:s0"},
		"OtherNameHasTheRule":    {Transition, app, object + "data_t:s0", "file", "other", object + "tmp_t:s0"},
		"FileTakesItsDirectorys": {Transition, app, object + "secret_t:s0", "file", "", object + "secret_t:s0"},
		"RangeByRule":            {Transition, app, object + "tmp_t:s0", "file", "", object + "tmp_t:s0:c1"},
		"Change":                 {Change, app, object + "data_t:s0", "file", "", object + "secret_t:s0"},
		"Member":                 {Member, "system_u:system_r:app_t:s0-s1", "user_u:object_r:data_t:s0", "dir", "", "user_u:system_r:tmp_t:s0"},
		"DefaultsOfTheClass":     {Transition, "system_u:object_r:secret_t:s0", "user_u:object_r:data_t:s1:c1", "dir", "", "user_u:object_r:data_t:s1:c1"},
		"CommonRange":            {Transition, "system_u:system_r:app_t:s0-s1:c0,c1", "system_u:system_r:app_t:s0-s1:c1,c2", "unix_stream_socket", "", "system_u:system_r:app_t:s0-s1:c1"},
	} {
		source, _ := p.ParseContext(test.source)
		target, err := p.ParseContext(test.target)
		if source == nil || err != nil {
			t.Fatal(name, err)
		}
		class, err := p.Class(test.class)
		if err != nil {
			t.Fatal(err)
		}
		made, err := p.Compute(test.kind, source, target, class.Value, test.file)
		if err != nil && name != "Member" {
			t.Errorf("%s: %v", name, err)
		} else if got := p.FormatContext(made); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestValidateTransition(t *testing.T) {
	_, p := small(t, 33)
	file, _ := p.Class("file")
	for name, test := range map[string]struct {
		old, new, process string
		holds             bool
	}{
		"SameType":          {object + "tmp_t:s0", object + "tmp_t:s0", app, true},
		"OtherType":         {object + "tmp_t:s0", object + "data_t:s0", app, false},
		"TheProcessMay":     {object + "tmp_t:s0", object + "data_t:s0", "system_u:system_r:init_t:s0", true},
		"NotInThatRole":     {object + "tmp_t:s0", object + "data_t:s0", "system_u:admin_r:init_t:s0", false},
		"LevelBySystemUser": {object + "tmp_t:s0", object + "tmp_t:s1", app, true},
		"LevelByOther":      {object + "tmp_t:s0", object + "tmp_t:s1", "user_u:user_r:app_t:s0", false},
	} {
		var contexts []*Context
		for _, text := range []string{test.old, test.new, test.process} {
			context, err := p.ParseContext(text)
			if err != nil {
				t.Fatal(err)
			}
			contexts = append(contexts, context)
		}
		if broken := p.ValidateTransition(contexts[0], contexts[1], contexts[2], file.Value); (broken == nil) != test.holds {
			t.Errorf("%s: %+v", name, broken)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	_, p := small(b, 33)
	source, _ := p.ParseContext("system_u:system_r:app_t:s0:c1,c2")
	target, _ := p.ParseContext("system_u:object_r:data_t:s0:c1,c2")
	file, _ := p.Class("file")
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(source, target, file.Value)
	}
}
