// SPDX-License-Identifier: Apache-2.0

//go:build linux

package isolation

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostTree makes a directory of the host's with something to find, to overwrite and to run.
func hostTree(t *testing.T) string {
	directory := filepath.Join(t.TempDir(), "above", "leaked")
	if err := os.MkdirAll(filepath.Join(directory, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(probePath(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"file": "secret", "victim": "x", "renamed": "x", "../beside": "secret", "program": string(program)} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func openDirectory(t *testing.T, path string, flags int) *os.File {
	descriptor, err := unix.Open(path, flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(descriptor), path)
	t.Cleanup(func() { file.Close() })
	return file
}

// throughDescriptor are the questions about a leaked directory, in an order in which each can succeed. Plain runc on one file system
// between leak and root lets even the hard link out.
func throughDescriptor(descriptor int) []string {
	steps := strings.Repeat("../", 12)
	var questions []string
	for _, question := range []string{"openat:%d:file", "openat:%d:.", "openat:%d:..", "openat:%d:../beside", "openat:%d:" + steps + "etc/shadow", "openat2:%d:file",
		"magic:%d:", "magic:%d:file", "magic:%d:../../..", "fchdir:%d:file", "fchdir:%d:.", "fchdir:%d:" + steps + "etc/shadow", "write:%d:file",
		"truncate:%d:file", "create:%d:new", "tmpfile:%d", "mkdirat:%d:directory", "mkfifoat:%d:fifo", "symlinkat:%d:symlink", "bindat:%d:socket",
		"linkout:%d:file", "execveat:%d:program", "renameat:%d:renamed:sub/renamed", "unlinkat:%d:victim"} {
		questions = append(questions, fmt.Sprintf(question, descriptor))
	}
	return questions
}

var namespaceCases = map[string][]specs.LinuxNamespaceType{
	"own namespaces": nil,
	"host network":   {specs.NetworkNamespace},
	"host PIDs":      {specs.PIDNamespace},
	"host both":      {specs.NetworkNamespace, specs.PIDNamespace},
}

func TestLeakedHostDirectoryOpensNothing(t *testing.T) {
	for name, shared := range namespaceCases {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				b := leakedBox(t, shared)
				questions := append(throughDescriptor(3), throughDescriptor(4)...)
				answers := confined(t).ask(t, way, b, questions...)
				wantRefused(t, answers, questions...)
			})
		}
	}
}

// leakedBox hands a container two leaked directories, one open for reading and one as a place only, with what it takes to make use of them.
func leakedBox(t *testing.T, shared []specs.LinuxNamespaceType) box {
	return box{root: newRoot(t),
		files: []*os.File{openDirectory(t, hostTree(t), unix.O_RDONLY), openDirectory(t, hostTree(t), unix.O_PATH)},
		edit: func(spec *specs.Spec) {
			empower(spec, "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_SYS_ADMIN")
			shareNamespaces(spec, shared...)
		}}
}

func TestLeakedHostDirectoryOpensEverythingUnderPlainRunc(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			// Each way, and each descriptor, changes its tree.
			b := leakedBox(t, nil)
			for descriptor := 3; descriptor <= 4; descriptor++ {
				questions := throughDescriptor(descriptor)
				os.Remove(filepath.Join(b.root, "tmp", "linked"))
				answers := plain(t).ask(t, way, b, questions...)
				// A hard link never leads from one mount to another, confined or not.
				link := fmt.Sprintf("linkout:%d:file", descriptor)
				wantAnswer(t, answers, "EXDEV", link)
				delete(answers, link)
				for question, answer := range answers {
					if answer != "ok" {
						t.Errorf("control: %s: %s, want ok", question, answer)
					}
				}
			}
		})
	}
}

func TestLeakedDescriptorOpensAgainWhereLandlockIsSwitchedOff(t *testing.T) {
	b := leakedBox(t, nil)
	edit := b.edit
	b.edit = func(spec *specs.Spec) {
		edit(spec)
		spec.Annotations = map[string]string{"org.bulkhead.landlock": "unconfined"}
	}
	if _, stderr, status := confined(t).run(t, b, "/probe", "openat:3:file"); status != 4 || !strings.Contains(stderr, "no annotation may switch a layer off on this host") {
		t.Errorf("annotation without leave of the host: exit status %d, %s; want 4", status, stderr)
	}
	configure(t, `{"annotations": ["landlock"]}`)
	wantAnswer(t, confined(t).ask(t, "run", b, "openat:3:file", "openat:4:../beside"), "ok", "openat:3:file", "openat:4:../beside")
}

// configure writes the host's configuration for one test. The host is the tests' own, see harness.Private.
func configure(t *testing.T, text string) {
	const path = "/etc/bulkhead/bulkhead.json"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}

func TestStandardInputThatIsAHostDirectoryOpensNothing(t *testing.T) {
	questions := throughDescriptor(0)
	args := append([]string{"/probe"}, questions...)
	b := leakedBox(t, nil)
	b.stdin, b.files = b.files[0], nil
	wantRefused(t, readAnswers(t, confined(t).detached(t, b, args...), questions), questions...)
	wantAnswer(t, readAnswers(t, plain(t).detached(t, b, args...), questions), "ok", "openat:0:file", "openat:0:../beside")
}

