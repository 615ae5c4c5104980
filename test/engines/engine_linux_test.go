// SPDX-License-Identifier: Apache-2.0

package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// The runtimes under which an engine starts containers, by the names that it knows them under.
const (
	ours  = "bulkhead"
	plain = "runc"
)

// image is what every engine has loaded.
const image = "localhost/bulkhead-test:latest"

// engine is a client with docker's command line.
type engine struct {
	place       string // directory of all that it keeps
	client      []string
	environment []string
	global      func(runtime string) []string // options before the verb
	options     func(runtime string) []string // options of run
	removal     []string                      // the verb and options that remove a running container at once
}

// do runs the client.
func (e *engine) do(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, e.environment, "", nil, slices.Concat(e.client, args)...)
}

// arguments returns the whole command line of run.
func (e *engine) arguments(runtime string, args ...string) []string {
	return slices.Concat(e.client, e.global(runtime), []string{"run"}, e.options(runtime), args)
}

// run runs a container that is removed when it has ended.
func (e *engine) run(t *testing.T, runtime string, args ...string) result {
	t.Helper()
	return run(t, e.environment, "", nil, e.arguments(runtime, slices.Concat([]string{"--rm"}, args)...)...)
}

// start starts a container that is removed with the test, and returns its ID.
func (e *engine) start(t *testing.T, runtime string, args ...string) string {
	t.Helper()
	id := run(t, e.environment, "", nil, e.arguments(runtime, slices.Concat([]string{"-d"}, args)...)...).must(t)
	t.Cleanup(func() { e.remove(t, id) })
	return id
}

// remove removes a container that may be gone.
func (e *engine) remove(t *testing.T, id string) {
	t.Helper()
	if e.do(t, "inspect", id).status == 0 {
		e.do(t, append(slices.Clone(e.removal), id)...).must(t)
	}
}

// sleeper starts a container that does nothing.
func (e *engine) sleeper(t *testing.T, runtime string, options ...string) string {
	t.Helper()
	return e.start(t, runtime, slices.Concat(options, []string{image, "sleep", "1000"})...)
}

// docker starts a dockerd, which starts its containerd, with everything that they keep in one directory.
func docker(t *testing.T) *engine {
	t.Helper()
	place := directory(t)
	socket := "unix://" + filepath.Join(place, "sock")
	path := program(t, "docker.io", "/usr/bin/docker", "/usr/local/bin/docker")
	e := &engine{
		place:       place,
		client:      []string{path, "-H", socket},
		environment: []string{"DOCKER_CONFIG=" + place},
		global:      func(string) []string { return nil },
		options:     func(name string) []string { return []string{"--network", "none", "--runtime", name} },
		removal:     []string{"rm", "-f"},
	}
	daemon(t, place, program(t, "docker.io", "/usr/sbin/dockerd", "/usr/bin/dockerd"), "--config-file=", "--data-root="+place+"/data", "--exec-root="+place+"/exec",
		"--pidfile="+place+"/pid", "-H", socket, "--iptables=false", "--bridge=none", "--ip-masq=false", "--ip-forward=false", "--shutdown-timeout=2",
		"--cgroup-parent="+cgroup(place), "--add-runtime", ours+"="+harness.Runtime(t))
	eventually(t, "dockerd answers", func() bool { return e.do(t, "info").status == 0 })
	return e
}

// daemon starts a daemon that dies with this process, and stops it with the test.
func daemon(t *testing.T, place string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(place, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(args[0], args[1:]...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose end would kill the child
		err := command.Start()
		started <- err
		if err == nil {
			ended <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(unix.SIGTERM)
		<-ended
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: the end of its log:\n%s", filepath.Base(args[0]), text[max(0, len(text)-4000):])
		}
	})
}

// podman sets up a podman that keeps everything in one directory.
func podman(t *testing.T) *engine {
	t.Helper()
	place := directory(t)
	path := program(t, "podman", "/usr/bin/podman")
	configuration := fmt.Sprintf(`[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
[engine.runtimes]
%s = [%q]
%s = [%q]
`, ours, harness.Runtime(t), plain, program(t, "runc", "/usr/sbin/runc"))
	file := filepath.Join(place, "containers.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &engine{
		place:       place,
		client:      []string{path, "--root", place + "/root", "--runroot", place + "/run", "--tmpdir", place + "/tmp", "--storage-driver", "overlay"},
		environment: []string{"CONTAINERS_CONF=" + file},
		global:      func(name string) []string { return []string{"--runtime", name} },
		options: func(string) []string {
			return []string{"--network", "none", "--cgroup-parent", cgroup(place), "--stop-timeout", "5"}
		},
		removal: []string{"rm", "-f", "-t", "0"},
	}
	t.Cleanup(func() {
		e.do(t, "rm", "-f", "-a", "-t", "0").must(t)
		unix.Unmount(place+"/root/overlay", unix.MNT_DETACH)
	})
	return e
}

// load has the engine load an image.
func (e *engine) load(t *testing.T, root, name string) {
	t.Helper()
	e.do(t, "load", "-i", archive(t, root, name)).must(t)
}
