// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// role tells the test program that it is started as a part of a test.
const role = "BULKHEAD_PROBE_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "prober":
		probing()
	case "idle":
		signal.Ignore(unix.SIGUSR1, unix.SIGUSR2)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	default:
		os.Exit(m.Run())
	}
}

// probing tries every probe and prints how each ended.
func probing() {
	var w world
	if err := json.Unmarshal([]byte(os.Getenv("BULKHEAD_PROBE_WORLD")), &w); err != nil {
		panic(err)
	}
	outcomes := map[string]string{}
	for _, p := range allProbes() {
		outcomes[p.name] = outcome(p.try(&w))
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		panic(err)
	}
}

const (
	allowed = "allowed"
	denied  = "denied"
)

// outcome is allowed, denied, or an error that has nothing to do with either.
func outcome(err error) string {
	switch {
	case err == nil:
		return allowed
	case os.IsPermission(err):
		return denied
	}
	return err.Error()
}

// policy is a text and the features that it is compiled with.
type policy struct {
	name    string
	flavour string // lines before the profile
	text    string // of the profile
}

// policies are the same rules for the kernel as it is, for it with a rule for user namespaces, and as of AppArmor 3.0.
func policies(t *testing.T) []policy {
	t.Helper()
	text, err := os.ReadFile("testdata/probe.policy")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list := []policy{{name: "plain"}, {name: "namespaces", text: "userns create,"}, {name: "pinned", flavour: "abi <abi/3.0>,"}}
	for i, p := range list {
		list[i].text = strings.NewReplacer("PROGRAM", program, "FLAVOUR", p.flavour, "# files", p.text+"\n  # files").Replace(string(text))
	}
	return list
}

// named is the text under a name.
func (p policy) named(name string) string { return strings.ReplaceAll(p.text, "NAME", name) }

