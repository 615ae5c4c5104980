// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/container"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

func TestPublishedPortsAreTheContainersOwn(t *testing.T) {
	for text, want := range map[string]string{"80": "80/tcp", "8080:80": "80/tcp", "127.0.0.1:8080:80/udp": "80/udp", "53/udp": "53/udp", "[::1]:8080:443": "443/tcp"} {
		if port, err := parsePort(text); err != nil || port.String() != want {
			t.Errorf("%s: %s, %v", text, port, err)
		}
	}
	for _, text := range []string{"", "0", "65536", "http", "80:", "80-90", "-1"} {
		if port, err := parsePort(text); err == nil || !strings.Contains(err.Error(), "--publish "+text) {
			t.Errorf("%s: %s, %v", text, port, err)
		}
	}
}

func TestBlockNamesAreWhatCILTakes(t *testing.T) {
	for name, want := range map[string]string{"web": "web", "my-web.1": "my_web_1", "3f2a": "container_3f2a", "_x": "container__x", "": "container_", "ü": "container__"} {
		if got := blockName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if _, err := container.Generate(policyOf(t, smallPolicy), container.Needs{Name: blockName(name)}, false); err == nil || strings.Contains(err.Error(), "domain name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNeedsAreReadFromTheConfiguration(t *testing.T) {
	bundle := t.TempDir()
	if err := os.Mkdir(filepath.Join(bundle, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	config, err := oci.Parse([]byte(`{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["x"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN","CAP_NET_RAW"]}},
		"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/data","type":"bind","source":"data","options":["rbind","ro","exec"]},
			{"destination":"/sys/fs/cgroup","type":"cgroup2","source":"cgroup","options":["nosuid"]},{"destination":"/null","source":"/dev/null","options":["bind"]}],
		"linux":{"namespaces":[{"type":"user"}],"devices":[{"path":"/dev/no-such-disk","type":"b","major":7,"minor":9}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	needs, err := needsOf(config, bundle, &labels{path: contextsOf(t, "/dev/no-such-disk -b system_u:object_r:fixed_disk_device_t:s0\n")})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(needs.Capabilities, " ") != "chown net_raw" || !needs.UserNamespace || !needs.WritableCgroup || len(needs.Mounts) != 2 || len(needs.Devices) != 1 {
		t.Fatalf("got %+v", needs)
	}
	if m := needs.Mounts[0]; m.Class != "dir" || !m.ReadOnly || !m.Executable || m.Destination != "/data" || filepath.Base(m.Source) != "data" {
		t.Errorf("got %+v", m)
	}
	if m := needs.Mounts[1]; m.Class != "chr_file" || m.ReadOnly || m.Executable || m.Source != "/dev/null" {
		t.Errorf("got %+v", m)
	}
	if d := needs.Devices[0]; !d.Block || d.Label != "system_u:object_r:fixed_disk_device_t:s0" {
		t.Errorf("got %+v", d)
	}
}

func TestGenerateAsksForAContainerThatIsThere(t *testing.T) {
	if _, err := runSELinux("generate", "--policy", smallPolicy, "no-such-container"); err == nil || !strings.Contains(err.Error(), "neither a bundle nor a container") {
		t.Errorf("got %v", err)
	}
	if _, err := runSELinux("generate", "--policy", smallPolicy, t.TempDir()); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("got %v", err)
	}
}

func TestRefusedNeedsHaveTheirStatus(t *testing.T) {
	for always, word := range map[bool]string{true: "spc_t", false: "--force"} {
		status, hint := classify(refusal(&container.RefusedError{Need: "mount", Reason: "no", Always: always}), 1)
		if status != exitRefused || !strings.Contains(hint, word) {
			t.Errorf("always %v: %d, %s", always, status, hint)
		}
	}
}

func policyOf(t *testing.T, path string) *policydb.Policy {
	t.Helper()
	policy, err := (&policyFlag{path: path}).read()
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// From a bundle to the module, under a policy that has the container policy.
func TestGenerateWritesADomainForABundle(t *testing.T) {
	plain, policy, bundle := plainPolicy(t), containerPolicy(t), t.TempDir()
	for name, typ := range map[string]string{"data": "secret_t", "etc": "etc_t"} {
		path := filepath.Join(bundle, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setxattr(path, "security.selinux", []byte("system_u:object_r:"+typ+":s0\x00"), 0); err != nil {
			t.Fatal(err) // the attribute is plain data without SELinux, and root's to set
		}
	}
	write := func(mounts string) {
		config := `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["x"],"cwd":"/","capabilities":{"bounding":["CAP_CHOWN"]}},"mounts":[` + mounts + `]}`
		if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"destination":"/data","type":"bind","source":"data","options":["ro"]}`)
	out := filepath.Join(t.TempDir(), "web.cil")
	if got, err := runSELinux("generate", "--policy", policy, "--name", "web", "-o", out, bundle); err != nil || got != "web.process\n" {
		t.Fatalf("%q, %v", got, err)
	}
	text, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(text), "on /data (read): secret_t\n\t(allow process secret_t (dir (getattr open read search ioctl lock)))\n") {
		t.Errorf("%v: %s", err, text)
	}
	if got, err := runSELinux("generate", "--policy", plain, "--name", "web", bundle); err != nil || got != string(text) {
		t.Errorf("for a policy that has no container types yet: %v: %s", err, got)
	}
	write(`{"destination":"/etc","type":"bind","source":"etc","options":[]}`)
	_, err = runSELinux("generate", "--policy", policy, bundle)
	if status, hint := classify(err, 1); status != exitRefused || !strings.Contains(err.Error(), "the host's configuration") || !strings.Contains(hint, "--force") {
		t.Errorf("%d, %v", status, err)
	}
	if got, err := runSELinux("generate", "--policy", policy, "--force", bundle); err != nil || !strings.Contains(got, "(allow process etc_t (file (getattr open read ioctl lock map create") {
		t.Errorf("forced: %v, %s", err, got)
	}
}

// plainPolicy is the file of a small policy that has no container types.
func plainPolicy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../selinux/container/testdata/plain.cil")
	if err != nil {
		t.Fatal(err)
	}
	return policyFile(t, []cil.Source{{Name: "plain.cil", Text: append(text, "(type etc_t) (roletype object_r etc_t)"...)}}, nil)
}

// containerPolicy is the file of the same with the container policy.
func containerPolicy(t *testing.T) string {
	t.Helper()
	base := policyOf(t, plainPolicy(t))
	sources, err := container.Sources(base, "kernel_t")
	if err != nil {
		t.Fatal(err)
	}
	return policyFile(t, sources, base)
}

func policyFile(t *testing.T, sources []cil.Source, onto *policydb.Policy) string {
	t.Helper()
	result, err := cil.Compile(sources, cil.Options{Onto: onto})
	if err != nil {
		t.Fatal(err)
	}
	binary, err := result.Policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(path, binary, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func contextsOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file_contexts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLabelsComeFromTheFileAndThenFromItsPath(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"own", "none", "other"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(directory+"/own", "security.selinux", []byte("u:r:own_t:s0\x00"), 0); err != nil {
		t.Fatal(err)
	}
	found := &labels{path: contextsOf(t, directory+"(/.*)? u:r:tree_t:s0\n"+directory+"/none -- u:r:exact_t:s0\n"+directory+"/other <<none>>\n")}
	for name, want := range map[string]string{"own": "u:r:own_t:s0", "none": "u:r:exact_t:s0", "other": "", "not-there": "u:r:tree_t:s0", "../elsewhere": ""} {
		if got, err := found.of(filepath.Join(directory, name), "file"); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := (&labels{path: directory + "/missing"}).of(directory+"/none", "file"); err == nil {
		t.Error("file_contexts that are not there")
	}
}

func TestContainerPolicyIsPrintedForAPolicyWithoutOne(t *testing.T) {
	text, err := runSELinux("container-policy", "--policy", smallPolicy, "--caller", "init_t")
	if err != nil || !strings.Contains(text, "(type container_t)\n") || !strings.Contains(text, "(typeattributeset container_runtime_domain (init_t))\n") {
		t.Errorf("%v: %.300s", err, text)
	}
	if _, err := runSELinux("container-policy", "--policy", smallPolicy, "--caller", "no_such_t"); err == nil || !strings.Contains(err.Error(), `"no_such_t"`) {
		t.Errorf("got %v", err)
	}
	if _, err := runSELinux("container-policy", "--policy", containerPolicy(t)); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("got %v", err)
	}
}
