// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package stress starts many containers at once and kills many of them with -9 together with the processes that run them, and deletes and sweeps, too: no two
// that live may ever have the same category pair, no volume may have the label of another's pair, and nothing of them may stay behind.
package stress

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

var starts = flag.Int("starts", 200, "containers to start; `make soak-labels` starts 10000")

func TestMain(m *testing.M) { os.Exit(harness.Private(m)) }

const atOnce = 8

// narrow leaves 190 pairs, so that a registry that gives one out twice is found out by a few dozen containers.
const narrow = `{"categories": [0, 19]}`

func TestManyContainersOfWhichAThirdAreKilled(t *testing.T) {
	count := *starts
	if testing.Short() {
		count = min(count, 40)
	}
	h := newHull(t, narrow)
	before := mounts(t)
	detector := watch(h.volumes())
	started := time.Now()
	h.run(count)
	h.awaitQuiet()
	detector.stop()
	for _, complaint := range detector.complaints {
		t.Error(complaint)
	}
	t.Logf("%d starts in %s, %d at once: %d processes that start, %d that delete and %d that sweep were killed, %d starts refused for a volume; %d containers were seen alive, in %d looks",
		count, time.Since(started).Round(time.Second), atOnce, h.killed.starts, h.killed.deletes, h.killed.sweeps, h.refused, len(detector.seen), detector.looks)
	if len(detector.seen) < count/3 || len(detector.known) < count/2 {
		t.Errorf("only %d of %d containers were seen, %d of them alive: the detector does not look", len(detector.known), count, len(detector.seen))
	}
	if detector.labelled < count/40 {
		t.Errorf("only %d times a volume of a container was seen with its label", detector.labelled)
	}
	h.cleanUp()
	h.checkNothingLeft(before)
	h.checkControlGroups(detector.known)
}

// The control: what a registry that forgets who holds a pair comes to is seen.
func TestTheDetectorFindsARegistryThatForgets(t *testing.T) {
	h := newHull(t, `{"categories": [0, 4]}`) // ten pairs
	h.tolerant = true
	detector := watch(h.volumes())
	stop := make(chan struct{})
	var forgetful sync.WaitGroup
	forgetful.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			held, _ := filepath.Glob("/var/lib/bulkhead/mcs/c*")
			for _, path := range held {
				if rand.IntN(4) == 0 {
					os.Remove(path)
				}
			}
		}
	})
	h.run(60)
	close(stop)
	forgetful.Wait()
	h.awaitQuiet()
	detector.stop()
	for _, kind := range []string{"have the same pair", "is free"} {
		if detector.count(kind) == 0 {
			t.Errorf("nothing was found to be so: %q, of %d containers that were seen alive", kind, len(detector.seen))
		}
	}
	h.cleanUp()
}

// hull is one run of the test.
type hull struct {
	t        *testing.T
	root     string // root file system
	engine   string // --root of bulkhead-runtime
	mark     string // in the command line of every process of the containers
	work     string // what is made for single containers
	spec     specs.Spec
	tolerant bool // of what becomes of single containers
	workers  [atOnce]worker

	lock    sync.Mutex
	killed  struct{ starts, deletes, sweeps int }
	refused int // for a volume whose last user was killed, and lives on
}

// worker starts one container after the other.
type worker struct {
	volume   string // labelled for those that have it, one after the other
	lost     bool   // a start with the volume was killed
	orphaned []int  // containers under the engine whose start was killed, and that are yet to be deleted
}