// compileOurs compiles a policy for this kernel.
func compileOurs(t *testing.T, text string) []byte {
	t.Helper()
	features, err := apparmor.HostFeatures()
	if err != nil {
		t.Fatal(err)
	}
	files := syntax.Options{Files: os.DirFS("/")}
	tree, err := syntax.Parse("probe", text, files)
	if err != nil {
		t.Fatal(err)
	}
	abi, err := apparmor.LoadABI(tree, files)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := apparmor.Compile(t.Context(), tree, apparmor.Options{Features: features, ABI: abi})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := binary.Encode(compiled.Policy)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// compileReference has a reference parser compile a policy for this kernel. Without -M it would take policy that has no abi rule for one that means
// the features of an older kernel.
func compileReference(t *testing.T, parser []string, text string) []byte {
	t.Helper()
	features, err := apparmor.HostFeatures()
	must(t, err)
	file := filepath.Join(t.TempDir(), "features")
	must(t, os.WriteFile(file, []byte(features.String()), 0o600))
	command := exec.Command(parser[0], append(parser[1:], "--config-file=/dev/null", "-q", "-Q", "-K", "-S", "-M", file)...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(text), &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v: %s", parser, err, &stderr)
	}
	return stdout.Bytes()
}

// references are the reference's compilers by name.
func references(t *testing.T) map[string][]string {
	t.Helper()
	must(t, os.MkdirAll("/newer", 0o755))
	if out, err := exec.Command("tar", "-xf", "/newer.tar", "-C", "/newer").CombinedOutput(); err != nil {
		t.Fatalf("run test/apparmor/guest/run.sh: %v: %s", err, out)
	}
	loaders, err := filepath.Glob("/newer/usr/lib/*/ld-linux*.so.*")
	if err != nil || len(loaders) != 1 {
		t.Fatalf("loaders %q, %v", loaders, err)
	}
	return map[string][]string{
		"host":  {"/usr/sbin/apparmor_parser"},
		"newer": {loaders[0], "--library-path", filepath.Dir(loaders[0]), "/newer/usr/sbin/apparmor_parser"},
	}
}

const interfaceDirectory = "/sys/kernel/security/apparmor/"

// load writes a stream into the kernel; its top profiles are removed at the end of the test.
func load(t *testing.T, stream []byte, name string) {
	t.Helper()
	if err := os.WriteFile(interfaceDirectory+".replace", stream, 0); err != nil {
		t.Fatalf("the kernel refuses %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(interfaceDirectory+".remove", []byte(name), 0); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	})
}

func TestProbesAnswerAlike(t *testing.T) {
	vmtest.Require(t, vmtest.AppArmor)
	free := probeUnder(t, "")
	for name, got := range free {
		if got != allowed {
			t.Fatalf("%s: %s where nothing is confined: the probe is wrong", name, got)
		}
	}
	features, err := apparmor.HostFeatures()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies(t) {
		t.Run(p.name, func(t *testing.T) {
			ours := compileOurs(t, p.named("probe-ours"))
			load(t, ours, "probe-ours")
			got := probeUnder(t, "probe-ours")
			for name, parser := range references(t) {
				if name == "host" && p.name != "pinned" {
					continue // it knows nothing of user namespaces, and mediates none
				}
				load(t, compileReference(t, parser, p.named("probe-"+name)), "probe-"+name)
				alike(t, name, got, probeUnder(t, "probe-"+name))
			}
			alike(t, "Decide", got, decided(t, ours, features))
			count := map[string]int{}
			for _, answer := range got {
				count[answer]++
			}
			if t.Logf("%d probes: %v", len(got), count); count[allowed] < 30 || count[denied] < 30 || len(count) != 2 {
				t.Errorf("answers %v, want only some 40 of either", count)
			}
		})
	}
}

// alike compares the answers of the kernel under our binary with others.
func alike(t *testing.T, name string, ours, others map[string]string) {
	t.Helper()
	for _, probe := range slices.Sorted(maps.Keys(ours)) {
		if ours[probe] != others[probe] {
			t.Errorf("%s: %s under our binary, %s: %s", probe, ours[probe], name, others[probe])
		}
	}
}

// decided asks Decide what the probes ask the kernel.
func decided(t *testing.T, stream []byte, features apparmor.Features) map[string]string {
	t.Helper()
	policy, err := binary.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	profile := policy.Profiles[0]
	answers := map[string]string{}
	w := world{Profile: profile.Name}
	for _, p := range allProbes() {
		answers[p.name] = allowed
		for _, question := range p.asks(&w) {
			if verdict := apparmor.Decide(profile, features, question, nil); !verdict.Allowed {
				answers[p.name] = denied
			}
		}
	}
	return answers
}

// probeUnder runs the probes under a profile, or under none, and returns how each ended.
func probeUnder(t *testing.T, profile string) map[string]string {
	t.Helper()
	makeWorld(t)
	defer removeWorld(t)
	w := world{Profile: profile}
	for _, idle := range []struct {
		profile string
		pid     *int
	}{{"", &w.Unconfined}, {profile, &w.Sleeper}} {
		command := confined(t, idle.profile, "idle", "")
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		start(t, command, idle.profile)
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatalf("idle process under %q: %v", idle.profile, err)
		}
		defer command.Wait()
		defer command.Process.Kill()
		*idle.pid = command.Process.Pid
	}
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	command := confined(t, profile, "prober", string(text))
	var stdout bytes.Buffer
	command.Stdout = &stdout
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	start(t, command, profile)
	if err := command.Wait(); err != nil {
		t.Fatalf("probing under %q: %v", profile, err)
	}
	outcomes := map[string]string{}
	if err := json.Unmarshal(stdout.Bytes(), &outcomes); err != nil {
		t.Fatal(err)
	}
	return outcomes
}

func confined(t *testing.T, profile, as, text string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = []string{role + "=" + as, "BULKHEAD_PROBE_WORLD=" + text}
	command.Dir, command.Stderr = "/", os.Stderr
	return command
}

// start starts a command under a profile: the kernel changes the profile of what a thread executes next. The thread ends with that.
func start(t *testing.T, command *exec.Cmd, profile string) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if profile != "" {
			if err := os.WriteFile("/proc/thread-self/attr/apparmor/exec", []byte("exec "+profile), 0); err != nil {
				done <- err
				return
			}
		}
		done <- command.Start()
	}()
	must(t, <-done)
}

// makeWorld makes the files and mounts that the probes act on.
func makeWorld(t *testing.T) {
	t.Helper()
	for _, directory := range []string{"", "file/dir", "file/deep/er", "file/glob.one_", "file/owned", "exec", "src", "other"} {
		must(t, os.MkdirAll(filepath.Join(root, directory), 0o755))
	}
	for _, name := range []string{"read", "write", "append", "glob.one", "glob.two1", "glob.three", "ax", "cx", "ay", "cy", "deep/er/still", "deep/er/gone", "deep/denied",
		"glob.one_/in", "deep/from", "deep/away", "owned/mine", "owned/theirs", "with space", "nothing", "target", "lock", "nolock", "map", "nomap"} {
		must(t, os.WriteFile(files+name, []byte(strings.Repeat("x", 8192)), 0o644))
	}
	must(t, os.Chown(files+"owned/theirs", 1000, 1000))
	program, err := os.ReadFile("/bin/busybox")
	must(t, err)
	for _, name := range []string{"inherit", "denied", "uses", "child", "unnamed"} {
		must(t, os.WriteFile(execs+name, program, 0o755))
	}
	for _, name := range []string{"new", "in", "bind", "old", "from", "to", "gone", "stays", "moves"} {
		must(t, os.MkdirAll(mnt+name, 0o755))
	}
	for _, name := range mounted {
		must(t, unix.Mount("none", mnt+name, "tmpfs", 0, ""))
	}
}

// mounted are mounts that the probes find.
var mounted = []string{"old", "from", "gone", "stays", "moves"}

func removeWorld(t *testing.T) {
	t.Helper()
	for _, name := range mounted {
		must(t, unix.Unmount(mnt+name, unix.MNT_DETACH))
	}
	must(t, os.RemoveAll(root))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
