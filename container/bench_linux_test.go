// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// BenchmarkPrepare measures what a start costs before the OCI runtime is called.
func BenchmarkPrepare(b *testing.B) {
	directory := b.TempDir()
	host := &Host{State: filepath.Join(directory, "state"), Run: filepath.Join(directory, "run")}
	host.Registry = mcs.Registry{Dir: filepath.Join(host.State, "mcs"), Proc: "/proc"}
	filter, _, err := seccomp.Docker().Resolve(seccomp.Target{Architecture: runtime.GOARCH, Capabilities: []string{"CAP_CHOWN"}, Kernel: seccomp.Version{Major: 6, Minor: 18}})
	if err != nil {
		b.Fatal(err)
	}
	asked, err := json.Marshal(specs.Spec{Version: "1.0.2", Root: &specs.Root{Path: "/"}, Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"},
		Linux: &specs.Linux{Seccomp: filter.OCI(), Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}}}})
	if err != nil {
		b.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	job := Job{Command: oci.Command{Verb: "create", Arguments: []string{"bench"}}, Bundle: directory, Asked: asked, Stdio: [3]*os.File{null, null, null}}
	for b.Loop() {
		ready, err := host.prepare(job)
		if err != nil {
			b.Fatal(err)
		}
		if err := host.remove(ready.record); err != nil {
			b.Fatal(err)
		}
	}
}
