// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/source"
)

func TestNothingCompiledOntoAPolicyIsThePolicy(t *testing.T) {
	base := guestPolicy(t)
	policy, _, err := compileCIL(base, []Source{text("empty", "; nothing\n")})
	if err != nil {
		t.Fatal(err)
	}
	before, err := base.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if after, err := policy.Encode(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%d bytes became %d, %v", len(before), len(after), err)
	}
}

func TestModulesInCILGoOnAndOff(t *testing.T) {
	k := newKernel(t)
	k.host.compile = compileCIL
	before := k.bytes()
	first := text("first", "(block first (type process) (roletype system_r process) (blockabstract first))")
	second := text("second", "(block own (blockinherit first) (allow process etc_t (file (read))))\n(boolean second_switch true)\n(type second_t)")
	k.apply(Options{}, second, first)
	list, err := k.host.List()
	if err != nil || len(list) != 2 || len(list[0].Declares) != 3 || k.has("own.process", "second_t") != "own.process second_t" {
		t.Errorf("%+v, %v, %s", list, err, k.has("own.process", "second_t"))
	}
	_, err = k.host.Unapply([]string{"first"}, Options{})
	var finding source.Diagnostic
	if !errors.As(err, &finding) || finding.Position.File != "second" {
		t.Errorf("second inherits from first: %v", err)
	}
	k.unapply("second")
	if k.unapply("first"); !bytes.Equal(k.bytes(), before) {
		t.Error("the policy is not what it was")
	}
}

func TestADomainIsMadePermissive(t *testing.T) {
	k := newKernel(t)
	k.host.compile = compileCIL
	module, err := Permissive("container_t")
	if err != nil {
		t.Fatal(err)
	}
	k.apply(Options{}, module)
	if p := k.policy(); !p.Permissive.Has(value(t, p, "container_t")) || p.Permissive.Len() != 1 {
		t.Errorf("permissive: %v", p.Permissive)
	}
	unknown, err := Permissive("nothing_t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.host.Apply([]Source{unknown}, Options{}); !errors.As(err, new(source.Diagnostic)) {
		t.Error(err)
	}
	k.unapply("permissive_container_t")
}

// Both policies answer for themselves: the types of one may have other values than those of the other.
func TestLockOutComparesByNames(t *testing.T) {
	mls := true
	moved, err := cil.Compile([]cil.Source{{Name: "first", Text: []byte("(type earlier_t)(role other_r)")}, {Name: "guest.cil", Text: []byte(vm.GuestPolicy())}}, cil.Options{MLS: &mls})
	if err != nil {
		t.Fatal(err)
	}
	if value(t, moved.Policy, "kernel_t") == value(t, guestPolicy(t), "kernel_t") {
		t.Fatal("the values are the same")
	}
	if found := LockOut(guestPolicy(t), moved.Policy, guest()); len(found) > 0 {
		t.Errorf("%v", found)
	}
}
