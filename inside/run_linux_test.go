// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/landlock"
)

// What a child of the tests does is told by this variable: Run cannot be undone, so that it runs in a process of its own, in a root of its own.
const childVariable = "BULKHEAD_INSIDE_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "observe":
		observe()
	default:
		beInside(os.Getenv(childVariable))
	}
}

// beInside stands for /.bulkhead/init. mode says how /proc is, and what the process is like.
func beInside(mode string) {
	runtime.LockOSThread()
	if mode != "fakeproc" {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mount /proc:", err)
			os.Exit(1)
		}
	}
	if mode == "covered" {
		task := fmt.Sprintf("/proc/self/task/%d/", unix.Gettid())
		if err := unix.Mount(task+"comm", task+"attr/exec", "", unix.MS_BIND, ""); err != nil {
			fmt.Fprintln(os.Stderr, "bind:", err)
			os.Exit(1)
		}
	}
	if strings.Contains(mode, "privilegeless") {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, "no_new_privs:", err)
			os.Exit(1)
		}
	}
	if strings.Contains(mode, "limited") {
		startLimited()
	}
	spec, args, err := Parse(os.Args)
	status := ExitUnheld
	if err == nil {
		os.Setenv(childVariable, "observe")
		status, err = Run(spec, args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(status)
}

// report is what the program sees of its confinement.
type report struct {
	Sets  map[string]uint64 // CapBnd ... and Seccomp, Seccomp_filters of /proc/self/status
	Opens map[string]string // each argument "DESCRIPTOR:NAME:FLAGS", and the error; "" for none
}

// observe stands for the container's program.
func observe() {
	seen := report{map[string]uint64{}, map[string]string{}}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "Cap") || strings.HasPrefix(name, "Seccomp") {
			seen.Sets[name], _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	for _, question := range os.Args[1:] {
		words := strings.Split(question, ":")
		directory, _ := strconv.Atoi(words[0])
		flags, _ := strconv.Atoi(words[2])
		seen.Opens[question] = ""
		if _, err := unix.Openat(directory, words[1], flags, 0o600); err != nil {
			seen.Opens[question] = err.(syscall.Errno).Error()
		}
	}
	json.NewEncoder(os.Stderr).Encode(seen)
	os.Exit(0)
}

// newRoot makes a root file system with nothing but this test in it.
func newRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests need root")
	}
	root := filepath.Join(t.TempDir(), "root")
	for _, directory := range []string{"proc", "etc", "dir/program"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]struct {
		content []byte
		mode    os.FileMode
	}{"test": {binary, 0o755}, "etc/inside": {[]byte("x"), 0o644}, "etc/plain": {[]byte("x"), 0o644}, "etc/script": {[]byte("#!/no/such\n"), 0o755}} {
		if err := os.WriteFile(filepath.Join(root, name), file.content, file.mode); err != nil {
			t.Fatal(err)
		}
	}
	// t.TempDir is closed to other users.
	for directory := root; directory != filepath.Dir(os.TempDir()) && directory != "/"; directory = filepath.Dir(directory) {
		if err := os.Chmod(directory, 0o755); err != nil && directory == root {
			t.Fatal(err)
		}
		if filepath.Dir(directory) == os.TempDir() {
			break
		}
	}
	return root
}

// start runs the spec in root; change may add descriptors and users. It returns the exit status and what was written on standard error.
func start(t *testing.T, root, mode string, spec Spec, args []string, change func(*exec.Cmd)) (int, string) {
	t.Helper()
	return startAttended(t, root, mode, spec, args, change, nil)
}

// startAttended is start with somebody who attends to the process while it runs.
func startAttended(t *testing.T, root, mode string, spec Spec, args []string, change func(*exec.Cmd), attend func(*os.Process)) (int, string) {
	t.Helper()
	line := spec.Arguments(args)
	var stderr bytes.Buffer
	command := exec.Command("/test", line[1:]...)
	command.Env = []string{childVariable + "=" + mode, "PATH=/etc:/nowhere:/etc/plain"}
	command.Dir = "/"
	command.Stderr = &stderr
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Unshareflags: unix.CLONE_NEWNS}
	if change != nil {
		change(command)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if attend != nil {
		attend(command.Process)
	}
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), stderr.String()
}

