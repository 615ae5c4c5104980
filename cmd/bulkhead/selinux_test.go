// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const smallPolicy = "../../selinux/policydb/testdata/small.33"

// runSELinux runs the command in this process.
func runSELinux(args ...string) (string, error) {
	var out bytes.Buffer
	command := selinuxCommand()
	command.SetOut(&out)
	command.SetErr(io.Discard)
	command.SilenceUsage = true
	command.SetArgs(args)
	err := command.Execute()
	return out.String(), err
}

func TestSELinuxQuery(t *testing.T) {
	got, err := runSELinux("query", "--policy", smallPolicy, "-A", "-s", "init_t", "-c", "file")
	if want := "allow domain file_type:file { getattr read };\nallow init_t bin_t:file { entrypoint execute };\n"; err != nil || got != want {
		t.Errorf("%v: %q", err, got)
	}
	got, err = runSELinux("query", "--policy", smallPolicy, "--json", "-T", "-s", "init_t", "--ds", "-t", "bin_t", "--dt")
	if err != nil || !strings.Contains(got, `"type_transition init_t bin_t:process app_t;"`) {
		t.Errorf("%v: %q", err, got)
	}
}

func TestSELinuxCommandLinesThatAreRefused(t *testing.T) {
	for line, words := range map[string]string{
		"nothing":          `unknown command "nothing"`,
		"contexts nothing": `unknown command "nothing"`,
		"contexts translate --root / --setrans f c": "--setrans or --root, not both",
		"query --ds":                                    "--ds or --rs without --source",
		"query -rt":                                     "--dt or --rt without --target",
		"query --eb":                                    "--eb or --rb without --bool",
		"query --Sp -c file":                            "--ep or --Sp without --perms",
		"query --ex":                                    "--ex without --xperms",
		"compile --onto p --order 3.4 a.cil":            "--order or --onto, not both",
		"decide --label /=c s t file read":              "go with --path",
		"decide --file-contexts f s t file read":        "go with --path",
		"decide --ioctl 1 --nlmsg 2 s t tcp_socket":     "not both",
		"decide --path /etc/passwd s read":              "--path FILE and --as UID go together",
		"contexts match -m x --file-contexts nothing /": `type of file "x"`,
	} {
		if _, err := runSELinux(strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), words) || !errors.As(err, new(usageError)) {
			t.Errorf("%s: %v, want %s", line, err, words)
		}
	}
}

