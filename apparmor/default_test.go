// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// sysctls are the files beneath /proc/sys/kernel, of Linux 6.1 to 6.18.
const sysctls = `acct acpi_video_flags arch auto_msgmni bootloader_type bootloader_version bpf_stats_enabled cad_pid cap_last_cap core_file_note_size_limit core_modes core_pattern
core_pipe_limit core_sort_vma core_uses_pid ctrl-alt-del dmesg_restrict domainname firmware_config/force_sysfs_fallback firmware_config/ignore_sysfs_fallback
ftrace_dump_on_oops ftrace_enabled hardlockup_all_cpu_backtrace hardlockup_panic hostname hotplug hung_task_all_cpu_backtrace hung_task_check_count
hung_task_check_interval_secs hung_task_detect_count hung_task_panic hung_task_timeout_secs hung_task_warnings io_delay_type io_uring_disabled io_uring_group
keys/gc_delay keys/maxbytes keys/maxkeys keys/persistent_keyring_expiry keys/root_maxbytes keys/root_maxkeys kexec_load_disabled kexec_load_limit_panic
kexec_load_limit_reboot kptr_restrict latencytop max_lock_depth max_rcu_stall_to_panic modprobe modules_disabled msg_next_id msgmax msgmnb msgmni ngroups_max nmi_watchdog
ns_last_pid numa_balancing numa_balancing_promote_rate_limit_MBps oops_all_cpu_backtrace oops_limit osrelease ostype overflowgid overflowuid panic panic_on_io_nmi
panic_on_oops panic_on_rcu_stall panic_on_unrecovered_nmi panic_on_warn panic_print panic_sys_info perf_cpu_time_max_percent perf_event_max_contexts_per_stack
perf_event_max_sample_rate perf_event_max_stack perf_event_mlock_kb perf_event_paranoid pid_max poweroff_cmd print-fatal-signals printk printk_delay printk_devkmsg
printk_ratelimit printk_ratelimit_burst pty/max pty/nr pty/reserve random/boot_id random/entropy_avail random/poolsize random/urandom_min_reseed_secs random/uuid
random/write_wakeup_threshold randomize_va_space real-root-dev sched_autogroup_enabled sched_cfs_bandwidth_slice_us sched_child_runs_first sched_deadline_period_max_us
sched_deadline_period_min_us sched_energy_aware sched_rr_timeslice_ms sched_rt_period_us sched_rt_runtime_us sched_schedstats sched_util_clamp_max sched_util_clamp_min
sched_util_clamp_min_rt_default seccomp/actions_avail seccomp/actions_logged sem sem_next_id sg-big-buff shm_next_id shm_rmid_forced shmall shmmax shmmni soft_watchdog
softlockup_all_cpu_backtrace softlockup_panic spl/hostid split_lock_mitigate stack_tracer_enabled sysctl_writes_strict sysrq tainted task_delayacct threads-max
timer_migration traceoff_on_warning tracepoint_printk unknown_nmi_panic unprivileged_bpf_disabled unprivileged_userns_clone usermodehelper/bset usermodehelper/inheritable
version warn_limit watchdog watchdog_cpumask watchdog_thresh yama/ptrace_scope`

