// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/inside"
)

// state is what tells one installed file from another.
type state struct {
	inode   uint64
	mode    uint32
	uid     uint32
	content string
}

func stateOf(t *testing.T, path string) state {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Lstat(path, &stat))
	s := state{inode: stat.Ino, mode: stat.Mode, uid: stat.Uid}
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		content, err := os.ReadFile(path)
		must(t, err)
		s.content = string(content)
	}
	return s
}

func TestInstalledFileIsKeptOrReplaced(t *testing.T) {
	const source = "initbin/README"
	content, err := embedded.ReadFile(source)
	must(t, err)
	for name, test := range map[string]struct {
		tamper func(path string) error
		kept   bool
	}{
		"Unchanged":     {func(string) error { return nil }, true},
		"OtherContent":  {func(path string) error { return os.WriteFile(path, append(content, 0), 0o755) }, false},
		"Shorter":       {func(path string) error { return os.Truncate(path, 3) }, false},
		"WorldWritable": {func(path string) error { return os.Chmod(path, 0o757) }, false},
		"SetUserID":     {func(path string) error { return unix.Chmod(path, 0o4755) }, false},
		"OfAnotherUser": {func(path string) error { return os.Chown(path, 1000, 0) }, false},
		"SymbolicLink":  {func(path string) error { return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path)) }, false},
		"FIFO":          {func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o755)) }, false},
		"Gone":          {os.Remove, false},
		"DirectoryGone": {func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "directory", "program")
			must(t, installFile(path, source, 0o755))
			first := stateOf(t, path)
			held, err := os.Open(path) // so that no other file gets its inode number
			must(t, err)
			defer held.Close()
			must(t, test.tamper(path))
			must(t, installFile(path, source, 0o755))
			second := stateOf(t, path)
			if (first == second) != test.kept {
				t.Errorf("kept: %v; was %+v and is %+v", first == second, first, second)
			}
			if second.mode != unix.S_IFREG|0o755 || second.uid != 0 || second.content != string(content) {
				t.Errorf("got %+v", second)
			}
			if directory := stateOf(t, filepath.Dir(path)); directory.mode&0o777 != 0o755 {
				t.Errorf("the directory has mode %#o", directory.mode)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(path)), ".install-*")); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestInstallProgramWorksUnderAnyMask(t *testing.T) {
	old := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(old) })
	state := filepath.Join(t.TempDir(), "state")
	program, err := InstallProgram(state)
	if err != nil {
		if _, missing := embedded.ReadFile("initbin/bulkhead-init.sha256"); missing != nil && strings.Contains(err.Error(), "make build") {
			t.Log("this test binary was built without the program inside; the error says so")
			return
		}
		t.Fatal(err)
	}
	for path, mode := range map[string]uint32{program.Path(): 0o755, program.Directory: 0o755, filepath.Dir(program.Directory): 0o700, state: 0o700} {
		if got := stateOf(t, path).mode & 0o7777; got != mode {
			t.Errorf("%s has mode %#o, want %#o", path, got, mode)
		}
	}
	again, err := InstallProgram(state)
	if err != nil || again != program {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestCheckPlace(t *testing.T) {
	for name, test := range map[string]struct {
		make func(path string) error
		ok   bool
	}{
		"Nothing":                 {func(string) error { return nil }, true},
		"Directory":               {func(path string) error { return os.Mkdir(path, 0o755) }, true},
		"File":                    {func(path string) error { return os.WriteFile(path, nil, 0o644) }, false},
		"LinkToDirectory":         {func(path string) error { return os.Symlink("tmp", path) }, false},
		"LinkOutside":             {func(path string) error { return os.Symlink("/tmp", path) }, false},
		"DanglingLink":            {func(path string) error { return os.Symlink("gone", path) }, false},
		"RootIsNotThereIsNotOurs": {func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, true},
	} {
		root := filepath.Join(t.TempDir(), "rootfs")
		must(t, os.MkdirAll(filepath.Join(root, "tmp"), 0o755), test.make(filepath.Join(root, inside.Directory)))
		if err := CheckPlace(root); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	if err := CheckPlace(file); err == nil {
		t.Error("a root that is a file was taken")
	}
}

// withRoot starts a process in a mount namespace whose root is the directory.
func withRoot(t *testing.T, root string) int {
	t.Helper()
	command := exec.Command("/usr/bin/busybox", "sh", "-c", `mount --bind "$0" / && echo ready && exec sleep 1000`, root)
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	output, err := command.StdoutPipe()
	must(t, err)
	if err := command.Start(); err != nil {
		t.Fatalf("%v: apt-get install busybox-static", err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return command.Process.Pid
}

func TestSamePlace(t *testing.T) {
	root := t.TempDir()
	program := Program{Directory: filepath.Join(root, inside.Directory)}
	must(t, os.Mkdir(program.Directory, 0o755), os.WriteFile(program.Path(), []byte("x"), 0o755))
	pid := withRoot(t, root)
	before, err := os.Readlink("/proc/self/ns/mnt")
	must(t, err)
	if err := program.SamePlace("/proc", pid); err != nil {
		t.Error(err)
	}
	if err := program.SamePlace("/proc", os.Getpid()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("outside of the container: %v", err)
	}
	if err := program.SamePlace("/proc", 1<<22); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such process: %v", err)
	}
	other := Program{Directory: t.TempDir()}
	must(t, os.WriteFile(other.Path(), []byte("x"), 0o755))
	if err := other.SamePlace("/proc", pid); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v", err)
	}
	must(t, os.Rename(program.Path(), program.Path()+".x"), os.Symlink("init.x", program.Path()))
	if err := program.SamePlace("/proc", pid); err == nil {
		t.Error("a symbolic link in the container was taken for the program")
	}
	if after, err := os.Readlink("/proc/self/ns/mnt"); err != nil || after != before {
		t.Errorf("the looker stayed in %s, %v", after, err)
	}
}

func TestClassesOfDescriptors(t *testing.T) {
	var pipe [2]int
	must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	for _, descriptor := range append(pipe[:], pair[:]...) {
		defer unix.Close(descriptor)
	}
	open := func(path string) int {
		descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { unix.Close(descriptor) })
		return descriptor
	}
	for want, descriptor := range map[string]int{"fifo_file": pipe[0], "unix_stream_socket": pair[0], "chr_file": open("/dev/null"), "file": open("/proc/self/exe"), "dir": open("/"), "": 1 << 20} {
		if got, err := classOf(descriptor); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := CheckStdio("", [3]int{1 << 20, -1, -1}); err != nil {
		t.Errorf("without a label there is nothing to check: %v", err)
	}
}

func TestRequireRoot(t *testing.T) {
	if err := RequireRoot(); (err == nil) != (os.Geteuid() == 0) {
		t.Errorf("got %v as user %d", err, os.Geteuid())
	}
}

// networkNamespace returns the path of a network namespace that is not the host's.
func networkNamespace(t *testing.T) string {
	t.Helper()
	command := exec.Command("sleep", "1000")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	must(t, command.Start())
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	return filepath.Join("/proc", itoa(command.Process.Pid), "ns/net")
}
