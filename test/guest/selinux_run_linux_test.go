// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/plan"
)

func TestRunGivesEachContainerAPairOfItsOwn(t *testing.T) {
	require(t, vmtest.SELinux)
	either(t)
	volume := t.TempDir()
	ids := map[string]string{"a": detach(t, "a", "-v", volume+":/data:z"), "b": detach(t, "b", "-v", volume+":/data:z", "--security-opt", "landlock=unconfined")}
	for name, id := range ids {
		kept := record(t, id)
		process, files := processType+strings.TrimPrefix(kept.Level, "s0"), fileType+strings.TrimPrefix(kept.Level, "s0")
		if got := current(t, kept.PID()); got != process || kept.Compiled.ProcessLabel != process {
			t.Errorf("%s has label %s, planned %s, want %s", name, got, kept.Compiled.ProcessLabel, process)
		}
		if kept.Observed == nil || kept.Observed.ProcessLabel != process {
			t.Errorf("%s: observed %+v", name, kept.Observed)
		}
		for _, place := range []string{"/", "/bin/busybox", "/etc/hosts", "/dev/shm"} {
			if got := xattr(t, fmt.Sprintf("/proc/%d/root%s", kept.PID(), place)); got != files {
				t.Errorf("%s of %s has label %s, want %s", place, name, got, files)
			}
		}
		added := succeeds(t, bulkhead, "exec", name, "/bin/cat", "/proc/self/attr/current")
		if got := strings.TrimRight(added, "\x00\n"); got != process {
			t.Errorf("exec in %s: %s, want %s", name, got, process)
		}
	}
	if a, b := record(t, ids["a"]).Level, record(t, ids["b"]).Level; a == b {
		t.Errorf("both have %s", a)
	}
	keepsApart(t, ids, "a", "b")
	keepsApart(t, ids, "b", "a")
}

// keepsApart has one container make a file in the directory that both share, and the other read it.
func keepsApart(t *testing.T, ids map[string]string, reader, writer string) {
	path := "/data/of-" + writer
	succeeds(t, bulkhead, "exec", writer, "/bin/sh", "-c", "echo secret >"+path+" && cat "+path)
	watch := vmtest.WatchAVCs(t)
	got := run(t, bulkhead, "exec", reader, "/bin/cat", path)
	if got.status == 0 || !strings.Contains(got.stderr, "Permission denied") {
		t.Errorf("%+v", got)
	}
	denial(t, watch.Denials(), record(t, ids[reader]).Compiled.ProcessLabel, record(t, ids[writer]).Compiled.MountLabel, "file", "read")
}

// The kernel may check a program that was written in the container against the label of the file in the upper directory, see labelLower.
func TestRunStartsAProgramThatWasWrittenInTheContainer(t *testing.T) {
	require(t, vmtest.SELinux)
	either(t)
	watch := vmtest.WatchAVCs(t)
	runIn(t, "cp /bin/busybox /tmp/busybox && /tmp/busybox echo started").has(t, "started")
	if denials := watch.Denials(); len(denials) > 0 {
		t.Errorf("denials %v", denials)
	}
}

func TestRunTakesLabelOptions(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	for name, test := range map[string]struct {
		options []string
		want    string // of the process
	}{
		"type":             {[]string{"label=type:container_init_t"}, `^system_u:system_r:container_init_t:s0:c\d+,c\d+$`},
		"level":            {[]string{"label=level:s0:c100,c200"}, `^system_u:system_r:container_t:s0:c100,c200$`},
		"deprecated colon": {[]string{"label:type:container_init_t", "label:level:s0:c7"}, `^system_u:system_r:container_init_t:s0:c7$`},
		"user and role":    {[]string{"label=user:system_u", "label=role:system_r"}, `^system_u:system_r:container_t:s0:c\d+,c\d+$`},
		"file type":        {[]string{"label=filetype:container_ro_file_t"}, `^system_u:system_r:container_t:s0:c\d+,c\d+$`},
		"disable":          {[]string{"label=disable"}, `^system_u:system_r:kernel_t:s0-s0:c0.c1023$`},
		"privileged type":  {[]string{"label=type:spc_t"}, `^system_u:system_r:spc_t:s0:c\d+,c\d+$`},
	} {
		t.Run(name, func(t *testing.T) {
			options := []string{"--security-opt", "seccomp=unconfined"} // crun and runc compile a filter slowly
			for _, option := range test.options {
				options = append(options, "--security-opt", option)
			}
			got := runIn(t, `tr "\000" "\n" </proc/self/attr/current`, options...)
			if label := strings.TrimSpace(got.stdout); !regexp.MustCompile(test.want).MatchString(label) {
				t.Errorf("label %q, want %s: %+v", label, test.want, got)
			}
		})
	}
}

func TestRunRefusesLabelOptions(t *testing.T) {
	require(t, vmtest.SELinux)
	for name, test := range map[string]struct {
		option string
		status int
		words  string
	}{
		"unknown type":         {"label=type:no_such_t", 3, "does not know the context system_u:system_r:no_such_t"},
		"unknown file type":    {"label=filetype:no_such_t", 3, "does not know the context system_u:object_r:no_such_t"},
		"unknown user":         {"label=user:nobody_u", 3, "does not know the context nobody_u"},
		"unknown role":         {"label=role:no_such_r", 3, "does not know the context system_u:no_such_r"},
		"sensitivity too high": {"label=level:s1:c1,c2", 3, "s1:c1,c2"},
		"no such category":     {"label=level:s0:c1,c1024", 2, "out of range c0 to c1023"},
		"the famous typo":      {"label=level:s0:110", 2, "s0:c110"},
	} {
		t.Run(name, func(t *testing.T) {
			nothingStays(t)
			got := runIn(t, "echo started", "--security-opt", test.option)
			got.refused(t, test.status, test.words)
			if got.stdout != "" {
				t.Errorf("it ran: %q", got.stdout)
			}
		})
	}
}