func startObserver(t *testing.T, root string, spec Spec, questions []string, change func(*exec.Cmd)) report {
	t.Helper()
	return startObserverIn(t, "plain", root, spec, questions, change)
}

func startObserverIn(t *testing.T, mode, root string, spec Spec, questions []string, change func(*exec.Cmd)) report {
	t.Helper()
	status, text := start(t, root, mode, spec, append([]string{"/test"}, questions...), change)
	var seen report
	// A test binary built for coverage adds a line of its own.
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&seen); status != 0 || err != nil {
		t.Fatalf("status %d, %v: %s", status, err, text)
	}
	return seen
}

func hostRuleset(t *testing.T) *landlock.Ruleset {
	t.Helper()
	facts := kernel.Probe()
	if facts.Landlock.ABI < landlock.MinimumABI {
		t.Skipf("no Landlock: %s", facts.Landlock.Reason)
	}
	rules, _ := landlock.Container(facts.Landlock.ABI, false, false)
	return &rules
}

// outside makes a host directory with the probe file and a secret in it.
func outside(t *testing.T) (string, *os.File) {
	t.Helper()
	directory := t.TempDir()
	for _, name := range []string{ProbeFile, "secret"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return directory, file
}

func question(descriptor int, name string, flags int) string {
	return fmt.Sprintf("%d:%s:%d", descriptor, name, flags)
}

func TestLeakedDescriptorOpensNothing(t *testing.T) {
	rules := hostRuleset(t)
	root := newRoot(t)
	_, leaked := outside(t)
	_, probe := outside(t)
	leak := func(command *exec.Cmd) { command.ExtraFiles = []*os.File{probe, leaked} }
	fromLeak := []string{question(4, "secret", unix.O_RDONLY), question(4, "../", unix.O_RDONLY), question(4, "new", unix.O_WRONLY|unix.O_CREAT), question(4, ".", unix.O_RDONLY|unix.O_DIRECTORY)}
	inside := []string{question(unix.AT_FDCWD, "/etc/inside", unix.O_RDWR), question(unix.AT_FDCWD, "/proc/self/status", unix.O_RDONLY), question(unix.AT_FDCWD, "/etc/new", unix.O_WRONLY|unix.O_CREAT)}

	open := startObserver(t, root, Spec{}, append(fromLeak, inside...), leak)
	for question, err := range open.Opens {
		if err != "" {
			t.Fatalf("without a domain %s gives %q: the test cannot show anything", question, err)
		}
	}
	seen := startObserver(t, root, Spec{Landlock: rules, Probe: 3}, append(fromLeak, inside...), leak)
	for _, question := range fromLeak {
		if seen.Opens[question] != unix.EACCES.Error() {
			t.Errorf("through the leaked descriptor, %s gives %q", question, seen.Opens[question])
		}
	}
	for _, question := range inside {
		if seen.Opens[question] != "" {
			t.Errorf("inside, %s gives %q", question, seen.Opens[question])
		}
	}
}

func TestProbeIsClosedBeforeTheProgram(t *testing.T) {
	rules := hostRuleset(t)
	directory, probe := outside(t)
	asked := question(3, ProbeFile, unix.O_RDONLY)
	seen := startObserver(t, newRoot(t), Spec{Landlock: rules, Probe: 3}, []string{asked}, func(command *exec.Cmd) { command.ExtraFiles = []*os.File{probe} })
	if seen.Opens[asked] != unix.EBADF.Error() {
		t.Errorf("the probe's descriptor gives %q", seen.Opens[asked])
	}
	if proof, err := os.ReadFile(filepath.Join(directory, ProbeFile)); err != nil || string(proof) != "xrefused\n" {
		t.Errorf("the proof that the domain holds is %q (%v)", proof, err)
	}
}

func TestProbeThatCannotBeAskedHoldsNothing(t *testing.T) {
	rules := hostRuleset(t)
	root := newRoot(t)
	status, text := start(t, root, "plain", Spec{Landlock: rules, Probe: 3}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, "descriptor 3") {
		t.Errorf("no probe: status %d: %s", status, text)
	}
	empty, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	status, text = start(t, root, "plain", Spec{Landlock: rules, Probe: 3}, []string{"/test"}, func(command *exec.Cmd) { command.ExtraFiles = []*os.File{empty} })
	if status != ExitUnheld || !strings.Contains(text, "descriptor 3") {
		t.Errorf("probe without its file: status %d: %s", status, text)
	}
}

func TestDomainThatDoesNotHoldIsNoticed(t *testing.T) {
	rules := hostRuleset(t)
	root := newRoot(t)
	// A probe inside the root stays openable, as one outside would in a domain that does not hold.
	if err := os.WriteFile(filepath.Join(root, "dir", ProbeFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	probe, err := os.Open(filepath.Join(root, "dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	status, text := start(t, root, "plain", Spec{Landlock: rules, Probe: 3}, []string{"/test"}, func(command *exec.Cmd) { command.ExtraFiles = []*os.File{probe} })
	if status != ExitUnheld || !strings.Contains(text, "does not hold") {
		t.Errorf("status %d: %s", status, text)
	}
}

func TestStandardStreamsMayBeReopenedAsTheyAreOpen(t *testing.T) {
	rules := hostRuleset(t)
	directory, _ := outside(t)
	output, err := os.OpenFile(filepath.Join(directory, "secret"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	write, read := question(unix.AT_FDCWD, "/proc/self/fd/1", unix.O_WRONLY|unix.O_TRUNC), question(unix.AT_FDCWD, "/proc/self/fd/1", unix.O_RDONLY)
	seen := startObserver(t, newRoot(t), Spec{Landlock: rules}, []string{write, read}, func(command *exec.Cmd) { command.Stdout = output })
	if seen.Opens[write] != "" || seen.Opens[read] != unix.EACCES.Error() {
		t.Errorf("standard output opens for writing with %q, for reading with %q", seen.Opens[write], seen.Opens[read])
	}
}

func TestDirectoryAsStandardInputOpensNothing(t *testing.T) {
	rules := hostRuleset(t)
	_, directory := outside(t)
	again, beneath := question(unix.AT_FDCWD, "/proc/self/fd/0", unix.O_RDONLY), question(0, "secret", unix.O_RDONLY)
	seen := startObserver(t, newRoot(t), Spec{Landlock: rules}, []string{again, beneath}, func(command *exec.Cmd) { command.Stdin = directory })
	for name, err := range seen.Opens {
		if err != unix.EACCES.Error() {
			t.Errorf("%s gives %q", name, err)
		}
	}
}

const (
	chown, kill, setuid, setPCAP, netRaw, sysAdmin = 1 << 0, 1 << 5, 1 << 7, 1 << 8, 1 << 13, 1 << 21
)

func TestCapabilitiesAreExactlyAsAsked(t *testing.T) {
	root := newRoot(t)
	user := func(uid uint32, lent ...uintptr) func(*exec.Cmd) {
		return func(command *exec.Cmd) {
			command.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
			command.SysProcAttr.AmbientCaps = lent
		}
	}
	// In a user namespace of its own, whose root has every capability there and CAP_SYS_ADMIN nowhere else.
	namespaced := func(change func(*exec.Cmd)) func(*exec.Cmd) {
		return func(command *exec.Cmd) {
			command.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS
			command.SysProcAttr.Unshareflags = 0
			ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 200000, Size: 65536}}
			command.SysProcAttr.UidMappings, command.SysProcAttr.GidMappings = ids, ids
			command.SysProcAttr.Credential = &syscall.Credential{}
			if change != nil {
				change(command)
			}
		}
	}
	const admin, pcap, killing, raw = 21, 8, 5, 13
	ambient := Capabilities{Bounding: kill | netRaw, Permitted: netRaw, Effective: netRaw, Inheritable: netRaw, Ambient: netRaw}
	for name, test := range map[string]struct {
		asked  Capabilities
		change func(*exec.Cmd)
		want   Capabilities
	}{
		"RootKeepsTheBoundingSet":  {Capabilities{Bounding: chown | kill, Permitted: chown | kill, Effective: chown | kill}, nil, Capabilities{chown | kill, chown | kill, chown | kill, 0, 0}},
		"RootWithNothing":          {Capabilities{}, nil, Capabilities{}},
		"RootGetsWhatIsBounding":   {Capabilities{Bounding: chown | kill, Permitted: kill}, nil, Capabilities{chown | kill, chown | kill, chown | kill, 0, 0}},
		"RootGetsWhatIsInherited":  {Capabilities{Bounding: chown | netRaw, Permitted: chown, Inheritable: netRaw}, nil, Capabilities{chown | netRaw, chown | netRaw, chown | netRaw, netRaw, 0}},
		"RootWithAmbient":          {ambient, nil, Capabilities{kill | netRaw, kill | netRaw, kill | netRaw, netRaw, netRaw}},
		"RootThatKeepsTheLent":     {Capabilities{Bounding: sysAdmin | setPCAP, Permitted: sysAdmin, Effective: sysAdmin}, nil, Capabilities{sysAdmin | setPCAP, sysAdmin | setPCAP, sysAdmin | setPCAP, 0, 0}},
		"UserGivesAllBack":         {Capabilities{Bounding: chown | kill, Permitted: kill, Effective: kill}, user(1000, admin, pcap, killing), Capabilities{Bounding: chown | kill}},
		"UserKeepsAmbient":         {ambient, user(1000, admin, pcap, raw), ambient},
		"UserMayAdminister":        {Capabilities{sysAdmin, sysAdmin, sysAdmin, sysAdmin, sysAdmin}, user(1000, admin, pcap), Capabilities{sysAdmin, sysAdmin, sysAdmin, sysAdmin, sysAdmin}},
		"UserInheritsAdministring": {Capabilities{Bounding: sysAdmin, Inheritable: sysAdmin}, user(1000, admin, pcap), Capabilities{Bounding: sysAdmin, Inheritable: sysAdmin}},
		"AmbientOnlyIfInheritable": {Capabilities{Bounding: netRaw, Permitted: netRaw, Effective: netRaw, Ambient: netRaw}, user(1000, admin, pcap, raw), Capabilities{Bounding: netRaw}},
		"RootOfANamespace":         {Capabilities{Bounding: chown, Permitted: chown, Effective: chown}, namespaced(nil), Capabilities{chown, chown, chown, 0, 0}},
		"UserOfANamespace":         {ambient, namespaced(user(1000, admin, pcap, raw)), ambient},
	} {
		for filter, seccomp := range map[string]*Filter{"": nil, "WithAFilter": allowAll()} {
			t.Run(name+filter, func(t *testing.T) {
				asked := test.asked
				seen := startObserver(t, root, Spec{Capabilities: &asked, Seccomp: seccomp}, nil, test.change)
				if got := seen.capabilities(); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			})
		}
	}
}

func (r report) capabilities() Capabilities {
	return Capabilities{r.Sets["CapBnd"], r.Sets["CapPrm"], r.Sets["CapEff"], r.Sets["CapInh"], r.Sets["CapAmb"]}
}

func TestUserEntersTheDomainWithWhatItWasLent(t *testing.T) {
	rules := hostRuleset(t)
	_, probe := outside(t)
	_, leaked := outside(t)
	for _, file := range []*os.File{probe, leaked} {
		if err := os.Chmod(filepath.Dir(file.Name()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := question(4, "secret", unix.O_RDONLY)
	spec := Spec{Landlock: rules, Probe: 3, Capabilities: &Capabilities{Bounding: kill}}
	seen := startObserver(t, newRoot(t), spec, []string{asked}, func(command *exec.Cmd) {
		command.ExtraFiles = []*os.File{probe, leaked}
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{21, 8}
	})
	if seen.Opens[asked] != unix.EACCES.Error() || seen.Sets["CapBnd"] != kill || seen.Sets["CapPrm"] != 0 {
		t.Errorf("got %+v", seen)
	}
}

func TestExitStatuses(t *testing.T) {
	root := newRoot(t)
	for name, test := range map[string]struct {
		program string
		status  int
		want    string
	}{
		"NotFoundInPath":     {"nothing", ExitNotFound, "not found in PATH"},
		"NotFound":           {"/nothing", ExitNotFound, "no such file"},
		"NoInterpreter":      {"script", ExitNotFound, "no such file"},
		"NotExecutable":      {"plain", ExitRefused, "permission denied"},
		"NotExecutableByWay": {"/etc/plain", ExitRefused, "permission denied"},
		"Directory":          {"/dir", ExitRefused, "permission denied"},
		"NotADirectory":      {"/etc/plain/x", ExitRefused, "not a directory"},
	} {
		status, text := start(t, root, "plain", Spec{}, []string{test.program}, nil)
		if status != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
	}
}

func TestNothingStartsHalfConfined(t *testing.T) {
	root := newRoot(t)
	// Only root may take from the bounding set; a user who was lent nothing must not start with a wider one than asked.
	status, text := start(t, root, "plain", Spec{Capabilities: &Capabilities{}}, []string{"/test"}, func(command *exec.Cmd) {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{21} // to mount /proc with
	})
	if status != ExitUnheld || !strings.Contains(text, "bounding set") {
		t.Errorf("status %d: %s", status, text)
	}
	status, text = start(t, root, "plain", Spec{Landlock: &landlock.Ruleset{ABI: 1, Handled: 1}}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, "ABI 1") {
		t.Errorf("status %d: %s", status, text)
	}
	status, text = start(t, root, "plain", Spec{SELinuxLabel: "no label of any policy"}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, "selinux: label no label of any policy: ") {
		t.Errorf("status %d: %s", status, text)
	}
	status, text = start(t, root, "plain", Spec{AppArmorProfile: "no-such-profile"}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, "apparmor: profile no-such-profile: ") {
		t.Errorf("status %d: %s", status, text)
	}
}

func TestLabelsAreWrittenToProcfsOnly(t *testing.T) {
	root := newRoot(t)
	fake := filepath.Join(root, "proc", "thread-self", "attr", "exec")
	if err := os.MkdirAll(filepath.Dir(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fake, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	status, text := start(t, root, "fakeproc", Spec{SELinuxLabel: "a:b:c:s0"}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, "not procfs") {
		t.Errorf("a directory for /proc: status %d: %s", status, text)
	}
	if content, err := os.ReadFile(fake); err != nil || len(content) != 0 {
		t.Errorf("the file was written: %q, %v", content, err)
	}
	status, text = start(t, root, "covered", Spec{SELinuxLabel: "a:b:c:s0"}, []string{"/test"}, nil)
	if status != ExitUnheld || !strings.Contains(text, unix.EXDEV.Error()) {
		t.Errorf("a file of procfs over another: status %d: %s", status, text)
	}
}

func TestPathOfTheEnvironment(t *testing.T) {
	for want, environment := range map[string][]string{"/a:/b": {"X=1", "PATH=/a:/b", "PATH=/c"}, "": {"PATH="}, defaultPath: {"PATHS=/x", "XPATH=/y"}} {
		if got := pathOf(environment); got != want {
			t.Errorf("%q: got %q", environment, got)
		}
	}
}
