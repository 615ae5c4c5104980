// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"slices"
	"strings"
)

// The names of the profiles whose text Bulkhead can generate.
const (
	DefaultName       = "bulkhead-default"
	DockerDefaultName = "docker-default"
)

// DefaultPeers are the labels under which the programs that end a container's processes run: nothing confines most of them, and where AppArmor 4 is
// installed runtimes and engines have profiles of their names that confine nothing, yet are labels.
func DefaultPeers() []string {
	return []string{"unconfined", "bulkhead", "bulkhead-runtime", "buildah", "conmon", "containerd", "containerd-shim", "crio", "crun", "dockerd", "podman", "rootlesskit", "runc"}
}

// DefaultOptions say for whom a default profile is generated.
type DefaultOptions struct {
	Name string // DefaultName if empty
	// Peers are labels of programs that may signal the container's processes, beside DefaultPeers: the one of the runtime itself.
	Peers []string
	// Features are those of the kernel: classes that it mediates need rules, and those that it does not may have none under Options.Strict.
	Features Features
}

// Default generates the text of Bulkhead's own profile for containers. It allows what Docker's allows and denies what Docker's means to deny, in full: in
// /proc/sys nothing but /proc/sys/kernel/shm* can be written, where Docker's patterns leave open every name that has s first, h second or m third.
// The text needs no other file.
func Default(options DefaultOptions) string {
	name := options.Name
	if name == "" {
		name = DefaultName
	}
	rules := []string{
		"network,",
		"capability,",
		"file,",
		"umount,",
		"# Runtimes and engines end the container's processes; these signal each other.",
		"signal (receive) peer={" + strings.Join(DefaultPeers(), ",") + "},",
		"signal (send, receive) peer=" + quote(name) + ",",
		"ptrace (trace, read, tracedby, readby) peer=" + quote(name) + ",",
	}
	for _, peer := range options.Peers {
		if peer != "" && !slices.Contains(DefaultPeers(), peer) {
			rules = append(rules, "signal (receive) peer="+quote(peer)+",")
		}
	}
	rules = append(rules, mediatedRules(name, options.Features)...)
	rules = append(rules,
		"deny mount,",
		"# /proc: what belongs to processes, and System V shared memory.",
		"deny /proc/* w,",
		"deny "+allBut("/proc/", "sys/kernel/shm", "[1-9]")+" w,",
		"deny /proc/{sysrq-trigger,kcore} rwklx,",
		"# /sys: control groups, as far as the mount lets them be written.",
		"deny "+allBut("/sys/", "fs/cgroup")+" wklx,",
		"deny /sys/firmware/** rwklx,",
		"deny /sys/devices/virtual/powercap/** rwklx,",
		"deny /sys/kernel/security/** rwklx,",
	)
	return fmt.Sprintf("# Bulkhead's default profile for containers.\nprofile %s flags=(attach_disconnected, mediate_deleted) {\n  %s\n}\n", quote(name), strings.Join(rules, "\n  "))
}

// mediatedRules allow what kernels since AppArmor 4 mediate and Docker's profile, which is written for AppArmor 3, leaves alone. Whether a container
// may make user namespaces or use io_uring at all is decided by its seccomp filter.
func mediatedRules(name string, features Features) []string {
	var rules []string
	for _, class := range []struct {
		feature, rule string
	}{
		{"network/af_unix", "unix,"},
		{"network_v9/af_unix", "unix,"},
		{"namespaces/mask", "userns create,"},
		{"io_uring", "io_uring sqpoll,"},
		{"io_uring", "io_uring override_creds label=" + quote(name) + ","},
		{"ipc/posix_mqueue", "mqueue,"},
	} {
		if features.Has(class.feature) && !slices.Contains(rules, class.rule) {
			rules = append(rules, class.rule)
		}
	}
	return rules
}

// allBut returns a glob of every path beneath base, a directory with its slash, that begins neither with base and prefix nor with base and one byte of
// the set also, which the first byte of prefix is not in: one alternative for each byte at which a path can part from the prefix.
func allBut(base, prefix string, also ...string) string {
	var choices []string
	for i := range len(prefix) {
		set := prefix[i : i+1]
		if i == 0 && len(also) > 0 {
			set += strings.Trim(also[0], "[]")
		}
		choices = append(choices, prefix[:i]+"[^"+set+"]**")
		if i > 0 && prefix[i-1] != '/' {
			choices = append(choices, prefix[:i])
		}
	}
	return base + "{" + strings.Join(choices, ",") + "}"
}

// escape keeps a label from being read as a pattern.
func escape(label string) string {
	var out strings.Builder
	for _, b := range []byte(label) {
		if strings.IndexByte(`\?*[]{}^,"`, b) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(b)
	}
	return out.String()
}

// quote writes a name as a word of the language.
func quote(name string) string {
	if strings.ContainsAny(name, " \t{}[],()\"=") {
		return `"` + escape(name) + `"`
	}
	return escape(name)
}

// DockerFacts are what Docker looks at before it generates its profile.
type DockerFacts struct {
	Daemon   string // label of the daemon; "" for unconfined
	Tunables bool   // /etc/apparmor.d/tunables/global is there
	Base     bool   // /etc/apparmor.d/abstractions/base
	ABI      bool   // /etc/apparmor.d/abi/3.0
}

// DockerDefault generates the text of Docker's profile, as github.com/moby/profiles/apparmor v0.1.0 (Apache-2.0) does; the abi rule is the one that later
// versions, and containerd, add where they can.
func DockerDefault(name string, facts DockerFacts) string {
	daemon := facts.Daemon
	if daemon == "" {
		daemon = "unconfined"
	}
	abi, imports, inner := "", "@{PROC}=/proc/", ""
	if facts.ABI {
		abi = "abi <abi/3.0>,\n"
	}
	if facts.Tunables {
		imports = "#include <tunables/global>"
	}
	if facts.Base {
		inner = "\n  #include <abstractions/base>\n"
	}
	return strings.NewReplacer("{abi}", abi, "{imports}", imports, "{inner}", inner, "{name}", name, "{daemon}", daemon).Replace(dockerTemplate)
}

// dockerTemplate is Docker's, word for word: the profile of that name is expected to be this one.
const dockerTemplate = `{abi}
{imports}


profile {name} flags=(attach_disconnected,mediate_deleted) {
{inner}

  network,
  capability,
  file,
  umount,
  # Host (privileged) processes may send signals to container processes.
  signal (receive) peer=unconfined,
  # runc may send signals to container processes (for "docker stop").
  signal (receive) peer=runc,
  # crun may send signals to container processes (for "docker stop" when used with crun OCI runtime).
  signal (receive) peer=crun,
  # dockerd may send signals to container processes (for "docker kill").
  signal (receive) peer={daemon},
  # Container processes may send signals amongst themselves.
  signal (send,receive) peer={name},

  deny @{PROC}/* w,   # deny write for all files directly in /proc (not in a subdir)
  # deny write to files not in /proc/<number>/** or /proc/sys/**
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,  # deny /proc/sys except /proc/sys/k* (effectively /proc/sys/kernel)
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,  # deny everything except shm* in /proc/sys/kernel/
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,

  deny mount,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,

  # suppress ptrace denials when using 'docker ps' or using 'ps' inside a container
  ptrace (trace,read,tracedby,readby) peer={name},
}
`
