// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package isolation holds containers to what they may not do, on this machine's own kernel, each time beside plain runc, which shows that
// the attempt would succeed otherwise.
package isolation

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) {
	status := harness.Private(m)
	if probe.directory != "" {
		os.RemoveAll(probe.directory)
	}
	os.Exit(status)
}

// probe is the program that asks the questions, built once.
var probe struct {
	once            sync.Once
	directory, path string
	err             error
}

func probePath(t *testing.T) string {
	t.Helper()
	probe.once.Do(func() {
		if probe.directory, probe.err = os.MkdirTemp("", "isolation-probe-"); probe.err != nil {
			return
		}
		probe.path = filepath.Join(probe.directory, "probe")
		build := exec.Command("go", "build", "-o", probe.path, "./probe")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			probe.err = fmt.Errorf("go build ./probe: %w: %s", err, out)
		}
	})
	if probe.err != nil {
		t.Fatal(probe.err)
	}
	return probe.path
}

// runtime is an OCI runtime with a state directory of its own.
type runtime struct{ path, root string }

// confined is Bulkhead, and plain is the control.
func confined(t *testing.T) runtime { return runtime{harness.Runtime(t), t.TempDir()} }

func plain(t *testing.T) runtime {
	path, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal("no runc: apt-get install runc")
	}
	return runtime{path, t.TempDir()}
}

func (r runtime) command(args ...string) *exec.Cmd {
	return exec.Command(r.path, append([]string{"--root", r.root}, args...)...)
}

// box is what a container is started with.
type box struct {
	root  string            // root file system, with /probe in it
	edit  func(*specs.Spec) // of the configuration of `runc spec`; nil for none
	files []*os.File        // descriptors 3 and on
	stdin *os.File
	out   *os.File // instead of what the caller gets back
}

