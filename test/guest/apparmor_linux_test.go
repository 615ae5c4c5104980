// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
)

const (
	// trySecret tries what profile bulkhead-test denies, and what it does not.
	trySecret = `echo open >/tmp/open && cat /tmp/open; echo secret 2>&1 >/tmp/secret; cat /tmp/secret 2>&1; cat /proc/self/attr/apparmor/current`
	confined  = "bulkhead-test (enforce)"
)

// denied checks the output of trySecret.
func (r result) denied(t *testing.T) {
	t.Helper()
	r.has(t, "open", "/bin/sh: can't create /tmp/secret: Permission denied", confined)
	if strings.Contains(r.stdout, "\nsecret") {
		t.Errorf("the profile denied nothing: %q", r.stdout)
	}
}

func TestAppArmorProfileHoldsInCreateAndExec(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-test")
	inners(t, func(t *testing.T) {
		for name, b := range map[string]bundle{
			"no_new_privs off": {profile: "bulkhead-test"},
			"no_new_privs on":  {profile: "bulkhead-test", noNewPrivileges: true, uid: 1000},
		} {
			t.Run(name, func(t *testing.T) { profileHolds(t, b) })
		}
	})
}

func profileHolds(t *testing.T, b bundle) {
	pid := b.start(t, "a")
	if got := read(t, fmt.Sprintf("/proc/%d/attr/apparmor/current", pid)); got != confined {
		t.Errorf("profile %q, want %s", got, confined)
	}
	if kept := record(t, "a"); kept.Observed == nil || kept.Observed.AppArmorProfile != confined {
		t.Errorf("observed %+v", kept.Observed)
	}
	run(t, runtime, "exec", "a", "/bin/sh", "-c", trySecret).denied(t)
}

func TestAppArmorProfileHolds(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-test")
	either(t)
	t.Run("without Landlock", func(t *testing.T) { profileHolds(t, bundle{profile: "bulkhead-test", noLandlock: true}) })
	t.Run("from the first process", func(t *testing.T) {
		bundle{profile: "bulkhead-test", script: trySecret}.run(t, "a").denied(t)
	})
	t.Run("bulkhead run and exec", func(t *testing.T) {
		runIn(t, trySecret, "--security-opt", "apparmor=bulkhead-test").denied(t)
		detach(t, "b", "--security-opt", "apparmor=bulkhead-test", "--security-opt", "no-new-privileges")
		run(t, bulkhead, "exec", "b", "/bin/sh", "-c", trySecret).denied(t)
	})
}

func TestAppArmorUnknownProfileStartsNothing(t *testing.T) {
	require(t, vmtest.AppArmor)
	for name, start := range map[string]func(t *testing.T) result{
		"engine": func(t *testing.T) result {
			return bundle{profile: "no-such-profile", script: "echo started"}.run(t, "a")
		},
		"run": func(t *testing.T) result {
			return runIn(t, "echo started", "--security-opt", "apparmor=no-such-profile")
		},
	} {
		t.Run(name, func(t *testing.T) {
			nothingStays(t)
			got := start(t)
			got.refused(t, 3, `profile "no-such-profile" is not loaded`)
			if got.stdout != "" {
				t.Errorf("it ran: %q", got.stdout)
			}
		})
	}
	t.Run("a label too", func(t *testing.T) {
		nothingStays(t)
		runIn(t, "echo started", "--security-opt", "label=type:container_t").refused(t, 3, "SELinux is not active on this kernel")
	})
}

const (
	showProfile = "cat /proc/self/attr/apparmor/current"
	// tryKernel tries what Bulkhead's default denies, each with a line that says so, and what it allows. Each sysctl is written as it is.
	tryKernel = `cd /proc/sys/kernel; for f in threads-max sem domainname shmmax; do cat $f >$f && echo $f written; done; echo b >/proc/sysrq-trigger && echo sysrq written;
mount -t tmpfs none /tmp && echo mounted; kill -0 $$ && echo signalled; ` + showProfile
)

// open are the options under which nothing but the profile keeps a container's root from the files of /proc.
var open = []string{"--security-opt", "systempaths=unconfined", "--security-opt", "landlock=unconfined", "--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN"}

