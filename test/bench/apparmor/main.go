// SPDX-License-Identifier: Apache-2.0

// Command apparmor measures our AppArmor compiler beside Debian's apparmor_parser, in alternating runs of whole processes on the same files: Docker's
// default profile with abstractions/base, and all of /etc/apparmor.d with Debian's packages of profiles. It prints tables in Markdown.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-project/bulkhead/apparmor"
)

const (
	reference = "/usr/sbin/apparmor_parser"
	base      = "/etc/apparmor.d"
	kernel    = "6.1" // that of Debian 12
)

func main() {
	small := flag.Int("runs", 41, "pairs of runs of the single profile")
	large := flag.Int("directories", 9, "pairs of runs of the directory")
	binary := flag.String("bulkhead", "bin/bulkhead", "path of bulkhead")
	flag.Parse()
	if err := measure(*small, *large, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "bench-apparmor:", err)
		os.Exit(1)
	}
}

// sample is one run of one compiler.
type sample struct {
	cpu, wall time.Duration
	memory    int64 // peak, bytes
	size      int   // of what it wrote
}

// contest is the same input for both compilers; samples of one index were taken one after the other.
type contest struct {
	title   string
	input   string
	runs    int
	samples [2][]sample // of apparmor_parser, of bulkhead
}

func measure(small, large int, binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "bulkhead-bench-apparmor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	ours := filepath.Join(directory, "apparmor_parser")
	if err := os.Symlink(binary, ours); err != nil {
		return err
	}
	target, ok := apparmor.KernelFeatures(kernel)
	if !ok {
		return fmt.Errorf("no features of Linux %s", kernel)
	}
	features := filepath.Join(directory, "features")
	if err := os.WriteFile(features, []byte(target.String()), 0o600); err != nil {
		return err
	}
	profile := filepath.Join(directory, "docker-default")
	if err := os.WriteFile(profile, []byte(apparmor.DockerDefault("docker-default", apparmor.DockerFacts{Tunables: true, Base: true})), 0o600); err != nil {
		return err
	}
	contests := []*contest{
		{title: "docker-default with abstractions/base", input: profile, runs: small},
		{title: "the whole of /etc/apparmor.d", input: base, runs: large},
	}
	for _, c := range contests {
		if err := c.run([2]string{reference, ours}, features); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return report(contests)
}

// run takes the samples, after one run of each for the caches.
func (c *contest) run(compilers [2]string, features string) error {
	for round := range c.runs + 1 {
		for i := range compilers {
			i = (i + round) % 2 // neither always comes first
			taken, err := compileOnce(compilers[i], features, c.input)
			if err != nil {
				return err
			}
			if round > 0 {
				c.samples[i] = append(c.samples[i], taken)
			}
		}
	}
	return nil
}

// compileOnce has a fresh process read the input and write the binary policy.
func compileOnce(compiler, features, input string) (sample, error) {
	command := exec.Command(compiler, "--config-file=/dev/null", "-q", "-Q", "-K", "-S", "-M", features, "-b", base, "-I", base, input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, &stderr)
	}
	wall := time.Since(start)
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	if stdout.Len() == 0 {
		return sample{}, errors.New("nothing was written")
	}
	return sample{time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), wall, usage.Maxrss * 1024, stdout.Len()}, nil
}

func report(contests []*contest) error {
	version, err := exec.Command(reference, "-V").Output()
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	fmt.Printf("# What compiling AppArmor policy costs\n\n`make bench-apparmor`: whole processes that read the text and write the binary, nothing cached, for Linux %s; "+
		"alternating runs on one machine of %d processors, %s, %s. Medians; the ratio is the median of the pairs' own.\n\n", kernel, runtime.NumCPU(), first, runtime.Version())
	fmt.Println("| | runs | apparmor_parser, CPU ms | bulkhead, CPU ms | ratio | apparmor_parser, wall ms | bulkhead, wall ms | ratio | apparmor_parser, bytes | bulkhead, bytes | apparmor_parser, peak MB | bulkhead, peak MB |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, c := range contests {
		fmt.Printf("| %s | %d |", c.title, c.runs)
		for _, of := range []func(sample) float64{cpu, wall} {
			fmt.Printf(" %.1f | %.1f | %.2f |", c.median(0, of), c.median(1, of), c.ratio(of))
		}
		fmt.Printf(" %.0f | %.0f | %.1f | %.1f |\n", c.median(0, size), c.median(1, size), c.median(0, memory), c.median(1, memory))
	}
	one, all := contests[0], contests[1]
	fmt.Print("\n| goal | | ours | |\n|---|--:|--:|---|\n")
	goal("docker-default: part of apparmor_parser's CPU", 0.35, one.ratio(cpu))
	goal("docker-default: bytes", 7945, one.median(1, size))
	goal("docker-default: part of apparmor_parser's bytes", 1, one.ratio(size))
	goal("/etc/apparmor.d: part of apparmor_parser's CPU", 0.45, all.ratio(cpu))
	goal("/etc/apparmor.d: part of apparmor_parser's bytes", 1, all.ratio(size))
	goal("/etc/apparmor.d: peak MB", 100, all.median(1, memory))
	return nil
}

func goal(what string, limit, value float64) {
	verdict := "reached"
	if value > limit {
		verdict = "**missed**"
	}
	fmt.Printf("| %s | <= %g | %.4g | %s |\n", what, limit, value, verdict)
}

func cpu(s sample) float64    { return float64(s.cpu) / float64(time.Millisecond) }
func wall(s sample) float64   { return float64(s.wall) / float64(time.Millisecond) }
func size(s sample) float64   { return float64(s.size) }
func memory(s sample) float64 { return float64(s.memory) / 1e6 }

func (c *contest) median(compiler int, of func(sample) float64) float64 {
	values := make([]float64, len(c.samples[compiler]))
	for i, s := range c.samples[compiler] {
		values[i] = of(s)
	}
	return median(values)
}

// ratio is the median of the quotients of the pairs, which drifts of the machine leave alone.
func (c *contest) ratio(of func(sample) float64) float64 {
	values := make([]float64, c.runs)
	for i := range values {
		values[i] = of(c.samples[1][i]) / of(c.samples[0][i])
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
