// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mounts lists the system mounts, then the user's, outer places before those inside them. One of the user's replaces a system mount of
// the same place.
func mounts(options Options, host HostFacts) []specs.Mount {
	users := userMounts(options)
	slices.SortStableFunc(users, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	system := slices.DeleteFunc(systemMounts(options, host), func(mount specs.Mount) bool {
		return slices.ContainsFunc(users, func(other specs.Mount) bool { return other.Destination == mount.Destination })
	})
	return append(system, users...)
}

func systemMounts(options Options, host HostFacts) []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: procOptions(options.Security.ProcOptions)},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", writing(options.Privileged)}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
			Options: []string{"nosuid", "noexec", "nodev", writing(cgroupsWritable(options, host))}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}}, // of the IPC namespace
		sharedMemory(options.IPC == ShareHost),
	}
}

func sharedMemory(hosts bool) specs.Mount {
	const place = "/dev/shm"
	if hosts {
		return specs.Mount{Destination: place, Type: "bind", Source: place, Options: []string{"rbind", "nosuid", "noexec", "nodev", "rw"}}
	}
	return specs.Mount{Destination: place, Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}}
}

func writing(allowed bool) string {
	if allowed {
		return "rw"
	}
	return "ro"
}

// cgroupsWritable follows Docker's writable-cgroups and, on cgroup v2 only, Podman's unmask. On v1 a writable hierarchy is a way out of the
// container, so there only a privileged one has it.
func cgroupsWritable(options Options, host HostFacts) bool {
	asked := options.Security.WritableCgroups || unmasked(options.Security.Unmask, "/sys/fs/cgroup")
	return options.Privileged || asked && host.CgroupV2 && host.CgroupNamespace
}

// procOptions adds the default flags of which the user has not asked for the opposite.
func procOptions(asked []string) []string {
	options := []string{}
	for _, flag := range []string{"nosuid", "noexec", "nodev"} {
		if !slices.Contains(asked, flag) && !slices.Contains(asked, flag[2:]) {
			options = append(options, flag)
		}
	}
	return append(options, asked...)
}

func userMounts(options Options) []specs.Mount {
	var list []specs.Mount
	for _, tmpfs := range options.Tmpfs {
		list = append(list, specs.Mount{Destination: tmpfs.Destination, Type: "tmpfs", Source: "tmpfs", Options: slices.Clone(tmpfs.Options)})
	}
	for _, volume := range options.Volumes {
		flags := []string{"rbind", "rprivate", writing(!volume.ReadOnly)}
		if volume.ReadOnly {
			flags = append(flags, "rro") // what is mounted below the source too
		}
		list = append(list, specs.Mount{Destination: volume.Destination, Type: "bind", Source: volume.Source, Options: flags})
	}
	return list
}

// systemPaths applies unmask, systempaths and mask to Docker's lists.
func systemPaths(options Options, host HostFacts) (masked, readOnly []string) {
	security := options.Security
	if !options.Privileged && !security.UnconfinedPaths {
		hidden := func(place string) bool { return unmasked(security.Unmask, place) }
		masked = slices.DeleteFunc(append(maskedPaths(), host.ThermalThrottle...), hidden)
		readOnly = slices.DeleteFunc(readOnlyPaths(), hidden)
	}
	for _, place := range security.Mask {
		if !slices.Contains(masked, place) {
			masked = append(masked, place)
		}
	}
	return masked, readOnly
}

func unmasked(patterns []string, place string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		matches, err := path.Match(pattern, place)
		return pattern == "ALL" || pattern == place || err == nil && matches
	})
}

// maskedPaths is Docker's list of what tells about, or reaches, the host's hardware, keys and memory.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
}

func readOnlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