// underDefault checks the output of tryKernel.
func (r result) underDefault(t *testing.T) {
	t.Helper()
	r.has(t, "shmmax written", "signalled", "bulkhead-default (enforce)")
	for _, line := range []string{"threads-max written", "sem written", "domainname written", "sysrq written", "mounted"} {
		if strings.Contains(r.stdout, line) {
			t.Errorf("the profile lets it through: %s", line)
		}
	}
}

func TestAppArmorDefaultProfileIsLoadedAtFirstUse(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.RestoreAppArmor(t)
	either(t)
	if got := planned(t).AppArmor; got.State != plan.On || got.Profile != "bulkhead-default" || !got.Generated {
		t.Errorf("planned %+v", got)
	}
	if loaded(t, "bulkhead-default") {
		t.Error("a plan loads it")
	}
	got := runIn(t, tryKernel, open...)
	got.underDefault(t)
	if strings.Contains(got.stderr, "apparmor") {
		t.Errorf("a notice: %q", got.stderr)
	}
	if !loaded(t, "bulkhead-default") {
		t.Fatal("it is gone with the container")
	}
	t.Run("what is loaded is shown", func(t *testing.T) {
		if text := succeeds(t, bulkhead, "apparmor", "show", "bulkhead-default"); !strings.Contains(text, "deny mount,") || !strings.Contains(text, "sys/kernel/sh[^m]**") {
			t.Errorf("%s", text)
		}
		answer := succeeds(t, bulkhead, "apparmor", "decide", "bulkhead-default", "bulkhead-default", "file", "/proc/sys/kernel/sem", "w")
		if !strings.HasPrefix(answer, "deny") {
			t.Errorf("%s", answer)
		}
	})
	t.Run("the next start finds it", func(t *testing.T) {
		before := revision(t)
		runIn(t, showProfile).has(t, "bulkhead-default (enforce)")
		if after := revision(t); after != before {
			t.Errorf("policy was changed again: revision %s, then %s", before, after)
		}
	})
	t.Run("exec", func(t *testing.T) {
		detach(t, "b", open...)
		run(t, bulkhead, "exec", "b", "/bin/sh", "-c", tryKernel).underDefault(t)
	})
	t.Run("an engine's container", func(t *testing.T) {
		got := bundle{profile: "bulkhead-default", script: showProfile}.run(t, "a")
		got.has(t, "bulkhead-default (enforce)")
	})
	t.Run("apparmor=unconfined", func(t *testing.T) {
		runIn(t, showProfile, "--security-opt", "apparmor=unconfined").has(t, "unconfined")
	})
	t.Run("undo", func(t *testing.T) {
		succeeds(t, bulkhead, "apparmor", "undo")
		if loaded(t, "bulkhead-default") {
			t.Error("still loaded")
		}
		runIn(t, tryKernel, open...).underDefault(t)
		if !loaded(t, "bulkhead-default") {
			t.Error("not loaded again")
		}
	})
}

func TestAppArmorDockersProfileIsGeneratedOnDemand(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.RestoreAppArmor(t)
	either(t)
	const option = "apparmor=docker-default"
	got := runIn(t, "cat /proc/sys/kernel/threads-max >/proc/sys/kernel/threads-max && echo written; "+showProfile, append([]string{"--security-opt", option}, open...)...)
	got.has(t, "written", "docker-default (enforce)")
	if planned(t, "--security-opt", option).AppArmor.Generated {
		t.Error("planned to be generated, and it is loaded")
	}
}

func TestAppArmorProfileOfAnotherIsLeftAsItIs(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.RestoreAppArmor(t)
	either(t)
	text := filepath.Join(t.TempDir(), "own")
	write(t, text, "profile bulkhead-default flags=(attach_disconnected) { file, capability, network, signal, deny /tmp/secret rw, }", 0o644)
	succeeds(t, bulkhead, "apparmor", "load", text)
	runIn(t, trySecret).has(t, "open", "/bin/sh: can't create /tmp/secret: Permission denied", "bulkhead-default (enforce)")
}

