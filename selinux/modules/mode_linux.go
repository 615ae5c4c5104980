// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const modeName = "mode.json"

// ErrModeNotChanged: there is no change of the mode to undo.
var ErrModeNotChanged = errors.New("the mode of SELinux was not changed")

// NotReadyError is a machine that would lock out those who administrate it, were its policy enforced.
type NotReadyError struct{ Violations []Violation }

func (e *NotReadyError) Error() string {
	lines := make([]string, len(e.Violations))
	for i, violation := range e.Violations {
		lines[i] = violation.String()
	}
	return "enforcing would lock this machine out: " + strings.Join(lines, "; ")
}

// ErrDisabling is what disabling takes force for.
var ErrDisabling = errors.New("with SELinux disabled nothing is confined by it, and files that are made meanwhile get no label: enforcing again takes a relabelling of all files")

// Modes are what the configuration says and what the kernel does.
type Modes struct {
	Config  selinux.Mode `json:"config"`
	Running selinux.Mode `json:"running"` // disabled where no policy is loaded
	// Override is what the kernel's command line says of SELinux, which at boot counts for more than the configuration: enforcing=N, selinux=N.
	Override string `json:"override,omitempty"`
}

// ModeHost is where the mode of SELinux is set. The zero value of its fields is not usable; see OpenMode.
type ModeHost struct {
	SELinux selinux.Host
	State   string // directory for what outlives a boot
	Root    string // of the machine's files: "/"
}

// OpenMode works on kernels without SELinux, too: there the mode is that of the next boot.
func OpenMode(state string) (*ModeHost, error) {
	host, err := selinux.FindHost("/proc")
	if err != nil && !errors.Is(err, selinux.ErrNotMounted) {
		return nil, err
	}
	return &ModeHost{SELinux: host, State: filepath.Join(state, "selinux"), Root: "/"}, nil
}

func (h *ModeHost) config() string { return filepath.Join(h.Root, selinux.ConfigFile) }

// Modes reads both.
func (h *ModeHost) Modes() (Modes, error) {
	text, err := os.ReadFile(h.config())
	if err != nil {
		return Modes{}, err
	}
	modes := Modes{Config: selinux.ParseConfig(text).Mode, Running: selinux.Disabled}
	line, err := os.ReadFile(filepath.Join(h.SELinux.Proc, "cmdline"))
	if err != nil {
		return Modes{}, err
	}
	for word := range strings.FieldsSeq(string(line)) {
		if strings.HasPrefix(word, "enforcing=") || strings.HasPrefix(word, "selinux=0") {
			modes.Override = strings.TrimSpace(modes.Override + " " + word)
		}
	}
	enforce, err := os.ReadFile(filepath.Join(h.SELinux.Selinuxfs, "enforce"))
	if errors.Is(err, fs.ErrNotExist) {
		return modes, nil
	}
	if err != nil {
		return Modes{}, err
	}
	if label, err := h.SELinux.ProcessLabel(0); err != nil || !strings.Contains(label, ":") { // before a policy is loaded every process is "kernel"
		return modes, err
	}
	modes.Running = selinux.Permissive
	if strings.TrimSpace(string(enforce)) == "1" {
		modes.Running = selinux.Enforcing
	}
	return modes, nil
}

// Set changes the configuration, and the running mode where the kernel can. Enforcing is refused with a *NotReadyError where it would lock out, disabled with ErrDisabling;
// force does both all the same. What was before is kept until Restore. A mode that is set again is checked again.
func (h *ModeHost) Set(mode selinux.Mode, force bool) (Modes, error) {
	release, before, err := h.begin()
	if err != nil {
		return Modes{}, err
	}
	defer release()
	if mode == selinux.Disabled && !force {
		return before, ErrDisabling
	}
	if mode == selinux.Enforcing && !force {
		ready, err := h.readiness(before.Running != selinux.Disabled)
		if err != nil {
			return before, err
		}
		if violations := Unready(ready); len(violations) > 0 {
			return before, &NotReadyError{violations}
		}
	}
	boot, err := bootID(h.SELinux.Proc)
	if err != nil {
		return before, err
	}
	record, err := h.read()
	if err != nil {
		return before, err
	}
	switch {
	case record == nil:
		record = &modeRecord{Format: modeFormat, Boot: boot, Config: before.Config, Running: before.Running}
	case record.Boot != boot: // the running mode is that of the configuration that was changed
		record.Boot, record.Running = boot, ""
	}
	if err := h.write(record); err != nil {
		return before, err
	}
	return h.change(mode, mode)
}

