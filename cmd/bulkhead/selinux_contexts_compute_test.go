// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"strings"
	"testing"
)

func TestSELinuxContextsThatRulesGive(t *testing.T) {
	const process, object = "system_u:system_r:", "system_u:object_r:"
	for name, test := range map[string]struct{ line, want string }{
		"AProcessByItsFile":   {process + "init_t:s0 " + object + "bin_t:s0 process", "system_u:admin_r:app_t:s1-s1:c0,c2\n"},
		"AFileByItsDirectory": {process + "app_t:s0:c1 " + object + "data_t:s0:c1 file", object + "tmp_t:s0:c1\n"},
		"AFileByItsName":      {"--name named " + process + "app_t:s0:c1 " + object + "data_t:s0:c1 file", object + "named_t:s0:c1\n"},
		"OfWhatIsRelabelled":  {"--change " + process + "app_t:s0:c1 " + object + "data_t:s0:c1 file", object + "secret_t:s0:c1\n"},
		"AsJSON":              {"--json --change " + process + "app_t:s0:c1 " + object + "data_t:s0:c1 file", "{\n  \"context\": \"" + object + "secret_t:s0:c1\"\n}\n"},
	} {
		if got, err := runSELinux(append([]string{"contexts", "compute", "--policy", smallPolicy}, strings.Fields(test.line)...)...); err != nil || got != test.want {
			t.Errorf("%s: %v, %q, want %q", name, err, got, test.want)
		}
	}
	refused := strings.Fields("contexts compute --member --policy " + smallPolicy + " " + process + "app_t:s0 " + object + "data_t:s0 dir")
	if _, err := runSELinux(refused...); err == nil || !strings.Contains(err.Error(), "the rules give "+process+"tmp_t:s0") || !strings.Contains(err.Error(), "role system_r does not go with type tmp_t") {
		t.Errorf("a context that the policy does not take: %v", err)
	}
	for _, line := range []string{"--member --change a b c", "--member --name x a b c", "--change --name x a b c", "a b"} {
		if _, err := runSELinux(append([]string{"contexts", "compute", "--policy", smallPolicy}, strings.Fields(line)...)...); !errors.As(err, new(usageError)) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestSELinuxValidateTransition(t *testing.T) {
	ask := func(process string, more ...string) (string, error) {
		args := []string{"contexts", "validatetrans", "--policy", smallPolicy, "system_u:object_r:tmp_t:s0", "system_u:object_r:data_t:s0", process, "file"}
		return runSELinux(append(args, more...)...)
	}
	if got, err := ask("system_u:system_r:init_t:s0"); err != nil || got != "allow\n" {
		t.Errorf("%v: %s", err, got)
	}
	var status exitCode
	if got, err := ask("system_u:system_r:app_t:s0"); !errors.As(err, &status) || status != exitFailed || !strings.HasPrefix(got, "deny\n\tno rule helps: ") || !strings.Contains(got, "t3") {
		t.Errorf("%v: %s", err, got)
	}
	if got, err := ask("system_u:system_r:app_t:s0", "--json"); !errors.As(err, &status) || !strings.Contains(got, `"allowed": false`) {
		t.Errorf("%v: %s", err, got)
	}
	if _, err := ask("nobody:system_r:app_t:s0"); err == nil || !strings.Contains(err.Error(), `no user "nobody"`) {
		t.Errorf("%v", err)
	}
}