func TestAppArmorLoadListUnloadUndo(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.RestoreAppArmor(t)
	directory := t.TempDir()
	for name, rule := range map[string]string{"one": "/a r,", "two": "/b r,"} {
		write(t, filepath.Join(directory, name), "profile guest-load { "+rule+" ^hat { } }\n", 0o644)
	}
	digest := func() string {
		var list []struct{ Name, Digest string }
		if err := json.Unmarshal([]byte(succeeds(t, bulkhead, "apparmor", "ls", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, one := range list {
			if one.Name == "guest-load" {
				return one.Digest
			}
		}
		return ""
	}
	succeeds(t, bulkhead, "apparmor", "load", "--strict", filepath.Join(directory, "one"))
	first := digest()
	succeeds(t, bulkhead, "apparmor", "load", filepath.Join(directory, "two"))
	if second := digest(); first == "" || second == "" || first == second {
		t.Errorf("digests %q and %q", first, second)
	}
	run(t, bulkhead, "apparmor", "load", "--add", filepath.Join(directory, "one")).refused(t, 1, "it is there already")
	succeeds(t, bulkhead, "apparmor", "undo")
	if again := digest(); again != first {
		t.Errorf("undone to %q, want %q", again, first)
	}
	shown := succeeds(t, bulkhead, "apparmor", "diff", filepath.Join(directory, "one"), "guest-load")
	if !strings.Contains(shown, "equal") {
		t.Errorf("the loaded profile differs from its text: %s", shown)
	}
	succeeds(t, bulkhead, "apparmor", "unload", "guest-load")
	if loaded(t, "guest-load") || loaded(t, "guest-load//hat") {
		t.Error("still loaded")
	}
	run(t, bulkhead, "apparmor", "unload", "guest-load").refused(t, 1, "it is not loaded")
	succeeds(t, bulkhead, "apparmor", "undo")
	if !loaded(t, "guest-load//hat") || digest() != first {
		t.Errorf("not as before: %q", digest())
	}
	succeeds(t, bulkhead, "apparmor", "undo")
	if loaded(t, "guest-load") {
		t.Error("still loaded")
	}
}

func TestAppArmorParserLoadsAsTheReferenceDoes(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.RestoreAppArmor(t)
	directory := t.TempDir()
	parser := filepath.Join(directory, "apparmor_parser")
	if err := os.Symlink(bulkhead, parser); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(directory, "guest-parser")
	write(t, text, "profile guest-parser { /a r, }\n", 0o644)
	cache := filepath.Join(directory, "cache")
	for _, step := range []struct {
		arguments []string
		status    int
		says      string
		loaded    bool
	}{
		{[]string{"-Kr", text}, 0, "", true},
		{[]string{"-Kav", text}, 239, "Profile already exists", true},
		{[]string{"-Rv", text}, 0, "Removal succeeded", false},
		{[]string{"-R", text}, 254, "Profile doesn't exist", false},
		{[]string{"-rWvL", cache, text}, 0, "Replacement succeeded", true},
		{[]string{"-rWvL", cache, text}, 0, "Cached reload succeeded", true},
	} {
		got := run(t, append([]string{parser}, step.arguments...)...)
		if got.status != step.status || !strings.Contains(got.stdout+got.stderr, step.says) || loaded(t, "guest-parser") != step.loaded {
			t.Errorf("%v: %+v", step.arguments, got)
		}
	}
}

// revision counts the changes of policy. A second read of the file would wait for one.
func revision(t *testing.T) string {
	t.Helper()
	file, err := os.Open("/sys/kernel/security/apparmor/policy/revision")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text := make([]byte, 32)
	size, err := file.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:size])
}

// loaded reports whether the kernel has a profile of the name.
func loaded(t *testing.T, name string) bool {
	t.Helper()
	return strings.Contains("\n"+read(t, "/sys/kernel/security/apparmor/profiles"), "\n"+name+" (")
}

func TestAppArmorComplainModeIsSaid(t *testing.T) {
	require(t, vmtest.AppArmor)
	vmtest.LoadAppArmor(t, "bulkhead-complain")
	either(t)
	const option = "apparmor=bulkhead-complain"
	if got := planned(t, "--security-opt", option).AppArmor; got.State != plan.Permissive {
		t.Errorf("planned %+v", got)
	}
	got := runIn(t, "cat /proc/self/attr/apparmor/current", "--security-opt", option)
	got.has(t, "bulkhead-complain (complain)")
	got.says(t, "bulkhead: notice: apparmor does not enforce: the profile is loaded in mode complain")
}
