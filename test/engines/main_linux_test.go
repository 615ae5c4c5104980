// SPDX-License-Identifier: Apache-2.0

// Package engines shows bulkhead-runtime under Debian's docker, podman and containerd. Each test starts what it needs in a directory and a
// mount namespace of its own, and fails where anything is left: a record, a pair, a mount, a process.
//
// Limits: containers have no network, because the tests set up none; this kernel has no SELinux and no AppArmor, so that of labels only the
// pairs are seen here.
package engines

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Private(m)) }

// limit bounds one command of an engine's client: over it, the engine hangs.
const limit = 60 * time.Second

// result is what a command did.
type result struct {
	out, err string
	status   int
}

// run runs a command with text on its standard input, "" for none, and files as descriptors from 3.
func run(t *testing.T, environment []string, input string, files []*os.File, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), environment...)
	command.ExtraFiles = files
	if input != "" {
		command.Stdin = strings.NewReader(input)
	}
	var out, errors_ bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors_
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v %v\n%s", strings.Join(args, " "), err, ctx.Err(), errors_.String())
	}
	return result{out.String(), errors_.String(), command.ProcessState.ExitCode()}
}

// must fails the test where the command did, and returns its output without white space around it.
func (r result) must(t *testing.T) string {
	t.Helper()
	if r.status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.status, r.out, r.err)
	}
	return strings.TrimSpace(r.out)
}

// answers is what the probe in the image prints.
type answers struct {
	Status                            map[string]string
	Mount, Sibling, Descriptor, Above string
	Passed                            []int
}

func (r result) answers(t *testing.T) answers {
	t.Helper()
	var out answers
	if err := json.Unmarshal([]byte(r.must(t)), &out); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	return out
}

// program finds a program of a Debian package.
func program(t *testing.T, debian string, paths ...string) string {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: apt-get install %s", paths[0], debian)
	return ""
}

// host is where Bulkhead keeps the records and pairs of this mount namespace.
func host(t *testing.T) *container.Host {
	t.Helper()
	host, err := container.OpenHost()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// records returns the records of containers whose bundle lies below the place.
func records(t *testing.T, place string) []*container.Record {
	t.Helper()
	list, err := host(t).List()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(r *container.Record) bool { return !strings.HasPrefix(r.Bundle, place) })
}

// record returns the record of the one container whose ID starts so, nil where there is none.
func record(t *testing.T, id string) *container.Record {
	t.Helper()
	list := records(t, "/")
	at := slices.IndexFunc(list, func(r *container.Record) bool { return strings.HasPrefix(r.ID, id) })
	if at < 0 {
		return nil
	}
	return list[at]
}

// pairs returns the pairs that are taken, by the name of their holder's record.
func pairs(t *testing.T) map[string][]mcs.Pair {
	t.Helper()
	entries, err := host(t).Registry.List()
	if err != nil {
		t.Fatal(err)
	}
	held := map[string][]mcs.Pair{}
	for _, entry := range entries {
		if entry.Err != nil {
			t.Fatal(entry.Err)
		}
		for _, holder := range entry.Holders {
			held[holder.ID] = append(held[holder.ID], entry.Pair)
		}
	}
	return held
}

// noOrphans fails where a pair is held for a container that has no record.
func noOrphans(t *testing.T) {
	t.Helper()
	eventually(t, "every pair is a container's", func() bool {
		held, known := pairs(t), map[string]bool{}
		for _, record := range records(t, "/") {
			known[record.HolderID()] = true
		}
		for holder := range held {
			if !known[holder] {
				return false
			}
		}
		return true
	})
}

// directory makes a short temporary directory, for sockets, and takes it away last; what is left by then fails the test.
func directory(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/tmp", "bhe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nothingLeft(t, path)
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

func nothingLeft(t *testing.T, path string) {
	t.Helper()
	for _, record := range records(t, path) {
		t.Errorf("record of container %s is left", record.ID)
	}
	noOrphans(t)
	removeCgroups(t, path)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); strings.HasPrefix(fields[1], path+"/") {
			t.Errorf("mount %s is left", fields[1])
			unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
	eventually(t, "every process has ended", func() bool { return len(processes(path)) == 0 })
}

// processes lists the processes whose command line names the path, this one not.
func processes(path string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Contains(data, []byte(path)) {
			found = append(found, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

// cgroup names the cgroup that the containers of an engine in the directory are put below.
func cgroup(directory string) string { return "/" + filepath.Base(directory) }

func removeCgroups(t *testing.T, directory string) {
	t.Helper()
	roots, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup(directory))
	roots = append(roots, "/sys/fs/cgroup"+cgroup(directory))
	for _, root := range roots {
		var groups []string
		filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return nil
		})
		for _, group := range slices.Backward(groups) {
			eventually(t, group+" is empty", func() bool {
				err := unix.Rmdir(group)
				return err == nil || errors.Is(err, unix.ENOENT)
			})
		}
	}
}

// eventually waits until a condition holds, for what an engine does after it has answered.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("not so within 20 s: %s", what)
}
