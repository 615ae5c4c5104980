// SPDX-License-Identifier: Apache-2.0

// Command bench measures what confinement costs: the CPU time of `bulkhead-runtime run` beside that of plain `runc run`, on the same
// bundle with Docker's default seccomp profile, in alternating runs on the same machine. It prints a table in Markdown. Root is needed.
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
	if err := measure(*runs, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sample is one run of one runtime.
type sample struct{ cpu, wall time.Duration }

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
	if err := makeBundle(directory); err != nil {
		return err
	}
	peers := []string{"runc", binary}
	samples := make([][]sample, len(peers))
	for run := range runs + 2 {
		for i := range peers {
			i = (i + run) % len(peers) // neither always comes first
			taken, err := runOnce(peers[i], directory, fmt.Sprintf("bench-%d-%d-%d", os.Getpid(), run, i))
			if err != nil {
				return err
			}
			if run >= 2 { // two for the caches
				samples[i] = append(samples[i], taken)
			}
		}
	}
	return print(samples, runs)
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

// makeBundle makes a root file system of busybox, and `runc spec` with Docker's capabilities and seccomp profile that runs /bin/true.
func makeBundle(directory string) error {
	bin := filepath.Join(directory, "rootfs", "bin")
	for _, path := range []string{bin, filepath.Join(directory, "rootfs", "proc"), filepath.Join(directory, "rootfs", "dev"), filepath.Join(directory, "rootfs", "sys")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		if busybox, err = os.ReadFile("/bin/busybox"); err != nil {
			return fmt.Errorf("%w (apt-get install busybox-static)", err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "true"), busybox, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("runc", "spec", "--bundle", directory).CombinedOutput(); err != nil {
		return fmt.Errorf("runc spec: %w: %s (apt-get install runc)", err, out)
	}
	path := filepath.Join(directory, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	names := strings.Fields("CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_CHROOT CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP")
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names}
	spec.Process.Terminal, spec.Process.NoNewPrivileges, spec.Process.Args = false, false, []string{"/bin/true"}
	facts := kernel.Probe()
	version, err := seccomp.KernelVersion(facts.Release)
	if err != nil {
		return err
	}
	policy, _, err := seccomp.Docker().Resolve(seccomp.Target{Architecture: runtime.GOARCH, Capabilities: names, Kernel: version})
	if err != nil {
		return err
	}
	spec.Linux.Seccomp = policy.OCI()
	spec.Linux.Seccomp.Flags = nil // runc 1.1 refuses them, and takes their absence for the same: SPEC_ALLOW
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func print(samples [][]sample, runs int) error {
	version, err := exec.Command("runc", "--version").Output()
	if err != nil {
		return err
	}
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		return err
	}
	fmt.Printf("`make bench`: %d alternating pairs, %s, Linux %s, medians.\n\n", runs, strings.Split(string(version), "\n")[0], release(name))
	fmt.Println("| `run` of /bin/true | CPU ms | wall ms |")
	fmt.Println("|---|---|---|")
	for i, label := range []string{"runc", "bulkhead-runtime"} {
		fmt.Printf("| %s | %.1f | %.1f |\n", label, milliseconds(samples[i], cpuOf), milliseconds(samples[i], wallOf))
	}
	fmt.Printf("| ratio, median of the pairs | %.2f | %.2f |\n", ratio(samples, cpuOf), ratio(samples, wallOf))
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
func ratio(samples [][]sample, of func(sample) time.Duration) float64 {
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
