// SPDX-License-Identifier: Apache-2.0

package dac

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel of this machine is asked (faccessat2) about files with random owners, modes and lists, in the place of random users.
func TestTheKernelDecidesAlike(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("makes files of other users: run as root")
	}
	directory := t.TempDir()
	for parent := directory; parent != "/tmp" && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	const rounds = 3000
	allowed := 0
	for range rounds {
		object, path := randomObject(t, random, directory)
		for range 4 {
			subject := Subject{UID: random.Uint32N(4), GID: random.Uint32N(4), Groups: []uint32{random.Uint32N(4), random.Uint32N(4)}}
			subject.Root = subject.UID == 0
			access := Access(1 + random.IntN(7))
			got, want := Decide(&subject, &object, access), kernelAllows(t, subject, path, access)
			if got.Allowed != want {
				t.Fatalf("%+v asks %+v for %s: the kernel says %t, Decide %+v", subject, object, access, want, got)
			}
			if want {
				allowed++
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if allowed < rounds || allowed > 3*rounds {
		t.Errorf("%d of %d accesses are allowed: the questions ask little", allowed, 4*rounds)
	}
}

func randomObject(t *testing.T, random *rand.Rand, directory string) (object Object, path string) {
	t.Helper()
	path = filepath.Join(directory, "object")
	object = Object{Mode: random.Uint32N(0o1000), UID: random.Uint32N(4), GID: random.Uint32N(4), Directory: random.IntN(2) == 0}
	create := func() error { return os.WriteFile(path, nil, 0o600) }
	if object.Directory {
		create = func() error { return os.Mkdir(path, 0o700) }
	}
	if err := errors.Join(create(), os.Chown(path, int(object.UID), int(object.GID)), unix.Chmod(path, object.Mode)); err != nil {
		t.Fatal(err)
	}
	if random.IntN(2) == 0 {
		return object, path
	}
	some := func() Access { return Access(random.IntN(8)) }
	entries := []Entry{{TagOwner, some(), 0}}
	for id := range uint32(4) {
		if random.IntN(3) == 0 {
			entries = append(entries, Entry{TagUser, some(), id})
		}
	}
	entries = append(entries, Entry{TagOwnerGroup, some(), 0})
	for id := range uint32(4) {
		if random.IntN(3) == 0 {
			entries = append(entries, Entry{TagGroup, some(), id})
		}
	}
	entries = append(entries, Entry{TagMask, some(), 0}, Entry{TagOther, some(), 0})
	if err := unix.Setxattr(path, ListAttribute, encodeList(entries), 0); err != nil {
		t.Fatal(err)
	}
	// The kernel shows what it keeps: the list, and with it the mode.
	var stat unix.Stat_t
	value := make([]byte, 1024)
	n, err := unix.Getxattr(path, ListAttribute, value)
	if err = errors.Join(err, unix.Stat(path, &stat)); err != nil {
		t.Fatal(err)
	}
	if object.List, err = ParseList(value[:n]); err != nil {
		t.Fatal(err)
	}
	object.Mode = stat.Mode & 0o7777
	return object, path
}

// kernelAllows asks on a thread of its own, which ends afterwards: identities belong to threads. Leaving UID 0 takes the capabilities of files from it.
func kernelAllows(t *testing.T, subject Subject, path string, access Access) bool {
	t.Helper()
	answer := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(subject.Groups)), uintptr(unsafe.Pointer(&subject.Groups[0])), 0); errno != 0 {
			t.Errorf("setgroups: %v", errno)
		}
		if err := errors.Join(unix.Setfsgid(int(subject.GID)), unix.Setfsuid(int(subject.UID))); err != nil {
			t.Error(err)
		}
		answer <- unix.Faccessat2(unix.AT_FDCWD, path, uint32(access), unix.AT_EACCESS)
	}()
	switch err := <-answer; err {
	case nil:
		return true
	case unix.EACCES:
		return false
	default:
		t.Fatal(err)
	}
	return false
}
