// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/standalone"
)

const profileHelp = `A PROFILE is a file in Docker's or Podman's JSON form, the linux.seccomp object of a config.json, or raw struct sock_filter instructions;
or docker or bulkhead for a profile that is built in, or pid:PID for the filter of a running process (pid:PID:N for its Nth, the first installed being 0).`

func seccompCommand() *cobra.Command {
	command := &cobra.Command{Use: "seccomp COMMAND", Short: "compile, show, question and compare seccomp profiles", Args: arguments(cobra.NoArgs),
		Long: "Compile seccomp profiles to filters, without libseccomp, and say what they do.\n\n" + profileHelp,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	command.AddCommand(seccompCompile(), seccompShow(), seccompDecide(), seccompDiff(), seccompFromELF())
	for _, verb := range command.Commands() {
		verb.DisableFlagsInUseLine = true
	}
	return command
}

// profileFlags say which profile is meant, and for which container and machine.
type profileFlags struct {
	builtin         string
	arch, kernel    string
	capAdd, capDrop []string
	force           bool
}

func (f *profileFlags) add(command *cobra.Command, builtin bool) {
	flags := command.Flags()
	if builtin {
		flags.StringVar(&f.builtin, "default", "", "the profile that is built in: docker or bulkhead")
	}
	flags.StringVar(&f.arch, "arch", "", "the machine, as Go (amd64) or libseccomp (x86_64) call it; this one if not given")
	flags.StringVar(&f.kernel, "kernel", "", "the kernel's version, for minKernel; the running one if not given")
	flags.StringArrayVar(&f.capAdd, "cap-add", nil, "capability that the container has beside Docker's 14, or ALL")
	flags.StringArrayVar(&f.capDrop, "cap-drop", nil, "capability of Docker's 14 that it does not have, or ALL")
}

// target returns what the profile's conditions ask for.
func (f *profileFlags) target() (seccomp.Target, *syscalls.ABI, error) {
	target := seccomp.Target{Architecture: f.arch, Capabilities: standalone.DefaultCapabilities()}
	if f.arch == "" {
		target.Architecture = runtime.GOARCH
	}
	abi := seccomp.Architecture(target.Architecture)
	if abi == nil {
		return target, nil, usageError{fmt.Errorf("--arch %q: no table of its calls; one of %s", f.arch, strings.Join(abiNames(), ", "))}
	}
	for _, list := range []struct {
		option string
		names  []string
	}{{"--cap-drop", f.capDrop}, {"--cap-add", f.capAdd}} {
		for _, text := range list.names {
			name, err := standalone.ParseCapability(list.option, text)
			if err != nil {
				return target, nil, err
			}
			target.Capabilities = change(target.Capabilities, name, list.option == "--cap-add")
		}
	}
	release := f.kernel
	if release == "" {
		release = kernel.Probe().Release
	}
	version, err := seccomp.KernelVersion(release)
	if err != nil {
		return target, nil, usageError{err}
	}
	target.Kernel = version
	return target, abi, nil
}

// change adds a capability to a set or takes it out.
func change(set []string, name string, add bool) []string {
	switch {
	case name == "ALL" && add:
		return plan.CapabilityNames()
	case name == "ALL":
		return nil
	case add && !slices.Contains(set, name):
		return append(set, name)
	case !add:
		return slices.DeleteFunc(set, func(other string) bool { return other == name })
	}
	return set
}

func abiNames() []string {
	var names []string
	for _, abi := range syscalls.ABIs() {
		names = append(names, abi.Name)
	}
	return names
}

// subject is what a verb is asked about: a policy with its filter, or a filter alone.
type subject struct {
	name     string
	native   *syscalls.ABI
	policy   *seccomp.Policy // nil: a raw filter
	filter   *seccomp.Filter
	warnings []seccomp.Warning
}

// subject reads a profile by its name on the command line.
func (f *profileFlags) subject(name string) (*subject, error) {
	target, abi, err := f.target()
	if err != nil {
		return nil, err
	}
	profile, program, err := readProfile(name, bpf.Order(abi.BigEndian))
	if path := new(fs.PathError); errors.As(err, &path) { // names the file
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &subject{name: name, native: abi}
	if program != nil {
		s.filter = &seccomp.Filter{Program: program, BigEndian: abi.BigEndian}
		if err := bpf.Check(program); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return s, nil
	}
	if s.policy, s.warnings, err = profile.Resolve(target); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.filter, err = seccomp.Compile(s.policy); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// chosen returns the name of the profile that --default or the first argument gives, and the arguments after it.
func (f *profileFlags) chosen(args []string) (string, []string, error) {
	switch {
	case f.builtin == "docker" || f.builtin == "bulkhead":
		return f.builtin, args, nil
	case f.builtin != "":
		return "", nil, usageError{fmt.Errorf("--default %q: docker or bulkhead", f.builtin)}
	case len(args) == 0:
		return "", nil, usageError{errors.New("which profile? --default docker, --default bulkhead, or a file")}
	}
	return args[0], args[1:], nil
}

// only reads the one profile that a command line is about.
func (f *profileFlags) only(args []string) (*subject, error) {
	name, rest, err := f.chosen(args)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, usageError{fmt.Errorf("unexpected argument %q", rest[0])}
	}
	return f.subject(name)
}

// readProfile returns a profile, or the instructions of a raw filter.
func readProfile(name string, order bpf.Order) (*seccomp.Profile, []bpf.Instruction, error) {
	switch {
	case name == "docker":
		return seccomp.Docker(), nil, nil
	case name == "bulkhead":
		return seccomp.Bulkhead(), nil, nil
	case strings.HasPrefix(name, "pid:"):
		program, err := filterOf(strings.TrimPrefix(name, "pid:"))
		return nil, program, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, seccomp.MaximumProfile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(content) > seccomp.MaximumProfile {
		return nil, nil, fmt.Errorf("more than %d bytes, which neither a profile nor a filter has", seccomp.MaximumProfile)
	}
	if text := bytes.TrimLeft(content, " \t\r\n\ufeff"); len(text) > 0 && text[0] != '{' && bytes.IndexByte(content, 0) >= 0 {
		program, err := bpf.Decode(order, content)
		return nil, program, err
	}
	profile, err := seccomp.Parse(content)
	return profile, nil, err
}

// filterOf reads PID or PID:N.
func filterOf(text string) ([]bpf.Instruction, error) {
	number, which, chosen := strings.Cut(text, ":")
	pid, err := strconv.Atoi(number)
	index := 0
	if chosen && err == nil {
		index, err = strconv.Atoi(which)
	}
	if err != nil || pid <= 0 || index < 0 {
		return nil, usageError{errors.New("pid:PID or pid:PID:N is expected")}
	}
	filters, err := seccomp.Dump(pid)
	switch {
	case err != nil:
		return nil, err
	case !chosen && len(filters) > 1:
		return nil, usageError{fmt.Errorf("the process has %d filters: choose one by pid:%d:0 (the first installed) to pid:%d:%d", len(filters), pid, pid, len(filters)-1)}
	case index >= len(filters):
		return nil, fmt.Errorf("no filter %d: the process has %d", index, len(filters))
	}
	return filters[index], nil
}

func seccompCompile() *cobra.Command {
	var flags profileFlags
	var out string
	var asJSON bool
	command := &cobra.Command{Use: "compile [OPTIONS] --default NAME | PROFILE", Short: "compile a profile to a filter", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "Compile a profile to the filter that seccomp(2) takes, prove that the two mean the same, and say how long it is. Warnings go to stderr.\n\n" + profileHelp}
	flags.add(command, true)
	command.Flags().StringVarP(&out, "output", "o", "", "file for the filter as raw struct sock_filter; - for standard output")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().BoolVar(&flags.force, "force", false, "also a filter under which no program starts or ends")
	command.RunE = func(command *cobra.Command, args []string) error {
		if out == "-" && asJSON {
			return usageError{errors.New("--output - and --json both write to standard output")}
		}
		s, err := flags.only(args)
		if err != nil {
			return err
		}
		if err := s.check(command.ErrOrStderr(), flags.force); err != nil {
			return err
		}
		if out != "" {
			if err := writeOutput(command.OutOrStdout(), out, s.filter.Bytes()); err != nil {
				return err
			}
		}
		return s.printCompiled(command.OutOrStdout(), out, asJSON)
	}
	return command
}

// check prints the warnings, and refuses a policy that locks everything out.
func (s *subject) check(stderr io.Writer, force bool) error {
	for _, warning := range s.warnings {
		fmt.Fprintf(stderr, "bulkhead: warning: %s: %s\n", s.name, warning)
	}
	if s.policy == nil || force {
		return nil
	}
	if call, action, locked := s.policy.LocksOut(); locked {
		return lockout(s.name, call, action.Words(s.native))
	}
	return nil
}

func writeOutput(stdout io.Writer, path string, content []byte) error {
	if path == "-" {
		_, err := stdout.Write(content)
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// compiled is what `bulkhead seccomp compile --json` prints.
type compiled struct {
	Instructions int      `json:"instructions"`
	ABIs         []string `json:"abis,omitempty"` // those that the profile has, the native one first
	Default      string   `json:"default,omitempty"`
	Flags        []string `json:"flags"`
	SHA256       string   `json:"sha256"`             // of the raw instructions
	Cached       []int    `json:"cached,omitempty"`   // calls of each ABI that the kernel answers without running the filter
	Warnings     []string `json:"warnings,omitempty"` // with the place in the profile
	Proved       bool     `json:"proved"`             // that the filter does what the profile says; false for a raw filter
}

func (s *subject) describe() compiled {
	c := compiled{Instructions: len(s.filter.Program), Flags: []string{}, SHA256: fmt.Sprintf("%x", sha256.Sum256(s.filter.Bytes()))}
	if s.policy == nil {
		return c
	}
	c.Default, c.Proved = s.policy.Default.Words(s.native), true
	c.Flags = append(c.Flags, s.policy.Flags.Names()...)
	for _, abi := range s.policy.ABIs {
		cached := 0
		for number := range abi.Numbers() {
			if s.cached(abi, number) {
				cached++
			}
		}
		c.ABIs, c.Cached = append(c.ABIs, abi.Name), append(c.Cached, cached)
	}
	for _, warning := range s.warnings {
		c.Warnings = append(c.Warnings, warning.String())
	}
	return c
}

// cached reports whether the kernel answers a call without running the filter, which it does for none of x32.
func (s *subject) cached(abi *syscalls.ABI, number uint32) bool {
	return abi.Name != "x32" && bpf.Constant(s.filter.Program, abi.Audit, number)
}

func (s *subject) printCompiled(stdout io.Writer, out string, asJSON bool) error {
	if out == "-" && !asJSON {
		return nil
	}
	c := s.describe()
	if asJSON {
		return printJSON(stdout, c)
	}
	fmt.Fprintf(stdout, "%d instructions", c.Instructions)
	if s.policy != nil {
		fmt.Fprintf(stdout, ", proved; default %s", c.Default)
	}
	fmt.Fprintln(stdout)
	for i, name := range c.ABIs {
		fmt.Fprintf(stdout, "%s: the kernel lets %d calls pass without running the filter\n", name, c.Cached[i])
	}
	return nil
}
