// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
)

// Rules that others cover are left out as secilc -O leaves them out.
func TestDebiansPolicyIsOptimizedToTheByte(t *testing.T) {
	directory, _, enabled := debianModules(t)
	for _, reference := range references(t) {
		want, _ := reference.kept(t, directory, "optimized", []string{"--policyvers", "33", "--optimize", "--multiple-decls"}, enabled)
		got, _, err := ours(t, cil.Options{Order: reference.order, Optimize: true, MultipleDeclarations: true}, enabled...)
		if err != nil || !bytes.Equal(want, got) {
			t.Errorf("secilc %s: %d bytes, ours %d, %v", reference.name, len(want), len(got), err)
		}
	}
}
