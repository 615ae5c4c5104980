// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// shieldPlaceholder is the source of what is mounted where a volume of the shield will be; package enforce/shield, which this program is too small for, looks for it.
const shieldPlaceholder = "bulkhead-shield"

// requestShields reads the annotation by which engines ask for volumes of the shield.
func (h *Host) requestShields(request *plan.Request, config *oci.Config) (err error) {
	text, asked := config.Spec.Annotations["org.bulkhead.shield"]
	if !asked {
		return nil
	}
	if !h.MaySwitchOff("shield") {
		return &plan.RefusedError{Subject: "annotation org.bulkhead.shield", Reason: "no annotation may name volumes and keys of this host",
			Hint: fmt.Sprintf(`allow it with {"annotations": ["shield"]} in %s`, ConfigFile)}
	}
	request.Shields, err = plan.ParseShields(text)
	return err
}

// checkShields refuses what no volume could be mounted for.
func checkShields(job Job, p *plan.Plan, config *oci.Config) error {
	if len(p.Shields) == 0 {
		return nil
	}
	if job.Command.Verb != "create" {
		return &plan.UnavailableError{Layer: "shield", Reason: job.Command.Verb + " creates and starts in one step, and volumes are mounted in between", Hint: "use create and start, as engines do"}
	}
	if config.OwnUserNamespace() {
		return &plan.UnavailableError{Layer: "shield", Reason: "the container has a user namespace of its own, whose users no mount made outside of it knows", Hint: "leave the user namespace out"}
	}
	for _, shield := range p.Shields {
		for _, mount := range config.Spec.Mounts {
			if destination := filepath.Clean("/" + mount.Destination); strings.HasPrefix(destination, shield.Destination+"/") {
				return &plan.RefusedError{Subject: "mount on " + mount.Destination, Reason: "the shield on " + shield.Destination + " would hide it", Hint: "mount it elsewhere"}
			}
		}
		if shield.Destination == inside.Directory || strings.HasPrefix(shield.Destination, inside.Directory+"/") {
			return &plan.RefusedError{Subject: "shield on " + shield.Destination, Reason: "the program that confines the container has its place there", Hint: "mount it elsewhere"}
		}
	}
	return nil
}

func shieldPlaces(p *plan.Plan) []string {
	var places []string
	for _, shield := range p.Shields {
		places = append(places, shield.Destination)
	}
	return places
}

// mountShields has the volumes mounted in a container that was created and not yet started. This program does not speak FUSE: the full one does, in a process that ends
// once each volume is in its place.
func (h *Host) mountShields(record *Record, notice func(string)) error {
	for _, shield := range record.Plan.Shields {
		pid, said, err := mountShield(record, shield)
		if err != nil {
			return fmt.Errorf("container %s: shield %s: %w", record.ID, shield.Destination, err)
		}
		for line := range strings.Lines(said) { // which key opened it, and what vouches for it
			if notice != nil {
				notice(strings.TrimSpace(strings.TrimPrefix(line, "bulkhead: ")))
			}
		}
		server, err := mcs.Holder{ID: record.ID}.WithProcess("/proc", pid)
		if err != nil {
			return fmt.Errorf("container %s: shield %s: its process %d: %w", record.ID, shield.Destination, pid, err)
		}
		record.Shields = append(record.Shields, server)
		if err := record.save(); err != nil {
			return err
		}
	}
	return nil
}

func mountShield(record *Record, shield plan.Shield) (pid int, said string, err error) {
	program, err := fullProgram()
	if err != nil {
		return 0, "", err
	}
	args := slices.Concat([]string{"shield", "attach"}, shield.Keys, []string{"--policy=" + shield.Policy, "--target=" + shield.Destination,
		"--label=" + record.Compiled.MountLabel, "--pid=" + strconv.Itoa(record.PID()), "--", shield.Source})
	command := exec.Command(program, args...)
	var complaint bytes.Buffer
	command.Stderr, command.SysProcAttr = &complaint, &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return 0, "", shieldError(complaint.String(), exit.ExitCode())
	}
	if err != nil {
		return 0, "", err
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		return 0, "", fmt.Errorf("%s shield attach: %q is no process", program, out)
	}
	return pid, complaint.String(), nil
}

// ShieldError is why a volume could not be mounted in a container, which was not started.
type ShieldError struct{ Reason, Hint string }

func (e *ShieldError) Error() string { return e.Reason }

// shieldError reads what the full program said.
func shieldError(complaint string, status int) error {
	found := &ShieldError{}
	for line := range strings.Lines(complaint) {
		if text, ok := strings.CutPrefix(line, "bulkhead: error: "); ok {
			found.Reason = strings.TrimSpace(text)
		} else if text, ok := strings.CutPrefix(line, "bulkhead: hint: "); ok {
			found.Hint = strings.TrimSpace(text)
		}
	}
	if found.Reason == "" {
		found.Reason = fmt.Sprintf("exit status %d: %s", status, strings.TrimSpace(complaint))
	}
	const unavailable = 3 // see `bulkhead --help`
	if status == unavailable {
		return &plan.UnavailableError{Layer: "shield", Reason: found.Reason, Hint: found.Hint}
	}
	return found
}

// fullProgram is the binary with every verb: this one, or the one beside it.
func fullProgram() (string, error) {
	const name = "bulkhead"
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if filepath.Base(self) == name {
		return self, nil
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(beside); err != nil {
		return "", &plan.UnavailableError{Layer: "shield", Reason: err.Error(), Hint: "install " + name + " beside " + filepath.Base(self) + ", which has no FUSE of its own"}
	}
	return beside, nil
}

// checkServed refuses to start a container that lacks a volume: whoever created it may have been killed before all were mounted, and the processes that serve them
// since.
func (r *Record) checkServed() error {
	if r.Plan == nil {
		return nil
	}
	const hint = "delete the container and create it again"
	for i, shield := range r.Plan.Shields {
		if i >= len(r.Shields) {
			return &ShieldError{Reason: "shield " + shield.Destination + " was never mounted", Hint: hint}
		}
		if server := r.Shields[i]; !server.Alive("/proc") {
			return &ShieldError{Reason: fmt.Sprintf("shield %s: process %d, which served it, is gone", shield.Destination, server.PID), Hint: hint}
		}
	}
	return nil
}

// shieldEnd is how long a shield process may take to write a volume's last state once the container is gone.
const shieldEnd = 30 * time.Second

// awaitShields waits until the volumes are closed: whoever removed the container may mount them again.
func (r *Record) awaitShields() {
	deadline := time.Now().Add(shieldEnd)
	for _, server := range r.Shields {
		if descriptor, err := unix.PidfdOpen(server.PID, 0); err == nil {
			if server.Alive("/proc") {
				ended(descriptor, max(0, time.Until(deadline)))
			}
			unix.Close(descriptor)
		}
	}
}
