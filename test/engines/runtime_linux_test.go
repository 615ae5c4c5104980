// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"encoding/json"
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

// caller calls the runtime as an engine does.
type caller struct{ place, root string }

func newCaller(t *testing.T) *caller {
	t.Helper()
	place := directory(t)
	return &caller{place, filepath.Join(place, "root")}
}

func (c *caller) arguments(t *testing.T, args ...string) []string {
	t.Helper()
	return slices.Concat([]string{harness.Runtime(t), "--root", c.root, "--log", c.place + "/log.json", "--log-format", "json"}, args)
}

func (c *caller) do(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, nil, "", nil, c.arguments(t, args...)...)
}

// bundle makes a bundle below the caller's place.
func (c *caller) bundle(t *testing.T, script string, edit func(*specs.Spec)) string {
	t.Helper()
	made := harness.Bundle(t, "", script, func(spec *specs.Spec) {
		spec.Linux.CgroupsPath = cgroup(c.place) + "/" + filepath.Base(t.TempDir())
		if edit != nil {
			edit(spec)
		}
	})
	bundle, err := os.MkdirTemp(c.place, "bundle")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(made, "config.json"), filepath.Join(bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	return bundle
}

// create creates a container that is deleted with the test.
func (c *caller) create(t *testing.T, id, bundle string) result {
	t.Helper()
	t.Cleanup(func() { c.do(t, "delete", "--force", id).must(t) })
	// Files, because the container keeps the descriptors: the end of a pipe would come with its own end.
	errors, err := os.CreateTemp(c.place, "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Close()
	args := c.arguments(t, "create", "--bundle", bundle, id)
	command := exec.Command(args[0], args[1:]...)
	command.Stderr = errors
	command.Run()
	text, err := os.ReadFile(errors.Name())
	if err != nil {
		t.Fatal(err)
	}
	return result{"", string(text), command.ProcessState.ExitCode()}
}

func TestTheRuntimeItself(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	t.Run("features is the OCI runtime's JSON with filters and annotations of Bulkhead's", c.testFeatures)
	t.Run("--version names both runtimes", func(t *testing.T) {
		got := run(t, nil, "", nil, harness.Runtime(t), "--version").must(t)
		if !strings.HasPrefix(got, "bulkhead-runtime version ") || !strings.Contains(got, "\nrunc version ") || !strings.Contains(got, "\nspec: ") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("fields of config.json that nobody knows survive the rewrite", c.testUnknownFields)
	t.Run("an error is in the log as JSON, with its hint, and has its exit status", c.testLog)
	t.Run("delete may come twice, and for what never was", c.testDelete)
	t.Run("exec without process.json takes the options of runc", c.testExecOptions)
	t.Run("a runtime killed with -9 in the middle of create leaves nothing for long", c.testKilled)
}

func (c *caller) testFeatures(t *testing.T) {
	var got, below map[string]any
	if err := json.Unmarshal([]byte(run(t, nil, "", nil, harness.Runtime(t), "features").must(t)), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(run(t, nil, "", nil, "runc", "features").must(t)), &below); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"ociVersionMin", "ociVersionMax"} {
		if text, ok := got[field].(string); !ok || text == "" {
			t.Errorf("%s: %v", field, got[field])
		}
	}
	annotations, _ := got["annotations"].(map[string]any)
	for _, name := range []string{"org.bulkhead.version", "org.bulkhead.runtime"} {
		if annotations[name] == nil {
			t.Errorf("no annotation %s: %v", name, annotations)
		}
		delete(annotations, name)
	}
	if filters, _ := got["linux"].(map[string]any)["seccomp"].(map[string]any); filters["enabled"] != true || len(filters["archs"].([]any)) < 20 {
		t.Errorf("seccomp: %v", filters)
	}
	if versions, ok := below["annotations"].(map[string]any); ok {
		delete(versions, "io.github.seccomp.libseccomp.version")
	}
	for _, features := range []map[string]any{got, below} {
		delete(features["linux"].(map[string]any), "seccomp")
		if named, _ := features["annotations"].(map[string]any); len(named) == 0 {
			delete(features, "annotations")
		}
	}
	if want := string(encode(t, below)); string(encode(t, got)) != want {
		t.Errorf("beside the annotations and seccomp:\ngot  %s\nwant %s", encode(t, got), want)
	}
}

func (c *caller) testUnknownFields(t *testing.T) {
	bundle := c.bundle(t, "sleep 1000", nil)
	path := filepath.Join(bundle, "config.json")
	var tree map[string]any
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil {
		t.Fatal(err)
	}
	stranger := map[string]any{"number": 12345678901234567.0, "list": []any{"a", nil, true}}
	process, linux := tree["process"].(map[string]any), tree["linux"].(map[string]any)
	mount := tree["mounts"].([]any)[0].(map[string]any)
	for _, object := range []map[string]any{tree, process, process["capabilities"].(map[string]any), linux, mount} {
		object["org.example.unknown"] = stranger
	}
	asked := encode(t, tree)
	if err := os.WriteFile(path, asked, 0o600); err != nil {
		t.Fatal(err)
	}
	c.create(t, "unknown", bundle).must(t)
	if now, _ := os.ReadFile(path); string(now) != string(asked) {
		t.Error("the engine's own config.json was changed")
	}
	shadow := filepath.Join(filepath.Dir(record(t, "unknown").PIDFile()), "bundle", "config.json")
	var edited map[string]any
	if data, err = os.ReadFile(shadow); err == nil {
		err = json.Unmarshal(data, &edited)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := string(encode(t, stranger))
	for place, object := range map[string]any{"the whole": edited, "process": edited["process"], "linux": edited["linux"], "a mount": edited["mounts"].([]any)[0]} {
		if got := string(encode(t, object.(map[string]any)["org.example.unknown"])); got != want {
			t.Errorf("%s: %s", place, got)
		}
	}
}

func (c *caller) testLog(t *testing.T) {
	for _, test := range []struct {
		name, says string
		status     int
		edit       func(*specs.Spec)
	}{
		{"a mount on the program's place", "the program that confines the container has its place there (hint: ", 4, func(spec *specs.Spec) {
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/.bulkhead/init", Source: "/bin/true", Type: "bind", Options: []string{"bind"}})
		}},
		{"an AppArmor profile without AppArmor", `profile "some" was asked for`, 3, func(spec *specs.Spec) { spec.Process.ApparmorProfile = "some" }},
		{"a label without SELinux", "a label was asked for, and SELinux is not active", 3, func(spec *specs.Spec) {
			spec.Process.SelinuxLabel, spec.Linux.MountLabel = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"
		}},
	} {
		os.Remove(c.place + "/log.json")
		got := c.create(t, "refused", c.bundle(t, "true", test.edit))
		if got.status != test.status || !strings.HasPrefix(got.err, "bulkhead: error: ") || !strings.Contains(got.err, "bulkhead: hint: ") {
			t.Errorf("%s: %+v", test.name, got)
		}
		data, _ := os.ReadFile(c.place + "/log.json")
		var entry struct {
			Level, Msg string
			Time       time.Time
		}
		if err := json.Unmarshal(data, &entry); err != nil || entry.Level != "error" || !strings.Contains(entry.Msg, test.says) || entry.Time.IsZero() {
			t.Errorf("%s: log: %v %s", test.name, err, data)
		}
		if record(t, "refused") != nil {
			t.Errorf("%s: a record is left", test.name)
		}
	}
}

func (c *caller) testDelete(t *testing.T) {
	if got := c.do(t, "delete", "--force", "never-was"); got.status != 0 {
		t.Errorf("forced, of one that never was: %+v", got)
	}
	plain := run(t, nil, "", nil, "runc", "--root", c.root, "delete", "never-was")
	if got := c.do(t, "delete", "never-was"); got.status != plain.status {
		t.Errorf("of one that never was: %+v, under runc %+v", got, plain)
	}
	c.create(t, "deleted", c.bundle(t, "sleep 1000", nil)).must(t)
	c.do(t, "start", "deleted").must(t)
	if got := c.do(t, "delete", "deleted"); got.status == 0 || record(t, "deleted") == nil {
		t.Errorf("of one that runs: %+v", got)
	}
	for range 2 {
		c.do(t, "delete", "--force", "deleted").must(t)
		if record(t, "deleted") != nil {
			t.Error("record is left")
		}
	}
	noOrphans(t)
}

func (c *caller) testExecOptions(t *testing.T) {
	c.create(t, "options", c.bundle(t, "sleep 1000", nil)).must(t)
	c.do(t, "start", "options").must(t)
	got := c.do(t, "exec", "--env", "SAID=here", "--cwd", "/etc", "--user", "1000:1000", "options", "sh", "-c", `echo $SAID $PWD $(id -u):$(id -g); grep CapBnd /proc/self/status; exit 3`)
	want := run(t, nil, "", nil, "runc", "--root", c.root, "exec", "--env", "SAID=here", "--cwd", "/etc", "--user", "1000:1000", "options", "sh", "-c", "grep CapBnd /proc/self/status")
	// The container's own process has been started by way of the program inside, so that runc alone would lend its capabilities to this one.
	if got.status != 3 || !strings.HasPrefix(got.out, "here /etc 1000:1000\nCapBnd:") {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(got.out, want.out) {
		t.Errorf("exec has the lent capabilities: %s", got.out)
	}
}

// testKilled kills the runtime at chosen moments. What the OCI runtime knows of, its engine deletes; all else, the next creation sweeps.
func (c *caller) testKilled(t *testing.T) {
	mark := filepath.Join(c.place, "hook")
	hooked := c.bundle(t, "sleep 1000", func(spec *specs.Spec) {
		spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", ": >" + mark + "; sleep 2"}}}}
	})
	c.kill(t, "in-hook", hooked, 0, func() bool { _, err := os.Stat(mark); return err == nil })
	bundle := c.bundle(t, "sleep 1000", nil)
	names := []string{"in-hook"}
	for i, name := range []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"} {
		c.kill(t, name, bundle, time.Duration(i)*4*time.Millisecond, func() bool {
			found, _ := filepath.Glob(filepath.Join(host(t).Run, "containers", name+".*"))
			return len(found) > 0
		})
		names = append(names, name)
	}
	eventually(t, "no runtime runs", func() bool { return len(processes(c.root)) == 0 })
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(c.root, name)); err == nil {
			c.do(t, "delete", "--force", name).must(t)
		}
	}
	os.Remove(filepath.Join(host(t).Run, "swept"))
	c.create(t, "next", c.bundle(t, "sleep 1000", nil)).must(t)
	for _, record := range records(t, c.place) {
		if record.ID != "next" {
			t.Errorf("record of %s is left", record.ID)
		}
	}
	noOrphans(t)
}

// kill starts to create a container, and kills the runtime so long after a moment.
func (c *caller) kill(t *testing.T, id, bundle string, after time.Duration, moment func() bool) {
	t.Helper()
	args := c.arguments(t, "create", "--bundle", bundle, id)
	command := exec.Command(args[0], args[1:]...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(limit); !moment() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(after)
	command.Process.Signal(unix.SIGKILL)
	command.Wait()
}
