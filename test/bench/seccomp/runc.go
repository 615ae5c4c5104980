// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	runc "github.com/opencontainers/runc/libcontainer/seccomp"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

func lockThread() { runtime.LockOSThread() }

// compileRunc does what `runc init` does from config.json to seccomp(2), which is part of it, about a fiftieth.
func compileRunc(text []byte) ([]bpf.Instruction, error) {
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal(text, &profile); err != nil {
		return nil, err
	}
	config, err := specconv.SetupSeccomp(&profile)
	if err != nil {
		return nil, err
	}
	_, err = runc.InitSeccomp(config)
	return nil, err
}

// showToTracer installs runc's filter on a thread that waits until compileTraced has read it from there, and prints the samples.
func showToTracer(text []byte, s samples) error {
	var err error
	onFreshThread(func() {
		if _, err = compileRunc(text); err == nil {
			fmt.Println(unix.Gettid())
			_, err = bufio.NewReader(os.Stdin).ReadString('\n')
		}
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

func compileTraced(command *exec.Cmd, s *samples) error {
	in, err := command.StdinPipe()
	if err != nil {
		return err
	}
	pipe, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	out := bufio.NewReader(pipe)
	var thread int
	if _, err := fmt.Fscanln(out, &thread); err != nil {
		return err
	}
	program, err := readFilter(thread)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		return err
	}
	if err := json.NewDecoder(out).Decode(s); err != nil {
		return err
	}
	s.Program = program
	return command.Wait()
}

// readFilter returns the last filter that a thread has installed.
func readFilter(thread int) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := ptrace(unix.PTRACE_SEIZE, thread, 0, nil); err != nil {
		return nil, fmt.Errorf("seize: %w", err)
	}
	if _, err := ptrace(unix.PTRACE_INTERRUPT, thread, 0, nil); err != nil {
		return nil, fmt.Errorf("interrupt: %w", err)
	}
	if _, err := unix.Wait4(thread, nil, unix.WALL, nil); err != nil {
		return nil, err
	}
	defer ptrace(unix.PTRACE_DETACH, thread, 0, nil)
	n, err := ptrace(unix.PTRACE_SECCOMP_GET_FILTER, thread, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("filter of thread %d: %w", thread, err)
	}
	raw := make([]byte, 8*n)
	_, err = ptrace(unix.PTRACE_SECCOMP_GET_FILTER, thread, 0, unsafe.Pointer(&raw[0]))
	return raw, err
}

func ptrace(request, thread int, address uintptr, data unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(thread), address, uintptr(data), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
