// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

// The default profiles of others, as their own code or package gives them.
var defaults = map[string]func(t *testing.T) []byte{
	"docker": func(t *testing.T) []byte {
		profile, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
		return marshal(t, profile, err)
	},
	"docker's file": func(t *testing.T) []byte { return marshal(t, moby.DefaultProfile(), nil) },
	"podman": func(t *testing.T) []byte { // Debian: golang-github-containers-common, which podman depends on
		content, err := os.ReadFile("/usr/share/containers/seccomp.json")
		if err != nil {
			t.Fatal(err)
		}
		return content
	},
	"containerd": func(t *testing.T) []byte { // of a module of its own, so that ours does not depend on containerd's
		command := exec.Command("go", "run", "./containerd")
		command.Dir = "../bench/seccomp"
		command.Stderr = os.Stderr
		content, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return content
	},
}

func marshal(t *testing.T, profile any, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDefaultProfilesOfOthersCompile(t *testing.T) {
	for name, read := range defaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := read(t)
			filter, err := subject.Filter(content, "SCMP_ARCH_X86_64")
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d instructions", len(filter.Program))
			for _, c := range []struct {
				call    string
				args    [6]uint64
				allowed bool
			}{
				{"read", [6]uint64{}, true}, {"execve", [6]uint64{}, true}, {"socket", [6]uint64{2}, true}, {"clone", [6]uint64{0x1200011}, true},
				{"kexec_load", [6]uint64{}, false}, {"init_module", [6]uint64{}, false},
				{"reboot", [6]uint64{}, name == "podman"}, {"clone", [6]uint64{0x10000000}, name == "podman"}, // leaves both to capabilities
			} {
				if value := execute(t, filter.Program, "SCMP_ARCH_X86_64", c.call, c.args); (value == allow) != c.allowed {
					t.Errorf("%s %v: %#08x", c.call, c.args, value)
				}
			}
			holdAllCalls(t, content, filter.Program)
		})
	}
}

func execute(t *testing.T, program []bpf.Instruction, oci, name string, args [6]uint64) uint32 {
	t.Helper()
	abi := syscalls.ByOCI(oci)
	call, _ := syscalls.Lookup(name)
	number, ok := abi.Number(call)
	if !ok {
		t.Fatalf("no %s on %s", name, oci)
	}
	value, _ := bpf.Execute(bpf.LittleEndian, program, &bpf.Data{Arch: abi.Audit, Number: number, Args: args})
	return value
}

// holdAllCalls compares every call of every ABI with the profile's meaning, if it has no conditions that are Docker's own.
func holdAllCalls(t *testing.T, content []byte, program []bpf.Instruction) {
	t.Helper()
	p := &meaning.Profile{Native: "SCMP_ARCH_X86_64"}
	if err := json.Unmarshal(content, p); err != nil {
		t.Fatal(err)
	}
	if len(p.Architectures) == 0 {
		return // Docker's form
	}
	for _, oci := range p.Architectures {
		abi := syscalls.ByOCI(oci)
		for number := range uint32(700) {
			for _, first := range []uint64{0, 2, 8, 16, 37, 38, 39, 40, 41, 0x10000000, 0x1200011, 0xffffffff, 1<<32 | 40, 1<<63 | 38} {
				d := bpf.Data{Arch: abi.Audit, Number: abi.Base | number, Args: [6]uint64{first, first, first}}
				if got, _ := bpf.Execute(bpf.LittleEndian, program, &d); got != p.Action(d) {
					t.Fatalf("%#08x, want %#08x for %s", got, p.Action(d), callText(p, d))
				}
			}
		}
	}
}
