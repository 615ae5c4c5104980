// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
)

const (
	bulkhead  = "/usr/bin/bulkhead"
	runtime   = "/usr/bin/bulkhead-runtime"
	selinuxfs = "/sys/fs/selinux"
	journal   = "/run/bulkhead/selinux/journal.json"
	root      = "/guest/rootfs" // beside the containers' own files: overlayfs gives new files the label of what is below
)

// debian is for guests. The kernel enforces Debian's policy as the distribution has it, with nothing of Bulkhead's on it.
func debian(t *testing.T) {
	t.Helper()
	guest(t)
	reload(t)
}

// containers is the same, where the first container has run.
func containers(t *testing.T) {
	t.Helper()
	guest(t)
	if !valid(processType + ":s0") {
		if got := inContainer(t, "true"); got.status != 0 {
			t.Fatalf("%+v", got)
		}
	}
}

func guest(t *testing.T) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run test/selinux/container/run.sh")
	}
	vmtest.Require(t, vmtest.SELinux)
	labelDevices(t)
	rootFS(t)
}

// reload has the kernel load Debian's policy anew, as the distribution's tools do: what was put onto it is gone.
func reload(t *testing.T) {
	t.Helper()
	policy, err := os.ReadFile("/policies/debian")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(selinuxfs+"/load", policy, 0); err != nil {
		t.Fatal(err)
	}
	if valid("system_u:system_r:container_t:s0") {
		t.Fatal("Debian's policy has container_t")
	}
}

// valid asks the kernel whether its policy takes a context.
func valid(context string) bool {
	return os.WriteFile(selinuxfs+"/context", append([]byte(context), 0), 0) == nil
}

