// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package input gives the program what it cannot use: every row wants the documented exit status, the very words on standard error, and nothing
// left behind on the host.
package input

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Private(m)) }

// refusal is what a command that is refused ends with. $DIR in stderr is the row's own directory, $DIGEST any digest.
type refusal struct {
	status int
	stderr string
}

var digest = regexp.MustCompile("sha256:[0-9a-f]{64}")

// refused runs a command and compares.
func refused(t *testing.T, command *exec.Cmd, directory string, want refusal) {
	t.Helper()
	before := belongings(t)
	var out, stderr bytes.Buffer
	command.Stdout, command.Stderr = &out, &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(time.Minute, func() { command.Process.Kill() })
	command.Wait()
	limit.Stop()
	if status := command.ProcessState.ExitCode(); status != want.status {
		t.Errorf("exit status %d, want %d", status, want.status)
	}
	said := digest.ReplaceAllString(strings.ReplaceAll(stderr.String(), directory, "$DIR"), "sha256:$$DIGEST")
	if got := withoutNotices(said); got != want.stderr {
		t.Errorf("stderr:\n%swant:\n%s", got, want.stderr)
	}
	if out.Len() > 0 && command.Args[1] != "check" { // which prints its table all the same
		t.Errorf("stdout: %s", &out)
	}
	if after := belongings(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %s", difference(before, after))
	}
}

