// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
)

// listenerLimit is how long the agent at a listenerPath may take to accept a connection and what is sent over it.
const listenerLimit = 10 * time.Second

// handOver gives the listener of a process's filter to the agent that is to answer its calls, and lets the process start its program. pidfd
// names the process; probe is where its program inside says which descriptor it is. evidence.ErrGone where the process ends before.
func (r *Record) handOver(pid, pidfd int, probe string, status specs.ContainerState) error {
	listener, err := fetchListener(pidfd, probe)
	if err != nil {
		return err
	}
	defer listener.Close()
	state, err := r.processState(pid, status)
	if err != nil {
		return err
	}
	if err := sendListener(r.Compiled.Listener.Path, state, listener); err != nil {
		return fmt.Errorf("container %s: seccomp: listenerPath %s: %w", r.ID, r.Compiled.Listener.Path, err)
	}
	return acknowledge(probe)
}

// fetchListener waits until the program inside has the filter, and takes its listener.
func fetchListener(pidfd int, probe string) (*os.File, error) {
	proof := readProof(probe)
	for deadline := time.Now().Add(StartLimit); proof.Listener < 0; proof = readProof(probe) {
		if ended(pidfd, time.Millisecond) {
			return nil, evidence.ErrGone
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("seccomp: no listener within %s", StartLimit)
		}
	}
	descriptor, err := unix.PidfdGetfd(pidfd, proof.Listener, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, evidence.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("seccomp: taking the listener: pidfd_getfd: %w", err)
	}
	listener := os.NewFile(uintptr(descriptor), "seccomp listener")
	// What the process has under that number is its own word: it is passed on as nothing but what it is said to be.
	if kind, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(descriptor)); err != nil || kind != "anon_inode:seccomp notify" {
		return nil, errors.Join(fmt.Errorf("seccomp: descriptor %d of the process is %q and no listener", proof.Listener, kind), err, listener.Close())
	}
	return listener, nil
}

// processState is what the agent is told of the process, as the OCI runtime specification has it (config-linux.md, "The Container Process State").
func (r *Record) processState(pid int, status specs.ContainerState) ([]byte, error) {
	asked, err := r.Asked()
	if err != nil {
		return nil, err
	}
	config, err := oci.Parse(asked)
	if err != nil {
		return nil, err
	}
	return json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: r.Compiled.Listener.Metadata,
		State: specs.State{Version: specs.Version, ID: r.ID, Status: status, Pid: r.PID(), Bundle: r.Bundle, Annotations: config.Spec.Annotations},
	})
}

// sendListener sends the state with the descriptor over a connection of its own.
func sendListener(path string, state []byte, listener *os.File) error {
	connection, err := net.DialTimeout("unix", path, listenerLimit)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(listenerLimit)); err != nil {
		return err
	}
	sent, _, err := connection.(*net.UnixConn).WriteMsgUnix(state, unix.UnixRights(int(listener.Fd())), nil)
	if err != nil {
		return err
	}
	_, err = connection.Write(state[sent:])
	return err
}
