// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logLine is a denial as audit.log has it: by app_t or another type of a type, at levels below s0.
func logLine(source, target, class, permissions, more string) string {
	return `type=AVC msg=audit(1.2:3): avc:  denied  { ` + permissions + ` } for  pid=1 comm="cat" name="x" ` + more +
		` scontext=system_u:system_r:` + source + ` tcontext=system_u:object_r:` + target + ` tclass=` + class + ` permissive=0`
}

func TestSELinuxWhy(t *testing.T) {
	for name, test := range map[string]struct{ line, want string }{
		"MissingRule": {logLine("app_t:s0", "bin_t:s0", "file", "write execute", ""),
			"1 times: system_u:system_r:app_t:s0 (cat) to file system_u:object_r:bin_t:s0 (x)\n" +
				"\tdeny execute: no rule\n\tdeny write: no rule\n\tthe rule that is missing: allow app_t bin_t:file { execute write };\n"},
		"Boolean": {logLine("app_t:s0", "data_t:s0", "file", "write", ""),
			"\tdeny write: no rule\n\t\tif its condition held: allow app_t data_t:file write; [ third && may_signal || may_write ]:True\n" +
				"\ta boolean would allow it: may_write=true or third=true\n\tthe rule that is missing: allow app_t data_t:file write;\n"},
		"Constraint": {logLine("app_t:s0:c1", "data_t:s0:c2", "file", "read", ""),
			"\tdeny read: constraint\n\t\tno rule helps: ( l1 dom l2 or t1 == kernel_t )\n\t\t\tl1 dom l2 is false: s0:c1 and s0:c2\n\t\t\tt1 == kernel_t is false: app_t\n"},
		"NoRuleHelpsWhereOneIsMissing": {logLine("app_t:s1", "bin_t:s0", "file", "write", ""),
			"\tdeny write: no rule\n\t\tno rule helps: ( l1 domby h2 and ( h1 == h2 or ( l1 incomp h2 or h1 dom h2 ) ) )\n"},
		"Role": {logLine("init_t:s0", "app_t:s0", "process", "transition", ""), "\tdeny transition: role\n"},
		"ExtendedRule": {logLine("app_t:s0", "data_t:s0", "file", "ioctl", "ioctlcmd=0x8911"),
			"\tdeny ioctl 0x8911: no extended rule\n\t\tallowxperm app_t data_t:file ioctl 0x5400-0x54ff;\n\t\tallowxperm app_t data_t:file ioctl { 0x8910 0x8920-0x8930 };\n" +
				"\tthe rule that is missing: allowxperm app_t data_t:file ioctl 0x8911;\n"},
		"AllowedNow":     {logLine("app_t:s0", "tmp_t:s0", "file", "read", ""), "\tallow read: rule\n\t\tallow domain file_type:file { getattr read };\n\t\tlogged under another policy, or with other booleans\n"},
		"UnknownContext": {logLine("gone_t:s0", "tmp_t:s0", "file", "read", ""), "\tlogged under another policy: context \"system_u:system_r:gone_t:s0\": the policy has no type \"gone_t\"\n"},
		"UnknownClass":   {logLine("app_t:s0", "tmp_t:s0", "thing", "read", ""), "\tlogged under another policy: the policy has no class \"thing\"\n"},
		"Itself":         {strings.Replace(logLine("app_t:s0", "app_t:s0", "process", "ptrace", ""), "object_r:app_t", "system_r:app_t", 1), "missing: allow app_t self:process ptrace;\n"},
	} {
		if got, err := runSELinux("why", "--policy", smallPolicy, test.line); err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, test.want)
		}
	}
}

func TestSELinuxWhyCountsEqualDenials(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	one := logLine("app_t:s0", "bin_t:s0", "file", "write execute", "")
	lines := []string{one, "type=SYSCALL x", strings.Replace(one, `"cat"`, `"dog"`, 1), strings.Replace(one, "write execute", "execute write", 1),
		strings.Replace(one, "permissive=0", "permissive=1", 1), strings.Replace(one, "denied", "granted", 1), "avc: denied { cut"}
	if err := os.WriteFile(log, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := runSELinux("why", "--policy", smallPolicy, "--json", "--file", log)
	var list []denialAnswer
	if err != nil || json.Unmarshal([]byte(got), &list) != nil || len(list) != 2 || list[0].Count != 3 || strings.Join(list[0].Commands, " ") != "cat dog" || !list[1].Permissive {
		t.Errorf("%v: %s", err, got)
	}
	for want, args := range map[string][]string{
		"no denial of SELinux in 1 lines": {"nothing"},
		"not both":                        {"--file", log, "line"},
		"no such file":                    {"--file", "/no/such"},
	} {
		if _, err := runSELinux(append([]string{"why", "--policy", smallPolicy}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSELinuxWhyPassesOverLinesThatAreTooLong(t *testing.T) {
	long, one := strings.Repeat("x", 1<<18), logLine("app_t:s0", "bin_t:s0", "file", "write", "")
	for name, log := range map[string]string{"Middle": "a\n" + long + one + "\n" + one + "\n", "Last": "a\n" + long + "\n" + one, "End": one + "\n" + long, "EndOfLine": one + "\n" + long + "\n"} {
		var warnings strings.Builder
		list, err := readDenials(strings.NewReader(log), &warnings)
		if err != nil || len(list) != 1 || list[0].count != 1 {
			t.Errorf("%s: %d denials, %v", name, len(list), err)
		}
		if !strings.HasPrefix(warnings.String(), "bulkhead: warning: line 2 is longer than ") || strings.Count(warnings.String(), "\n") != 1 {
			t.Errorf("%s: %s", name, &warnings)
		}
	}
}
