// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-project/bulkhead/plan"
)

// busyboxRoot makes a root directory from the static busybox of the host.
func busyboxRoot(t *testing.T) string {
	t.Helper()
	root := imageRoot(t)
	program, err := os.ReadFile("/bin/busybox")
	must(t, err)
	for _, directory := range []string{"bin", "tmp", "proc", "sys", "dev"} {
		must(t, os.Mkdir(filepath.Join(root, directory), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755))
	must(t, os.Symlink("busybox", filepath.Join(root, "bin/sh")))
	return root
}

// runScript runs a shell script in a container that plain runc makes from Spec's config, and returns what it wrote, stdout first.
func runScript(t *testing.T, options Options, script string) string {
	t.Helper()
	needRoot(t)
	for _, need := range []string{"runc", "/bin/busybox"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Fatalf("%v (apt-get install runc busybox-static)", err)
		}
	}
	bundle := t.TempDir()
	options.RootFS, options.Hostname = busyboxRoot(t), "c1"
	options.Command = []string{"/bin/sh", "-c", script}
	merged := mounted(t, Overlay{Lower: []string{options.RootFS}, State: bundle})
	user, err := ResolveUser(merged, options.User)
	must(t, err)
	spec, err := Spec(options, v1.Config{}, merged, user, ProbeHost())
	must(t, err)
	files, err := WriteSystemFiles(bundle, options)
	must(t, err)
	spec.Mounts = append(spec.Mounts, files...)
	config, err := json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600))
	var stdout, stderr strings.Builder
	command := exec.Command("runc", "--root", filepath.Join(bundle, "runc"), "run", "--bundle", bundle,
		fmt.Sprintf("standalone-test-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(bundle))))
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, stdout.String(), stderr.String())
	}
	return stdout.String() + stderr.String()
}

func TestRuncRunsTheDefaultConfig(t *testing.T) {
	got := runScript(t, Options{}, `export PATH=/bin; hostname() { busybox hostname; }
hostname; busybox id; busybox pwd; echo $HOME; busybox cat /etc/hostname; busybox grep Cap /proc/self/status
busybox wc -c < /proc/interrupts; busybox ls /sys/firmware | busybox wc -l
echo x > /proc/sys/kernel/domainname; busybox ls /sys/class/net; echo new > /etc/passwd; busybox cat /etc/passwd`)
	for _, want := range []string{
		"c1\nuid=0(root) gid=0(root) groups=10(wheel)\n/\n/root\nc1\n", "CapEff:\t00000000a80425fb", "CapInh:\t0000000000000000", "\n0\n0\n",
		"/proc/sys/kernel/domainname: Read-only file system", "\nlo\nnew\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestRuncRunsEveryOption(t *testing.T) {
	volume := t.TempDir()
	must(t, os.WriteFile(filepath.Join(volume, "file"), []byte("shared\n"), 0o644))
	got := runScript(t, Options{
		User: "alice:staff", WorkDir: "/made/up", ReadOnly: true, Memory: 64 << 20, PidsLimit: 20, CapDrop: []string{"CAP_MKNOD"},
		Environment: []string{"GREETING=hello"}, Annotations: map[string]string{"a": "b"},
		Tmpfs:   []Tmpfs{{Destination: "/run", Options: []string{"size=1m", "mode=1777", "noexec", "nosuid", "nodev"}}},
		Volumes: []plan.Volume{{Source: volume, Destination: "/data", ReadOnly: true}},
		Security: plan.SecurityOptions{
			NoNewPrivileges: true, Mask: []string{"/data/file"}, Unmask: []string{"/proc/sys"}, ProcOptions: []string{"hidepid=2"},
		},
	}, `export PATH=/bin; busybox id; busybox pwd; echo $GREETING; echo $HOME; busybox grep -E 'Cap|NoNew' /proc/self/status
echo > /tmp/x; echo > /data/x; echo > /run/x && echo tmpfs; busybox wc -c < /data/file; busybox grep -E ' /(proc|proc/sys|run) ' /proc/mounts
busybox cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max; true`)
	for _, want := range []string{
		"uid=1000(alice) gid=50(staff)", "/made/up\nhello\n/home/alice\n", "CapEff:\t0000000000000000", "CapBnd:\t00000000a00425fb", "NoNewPrivs:\t1",
		"/tmp/x: Read-only file system", "/data/x: Read-only file system", "tmpfs\n0\n", "hidepid=invisible", "67108864\n", "\n20\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, " /proc/sys ") {
		t.Errorf("/proc/sys is still mounted over:\n%s", got)
	}
}

func TestRuncSharesTheHostsNamespacesWhereAsked(t *testing.T) {
	namespaces := func(options Options) map[string]bool {
		shared := map[string]bool{}
		got := runScript(t, options, `cd /proc/self/ns; for n in net pid ipc uts mnt; do /bin/busybox readlink $n; done`)
		for _, name := range []string{"net", "pid", "ipc", "uts", "mnt"} {
			host, err := os.Readlink("/proc/self/ns/" + name)
			must(t, err)
			shared[name] = strings.Contains(got, host+"\n")
		}
		return shared
	}
	for name, shared := range namespaces(Options{Network: ShareHost, PID: ShareHost, IPC: ShareHost}) {
		if want := name == "net" || name == "pid" || name == "ipc"; shared != want {
			t.Errorf("%s shared: %v, want %v", name, shared, want)
		}
	}
	for name, shared := range namespaces(Options{}) {
		if shared {
			t.Errorf("%s is shared by default", name)
		}
	}
}

func TestRuncRunsAPrivilegedContainer(t *testing.T) {
	got := runScript(t, Options{Privileged: true}, `export PATH=/bin
busybox grep CapEff /proc/self/status; busybox grep -c . /proc/interrupts; busybox grep ' /sys ' /proc/mounts; busybox mount -t tmpfs none /tmp && echo mounts; true`)
	all := uint64(0)
	for number, name := range plan.CapabilityNames() {
		if slices.Contains(ProbeHost().Capabilities, name) {
			all |= 1 << number
		}
	}
	for _, want := range []string{fmt.Sprintf("CapEff:\t%016x", all), "sysfs rw,", "\nmounts\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
