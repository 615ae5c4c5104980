// SPDX-License-Identifier: Apache-2.0

// Package libseccomp asks libseccomp (through its C API, in a process of its own, since it may hang) what program it makes of some rules.
package libseccomp

import (
	"bufio"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed testdata/compile.c
var source []byte

// Comparison is struct scmp_arg_cmp: B is the value of MaskedEqual, whose mask is A.
type Comparison struct {
	Index uint
	Op    int // enum scmp_compare
	A, B  uint64
}

// Rule is what seccomp_rule_add_array is given.
type Rule struct {
	Action uint32 // SCMP_ACT_*
	Name   string
	Args   []Comparison
}

// Filter is what a filter context is given.
type Filter struct {
	Default uint32
	Level   int      // of optimisation, 1 or 2
	Arches  []string // as seccomp_arch_resolve_name spells them; the native one is left out where it is not listed
	Rules   []Rule
}

// Result is what became of a Filter.
type Result struct {
	Program []byte        // struct sock_filter of the target's byte order; nil if there is none
	Spent   time.Duration // CPU time from seccomp_init to seccomp_export_bpf
	Hung    bool          // it was ended at the limit
	Error   string        // of the call that made all of it fail
	Refused map[int]int   // rules that were refused: index to -errno, 1 = an unknown name
}

// Compiler is a running process that compiles. It is not for concurrent use.
type Compiler struct {
	binary  string
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// Build compiles the program in directory, against libseccomp's headers (Debian: libseccomp-dev, gcc).
func Build(directory string) (*Compiler, error) {
	path := filepath.Join(directory, "compile.c")
	if err := os.WriteFile(path, source, 0o600); err != nil {
		return nil, err
	}
	binary := filepath.Join(directory, "compile")
	if out, err := exec.Command("gcc", "-O2", "-o", binary, path, "-lseccomp").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gcc %s: %w: %s (apt-get install gcc libc6-dev libseccomp-dev)", path, err, out)
	}
	return &Compiler{binary: binary}, nil
}

func (c *Compiler) start() error {
	c.command = exec.Command(c.binary)
	in, err := c.command.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return err
	}
	c.in, c.out = in, bufio.NewReaderSize(out, 1<<20)
	return c.command.Start()
}

// Close ends the process.
func (c *Compiler) Close() error {
	if c.command == nil {
		return nil
	}
	c.in.Close()
	err := c.command.Wait()
	c.command = nil
	return err
}

// Compile returns what libseccomp makes of a filter within so many seconds of CPU time.
func (c *Compiler) Compile(f Filter, seconds int) (Result, error) {
	if c.command == nil {
		if err := c.start(); err != nil {
			return Result{}, err
		}
	}
	if _, err := io.WriteString(c.in, f.text()+fmt.Sprintf("export %d\n", seconds)); err != nil {
		return Result{}, err
	}
	result := Result{Refused: map[int]int{}}
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			c.in.Close()
			err = c.command.Wait()
			c.command = nil
			if err != nil && strings.Contains(err.Error(), "profiling timer expired") {
				return Result{Hung: true}, nil
			}
			return Result{}, fmt.Errorf("libseccomp: %v on %+v", err, f)
		}
		words := strings.Fields(line)
		switch words[0] {
		case "refused":
			var rule, code int
			if _, err := fmt.Sscan(words[1]+" "+words[2], &rule, &code); err != nil {
				return Result{}, err
			}
			result.Refused[rule] = code
		case "error":
			result.Error = strings.Join(words[1:], " ")
			return result, nil
		case "program":
			if _, err := fmt.Sscan(words[1], (*int64)(&result.Spent)); err != nil {
				return Result{}, err
			}
			result.Program, err = hex.DecodeString(words[2])
			return result, err
		}
	}
}

func (f Filter) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "filter %d %d %d %s\n", f.Default, f.Level, len(f.Arches), strings.Join(f.Arches, " "))
	for _, rule := range f.Rules {
		fmt.Fprintf(&b, "rule %d %s %d", rule.Action, rule.Name, len(rule.Args))
		for _, arg := range rule.Args {
			fmt.Fprintf(&b, " %d %d %d %d", arg.Index, arg.Op, arg.A, arg.B)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
