// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux"
)

const (
	bulkhead  = "/usr/bin/bulkhead"
	selinuxfs = "/sys/fs/selinux"
	webData   = "system_u:object_r:web_data_t:s0"
)

// require is for guests, and has the policy be at the end of the test what it is now.
func require(t *testing.T) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM") == "" {
		t.Skip("not in a guest: run test/selinux/modules/run.sh")
	}
	vmtest.Require(t, vmtest.SELinux)
	asBefore(t)
}

// asBefore has the policy be at the end of the test what it is now.
func asBefore(t *testing.T) {
	t.Helper()
	before := policy(t)
	t.Cleanup(func() {
		if left := listed(t); left != "" {
			t.Errorf("left behind: %s", left)
		}
		if after := policy(t); !bytes.Equal(before, after) {
			t.Errorf("the kernel's policy of %d bytes became another of %d", len(before), len(after))
		}
	})
}

func policy(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(selinuxfs + "/policy")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

type result struct {
	stdout, stderr string
	status         int
}

func run(t *testing.T, words ...string) result {
	t.Helper()
	return finish(t, exec.Command(words[0], words[1:]...))
}

func finish(t *testing.T, command *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// bulk runs bulkhead, which has to succeed.
func bulk(t *testing.T, words ...string) string {
	t.Helper()
	got := run(t, append([]string{bulkhead}, words...)...)
	if got.status != 0 {
		t.Fatalf("bulkhead %s: exit %d: %s%s", strings.Join(words, " "), got.status, got.stdout, got.stderr)
	}
	return got.stdout
}

// refused runs bulkhead, which has to end with the status and the words, and to change nothing.
func refused(t *testing.T, status int, says string, words ...string) {
	t.Helper()
	before, was := policy(t), listed(t)
	got := run(t, append([]string{bulkhead}, words...)...)
	if got.status != status || !strings.Contains(got.stderr, says) {
		t.Errorf("bulkhead %s: exit %d: %s, want %d with %q", strings.Join(words, " "), got.status, got.stderr, status, says)
	}
	if !bytes.Equal(before, policy(t)) || listed(t) != was {
		t.Errorf("bulkhead %s changed something: %s, before %s", strings.Join(words, " "), listed(t), was)
	}
}

// listed is what `bulkhead apply --list` says, in short.
func listed(t *testing.T) string {
	t.Helper()
	var list []struct{ Name, State string }
	if err := json.Unmarshal([]byte(bulk(t, "apply", "--list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, module := range list {
		words = append(words, module.Name+" "+module.State)
	}
	return strings.Join(words, ", ")
}

func isListed(t *testing.T, want string) {
	t.Helper()
	if got := listed(t); got != want {
		t.Errorf("listed %q, want %q", got, want)
	}
}

// knows asks the kernel whether its policy has the types.
func knows(t *testing.T, types ...string) string {
	t.Helper()
	host := selinux.Host{Selinuxfs: selinuxfs, Proc: "/proc"}
	var known []string
	for _, name := range types {
		var invalid *selinux.InvalidContextError
		switch err := host.CheckContext("system_u:object_r:" + name + ":s0"); {
		case err == nil:
			known = append(known, name)
		case !errors.As(err, &invalid):
			t.Fatal(err)
		}
	}
	return strings.Join(known, " ")
}

// place makes a file with a label, and a program of that label where the content is "".
func place(t *testing.T, directory, name, content, label string) string {
	t.Helper()
	path := filepath.Join(directory, name)
	data := []byte(content)
	if content == "" {
		var err error
		if data, err = os.ReadFile("/bin/busybox"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(path, "security.selinux", append([]byte(label), 0), 0); err != nil {
		t.Fatalf("label %s %s: %v", path, label, err)
	}
	return path
}

// as runs a program in a context.
func as(t *testing.T, context string, words ...string) result {
	t.Helper()
	runtime.LockOSThread() // the attribute is that of a thread, and so is the fork
	defer runtime.UnlockOSThread()
	if err := os.WriteFile("/proc/thread-self/attr/exec", []byte(context), 0); err != nil {
		t.Fatalf("run as %s: %v", context, err)
	}
	defer os.WriteFile("/proc/thread-self/attr/exec", nil, 0)
	return run(t, words...)
}

func TestADomainFromAModuleConfinesUntilItIsTakenOff(t *testing.T) {
	require(t)
	if got := bulk(t, "apply", "testdata/web.cil"); got != "web: applied\n" {
		t.Errorf("%q", got)
	}
	directory := t.TempDir()
	busybox := place(t, directory, "busybox", "", "system_u:object_r:web_exec_t:s0")
	data, secret := place(t, directory, "data", "data of web\n", webData), place(t, directory, "secret", "a secret\n", "system_u:object_r:secret_t:s0")
	const web = "system_u:system_r:web_t:s0"
	if got := as(t, web, busybox, "cat", data, secret); got.stdout != "data of web\n" || !strings.Contains(got.stderr, "Permission denied") {
		t.Errorf("%+v", got)
	}
	bulk(t, "apply", "--permissive", "web_t")
	if got := as(t, web, busybox, "cat", data, secret); got.stdout != "data of web\na secret\n" {
		t.Errorf("permissive: %+v", got)
	}
	isListed(t, "web loaded, permissive_web_t loaded")
	bulk(t, "unapply", "--permissive", "web_t")
	if got := as(t, web, busybox, "cat", secret); got.stdout != "" {
		t.Errorf("permissive no more: %+v", got)
	}
	bulk(t, "unapply", "testdata/web.cil")
	if got := knows(t, "web_t", "web_exec_t", "web_data_t"); got != "" {
		t.Errorf("the kernel still knows %s", got)
	}
}

func TestModulesComeAndGoInAnyOrder(t *testing.T) {
	require(t)
	refused(t, 1, "testdata/uses.cil:2:8: ", "apply", "testdata/uses.cil")
	if got := bulk(t, "apply", "testdata/uses.cil", "testdata/logs.cil", "testdata/web.cil"); got != "uses: applied\nlogs: applied\nweb: applied\n" {
		t.Errorf("%q", got)
	}
	if got := bulk(t, "apply", "testdata/logs.cil"); got != "uses: kept\nlogs: kept\nweb: kept\n" {
		t.Errorf("once more: %q", got)
	}
	refused(t, 1, "testdata/uses.cil:2:14: ", "unapply", "logs")
	bulk(t, "unapply", "uses")
	bulk(t, "unapply", "logs")
	if got := knows(t, "web_t", "logs.process", "logs.file"); got != "web_t" {
		t.Errorf("known: %s", got)
	}
	refused(t, 1, "module logs is not applied", "unapply", "logs")
	bulk(t, "unapply", "web")
}

func TestABrokenModuleChangesNothing(t *testing.T) {
	require(t)
	refused(t, 1, "testdata/broken.cil:2:17: ", "apply", "testdata/broken.cil")
	bulk(t, "apply", "testdata/web.cil")
	refused(t, 1, "testdata/broken.cil:2:17: ", "apply", "testdata/logs.cil", "testdata/broken.cil")
	bulk(t, "unapply", "web")
}

func TestALockOutIsRefused(t *testing.T) {
	require(t)
	refused(t, 4, "would lose { load_policy } on security system_u:object_r:selinuxfs_t:s0: the constraint t1 == container_t does not hold", "apply", "testdata/lockout.cil")
	refused(t, 4, "would lose { sys_time } on capability", "apply", "testdata/clock.cil")
	bulk(t, "apply", "--force", "testdata/clock.cil")
	isListed(t, "clock loaded")
	bulk(t, "unapply", "clock")
}

func TestAModuleOfARunningProcessIsNotTakenOff(t *testing.T) {
	require(t)
	bulk(t, "apply", "testdata/web.cil")
	busybox := place(t, t.TempDir(), "busybox", "", "system_u:object_r:web_exec_t:s0")
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/thread-self/attr/exec", []byte("system_u:system_r:web_t:s0"), 0); err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command(busybox, "sleep", "100")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	os.WriteFile("/proc/thread-self/attr/exec", nil, 0)
	runtime.UnlockOSThread()
	refused(t, 4, fmt.Sprintf("process %d (busybox) would be left without a valid context", sleep.Process.Pid), "unapply", "web")
	sleep.Process.Kill()
	sleep.Wait()
	bulk(t, "unapply", "web")
}

func TestBooleansKeepTheirValues(t *testing.T) {
	require(t)
	bulk(t, "apply", "testdata/web.cil")
	for _, name := range []string{"booleans/web_reads_secrets", "commit_pending_bools"} {
		if err := os.WriteFile(filepath.Join(selinuxfs, name), []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	isListed(t, "web loaded")
	bulk(t, "apply", "testdata/logs.cil")
	if got, err := os.ReadFile(selinuxfs + "/booleans/web_reads_secrets"); err != nil || string(got) != "1 1" {
		t.Errorf("%q, %v", got, err)
	}
	bulk(t, "unapply", "logs", "web")
}

// Processes that are killed at any moment leave what can be undone.
func TestKilledAtAnyMoment(t *testing.T) {
	require(t)
	random := rand.New(rand.NewPCG(7, 0))
	bulk(t, "apply", "testdata/web.cil")
	start := time.Now()
	bulk(t, "apply", "testdata/logs.cil")
	whole := time.Since(start) * 3 / 2 // the load is near the end
	states, state := map[string]int{}, listed(t)
	for range 20 {
		words := []string{"apply", "testdata/logs.cil"}
		if strings.Contains(state, "logs") {
			words = []string{"unapply", "logs"}
		}
		command := exec.Command(bulkhead, words...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		command.Process.Kill()
		command.Wait()
		state = listed(t)
		states[state]++
		want := map[string]string{"web loaded": "web_t", "web loaded, logs loaded": "web_t logs.file"}[state]
		if got := knows(t, "web_t", "logs.file"); got != want || want == "" {
			t.Errorf("after %v: listed %q, and the kernel knows %q", words, state, got)
		}
	}
	if t.Logf("%v", states); len(states) != 2 {
		t.Error("each was killed before its load, or each after it")
	}
	for name := range strings.SplitSeq(listed(t), ", ") {
		bulk(t, "unapply", strings.Fields(name)[0])
	}
}

func TestManyAtOnceAreOneAfterTheOther(t *testing.T) {
	require(t)
	directory := t.TempDir()
	var commands []*exec.Cmd
	for i := range 5 {
		path := filepath.Join(directory, fmt.Sprintf("m%d.cil", i))
		if err := os.WriteFile(path, fmt.Appendf(nil, "(type m%d_t)\n(roletype object_r m%d_t)\n", i, i), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.Command(bulkhead, "apply", path)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, command)
	}
	for _, command := range commands {
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := knows(t, "m0_t", "m1_t", "m2_t", "m3_t", "m4_t"); got != "m0_t m1_t m2_t m3_t m4_t" {
		t.Errorf("known: %s", got)
	}
	bulk(t, "unapply", "m3", "m0", "m4", "m1", "m2")
}
