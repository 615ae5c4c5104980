// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
)

func TestTheContainerPolicyIsOneModule(t *testing.T) {
	text, err := os.ReadFile("../selinux/container/testdata/plain.cil")
	if err != nil {
		t.Fatal(err)
	}
	base, err := cil.Compile([]cil.Source{{Name: "plain.cil", Text: text}}, cil.Options{})
	if err != nil {
		t.Fatal(err)
	}
	source, err := policySource(base.Policy, "kernel_t")
	if err != nil || source.Name != "bulkhead-container" {
		t.Fatalf("%s, %v", source.Name, err)
	}
	result, err := cil.Compile([]cil.Source{{Name: source.File, Text: source.Text}}, cil.Options{Onto: base.Policy})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result.Policy.ParseContext("system_u:system_r:container_t:s0:c1,c2"); err != nil {
		t.Error(err)
	}
	if again, err := policySource(base.Policy, "kernel_t"); err != nil || !bytes.Equal(again.Text, source.Text) {
		t.Errorf("another text, %v", err)
	}
	if _, err := policySource(base.Policy, "no_such_t"); err == nil {
		t.Error("a caller whose type the policy does not have")
	}
}

// The questions are one write each: a plain file gives the request back, which is no answer, so that what is not asked is all that can be seen here. The guests of
// test/selinux/container ask a kernel.
func TestOrdinaryCapabilitiesAreNotAskedAbout(t *testing.T) {
	host := selinux.Host{Selinuxfs: t.TempDir(), Proc: t.TempDir()}
	const label = "system_u:system_r:container_t:s0:c1,c2"
	if denied, err := deniedCapabilities(host, label, append(ordinaryCapabilities, "CAP_OF_TOMORROW", "CAP_BPF"), false); err != nil || len(denied) > 0 {
		t.Errorf("got %v, %v", denied, err) // capability2, which CAP_BPF is in, is not there
	}
	for path, text := range map[string]string{"access": "", "class/capability/index": "4", "class/capability/perms/net_admin": "13"} {
		path = filepath.Join(host.Selinuxfs, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := deniedCapabilities(host, label, []string{"CAP_NET_ADMIN"}, false); err == nil || !strings.Contains(err.Error(), `answer "`+label) {
		t.Errorf("got %v", err)
	}
}

func TestNoPolicyIsLoadedForWhoNeedsNone(t *testing.T) {
	host := &Host{Run: t.TempDir(), State: t.TempDir()}
	for name, p := range map[string]*plan.Plan{
		"Off":    {SELinux: plan.SELinux{Layer: plan.Layer{State: plan.Off}, Generated: true}},
		"There":  {SELinux: plan.SELinux{Layer: plan.Layer{State: plan.On}}},
		"Absent": {SELinux: plan.SELinux{Layer: plan.Layer{State: plan.Absent}}},
	} {
		if err := host.EnsurePolicy(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(host.Run); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}
