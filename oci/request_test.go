// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/plan"
)

func TestRequestSaysWhatTheEngineAskedFor(t *testing.T) {
	asked, err := os.ReadFile(filepath.Join("testdata", "asked.json"))
	if err != nil {
		t.Fatal(err)
	}
	config := mustParse(t, string(asked))
	capabilities := []string{"CAP_CHOWN", "CAP_KILL"}
	want := plan.Request{
		ID: "c1",
		Engine: &plan.EngineChoices{ProcessLabel: "system_u:system_r:container_t:s0:c5,c9", MountLabel: "system_u:object_r:container_file_t:s0:c5,c9",
			Seccomp: config.seccomp},
		Process:       plan.Process{Capabilities: plan.Capabilities{Bounding: capabilities, Permitted: capabilities, Effective: capabilities}},
		Namespaces:    plan.Namespaces{Joined: []string{"/proc/42/ns/net"}},
		Volumes:       []plan.Volume{{Source: "/bundle/volumes/data", Destination: "/data"}, {Source: "/var/lib/engine/hosts", Destination: "/etc/hosts"}},
		Root:          "/bundle/rootfs",
		Masked:        []string{"/proc/kcore"},
		ReadOnlyPaths: []string{"/proc/sys"},
	}
	if got := config.Request("c1", "/bundle"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestNamespacesThatAreNotListedAreTheHosts(t *testing.T) {
	for name, test := range map[string]struct {
		list []specs.LinuxNamespace
		want plan.Namespaces
	}{
		"None": {nil, plan.Namespaces{HostPID: true, HostNetwork: true, HostIPC: true}},
		"All":  {[]specs.LinuxNamespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "user"}}, plan.Namespaces{User: true}},
		"Joined": {[]specs.LinuxNamespace{{Type: "pid", Path: "/proc/1/ns/pid"}, {Type: "network"}, {Type: "ipc"}},
			plan.Namespaces{Joined: []string{"/proc/1/ns/pid"}}},
	} {
		if got := namespaces(test.list); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestConfigurationWithoutLinuxSharesNothingByName(t *testing.T) {
	request := mustParse(t, minimal).Request("c1", "/bundle")
	if request.Privileged || request.Engine == nil || request.Engine.Seccomp != nil || request.Volumes != nil {
		t.Errorf("got %+v", request)
	}
}

func TestPrivilegedIsRecognised(t *testing.T) {
	all := plan.CapabilityNames()
	spec := func(change func(*specs.Spec)) *specs.Spec {
		s := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: all}}, Linux: &specs.Linux{}}
		change(s)
		return s
	}
	for name, test := range map[string]struct {
		spec *specs.Spec
		want bool
	}{
		"Privileged":             {spec(func(*specs.Spec) {}), true},
		"FilterIsThere":          {spec(func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} }), false},
		"PathsAreMasked":         {spec(func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/proc/kcore"} }), false},
		"NoCapabilities":         {spec(func(s *specs.Spec) { s.Process.Capabilities = nil }), false},
		"OneCapabilityIsMissing": {spec(func(s *specs.Spec) { s.Process.Capabilities.Bounding = all[:21] }), false},
		"NoLinux":                {spec(func(s *specs.Spec) { s.Linux = nil }), false},
	} {
		if got := privileged(test.spec); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestVolumesAreBindMounts(t *testing.T) {
	got := volumes([]specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/dev/shm", Type: "bind", Source: "/x"}, {Destination: "/etc/hosts", Source: "/y", Options: []string{"rbind"}},
		{Destination: "/a", Source: "rel", Options: []string{"bind", "ro"}}, {Destination: "/b", Type: "bind", Source: "/abs/../host"}, {Destination: "/c", Type: "bind"},
	}, "/bundle")
	want := []plan.Volume{{Source: "/x", Destination: "/dev/shm"}, {Source: "/y", Destination: "/etc/hosts"}, {Source: "/bundle/rel", Destination: "/a", ReadOnly: true}, {Source: "/host", Destination: "/b"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestLandlockAnnotationIsRead(t *testing.T) {
	config := mustParse(t, `{"annotations":{"org.bulkhead.landlock":" unconfined "},"process":{"args":["sh"]},"root":{"path":"r"}}`)
	if request := config.Request("c1", "/"); request.Security.Landlock != plan.Unconfined {
		t.Errorf("got %q", request.Security.Landlock)
	}
}