func TestRunLabelsVolumes(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	t.Run("private", privateVolume)
	t.Run("shared", sharedVolume)
	t.Run("not labelled", func(t *testing.T) {
		volume := t.TempDir()
		write(t, volume+"/file", "data\n", 0o644)
		label(t, "system_u:object_r:secret_t:s0", volume, volume+"/file")
		watch := vmtest.WatchAVCs(t)
		got := runIn(t, "cat /data/file", "-v", volume+":/data")
		if got.status == 0 || !strings.Contains(got.stderr, "Permission denied") {
			t.Errorf("%+v", got)
		}
		if denials := watch.Denials(); len(denials) == 0 || denials[0].Target != "system_u:object_r:secret_t:s0" {
			t.Errorf("denials %v", denials)
		}
	})
}

func privateVolume(t *testing.T) {
	volume := t.TempDir()
	write(t, volume+"/directory/file", "data\n", 0o644)
	t.Run("is one container's", func(t *testing.T) {
		kept := record(t, detach(t, "a", "-v", volume+":/data:Z"))
		for _, path := range []string{volume, volume + "/directory", volume + "/directory/file"} {
			if got := xattr(t, path); got != kept.Compiled.MountLabel {
				t.Errorf("%s has label %s, want %s", path, got, kept.Compiled.MountLabel)
			}
		}
		if got := succeeds(t, bulkhead, "exec", "a", "/bin/cat", "/data/directory/file"); got != "data\n" {
			t.Errorf("its container reads %q", got)
		}
		for name, option := range map[string]string{"private": ":Z", "shared": ":z", "as it is": ""} {
			t.Run("and not another's, "+name, func(t *testing.T) {
				nothingStays(t)
				runIn(t, "cat /data/directory/file", "-v", volume+":/data"+option).refused(t, 4, "its private label belongs to container")
				if got := xattr(t, volume+"/directory/file"); got != kept.Compiled.MountLabel {
					t.Errorf("the refused container changed the label to %s", got)
				}
			})
		}
	})
	t.Run("and the next one's when that is removed", func(t *testing.T) {
		runIn(t, "cat /data/directory/file", "-v", volume+":/data:Z").has(t, "data")
	})
}

func sharedVolume(t *testing.T) {
	volume := t.TempDir()
	write(t, volume+"/file", "data\n", 0o666)
	if err := os.Chmod(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	detach(t, "a", "-v", volume+":/data:z")
	runIn(t, "cat /data/file && echo more >>/data/file", "-v", volume+":/data:z").has(t, "data")
	if got := succeeds(t, bulkhead, "exec", "a", "/bin/cat", "/data/file"); got != "data\nmore\n" {
		t.Errorf("the first reads %q", got)
	}
	if got := xattr(t, filepath.Join(volume, "file")); got != fileType {
		t.Errorf("label %s, want %s", got, fileType)
	}
}

// The guest's policy has constraints as distributions have them, which leave something between two containers.
func TestWhatThePolicyLeavesBetweenContainersIsSaid(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	const sentence = "the loaded policy does not stop a container from doing to one with another category pair, to its processes: "
	if got := layer(t, "selinux"); !strings.HasPrefix(got.Remains, sentence) || !strings.Contains(got.Remains, "; to its files: ") || !strings.Contains(got.Remains, "entrypoint") {
		t.Errorf("check: %+v", got)
	}
	if out := succeeds(t, bulkhead, "check"); !strings.Contains(out, "\nselinux: "+sentence) {
		t.Errorf("check: %s", out)
	}
	if got := planned(t); !strings.Contains(strings.Join(got.Remains, "\n"), sentence) {
		t.Errorf("plan: %q", got.Remains)
	}
	if got := planned(t, "--security-opt", "label=disable"); strings.Contains(strings.Join(got.Remains, "\n"), sentence) {
		t.Errorf("plan without labels: %q", got.Remains)
	}
}

func TestSELinuxPermissiveIsSaid(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	const enforce = "/sys/fs/selinux/enforce"
	write(t, enforce, "0", 0o644)
	t.Cleanup(func() { write(t, enforce, "1", 0o644) })
	t.Run("check", func(t *testing.T) {
		if got := layer(t, "selinux"); got.State != "permissive" || got.Present() {
			t.Errorf("%+v", got)
		}
		run(t, bulkhead, "check", "--require", "selinux").refused(t, 3, "selinux")
	})
	t.Run("plan", func(t *testing.T) {
		if got := planned(t); got.SELinux.State != plan.Permissive {
			t.Errorf("%+v", got.SELinux)
		}
	})
	t.Run("run", func(t *testing.T) {
		got := runIn(t, "echo started")
		got.has(t, "started")
		got.says(t, "bulkhead: notice: selinux does not enforce: SELinux is permissive")
	})
	t.Run("an engine's label", func(t *testing.T) {
		got := labelled(pairA, "echo started").run(t, "a")
		got.has(t, "started")
		got.says(t, "bulkhead: notice: selinux does not enforce: SELinux is permissive")
	})
	t.Run("a label by name starts nothing", func(t *testing.T) {
		nothingStays(t)
		runIn(t, "echo started", "--security-opt", "label=type:container_t").refused(t, 3, "SELinux is permissive")
	})
}
