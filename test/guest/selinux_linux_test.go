// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

const (
	processType = "system_u:system_r:container_t:s0"
	fileType    = "system_u:object_r:container_file_t:s0"
	superType   = "system_u:system_r:spc_t:s0" // unconfined
	pairA       = ":c1,c2"
	pairB       = ":c3,c4"
)

// labelled is a bundle with the labels that an engine gives.
func labelled(pair, script string) bundle {
	return bundle{process: processType + pair, files: fileType + pair, script: script}
}

func label(t *testing.T, context string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := unix.Lsetxattr(path, "security.selinux", append([]byte(context), 0), 0); err != nil {
			t.Fatalf("label %s %s: %v", path, context, err)
		}
	}
}

func current(t *testing.T, pid int) string {
	t.Helper()
	return read(t, fmt.Sprintf("/proc/%d/attr/current", pid))
}

func TestSELinuxLabelsAreWhatWasAsked(t *testing.T) {
	require(t, vmtest.SELinux)
	inners(t, func(t *testing.T) {
		pid := labelled(pairA, "").start(t, "a")
		process, files := processType+pairA, fileType+pairA
		if got := current(t, pid); got != process {
			t.Errorf("process label %s, want %s", got, process)
		}
		kept := record(t, "a")
		if kept.Compiled.ProcessLabel != process || kept.Compiled.MountLabel != files || kept.Expected.ProcessLabel != process {
			t.Errorf("planned %+v", kept.Compiled)
		}
		if kept.Observed == nil || kept.Observed.ProcessLabel != process {
			t.Errorf("observed %+v, want %s", kept.Observed, process)
		}
		for _, place := range []string{"/", "/dev/shm", "/dev"} {
			if got := xattr(t, fmt.Sprintf("/proc/%d/root%s", pid, place)); got != files {
				t.Errorf("%s in the container has label %s, want %s", place, got, files)
			}
		}
		added := run(t, runtime, "exec", "a", "/bin/cat", "/proc/self/attr/current")
		if got := strings.TrimRight(added.stdout, "\x00\n"); got != process {
			t.Errorf("added by exec: %q, want %s; %s", got, process, added.stderr)
		}
	})
}

// neighbours is a directory that containers A and B share, with a file and a directory of each.
func neighbours(t *testing.T) string {
	t.Helper()
	shared := t.TempDir()
	label(t, fileType, shared)
	for name, pair := range map[string]string{"a": pairA, "b": pairB} {
		write(t, filepath.Join(shared, name), "data of "+name+"\n", 0o666)
		write(t, filepath.Join(shared, "dir-"+name, "secret"), "secret of "+name+"\n", 0o666)
		label(t, fileType+pair, shared+"/"+name, shared+"/dir-"+name, shared+"/dir-"+name+"/secret")
	}
	return shared
}

// denial checks for one denial: its contexts, class and one permission.
func denial(t *testing.T, denials []vmtest.AVC, source, target, class, permission string) {
	t.Helper()
	if !slices.ContainsFunc(denials, func(a vmtest.AVC) bool {
		return a.Source == source && a.Target == target && a.Class == class && slices.Contains(a.Permissions, permission) && !a.Permissive
	}) {
		t.Errorf("no denial { %s } scontext=%s tcontext=%s tclass=%s permissive=0 in %v", permission, source, target, class, denials)
	}
}

// What A tries: its own files, B's in a directory that both mount, descriptors of B's that leaked (3 a file, 4 a directory, whose number is
// followed by way of /proc, as in CVE-2024-21626), and B's directory mounted into A by mistake.
const (
	readShared = `cat /data/a; echo new >/data/dir-a/new && cat /data/dir-a/new; cat /data/b 2>&1; echo x 2>&1 >>/data/b; cat /data/dir-b/secret 2>&1; `
	readLeaked = `cat <&3; cat /proc/self/fd/4/secret 2>&1; cd /proc/self/fd/4 2>&1; cat secret 2>&1; cat /proc/self/fd/4/../b 2>&1; cd /; `
	readWrong  = `cat /wrong/secret 2>&1; touch /wrong/x 2>&1; `
	atEnd      = `ls /proc/self/fd | tr "\n" " "; echo; tr "\000" "\n" </proc/self/attr/current`
)

// With Landlock and without: SELinux alone keeps A from B's files.
func TestSELinuxKeepsAFromBsFiles(t *testing.T) {
	require(t, vmtest.SELinux)
	inners(t, func(t *testing.T) {
		for name, noLandlock := range map[string]bool{"with Landlock": false, "SELinux alone": true} {
			t.Run(name, func(t *testing.T) {
				shared := neighbours(t)
				a := labelled(pairA, readShared+readLeaked+readWrong+atEnd)
				a.binds, a.noLandlock = map[string]string{"/data": shared, "/wrong": shared + "/dir-b"}, noLandlock
				watch := vmtest.WatchAVCs(t)
				got := a.run(t, "a", leaked(t)...)
				got.has(t, "data of a", "new", "/bin/sh: can't create /data/b: Permission denied")
				if !strings.HasSuffix(got.stdout, a.process+"\n") {
					t.Errorf("it did not come to its end: %+v", got)
				}
				for _, secret := range []string{"data of b", "secret of b"} {
					if strings.Contains(got.stdout, secret) {
						t.Errorf("A read %q: %s", secret, got.stdout)
					}
				}
				keptByLabels(t, got, watch.Denials(), a.process, noLandlock)
			})
		}
	})
}

