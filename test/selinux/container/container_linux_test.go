// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

const (
	bulkhead    = enforcing.Bulkhead
	runtime     = enforcing.Runtime
	root        = enforcing.Root
	processType = enforcing.ProcessType
	fileType    = enforcing.FileType
	journal     = "/run/bulkhead/selinux/journal.json"
)

var pairOf = regexp.MustCompile(`^` + processType + `:(s0:c\d+,c\d+)$`)

// The kernel's policy has no container types at first; the container gets what the plan says all the same, and check and plan leave nothing to say.
func TestTheFirstContainerBringsItsPolicy(t *testing.T) {
	enforcing.Debian(t)
	before := enforcing.Planned(t)
	if !before.SELinux.Generated || before.SELinux.State != plan.On || before.SELinux.Process != processType || before.SELinux.Files != fileType {
		t.Errorf("planned %+v", before.SELinux)
	}
	if out := enforcing.Succeeds(t, bulkhead, "check"); !strings.Contains(out, "the loaded policy has no container types: Bulkhead's own are put onto it") {
		t.Errorf("check says %s", out)
	}
	if enforcing.Valid(processType + ":s0") {
		t.Fatal("a plan has loaded a policy")
	}
	watch := enforcing.WatchAVCs(t)
	got := enforcing.InContainer(t, "cat /proc/self/attr/current; echo; echo own >/tmp/own && cat /tmp/own && cp /bin/busybox /tmp/cat && /tmp/cat /tmp/own; cat /proc/1/cmdline >/dev/null && ls /dev /sys /proc >/dev/null && echo seen")
	lines := strings.Split(strings.ReplaceAll(got.Stdout, "\x00", ""), "\n")
	if got.Status != 0 || len(lines) < 4 || !pairOf.MatchString(lines[0]) || strings.Join(lines[1:4], " ") != "own own seen" {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); len(denials) > 0 {
		t.Errorf("denials %v", denials)
	}
	if after := enforcing.Planned(t); after.SELinux.Generated || after.SELinux.Process != processType || strings.Contains(strings.Join(after.Remains, " "), "does not stop") {
		t.Errorf("planned afterwards: %+v, remains %q", after.SELinux, after.Remains)
	}
	if out := enforcing.Succeeds(t, bulkhead, "check"); strings.Contains(out, "\nselinux: ") {
		t.Errorf("check says %s", out)
	}
	for _, target := range []string{processType + ":s0:c3,c4", fileType + ":s0:c3,c4", "system_u:system_r:svirt_t:s0:c3,c4", "system_u:object_r:svirt_image_t:s0:c3,c4"} {
		if got := enforcing.Run(t, bulkhead, "selinux", "isolation", processType+":s0:c1,c2", target); got.Status != 0 {
			t.Errorf("left to %s: %s%s", target, got.Stdout, got.Stderr)
		}
	}
}

func TestContainersAreKeptApart(t *testing.T) {
	enforcing.Containers(t)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	a, b := enforcing.Detach(t, "a", "-v", shared+":/data:z", "--security-opt", "landlock=unconfined"), enforcing.Detach(t, "b", "-v", shared+":/data:z", "--security-opt", "landlock=unconfined")
	if !pairOf.MatchString(a) || !pairOf.MatchString(b) || a == b {
		t.Fatalf("labels %q and %q", a, b)
	}
	enforcing.Succeeds(t, bulkhead, "exec", "b", "/bin/sh", "-c", "echo secret >/data/of-b && cat /data/of-b")
	watch := enforcing.WatchAVCs(t)
	for _, attempt := range []string{"cat /data/of-b", "echo x >>/data/of-b", "ls -l /data/of-b", "touch /data/of-b"} {
		if got := enforcing.Run(t, bulkhead, "exec", "a", "/bin/sh", "-c", attempt); got.Status == 0 || !strings.Contains(got.Stderr, "ermission denied") {
			t.Errorf("%s: %+v", attempt, got)
		}
	}
	files := fileType + ":" + pairOf.FindStringSubmatch(b)[1]
	denials := watch.Denials()
	for _, permission := range []string{"read", "append", "getattr"} { // getattr is what the reference policy's constraints let pass
		if !slices.ContainsFunc(denials, func(d vmtest.AVC) bool {
			return d.Source == a && d.Target == files && d.Class == "file" && slices.Contains(d.Permissions, permission) && !d.Permissive
		}) {
			t.Errorf("no denial of %s to %s in %v", permission, files, denials)
		}
		predicted := enforcing.Run(t, bulkhead, "selinux", "decide", a, files, "file", permission)
		if !strings.HasPrefix(predicted.Stdout, "deny\ndeny "+permission+": constraint\n") {
			t.Errorf("decide %s: %s", permission, predicted.Stdout)
		}
	}
}