// compileDefault compiles a built-in text as strictly as the runtime does.
func compileDefault(t *testing.T, version, text string) (*binary.Profile, Features) {
	t.Helper()
	features, ok := KernelFeatures(version)
	if !ok {
		t.Fatalf("no features of %s", version)
	}
	compiled, _, err := CompileText(context.Background(), "built in", text, syntax.Options{}, Options{Features: features, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(compiled.Warnings) > 0 {
		t.Error(compiled.Warnings)
	}
	return compiled.Policy.Profiles[0], features
}

func defaultFor(t *testing.T, version string) (*binary.Profile, Features) {
	t.Helper()
	features, _ := KernelFeatures(version)
	return compileDefault(t, version, Default(DefaultOptions{Features: features, Peers: []string{"/usr/bin/engine {x}"}}))
}

// writableSysctls returns the sysctls of the kernel that the profile lets be written.
func writableSysctls(profile *binary.Profile, features Features) []string {
	var open []string
	for _, name := range strings.Fields(sysctls) {
		if Decide(profile, features, FileQuestion{Path: "/proc/sys/kernel/" + name, Access: "w"}, nil).Allowed {
			open = append(open, name)
		}
	}
	return open
}

func TestOfTheKernelsSysctlsOnlySharedMemoryIsWritable(t *testing.T) {
	want := []string{"shm_next_id", "shm_rmid_forced", "shmall", "shmmax", "shmmni"}
	for _, version := range Kernels() {
		profile, features := defaultFor(t, version)
		if got := writableSysctls(profile, features); !slices.Equal(got, want) {
			t.Errorf("%s: bulkhead-default: %v", version, got)
		}
		// Docker's means the same and says something else: this is what closing it is about.
		docker, features := compileDefault(t, version, DockerDefault(DockerDefaultName, DockerFacts{}))
		if got := writableSysctls(docker, features); len(got) != 37 || !slices.Contains(got, "threads-max") || !slices.Contains(got, "sysrq") || !slices.Contains(got, "yama/ptrace_scope") {
			t.Errorf("%s: docker-default: %d: %v", version, len(got), got)
		}
	}
}

func TestDefaultAnswersAsItSays(t *testing.T) {
	for question, want := range map[string]bool{
		"file /etc/passwd rw": true, "file /usr/bin/env r": true, "exec /bin/sh": true, "link /tmp/a -> /tmp/b": true,
		"file /proc/1/attr/current w": true, "file /proc/123/oom_score_adj w": true, "file /proc/sys/kernel/hostname r": true,
		"file /proc/sysrq-trigger w": false, "file /proc/sysrq-trigger r": false, "file /proc/kcore r": false, "file /proc/bus/pci/00/00.0 w": false,
		"file /proc/irq/1/smp_affinity w": false, "file /proc/fs/x w": false, "file /proc/sysvipc/shm w": false, "file /proc/scsi/scsi w": false, "file /proc/keys w": false,
		"file /proc/s w": false, "file /proc/sy/x w": false, "file /proc/sys w": false, "file /proc/sys/k w": false, "file /proc/sys/net/ipv4/ip_forward w": false,
		"file /proc/sys/fs/mqueue/msg_max w": false, "file /proc/sys/kernelx/shm w": false, "file /proc/sys/kernel/shmx/y w": true, "file /proc/sys/vm/swappiness w": false,
		"file /sys/fs/cgroup/memory.max w": true, "file /sys/fs/cgroup r": true, "file /sys/kernel/profiling w": false, "file /sys/kernel/profiling r": true,
		"file /sys/fs/bpf/x w": false, "file /sys/f w": false, "file /sys/fs/cgroups/x w": true, "file /sys/power/state w": false, "file /sys/firmware/efi/x r": false,
		"file /sys/kernel/security/apparmor/.replace w": false, "file /sys/kernel/security/lsm r": false, "file /sys/devices/virtual/powercap/x r": false,
		"capability sys_admin": true, "network inet stream": true, "network netlink raw": true,
		"mount fstype=tmpfs tmpfs -> /mnt": false, "mount options=bind /a -> /b": false, "mount options=remount -> /": false, "umount /mnt": true, "pivot_root /new": false,
		"signal receive term peer=unconfined": true, "signal receive kill peer=runc": true, "signal receive kill peer=crun": true, "signal receive kill peer=podman": true,
		"signal receive term peer=containerd": true, "signal receive term peer=dockerd": true, "signal receive term peer=/usr/bin/engine {x}": true,
		"signal receive term peer=docker-default": false, "signal send kill peer=unconfined": false, "signal send kill peer=bulkhead-default": true,
		"ptrace trace peer=bulkhead-default": true, "ptrace trace peer=unconfined": false, "ptrace readby peer=bulkhead-default": true,
		"userns create": true, "unix connect type=stream peer=(addr=/run/x label=unconfined)": true,
		"io_uring sqpoll": true, "io_uring override_creds label=bulkhead-default": true, "change_profile unconfined": false,
	} {
		parsed, err := ParseQuestion(splitQuestion(question))
		if err != nil {
			t.Fatalf("%s: %v", question, err)
		}
		for _, version := range Kernels() {
			profile, features := defaultFor(t, version)
			if verdict := Decide(profile, features, parsed, nil); verdict.Allowed != want {
				t.Errorf("%s: %s: %s", version, question, verdict)
			}
		}
	}
}

// splitQuestion parts words; what follows the last peer= is one of them.
func splitQuestion(question string) []string {
	head, peer, ok := strings.Cut(question, " peer=")
	words := strings.Fields(head)
	if ok {
		words = append(words, "peer="+peer)
	}
	return words
}

func TestDefaultMediatesWhatTheKernelDoes(t *testing.T) {
	profile, features := defaultFor(t, "6.12")
	verdict := Decide(profile, features, IOUringQuestion{Access: "override_creds", Label: "unconfined"}, nil)
	if verdict.Allowed {
		t.Errorf("the credentials of another label: %s", verdict)
	}
}

func TestDockerDefaultIsDockersText(t *testing.T) {
	// As github.com/moby/profiles/apparmor v0.1.0 generates it, with and without the files of the apparmor package, but for empty lines.
	lines := func(text string) []string {
		return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	}
	bare := lines(DockerDefault("docker-default", DockerFacts{}))
	for i, want := range map[int]string{0: "@{PROC}=/proc/", 1: "profile docker-default flags=(attach_disconnected,mediate_deleted) {", 2: "  network,", 13: "  signal (receive) peer=unconfined,"} {
		if bare[i] != want {
			t.Errorf("line %d is %q, want %q", i, bare[i], want)
		}
	}
	full := lines(DockerDefault("other", DockerFacts{Daemon: "/usr/bin/dockerd", Tunables: true, Base: true, ABI: true}))
	for _, want := range []string{"abi <abi/3.0>,", "#include <tunables/global>", "profile other flags=(attach_disconnected,mediate_deleted) {", "  #include <abstractions/base>",
		"  signal (receive) peer=/usr/bin/dockerd,", "  signal (send,receive) peer=other,", "  ptrace (trace,read,tracedby,readby) peer=other,"} {
		if !slices.Contains(full, want) {
			t.Errorf("no line %q", want)
		}
	}
	if slices.Contains(full, "@{PROC}=/proc/") || len(full) != len(bare)+2 {
		t.Errorf("%d lines, and %d without the files", len(full), len(bare))
	}
}