func newHull(t *testing.T, configuration string) *hull {
	t.Helper()
	if err := os.WriteFile("/etc/bulkhead/bulkhead.json", []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	h := &hull{t: t, root: harness.RootFS(t), engine: t.TempDir(), mark: fmt.Sprintf("stress-%d-%s", os.Getpid(), t.Name()[4:8]), work: t.TempDir()}
	bundle := harness.Bundle(t, h.root, "", func(spec *specs.Spec) { spec.Root.Readonly = true })
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &h.spec); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(h.root, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range h.workers {
		h.workers[i].volume = t.TempDir()
		for file := range 20 {
			if err := os.WriteFile(filepath.Join(h.workers[i].volume, fmt.Sprint(file)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

func (h *hull) volumes() []string {
	var volumes []string
	for _, worker := range h.workers {
		volumes = append(volumes, worker.volume)
	}
	return volumes
}

// run starts so many containers, and sweeps meanwhile.
func (h *hull) run(count int) {
	var workers, sweeper sync.WaitGroup
	numbers, stop := make(chan int), make(chan struct{})
	for i := range h.workers {
		workers.Go(func() {
			for number := range numbers {
				h.live(&h.workers[i], number)
			}
			for _, number := range h.workers[i].orphaned {
				h.delete(number)
			}
		})
	}
	sweeper.Go(func() { h.sweep(stop) })
	for number := range count {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	close(stop)
	sweeper.Wait()
}

// live runs one container, by `bulkhead run` or under an engine, and kills every third.
func (h *hull) live(w *worker, number int) {
	// The number is the exit status, so that a container's end cannot be taken for another's.
	script := fmt.Sprintf("sleep 0.%d; exit %d # %s", 1+rand.IntN(4), number%100, h.mark)
	volume := "" // labelled for the container alone
	if number%4 < 2 {
		volume = w.volume
	}
	command := h.standalone(number, script, volume)
	if number%2 == 1 {
		command = h.underEngine(number, script, volume)
		defer os.RemoveAll(h.bundle(number))
	}
	log, err := os.Create(filepath.Join(h.work, fmt.Sprint(number, ".log")))
	if err != nil {
		h.t.Error(err)
		return
	}
	defer os.Remove(log.Name())
	defer log.Close()
	command.Stdout, command.Stderr = log, log // no pipe, which a container that lives on would hold open
	if err := command.Start(); err != nil {
		h.t.Error(err)
		return
	}
	if number%3 == 0 {
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		killTree(command.Process.Pid, number%2 == 0 || rand.IntN(2) == 0)
		command.Wait()
		h.orphan(w, number, volume != "")
		return
	}
	command.Wait()
	if status := command.ProcessState.ExitCode(); status != number%100 && !h.tolerant {
		text, _ := os.ReadFile(log.Name())
		if status == 4 && volume != "" && w.lost && bytes.Contains(text, []byte("private label belongs to container")) {
			h.add(&h.refused)
			return
		}
		h.t.Errorf("container %d: exit status %d: %s", number, status, text)
	}
}

// orphan notes a start that was killed. An engine deletes what it has started some time later.
func (h *hull) orphan(w *worker, number int, private bool) {
	h.add(&h.killed.starts)
	w.lost = w.lost || private
	if number%2 == 0 {
		return
	}
	w.orphaned = append(w.orphaned, number)
	if len(w.orphaned) > 3 {
		h.delete(w.orphaned[0])
		w.orphaned = w.orphaned[1:]
	}
}

func (h *hull) add(counter *int) {
	h.lock.Lock()
	defer h.lock.Unlock()
	*counter++
}

func (h *hull) id(number int) string { return fmt.Sprintf("%s-%d", h.mark, number) }

func (h *hull) bundle(number int) string { return filepath.Join(h.work, fmt.Sprint(number)) }

func (h *hull) standalone(number int, script, volume string) *exec.Cmd {
	arguments := []string{"run", "--rm", "--name", h.id(number), "--rootfs", h.root}
	if volume != "" {
		arguments = append(arguments, "-v", volume+":/data:Z")
	}
	return exec.Command(harness.Binary(h.t), append(arguments, "/bin/sh", "-c", script)...)
}

func (h *hull) underEngine(number int, script, volume string) *exec.Cmd {
	spec := h.spec
	process := *spec.Process
	process.Args = []string{"/bin/sh", "-c", script}
	spec.Process = &process
	if volume != "" {
		spec.Mounts = append(slices.Clone(spec.Mounts), specs.Mount{Destination: "/data", Type: "bind", Source: volume, Options: []string{"rbind", "rw", "Z"}})
	}
	data, err := json.Marshal(spec)
	if err == nil {
		err = os.Mkdir(h.bundle(number), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(h.bundle(number), "config.json"), data, 0o600)
	}
	if err != nil {
		h.t.Error(err)
	}
	return exec.Command(harness.Runtime(h.t), "--root", h.engine, "run", "--bundle", h.bundle(number), h.id(number))
}

// delete does what an engine does with a container whose runtime was killed. A third of the deletes are killed, and done again.
func (h *hull) delete(number int) {
	arguments := []string{"--root", h.engine, "delete", "--force", h.id(number)}
	if rand.IntN(3) == 0 {
		h.killSoon(exec.Command(harness.Runtime(h.t), arguments...), 60*time.Millisecond, &h.killed.deletes)
	}
	if out, err := exec.Command(harness.Runtime(h.t), arguments...).CombinedOutput(); err != nil {
		h.t.Errorf("delete of %d: %v: %s", number, err, out)
	}
}

// sweep lists containers, which sweeps, and kills every second of the processes that do.
func (h *hull) sweep(stop chan struct{}) {
	for kill := false; ; kill = !kill {
		select {
		case <-stop:
			return
		case <-time.After(300 * time.Millisecond):
		}
		command := exec.Command(harness.Binary(h.t), "ps", "--all")
		if kill {
			h.killSoon(command, 40*time.Millisecond, &h.killed.sweeps)
		} else if out, err := command.CombinedOutput(); err != nil && !h.tolerant {
			h.t.Errorf("ps: %v: %s", err, out)
		}
	}
}

func (h *hull) killSoon(command *exec.Cmd, within time.Duration, counter *int) {
	if err := command.Start(); err != nil {
		h.t.Error(err)
		return
	}
	time.Sleep(rand.N(within))
	command.Process.Kill()
	if command.Wait(); !command.ProcessState.Exited() {
		h.add(counter)
	}
}

// awaitQuiet waits until the containers whose keepers were killed have ended by themselves.
func (h *hull) awaitQuiet() {
	for deadline := time.Now().Add(time.Minute); len(processes(h.mark)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("these do not end: %v", processes(h.mark))
		}
	}
}

// cleanUp does what the next use of bulkhead does with its own containers, and takes the labels off the volumes.
func (h *hull) cleanUp() {
	// What is half made is given a minute to be made whole. It is made older here instead of waiting.
	for _, pattern := range []string{"/var/lib/bulkhead/containers/.*", "/run/bulkhead/containers/.*"} {
		halves, err := filepath.Glob(pattern)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, half := range halves {
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(half, old, old); err != nil {
				h.t.Error(err)
			}
		}
	}
	h.list()
	for _, volume := range h.volumes() {
		if labelOf(volume) == "" {
			continue
		}
		if out, err := exec.Command(harness.Binary(h.t), "label", "undo", volume).CombinedOutput(); err != nil {
			h.t.Errorf("undo: %v: %s", err, out)
		}
		for _, path := range append(glob(h.t, volume+"/*"), volume) {
			if label := labelOf(path); label != "" {
				h.t.Errorf("%s is left with %s", path, label)
			}
		}
	}
	h.list()
}

// list has bulkhead sweep, and checks that no container is left.
func (h *hull) list() {
	if out, err := exec.Command(harness.Binary(h.t), "ps", "--all").CombinedOutput(); err != nil || bytes.Contains(out, []byte("bulkhead:")) || bytes.Count(out, []byte("\n")) != 1 {
		h.t.Errorf("ps: %v: %s", err, out)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func (h *hull) checkNothingLeft(mountsBefore []string) {
	for what, pattern := range map[string]string{
		"records":                 "/run/bulkhead/containers/*",
		"half made records":       "/run/bulkhead/containers/.[!.]*",
		"pairs":                   "/var/lib/bulkhead/mcs/c*",
		"containers":              "/var/lib/bulkhead/containers/*",
		"half made containers":    "/var/lib/bulkhead/containers/.[!.]*",
		"names":                   "/var/lib/bulkhead/names/*",
		"journals":                "/var/lib/bulkhead/journal/*",
		"state of runc":           "/run/bulkhead/runc/*",
		"state of runc, engine's": h.engine + "/*",
		"consoles":                "/run/bulkhead/*.sock",
	} {
		if left := glob(h.t, pattern); len(left) > 0 {
			h.t.Errorf("left behind: %d %s: %v", len(left), what, left[:min(len(left), 4)])
		}
	}
	if after := mounts(h.t); len(after) != len(mountsBefore) {
		h.t.Errorf("left behind: %d mounts; there are now %v", len(after)-len(mountsBefore), after)
	}
	if left := processes(h.mark); len(left) > 0 {
		h.t.Errorf("left behind: processes %v", left)
	}
}

// checkControlGroups also finds processes that hold on: a group with one in it cannot have been removed.
func (h *hull) checkControlGroups(ids map[string]bool) {
	for id := range ids {
		if left := glob(h.t, "/sys/fs/cgroup/*/"+id); len(left) > 0 {
			members, _ := os.ReadFile(filepath.Join(left[0], "cgroup.procs"))
			h.t.Errorf("left behind: %d control groups: %s with processes %q", len(left), left[0], members)
		}
	}
}