// A file handle names an inode of a file system, whatever is mounted of it. The kernel asks for CAP_DAC_READ_SEARCH, and Landlock takes such a
// file for one beneath the mount that was named (Linux 6.18): what remains open is said.
func TestFileHandleOfTheHostOpensNothingWithoutTheCapabilityForIt(t *testing.T) {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(hostTree(t), "file"), 0)
	if err != nil {
		t.Fatal(err)
	}
	question := fmt.Sprintf("handle:/bin:%d:%s", handle.Type(), hex.EncodeToString(handle.Bytes()))
	able := box{root: newRoot(t), edit: func(spec *specs.Spec) { empower(spec, "CAP_DAC_READ_SEARCH") }}
	wantAnswer(t, plain(t).ask(t, "run", able, question), "ok", question)
	for _, way := range ways {
		wantRefused(t, confined(t).ask(t, way, box{root: able.root}, question), question)
	}
	runtime := confined(t)
	id := runtime.start(t, able, "/bin/sleep", "600")
	out, _, _ := runtime.exec(t, id, box{}, "/probe", question)
	if said := strings.Contains(readRecord(t, id), "CAP_DAC_READ_SEARCH opens"); !said && strings.Contains(out, "=ok") {
		t.Error("the file opens, and the plan does not say so")
	}
}

// readRecord returns what Bulkhead keeps of a container.
func readRecord(t *testing.T, id string) string {
	t.Helper()
	paths, err := filepath.Glob("/run/bulkhead/containers/" + id + ".*/record.json")
	if err != nil || len(paths) != 1 {
		t.Fatalf("records of %s: %v (%v)", id, paths, err)
	}
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoDescriptorButThePreservedIsOpen(t *testing.T) {
	root := newRoot(t)
	for count := range 3 {
		b := box{root: root, out: newFile(t)}
		for range count {
			b.files = append(b.files, newFile(t))
		}
		var seen [2]string
		for i, runtime := range []runtime{plain(t), confined(t)} {
			if err := b.out.Truncate(0); err != nil {
				t.Fatal(err)
			}
			b.out.Seek(0, 0)
			seen[i] = runtime.detached(t, b, "/probe", "fds")
			id := runtime.start(t, box{root: root}, "/bin/sleep", "600")
			added, stderr, status := runtime.exec(t, id, box{files: b.files}, "/probe", "fds")
			if status != 0 || strings.Count(added, ">") != 3+count {
				t.Errorf("%s exec with %d preserved: the program has %s%s", runtime.path, count, added, stderr)
			}
		}
		// Standard error is a file of the run's own.
		if strings.Count(seen[1], ">") != 3+count || strings.Count(seen[0], ">") != 3+count {
			t.Errorf("run with %d preserved: the program has %s, and under plain runc %s", count, seen[1], seen[0])
		}
		for i, file := range b.files {
			if want := fmt.Sprintf("%d>%s", 3+i, file.Name()); !strings.Contains(seen[1], want) {
				t.Errorf("%s is not among %s", want, seen[1])
			}
		}
	}
}

// LISTEN_PID is the process's own number, which a shell knows before it becomes the runtime.
func TestDescriptorsOfAnActivatedSocketArePassedOn(t *testing.T) {
	file := newFile(t)
	for _, runtime := range []runtime{plain(t), confined(t)} {
		for pid, want := range map[string]int{"$$": 4, "1": 3} {
			id, b := newID(), box{root: newRoot(t)}
			command := exec.Command("/bin/sh", "-c", "LISTEN_FDS=1 LISTEN_PID="+pid+` exec "$@"`, "sh", runtime.path, "--root", runtime.root,
				"run", "--bundle", b.bundle(t, "/probe", "fds"), id)
			command.ExtraFiles = []*os.File{file}
			out, stderr, _ := output(t, command)
			if strings.Count(out, ">") != want || strings.Contains(out, " 3>"+file.Name()) != (want == 4) {
				t.Errorf("%s with LISTEN_PID=%s: the program has %s%s, want %d descriptors", runtime.path, pid, out, stderr, want)
			}
			runtime.command("delete", "--force", id).Run()
		}
	}
}

// Plain runc 1.1 hands out whatever of its own has the number.
func TestPreservedDescriptorThatIsNotOpenIsAnError(t *testing.T) {
	b, runtime := box{root: newRoot(t)}, confined(t)
	out, stderr, status := output(t, runtime.command("run", "--preserve-fds", "2", "--bundle", b.bundle(t, "/probe", "fds"), newID()))
	if status != 2 || out != "" || !strings.HasPrefix(stderr, "bulkhead: error: descriptor 3 ") {
		t.Errorf("run: exit status %d with %s%s; want 2 and an error that descriptor 3 is not open", status, out, stderr)
	}
	id := runtime.start(t, b, "/bin/sleep", "600")
	file := newFile(t)
	command := runtime.command("exec", "--preserve-fds", "2", id, "/probe", "fds")
	command.ExtraFiles = []*os.File{file}
	if out, stderr, status := output(t, command); status != 2 || out != "" || !strings.HasPrefix(stderr, "bulkhead: error: descriptor 4 ") {
		t.Errorf("exec: exit status %d with %s%s; want 2 and an error that descriptor 4 is not open", status, out, stderr)
	}
}
