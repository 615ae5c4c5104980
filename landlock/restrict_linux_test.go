// SPDX-License-Identifier: Apache-2.0

package landlock

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func hostABI(t *testing.T) int {
	t.Helper()
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	if errno != 0 {
		t.Skipf("no Landlock: %v", errno)
	}
	return int(abi)
}

// onOwnThread runs what cannot be undone on a thread that ends with it.
func onOwnThread(run func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // without unlocking: the thread is not used again
		run()
	}()
	<-done
}

func TestOldRulesetsAreRefused(t *testing.T) {
	for _, abi := range []int{0, 1, -1} {
		if err := (Ruleset{ABI: abi, Handled: handled(1)}).Restrict(); err == nil || !strings.Contains(err.Error(), "cannot hold a container") {
			t.Errorf("ABI %d: %v", abi, err)
		}
	}
}

func TestEveryRulesetUpToTheKernelsIsTaken(t *testing.T) {
	for abi := MinimumABI; abi <= hostABI(t); abi++ {
		rules, _ := Container(abi, true, true)
		descriptor, err := rules.create()
		if err != nil {
			t.Errorf("ABI %d: %v", abi, err)
			continue
		}
		unix.Close(descriptor)
	}
}

func TestRightsOfTheFutureAreRefused(t *testing.T) {
	hostABI(t)
	if _, err := (Ruleset{ABI: 99, Handled: 1 << 62}).create(); err == nil || !strings.Contains(err.Error(), "landlock_create_ruleset") {
		t.Errorf("got %v", err)
	}
}

func TestRestrictNeedsPowerOrNoNewPrivileges(t *testing.T) {
	rules, _ := Container(hostABI(t), false, false)
	onOwnThread(func() {
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		if err := rules.Restrict(); err == nil || !strings.Contains(err.Error(), "landlock_restrict_self") {
			t.Errorf("without either: %v", err)
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Error(err)
			return
		}
		if err := rules.Restrict(); err != nil {
			t.Errorf("with no_new_privs: %v", err)
		}
	})
}

func TestRootOfTheDomainIsTheProcesssOwn(t *testing.T) {
	rules, _ := Container(hostABI(t), false, false)
	inside, outside := t.TempDir(), t.TempDir()
	for _, directory := range []string{inside, outside} {
		if err := os.WriteFile(filepath.Join(directory, "file"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaked, err := unix.Open(outside, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	onOwnThread(func() {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Chroot(inside); err != nil {
			t.Error(err)
			return
		}
		if err := rules.Restrict(); err != nil {
			t.Error(err)
			return
		}
		if _, err := unix.Openat(leaked, "file", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != unix.EACCES {
			t.Errorf("a file outside opens with %v", err)
		}
		if err := unix.Linkat(leaked, "file", unix.AT_FDCWD, "/stolen", 0); err == nil {
			t.Error("a file outside was linked inside")
		}
		if _, err := unix.Open("/file", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			t.Errorf("a file inside opens with %v", err)
		}
		if err := unix.Mkdir("/directory", 0o700); err != nil {
			t.Error(err)
		}
		if err := unix.Rename("/file", "/directory/file"); err != nil {
			t.Errorf("a rename between directories inside: %v", err)
		}
	})
}
