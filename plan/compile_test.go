// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/kernel"
)

func mustMake(t *testing.T, request Request, facts kernel.Facts) *Plan {
	t.Helper()
	p, err := Make(request, facts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustCompile(t *testing.T, p *Plan, level string) Compiled {
	t.Helper()
	compiled, err := p.Compile(level)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestCompileFillsInTheLevel(t *testing.T) {
	compiled := mustCompile(t, mustMake(t, standaloneRequest(), selinuxKernel), "s0:c1,c2")
	if compiled.ProcessLabel != "system_u:system_r:container_t:s0:c1,c2" || compiled.MountLabel != "system_u:object_r:container_file_t:s0:c1,c2" {
		t.Errorf("got %q, %q", compiled.ProcessLabel, compiled.MountLabel)
	}
}

func TestCompileKeepsWholeLabelsOfEngines(t *testing.T) {
	request := engineRequest()
	request.Engine.ProcessLabel = processLabel
	compiled := mustCompile(t, mustMake(t, request, selinuxKernel), "s0:c1,c2")
	if compiled.ProcessLabel != processLabel || compiled.MountLabel != "" {
		t.Errorf("got %q, %q", compiled.ProcessLabel, compiled.MountLabel)
	}
	request.Engine.ProcessLabel = "system_u:system_r:container_t"
	if compiled := mustCompile(t, mustMake(t, request, selinuxKernel), "s0"); compiled.ProcessLabel != "system_u:system_r:container_t:s0" {
		t.Errorf("a label without a level became %q", compiled.ProcessLabel)
	}
}

func TestCompileRefusesWhatIsNoLevel(t *testing.T) {
	p := mustMake(t, standaloneRequest(), selinuxKernel)
	for _, level := range []string{"", "c1,c2", "s0:c2000", "s0:c1,c2:x", "s0:c1\n"} {
		if compiled, err := p.Compile(level); err == nil {
			t.Errorf("level %q gives %q", level, compiled.ProcessLabel)
		}
	}
}

func TestLayersThatAreOffCompileToNothing(t *testing.T) {
	request := standaloneRequest()
	request.Privileged = true
	compiled := mustCompile(t, mustMake(t, request, with(selinuxKernel, func(f *kernel.Facts) { f.AppArmor = apparmorKernel.AppArmor })), "no level needed")
	if compiled.ProcessLabel != "" || compiled.MountLabel != "" || compiled.AppArmorProfile != "" || compiled.Seccomp != nil || compiled.Landlock ||
		compiled.Lent != nil || compiled.Inside.Landlock != nil || compiled.Inside.Capabilities != nil {
		t.Errorf("got %+v", compiled)
	}
}

func TestProgramInsideIsLentWhatItGivesBack(t *testing.T) {
	request := standaloneRequest()
	bounding := slices.Clone(request.Process.Capabilities.Bounding)
	compiled := mustCompile(t, mustMake(t, request, apparmorKernel), "")
	if compiled.Lent == nil || compiled.Inside.Capabilities == nil {
		t.Fatalf("got %+v", compiled)
	}
	for name, set := range map[string][]string{"bounding": compiled.Lent.Bounding, "permitted": compiled.Lent.Permitted, "effective": compiled.Lent.Effective,
		"inheritable": compiled.Lent.Inheritable, "ambient": compiled.Lent.Ambient} {
		for _, capability := range []string{"CAP_SYS_ADMIN", "CAP_SETPCAP"} {
			if !slices.Contains(set, capability) {
				t.Errorf("%s lacks %s", name, capability)
			}
		}
	}
	const sysAdmin, setPCAP = 1 << 21, 1 << 8
	if bits := *compiled.Inside.Capabilities; bits.Bounding&sysAdmin != 0 || bits.Permitted&sysAdmin != 0 || bits.Bounding&setPCAP == 0 || bits.Ambient != 0 || bits.Inheritable != 0 {
		t.Errorf("the program ends with %+v", bits)
	}
	if !slices.Equal(request.Process.Capabilities.Bounding, bounding) || !slices.Equal(compiled.Capabilities.Bounding, bounding) {
		t.Error("lending changed the sets that were asked for")
	}
	if compiled.Inside.AppArmorProfile != "bulkhead-default" || compiled.AppArmorProfile != "bulkhead-default" {
		t.Errorf("profile: inside %q, compiled %q", compiled.Inside.AppArmorProfile, compiled.AppArmorProfile)
	}
}

func TestNothingIsLentWithNoNewPrivileges(t *testing.T) {
	request := standaloneRequest()
	request.Security.NoNewPrivileges = true
	compiled := mustCompile(t, mustMake(t, request, plainKernel), "")
	if compiled.Lent != nil || compiled.Inside.Capabilities != nil || compiled.Inside.Landlock == nil || !compiled.NoNewPrivileges {
		t.Errorf("got %+v", compiled)
	}
}

func TestAddedProcessHasItsOwnCapabilitiesAndTheContainersLayers(t *testing.T) {
	request := standaloneRequest()
	request.Security.NoNewPrivileges = true
	p := mustMake(t, request, selinuxKernel)
	container := mustCompile(t, p, "s0:c1,c2")
	added, err := container.ForProcess(p, Capabilities{Bounding: []string{"CAP_KILL"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if added.Inside.SELinuxLabel != container.ProcessLabel || added.Inside.Landlock == nil || added.Lent == nil || added.Inside.Capabilities.Bounding != 1<<5 {
		t.Errorf("got %+v", added)
	}
	if container.Lent != nil || !container.NoNewPrivileges {
		t.Error("the container's own was changed")
	}
}

func TestUnknownCapabilitiesAreRefused(t *testing.T) {
	request := standaloneRequest()
	request.Process.Capabilities.Bounding = []string{"CAP_SYS_ADMIM"}
	if _, err := mustMake(t, request, plainKernel).Compile(""); err == nil || !strings.Contains(err.Error(), `"CAP_SYS_ADMIM"`) {
		t.Errorf("got %v", err)
	}
}

func TestCapabilityNumbersAreTheKernels(t *testing.T) {
	names := CapabilityNames()
	for name, number := range map[string]int{"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27, "CAP_MAC_ADMIN": 33, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40} {
		if names[number] != name {
			t.Errorf("number %d is %s, want %s", number, names[number], name)
		}
	}
	for spelling, bits := range map[string]uint64{"CAP_CHOWN": 1, "chown": 1, "cap_bpf": 1 << 39} {
		if got, err := (Capabilities{Bounding: []string{spelling}}).BoundingBits(); err != nil || got != bits {
			t.Errorf("%s: %#x, %v", spelling, got, err)
		}
	}
}

func TestDigestsFollowTheArtifacts(t *testing.T) {
	p := mustMake(t, standaloneRequest(), selinuxKernel)
	one, two := mustCompile(t, p, "s0:c1,c2").Digests(), mustCompile(t, p, "s0:c1,c3").Digests()
	if one["seccomp"] != two["seccomp"] || one["inside"] == two["inside"] || len(one) != 3 || !strings.HasPrefix(one["seccomp"], "sha256:") {
		t.Errorf("got %v and %v", one, two)
	}
	request := standaloneRequest()
	request.Security.Seccomp = Unconfined
	if digests := mustCompile(t, mustMake(t, request, plainKernel), "").Digests(); digests["seccomp"] != "" {
		t.Errorf("no filter has the digest %s", digests["seccomp"])
	}
}
