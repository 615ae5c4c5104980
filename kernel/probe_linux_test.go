// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// tree writes files under a temporary directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestProbeSELinuxTrees(t *testing.T) {
	const label = "system_u:system_r:init_t:s0"
	for name, test := range map[string]struct {
		files map[string]string
		want  SELinux
	}{
		"NotMounted":     {map[string]string{"current": label}, SELinux{}},
		"Enforcing":      {map[string]string{"enforce": "1", "policyvers": "33", "mls": "1", "context": "", "current": label + "\x00"}, SELinux{true, true, 33, true, true}},
		"Permissive":     {map[string]string{"enforce": "0", "policyvers": "31\n", "mls": "0", "context": "", "current": label}, SELinux{true, false, 31, false, true}},
		"NoPolicyLoaded": {map[string]string{"enforce": "1", "policyvers": "33", "mls": "0", "context": "", "current": "kernel\x00"}, SELinux{false, true, 33, false, false}},
		"NoContexts":     {map[string]string{"enforce": "1", "policyvers": "33", "mls": "1", "current": label}, SELinux{true, true, 33, true, false}},
		"OddVersion":     {map[string]string{"enforce": "1", "policyvers": "x", "mls": "1", "current": label}, SELinux{true, true, 0, true, false}},
	} {
		root := tree(t, test.files)
		if got := probeSELinux(root, filepath.Join(root, "current")); got != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestProbeAppArmorTrees(t *testing.T) {
	profiles := "docker-default (enforce)\nbad line\n/bin/a b (complain)\n"
	for name, test := range map[string]struct {
		files map[string]string
		want  AppArmor
	}{
		"NoModule":     {map[string]string{"apparmor/profiles": profiles}, AppArmor{}},
		"SwitchedOff":  {map[string]string{"apparmor/profiles": profiles, "enabled": "N\n"}, AppArmor{}},
		"NoSecurityfs": {map[string]string{"enabled": "Y\n"}, AppArmor{}},
		"Loaded":       {map[string]string{"apparmor/profiles": profiles, "enabled": "Y\n"}, AppArmor{true, []Profile{{"docker-default", "enforce"}, {"/bin/a b", "complain"}}}},
		"Empty":        {map[string]string{"apparmor/profiles": "", "enabled": "Y\n"}, AppArmor{Active: true}},
	} {
		root := tree(t, test.files)
		if got := probeAppArmor(root, filepath.Join(root, "enabled")); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestProbeSmallFiles(t *testing.T) {
	root := tree(t, map[string]string{"actions": "kill_process errno allow\n", "many": "127235\n", "none": "0\n", "odd": "x", "user": ""})
	at := func(name string) string { return filepath.Join(root, name) }
	if got := probeSeccomp(at("actions")).Actions; !slices.Equal(got, []string{"kill_process", "errno", "allow"}) {
		t.Errorf("actions %v", got)
	}
	if got := probeSeccomp(at("gone")).Actions; len(got) != 0 {
		t.Errorf("actions without filters: %v", got)
	}
	for name, want := range map[string]int{"many": 127235, "none": 0, "odd": 0, "gone": 0} {
		if got := probeUserNS(at(name), at("user")); got.Maximum != want || (got.Reason == "") != (want > 0) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := probeUserNS(at("many"), at("gone")); got.Maximum != 0 || !strings.Contains(got.Reason, "CONFIG_USER_NS") {
		t.Errorf("without /proc/self/ns/user: %+v", got)
	}
	if got := probeFUSE(at("gone")); got.Active || !strings.Contains(got.Reason, "modprobe") {
		t.Errorf("no device: %+v", got)
	}
	if got := probeFUSE(root); got.Active || got.Reason == "" {
		t.Errorf("a directory for a device: %+v", got)
	}
}

func TestProbeBPFWithoutTheModule(t *testing.T) {
	if got := probeBPF([]string{"capability", "landlock"}); got.Active || !strings.Contains(got.Reason, "lsm=...,bpf") {
		t.Errorf("got %+v", got)
	}
}

// TestProbeAgreesWithTheKernel asks the same questions in other ways.
func TestProbeAgreesWithTheKernel(t *testing.T) {
	facts := Probe()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || strings.TrimSpace(string(release)) != facts.Release {
		t.Errorf("release %q, /proc says %q, %v", facts.Release, release, err)
	}
	if list, err := os.ReadFile(securityfs + "/lsm"); err == nil {
		if want := strings.Split(strings.TrimSpace(string(list)), ","); !slices.Equal(facts.LSMs, want) {
			t.Errorf("modules %v, securityfs says %v", facts.LSMs, want)
		}
	}
	if slices.Contains(facts.LSMs, "landlock") != (facts.Landlock.ABI > 0) || (facts.Landlock.ABI > 0) == (facts.Landlock.Reason != "") {
		t.Errorf("modules %v and Landlock %+v", facts.LSMs, facts.Landlock)
	}
	if !slices.Contains(facts.LSMs, "selinux") && facts.SELinux != (SELinux{}) {
		t.Errorf("modules %v and SELinux %+v", facts.LSMs, facts.SELinux)
	}
	if !slices.Contains(facts.LSMs, "apparmor") && facts.AppArmor.Active {
		t.Errorf("modules %v and AppArmor active", facts.LSMs)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil || strings.Contains(string(status), "\nSeccomp_filters:") != slices.Contains(facts.Seccomp.Actions, "allow") {
		t.Errorf("actions %v, and /proc/self/status:\n%s%v", facts.Seccomp.Actions, status, err)
	}
	if slices.Contains(facts.Seccomp.Actions, "user_notif") != slices.Contains(facts.Seccomp.Flags, "NEW_LISTENER") {
		t.Errorf("actions %v and flags %v", facts.Seccomp.Actions, facts.Seccomp.Flags)
	}
	if slices.Contains(facts.Seccomp.Actions, "log") != slices.Contains(facts.Seccomp.Flags, "LOG") {
		t.Errorf("actions %v and flags %v", facts.Seccomp.Actions, facts.Seccomp.Flags)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil && facts.FUSE.Active {
		t.Error("FUSE without /dev/fuse")
	}
	if again := Probe(); !reflect.DeepEqual(again, facts) {
		t.Errorf("asked twice: %+v and %+v", facts, again)
	}
}
