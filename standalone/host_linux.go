// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/plan"
)

// ProbeHost finds the facts that Spec needs. What cannot be read counts as absent.
func ProbeHost() HostFacts {
	facts := HostFacts{Capabilities: givableCapabilities()}
	_, err := os.Stat("/proc/self/ns/cgroup")
	facts.CgroupNamespace = err == nil
	var system unix.Statfs_t
	facts.CgroupV2 = unix.Statfs("/sys/fs/cgroup", &system) == nil && system.Type == unix.CGROUP2_SUPER_MAGIC
	facts.SwapLimit = swapLimit(facts.CgroupV2)
	facts.ThermalThrottle, _ = filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle") // the pattern is well formed
	return facts
}

// swapLimit looks for the file that would be written: on v2 every cgroup but the root has it.
func swapLimit(unified bool) bool {
	pattern := "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
	if unified {
		pattern = "/sys/fs/cgroup/*/memory.swap.max"
	}
	found, err := filepath.Glob(pattern)
	return err == nil && len(found) > 0
}

// givableCapabilities are in our bounding set and permitted: a child can have no other.
func givableCapabilities() []string {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil
	}
	var names []string
	for number, name := range plan.CapabilityNames() {
		bound, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0)
		if err == nil && bound == 1 && data[number/32].Permitted&(1<<(number%32)) != 0 {
			names = append(names, name)
		}
	}
	return names
}
