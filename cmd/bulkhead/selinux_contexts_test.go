// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contextsRoot is a root directory with a policy's configuration.
func contextsRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/selinux/config":                                      "SELINUX=enforcing\nSELINUXTYPE=tiny\n",
		"etc/selinux/tiny/contexts/files/file_contexts":           "/.* u:r:default_t:s0\n/data(/.*)? -d u:r:dir_t:s0\n/data(/.*)? -- u:r:file_t:s0\n/proc(/.*)? <<none>>\n",
		"etc/selinux/tiny/contexts/files/file_contexts.local":     "/data/odd u:r:odd_t:s0\n",
		"etc/selinux/tiny/contexts/files/file_contexts.subs_dist": "/alias /data\n",
		"etc/selinux/tiny/setrans.conf":                           "s0=Low\ns0:c1=Red\n",
		"data/file":                                               "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSELinuxContexts(t *testing.T) {
	root := contextsRoot(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"match", "--root", root, "/data", "/data/file", "/alias/none", "/proc/1", "/data/odd"},
			"/data\tu:r:dir_t:s0\n/data/file\tu:r:file_t:s0\n/alias/none\tu:r:file_t:s0\n/proc/1\t<<none>>\n/data/odd\tu:r:odd_t:s0\n"},
		{[]string{"match", "-n", "-m", "d", "--file-contexts", filepath.Join(root, "etc/selinux/tiny/contexts/files/file_contexts"), "/data/x"}, "u:r:dir_t:s0\n"},
		{[]string{"match", "-n", "-m", "l", "--root", root, "/data/x"}, "u:r:default_t:s0\n"},
		{[]string{"translate", "--root", root, "u:r:t:s0-s0:c1", "u:r:t:s0:c2"}, "u:r:t:Low-Red\nu:r:t:s0:c2\n"},
		{[]string{"translate", "--raw", "--setrans", filepath.Join(root, "etc/selinux/tiny/setrans.conf"), "u:r:t:Low-Red"}, "u:r:t:s0-s0:c1\n"},
		{[]string{"check", "--policy", smallPolicy, "system_u:system_r:old_app_t:s0:c1,c2"}, "valid\tsystem_u:system_r:app_t:s0:c1,c2\n"},
	} {
		if got, err := runSELinux(append([]string{"contexts"}, test.args...)...); err != nil || got != test.want {
			t.Errorf("%s: %v\n%s, want\n%s", test.args, err, got, test.want)
		}
	}
	var status exitCode
	got, err := runSELinux("contexts", "check", "--policy", smallPolicy, "system_u:user_r:app_t:s0", "system_u:system_r:app_t:s0")
	if !errors.As(err, &status) || status != 1 || !strings.Contains(got, "invalid\tcontext \"system_u:user_r:app_t:s0\": user system_u does not go with role user_r\nvalid\t") {
		t.Errorf("%v: %s", err, got)
	}
	got, err = runSELinux("contexts", "match", "--json", "--root", root, "/data/odd")
	if err != nil || !strings.Contains(got, `"line": 1`) || !strings.Contains(got, `"pattern": "/data/odd"`) {
		t.Errorf("%v: %s", err, got)
	}
	for want, args := range map[string][]string{
		"no SELinux policy is configured": {"match", "--root", filepath.Join(root, "data"), "/x"},
		"type of file \"x\"":              {"match", "-m", "x", "--root", root, "/x"},
		"an empty path":                   {"match", "--root", root, ""},
		"no such file":                    {"translate", "--setrans", filepath.Join(root, "nothing"), "u:r:t:s0"},
		`"foo" is no context`:             {"translate", "--root", root, "foo"},
	} {
		if _, err := runSELinux(append([]string{"contexts"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