// What the host has is not a container's, whoever mounts it.
func TestContainersAreKeptFromTheHost(t *testing.T) {
	enforcing.Containers(t)
	host := t.TempDir()
	for name, typ := range map[string]string{"shadow": "shadow_t", "key": "sshd_key_t", "config": "etc_t", "home": "user_home_t", "policy": "policy_config_t"} {
		enforcing.File(t, filepath.Join(host, name), "system_u:object_r:"+typ+":s0", "secret of the host\n")
	}
	enforcing.Label(t, fileType+":s0", host)
	watch := enforcing.WatchAVCs(t)
	got := enforcing.InContainer(t, "for f in shadow key config home policy; do cat /data/$f; echo x >>/data/$f; done 2>&1", "-v", host+":/data", "--security-opt", "landlock=unconfined")
	if strings.Contains(got.Stdout, "secret") || strings.Count(got.Stdout, "Permission denied") != 10 {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); !slices.ContainsFunc(denials, func(d vmtest.AVC) bool {
		return d.Target == "system_u:object_r:shadow_t:s0" && slices.Contains(d.Permissions, "read")
	}) {
		t.Errorf("denials %v", denials)
	}
	// With the host's processes in sight: nothing of them but that they are there.
	got = enforcing.InContainer(t, "cat /proc/1/environ /proc/1/maps /proc/1/attr/current; ls /proc/1/root/ /proc/1/fd; kill -9 1; kill -0 1", "--pid", "host", "--security-opt", "label=type:container_t",
		"--security-opt", "landlock=unconfined", "--cap-add", "SYS_PTRACE", "--cap-add", "KILL")
	if got.Status == 0 || got.Stdout != "" || strings.Count(got.Stderr, "denied") < 7 {
		t.Errorf("%+v", got)
	}
}

// A capability that the type may not use is none, and who asked for it is told.
func TestCapabilitiesBeyondTheTypeAreSaid(t *testing.T) {
	enforcing.Containers(t)
	watch := enforcing.WatchAVCs(t)
	got := enforcing.InContainer(t, "ip link set lo down", "--cap-add", "NET_ADMIN")
	if got.Status == 0 || !strings.Contains(got.Stderr, "bulkhead: notice: selinux denies net_admin to "+processType+":s0:c") {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); !slices.ContainsFunc(denials, func(d vmtest.AVC) bool { return d.Class == "capability" && slices.Contains(d.Permissions, "net_admin") }) {
		t.Errorf("denials %v", denials)
	}
	if got := enforcing.InContainer(t, "true"); strings.Contains(got.Stderr, "selinux denies") {
		t.Errorf("without it: %s", got.Stderr)
	}
}

