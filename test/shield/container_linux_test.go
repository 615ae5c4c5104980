// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// inContainer runs a script in a container that has the volume on /data.
func (v volume) inContainer(t *testing.T, root, script string, options ...string) (string, error) {
	t.Helper()
	args := slices.Concat([]string{"run", "--rm", "--rootfs", root, "--shield", "/data=" + v.directory, "--key-file", v.key}, options, []string{"/bin/sh", "-ec", script})
	return run(t, args...)
}

func TestContainersShareAVolumeOneAfterTheOther(t *testing.T) {
	root, v := harness.RootFS(t), newVolume(t)
	before := shieldMounts(t) // another program's, from before this one had a mount namespace of its own
	if out, err := v.inContainer(t, root, "mkdir /data/d; echo text >/data/d/f; ln -s d/f /data/l; touch /data/$(hostname)"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 3 { // each finds the volume closed
		out, err := v.inContainer(t, root, "cat /data/l; grep ' /data ' /proc/mounts | tail -n 1", "--read-only")
		if err != nil || !strings.Contains(out, "text\nshield /data fuse.bulkhead rw,nosuid,nodev") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if now := shieldMounts(t); now != before {
		t.Errorf("mounted outside of the container: %d, %d before", now, before)
	}
	if out, err := run(t, "shield", "verify", "--key-file", v.key, v.directory); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// shieldMounts counts the volumes that are mounted in this mount namespace.
func shieldMounts(t *testing.T) int {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(mounts), " fuse.bulkhead ")
}

func TestUsersOfAContainerHaveTheirOwnFiles(t *testing.T) {
	root, v := harness.RootFS(t), newVolume(t)
	if out, err := v.inContainer(t, root, "mkdir /data/u; chown 1000:1000 /data/u; echo secret >/data/r; chmod 600 /data/r"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := v.inContainer(t, root, "echo mine >/data/u/f; stat -c '%u:%g' /data/u/f; cat /data/r && echo read || echo refused", "-u", "1000:1000")
	if err != nil || !strings.Contains(out, "1000:1000\n") || !strings.HasSuffix(strings.TrimSpace(out), "refused") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestContainersWithoutTheirVolumeDoNotStart(t *testing.T) {
	root, v := harness.RootFS(t), newVolume(t)
	held := newVolume(t)
	held.mount(t)
	for name, test := range map[string]struct{ shield, key, want string }{
		"WrongKey":      {"/data=" + v.directory, newKey(t), "wrong key"},
		"NoVolume":      {"/data=" + t.TempDir(), v.key, "no volume"},
		"InUse":         {"/data=" + held.directory, held.key, "in use by process"},
		"AnotherPolicy": {"/data=" + v.directory + ":authenticated", v.key, "is encrypted, and not authenticated"},
		"NoKeyFile":     {"/data=" + v.directory, "/nowhere", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, "run", "--rm", "--rootfs", root, "--shield", test.shield, "--key-file", test.key, "/bin/echo", "it", "runs")
			if err == nil || strings.Contains(out, "it runs") || !strings.Contains(out, test.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	if entries, err := os.ReadDir("/run/bulkhead/containers"); err != nil || len(entries) != 0 {
		t.Errorf("records are left: %v, %v", entries, err)
	}
}

func TestEphemeralVolumesLeaveNothing(t *testing.T) {
	root, directory := harness.RootFS(t), t.TempDir()
	for range 2 {
		out, err := run(t, "run", "--rm", "--rootfs", root, "--shield", "/data="+directory+":ephemeral", "/bin/sh", "-ec", "ls -A /data; echo text >/data/f; cat /data/f")
		if err != nil || !strings.HasSuffix(out, "text\n") || strings.Contains(out, "\nf\n") {
			t.Errorf("%v: %s", err, out)
		}
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// background starts a container that has synced a file and sleeps, and returns its first process and the one that serves its volume.
func (v volume) background(t *testing.T, root string) (id string, first, server int) {
	t.Helper()
	out, err := v.inContainer(t, root, "echo synced >/data/f; sync /data/f; echo ready >/tmp/ready; while :; do echo x >>/data/unsynced; sleep 0.1; done", "-d")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	words := strings.Fields(out)
	id = words[len(words)-1]
	t.Cleanup(func() { run(t, "rm", "-f", id) })
	found, err := filepath.Glob("/run/bulkhead/containers/" + id + ".*/record.json")
	if err != nil || len(found) != 1 {
		t.Fatalf("record: %v, %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Creator struct {
			PID int `json:"pid"`
		} `json:"creator"`
		Shields []struct {
			PID int `json:"pid"`
		} `json:"shields"`
	}
	if err := json.Unmarshal(text, &record); err != nil || len(record.Shields) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	first, server = record.Creator.PID, record.Shields[0].PID
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if out, err := run(t, "exec", id, "cat", "/tmp/ready"); err == nil && strings.Contains(out, "ready") {
			return id, first, server
		}
		if time.Now().After(deadline) {
			t.Fatal("the container does not get ready")
		}
	}
}

func TestKillsLeaveNothingAndLoseNothingSynced(t *testing.T) {
	root := harness.RootFS(t)
	for name, victim := range map[string]func(first, server int) int{
		"Container": func(first, _ int) int { return first },
		"Server":    func(_, server int) int { return server },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t)
			id, first, server := v.background(t, root)
			if err := unix.Kill(victim(first, server), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if name == "Server" {
				out, err := run(t, "exec", id, "cat", "/data/f")
				if err == nil || !strings.Contains(out, "not connected") {
					t.Errorf("a program in the container: %v: %s", err, out)
				}
				if out, err := run(t, "rm", "-f", id); err != nil {
					t.Errorf("rm: %v: %s", err, out)
				}
			}
			awaitEnd(t, server)
			if out, err := v.inContainer(t, root, "cat /data/f"); err != nil || !strings.Contains(out, "synced") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// The annotation is how engines ask: bulkhead-runtime, which has no FUSE of its own, executes the full program.
func TestEnginesAskByAnAnnotation(t *testing.T) {
	v := newVolume(t)
	annotated := func(annotation string) string {
		return harness.Bundle(t, "", "echo text >/data/f; cat /data/f", func(spec *specs.Spec) {
			spec.Process.Terminal, spec.Annotations = false, map[string]string{"org.bulkhead.shield": annotation}
		})
	}
	id := fmt.Sprintf("annotated-%d", os.Getpid())
	runtime := func(args ...string) (string, error) {
		out, err := exec.Command("timeout", append([]string{"60", harness.Runtime(t)}, args...)...).CombinedOutput()
		return string(out), err
	}
	bundle := annotated("/data=" + v.directory + ",key-file=" + v.key)
	if out, err := runtime("create", "--bundle", bundle, id); err == nil || !strings.Contains(out, "no annotation may name volumes") {
		t.Fatalf("an annotation that the host does not allow: %v: %s", err, out)
	}
	if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(`{"annotations": ["shield"]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/etc/bulkhead/bulkhead.json")
	output := filepath.Join(t.TempDir(), "out")
	shell := fmt.Sprintf("%s create --bundle %s %s >%s 2>&1 </dev/null", harness.Runtime(t), bundle, id, output)
	if err := exec.Command("timeout", "60", "sh", "-c", shell).Run(); err != nil {
		text, _ := os.ReadFile(output)
		t.Fatalf("create: %v: %s", err, text)
	}
	defer runtime("delete", "--force", id)
	if out, err := runtime("start", id); err != nil {
		t.Fatalf("start: %v: %s", err, out)
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(output); err == nil && strings.HasSuffix(string(text), "text\n") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("it prints %q, %v", text, err)
		}
	}
	if out, err := runtime("delete", "--force", id); err != nil {
		t.Errorf("delete: %v: %s", err, out)
	}
	if out, err := run(t, "shield", "verify", "--key-file", v.key, v.directory); err != nil {
		t.Errorf("the volume is not closed when the container is deleted: %v: %s", err, out)
	}
	id += "-run"
	if out, err := runtime("run", "--bundle", bundle, id); err == nil || !strings.Contains(out, "volumes are mounted in between") {
		t.Errorf("run in one step: %v: %s", err, out)
	}
}
