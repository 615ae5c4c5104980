// SPDX-License-Identifier: Apache-2.0

// Package powercut ends a shielded volume, by power cut and by kill -9 of its server, while programs work on its mount: what they were told is
// on the disk must be there when the volume is opened again, and nothing may be there that they never wrote.
package powercut

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/fuse"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

var points = flag.Int("points", 500, "moments at which the volume ends, over all workloads")

// workloadVariable has the test's own program run a workload in its directory instead of tests.
const workloadVariable = "BULKHEAD_TEST_WORKLOAD"

func TestMain(m *testing.M) {
	if name := os.Getenv(workloadVariable); name != "" {
		if err := workloads[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(harness.Private(m))
}

// workloads write in the current directory, and print "ack N" once their Nth step is on the disk.
var workloads = map[string]func() error{"rename": renames, "append": appends}

const steps = 300

// version is what the target has after step n.
func version(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%07d\n", n), 1+n*37%3000) }

// renames replaces a file by a new one, as editors and package managers do.
func renames() error {
	directory, err := os.Open(".")
	if err != nil {
		return err
	}
	for n := 1; n <= steps; n++ {
		f, err := os.Create("new")
		if err != nil {
			return err
		}
		_, err = f.Write(version(n))
		if err = errors.Join(err, f.Sync(), f.Close(), os.Rename("new", "target"), directory.Sync()); err != nil {
			return err
		}
		fmt.Printf("ack %d\n", n)
	}
	return nil
}

// record is what step n appends, of 100 to 5000 bytes.
func record(n int) []byte {
	return append(bytes.Repeat([]byte{byte('a' + n%26)}, 99+n*n%4900), '\n')
}

// appends appends to a file, as databases do to their logs; only every third step waits for the disk.
func appends() error {
	f, err := os.OpenFile("log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	for n := 1; n <= steps; n++ {
		if _, err := f.Write(record(n)); err != nil {
			return err
		}
		if n%3 == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
			fmt.Printf("ack %d\n", n)
		}
	}
	return nil
}

// acknowledged says that step n was on the disk when so many events had happened.
type acknowledged struct{ events, step int }

// recording is a workload on a volume that was recorded.
type recording struct {
	events       []event
	from         int // events before the workload began
	acknowledged []acknowledged
}

func options(t *testing.T) store.Options {
	t.Helper()
	keys, err := store.NewKeys(make([]byte, 32), [16]byte{1}, 1, store.PolicyEncrypted)
	if err != nil {
		t.Fatal(err)
	}
	return store.Options{Keys: keys, CheckpointAfter: 20 * time.Millisecond}
}

// record runs a workload on a mount of a fresh volume. read reads its acknowledgements.
func recordWorkload(t *testing.T, command *exec.Cmd, feed func(in io.Writer, next func() error) error) recording {
	t.Helper()
	image := newRecorder()
	s, err := store.Create(image, options(t))
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
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	r := recording{from: image.count()}
	command.Dir = t.TempDir()
	unmount := mount(t, v, command.Dir)
	r.run(t, image, command, feed)
	r.events = slices.Clone(image.events[:image.count()])
	unmount()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return r
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
	err = errors.Join(fuse.Attach(mount, directory), mount.Close(), directory.Close())
	if err != nil {
		t.Fatal(err)
	}
	server, err := fuse.NewServer(device, v)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { server.Serve(); close(ended) }()
	return func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
		<-ended
	}
}

// run runs the workload and notes what it acknowledges.
func (r *recording) run(t *testing.T, image *recorder, command *exec.Cmd, feed func(in io.Writer, next func() error) error) {
	t.Helper()
	var errors bytes.Buffer
	command.Stderr = &errors
	in, inErr := command.StdinPipe()
	out, outErr := command.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() error {
		for lines.Scan() {
			step, ok := strings.CutPrefix(lines.Text(), "ack ")
			if !ok {
				continue
			}
			n, err := strconv.Atoi(step)
			r.acknowledged = append(r.acknowledged, acknowledged{image.count(), n})
			return err
		}
		return io.EOF
	}
	err := feed(in, next)
	in.Close()
	if waited := command.Wait(); err != nil || waited != nil || len(r.acknowledged) < steps/3 {
		t.Fatalf("%d steps: %v %v\n%s", len(r.acknowledged), err, waited, &errors)
	}
}

// wait feeds nothing and reads all acknowledgements.
func wait(_ io.Writer, next func() error) error {
	for {
		if err := next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// promised is the last step that was acknowledged when so many events had happened.
func (r *recording) promised(events int) (step int) {
	for _, a := range r.acknowledged {
		if a.events <= events {
			step = a.step
		}
	}
	return step
}

// endings ends the volume at many moments, and wants verify to be content with the files that are then there, extracted to a directory.
func (r *recording) endings(t *testing.T, count int, seed uint64, verify func(directory string, promised int) error) {
	t.Helper()
	if err := r.end(t, count, seed, verify); err != nil {
		t.Error(err)
	}
}

// withoutSyncs is the recording of a disk that promises what it does not keep.
func (r *recording) withoutSyncs() *recording {
	events := slices.Clone(r.events[:r.from])
	for _, e := range r.events[r.from:] {
		e.sync = false
		events = append(events, e)
	}
	return &recording{events, r.from, r.acknowledged}
}

// end is endings that returns the first fault.
func (r *recording) end(t *testing.T, count int, seed uint64, verify func(directory string, promised int) error) error {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 9))
	moments := make([]int, count)
	for i := range moments {
		moments[i] = r.from + random.IntN(len(r.events)-r.from+1)
	}
	slices.Sort(moments)
	powered, unpowered := &player{events: r.events}, &player{events: r.events}
	for i, moment := range moments {
		name, image := "kill -9", []byte(nil)
		if i%2 == 0 {
			image = powered.killed(moment)
		} else {
			name, image = "power cut", unpowered.unpowered(moment, random)
		}
		directory := t.TempDir()
		err := extract(t, image, directory)
		if err == nil {
			err = verify(directory, r.promised(moment))
		}
		if err != nil {
			return fmt.Errorf("%s after %d of %d events, %d steps acknowledged: %w", name, moment, len(r.events), r.promised(moment), err)
		}
		os.RemoveAll(directory)
	}
	return nil
}

// extract opens the volume in an image and copies its files out.
func extract(t *testing.T, bytes []byte, to string) error {
	image := store.NewMemory(imageSize)
	if err := image.Resize(int64(len(bytes))); err != nil {
		return err
	}
	if _, err := image.WriteAt(bytes, 0); err != nil {
		return err
	}
	s, err := store.Open(image, options(t))
	if err != nil {
		return err
	}
	v, err := volume.Open(s, time.Now)
	if err != nil {
		return err
	}
	checked := v.Check(func(finding string) { err = errors.Join(err, errors.New(finding)) })
	listed := v.Directory(volume.RootInode, 0, func(e volume.Entry) bool {
		a, failed := v.Attributes(e.Inode)
		data := make([]byte, a.Size)
		if failed == nil {
			_, failed = v.Read(e.Inode, 0, data)
		}
		err = errors.Join(err, failed, os.WriteFile(filepath.Join(to, e.Name), data, 0o644))
		return true
	})
	return errors.Join(err, checked, listed, v.Close())
}

func ownWorkload(name string) *exec.Cmd {
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), workloadVariable+"="+name)
	return command
}

