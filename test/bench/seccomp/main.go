// SPDX-License-Identifier: Apache-2.0

// Command seccomp measures our compiler of filters beside others, paired in one run: libseccomp through its C API, runc's path to it, gVisor's
// compiler and elastic/go-seccomp-bpf, all on Docker's default profile with Docker's capabilities, from the JSON of config.json to a filter.
// It prints tables in Markdown. Root is needed, libseccomp's headers and gcc.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// capabilities are those that Docker gives a container.
var capabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}

func main() {
	rounds := flag.Int("rounds", 15, "rounds of all peers")
	installs := flag.Int("installs", 201, "installations of each filter")
	child := flag.String("child", "", "compile as this peer (for the program itself)")
	install := flag.Bool("install", false, "install the filter on standard input (for the program itself)")
	flag.Parse()
	var err error
	switch {
	case *child != "":
		err = compileAs(*child, flag.Arg(0))
	case *install:
		err = installOnce()
	default:
		err = measure(*rounds, *installs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-seccomp:", err)
		os.Exit(1)
	}
}

// contest is the same profile for some ABIs.
type contest struct {
	title string
	short string
	arch  []specs.Arch
	path  string // of the profile's JSON
	peers []string
}

var all = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}

func newContests(directory string) ([]*contest, error) {
	contests := []*contest{
		{title: "x86_64, i386 and x32", short: "3 ABIs", arch: all, peers: []string{ours, cLinear, cTree, runcPath}},
		{title: "x86_64 alone", short: "x86_64", arch: all[:1], peers: []string{ours, cLinear, cTree, runcPath, gvisorPlain, gvisorBest, elasticPeer}},
	}
	for i, c := range contests {
		spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}}}
		profile, err := moby.GetDefaultProfile(spec)
		if err != nil {
			return nil, err
		}
		profile.Architectures = c.arch
		text, err := json.Marshal(profile)
		if err != nil {
			return nil, err
		}
		c.path = filepath.Join(directory, fmt.Sprintf("profile%d.json", i))
		if err := os.WriteFile(c.path, text, 0o600); err != nil {
			return nil, err
		}
	}
	return contests, nil
}

// outcome is what a peer has made of a contest.
type outcome struct {
	Cold    []time.Duration // CPU time of the first compilation of a process
	Warm    []time.Duration // of later ones
	Rounds  []time.Duration // median of each round's warm ones
	Program []bpf.Instruction
	Install []time.Duration
}

func measure(rounds, installs int) error {
	directory, err := os.MkdirTemp("", "bulkhead-bench-seccomp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	contests, err := newContests(directory)
	if err != nil {
		return err
	}
	results := make([]map[string]*outcome, len(contests))
	for i, c := range contests {
		results[i] = map[string]*outcome{}
		for _, name := range c.peers {
			results[i][name] = &outcome{}
		}
	}
	for round := range rounds {
		for i, c := range contests {
			for k := range c.peers {
				name := c.peers[(k+round)%len(c.peers)] // none always comes first
				if err := results[i][name].compile(name, c.path); err != nil {
					return fmt.Errorf("%s, %s: %w", name, c.title, err)
				}
			}
		}
	}
	if err := installAll(results, installs); err != nil {
		return err
	}
	return report(contests, results, rounds, installs)
}

// samples is what a child prints.
type samples struct {
	Spent   []time.Duration
	Program []byte
}

// compile has a fresh process compile some times.
func (o *outcome) compile(name, path string) error {
	var s samples
	if name == cLinear || name == cTree {
		if err := compileInC(name, path, &s); err != nil {
			return err
		}
	} else if err := compileInChild(name, path, &s); err != nil {
		return err
	}
	o.Cold = append(o.Cold, s.Spent[0])
	warm := s.Spent[2:]
	o.Warm = append(o.Warm, warm...)
	o.Rounds = append(o.Rounds, median(warm))
	if o.Program != nil {
		return nil
	}
	var err error
	o.Program, err = bpf.Decode(bpf.LittleEndian, s.Program)
	return err
}

func compileInChild(name, path string, s *samples) error {
	command := exec.Command("/proc/self/exe", "-child", name, path)
	command.Stderr = os.Stderr
	if name == runcPath {
		return compileTraced(command, s)
	}
	out, err := command.Output()
	if err != nil {
		return err
	}
	return json.Unmarshal(out, s)
}
