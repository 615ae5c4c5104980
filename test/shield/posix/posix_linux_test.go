// SPDX-License-Identifier: Apache-2.0

// Package posix holds a mounted shielded volume against the file system of this machine: the same random system calls by the same users on both, with the
// same results, errors, attributes and contents. It does what pjdfstest and fsx do, without a list of what is expected.
//
// Known differences, which the calls leave out: sizes of directories; blocks; times but for those that are set; SEEK_HOLE; set-group-ID of a file whose
// group may not execute, which the kernel ends at a write by a stranger to the group on its own file systems, but does not tell FUSE servers; POSIX ACLs.
package posix

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/fuse"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

var (
	duration = flag.Duration("duration", 20*time.Second, "how long the mount is exercised")
	seed     = flag.Uint64("seed", 1, "of the random calls")
)

// driverVariable has the test's own program be the driver of two directories, its arguments.
const driverVariable = "BULKHEAD_TEST_DRIVER"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(driverVariable) == "" {
		os.Exit(harness.Private(m))
	}
	if err := drive(flag.Arg(0), flag.Arg(1), *seed, *duration); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestMountBehavesAsTheFileSystemOfThisMachine mounts, exercises, unmounts, and then checks every block and what the inodes say of each other.
func TestMountBehavesAsTheFileSystemOfThisMachine(t *testing.T) {
	keys, err := store.NewKeys(make([]byte, 32), [16]byte{1}, 1, store.PolicyEncrypted)
	if err != nil {
		t.Fatal(err)
	}
	image, err := store.CreateFile(filepath.Join(t.TempDir(), "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(image, store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := volume.Format(s, volume.Attributes{Mode: 0o777}); err != nil {
		t.Fatal(err)
	}
	v, err := volume.Open(s, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	directory, against := t.TempDir(), t.TempDir()
	for _, open := range []string{directory, against, filepath.Dir(directory), filepath.Dir(filepath.Dir(directory))} { // ordinary users come here
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	unmount := mount(t, v, directory)
	command := exec.Command("/proc/self/exe", "-duration", duration.String(), "-seed", fmt.Sprint(*seed), directory, against)
	command.Env = append(os.Environ(), driverVariable+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	unmount()
	if err := v.Check(func(finding string) { t.Error(finding) }); err != nil {
		t.Error(err)
	}
	if _, err := s.Verify(func(_, _ uint64) {}, volume.Blocks); err != nil {
		t.Error(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func mount(t *testing.T, v *volume.Volume, path string) (unmount func()) {
	t.Helper()
	device, mount, err := fuse.Mount(fuse.Options{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	directory, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fuse.Attach(mount, directory), mount.Close(), directory.Close()); err != nil {
		t.Fatal(err)
	}
	server, err := fuse.NewServer(device, v)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { server.Serve(); close(ended) }()
	return func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		<-ended
	}
}
