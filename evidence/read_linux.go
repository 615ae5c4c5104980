// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process ended before it could be looked at.
var ErrGone = errors.New("the process has ended")

// Stage says how far a container's process is on its way to its program.
type Stage int

// The stages in their order.
const (
	Runtime Stage = iota // still the OCI runtime's own code
	Inside               // the program inside
	Program              // the container's program
)

// Reader looks at processes.
type Reader struct {
	Proc     string // /proc
	Inner    string // path of the OCI runtime
	Program  string // path of the program inside, on the host
	SELinux  bool   // attr/current is SELinux's
	Landlock bool   // the process was started by way of the program inside, with a domain

	// Pause passes the time until the next look, at most the limit; nil: time.Sleep.
	Pause func(limit time.Duration)
}

// Await waits until the process has become the container's program, and reads it. ErrGone where it ends before, which a short command does.
func (r Reader) Await(pid int, limit time.Duration) (Observed, error) {
	deadline, wait := time.Now().Add(limit), time.Sleep
	if r.Pause != nil {
		wait = r.Pause
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		stage, err := r.Stage(pid)
		if err != nil {
			return Observed{}, err
		}
		if stage == Program {
			return r.Read(pid)
		}
		if time.Now().After(deadline) {
			return Observed{}, fmt.Errorf("process %d did not become the container's program within %s", pid, limit)
		}
		wait(pause)
	}
}

// Stage tells the three apart by what the process executes; ErrGone where it has ended. The process goes on while it is looked at, and only forward: the signs of the
// first stage are read first, so that none of them is missed and then taken for the last.
func (r Reader) Stage(pid int) (Stage, error) {
	exe := r.path(pid, "exe")
	link, err := os.Readlink(exe)
	if err != nil {
		return 0, gone(err)
	}
	arguments, err := os.ReadFile(r.path(pid, "cmdline"))
	if err != nil {
		return 0, gone(err)
	}
	// runc and crun run from sealed copies of themselves, which are other files: their names or their arguments give them away.
	if strings.HasPrefix(link, "/memfd:") && strings.Contains(link, "_cloned:") || r.runcInit(string(arguments)) {
		return Runtime, nil
	}
	var running unix.Stat_t
	if err := unix.Stat(exe, &running); err != nil {
		return 0, gone(err)
	}
	for path, stage := range map[string]Stage{r.Program: Inside, r.Inner: Runtime} {
		var known unix.Stat_t
		if path != "" && unix.Stat(path, &known) == nil && known.Dev == running.Dev && known.Ino == running.Ino {
			return stage, nil
		}
	}
	return Program, nil
}

// runcInit recognises runc's own process in the container by its arguments. The first is what whoever started runc called it, which may be
// a wrapper that is the configured runtime.
func (r Reader) runcInit(arguments string) bool {
	program, rest, _ := strings.Cut(arguments, "\x00")
	name := filepath.Base(program)
	return (name == "runc" || name == filepath.Base(r.Inner)) && strings.HasPrefix(rest, "init\x00")
}

// Read reads what the kernel reports of a process that runs its program.
func (r Reader) Read(pid int) (Observed, error) {
	observed := Observed{PID: pid}
	if r.Landlock {
		observed.Landlock = Proven
	}
	status, err := os.ReadFile(r.path(pid, "status"))
	if err != nil {
		return Observed{}, gone(err)
	}
	if err := parseStatus(status, &observed); err != nil {
		return Observed{}, fmt.Errorf("process %d: %w", pid, err)
	}
	if r.SELinux {
		observed.ProcessLabel, err = r.attribute(pid, "current")
	} else {
		observed.AppArmorProfile, err = r.profile(pid)
	}
	if err != nil {
		return Observed{}, gone(err)
	}
	return observed, nil
}

// ExpectedFilters is how many filters a process has that this one starts and that gets one more; 0 on a kernel that does not count them.
func ExpectedFilters() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var own Observed
	if err := parseStatus(status, &own); err != nil {
		return 0, fmt.Errorf("/proc/self/%w", err)
	}
	if !bytes.Contains(status, []byte("\nSeccomp_filters:")) {
		return 0, nil
	}
	return own.SeccompFilters + 1, nil
}

// profile reads the AppArmor profile; "" on a kernel without a module that labels processes.
func (r Reader) profile(pid int) (string, error) {
	profile, err := r.attribute(pid, "apparmor/current")
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.8, or the process has ended
		profile, err = r.attribute(pid, "current")
	}
	if _, ended := os.Stat(r.path(pid, "status")); errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) && ended == nil {
		return "", nil
	}
	return profile, err
}

func (r Reader) attribute(pid int, name string) (string, error) {
	data, err := os.ReadFile(r.path(pid, filepath.Join("attr", name)))
	return strings.TrimRight(string(data), "\x00\n"), err
}

func (r Reader) path(pid int, name string) string {
	return filepath.Join(r.Proc, strconv.Itoa(pid), name)
}

// gone recognises what /proc answers for a process that has ended, waited for or not.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	}
	return err
}
