// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestOptionsReachTheContainer(t *testing.T) {
	root, volume := harness.RootFS(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PASSED_ON", "by name")
	for _, test := range []struct {
		name    string
		options []string
		script  string
		want    string // regular expression for stdout
	}{
		{"Environment", []string{"-e", "A=b c", "-e", "PASSED_ON"}, "echo $A, $PASSED_ON", `^b c, by name\n$`},
		{"WorkingDirectory", []string{"-w", "/tmp"}, "pwd", `^/tmp\n$`},
		{"UserByName", []string{"-u", "user"}, "id -u; id -g; echo $HOME", `^1000\n1000\n/tmp\n$`},
		{"UserByNumber", []string{"-u", "12:34"}, "id -u; id -g", `^12\n34\n$`},
		{"Hostname", []string{"--hostname", "box"}, "hostname; cat /etc/hostname; grep -c box /etc/hosts", `^box\nbox\n1\n$`},
		{"HostnameIsTheIDByDefault", nil, "hostname", `^[0-9a-f]{12}\n$`},
		{"NoNetworkByDefault", nil, "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '", `^lo\n$`},
		{"ReadOnlyRoot", []string{"--read-only"}, "touch /x 2>/dev/null || echo refused", `^refused\n$`},
		{"WritableRoot", nil, "touch /x && echo written", `^written\n$`},
		{"Tmpfs", []string{"--read-only", "--tmpfs", "/scratch:size=64k"}, "echo x >/scratch/x && grep -c ' /scratch tmpfs' /proc/mounts", `^1\n$`},
		{"VolumeReadOnly", []string{"-v", volume + ":/data:ro"}, "cat /data/file; touch /data/x 2>/dev/null || echo refused", `^from the host\nrefused\n$`},
		{"VolumeWritable", []string{"-v", volume + ":/data"}, "echo new >/data/new && cat /data/new", `^new\n$`},
		{"DefaultCapabilities", nil, "grep CapBnd /proc/self/status", `^CapBnd:\s+00000000a80425fb\n$`},
		{"CapabilitiesDropped", []string{"--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"}, "grep CapEff /proc/self/status", `^CapEff:\s+0000000000000400\n$`},
		{"NoNewPrivileges", []string{"--security-opt", "no-new-privileges"}, "grep NoNewPrivs /proc/self/status", `^NoNewPrivs:\s+1\n$`},
		{"DefaultFilter", nil, "grep Seccomp: /proc/self/status", `^Seccomp:\s+2\n$`},
		{"NoFilterWhereAsked", []string{"--security-opt", "seccomp=unconfined"}, "grep Seccomp: /proc/self/status", `^Seccomp:\s+0\n$`},
		{"MaskedPath", []string{"--security-opt", "mask=/etc/group"}, "wc -c </etc/group", `^0\n$`},
		{"PidsLimit", []string{"--pids-limit", "20"}, "echo limited", `^limited\n$`},
		{"Entrypoint", []string{"--entrypoint", "/bin/echo"}, "", `^word\n$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--rootfs", root}, test.options...)
			if test.name == "Entrypoint" {
				args = append(args, "word")
			} else {
				args = append(args, "sh", "-c", test.script)
			}
			if got := must(t, args...); !regexp.MustCompile(test.want).MatchString(got) {
				t.Errorf("stdout %q does not match %s", got, test.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(root, "x")); err == nil {
		t.Error("the directory of --rootfs was written to")
	}
	nothingLeft(t)
}

func TestLimitsAreTheKernels(t *testing.T) {
	root := harness.RootFS(t)
	got := bulkhead(t, "", "run", "--rm", "--rootfs", root, "--pids-limit", "12", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 9 & done; wait")
	if got.status == 0 || !strings.Contains(got.stderr, "fork") {
		t.Errorf("a thirteenth process was made under --pids-limit 12: %+v", got)
	}
	got = bulkhead(t, "", "run", "--rm", "--rootfs", root, "--memory", "16m", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M count=1")
	if got.status == 0 {
		t.Errorf("64 MB were used under --memory 16m: %+v", got)
	}
	nothingLeft(t)
}

func TestExitStatusIsDockers(t *testing.T) {
	root := harness.RootFS(t)
	if err := os.WriteFile(filepath.Join(root, "plain"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
	}{
		{"OfTheCommand", []string{"sh", "-c", "exit 42"}, 42},
		{"OfASignal", []string{"sh", "-c", "kill -9 $$; sleep 1"}, 0}, // the first process ignores it, as it does everywhere
		{"NotFound", []string{"nowhere"}, 127},
		{"NotExecutable", []string{"/plain"}, 126},
		{"Directory", []string{"/etc"}, 126},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, keep := range []bool{false, true} {
				args := []string{"run", "--rootfs", root, "--name", "status"}
				if !keep {
					args = append(args, "--rm")
				}
				if got := bulkhead(t, "", append(args, test.args...)...); got.status != test.status {
					t.Errorf("status %d, want %d; %s", got.status, test.status, got.stderr)
				}
				if keep {
					must(t, "rm", "status")
				}
			}
		})
	}
	nothingLeft(t)
}

func TestInputAndOutput(t *testing.T) {
	root := harness.RootFS(t)
	for _, mode := range [][]string{{"--rm"}, nil} {
		args := append([]string{"run", "-i", "--name", "io", "--rootfs", root}, mode...)
		got := bulkhead(t, "line\n", append(args, "sh", "-c", "cat; echo err >&2; exit 5")...)
		if got != (result{"line\n", "err\n", 5}) {
			t.Errorf("%v: %+v", mode, got)
		}
	}
	if got := bulkhead(t, "", "logs", "io"); got != (result{"line\n", "err\n", 0}) {
		t.Errorf("logs: %+v", got)
	}
	last := bulkhead(t, "", "logs", "--timestamps", "-n", "1", "io")
	if !regexp.MustCompile(`^20\d\d-\S+Z (line|err)\n$`).MatchString(last.stdout + last.stderr) {
		t.Errorf("logs -t -n 1: %+v", last)
	}
	must(t, "rm", "io")
	got := bulkhead(t, "must not arrive", "run", "--rm", "--rootfs", root, "cat")
	if got != (result{}) {
		t.Errorf("input without -i: %+v", got)
	}
	big := bulkhead(t, "", "run", "--rootfs", root, "--name", "big", "sh", "-c", "dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x; echo")
	if len(big.stdout) != 8<<20+1 {
		t.Errorf("%d bytes of 8 MiB arrived", len(big.stdout))
	}
	must(t, "rm", "big")
	nothingLeft(t)
}

func TestDetachedLife(t *testing.T) {
	root := harness.RootFS(t)
	id := strings.TrimSpace(must(t, "run", "-d", "--name", "web", "--rootfs", root, "sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done"))
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
		t.Fatalf("ID %q", id)
	}
	var list []struct {
		ID, Name, Engine, Status, Level string
		PID                             int
		Layers                          []struct{ Layer, Asked, Observed string }
	}
	if err := json.Unmarshal([]byte(must(t, "ps", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != id || list[0].Name != "web" || list[0].Status != "running" || !regexp.MustCompile(`^s0:c\d+,c\d+$`).MatchString(list[0].Level) {
		t.Fatalf("ps: %+v", list)
	}
	seen := map[string]string{}
	for _, layer := range list[0].Layers {
		seen[layer.Layer] = layer.Asked + ":" + layer.Observed
	}
	if seen["landlock"] != "on:proven" || seen["seccomp"] != "on:1 filter" || seen["nnp"] != "off:0" {
		t.Errorf("posture %v", seen)
	}
	if table := must(t, "ps", "-Z"); !strings.Contains(table, "LEVEL") || !strings.Contains(table, list[0].Level) {
		t.Errorf("ps -Z: %s", table)
	}
	if got := bulkhead(t, "", "exec", "-e", "A=b", "-w", "/tmp", "-u", "user", "web", "sh", "-c", "echo $A; pwd; id -u; exit 6"); got != (result{"b\n/tmp\n1000\n", "", 6}) {
		t.Errorf("exec: %+v", got)
	}
	if got := bulkhead(t, "typed", "exec", "-i", id[:12], "cat"); got != (result{"typed", "", 0}) {
		t.Errorf("exec -i by the beginning of the ID: %+v", got)
	}
	if got := bulkhead(t, "", "exec", "web", "nowhere"); got.status != 127 {
		t.Errorf("exec of what is not there: %+v", got)
	}
	if got := bulkhead(t, "", "run", "--rm", "--name", "web", "--rootfs", root, "true"); got.status != 2 || !strings.Contains(got.stderr, "has that name") {
		t.Errorf("a name in use: %+v", got)
	}
	if got := bulkhead(t, "", "rm", "web"); got.status != 1 || !strings.Contains(got.stderr, "is running") {
		t.Errorf("rm of a running one: %+v", got)
	}
	must(t, "stop", "web")
	if got := must(t, "logs", "-f", "web"); got != "up\nbye\n" {
		t.Errorf("logs: %q", got)
	}
	if got := must(t, "ps", "-a"); !strings.Contains(got, "exited (9)") {
		t.Errorf("ps -a: %s", got)
	}
	if got := must(t, "ps"); strings.Contains(got, "web") {
		t.Errorf("ps lists one that has ended: %s", got)
	}
	must(t, "rm", "web")
	if got := bulkhead(t, "", "logs", "web"); got.status != 1 || !strings.Contains(got.stderr, "no such container") {
		t.Errorf("logs of a removed one: %+v", got)
	}
	nothingLeft(t)
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	must(t, "run", "-d", "--rm", "--name", "deaf", "--rootfs", harness.RootFS(t), "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
	started := time.Now()
	must(t, "stop", "-t", "1", "deaf")
	if spent := time.Since(started); spent < time.Second || spent > 20*time.Second {
		t.Errorf("stopped after %s", spent)
	}
	await(t, func() bool { return !strings.Contains(must(t, "ps", "-a"), "deaf") })
	nothingLeft(t)
}

func TestRemoveByForce(t *testing.T) {
	for _, mode := range [][]string{nil, {"--rm"}} {
		must(t, append(append([]string{"run", "-d", "--name", "forced"}, mode...), "--rootfs", harness.RootFS(t), "sleep", "1000")...)
		must(t, "rm", "-f", "forced")
	}
	nothingLeft(t)
}

func TestDetachedContainerThatCannotStartIsAnError(t *testing.T) {
	got := bulkhead(t, "", "run", "-d", "--rm", "--rootfs", harness.RootFS(t), "--memory", "1", "true")
	if got.status == 0 || !strings.HasPrefix(got.stderr, "bulkhead: error: ") || got.stdout != "" {
		t.Errorf("%+v", got)
	}
	nothingLeft(t)
}

func TestKilledKeeperIsSweptUp(t *testing.T) {
	root := harness.RootFS(t)
	for _, mode := range [][]string{{"--rm"}, nil} {
		command := exec.Command(harness.Binary(t), append(append([]string{"run", "--name", "orphan"}, mode...), "--rootfs", root, "sleep", "1000")...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		var pid int
		await(t, func() bool {
			var list []struct {
				Status string
				PID    int
			}
			json.Unmarshal([]byte(must(t, "ps", "--json")), &list)
			if len(list) == 1 && list[0].Status == "running" {
				pid = list[0].PID
			}
			return pid != 0
		})
		command.Process.Kill()
		command.Wait()
		if list := must(t, "ps"); !strings.Contains(list, "running") {
			t.Errorf("the container ended with its keeper: %s", list)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return !strings.Contains(must(t, "ps"), "orphan") })
		if mode == nil {
			if list := must(t, "ps", "-a"); !strings.Contains(list, "exited (137)") {
				t.Errorf("ps -a: %s", list)
			}
			must(t, "rm", "orphan")
		}
		nothingLeft(t)
	}
}

func TestPlanIsDeterministicAndStartsNothing(t *testing.T) {
	root := harness.RootFS(t)
	first := must(t, "plan", "--json", "--cap-add", "SYS_ADMIN", "--network", "host", "--rootfs", root, "true")
	for range 5 {
		if again := must(t, "plan", "--json", "--cap-add", "SYS_ADMIN", "--network", "host", "--rootfs", root, "true"); again != first {
			t.Fatalf("another plan: %s", again)
		}
	}
	if !json.Valid([]byte(first)) {
		t.Error("not JSON")
	}
	table := must(t, "plan", "--rootfs", root)
	for _, layer := range []string{"mcs", "selinux", "apparmor", "seccomp", "landlock", "capabilities"} {
		if !strings.Contains(table, "\n"+layer) {
			t.Errorf("no line for %s in\n%s", layer, table)
		}
	}
	bundle := harness.Bundle(t, root, "true", nil)
	if got := must(t, "plan", "--bundle", bundle, "--json"); !json.Valid([]byte(got)) || !strings.Contains(got, `"landlock"`) {
		t.Errorf("--bundle: %s", got)
	}
	nothingLeft(t)
}

// TestImages runs the same image from a layout, from an archive and from a registry on loopback.
func TestImages(t *testing.T) {
	picture := harness.Image(t, harness.RootFS(t), v1.Config{Env: []string{"PATH=/bin", "WORD=image"}, User: "user", WorkingDir: "/tmp",
		Cmd: []string{"sh", "-c", `echo "from the $WORD, user $(id -u), in $(pwd)"`}})
	layoutPath, archive := filepath.Join(t.TempDir(), "layout"), harness.Archive(t, picture)
	made, err := layout.Write(layoutPath, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.AppendImage(picture, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New())
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/test/image:1"
	remoteTag, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(remoteTag, picture); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{layoutPath, archive, reference} {
		if got := must(t, "run", "--rm", source); got != "from the image, user 1000, in /tmp\n" {
			t.Errorf("%s: %q", source, got)
		}
		if got := must(t, "run", "--rm", source, "echo", "other"); got != "other\n" {
			t.Errorf("%s with a command: %q", source, got)
		}
	}
	nothingLeft(t)
}

func TestPrivateVolumeIsRefusedToOthers(t *testing.T) {
	root, volume := harness.RootFS(t), t.TempDir()
	must(t, "run", "-d", "--name", "owner", "-v", volume+":/data:Z", "--rootfs", root, "sleep", "1000")
	for _, mode := range []string{"", ":z", ":Z", ":ro"} {
		got := bulkhead(t, "", "run", "--rm", "-v", volume+":/data"+mode, "--rootfs", root, "true")
		if got.status != 4 || !strings.Contains(got.stderr, "private label") {
			t.Errorf("mode %q: %+v", mode, got)
		}
		if got := bulkhead(t, "", "plan", "-v", volume+":/data"+mode, "--rootfs", root); got.status != 4 {
			t.Errorf("plan, mode %q: %+v", mode, got)
		}
	}
	must(t, "rm", "-f", "owner")
	must(t, "run", "--rm", "-v", volume+":/data:Z", "--rootfs", root, "true")
	// The label that the volume has holds its pair, which was the owner's and then the other's; without the volume it is free.
	if got := must(t, "label", "mcs", "ls"); strings.Count(got, "labelled") != 1 || strings.Contains(got, "gone") {
		t.Errorf("pairs: %s", got)
	}
	if err := os.RemoveAll(volume); err != nil {
		t.Fatal(err)
	}
	must(t, "ps")
	nothingLeft(t)
}

func TestVolumeIsGivenToTheUser(t *testing.T) {
	volume := t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "run", "--rm", "-u", "1000", "-v", volume+":/data:U", "--rootfs", harness.RootFS(t), "sh", "-c", "echo mine >/data/file")
	info, err := os.Stat(filepath.Join(volume, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 1000 {
		t.Errorf("the file is user %d's", uid)
	}
	nothingLeft(t)
}

func TestCheck(t *testing.T) {
	var report struct {
		Layers []struct{ Layer, State string }
	}
	if err := json.Unmarshal([]byte(must(t, "check", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Layers) != 7 {
		t.Errorf("%d layers", len(report.Layers))
	}
	for _, layer := range report.Layers {
		want := 3
		if layer.State == "enforcing" || layer.State == "available" {
			want = 0
		}
		if got := bulkhead(t, "", "check", "--require", layer.Layer); got.status != want {
			t.Errorf("--require %s, which is %s: status %d", layer.Layer, layer.State, got.status)
		}
	}
}

// await waits at most ten seconds for something to become true.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out after " + strconv.Itoa(10) + " s")
		}
	}
}