// Restore brings back what was before Set, also after a process was killed in the middle. Enforcing is checked as Set does.
func (h *ModeHost) Restore(force bool) (Modes, error) {
	release, now, err := h.begin()
	if err != nil {
		return Modes{}, err
	}
	defer release()
	record, err := h.read()
	if err != nil {
		return now, err
	}
	if record == nil {
		return now, ErrModeNotChanged
	}
	boot, err := bootID(h.SELinux.Proc)
	if err != nil {
		return now, err
	}
	running := record.Running
	if record.Boot != boot || running == "" {
		running = record.Config
	}
	if running == selinux.Enforcing && now.Running != selinux.Enforcing && !force {
		ready, err := h.readiness(now.Running != selinux.Disabled)
		if err != nil {
			return now, err
		}
		if violations := Unready(ready); len(violations) > 0 {
			return now, &NotReadyError{violations}
		}
	}
	if now, err = h.change(record.Config, running); err != nil {
		return now, err
	}
	return now, os.Remove(directory(h.State).path(modeName))
}

func (h *ModeHost) begin() (release func(), now Modes, err error) {
	if now, err = h.Modes(); err != nil {
		return nil, now, err
	}
	if err := directory(h.State).open(); err != nil {
		return nil, now, err
	}
	release, err = directory(h.State).lock()
	return release, now, err
}

func (h *ModeHost) read() (*modeRecord, error) {
	text, err := os.ReadFile(directory(h.State).path(modeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record, err := decodeMode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directory(h.State).path(modeName), err)
	}
	return record, nil
}

func (h *ModeHost) write(record *modeRecord) error {
	text, err := json.MarshalIndent(record, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(directory(h.State).path(modeName), append(text, '\n'), 0o600)
}

// change writes the configuration, then the kernel's mode, and reads both back.
func (h *ModeHost) change(config, running selinux.Mode) (Modes, error) {
	text, err := os.ReadFile(h.config())
	if err != nil {
		return Modes{}, err
	}
	if changed := selinux.SetMode(text, config); config != "" && string(changed) != string(text) {
		if err := selinux.WriteConfig(h.config(), changed); err != nil {
			return Modes{}, err
		}
	}
	now, err := h.Modes()
	if err != nil {
		return now, err
	}
	if now.Running != running && now.Running != selinux.Disabled && running != selinux.Disabled && running != "" {
		word := map[selinux.Mode]string{selinux.Enforcing: "1", selinux.Permissive: "0"}[running]
		path := filepath.Join(h.SELinux.Selinuxfs, "enforce")
		descriptor, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return now, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(descriptor)
		if _, err := unix.Write(descriptor, []byte(word)); err != nil {
			return now, &fs.PathError{Op: "write", Path: path, Err: err}
		}
		if now, err = h.Modes(); err != nil {
			return now, err
		}
		if now.Running != running {
			return now, fmt.Errorf("%s: the kernel is %s after %s was written", path, now.Running, running)
		}
	}
	return now, nil
}

// entrances are files without which nobody gets into a machine; those that are not there do not count.
var entrances = []string{"/", "/etc", "/etc/passwd", "/etc/shadow", "/bin/sh", "/sbin/init", "/bin/login", "/sbin/agetty", "/usr/sbin/sshd", "/lib64/ld-linux-x86-64.so.2",
	"/lib/ld-linux-aarch64.so.1", "/usr/lib/systemd/systemd", "/usr/lib", "/root", "/home"}

// readiness looks at the machine.
func (h *ModeHost) readiness(loaded bool) (Readiness, error) {
	r := Readiness{Labels: map[string]string{}}
	for _, path := range entrances {
		if _, err := os.Stat(filepath.Join(h.Root, path)); err == nil {
			r.Labels[path] = labelAt(filepath.Join(h.Root, path))
		}
	}
	text, err := os.ReadFile(h.config())
	if err != nil {
		return r, err
	}
	if name := selinux.ParseConfig(text).Type; isPolicyType(name) {
		files, err := filepath.Glob(filepath.Join(h.Root, "etc/selinux", name, "policy/policy.*"))
		if err != nil {
			return r, err
		}
		if len(files) > 0 {
			r.PolicyFile = slices.Max(files)
		}
	}
	if !loaded {
		return r, nil
	}
	content, err := readPolicy(h.SELinux.Selinuxfs)
	if err != nil {
		return r, err
	}
	if r.Policy, err = policydb.Decode(content); err != nil {
		return r, err
	}
	r.Machine, err = survey(h.SELinux, os.Getpid())
	return r, err
}
