// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func TestAMachineThatIsNotReadyIsFound(t *testing.T) {
	labels := map[string]string{"/": "system_u:object_r:root_t:s0", "/bin/sh": binContext}
	for name, test := range map[string]struct {
		change func(*Readiness)
		words  string
	}{
		"ready":                     {},
		"ready at the next boot":    {change: func(r *Readiness) { r.Policy, r.PolicyFile = nil, "policy.33" }},
		"no policy":                 {change: func(r *Readiness) { r.Policy = nil }, words: "no policy is loaded, and there is none to load at boot"},
		"no label":                  {change: func(r *Readiness) { r.Labels["/bin/sh"] = "" }, words: "no label on /bin/sh"},
		"no label, no policy":       {change: func(r *Readiness) { r.Policy, r.PolicyFile, r.Labels["/"] = nil, "policy.33", "" }, words: "no label on /"},
		"a label of another policy": {change: func(r *Readiness) { r.Labels["/"] = "system_u:object_r:strange_t:s0" }, words: "a label that the policy does not know on / (system_u:object_r:strange_t:s0)"},
		"a caller who may nothing":  {change: func(r *Readiness) { r.Machine.Caller = 40 }, words: containerContext + " could neither make SELinux permissive again nor load another policy"},
		"no way back":               {change: func(r *Readiness) { forbid(t, r.Policy, "security", "setenforce", "spc_t") }, words: "could neither make SELinux permissive"},
		"no shell":                  {change: func(r *Readiness) { forbid(t, r.Policy, "file", "execute", "kernel_t") }, words: userContext + ", which is process 30 (bulkhead), could not start a shell"},
		"a parent of no context":    {change: func(r *Readiness) { r.Machine.Processes[2].Context = "nothing" }, words: "process 20 (login) has no valid context"},
		"an unknown caller":         {change: func(r *Readiness) { r.Machine.Caller, r.Machine.Processes = 7, nil }, words: "nothing is known of this process"},
		"an init of another domain": {change: func(r *Readiness) {
			p := r.Policy
			p.Rules = append(p.Rules, policydb.Rule{Source: uint16(value(t, p, "kernel_t")), Target: uint16(value(t, p, "bin_t")), Class: uint16(class(t, p, "process").Value), Kind: policydb.RuleTransition, Data: value(t, p, "spc_t")})
		}, words: "the first process is " + kernelContext + ", and the policy makes system_u:system_r:spc_t:s0-s0:c0.c1023 of it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Readiness{Policy: guestPolicy(t), Machine: guest(), Labels: maps.Clone(labels)}
			if test.change != nil {
				test.change(&r)
			}
			found := Unready(r)
			if test.words == "" && len(found) > 0 || test.words != "" && !slices.ContainsFunc(found, func(v Violation) bool { return strings.Contains(v.String(), test.words) }) {
				t.Errorf("%q, expected %q", found, test.words)
			}
		})
	}
}

// modes is a machine whose kernel is in files. It is labelled.
func modes(t *testing.T, config, enforce string) (*kernelOf, *ModeHost) {
	t.Helper()
	k := newKernel(t)
	h := &ModeHost{SELinux: k.host.SELinux, State: k.host.State, Root: k.host.Root}
	write(t, h.config(), config)
	write(t, filepath.Join(h.SELinux.Selinuxfs, "enforce"), enforce)
	write(t, filepath.Join(h.SELinux.Proc, "cmdline"), "quiet selinux=1\n")
	for _, path := range []string{".", "etc"} {
		if err := unix.Setxattr(filepath.Join(h.Root, path), "security.selinux", []byte("system_u:object_r:root_t:s0\x00"), 0); err != nil {
			t.Skipf("labels in %s take root: %v", h.Root, err)
		}
	}
	return k, h
}

func TestTheModeIsSetAndRestored(t *testing.T) {
	_, h := modes(t, "# ours\nSELINUX=permissive\nSELINUXTYPE=default\n", "0")
	now, err := h.Set(selinux.Enforcing, false)
	if err != nil || now != (Modes{selinux.Enforcing, selinux.Enforcing, ""}) {
		t.Fatalf("%+v, %v", now, err)
	}
	if now, err = h.Set(selinux.Disabled, false); !errors.Is(err, ErrDisabling) || now.Config != selinux.Enforcing {
		t.Errorf("%+v, %v", now, err)
	}
	if now, err = h.Set(selinux.Disabled, true); err != nil || now != (Modes{selinux.Disabled, selinux.Enforcing, ""}) {
		t.Errorf("disabled, which the kernel is after the next boot: %+v, %v", now, err)
	}
	if now, err = h.Restore(false); err != nil || now != (Modes{selinux.Permissive, selinux.Permissive, ""}) {
		t.Errorf("%+v, %v", now, err)
	}
	if text, err := os.ReadFile(h.config()); err != nil || string(text) != "# ours\nSELINUX=permissive\nSELINUXTYPE=default\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := h.Restore(false); !errors.Is(err, ErrModeNotChanged) {
		t.Error(err)
	}
}

func TestEnforcingThatLocksOutIsRefused(t *testing.T) {
	k, h := modes(t, "SELINUX=permissive\n", "0")
	strict := guestPolicy(t)
	forbid(t, strict, "security", "setenforce", "spc_t")
	k.install(strict)
	now, err := h.Set(selinux.Enforcing, false)
	var refused *NotReadyError
	if !errors.As(err, &refused) || now != (Modes{selinux.Permissive, selinux.Permissive, ""}) {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := h.Restore(false); !errors.Is(err, ErrModeNotChanged) {
		t.Errorf("a refusal left something to undo: %v", err)
	}
	if now, err = h.Set(selinux.Enforcing, true); err != nil || now.Running != selinux.Enforcing {
		t.Errorf("by force: %+v, %v", now, err)
	}
}

func TestAModeOfTheBootBeforeIsRestoredFromTheConfiguration(t *testing.T) {
	k, h := modes(t, "SELINUX=permissive\n", "1") // somebody had it enforce by hand
	if _, err := h.Set(selinux.Disabled, true); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(k.host.SELinux.Proc, "sys/kernel/random/boot_id"), "the next")
	write(t, filepath.Join(k.host.SELinux.Proc, "cmdline"), "selinux=1 enforcing=1")
	if err := os.Remove(filepath.Join(h.SELinux.Selinuxfs, "enforce")); err != nil {
		t.Fatal(err)
	}
	if now, err := h.Restore(false); err != nil || now != (Modes{selinux.Permissive, selinux.Disabled, "enforcing=1"}) {
		t.Errorf("%+v, %v", now, err)
	}
}

func FuzzModeRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"boot":"x","config":"permissive","running":"enforcing"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := decodeMode(text)
		if err != nil {
			return
		}
		for _, mode := range []selinux.Mode{record.Config, record.Running} {
			if mode != "" && mode != selinux.Enforcing && mode != selinux.Permissive && mode != selinux.Disabled {
				t.Fatalf("mode %q", mode)
			}
		}
	})
}