// keptByLabels checks route by route what the container saw and what the kernel logged.
func keptByLabels(t *testing.T, got result, denials []vmtest.AVC, process string, noLandlock bool) {
	files := fileType + pairB
	t.Run("shared parent directory", func(t *testing.T) {
		got.has(t, "cat: can't open '/data/b': Permission denied", "cat: can't open '/data/dir-b/secret': Permission denied")
		denial(t, denials, process, files, "file", "append")
		denial(t, denials, process, files, "dir", "search")
	})
	t.Run("leaked descriptors", func(t *testing.T) {
		// Taken at execve: the kernel puts its null device there, or nothing where Landlock refuses to open that.
		if noLandlock {
			got.has(t, "cat: can't open '/proc/self/fd/4/secret': Not a directory", "0 1 2 3 4 5 ") // 5 is the directory that ls reads
		} else {
			got.has(t, "cat: can't open '/proc/self/fd/4/secret': No such file or directory", "0 1 2 3 ")
		}
		denial(t, denials, process, files, "file", "read")
		denial(t, denials, process, files, "dir", "read")
	})
	t.Run("wrong mount", func(t *testing.T) {
		got.has(t, "cat: can't open '/wrong/secret': Permission denied", "touch: /wrong/x: Permission denied")
	})
	for _, denial := range denials {
		if denial.Source != process || denial.Target != files {
			t.Errorf("a denial of something else: %v", denial)
		}
	}
}

// leaked opens B's file and B's directory, to be handed to A as descriptors 3 and 4.
func leaked(t *testing.T) []*os.File {
	t.Helper()
	shared := neighbours(t)
	var files []*os.File
	for _, name := range []string{"b", "dir-b"} {
		file, err := os.Open(filepath.Join(shared, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		files = append(files, file)
	}
	return files
}

func TestAVolumeWithTheLabelOfALivingContainer(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/bin/crun")
	volume := neighbours(t) + "/dir-b"
	labelled(pairB, "").start(t, "b")
	t.Run("is refused to another", func(t *testing.T) {
		nothingStays(t)
		a := labelled(pairA, "cat /wrong/secret")
		a.binds = map[string]string{"/wrong": volume}
		a.run(t, "a").refused(t, 4, "its private label belongs to container b")
	})
	t.Run("is given to one that shares the label, as in a pod", func(t *testing.T) {
		b := labelled(pairB, "cat /data/secret")
		b.binds = map[string]string{"/data": volume}
		b.run(t, "sidecar").has(t, "secret of b")
	})
}

// A type that SELinux does not confine shows what Landlock does by itself, and without either that the descriptors are really there.
func TestLandlockAloneKeepsLeakedDescriptorsFromOpening(t *testing.T) {
	require(t, vmtest.SELinux)
	either(t)
	for name, test := range map[string]struct {
		noLandlock bool
		opened     bool
	}{"Landlock alone": {false, false}, "neither": {true, true}} {
		t.Run(name, func(t *testing.T) {
			a := bundle{process: superType + pairA, files: fileType + pairA, script: readLeaked + atEnd, noLandlock: test.noLandlock}
			watch := vmtest.WatchAVCs(t)
			got := a.run(t, "a", leaked(t)...)
			got.has(t, "data of b") // was opened before: Landlock guards opening
			if strings.Contains(got.stdout, "secret of b") != test.opened {
				t.Errorf("opening beneath a leaked descriptor: %q", got.stdout)
			}
			if denials := watch.Denials(); len(denials) > 0 {
				t.Errorf("SELinux denied %v", denials)
			}
		})
	}
}

func TestSELinuxRefusesAContextThatThePolicyDoesNotKnow(t *testing.T) {
	require(t, vmtest.SELinux)
	configure(t, "/usr/sbin/runc")
	for name, test := range map[string]struct {
		process, files string
		status         int
		words          string
	}{
		"unknown process type":  {"system_u:system_r:no_such_t:s0:c1,c2", fileType + pairA, 3, "does not know the context system_u:system_r:no_such_t:s0:c1,c2"},
		"unknown file type":     {processType + pairA, "system_u:object_r:no_such_t:s0:c1,c2", 3, "does not know the context system_u:object_r:no_such_t:s0:c1,c2"},
		"unknown user":          {"nobody_u:system_r:container_t:s0:c1,c2", fileType + pairA, 3, "does not know the context nobody_u"},
		"level out of range":    {"system_u:system_r:container_t:s1:c1,c2", fileType + pairA, 3, "does not know the context system_u:system_r:container_t:s1:c1,c2"},
		"role without the type": {"system_u:object_r:container_t:s0-s1:c1", fileType + pairA, 3, "does not know the context"},
		"no such category":      {"system_u:system_r:container_t:s0:c1024", fileType + pairA, 2, "out of range c0 to c1023"},
	} {
		t.Run(name, func(t *testing.T) {
			nothingStays(t)
			bundle{process: test.process, files: test.files, script: "echo started", plainRoot: true}.run(t, "bad").refused(t, test.status, test.words)
		})
	}
}