// withoutNotices leaves out what is said of the layers that this kernel lacks.
func withoutNotices(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "bulkhead: notice: ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// belongings lists everything that Bulkhead has on the host, and the mounts.
func belongings(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, root := range []string{"/etc/bulkhead", "/var/lib/bulkhead", "/run/bulkhead", "/run/runc"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			found = append(found, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return append(found, strings.Split(strings.TrimSpace(string(text)), "\n")...)
}

func difference(before, after []string) string {
	var lines []string
	for _, path := range after {
		if !slices.Contains(before, path) {
			lines = append(lines, "+"+path)
		}
	}
	for _, path := range before {
		if !slices.Contains(after, path) {
			lines = append(lines, "-"+path)
		}
	}
	return strings.Join(lines, "\n")
}

// Hints that go with many errors.
const (
	imageHint   = "bulkhead: hint: an image is an OCI layout directory, a docker-archive tar file, or a reference such as registry.example/name:tag\n"
	unknownHint = "bulkhead: hint: `bulkhead ps --all` lists the containers that there are\n"
)

// furnish has the program make once what it keeps between containers.
func furnish(t *testing.T, root string) {
	t.Helper()
	for _, command := range []*exec.Cmd{
		exec.Command(harness.Binary(t), "run", "--rm", "--rootfs", root, "/bin/true"),
		exec.Command(harness.Binary(t), "run", "--rm", goodImage(t), "/bin/true"),
		exec.Command(harness.Runtime(t), "--root", t.TempDir(), "run", "--bundle", harness.Bundle(t, root, "true", nil), "furnish"),
	} {
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command.Args, err, out)
		}
	}
}

func TestCommandLinesThatAreRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	for name, row := range map[string]struct {
		args string // after the program's name; $DIR is a directory of the row's own, $ROOT a root file system
		want refusal
	}{
		"UnknownVerb":          {"rnu", refusal{2, "bulkhead: error: unknown command \"rnu\" for \"bulkhead\"\nbulkhead: hint: see `bulkhead --help`\n"}},
		"UnknownOption":        {"run --bogus --rootfs $ROOT /bin/true", refusal{2, "bulkhead: error: unknown flag: --bogus\nbulkhead: hint: see `bulkhead run --help`\n"}},
		"UnknownOptionOfPlan":  {"plan --bogus --rootfs $ROOT /bin/true", refusal{2, "bulkhead: error: unknown flag: --bogus\nbulkhead: hint: see `bulkhead plan --help`\n"}},
		"NoImage":              {"run", refusal{2, "bulkhead: error: no image\nbulkhead: hint: see `bulkhead run --help`\n"}},
		"NoCommand":            {"run --rm --rootfs $ROOT", refusal{2, "bulkhead: error: COMMAND: neither the image nor the command line names a program\nbulkhead: hint: name the program to run after the image\n"}},
		"MissingLayout":        {"run --rm $DIR/nothing /bin/true", refusal{125, "bulkhead: error: image \"$DIR/nothing\": no such OCI layout or docker-archive, and not a valid reference: it starts as a path does\n" + imageHint}},
		"MissingArchive":       {"run --rm ./nothing.tar /bin/true", refusal{125, "bulkhead: error: image \"./nothing.tar\": no such OCI layout or docker-archive, and not a valid reference: it starts as a path does\n" + imageHint}},
		"UnreachableRegistry":  {"run --rm 127.0.0.1:1/nothing:latest /bin/true", refusal{125, "bulkhead: error: image \"127.0.0.1:1/nothing:latest\": registry 127.0.0.1:1: unreachable: Get \\\"https://127.0.0.1:1/v2/\\\": dial tcp 127.0.0.1:1: connect: connection refused; Get \\\"http://127.0.0.1:1/v2/\\\": dial tcp 127.0.0.1:1: connect: connection refused\n" + imageHint}},
		"InvalidReference":     {"run --rm UPPER:::case /bin/true", refusal{125, "bulkhead: error: image \"UPPER:::case\": no such OCI layout or docker-archive, and not a valid reference: could not parse reference: UPPER:::case\n" + imageHint}},
		"MissingRootFS":        {"run --rm --rootfs $DIR/nothing /bin/true", refusal{2, "bulkhead: error: --rootfs $DIR/nothing: there is no such directory\nbulkhead: hint: give a directory that holds a root file system\n"}},
		"RootFSIsAFile":        {"run --rm --rootfs $ROOT/bin/busybox /bin/true", refusal{2, "bulkhead: error: --rootfs $ROOT/bin/busybox: it is not a directory\nbulkhead: hint: give a directory that holds a root file system\n"}},
		"MissingVolume":        {"run --rm --rootfs $ROOT -v $DIR/nothing:/volume /bin/true", refusal{2, "bulkhead: error: -v $DIR/nothing:/volume: stat $DIR/nothing: no such file or directory\nbulkhead: hint: make the directory first\n"}},
		"VolumeOption":         {"run --rm --rootfs $ROOT -v $DIR:/volume:rx /bin/true", refusal{2, "bulkhead: error: --volume: \"$DIR:/volume:rx\": unknown option \"rx\"\nbulkhead: hint: options are ro, rw, z (shared label), Z (private label) and U (owner)\n"}},
		"VolumeOnTheProgram":   {"run --rm --rootfs $ROOT -v $DIR:/.bulkhead /bin/true", refusal{4, "bulkhead: error: mount on /.bulkhead: the program that confines the container has its place there\nbulkhead: hint: mount it anywhere but on /.bulkhead\n"}},
		"SystemTreeRelabelled": {"run --rm --rootfs $ROOT -v /usr:/volume:Z /bin/true", refusal{4, "bulkhead: error: volume /usr: relabelling or chowning this tree would take the host's own files from it\nbulkhead: hint: mount a directory made for the container, or leave out :z, :Z and :U\n"}},
		"LevelWithoutC":        {"run --rm --rootfs $ROOT --security-opt label=level:s0:110 /bin/true", refusal{2, "bulkhead: error: security option \"label=level:s0:110\": range \"s0:110\": category \"110\" lacks its \"c\"\nbulkhead: hint: did you mean label=level:s0:c110?\n"}},
		"TypeWithoutSELinux":   {"run --rm --rootfs $ROOT --security-opt label=type:x /bin/true", refusal{3, "bulkhead: error: selinux: a label was asked for, and SELinux is not active on this kernel\nbulkhead: hint: use --security-opt label=disable, or a kernel with SELinux\n"}},
		"UnknownProfile":       {"run --rm --rootfs $ROOT --security-opt apparmor=nothing /bin/true", refusal{3, "bulkhead: error: apparmor: profile \"nothing\" was asked for, and AppArmor is not active on this kernel\nbulkhead: hint: use --security-opt apparmor=unconfined, or a kernel with AppArmor\n"}},
		"MissingFilter":        {"run --rm --rootfs $ROOT --security-opt seccomp=$DIR/nothing.json /bin/true", refusal{2, "bulkhead: error: --security-opt seccomp=$DIR/nothing.json: open $DIR/nothing.json: no such file or directory\nbulkhead: hint: builtin, docker, bulkhead, unconfined or the path of a profile\n"}},
		"UnknownSecurityOpt":   {"run --rm --rootfs $ROOT --security-opt lable=disable /bin/true", refusal{2, "bulkhead: error: security option \"lable=disable\": unknown option\nbulkhead: hint: did you mean \"label\"?\n"}},
		"UnknownCapability":    {"run --rm --rootfs $ROOT --cap-add NET_ADMN /bin/true", refusal{2, "bulkhead: error: --cap-add: unknown capability \"NET_ADMN\"\nbulkhead: hint: did you mean NET_ADMIN?\n"}},
		"Memory":               {"run --rm --rootfs $ROOT --memory 5x /bin/true", refusal{2, "bulkhead: error: --memory: \"5x\": unknown unit \"x\"\nbulkhead: hint: write a number and a unit: 512m, 2g\n"}},
		"Network":              {"run --rm --rootfs $ROOT --network bridge /bin/true", refusal{2, "bulkhead: error: --network: \"bridge\": only none and host exist here\nbulkhead: hint: use --network none (the default) or --network host; for bridges run bulkhead-runtime under docker or podman\n"}},
		"UnknownUser":          {"run --rm --rootfs $ROOT -u nobody-here /bin/true", refusal{2, "bulkhead: error: -u nobody-here: --user: \"nobody-here\": unable to find user nobody-here: no matching entries in passwd file\nbulkhead: hint: a number needs no entry in the container's /etc/passwd\n"}},
		"ProgramNotFound":      {"run --rm --rootfs $ROOT /bin/nothing", refusal{127, "bulkhead: error: exec /bin/nothing: no such file or directory\n"}},
		"ProgramIsADirectory":  {"run --rm --rootfs $ROOT /bin", refusal{126, "bulkhead: error: exec /bin: permission denied\n"}},
		"RequireMissingLayer":  {"check --json --require selinux", refusal{3, "bulkhead: error: selinux is not there: boot with lsm=...,selinux on a kernel built with it (active: lockdown,capability,landlock,bpf)\nbulkhead: hint: `bulkhead check` lists what this kernel has\n"}},
		"RequireUnknownLayer":  {"check --json --require selinix", refusal{2, "bulkhead: error: unknown layer \"selinix\"\nbulkhead: hint: see `bulkhead check --help`\n"}},
		"StopUnknown":          {"stop nothing", refusal{1, "bulkhead: error: no such container: nothing\n" + unknownHint}},
		"LogsUnknown":          {"logs nothing", refusal{1, "bulkhead: error: no such container: nothing\n" + unknownHint}},
		"RemoveUnknown":        {"rm nothing", refusal{1, "bulkhead: error: no such container: nothing\n" + unknownHint}},
		"ExecUnknown":          {"exec nothing /bin/true", refusal{125, "bulkhead: error: no such container: nothing\n" + unknownHint}},
		"ExecWithoutCommand":   {"exec nothing", refusal{2, "bulkhead: error: requires at least 2 arg(s), only received 1\nbulkhead: hint: see `bulkhead exec --help`\n"}},
		"PlanMissingBundle":    {"plan --bundle $DIR/nothing", refusal{1, "bulkhead: error: open $DIR/nothing/config.json: no such file or directory\nbulkhead: hint: a bundle is a directory with config.json and the root file system that it names\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			args := strings.Fields(strings.NewReplacer("$DIR", directory, "$ROOT", root).Replace(row.args))
			command := exec.Command(harness.Binary(t), args...)
			command.Dir = directory
			row.want.stderr = strings.ReplaceAll(row.want.stderr, "$ROOT", root)
			refused(t, command, directory, row.want)
		})
	}
}

