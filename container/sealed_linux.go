// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
)

// SealVerb is the hidden verb of the full binary that seals a container's outputs for an engine: CONTAINER RECIPIENT... It has the engine's descriptors as 1 and 2, and
// the read ends of the container's as 3 and 4, and ends with them.
const SealVerb = "seal-stdio"

// sealedStdio is what the annotation org.bulkhead.shield-stdio puts in the place of the engine's descriptors. The process that seals outlives this one, because the container's outputs
// do; were it killed, the container would write into a pipe that nobody reads.
type sealedStdio struct {
	ours []*os.File
}

// seal starts the process, if the annotation asks for it, and puts the pipes into the job. What is said to the user from then on is in the sealed stream, too.
func (h *Host) seal(job *Job, config *oci.Config) (*sealedStdio, error) {
	text, asked := config.Spec.Annotations["org.bulkhead.shield-stdio"]
	if job.Request != nil || !asked {
		return nil, nil
	}
	recipients := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	if len(recipients) == 0 { // such as a variable that is not set: not for plain outputs
		return nil, &plan.RefusedError{Subject: "annotation org.bulkhead.shield-stdio", Reason: "it names no age recipient to seal the outputs for", Hint: "name one, or leave the annotation out"}
	}
	if config.Spec.Process.Terminal {
		return nil, &plan.UnavailableError{Layer: "shield", Reason: "annotation org.bulkhead.shield-stdio: a terminal goes from the OCI runtime to the engine, with nothing in between",
			Hint: "run the container without -t, or with bulkhead run, which seals what a terminal shows"}
	}
	// conmon, which podman and CRI-O watch containers with, reads no more once the container's first process has ended: what is sealed at that moment would be lost.
	if watcher, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid())); err == nil && strings.TrimSpace(string(watcher)) == "conmon" {
		return nil, &plan.UnavailableError{Layer: "shield", Reason: "annotation org.bulkhead.shield-stdio: conmon does not wait for output that is sealed when the container ends",
			Hint: "use an engine on containerd, or bulkhead run"}
	}
	program, err := fullBinary()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, append([]string{SealVerb, job.Command.Arguments[0]}, recipients...)...)
	command.Stdout, command.Stderr = job.Stdio[1], job.Stdio[2]
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	sealed := &sealedStdio{}
	// The program says that it is ready, or what is wrong, before the container is made: recipients that are none are found out here.
	answer, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	pipes := []*os.File{}
	for range 2 {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		pipes, sealed.ours = append(pipes, read), append(sealed.ours, write)
	}
	command.ExtraFiles = append(pipes, theirs)
	err = command.Start()
	for _, file := range command.ExtraFiles {
		file.Close()
	}
	if err != nil {
		sealed.close()
		return nil, err
	}
	if err := readAnswer(answer); err != nil {
		sealed.close()
		command.Wait()
		return nil, fmt.Errorf("annotation org.bulkhead.shield-stdio: %w", err)
	}
	command.Process.Release()
	job.Stdio[1], job.Stdio[2] = sealed.ours[0], sealed.ours[1]
	if job.Notice != nil {
		job.Notice = func(line string) { fmt.Fprintln(sealed.ours[1], "bulkhead: notice:", line) }
	}
	return sealed, nil
}

// close leaves the ends to the container alone.
func (s *sealedStdio) close() {
	if s == nil {
		return
	}
	for _, file := range s.ours {
		file.Close()
	}
}

// ready is what the sealing process answers; anything else is an error's text.
const ready = "ready\n"

func readAnswer(from *os.File) error {
	var text [512]byte
	length := 0
	for length < len(text) {
		n, err := from.Read(text[length:])
		length += n
		if err != nil {
			break
		}
	}
	switch said := string(text[:length]); said {
	case ready:
		return nil
	case "":
		return fmt.Errorf("the process that seals ended without a word")
	default:
		return fmt.Errorf("%s", strings.TrimSpace(said))
	}
}

// AnswerSealing tells the runtime that waits at the other end of pipe that sealing begins, or that err is in the way.
func AnswerSealing(pipe *os.File, err error) error {
	text := ready
	if err != nil {
		text = err.Error() + "\n"
	}
	_, failed := pipe.WriteString(text)
	if closed := pipe.Close(); failed == nil {
		failed = closed
	}
	return failed
}

// fullBinary finds `bulkhead`, which the binary that engines start is a part of: beside it, or the same.
func fullBinary() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, path := range []string{filepath.Join(filepath.Dir(self), "bulkhead"), self} {
		if filepath.Base(path) == "bulkhead" {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", &plan.UnavailableError{Layer: "shield", Reason: "the program bulkhead is not beside " + self, Hint: "install both in one directory: the runtime alone has no shield"}
}