// A root file system of the user's is not relabelled for a start; where the kernel goes by its labels, the user is told which it would need.
func TestLabelsOfARootThatStandInTheWayAreSaid(t *testing.T) {
	enforcing.Containers(t)
	other := "/guest/other"
	for _, path := range []string{"bin", "dev", "proc", "sys", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(other, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other+"/bin/sh", program, 0o755); err != nil {
		t.Fatal(err)
	}
	got := enforcing.Run(t, bulkhead, "run", "--rm", "--rootfs", other, "/bin/sh", "-c", "echo started")
	const said = "chcon -R -t container_ro_file_t /guest/other"
	if older := vmtest.LandlockABI() < 6; older && (got.Status == 0 || !strings.Contains(got.Stderr, said)) || !older && (got.Stdout != "started\n" || strings.Contains(got.Stderr, said)) {
		t.Errorf("%+v", got)
	}
}

func TestTheDistributionsReloadIsNoticed(t *testing.T) {
	enforcing.Containers(t)
	if !enforcing.Valid(processType + ":s0") {
		t.Fatal("nothing was loaded")
	}
	enforcing.Reload(t)
	// Of those that find it missing at once, one loads it and the others wait.
	results := make(chan enforcing.Result)
	for range 3 {
		go func() { results <- enforcing.InContainer(t, "cat /proc/self/attr/current") }()
	}
	for range 3 {
		if got := <-results; got.Status != 0 || !strings.HasPrefix(got.Stdout, processType+":s0:c") {
			t.Errorf("after a reload: %+v", got)
		}
	}
}

// What cannot be confined as planned does not start.
func TestNothingStartsWhereThePolicyCannotBeLoaded(t *testing.T) {
	enforcing.Containers(t)
	enforcing.Reload(t)
	kept, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, []byte("no journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(journal, kept, 0o600); err != nil {
			t.Error(err)
		}
	})
	got := enforcing.InContainer(t, "echo started")
	if got.Status != 3 || got.Stdout != "" || !strings.Contains(got.Stderr, "Bulkhead's own cannot be put onto it") || !strings.Contains(got.Stderr, "bulkhead: hint: ") {
		t.Errorf("%+v", got)
	}
	if enforcing.Valid(processType + ":s0") {
		t.Error("it was loaded all the same")
	}
	// The file system of the guest may hold no new file of an overlay without context=, by Debian's policy: all that is mounted on is there.
	plain := t.TempDir()
	if err := os.CopyFS(plain, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		if err := os.WriteFile(filepath.Join(plain, "etc", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := enforcing.Run(t, bulkhead, "run", "--rm", "--rootfs", plain, "--security-opt", "label=disable", "/bin/echo", "started"); got.Status != 0 || got.Stdout != "started\n" {
		t.Errorf("without labels: %+v", got)
	}
}

func TestAnEnginesContainerBringsThePolicyToo(t *testing.T) {
	enforcing.Containers(t)
	bundle := enforcing.Bundle(t, t.TempDir(), "s0:c5,c6", "/bin/cat", "/proc/self/attr/current")
	enforcing.Reload(t) // the labels on the disk stay, and mean nothing
	if got := enforcing.Run(t, runtime, "run", "--bundle", bundle, "e"); got.Status != 0 || strings.TrimRight(got.Stdout, "\x00\n") != processType+":s0:c5,c6" {
		t.Errorf("%+v", got)
	}
}

// A domain made for one container, from its configuration to what the kernel lets it do.
func TestAGeneratedDomainIsEnforced(t *testing.T) {
	enforcing.Containers(t)
	data, logs := t.TempDir(), t.TempDir()
	enforcing.File(t, data+"/file", "system_u:object_r:httpd_sys_content_t:s0", "content\n")
	enforcing.Label(t, "system_u:object_r:httpd_sys_content_t:s0", data)
	enforcing.File(t, logs+"/file", "system_u:object_r:httpd_log_t:s0", "logged\n")
	enforcing.Label(t, "system_u:object_r:httpd_log_t:s0", logs)
	volumes := []string{"-v", data + ":/data:ro", "-v", logs + ":/logs"}
	enforcing.Detach(t, "web", volumes...)
	module := t.TempDir() + "/web.cil"
	if got := enforcing.Succeeds(t, bulkhead, "selinux", "generate", "-p", "8080:80", "-o", module, "web"); got != "web.process\n" {
		t.Errorf("generated %q", got)
	}
	enforcing.Succeeds(t, bulkhead, "apply", module)
	t.Cleanup(func() { enforcing.Succeeds(t, bulkhead, "unapply", "web") })
	const script = "cat /proc/self/attr/current | tr '\\000' '\\n'; cat /data/file; echo more >>/logs/file; cat /logs/file; echo x >>/data/file; echo own >/tmp/x && cat /tmp/x"
	got := enforcing.InContainer(t, script, append(volumes, "--security-opt", "label=type:web.process")...)
	if !strings.Contains(got.Stdout, "web.process:s0:c") || !strings.Contains(got.Stdout, "content\nlogged\nmore\nown\n") {
		t.Errorf("%+v", got)
	}
	// container_t may do none of it to what is not its own.
	if got := enforcing.InContainer(t, script, volumes...); strings.Contains(got.Stdout, "content") || strings.Contains(got.Stdout, "logged") {
		t.Errorf("container_t: %+v", got)
	}
	shadow := t.TempDir() + "/shadow"
	enforcing.File(t, shadow, "system_u:object_r:shadow_t:s0", "secret\n")
	enforcing.Detach(t, "bad", "-v", shadow+":/shadow:ro")
	if got := enforcing.Run(t, bulkhead, "selinux", "generate", "--force", "bad"); got.Status != 4 || !strings.Contains(got.Stderr, "shadow_t") || got.Stdout != "" {
		t.Errorf("a mount of shadow_t: %+v", got)
	}
}