func newRoot(t *testing.T) string {
	root := harness.RootFS(t)
	data, err := os.ReadFile(probePath(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "probe"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

var containers atomic.Int64

func newID() string { return fmt.Sprintf("isolation-%d-%d", os.Getpid(), containers.Add(1)) }

func (b box) bundle(t *testing.T, args ...string) string {
	return harness.Bundle(t, b.root, "", func(spec *specs.Spec) {
		spec.Process.Args = args
		if b.edit != nil {
			b.edit(spec)
		}
	})
}

// attach gives the runtime's process the box's descriptors.
func (b box) attach(command *exec.Cmd) {
	command.ExtraFiles = b.files
	if b.stdin != nil {
		command.Stdin = b.stdin
	}
	if b.out != nil {
		command.Stdout = b.out
	}
}

func (b box) preserve() string { return fmt.Sprint(len(b.files)) }

// output runs the command to its end, with a limit, and returns both of its outputs and its exit status.
func output(t *testing.T, command *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, errors bytes.Buffer
	if command.Stdout == nil {
		command.Stdout = &out
	}
	command.Stderr = &errors
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(2*time.Minute, func() { command.Process.Kill() })
	defer limit.Stop()
	command.Wait()
	return out.String(), errors.String(), command.ProcessState.ExitCode()
}

// run runs a container to its end.
func (r runtime) run(t *testing.T, b box, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	id := newID()
	command := r.command("run", "--preserve-fds", b.preserve(), "--bundle", b.bundle(t, args...), id)
	b.attach(command)
	defer r.command("delete", "--force", id).Run()
	return output(t, command)
}

// start starts a container that stays, and returns its ID.
func (r runtime) start(t *testing.T, b box, args ...string) string {
	t.Helper()
	id := newID()
	command := r.command("run", "--detach", "--bundle", b.bundle(t, args...), id)
	log := newFile(t) // a pipe would stay open in the container
	command.Stderr = log
	if err := command.Run(); err != nil {
		t.Fatalf("%s run --detach: %v: %s", r.path, err, content(t, log))
	}
	t.Cleanup(func() { r.command("delete", "--force", id).Run() })
	return id
}

// detached runs a container to its end whose program has the runtime's own descriptors, and not pipes that the runtime copies to and fro,
// and returns what it wrote to standard output, a file.
func (r runtime) detached(t *testing.T, b box, args ...string) string {
	t.Helper()
	out := b.out
	if out == nil {
		out = newFile(t)
	}
	b.out = out
	id := newID()
	command := r.command("run", "--detach", "--preserve-fds", b.preserve(), "--bundle", b.bundle(t, args...), id)
	b.attach(command)
	command.Stderr = newFile(t)
	defer r.command("delete", "--force", id).Run()
	if err := command.Run(); err != nil {
		t.Fatalf("%s run --detach: %v: %s", r.path, err, content(t, command.Stderr.(*os.File)))
	}
	r.awaitEnd(t, id)
	return content(t, out)
}

func (r runtime) awaitEnd(t *testing.T, id string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		state, err := r.command("state", id).Output()
		if err != nil || bytes.Contains(state, []byte(`"stopped"`)) {
			return
		}
	}
	t.Fatalf("container %s did not end", id)
}

func newFile(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func content(t *testing.T, file *os.File) string {
	t.Helper()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exec runs one more process in a container to its end.
func (r runtime) exec(t *testing.T, id string, b box, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := r.command(append([]string{"exec", "--preserve-fds", b.preserve(), id}, args...)...)
	b.attach(command)
	return output(t, command)
}

// ways are how a process comes into a container.
var ways = []string{"run", "exec"}

// ask puts the questions to the kernel from inside a container.
func (r runtime) ask(t *testing.T, way string, b box, questions ...string) map[string]string {
	t.Helper()
	args := append([]string{"/probe"}, questions...)
	var out, stderr string
	var status int
	if way == "run" {
		out, stderr, status = r.run(t, b, args...)
	} else {
		id := r.start(t, b, "/bin/sleep", "600")
		out, stderr, status = r.exec(t, id, b, args...)
		r.command("delete", "--force", id).Run()
	}
	if status != 0 {
		t.Fatalf("%s %s: exit status %d: %s%s", r.path, way, status, out, stderr)
	}
	return readAnswers(t, out, questions)
}

func readAnswers(t *testing.T, out string, questions []string) map[string]string {
	t.Helper()
	answers := map[string]string{}
	for line := range strings.Lines(out) {
		question, answer, _ := strings.Cut(strings.TrimSpace(line), "=")
		answers[question] = answer
	}
	for _, question := range questions {
		if answers[question] == "" {
			t.Fatalf("no answer to %s: %s", question, out)
		}
	}
	return answers
}

// refusals are the errors by which Landlock refuses; EXDEV is what renames and links across its border get.
var refusals = []string{"EACCES", "EPERM", "EXDEV"}

func wantRefused(t *testing.T, answers map[string]string, questions ...string) {
	t.Helper()
	for _, question := range questions {
		if !slices.Contains(refusals, answers[question]) {
			t.Errorf("%s: %s, want it refused", question, answers[question])
		}
	}
}

func wantAnswer(t *testing.T, answers map[string]string, want string, questions ...string) {
	t.Helper()
	for _, question := range questions {
		if answers[question] != want {
			t.Errorf("%s: %s, want %s", question, answers[question], want)
		}
	}
}

// shareNamespaces takes namespaces out of a configuration, so that the host's are shared.
func shareNamespaces(spec *specs.Spec, shared ...specs.LinuxNamespaceType) {
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(namespace specs.LinuxNamespace) bool {
		return slices.Contains(shared, namespace.Type)
	})
	if slices.Contains(shared, specs.NetworkNamespace) { // a sysfs can be mounted in a network namespace of one's own only
		spec.Mounts = slices.DeleteFunc(spec.Mounts, func(mount specs.Mount) bool { return mount.Destination == "/sys" })
	}
}

// empower gives the process capabilities in every set.
func empower(spec *specs.Spec, names ...string) {
	sets := spec.Process.Capabilities
	for _, set := range []*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted} {
		*set = append(*set, names...)
	}
}

// victim is a process to be attacked.
type victim struct{ pid, address, socket string }

func readVictim(t *testing.T, command *exec.Cmd, socket string) victim {
	t.Helper()
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("victim: %v: %s", err, &stderr)
	}
	found := victim{socket: socket}
	if _, err := fmt.Sscanf(line, "ready %s %s", &found.address, &found.pid); err != nil {
		t.Fatalf("victim: %q: %v", line, err)
	}
	return found
}

// hostVictim is one outside every container.
func hostVictim(t *testing.T) victim {
	socket := newID()
	return readVictim(t, exec.Command(probePath(t), "victim", "mysecret", socket), socket)
}

// boxedVictim is one in a confined container that shares the host's PID and network namespaces.
func boxedVictim(t *testing.T, root string) victim {
	runtime, id, socket := confined(t), newID(), newID()
	b := box{root: root, edit: func(spec *specs.Spec) { shareNamespaces(spec, specs.PIDNamespace, specs.NetworkNamespace) }}
	command := runtime.command("run", "--bundle", b.bundle(t, "/probe", "victim", "mysecret", socket), id)
	t.Cleanup(func() { runtime.command("delete", "--force", id).Run() })
	return readVictim(t, command, socket)
}