// rootFS is a root file system of busybox.
func rootFS(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(root); err == nil {
		return
	}
	for _, name := range []string{"dev", "etc", "proc", "sys", "tmp", "data", "bin"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/bin/busybox", program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"sh", "cat", "ls", "echo", "sleep", "touch", "tr", "kill", "cp", "ip", "true"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	// As the layers of images are labelled: kernels such as 6.1 check programs against the label of the file below. It takes a policy that knows the label; what is on the
	// disk stays when that is gone.
	inContainer(t, "true")
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		label(t, "system_u:object_r:container_ro_file_t:s0", path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// labelDevices does udev's work, of which the guest has none.
func labelDevices(t *testing.T) {
	t.Helper()
	for name, typ := range map[string]string{"null": "null_device_t", "zero": "zero_device_t", "random": "random_device_t", "urandom": "urandom_device_t", "tty": "devtty_t", "ptmx": "ptmx_t"} {
		label(t, "system_u:object_r:"+typ+":s0", "/dev/"+name)
	}
}

func label(t *testing.T, context string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := unix.Lsetxattr(path, "security.selinux", append([]byte(context), 0), 0); err != nil {
			t.Fatalf("label %s %s: %v", path, context, err)
		}
	}
}

// file makes a file with a label, in a directory of the same.
func file(t *testing.T, path, context, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	label(t, context, path)
}

// watchAVCs opens the audit socket while the policy, in which kernel_t may not read it, is not enforced.
func watchAVCs(t *testing.T) *vmtest.AVCWatch {
	t.Helper()
	enforce := func(value string) {
		if err := os.WriteFile(selinuxfs+"/enforce", []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	enforce("0")
	defer enforce("1")
	return vmtest.WatchAVCs(t)
}

type result struct {
	stdout, stderr string
	status         int
}

func run(t *testing.T, words ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.Command(words[0], words[1:]...)
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

func succeeds(t *testing.T, words ...string) string {
	t.Helper()
	got := run(t, words...)
	if got.status != 0 {
		t.Fatalf("%s: exit %d: %s%s", strings.Join(words, " "), got.status, got.stdout, got.stderr)
	}
	return got.stdout
}

// inContainer runs a script with options of run.
func inContainer(t *testing.T, script string, options ...string) result {
	t.Helper()
	return run(t, slices.Concat([]string{bulkhead, "run", "--rm", "--rootfs", root}, options, []string{"/bin/sh", "-c", script})...)
}

// detach starts a container that stays until the end of the test, and returns its label.
func detach(t *testing.T, name string, options ...string) string {
	t.Helper()
	succeeds(t, slices.Concat([]string{bulkhead, "run", "-d", "--name", name, "--rootfs", root}, options, []string{"/bin/sleep", "1000"})...)
	t.Cleanup(func() { succeeds(t, bulkhead, "rm", "--force", name) })
	return strings.TrimRight(succeeds(t, bulkhead, "exec", name, "/bin/cat", "/proc/self/attr/current"), "\x00\n")
}

func planned(t *testing.T, options ...string) plan.Plan {
	t.Helper()
	var made plan.Plan
	out := succeeds(t, slices.Concat([]string{bulkhead, "plan", "--json", "--rootfs", root}, options, []string{"/bin/true"})...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

const (
	processType = "system_u:system_r:container_t"
	fileType    = "system_u:object_r:container_file_t"
)

var pairOf = regexp.MustCompile(`^` + processType + `:(s0:c\d+,c\d+)$`)

// The kernel's policy has no container types at first; the container gets what the plan says all the same, and check and plan leave nothing to say.
func TestTheFirstContainerBringsItsPolicy(t *testing.T) {
	debian(t)
	before := planned(t)
	if !before.SELinux.Generated || before.SELinux.State != plan.On || before.SELinux.Process != processType || before.SELinux.Files != fileType {
		t.Errorf("planned %+v", before.SELinux)
	}
	if out := succeeds(t, bulkhead, "check"); !strings.Contains(out, "the loaded policy has no container types: Bulkhead's own are put onto it") {
		t.Errorf("check says %s", out)
	}
	if valid(processType + ":s0") {
		t.Fatal("a plan has loaded a policy")
	}
	watch := watchAVCs(t)
	got := inContainer(t, "cat /proc/self/attr/current; echo; echo own >/tmp/own && cat /tmp/own && cp /bin/busybox /tmp/cat && /tmp/cat /tmp/own; cat /proc/1/cmdline >/dev/null && ls /dev /sys /proc >/dev/null && echo seen")
	lines := strings.Split(strings.ReplaceAll(got.stdout, "\x00", ""), "\n")
	if got.status != 0 || len(lines) < 4 || !pairOf.MatchString(lines[0]) || strings.Join(lines[1:4], " ") != "own own seen" {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); len(denials) > 0 {
		t.Errorf("denials %v", denials)
	}
	if after := planned(t); after.SELinux.Generated || after.SELinux.Process != processType || strings.Contains(strings.Join(after.Remains, " "), "does not stop") {
		t.Errorf("planned afterwards: %+v, remains %q", after.SELinux, after.Remains)
	}
	if out := succeeds(t, bulkhead, "check"); strings.Contains(out, "\nselinux: ") {
		t.Errorf("check says %s", out)
	}
	for _, target := range []string{processType + ":s0:c3,c4", fileType + ":s0:c3,c4", "system_u:system_r:svirt_t:s0:c3,c4", "system_u:object_r:svirt_image_t:s0:c3,c4"} {
		if got := run(t, bulkhead, "selinux", "isolation", processType+":s0:c1,c2", target); got.status != 0 {
			t.Errorf("left to %s: %s%s", target, got.stdout, got.stderr)
		}
	}
}

func TestContainersAreKeptApart(t *testing.T) {
	containers(t)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	a, b := detach(t, "a", "-v", shared+":/data:z", "--security-opt", "landlock=unconfined"), detach(t, "b", "-v", shared+":/data:z", "--security-opt", "landlock=unconfined")
	if !pairOf.MatchString(a) || !pairOf.MatchString(b) || a == b {
		t.Fatalf("labels %q and %q", a, b)
	}
	succeeds(t, bulkhead, "exec", "b", "/bin/sh", "-c", "echo secret >/data/of-b && cat /data/of-b")
	watch := watchAVCs(t)
	for _, attempt := range []string{"cat /data/of-b", "echo x >>/data/of-b", "ls -l /data/of-b", "touch /data/of-b"} {
		if got := run(t, bulkhead, "exec", "a", "/bin/sh", "-c", attempt); got.status == 0 || !strings.Contains(got.stderr, "ermission denied") {
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
		predicted := run(t, bulkhead, "selinux", "decide", a, files, "file", permission)
		if !strings.HasPrefix(predicted.stdout, "deny\ndeny "+permission+": constraint\n") {
			t.Errorf("decide %s: %s", permission, predicted.stdout)
		}
	}
}

// What the host has is not a container's, whoever mounts it.
func TestContainersAreKeptFromTheHost(t *testing.T) {
	containers(t)
	host := t.TempDir()
	for name, typ := range map[string]string{"shadow": "shadow_t", "key": "sshd_key_t", "config": "etc_t", "home": "user_home_t", "policy": "policy_config_t"} {
		file(t, filepath.Join(host, name), "system_u:object_r:"+typ+":s0", "secret of the host\n")
	}
	label(t, fileType+":s0", host)
	watch := watchAVCs(t)
	got := inContainer(t, "for f in shadow key config home policy; do cat /data/$f; echo x >>/data/$f; done 2>&1", "-v", host+":/data", "--security-opt", "landlock=unconfined")
	if strings.Contains(got.stdout, "secret") || strings.Count(got.stdout, "Permission denied") != 10 {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); !slices.ContainsFunc(denials, func(d vmtest.AVC) bool {
		return d.Target == "system_u:object_r:shadow_t:s0" && slices.Contains(d.Permissions, "read")
	}) {
		t.Errorf("denials %v", denials)
	}
	// With the host's processes in sight: nothing of them but that they are there.
	got = inContainer(t, "cat /proc/1/environ /proc/1/maps /proc/1/attr/current; ls /proc/1/root/ /proc/1/fd; kill -9 1; kill -0 1", "--pid", "host", "--security-opt", "label=type:container_t",
		"--security-opt", "landlock=unconfined", "--cap-add", "SYS_PTRACE", "--cap-add", "KILL")
	if got.status == 0 || got.stdout != "" || strings.Count(got.stderr, "denied") < 7 {
		t.Errorf("%+v", got)
	}
}

// A capability that the type may not use is none, and who asked for it is told.
func TestCapabilitiesBeyondTheTypeAreSaid(t *testing.T) {
	containers(t)
	watch := watchAVCs(t)
	got := inContainer(t, "ip link set lo down", "--cap-add", "NET_ADMIN")
	if got.status == 0 || !strings.Contains(got.stderr, "bulkhead: notice: selinux denies net_admin to "+processType+":s0:c") {
		t.Errorf("%+v", got)
	}
	if denials := watch.Denials(); !slices.ContainsFunc(denials, func(d vmtest.AVC) bool { return d.Class == "capability" && slices.Contains(d.Permissions, "net_admin") }) {
		t.Errorf("denials %v", denials)
	}
	if got := inContainer(t, "true"); strings.Contains(got.stderr, "selinux denies") {
		t.Errorf("without it: %s", got.stderr)
	}
}

// A root file system of the user's is not relabelled for a start; where the kernel goes by its labels, the user is told which it would need.
func TestLabelsOfARootThatStandInTheWayAreSaid(t *testing.T) {
	containers(t)
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
	got := run(t, bulkhead, "run", "--rm", "--rootfs", other, "/bin/sh", "-c", "echo started")
	const said = "chcon -R -t container_ro_file_t /guest/other"
	if older := vmtest.LandlockABI() < 6; older && (got.status == 0 || !strings.Contains(got.stderr, said)) || !older && (got.stdout != "started\n" || strings.Contains(got.stderr, said)) {
		t.Errorf("%+v", got)
	}
}

func TestTheDistributionsReloadIsNoticed(t *testing.T) {
	containers(t)
	if !valid(processType + ":s0") {
		t.Fatal("nothing was loaded")
	}
	reload(t)
	// Of those that find it missing at once, one loads it and the others wait.
	results := make(chan result)
	for range 3 {
		go func() { results <- inContainer(t, "cat /proc/self/attr/current") }()
	}
	for range 3 {
		if got := <-results; got.status != 0 || !strings.HasPrefix(got.stdout, processType+":s0:c") {
			t.Errorf("after a reload: %+v", got)
		}
	}
}

// What cannot be confined as planned does not start.
func TestNothingStartsWhereThePolicyCannotBeLoaded(t *testing.T) {
	containers(t)
	reload(t)
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
	got := inContainer(t, "echo started")
	if got.status != 3 || got.stdout != "" || !strings.Contains(got.stderr, "Bulkhead's own cannot be put onto it") || !strings.Contains(got.stderr, "bulkhead: hint: ") {
		t.Errorf("%+v", got)
	}
	if valid(processType + ":s0") {
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
	if got := run(t, bulkhead, "run", "--rm", "--rootfs", plain, "--security-opt", "label=disable", "/bin/echo", "started"); got.status != 0 || got.stdout != "started\n" {
		t.Errorf("without labels: %+v", got)
	}
}

func TestAnEnginesContainerBringsThePolicyToo(t *testing.T) {
	containers(t)
	bundle, rootfs := t.TempDir(), labelledRoot(t)
	reload(t) // the labels on the disk stay, and mean nothing
	config := fmt.Sprintf(`{"ociVersion":"1.0.2","root":{"path":%q},"process":{"args":["/bin/cat","/proc/self/attr/current"],"cwd":"/","user":{"uid":0,"gid":0},"selinuxLabel":"%s:s0:c5,c6"},
		"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],"linux":{"mountLabel":"%s:s0:c5,c6","namespaces":[{"type":"pid"},{"type":"mount"},{"type":"ipc"}]}}`, rootfs, processType, fileType)
	if err := os.WriteFile(bundle+"/config.json", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, runtime, "run", "--bundle", bundle, "e"); got.status != 0 || strings.TrimRight(got.stdout, "\x00\n") != processType+":s0:c5,c6" {
		t.Errorf("%+v", got)
	}
}

// labelledRoot is a root file system whose files have the label themselves.
func labelledRoot(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for _, path := range []string{"bin", "proc", "dev", "etc"} {
		if err := os.Mkdir(filepath.Join(directory, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cat", "sh"} {
		if err := os.WriteFile(filepath.Join(directory, "bin", name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	label(t, fileType+":s0:c5,c6", directory, directory+"/bin", directory+"/bin/cat", directory+"/bin/sh", directory+"/proc", directory+"/dev", directory+"/etc")
	return directory
}

// A domain made for one container, from its configuration to what the kernel lets it do.
func TestAGeneratedDomainIsEnforced(t *testing.T) {
	containers(t)
	data, logs := t.TempDir(), t.TempDir()
	file(t, data+"/file", "system_u:object_r:httpd_sys_content_t:s0", "content\n")
	label(t, "system_u:object_r:httpd_sys_content_t:s0", data)
	file(t, logs+"/file", "system_u:object_r:httpd_log_t:s0", "logged\n")
	label(t, "system_u:object_r:httpd_log_t:s0", logs)
	volumes := []string{"-v", data + ":/data:ro", "-v", logs + ":/logs"}
	detach(t, "web", volumes...)
	module := t.TempDir() + "/web.cil"
	if got := succeeds(t, bulkhead, "selinux", "generate", "-p", "8080:80", "-o", module, "web"); got != "web.process\n" {
		t.Errorf("generated %q", got)
	}
	succeeds(t, bulkhead, "apply", module)
	t.Cleanup(func() { succeeds(t, bulkhead, "unapply", "web") })
	const script = "cat /proc/self/attr/current | tr '\\000' '\\n'; cat /data/file; echo more >>/logs/file; cat /logs/file; echo x >>/data/file; echo own >/tmp/x && cat /tmp/x"
	got := inContainer(t, script, append(volumes, "--security-opt", "label=type:web.process")...)
	if !strings.Contains(got.stdout, "web.process:s0:c") || !strings.Contains(got.stdout, "content\nlogged\nmore\nown\n") {
		t.Errorf("%+v", got)
	}
	// container_t may do none of it to what is not its own.
	if got := inContainer(t, script, volumes...); strings.Contains(got.stdout, "content") || strings.Contains(got.stdout, "logged") {
		t.Errorf("container_t: %+v", got)
	}
	shadow := t.TempDir() + "/shadow"
	file(t, shadow, "system_u:object_r:shadow_t:s0", "secret\n")
	detach(t, "bad", "-v", shadow+":/shadow:ro")
	if got := run(t, bulkhead, "selinux", "generate", "--force", "bad"); got.status != 4 || !strings.Contains(got.stderr, "shadow_t") || got.stdout != "" {
		t.Errorf("a mount of shadow_t: %+v", got)
	}
}