func TestSELinuxBadQuestions(t *testing.T) {
	for name, args := range map[string][]string{
		`the policy has no type or attribute "nothing_t"`: {"query", "--policy", smallPolicy, "-s", "nothing_t"},
		`the policy has no permission of file "fly"`:      {"decide", "--policy", smallPolicy, "system_u:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "file", "fly"},
		`no class "thing"`:    {"decide", "--policy", smallPolicy, "system_u:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "thing", "fly"},
		`no user "nobody"`:    {"decide", "--policy", smallPolicy, "nobody:system_r:app_t:s0", "system_u:object_r:tmp_t:s0", "file", "read"},
		"the magic number is": {"query", "--policy", "selinux_test.go"},
		"no such file":        {"query", "--policy", "nothing.33"},
	} {
		if _, err := runSELinux(args...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
	var broken *policydb.FormatError
	if _, err := runSELinux("query", "--policy", "selinux_test.go"); !errors.As(err, &broken) || broken.Offset != 4 {
		t.Errorf("a text as policy: %v", err)
	}
}

func TestSELinuxIsolation(t *testing.T) {
	var left exitCode
	got, err := runSELinux("isolation", "--policy", smallPolicy, "--json", "system_u:system_r:app_t:s0:c1", "system_u:object_r:data_t:s0:c2")
	var list []residue
	if !errors.As(err, &left) || left != exitFailed || json.Unmarshal([]byte(got), &list) != nil || len(list) != 2 {
		t.Fatalf("%v: %s", err, got)
	}
	if want := (residue{"system_u:object_r:data_t:s0:c2", "file", []string{"getattr", "ioctl", "relabelfrom"}, []string{"read", "relabelto"}}); !reflect.DeepEqual(list[0], want) {
		t.Errorf("got %+v, want %+v", list[0], want)
	}
	if got, err := runSELinux("isolation", "--policy", smallPolicy, "system_u:object_r:tmp_t:s0:c1", "system_u:object_r:data_t:s0:c2"); err != nil || got != "" && !strings.HasPrefix(got, "TARGET") {
		t.Errorf("nothing is left: %v: %s", err, got)
	}
}

func TestSELinuxStats(t *testing.T) {
	got, err := runSELinux("stats", "--policy", smallPolicy, "--json")
	var counts map[string]any
	if err != nil || json.Unmarshal([]byte(got), &counts) != nil || counts["Allow"] != 15.0 || counts["Handle unknown classes"] != "deny" || counts["MLS"] != true {
		t.Errorf("%v: %s", err, got)
	}
	if got, err := runSELinux("stats", "--policy", smallPolicy); err != nil || !strings.HasPrefix(got, "WHAT") || !strings.Contains(got, "\nMLS Constrain           4\n") {
		t.Errorf("%v: %q", err, got)
	}
}

func TestSELinuxFamiliarOptions(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"query", "-A", "-s", "domain", "-ds", "-c", "file", smallPolicy}, "allow domain file_type:file { getattr read };\n"},
		{[]string{"query", "-T", "-D", "app_t", smallPolicy}, "type_transition init_t bin_t:process app_t;\n"},
		{[]string{"query", "--type_trans", "-s", "^other", "-rs", smallPolicy}, "type_transition other_t data_t:file named_t named;\n"},
		{[]string{"query", "--role_allow", "-s", "user_r", "--range_trans", "-t", "admin_r", smallPolicy}, ""},
		{[]string{"query", "--role_trans", "-t", "bin_t", smallPolicy}, "role_transition system_r bin_t:process admin_r;\n"},
		{[]string{"query", "--range_trans", "-s", "init_t", smallPolicy}, "range_transition init_t bin_t:process s1-s1:c0,c2;\n"},
		{[]string{"query", "--allowxperm", "-x", "0x8915-0x8925", smallPolicy}, "allowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };\n"},
		{[]string{"stats", "-t", "app_t", "-x", smallPolicy}, "\nTypes: 1\n   type app_t alias old_app_t, domain;\n"},
		{[]string{"stats", "--flat", "-u", "--policy", smallPolicy}, "system_u\nuser_u\n"},
		{[]string{"stats", "--flat", "--portcon", "53", "-b", "third", smallPolicy}, "third\nportcon udp 53 system_u:object_r:data_t:s0-s1:c1\n"},
	} {
		got, err := runSELinux(test.args...)
		if len(test.want) > 0 && err != nil || got != test.want {
			t.Errorf("%s: %v\n%q, want\n%q", test.args, err, got, test.want)
		}
	}
	for want, args := range map[string][]string{
		"unexpected arguments":          {"query", smallPolicy, smallPolicy},
		"missing closing ]":             {"query", "-s", "[", "-rs", smallPolicy},
		"expected a number of 16 bits":  {"query", "-x", "0x12345", smallPolicy},
		"expected LOW-HIGH":             {"query", "-x", "9-1", smallPolicy},
		"expected a number or LOW-HIGH": {"stats", "--portcon", "http", smallPolicy},
		"unknown flag: --nothing":       {"stats", "--nothing", smallPolicy},
	} {
		var usage usageError
		if _, err := runSELinux(args...); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
	if got, err := runSELinux("stats", "--attribute", "--json", smallPolicy); err != nil || !strings.Contains(got, `"Type Attributes": [`) || strings.Contains(got, "Allow") {
		t.Errorf("%v: %s", err, got)
	}
	if got, err := runSELinux("query", "--help"); err != nil || !strings.Contains(got, "sesearch(1)") {
		t.Errorf("%v: %s", err, got)
	}
}

func TestSELinuxListsOfNothingAreLists(t *testing.T) {
	for line, want := range map[string]string{
		"query --policy POLICY --json -A -s data_t --ds":   "[]\n",
		"stats --policy POLICY --json -t no_such_t":        "{\n  \"Types\": []\n}\n",
		"diff --json POLICY POLICY":                        "{\n  \"counts\": [],\n  \"equal\": true\n}\n",
		"isolation --json --policy POLICY P:s0:c1 O:s0:c2": "[]\n",
	} {
		words := strings.NewReplacer("POLICY", smallPolicy, "P:", "system_u:object_r:tmp_t:", "O:", "system_u:object_r:data_t:").Replace(line)
		if got, err := runSELinux(strings.Fields(words)...); err != nil || got != want {
			t.Errorf("%s: %v: %s, want %s", line, err, got, want)
		}
	}
}
