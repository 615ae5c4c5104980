// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
)

// User is who the container's first process runs as.
type User struct {
	UID, GID         uint32
	AdditionalGroups []uint32
	Home             string // from the container's passwd file; "/" where that knows nothing
}

// HostFacts is what the config depends on besides its request.
type HostFacts struct {
	Capabilities    []string // that the runtime can give: what "all" means, CAP_NAME in the kernel's order
	CgroupNamespace bool     // the kernel has cgroup namespaces
	CgroupV2        bool     // /sys/fs/cgroup is the unified hierarchy
	SwapLimit       bool     // memory cgroups limit swap
	ThermalThrottle []string // directories /sys/devices/system/cpu/cpuN/thermal_throttle, which tell of the neighbours' load
}

// Spec makes the OCI config of one container from checked options, the image's own configuration (the zero Config for a RootFS), the
// absolute path of the container's root, the resolved user and facts of the host. The same input gives the same config. Errors are
// *UsageError, or kernel.ErrNotSupported for an option that this host cannot honour.
func Spec(options Options, image v1.Config, rootfs string, user User, host HostFacts) (*specs.Spec, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	if options.Security.WritableCgroups && !(host.CgroupV2 && host.CgroupNamespace) {
		return nil, fmt.Errorf("--security-opt writable-cgroups: needs cgroup v2 and cgroup namespaces: %w", kernel.ErrNotSupported)
	}
	process, err := process(options, image, user, host)
	if err != nil {
		return nil, err
	}
	masked, readOnly := systemPaths(options, host)
	return &specs.Spec{
		Version:     "1.0.2", // all that is used here; crun 1.8 refuses one that it does not know
		Process:     process,
		Root:        &specs.Root{Path: rootfs, Readonly: options.ReadOnly},
		Hostname:    options.Hostname,
		Mounts:      mounts(options, host),
		Annotations: maps.Clone(options.Annotations),
		Linux: &specs.Linux{
			Namespaces:    namespaces(options, host),
			MaskedPaths:   masked,
			ReadonlyPaths: readOnly,
			Resources:     resources(options, host),
		},
	}, nil
}

func process(options Options, image v1.Config, user User, host HostFacts) (*specs.Process, error) {
	arguments, err := arguments(options, image)
	if err != nil {
		return nil, err
	}
	directory, err := workingDirectory(options, image)
	if err != nil {
		return nil, err
	}
	return &specs.Process{
		Terminal:        options.TTY,
		User:            specs.User{UID: user.UID, GID: user.GID, AdditionalGids: slices.Clone(user.AdditionalGroups)},
		Args:            arguments,
		Env:             environment(options, image, user),
		Cwd:             directory,
		Capabilities:    capabilities(options, user, host),
		NoNewPrivileges: options.Security.NoNewPrivileges,
	}, nil
}

// arguments joins entrypoint and command as Docker does: an entrypoint of the user's drops the image's command, which was meant for another.
func arguments(options Options, image v1.Config) ([]string, error) {
	entrypoint, command := image.Entrypoint, image.Cmd
	if options.Entrypoint != nil {
		entrypoint, command = nil, nil
		if *options.Entrypoint != "" {
			entrypoint = []string{*options.Entrypoint}
		}
	}
	if len(options.Command) > 0 {
		command = options.Command
	}
	arguments := slices.Concat(entrypoint, command)
	if len(arguments) == 0 || arguments[0] == "" {
		return nil, usage("COMMAND", "name the program to run after the image", "neither the image nor the command line names a program")
	}
	for i, argument := range arguments {
		if strings.ContainsRune(argument, 0) {
			return nil, usage("COMMAND", "", "argument %d holds a zero byte", i)
		}
	}
	return arguments, nil
}