func TestReplacedFileIsOldOrNew(t *testing.T) {
	r := recordWorkload(t, ownWorkload("rename"), wait)
	verify := func(directory string, promised int) error {
		target, err := os.ReadFile(filepath.Join(directory, "target"))
		if errors.Is(err, os.ErrNotExist) && promised == 0 {
			return nil
		} else if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscanf(string(target), "%d\n", &n); err != nil || n < promised || !bytes.Equal(target, version(n)) {
			return fmt.Errorf("target is %d bytes that begin with %.20q (%v)", len(target), target, err)
		}
		return nil
	}
	r.endings(t, *points/4, 1, verify)
	if err := r.withoutSyncs().end(t, *points/4, 1, verify); err == nil {
		t.Error("a disk that keeps nothing is not found out: the test sees nothing")
	} else {
		t.Log("control:", err)
	}
}

func TestAppendedRecordsAreThereInOrder(t *testing.T) {
	r := recordWorkload(t, ownWorkload("append"), wait)
	var whole []byte
	ends := []int{0}
	for n := 1; n <= steps; n++ {
		whole = append(whole, record(n)...)
		ends = append(ends, len(whole))
	}
	r.endings(t, *points/4, 2, func(directory string, promised int) error {
		log, err := os.ReadFile(filepath.Join(directory, "log"))
		if errors.Is(err, os.ErrNotExist) && promised == 0 {
			return nil
		}
		if err != nil || len(log) < ends[promised] || !bytes.HasPrefix(whole, log) {
			return fmt.Errorf("%d bytes, of which %d were promised (%v)", len(log), ends[promised], err)
		}
		return nil
	})
}

// TestDatabaseKeepsItsTransactions has SQLite insert and update rows, a transaction at a time. EXTRA is what SQLite's documentation wants for durability with a rollback journal.
func TestDatabaseKeepsItsTransactions(t *testing.T) {
	for i, mode := range []string{"DELETE", "WAL"} {
		t.Run(mode, func(t *testing.T) {
			r := recordWorkload(t, exec.Command("sqlite3", "-batch", "-bail", "db"), func(in io.Writer, next func() error) error {
				fmt.Fprintf(in, "PRAGMA journal_mode=%s; PRAGMA synchronous=EXTRA; PRAGMA wal_autocheckpoint=50; PRAGMA cache_size=20;\n", mode)
				fmt.Fprintln(in, "CREATE TABLE t(n INTEGER PRIMARY KEY, data BLOB, last INTEGER);")
				for n := 1; n <= steps; n++ {
					fmt.Fprintf(in, "BEGIN; INSERT INTO t VALUES(%d, randomblob(%d), 0); UPDATE t SET data = randomblob(500), last = %d WHERE n %% 7 = %d; COMMIT; SELECT 'ack %d';\n", n, 1+n*n%4000, n, n%7, n)
					if err := next(); err != nil {
						return err
					}
				}
				return nil
			})
			r.endings(t, *points/4, uint64(3+i), verifyDatabase)
		})
	}
}

func verifyDatabase(directory string, promised int) error {
	query := "PRAGMA integrity_check; SELECT count(*), max(n), max(last) FROM t;"
	out, err := exec.Command("sqlite3", filepath.Join(directory, "db"), query).CombinedOutput()
	if promised == 0 && strings.Contains(string(out), "no such table") {
		return nil
	}
	var rows, last, updated int
	if promised == 0 && strings.TrimSpace(string(out)) == "ok\n0||" {
		return nil
	}
	_, scanned := fmt.Sscanf(string(out), "ok\n%d|%d|%d", &rows, &last, &updated)
	if err != nil || scanned != nil || rows != last || rows < promised || updated != last {
		return fmt.Errorf("%v: %s", err, out)
	}
	return nil
}
