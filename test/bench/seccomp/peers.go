// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// The peers.
const (
	ours        = "Bulkhead"
	cLinear     = "libseccomp, level 1"
	cTree       = "libseccomp, level 2"
	runcPath    = "runc"
	gvisorPlain = "gVisor, not optimised"
	gvisorBest  = "gVisor"
	elasticPeer = "elastic/go-seccomp-bpf"
)

// Samples of one process: the first is cold, the second left out; as many more as the time allows.
const (
	samplesLeast = 7
	samplesMost  = 100
	samplesTime  = 100 * time.Millisecond // of CPU
)

// more reports whether a process compiles once more.
func (s *samples) more() bool {
	var sum time.Duration
	for _, spent := range s.Spent {
		sum += spent
	}
	return len(s.Spent) < samplesLeast || len(s.Spent) < samplesMost && sum < samplesTime
}

// compilers take the JSON of config.json's seccomp object. runc's installs the filter on the calling thread, and returns none.
var compilers = map[string]func(text []byte) ([]bpf.Instruction, error){
	ours: compileOurs, runcPath: compileRunc, elasticPeer: compileElastic,
	gvisorPlain: func(text []byte) ([]bpf.Instruction, error) { return compileGVisor(text, true) },
	gvisorBest:  func(text []byte) ([]bpf.Instruction, error) { return compileGVisor(text, false) },
}

// compileAs compiles as a peer and prints samples.
func compileAs(name, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s samples
	var program []bpf.Instruction
	for s.more() {
		var spent time.Duration
		onFreshThread(func() {
			start := cpu()
			program, err = compilers[name](text)
			spent = cpu() - start
		})
		if err != nil {
			return err
		}
		s.Spent = append(s.Spent, spent)
	}
	if name == runcPath {
		return showToTracer(text, s)
	}
	s.Program = bpf.Encode(bpf.LittleEndian, program)
	return json.NewEncoder(os.Stdout).Encode(s)
}

// onFreshThread runs f on a thread that ends with it, as a filter stays on its thread.
func onFreshThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		lockThread()
		f()
	}()
	<-done
}

// cpu is the CPU time of the process, garbage collection and all.
func cpu() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		panic(err) // the clock is always there
	}
	return time.Duration(now.Nano())
}

func compileOurs(text []byte) ([]bpf.Instruction, error) {
	profile, err := seccomp.Parse(text)
	if err != nil {
		return nil, err
	}
	policy, _, err := profile.Resolve(seccomp.Target{Architecture: "amd64", Capabilities: capabilities, Kernel: kernel()})
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.Compile(policy)
	if err != nil {
		return nil, err
	}
	return filter.Program, nil
}

func kernel() seccomp.Version {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		panic(err) // never fails
	}
	version, err := seccomp.KernelVersion(unix.ByteSliceToString(name.Release[:]))
	if err != nil {
		panic(fmt.Sprint("this kernel: ", err))
	}
	return version
}
