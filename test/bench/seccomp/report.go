// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// ratio is the median of the quotients of the rounds, which drifts of the machine leave alone.
func ratio(a, b []time.Duration) float64 {
	var quotients []float64
	for i := range a {
		quotients = append(quotients, float64(a[i])/float64(b[i]))
	}
	return median(quotients)
}

func report(contests []*contest, results []map[string]*outcome, rounds, installs int) error {
	if err := printHeader(rounds, installs); err != nil {
		return err
	}
	for i, c := range contests {
		fmt.Printf("\n## %s\n\n", c.title)
		fmt.Println("| compiler | CPU, first of a process, ms | CPU, later ones, ms | ratio to ours | instructions | mean executed, all calls | mean executed, uncached | cached native / i386 | install, ms |")
		fmt.Println("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
		for _, name := range c.peers {
			o := results[i][name]
			m := count(o.Program)
			fmt.Printf("| %s | %.3f | %.3f | %.1f | %d | %.1f | %.1f | %d / %d | %.3f |\n", name, ms(median(o.Cold)), ms(median(o.Warm)), ratio(o.Rounds, results[i][ours].Rounds),
				len(o.Program), m.meanAll, m.meanUncached, m.native, m.compat, ms(median(o.Install)))
		}
	}
	goals(results)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func printHeader(rounds, installs int) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	library, err := exec.Command("pkg-config", "--modversion", "libseccomp").Output()
	if err != nil {
		return fmt.Errorf("pkg-config libseccomp: %w", err)
	}
	info, _ := debug.ReadBuildInfo()
	var versions []string
	for _, module := range info.Deps {
		if slices.Contains([]string{"github.com/opencontainers/runc", "github.com/seccomp/libseccomp-golang", "gvisor.dev/gvisor", "github.com/elastic/go-seccomp-bpf", "github.com/moby/profiles/seccomp"}, module.Path) {
			versions = append(versions, module.Path+" "+module.Version)
		}
	}
	fmt.Printf("# What filters of calls cost to make and to run\n\n`make bench-seccomp`: Docker's default profile with Docker's capabilities, from the JSON of config.json to a filter, nothing cached. "+
		"%d rounds, in each of which every peer compiles in a fresh process, one after the other; medians; ratios are medians of the rounds' ratios. %d installations each, in fresh processes.\n\n"+
		"%s, Linux %s, libseccomp %s, %s.\n\n", rounds, installs, info.GoVersion, unix.ByteSliceToString(name.Release[:]), strings.TrimSpace(string(library)), strings.Join(versions, ", "))
	fmt.Println("CPU time is the process's. libseccomp's is without reading JSON; runc's with installing the filter, which it cannot do without. gVisor and elastic know x86_64 alone, neither answers ENOSYS to new calls.",
		"Executed instructions are of x86_64's calls with arguments of zero, but clone(0x1200011), socket(AF_INET) and personality(0xffffffff); uncached calls are those that the kernel does not answer from its bitmap.")
	return nil
}

// counts is what a program costs to run.
type counts struct {
	meanAll, meanUncached float64
	native, compat        int
}

var arguments = map[string]uint64{"clone": 0x1200011, "socket": 2, "personality": 0xffffffff}

func count(program []bpf.Instruction) counts {
	var c counts
	native, compat := syscalls.ByOCI("SCMP_ARCH_X86_64"), syscalls.ByOCI("SCMP_ARCH_X86")
	all, uncached, calls := 0, 0, 0
	for number, call := range native.Numbers() {
		data := bpf.Data{Arch: native.Audit, Number: number, Args: [6]uint64{arguments[call.String()]}}
		_, executed := bpf.Execute(bpf.LittleEndian, program, &data)
		all, calls = all+executed, calls+1
		if bpf.Constant(program, native.Audit, number) {
			c.native++
		} else {
			uncached += executed
		}
	}
	for number := range compat.Numbers() {
		if bpf.Constant(program, compat.Audit, number) {
			c.compat++
		}
	}
	c.meanAll, c.meanUncached = float64(all)/float64(calls), float64(uncached)/float64(max(1, calls-c.native))
	return c
}

// goals compares with what was asked.
func goals(results []map[string]*outcome) {
	three, one := results[0], results[1]
	mine, single := count(three[ours].Program), count(one[ours].Program)
	crun, runc := ms(median(three[cLinear].Install)), ms(median(three[runcPath].Install))
	fmt.Print("\n## Goals\n\n| | peers here | ours | goal | |\n|---|--:|--:|--:|---|\n")
	row := func(what, peers string, value float64, format string, goal float64) {
		verdict := "reached"
		if value > goal {
			verdict = "**missed**"
		}
		fmt.Printf("| %s | %s | "+format+" | <= "+format+" | %s |\n", what, peers, value, goal, verdict)
	}
	compile := ratio(three[ours].Rounds, three[runcPath].Rounds)
	row("compile, 3 ABIs, part of runc's CPU", fmt.Sprintf("runc %.1f ms", ms(median(three[runcPath].Warm))), compile, "%.4f", 1.0/50)
	row("compile, 3 ABIs, CPU ms (aim)", fmt.Sprintf("runc %.1f ms", ms(median(three[runcPath].Warm))), ms(median(three[ours].Warm)), "%.3f", 0.25)
	row("instructions, 3 ABIs", fmt.Sprintf("libseccomp %d, runc %d", len(three[cTree].Program), len(three[runcPath].Program)), float64(len(three[ours].Program)), "%.0f", 245)
	row("instructions, x86_64 alone", fmt.Sprintf("gVisor %d", len(one[gvisorBest].Program)), float64(len(one[ours].Program)), "%.0f", 75)
	row("mean executed of uncached calls, 3 ABIs", fmt.Sprintf("libseccomp %.1f, gVisor %.1f", count(three[cTree].Program).meanUncached, count(one[gvisorBest].Program).meanUncached), mine.meanUncached, "%.2f", 9.5)
	row("mean executed of uncached calls, x86_64 alone", fmt.Sprintf("gVisor %.1f", count(one[gvisorBest].Program).meanUncached), single.meanUncached, "%.2f", 9.5)
	row("calls less than 306 that are cached, native", fmt.Sprintf("libseccomp %d", count(three[cTree].Program).native), float64(306-mine.native), "%.0f", 0)
	row("calls less than 357 that are cached, i386", fmt.Sprintf("libseccomp %d", count(three[cTree].Program).compat), float64(357-mine.compat), "%.0f", 0)
	row("install, 3 ABIs, ms", fmt.Sprintf("libseccomp level 1 (crun's) %.2f, runc's %.2f", crun, runc), ms(median(three[ours].Install)), "%.3f", 0.2)
	fmt.Println("\nCPU of `bulkhead-runtime run` beside `runc run`: test/bench/RESULTS.md.")
}
