// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dockerJSON returns Docker's default profile as the file that users copy: default.json of github.com/moby/profiles.
func dockerJSON(t testing.TB) []byte {
	t.Helper()
	directory, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/profiles/seccomp").Output()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(directory)), "default.json"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// dockerCapabilities are those that Docker gives a container.
var dockerCapabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}

var dockerTarget = Target{Architecture: "amd64", Capabilities: dockerCapabilities, Kernel: Version{Major: 6, Minor: 18}}

// BenchmarkParse and the next two are what reading a profile costs before it is compiled.
func BenchmarkParse(b *testing.B) {
	content := dockerJSON(b)
	b.ReportAllocs()
	for b.Loop() {
		profile, err := Parse(content)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := profile.Resolve(dockerTarget); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	profile := Docker()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := profile.Resolve(dockerTarget); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDocker(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Docker()
	}
}
