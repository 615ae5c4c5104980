// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatWasWrittenIsThereAfterRemounting(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	m.must("mkdir -p a/b; echo text >a/b/c; ln a/b/c d; ln -s a/b/c e; head -c 3000000 /dev/urandom >big; sha256sum big >sum; chmod 640 d")
	m.unmount()
	m = v.mount(t)
	if got := m.must("sha256sum -c --quiet sum; cat e; stat -c '%h %a' d"); got != "text\n2 640" {
		t.Errorf("got %q", got)
	}
	m.unmount()
	if out, err := run(t, "shield", "verify", "--key-file", v.key, v.directory); err != nil {
		t.Errorf("verify: %v: %s", err, out)
	}
}

func TestTheHostHoldsCiphertextAlone(t *testing.T) {
	words := []string{"plaintextofafile", "plaintextofaname", "plaintextofalink", "plaintextofanattribute", "user.plaintextattribute"}
	v := newVolume(t)
	m := v.mount(t)
	m.must("for i in $(seq 2000); do echo plaintextofafile; done >f; echo plaintextofafile >plaintextofaname; ln -s plaintextofalink l; setfattr -n user.plaintextattribute -v plaintextofanattribute f; sync f")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", m.server)) // of a neighbour, as root
	if err != nil || len(text) != 0 {
		t.Errorf("the process's environment: %q, %v", text, err)
	}
	m.unmount()
	err = filepath.WalkDir(v.directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, word := range words {
			if bytes.Contains(content, []byte(word)) {
				t.Errorf("%s holds %q", path, word)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The control of the test above: it would find what policy authenticated leaves in the clear.
func TestAuthenticatedVolumesAreReadable(t *testing.T) {
	v := newVolume(t, "--policy", "authenticated")
	m := v.mount(t)
	m.must("for i in $(seq 2000); do echo plaintextofafile; done >f; sync f")
	m.unmount()
	content, err := os.ReadFile(filepath.Join(v.directory, "blocks"))
	if err != nil || !bytes.Contains(content, []byte("plaintextofafile")) {
		t.Errorf("no plaintext is found: %v", err)
	}
}

func TestSecondMountIsRefusedWithTheHolder(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	for _, verb := range [][]string{{"mount", v.directory, t.TempDir()}, {"verify", v.directory}} {
		out, err := run(t, append([]string{"shield", verb[0], "--key-file", v.key}, verb[1:]...)...)
		if err == nil || !strings.Contains(out, fmt.Sprintf("in use by process %d", m.server)) {
			t.Errorf("%s: %v: %s", verb[0], err, out)
		}
	}
	m.must("echo still >there; cat there")
}

func TestWrongAndMissingKeys(t *testing.T) {
	v := newVolume(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"AnotherKey": {[]string{"--key-file", newKey(t), v.directory}, "wrong key"},
		"NoKey":      {[]string{v.directory}, "error: "},
		"NoFile":     {[]string{"--key-file", "/nowhere", v.directory}, "no such file"},
		"NoVolume":   {[]string{"--key-file", v.key, t.TempDir()}, "no volume"},
	} {
		out, err := run(t, append([]string{"shield", "mount"}, append(test.args, t.TempDir())...)...)
		if err == nil || !strings.Contains(out, test.want) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

func TestKilledServerGivesErrorsAndLosesNothingSynced(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	m.must("echo synced >f; sync f; sync .")
	open, err := os.Open(filepath.Join(m.path, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := unix.Kill(m.server, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.awaitServer()
	done := make(chan error, 1)
	go func() { _, err := os.Stat(filepath.Join(m.path, "other")); done <- err }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a file is found though the server is gone")
		}
	case <-time.After(limit):
		t.Fatal("a program hangs though the server is gone")
	}
	if out, err := m.shell("echo x >g"); err == nil {
		t.Errorf("a file is made though the server is gone: %s", out)
	}
	unix.Unmount(m.path, unix.MNT_DETACH)
	if got := v.mount(t).must("cat f"); got != "synced" {
		t.Errorf("got %q", got)
	}
}

func TestDamageIsAnErrorWithAReason(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	m.must("head -c 2000000 /dev/urandom >f; sync f")
	m.unmount()
	m = v.mount(t)
	image, err := os.OpenFile(filepath.Join(v.directory, "blocks"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	size, err := image.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for block := size / 4096 / 3; block < size/4096; block++ { // past the log: data and pages
		noise := make([]byte, 16)
		rand.Read(noise)
		if _, err := image.WriteAt(noise, block*4096+99); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := m.shell("cat f >/dev/null"); err == nil || !strings.Contains(out, "Input/output error") {
		t.Errorf("a program reads %v, %s", err, out)
	}
	time.Sleep(1500 * time.Millisecond) // the report is written once a second
	if status := report(t); status.Failed == 0 || len(status.Failures) == 0 || !strings.Contains(status.Failures[0].Reason, "does not authenticate") {
		t.Errorf("the report says %+v", status)
	}
}

func TestTheProcessIsConfined(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	m.must("echo x >f")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.server))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in its status:\n%s", want, text)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", m.server))
	if err != nil || !strings.Contains(string(limits), "Max core file size        0                    0") {
		t.Errorf("limits: %v\n%s", err, limits)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 1 {
		t.Errorf("the control: %d, %v", dumpable, err)
	}
	if status := report(t); status.Landlock == 0 {
		t.Errorf("no Landlock domain: %+v", status)
	}
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", m.server))
	if err != nil {
		t.Fatal(err)
	}
	for _, descriptor := range descriptors {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", m.server, descriptor.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") {
			t.Errorf("it has a socket: %s", target)
		}
	}
}

// Keys lie in the process's memory for as long as it serves: what keeps others of its user out is that it cannot be traced or dumped.
func TestOthersOfItsUserCannotReadItsMemory(t *testing.T) {
	v := newVolume(t)
	m := v.mount(t)
	unprivileged := func(args ...string) *exec.Cmd {
		return exec.Command("setpriv", append([]string{"--bounding-set", "-sys_ptrace,-perfmon", "--inh-caps", "-sys_ptrace,-perfmon"}, args...)...)
	}
	control := unprivileged("sleep", "60")
	if err := control.Start(); err != nil {
		t.Fatal(err)
	}
	defer control.Process.Kill()
	for file, script := range map[string]string{"mem": "exec 3</proc/%d/mem", "exe": "readlink /proc/%d/exe"} {
		reads := func(pid int) bool { return unprivileged("sh", "-ec", fmt.Sprintf(script, pid)).Run() == nil }
		if !reads(control.Process.Pid) {
			t.Errorf("%s: the control cannot be read either", file)
		}
		if reads(m.server) {
			t.Errorf("%s of the process can be read", file)
		}
	}
}