func TestNameInUseIsRefused(t *testing.T) {
	root := harness.RootFS(t)
	if out, err := exec.Command(harness.Binary(t), "run", "--name", "taken", "--rootfs", root, "/bin/true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command(harness.Binary(t), "rm", "taken").Run() })
	holder, err := os.Readlink("/var/lib/bulkhead/names/taken")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(harness.Binary(t), "run", "--rm", "--name", "taken", "--rootfs", root, "/bin/true")
	refused(t, command, holder[:12], refusal{2, "bulkhead: error: --name taken: container $DIR has that name\n" +
		"bulkhead: hint: remove it with `bulkhead rm taken`, or choose another name\n"})
}

func TestNoRuntimeIsRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(`{"runtime": "/nowhere/runc"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/etc/bulkhead/bulkhead.json") })
	want := "bulkhead: error: no OCI runtime: stat /nowhere/runc: no such file or directory\n" +
		"bulkhead: hint: apt-get install runc (or name one in /etc/bulkhead/bulkhead.json as {\"runtime\": \"/path\"})\n"
	refused(t, exec.Command(harness.Binary(t), "run", "--rm", "--rootfs", root, "/bin/true"), root, refusal{125, want})
	bundle := harness.Bundle(t, root, "true", nil)
	refused(t, exec.Command(harness.Runtime(t), "--root", t.TempDir(), "run", "--bundle", bundle, "input"), root, refusal{1, want})
}

func TestConfigurationThatIsRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	for name, row := range map[string]struct{ text, stderr string }{
		"NotJSON":           {`{"runtime": `, "bulkhead: error: /etc/bulkhead/bulkhead.json: unexpected EOF\n"},
		"UnknownField":      {`{"runtimes": "runc"}`, "bulkhead: error: /etc/bulkhead/bulkhead.json: json: unknown field \"runtimes\"\n"},
		"LayerSwitchedOff":  {`{"annotations": ["seccomp"]}`, "bulkhead: error: /etc/bulkhead/bulkhead.json: annotations: \"seccomp\" cannot be switched off by annotation; only landlock can, and shield be asked for\n"},
		"RelativeDirectory": {`{"state": "here"}`, "bulkhead: error: /etc/bulkhead/bulkhead.json: \"here\" is not an absolute path\n"},
		"CategoriesReverse": {`{"categories": [9, 3]}`, "bulkhead: error: /etc/bulkhead/bulkhead.json: categories: [9 3] is not [LOWEST, HIGHEST] below 1024\n"},
		"CategoriesTooMany": {`{"categories": [0, 1024]}`, "bulkhead: error: /etc/bulkhead/bulkhead.json: categories: [0 1024] is not [LOWEST, HIGHEST] below 1024\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(row.text), 0o644); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove("/etc/bulkhead/bulkhead.json") })
			refused(t, exec.Command(harness.Binary(t), "run", "--rm", "--rootfs", root, "/bin/true"), root, refusal{125, row.stderr})
		})
	}
}

const notRoot = "bulkhead: error: not root\nbulkhead: hint: run as root: labels, profiles and namespaces of containers need it\n"

// asUser is a command that uid 1000 runs with a copy of the program that it can read.
func asUser(t *testing.T, directory, name string, args ...string) *exec.Cmd {
	t.Helper()
	data, err := os.ReadFile(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	return command
}

func TestNoRootIsRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	directory, err := os.MkdirTemp("/tmp", "bulkhead-input-") // t.TempDir is root's own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(directory)
	bundle := harness.Bundle(t, root, "true", nil)
	if err := os.CopyFS(filepath.Join(directory, "bundle"), os.DirFS(bundle)); err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{directory, filepath.Join(directory, "bundle")} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct {
		program string
		args    []string
		want    refusal
	}{
		"Run":        {"bulkhead", []string{"run", "--rm", "--rootfs", "/", "/bin/true"}, refusal{125, notRoot}},
		"Exec":       {"bulkhead", []string{"exec", "nothing", "/bin/true"}, refusal{125, notRoot}},
		"List":       {"bulkhead", []string{"ps"}, refusal{1, notRoot}},
		"Stop":       {"bulkhead", []string{"stop", "nothing"}, refusal{1, notRoot}},
		"Remove":     {"bulkhead", []string{"rm", "nothing"}, refusal{1, notRoot}},
		"Logs":       {"bulkhead", []string{"logs", "nothing"}, refusal{1, notRoot}},
		"RuntimeRun": {"bulkhead-runtime", []string{"--root", "/tmp/nothing", "run", "--bundle", filepath.Join(directory, "bundle"), "input"}, refusal{1, notRoot}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, asUser(t, directory, row.program, row.args...), directory, row.want) })
	}
}
