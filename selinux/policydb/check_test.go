// SPDX-License-Identifier: Apache-2.0

package policydb_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// A name is shown in rules, tables and errors: none may bring a line or a colour of its own.
func TestNamesThatCouldPassForStatementsAreRefused(t *testing.T) {
	file, err := os.ReadFile("testdata/small.33")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"Line":       {"secret_t", "secre\n_t", `type: the name "secre\n_t"`},
		"Terminal":   {"secret_t", "\x1b[31m__t", `type: the name "\x1b[31m__t"`},
		"Space":      {"may_write", "may write", `boolean: the name "may write"`},
		"Permission": {"relabelto", "relabel\x00o", `permission "relabel\x00o"`},
	} {
		if !bytes.Contains(file, []byte(test.old)) {
			t.Fatalf("%s: %s is not in the policy", name, test.old)
		}
		var reference *policydb.ReferenceError
		if _, err := policydb.Decode(bytes.ReplaceAll(file, []byte(test.old), []byte(test.new))); !errors.As(err, &reference) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}
