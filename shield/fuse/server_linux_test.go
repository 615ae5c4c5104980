// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
)

// TestMain runs the tests in a mount namespace of their own, which takes what they mounted with it.
func TestMain(m *testing.M) {
	const inside = "BULKHEAD_FUSE_TEST_NAMESPACE"
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Env = append(os.Environ(), inside+"=1")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := again.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// memory returns an empty volume in memory.
func memory(t testing.TB) *volume.Volume {
	t.Helper()
	keys, err := store.NewKeys(make([]byte, 32), [16]byte{1}, 1, store.PolicyEncrypted)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(store.NewMemory(1<<30), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := volume.Format(s, volume.Attributes{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	v, err := volume.Open(s, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Check(func(finding string) { t.Error(finding) }); err != nil {
			t.Error(err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// served is a volume that is mounted and served by this process. What could hang goes through run, which has a time limit.
type served struct {
	t      testing.TB
	server *Server
	path   string
}

func serve(t testing.TB, v *volume.Volume) *served {
	t.Helper()
	device, mount, err := Mount(Options{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, path: t.TempDir()}
	directory, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Attach(mount, directory); err != nil {
		t.Fatal(err)
	}
	directory.Close()
	mount.Close()
	if s.server, err = NewServer(device, v); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { s.server.Serve(); close(ended) }()
	t.Cleanup(func() {
		if err := unix.Unmount(s.path, 0); err != nil {
			t.Errorf("unmount: %v", err)
			unix.Unmount(s.path, unix.MNT_FORCE|unix.MNT_DETACH)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the server does not end with its mount")
		}
	})
	return s
}

// run executes a shell script in the mounted directory and returns what it prints.
func (s *served) run(script string) string {
	s.t.Helper()
	command := exec.Command("timeout", "-s", "KILL", "60", "sh", "-ec", script)
	command.Dir = s.path
	out, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// counted returns the requests that the script caused.
func (s *served) counted(script string) map[string]uint64 {
	s.t.Helper()
	before := s.server.Counts()
	s.run(script)
	after := s.server.Counts()
	for name, count := range before {
		if after[name] -= count; after[name] == 0 {
			delete(after, name)
		}
	}
	return after
}

func TestProgramsSeeAnOrdinaryFileSystem(t *testing.T) {
	s := serve(t, memory(t))
	for _, test := range []struct{ name, script, want string }{
		{"WrittenIsRead", "echo hello >a; cat a", "hello"},
		{"AppendedAfterTheEnd", "printf 1 >b; printf 2 >>b; cat b", "12"},
		{"MadeDirectoriesAreListed", "mkdir -p d/e; touch d/f; ls d", "e\nf"},
		{"DotAndDotDotAreThere", "ls -a d", ".\n..\ne\nf"},
		{"RenamedOverAnother", "echo x >r1; echo y >r2; mv r1 r2; cat r2; ls r1 2>/dev/null || echo gone", "x\ngone"},
		{"LinkedTwice", "echo l >l1; ln l1 l2; stat -c %h l1; rm l1; cat l2; stat -c %h l2", "2\nl\n1"},
		{"SymbolicLink", "ln -s /etc/passwd s; readlink s", "/etc/passwd"},
		{"ModeAndOwnerAreKept", "touch m; chmod 641 m; chown 5:6 m; stat -c '%a %u %g' m", "641 5 6"},
		{"Truncated", "printf 123456 >t; truncate -s 3 t; cat t; truncate -s 5 t; stat -c %s t", "1235"},
		{"ManyNames", "mkdir many; cd many; seq 2000 | xargs touch; ls | wc -l; ls -l | wc -l; rm -r ../many; ls .. | grep -c many || true", "2000\n2001\n0"},
		{"LargeFile", "head -c 9000000 /dev/urandom >big; sha256sum <big >sum; dd if=big iflag=nocache count=0 status=none; sync big; dd if=big iflag=nocache count=0 status=none; sha256sum <big | cmp - sum && echo same", "same"},
		{"FIFO", "mkfifo p; (echo through >p &); cat p", "through"},
		{"Locks", "flock lock echo locked", "locked"},
		{"TimeSetByProgram", "touch -d @1000000000.5 when; stat -c '%Y' when; sync; echo 2 >/proc/sys/vm/drop_caches; stat -c '%Y' when", "1000000000\n1000000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			if got := s.run(test.script); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if first, count := s.server.Failures(); count != 0 {
		t.Errorf("%d requests failed: %v", count, first)
	}
}

// What is not asked here: the kernel forgets how many blocks a file has at each close, and programs such as ls look for extended attributes, which it does not cache.
func TestWarmFilesAreReadWithoutTheServer(t *testing.T) {
	s := serve(t, memory(t))
	s.run("mkdir d; for i in 1 2 3 4; do head -c 100000 /dev/zero >d/$i; done; cat d/* >/dev/null; ls d; [ ! -e d/absent ]")
	counts := s.counted("cat d/1 d/2 d/3 d/4 >/dev/null; ls d; for i in 1 2 3; do [ ! -e d/absent ]; done; cd d; tail -c 5 4")
	delete(counts, GetAttributes.String())
	if RoundTrips(counts) != 0 {
		t.Errorf("round trips: %v", counts)
	}
}

func TestUnlinkedFilesLiveUntilTheLastClose(t *testing.T) {
	v := memory(t)
	s := serve(t, v)
	before := v.Statistics().Inodes
	got := s.run("echo first >f; exec 3<>f; rm f; echo more >&3; dd if=/proc/self/fd/3 iflag=nocache count=0 status=none; head -c 11 /proc/self/fd/3")
	if got != "first\nmore" && got != "more" {
		t.Errorf("an open file without a name reads %q", got)
	}
	for deadline := time.Now().Add(5 * time.Second); v.Statistics().Inodes != before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d inodes are left, %d were there before", v.Statistics().Inodes, before)
		}
	}
}

func TestFilesAreMadeWithoutANameAndGetOne(t *testing.T) {
	s := serve(t, memory(t))
	descriptor, err := unix.Open(s.path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(descriptor), "temporary")
	defer file.Close()
	if _, err := file.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", descriptor), unix.AT_FDCWD, filepath.Join(s.path, "named"), unix.AT_SYMLINK_FOLLOW); err != nil {
		t.Fatal(err)
	}
	if got := s.run("cat named; stat -c ' %h' named"); got != "text 1" {
		t.Errorf("got %q", got)
	}
}

// The kernel does not write dirty pages out before it asks for holes: whatever the server knew, cp would lose data.
func TestUnwrittenDataIsNoHole(t *testing.T) {
	s := serve(t, memory(t))
	got := s.run("truncate -s 1M sparse; printf data | dd of=sparse bs=1 seek=500000 conv=notrunc status=none; cp --sparse=always sparse copy; cmp sparse copy && echo same")
	if got != "same" {
		t.Errorf("got %q", got)
	}
}

func TestProgramsGetAnErrorWhenTheServerIsGone(t *testing.T) {
	device, mount, err := Mount(Options{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	directory, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	if err := Attach(mount, directory); err != nil {
		t.Fatal(err)
	}
	mount.Close()
	defer unix.Unmount(path, unix.MNT_DETACH)
	device.Close()
	out, err := exec.Command("timeout", "-s", "KILL", "20", "ls", filepath.Join(path, "x")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not connected") {
		t.Errorf("ls: %v, %s", err, out)
	}
}

// Requests are what FUSE costs, and unlike times they can be counted without noise.
func TestInsertsIntoSQLiteHardlyReachTheServer(t *testing.T) {
	const inserts = 2000
	s := serve(t, memory(t))
	s.run("echo 'pragma journal_mode=wal; create table t(a integer primary key, b text);' | sqlite3 db")
	var script strings.Builder
	script.WriteString("pragma synchronous=normal;\n")
	for i := range inserts {
		fmt.Fprintf(&script, "insert into t(b) values('%0100d');\n", i)
	}
	if err := os.WriteFile(filepath.Join(s.path, "script"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	counts := s.counted("sqlite3 db <script")
	if got := s.run("sqlite3 db 'select count(*) from t'"); got != fmt.Sprint(inserts) {
		t.Errorf("%s rows are there", got)
	}
	const most = 0.3 // per insert
	if perInsert := float64(RoundTrips(counts)) / inserts; perInsert > most {
		t.Errorf("%.3f round trips per insert, more than %v: %v", perInsert, most, counts)
	} else {
		t.Logf("%.3f round trips per insert: %v", perInsert, counts)
	}
}
