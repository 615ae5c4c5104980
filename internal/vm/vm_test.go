// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func options(t *testing.T, command ...string) Options {
	return Options{
		LSM: SELinux, Kernel: "6.12", Memory: 512, CPUs: 1, QEMU: "qemu-system-x86_64", Cache: t.TempDir(),
		Dir: t.TempDir(), Timeout: time.Minute, Command: command,
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"unknown module":    func(o *Options) { o.LSM = "smack" },
		"label elsewhere":   func(o *Options) { o.LSM, o.Label = AppArmor, "system_u:system_r:user_t:s0" },
		"no command":        func(o *Options) { o.Command = nil },
		"relative place":    func(o *Options) { o.Dir = "here" },
		"no time":           func(o *Options) { o.Timeout = 0 },
		"nameless variable": func(o *Options) { o.Env = []string{"=x"} },
	} {
		o := options(t, "true")
		change(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := options(t, "true").check(); err != nil {
		t.Error(err)
	}
}

func TestModuleRootIsFound(t *testing.T) {
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if root, err := moduleRoot(directory); err != nil || root != filepath.Dir(filepath.Dir(directory)) {
		t.Errorf("%s, %v", root, err)
	}
	if root, err := moduleRoot(t.TempDir()); err == nil {
		t.Errorf("found %s", root)
	}
}

// guestOptions skips where guests are not wanted: they take a kernel from the
// network when the cache has none.
func guestOptions(t *testing.T, command ...string) (Options, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	if os.Getenv("BULKHEAD_VM_HOST") == "" {
		t.Skip("guests are started by make vm, which sets BULKHEAD_VM_HOST")
	}
	o := options(t, command...)
	cache, err := DefaultCache()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	o.LSM, o.Cache, o.Stdout, o.Stderr = None, cache, &stdout, &stderr
	if o.Dir, err = os.Getwd(); err != nil { // below the sources, to build PID 1
		t.Fatal(err)
	}
	return o, &stdout, &stderr
}

func TestGuestKeepsStdoutStderrAndExitCode(t *testing.T) {
	o, stdout, stderr := guestOptions(t, "sh", "-c", "echo out; echo err >&2; pwd; echo $NAME $BULKHEAD_VM; exit 3")
	o.Env = []string{"NAME=value"}
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := "out\n" + o.Dir + "\nvalue none\n"; result.Code != 3 || stdout.String() != want || stderr.String() != "err\n" {
		t.Errorf("%+v, stdout %q, stderr %q", result, stdout, stderr)
	}
}

func TestGuestTellsOfSignalAndTimeout(t *testing.T) {
	o, _, _ := guestOptions(t, "sh", "-c", "kill -9 $$")
	if result, err := Run(t.Context(), o); err != nil || result.Code != 128+9 || result.TimedOut {
		t.Errorf("killed: %+v, %v", result, err)
	}
	o.Command, o.Timeout = []string{"sleep", "1000"}, time.Second
	if result, err := Run(t.Context(), o); err != nil || !result.TimedOut {
		t.Errorf("timeout: %+v, %v", result, err)
	}
}

func TestGuestsDifferInTimeAndChance(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		o, stdout, _ := guestOptions(t, "sh", "-c", "date +%s; head -c 16 /dev/urandom | od -x")
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		clock, random, _ := strings.Cut(stdout.String(), "\n")
		seconds, err := strconv.ParseInt(clock, 10, 64)
		if age := time.Since(time.Unix(seconds, 0)); err != nil || age < -time.Minute || age > time.Minute {
			t.Errorf("the guest's clock says %s, %v", clock, err)
		}
		if seen[random] || len(random) < 32 {
			t.Errorf("random %q again", random)
		}
		seen[random] = true
	}
}

func TestGuestDeathIsAnErrorWithTheConsole(t *testing.T) {
	o, _, _ := guestOptions(t, "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100")
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("error %v", err)
	}
}

func TestGuestRunsADynamicProgramOfTheHost(t *testing.T) {
	o, stdout, _ := guestOptions(t)
	o.Command = []string{"/bin/dash", "-c", "cat /data/vm_test.go | wc -c"}
	o.Add = []string{"vm_test.go:/data/vm_test.go"}
	info, err := os.Stat("vm_test.go")
	if err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), o)
	if got := strings.TrimSpace(stdout.String()); err != nil || result.Code != 0 || got != strconv.FormatInt(info.Size(), 10) {
		t.Errorf("%+v, %v, %q bytes, want %d", result, err, got, info.Size())
	}
}

func TestLargeOutputOfAGuestIsWhole(t *testing.T) {
	o, stdout, _ := guestOptions(t, "dd", "if=/dev/zero", "bs=1M", "count=8")
	result, err := Run(t.Context(), o)
	if err != nil || result.Code != 0 || stdout.Len() != 8<<20 {
		t.Errorf("%+v, %v, %d bytes", result, err, stdout.Len())
	}
}
