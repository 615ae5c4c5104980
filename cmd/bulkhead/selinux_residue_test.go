// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
)

func TestPlansSayWhatThePolicyLeavesBetweenContainers(t *testing.T) {
	const sentence = "the loaded policy does not stop a container from doing to one with another category pair, to its processes: unix_stream_socket { connectto read write }, " +
		"netlink_route_socket nlmsg_read; to its files: file getattr"
	types := kernel.SELinux{Active: true, MLS: true, ContainerTypes: true}
	for name, test := range map[string]struct {
		state          plan.State
		process, files string
		facts          kernel.SELinux
		want           string
	}{
		"Left":      {plan.On, "system_u:system_r:app_t", "system_u:object_r:tmp_t", types, sentence},
		"WithLevel": {plan.On, "system_u:system_r:app_t:s0:c4", "system_u:object_r:tmp_t:s0:c4", types, sentence},
		"Off":       {plan.Off, "system_u:system_r:app_t", "system_u:object_r:tmp_t", types, ""},
		"NoTypes":   {plan.On, "system_u:system_r:app_t", "system_u:object_r:tmp_t", kernel.SELinux{Active: true, MLS: true}, ""},
		"Unknown":   {plan.On, "system_u:system_r:web_t", "system_u:object_r:tmp_t", types, `cannot be worked out: context "system_u:system_r:web_t:s0:c0,c1": the policy has no type "web_t"`},
	} {
		p := &plan.Plan{SELinux: plan.SELinux{Layer: plan.Layer{State: test.state}, Process: test.process, Files: test.files}}
		addResidue(smallPolicy, p, test.facts)
		if got := strings.Join(p.Remains, "\n"); test.want == "" && got != "" || !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestCheckSaysWhatRemainsBeneathTheTable(t *testing.T) {
	var out bytes.Buffer
	if err := printCheck(&out, []kernel.Row{{Layer: "selinux", State: "enforcing", Remains: "something remains"}, {Layer: "bpf", State: "absent", Missing: "x"}}); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 5 || lines[3] != "selinux: something remains" {
		t.Errorf("got %q", lines)
	}
	if got := selinuxRemains(smallPolicy, kernel.SELinux{Active: true, MLS: true, ContainerTypes: true}); !strings.Contains(got, `the policy has no type "container_t"`) {
		t.Errorf("got %q", got)
	}
}