func workingDirectory(options Options, image v1.Config) (string, error) {
	directory := image.WorkingDir
	if options.WorkDir != "" {
		directory = options.WorkDir
	}
	switch {
	case directory == "":
		return "/", nil
	case !path.IsAbs(directory):
		return "", usage("--workdir", "give an absolute path by --workdir", "the image's working directory %.200q is not absolute", directory)
	}
	return path.Clean(directory), nil
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment lets the image override the defaults, and the user both; a bare NAME of the user's removes the variable.
func environment(options Options, image v1.Config, user User) []string {
	merged := []string{"PATH=" + defaultPath}
	if options.Hostname != "" {
		merged = append(merged, "HOSTNAME="+options.Hostname)
	}
	if options.TTY {
		merged = append(merged, "TERM=xterm")
	}
	merged = append(merged, "HOME="+user.Home)
	for _, item := range slices.Concat(image.Env, options.Environment) {
		merged = setVariable(merged, item)
	}
	return merged
}

func setVariable(environment []string, item string) []string {
	name, _, hasValue := strings.Cut(item, "=")
	i := slices.IndexFunc(environment, func(other string) bool { return strings.HasPrefix(other, name+"=") })
	switch {
	case name == "" || strings.ContainsRune(item, 0): // from a broken image: no program could read it
		return environment
	case i >= 0 && hasValue:
		environment[i] = item
	case i >= 0:
		return slices.Delete(environment, i, i+1)
	case hasValue:
		return append(environment, item)
	}
	return environment
}

// DefaultCapabilities returns the 14 that Docker leaves to root in a container, in the kernel's order.
func DefaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
	}
}

// capabilities gives a user who is not root an empty permitted set: the bounding set says what setuid programs may still gain.
func capabilities(options Options, user User, host HostFacts) *specs.LinuxCapabilities {
	granted := grantedCapabilities(options, host)
	sets := &specs.LinuxCapabilities{Bounding: granted}
	if user.UID == 0 {
		sets.Permitted = slices.Clone(granted)
		sets.Effective = slices.Clone(granted)
	}
	return sets
}

// grantedCapabilities gives what is named even where the runtime cannot: then it must not start. "All" is all that it can.
func grantedCapabilities(options Options, host HostFacts) []string {
	has := slices.Contains[[]string]
	all := options.Privileged || has(options.CapAdd, "ALL")
	var granted []string
	for _, name := range plan.CapabilityNames() {
		byDefault := !has(options.CapDrop, "ALL") && has(DefaultCapabilities(), name)
		byAll := all && has(host.Capabilities, name)
		if has(options.CapAdd, name) || (byDefault || byAll) && !has(options.CapDrop, name) {
			granted = append(granted, name)
		}
	}
	return granted
}

func namespaces(options Options, host HostFacts) []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UTSNamespace}}
	add := func(wanted bool, kind specs.LinuxNamespaceType) {
		if wanted {
			list = append(list, specs.LinuxNamespace{Type: kind})
		}
	}
	add(options.Network != ShareHost, specs.NetworkNamespace)
	add(options.PID != ShareHost, specs.PIDNamespace)
	add(options.IPC != ShareHost, specs.IPCNamespace)
	add(host.CgroupNamespace, specs.CgroupNamespace)
	return list
}

func resources(options Options, host HostFacts) *specs.LinuxResources {
	limits := &specs.LinuxResources{Devices: deviceRules(options.Privileged)}
	if options.Memory > 0 {
		limits.Memory = &specs.LinuxMemory{Limit: new(options.Memory)}
		if host.SwapLimit {
			limits.Memory.Swap = new(2 * options.Memory) // Docker's default: as much swap as memory
		}
	}
	if options.PidsLimit > 0 {
		limits.Pids = &specs.LinuxPids{Limit: new(options.PidsLimit)}
	}
	return limits
}

// deviceRules allow, after a general denial, the devices that every container finds in /dev. The runtime adds its own few (ptmx, making
// any node without opening it).
func deviceRules(privileged bool) []specs.LinuxDeviceCgroup {
	if privileged {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	for _, number := range [][2]int64{{1, 3}, {1, 5}, {1, 8}, {1, 9}, {5, 0}, {5, 1}} { // null, zero, random, urandom, tty, console
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: new(number[0]), Minor: new(number[1]), Access: "rwm"})
	}
	return rules
}
