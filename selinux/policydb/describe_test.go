// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"slices"
	"strings"
	"testing"
)

func describe(t *testing.T, kind, name string, expanded bool) ([]string, error) {
	t.Helper()
	_, p := small(t, 33)
	for _, component := range Components() {
		if component.Kind == kind {
			return p.Describe(component, name, expanded)
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil, nil
}

func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		kind, name string
		expanded   bool
		want       string
	}{
		{"bool", "", true, "bool may_signal true;|bool may_write false;|bool third false;"},
		{"category", "red", false, "c5"},
		{"category", "c5", true, "category c5 alias red;"},
		{"class", "dir", true, "class dir\ninherits common_file\n{\n\tadd_name\n\tsearch\n}"},
		{"constrain", "dir", false, "mlsconstrain dir search ( h1 dom h2 and l2 domby h2 );"},
		{"default", "unix_stream_socket", false, "default_range unix_stream_socket glblub;"},
		{"fs_use", "ext4", false, "fs_use_xattr ext4 system_u:object_r:data_t:s0;"},
		{"genfscon", "sysfs", false, ""},
		{"initialsid", "kernel", true, "sid kernel system_u:system_r:kernel_t:s0"},
		{"nodecon", "127.0.0.1", false, "nodecon 127.0.0.1 255.255.255.255 system_u:object_r:data_t:s0"},
		{"nodecon", "::/0", false, ""},
		{"permissive", "", true, "type other_t, domain;"},
		{"portcon", "85", false, "portcon tcp 80-90 system_u:object_r:data_t:s0"},
		{"portcon", "80-85", false, "portcon tcp 80-90 system_u:object_r:data_t:s0"},
		{"portcon", "50-95", false, ""},
		{"type", "old_app_t", true, "type app_t alias old_app_t, domain;"},
		{"attribute", "domain", true, "attribute domain;\n\tapp_t\n\tinit_t\n\tkernel_t\n\tother_t\n\tparent_t\n\tparent_t_child"},
		{"user", "user_u", true, "user user_u roles user_r level s0 range s0-s0:c0,c1;"},
		{"validatetrans", "file", false, "mlsvalidatetrans file ( l1 == l2 or u3 == system_u );|validatetrans file ( t1 == t2 or ( t3 == init_t and r3 != admin_r ) );"},
	} {
		got, err := describe(t, test.kind, test.name, test.expanded)
		if err != nil || strings.Join(got, "|") != test.want {
			t.Errorf("%s %s: %v\n%q, want\n%q", test.kind, test.name, err, got, test.want)
		}
	}
	for kind, name := range map[string]string{"portcon": "many", "ibpkeycon": "9-1", "nodecon": "here"} {
		if got, err := describe(t, kind, name, false); err == nil {
			t.Errorf("%s %s: %s", kind, name, got)
		}
	}
}

func TestRulesOfRolesAndRanges(t *testing.T) {
	_, p := small(t, 33)
	for name, test := range map[string]struct {
		query Query
		want  []string
	}{
		"All":       {Query{}, []string{"allow system_r admin_r;", "allow user_r admin_r;", "role_transition system_r bin_t:process admin_r;", "role_transition system_r tmp_t:file object_r;"}},
		"Source":    {Query{Source: "user_r"}, []string{"allow user_r admin_r;"}},
		"Attribute": {Query{Source: "system_r", Target: "file_type"}, []string{"role_transition system_r bin_t:process admin_r;", "role_transition system_r tmp_t:file object_r;"}},
		"Class":     {Query{Classes: []string{"file"}}, []string{"role_transition system_r tmp_t:file object_r;"}},
		"Default":   {Query{Default: "admin_r"}, []string{"role_transition system_r bin_t:process admin_r;"}},
	} {
		var got []string
		allows, err := p.SearchRoleAllows(test.query)
		if name != "Attribute" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, allow := range allows {
			got = append(got, p.FormatRoleAllow(allow))
		}
		changes, err := p.SearchRoleTransitions(test.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, change := range changes {
			got = append(got, p.FormatRoleTransition(change))
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	found, err := p.SearchRanges(Query{Default: "s0:c1", Target: "file_type"})
	if err != nil || len(found) != 1 || p.FormatRangeTransition(found[0]) != "range_transition app_t tmp_t:file s0:c1;" {
		t.Errorf("ranges: %v, %v", found, err)
	}
	for _, query := range []Query{{Default: "s9"}, {Source: "nothing_t"}, {Classes: []string{"thing"}}} {
		if found, err := p.SearchRanges(query); err == nil {
			t.Errorf("%+v: %v", query, found)
		}
	}
}
