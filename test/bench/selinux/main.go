// SPDX-License-Identifier: Apache-2.0

// Command selinux measures policydb beside libsepol and setools over Debian's policy, in alternating runs: loading the policy, one decision, one search by the
// command line. It prints a table in Markdown.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	testselinux "github.com/bulkhead-project/bulkhead/test/selinux"
)

//go:embed testdata/reference.c
var reference []byte

//go:embed testdata/container.cil
var container []byte

func main() {
	runs := flag.Int("runs", 15, "pairs of runs")
	binary := flag.String("bulkhead", "bin/bulkhead", "path of bulkhead")
	inner := flag.Bool("measure", false, "run the arguments as a command and print what it took, for the program's own use")
	install := flag.Bool("install", false, "put the module of the second argument onto the policy of the first, for the program's own use")
	flag.Parse()
	if *install {
		if err := installOne(flag.Arg(0), flag.Arg(1)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *inner {
		if err := measureOne(flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := measure(*runs, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "bench-selinux:", err)
		os.Exit(1)
	}
}

// row is what both sides took, in nanoseconds of CPU time.
type row struct {
	name, unit   string
	scale        float64
	theirs, ours []float64
}

func measure(runs int, binary string) error {
	directory, err := os.MkdirTemp("", "bench-selinux-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	libsepol, err := build(directory)
	if err != nil {
		return err
	}
	debian, err := testselinux.Debian()
	if err != nil {
		return err
	}
	path := filepath.Join(debian, "policy.33")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		return err
	}
	asked, text, err := questions(policy)
	if err != nil {
		return err
	}
	load := row{name: "load policy.33", unit: "ms", scale: 1e6}
	decide := row{name: "one decision, uncached", unit: "us", scale: 1e3}
	query := row{name: "`query -A -s svirt_t` beside `sesearch`", unit: "ms", scale: 1e6}
	for range runs {
		var loadTheirs, decideTheirs float64
		command := exec.Command(libsepol, path)
		command.Stdin = strings.NewReader(text)
		out, err := command.Output()
		if err != nil {
			return fmt.Errorf("libsepol: %w", err)
		}
		if _, err := fmt.Sscan(string(out), &loadTheirs, &decideTheirs); err != nil {
			return err
		}
		load.theirs, decide.theirs = append(load.theirs, loadTheirs), append(decide.theirs, decideTheirs)
		start := spent(syscall.RUSAGE_SELF)
		if policy, err = policydb.Decode(data); err != nil {
			return err
		}
		load.ours = append(load.ours, spent(syscall.RUSAGE_SELF)-start)
		policy.Decide(asked[0].source, asked[0].target, 1) // makes the index
		start = spent(syscall.RUSAGE_SELF)
		for _, q := range asked {
			policy.Decide(q.source, q.target, q.class)
		}
		decide.ours = append(decide.ours, (spent(syscall.RUSAGE_SELF)-start)/float64(len(asked)))
		for _, side := range []struct {
			into *[]float64
			args []string
		}{{&query.theirs, []string{"sesearch", "-A", "-s", "svirt_t", path}}, {&query.ours, []string{binary, "selinux", "query", "--policy", path, "-A", "-s", "svirt_t"}}} {
			command := exec.Command(side.args[0], side.args[1:]...)
			if err := command.Run(); err != nil {
				return fmt.Errorf("%s: %w (apt-get install setools)", side.args[0], err)
			}
			*side.into = append(*side.into, float64((command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Nanoseconds()))
		}
	}
	fmt.Printf("`make bench-selinux`: %d alternating runs over Debian's modules (%d bytes), CPU time, medians; the ratio is the median of the pairs' own.\n\n", runs, len(data))
	fmt.Println("| | libsepol 3.4, setools 4.4 | ours | ratio |\n|---|---|---|---|")
	for _, r := range []row{load, decide, query} {
		ratios := make([]float64, len(r.ours))
		for i := range r.ours {
			ratios[i] = r.ours[i] / r.theirs[i]
		}
		fmt.Printf("| %s | %.2f %s | %.2f %s | %.3f |\n", r.name, median(r.theirs)/r.scale, r.unit, median(r.ours)/r.scale, r.unit, median(ratios))
	}
	return measureWhole(runs, binary, path, debian, directory)
}

func build(directory string) (string, error) {
	source, binary := filepath.Join(directory, "reference.c"), filepath.Join(directory, "reference")
	if err := os.WriteFile(source, reference, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command("gcc", "-O2", "-o", binary, source, "-l:libsepol.a").CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w: %s (apt-get install gcc libc6-dev libsepol-dev)", err, out)
	}
	return binary, nil
}

type question struct {
	source, target *policydb.Context
	class          uint32
}

// questions are about pairs of types that rules are about, 200 contexts in all, as libsepol finds contexts in a list.
func questions(policy *policydb.Policy) ([]question, string, error) {
	random := rand.New(rand.NewPCG(1, 1))
	var contexts []*policydb.Context
	var texts []string
	for len(contexts) < 200 {
		typ := policy.Types.Entries[random.IntN(len(policy.Types.Entries))]
		if typ.Properties != policydb.TypePrimary {
			continue
		}
		text := fmt.Sprintf("system_u:object_r:%s:s0:c%d,c%d", typ.Name, random.IntN(512), 512+random.IntN(512))
		context, err := policy.ParseContext(text)
		if err != nil {
			return nil, "", err
		}
		contexts, texts = append(contexts, context), append(texts, text)
	}
	var asked []question
	var lines strings.Builder
	for range 20_000 {
		source, target, class := random.IntN(len(contexts)), random.IntN(len(contexts)), 1+random.Uint32N(policy.Classes.Primary)
		asked = append(asked, question{contexts[source], contexts[target], class})
		fmt.Fprintln(&lines, texts[source], texts[target], class)
	}
	return asked, lines.String(), nil
}

// spent is the CPU time so far, in ns.
func spent(who int) float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
