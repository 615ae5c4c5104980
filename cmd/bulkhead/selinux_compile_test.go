// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// smallCIL is a whole policy.
const smallCIL = `(mls true) (handleunknown deny) (policycap open_perms)
(class process (fork)) (class file (read)) (classorder (process file)) (sid kernel) (sidorder (kernel))
(sensitivity s0) (sensitivityorder (s0)) (category c0) (categoryorder (c0)) (sensitivitycategory s0 (c0))
(user system_u) (role object_r) (role system_r) (userrole system_u system_r) (userrole system_u object_r) (userlevel system_u (s0)) (userrange system_u ((s0) (s0 (c0))))
(type kernel_t) (type bin_t) (roletype system_r kernel_t) (roletype object_r bin_t) (sidcontext kernel (system_u system_r kernel_t ((s0) (s0))))
(allow kernel_t bin_t (file (read))) (filecon "/bin/.*" file (system_u object_r bin_t ((s0) (s0))))
`

// compileCIL runs selinux compile.
func compileCIL(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runSELinux(append([]string{"compile"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSelinuxCompileWritesAPolicyAndItsFileContexts(t *testing.T) {
	directory := t.TempDir()
	small, out, contexts := filepath.Join(directory, "small.cil"), filepath.Join(directory, "policy"), filepath.Join(directory, "file_contexts")
	writeCIL(t, small, smallCIL)
	text := compileCIL(t, "-o", out, "-f", contexts, small)
	if !strings.HasPrefix(text, "version 33, ") {
		t.Errorf("printed %q", text)
	}
	if text, err := os.ReadFile(contexts); err != nil || string(text) != "/bin/.*\t--\tsystem_u:object_r:bin_t:s0\n" {
		t.Errorf("file contexts %q: %v", text, err)
	}
	first, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if second := compileCIL(t, "-o", "-", small); second != string(first) {
		t.Error("standard output has other bytes than the file")
	}
}

func TestSelinuxCompileOntoAPolicyKeepsWhatIsThere(t *testing.T) {
	directory := t.TempDir()
	base, module, out := filepath.Join(directory, "base"), filepath.Join(directory, "module.cil"), filepath.Join(directory, "both")
	writeCIL(t, module, smallCIL)
	compileCIL(t, "-o", base, module)
	writeCIL(t, module, "(type added_t)\n(roletype object_r added_t)\n(allow added_t self (process (fork)))\n(optional missing (allow added_t nobody_t (file (read))))\n")
	var shown compiledCIL
	if err := json.Unmarshal([]byte(compileCIL(t, "--onto", base, "-o", out, "--json", module)), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown.Disabled) != 1 || shown.Disabled[0].Name != "missing" || !strings.Contains(shown.Disabled[0].Reason, "nobody_t") {
		t.Errorf("left out: %+v", shown.Disabled)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	found, err := policy.Search(policydb.Query{Kinds: policydb.RuleAllow, Source: "added_t"})
	if err != nil || len(found) != 1 {
		t.Errorf("%d rules of the new type: %v", len(found), err)
	}
}

func writeCIL(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSelinuxCompileRefusesWhatItCannotDo(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.cil")
	writeCIL(t, bad, "(type a_t)\n(allow a_t missing_t (file (read)))\n")
	for name, test := range map[string]struct {
		arguments []string
		status    int
		message   string
	}{
		"a name that is not declared": {[]string{bad}, exitFailed, "bad.cil:2:"},
		"two outputs on one stream":   {[]string{"-o", "-", "--json", bad}, exitUsage, "standard output"},
		"an unknown order":            {[]string{"--order", "2.0", bad}, exitUsage, "3.4 or 3.6"},
		"mls neither true nor false":  {[]string{"-M", "yes", bad}, exitUsage, "true or false"},
		"no such handling":            {[]string{"-U", "ignore", bad}, exitUsage, "deny, allow or reject"},
		"optimizing what is there":    {[]string{"-O", "--onto", "selinux_test.go", bad}, exitUsage, "not with --onto"},
		"a base that is no policy":    {[]string{"--onto", bad, bad}, exitFailed, "bad.cil"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runSELinux(append([]string{"compile"}, test.arguments...)...)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Fatalf("got %v", err)
			}
			var usage usageError
			if errors.As(err, &usage) != (test.status == exitUsage) {
				t.Errorf("a usage error or not: %v", err)
			}
		})
	}
}
