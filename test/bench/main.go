// SPDX-License-Identifier: Apache-2.0

// Command bench measures what confinement costs: the CPU time of `bulkhead-runtime run` beside that of plain `runc run`, on the same
// bundle with Docker's default seccomp profile and on one without, in alternating runs on the same machine. It prints a table in Markdown. Root is needed.
package main

import (
	"encoding/json"
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

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/seccomp"
)

func main() {
	runs := flag.Int("runs", 41, "pairs of runs")
	binary := flag.String("runtime", "bin/bulkhead-runtime", "path of bulkhead-runtime")
	flag.Parse()
	if status, again := inTemporaryRun(); again {
		os.Exit(status)
	}
	if err := measure(*runs, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inTemporaryRun runs this program again where /run is a tmpfs, as it is wherever systemd is: both runtimes keep their records there, and a file on a disk costs
// several times as much. Where it is one already, it does nothing.
func inTemporaryRun() (status int, again bool) {
	var stat syscall.Statfs_t
	const tmpfs = 0x01021994
	if err := syscall.Statfs("/run", &stat); err == nil && stat.Type == tmpfs {
		return 0, false
	}
	command := exec.Command("unshare", append([]string{"--mount", "sh", "-c", `mount -t tmpfs -o mode=755 tmpfs /run && exec "$0" "$@"`, os.Args[0]}, os.Args[1:]...)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1, true
	}
	return 0, true
}

// sample is one run of one runtime.
type sample struct{ cpu, wall time.Duration }

// pair is one bundle run by runc and by bulkhead-runtime.
type pair struct {
	name, bundle string
	samples      [2][]sample // of runc, of bulkhead-runtime; those of one index were taken one after the other
}

func measure(runs int, binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "bulkhead-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	pairs, err := makePairs(directory)
	if err != nil {
		return err
	}
	for run := range runs + 2 {
		for p := range pairs {
			for i := range 2 {
				i = (i + run) % 2 // neither always comes first
				taken, err := runOnce([]string{"runc", binary}[i], pairs[p].bundle, fmt.Sprintf("bench-%d-%d-%d-%d", os.Getpid(), run, p, i))
				if err != nil {
					return err
				}
				if run >= 2 { // two for the caches
					pairs[p].samples[i] = append(pairs[p].samples[i], taken)
				}
			}
		}
	}
	return print(pairs, runs)
}

func runOnce(runtime, bundle, id string) (sample, error) {
	command := exec.Command(runtime, "run", "--bundle", bundle, id)
	start := time.Now()
	if out, err := command.CombinedOutput(); err != nil {
		return sample{}, fmt.Errorf("%s run: %w: %s", runtime, err, out)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), time.Since(start)}, nil
}

// makePairs makes a root file system of busybox and two bundles that run /bin/true in it: `runc spec` with Docker's capabilities, with Docker's
// seccomp profile and without one.
func makePairs(directory string) ([]pair, error) {
	if err := makeRoot(filepath.Join(directory, "rootfs")); err != nil {
		return nil, err
	}
	spec, err := makeSpec(directory)
	if err != nil {
		return nil, err
	}
	filter := spec.Linux.Seccomp
	pairs := []pair{{name: "Docker's default profile"}, {name: "no seccomp profile"}}
	for i, profile := range []*specs.LinuxSeccomp{filter, nil} {
		pairs[i].bundle = filepath.Join(directory, fmt.Sprint(i))
		spec.Linux.Seccomp = profile
		data, err := json.Marshal(spec)
		if err != nil {
			return nil, err
		}
		if err := os.Mkdir(pairs[i].bundle, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(pairs[i].bundle, "config.json"), data, 0o600); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

func makeRoot(root string) error {
	for _, name := range []string{"bin", "proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		if busybox, err = os.ReadFile("/bin/busybox"); err != nil {
			return fmt.Errorf("%w (apt-get install busybox-static)", err)
		}
	}
	return os.WriteFile(filepath.Join(root, "bin", "true"), busybox, 0o755)
}

// makeSpec returns the configuration with the profile.
func makeSpec(directory string) (spec specs.Spec, err error) {
	if out, err := exec.Command("runc", "spec", "--bundle", directory).CombinedOutput(); err != nil {
		return spec, fmt.Errorf("runc spec: %w: %s (apt-get install runc)", err, out)
	}
	data, err := os.ReadFile(filepath.Join(directory, "config.json"))
	if err != nil {
		return spec, err
	}
	if err := json.Unmarshal(data, &spec); err != nil {
		return spec, err
	}
	spec.Root.Path = filepath.Join(directory, "rootfs")
	names := strings.Fields("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_CHROOT CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP")
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names}
	spec.Process.Terminal, spec.Process.NoNewPrivileges, spec.Process.Args = false, false, []string{"/bin/true"}
	version, err := seccomp.KernelVersion(kernel.Probe().Release)
	if err != nil {
		return spec, err
	}
	policy, _, err := seccomp.Docker().Resolve(seccomp.Target{Architecture: runtime.GOARCH, Capabilities: names, Kernel: version})
	if err != nil {
		return spec, err
	}
	spec.Linux.Seccomp = policy.OCI()
	spec.Linux.Seccomp.Flags = nil // Docker writes none, and runc before 1.2 knows none
	return spec, nil
}

func print(pairs []pair, runs int) error {
	version, err := exec.Command("runc", "--version").Output()
	if err != nil {
		return err
	}
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		return err
	}
	fmt.Printf("`make bench`: %d alternating pairs, %s, Linux %s, medians; the ratio is the median of the pairs' own.\n\n", runs, strings.Split(string(version), "\n")[0], release(name))
	fmt.Println("| `run` of /bin/true | runc, CPU ms | bulkhead-runtime, CPU ms | ratio | runc, wall ms | bulkhead-runtime, wall ms | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, p := range pairs {
		fmt.Printf("| %s |", p.name)
		for _, of := range []func(sample) time.Duration{cpuOf, wallOf} {
			fmt.Printf(" %.1f | %.1f | %.2f |", milliseconds(p.samples[0], of), milliseconds(p.samples[1], of), ratio(p.samples, of))
		}
		fmt.Println()
	}
	return nil
}

func cpuOf(s sample) time.Duration  { return s.cpu }
func wallOf(s sample) time.Duration { return s.wall }

func milliseconds(list []sample, of func(sample) time.Duration) float64 {
	values := make([]float64, len(list))
	for i, s := range list {
		values[i] = float64(of(s)) / float64(time.Millisecond)
	}
	return median(values)
}

// ratio is the median of the quotients of the pairs, which drifts of the machine leave alone.
func ratio(samples [2][]sample, of func(sample) time.Duration) float64 {
	values := make([]float64, len(samples[0]))
	for i := range samples[0] {
		values[i] = float64(of(samples[1][i])) / float64(of(samples[0][i]))
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func release(name syscall.Utsname) string {
	var text []byte
	for _, c := range name.Release {
		if c == 0 {
			break
		}
		text = append(text, byte(c))
	}
	return string(text)
}
