// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/container"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// secilc compiles with the reference's compiler.
func secilc(files ...string) (*policydb.Policy, error) {
	directory, err := os.MkdirTemp("", "secilc-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(directory)
	output := filepath.Join(directory, "policy")
	if out, err := exec.Command("secilc", append([]string{"-c", "33", "-o", output, "-f", os.DevNull}, files...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("secilc: %w: %s", err, out)
	}
	data, err := os.ReadFile(output)
	if err != nil {
		return nil, err
	}
	return policydb.Decode(data)
}

// writtenSources are sources as files for secilc, in a directory of their own.
func writtenSources(directory string, sources []cil.Source) ([]string, error) {
	var paths []string
	for i, source := range sources {
		path := filepath.Join(directory, fmt.Sprintf("%d.cil", i))
		if err := os.WriteFile(path, source.Text, 0o600); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// debianContainers is Debian's policy with the container policy: made of all modules by secilc, and put onto the binary policy by ours.
var debianContainers = sync.OnceValues(func() (map[string]*policydb.Policy, error) {
	directory, err := Debian()
	if err != nil {
		return nil, err
	}
	base, err := readPolicy(filepath.Join(directory, "policy.33"))
	if err != nil {
		return nil, err
	}
	sources, err := container.Sources(base)
	if err != nil {
		return nil, err
	}
	onto, err := cil.Compile(sources, cil.Options{Onto: base})
	if err != nil {
		return nil, err
	}
	modules, err := filepath.Glob(filepath.Join(directory, "cil", "*.cil"))
	if err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp("", "container-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)
	paths, err := writtenSources(temporary, sources)
	if err != nil {
		return nil, err
	}
	whole, err := secilc(append(modules, paths...)...)
	return map[string]*policydb.Policy{"secilc": whole, "onto": onto.Policy}, err
})

func debianWithContainers(t *testing.T) map[string]*policydb.Policy {
	t.Helper()
	policies, err := debianContainers()
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

func readPolicy(path string) (*policydb.Policy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return policydb.Decode(data)
}

// plainWithContainers is the same for a policy that shares nothing with the reference policy.
func plainWithContainers(t *testing.T) map[string]*policydb.Policy {
	t.Helper()
	const plain = "../../selinux/container/testdata/plain.cil"
	base, err := secilc(plain)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := container.Sources(base, "kernel_t")
	if err != nil {
		t.Fatal(err)
	}
	onto, err := cil.Compile(sources, cil.Options{Onto: base})
	if err != nil {
		t.Fatal(err)
	}
	paths, err := writtenSources(t.TempDir(), sources)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := secilc(append([]string{plain}, paths...)...)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*policydb.Policy{"plain, secilc": whole, "plain, onto": onto.Policy}
}

func contextOf(t *testing.T, policy *policydb.Policy, text string) *policydb.Context {
	t.Helper()
	context, err := policy.ParseContext(text)
	if err != nil {
		t.Fatal(err)
	}
	return context
}

// Whatever two of them are, with different pairs there is nothing between them.
func TestContainersWithDifferentPairsLeaveNoResidue(t *testing.T) {
	processes := []string{"container_t", "container_init_t", "container_userns_t", "container_kvm_t", "svirt_t"}
	files := []string{"container_file_t", "container_ro_file_t", "svirt_image_t", "svirt_tmp_t", "svirt_tmpfs_t"}
	policies := plainWithContainers(t)
	maps.Copy(policies, debianWithContainers(t))
	for name, policy := range policies {
		stopped := 0
		for _, source := range processes {
			from := contextOf(t, policy, "system_u:system_r:"+source+":s0:c1,c2")
			for _, target := range slices.Concat(processes, files) {
				role := "object_r"
				if slices.Contains(processes, target) {
					role = "system_r"
				}
				for _, pair := range []string{"c3,c4", "c1,c3", "c2,c3", "c1.c3", "c0.c4"} {
					to := contextOf(t, policy, "system_u:"+role+":"+target+":s0:"+pair)
					for _, access := range policy.Residue(from, to) {
						if access.Allowed != 0 {
							t.Errorf("%s: %s to %s:%s: %s %s", name, source, target, pair, access.Class.Name, policy.FormatPermissions(access.Class, access.Allowed))
						}
						stopped++
					}
				}
			}
		}
		if stopped == 0 {
			t.Errorf("%s: nothing is stopped, so nothing was there to stop", name)
		}
	}
}

// access is a question with its answer.
type access struct {
	source, target, class, permissions string
	allowed                            bool
}

func (a access) check(t *testing.T, policies map[string]*policydb.Policy) {
	t.Helper()
	for name, policy := range policies {
		a.ask(t, name, policy)
	}
}

func (a access) ask(t *testing.T, compiler string, policy *policydb.Policy) {
	t.Helper()
	class, err := policy.Class(a.class)
	if err != nil {
		t.Fatal(err)
	}
	decision := policy.Decide(contextOf(t, policy, a.source), contextOf(t, policy, a.target), class.Value)
	for name := range strings.FieldsSeq(a.permissions) {
		bit, err := policy.Permission(class, name)
		if err != nil {
			t.Fatal(err)
		}
		if allowed := decision.Allowed&bit != 0; allowed != a.allowed {
			t.Errorf("%s: %s %s %s %s: allowed %v", compiler, a.source, a.target, a.class, name, allowed)
		}
	}
}

const (
	processA = "system_u:system_r:container_t:s0:c1,c2"
	filesA   = "system_u:object_r:container_file_t:s0:c1,c2"
)

func object(name string) string { return "system_u:object_r:" + name + ":s0" }

func TestContainersMayDoWhatTheyNeed(t *testing.T) {
	const unconfined, super = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", "system_u:system_r:spc_t:s0"
	for _, question := range []access{
		{processA, filesA, "file", "create read write append execute entrypoint map open unlink rename", true},
		{processA, filesA, "dir", "create add_name remove_name search read open", true},
		{processA, filesA, "chr_file", "open read write map", true},
		{processA, object("container_file_t"), "file", "read write", true}, // a shared volume
		{processA, object("container_ro_file_t"), "file", "read execute map", true},
		{processA, object("container_ro_file_t"), "file", "write append create unlink setattr", false},
		{processA, filesA, "file", "relabelfrom relabelto", false},
		{processA, filesA, "blk_file", "read write open", false}, // container_use_devices is off
		{processA, processA, "process", "fork signal ptrace execmem", true},
		{processA, processA, "process", "setcurrent dyntransition setexec execheap", false},
		{processA, processA, "capability", "chown net_bind_service setuid mknod", true},
		{processA, processA, "capability", "sys_admin sys_module net_admin dac_read_search sys_ptrace", false},
		{processA, processA, "tcp_socket", "create bind listen accept connect name_connect", true},
		{processA, processA, "unix_stream_socket", "create connectto", true},
		{processA, object("http_port_t"), "tcp_socket", "name_bind name_connect", true},
		{processA, object("proc_t"), "file", "read open", true},
		{processA, object("sysctl_kernel_t"), "file", "read open", true},
		{processA, object("sysctl_kernel_t"), "file", "write", false},
		{processA, object("cgroup_t"), "file", "read open", true},
		{processA, object("cgroup_t"), "file", "write", false},
		{processA, object("null_device_t"), "chr_file", "read write open", true},
		{unconfined, processA, "process", "transition signal sigkill getattr", true},
		{unconfined, processA, "process2", "nnp_transition nosuid_transition", true},
		{unconfined, filesA, "file", "create write relabelto relabelfrom execute", true},
		{unconfined, filesA, "filesystem", "mount unmount relabelto", true},
		{filesA, object("fs_t"), "filesystem", "associate", true},
		{"system_u:system_r:init_t:s0", processA, "process", "transition sigkill", true},
		{"system_u:system_r:initrc_t:s0", processA, "process", "transition sigkill", true},
		{"system_u:system_r:kernel_t:s0", processA, "process", "transition", true},
		{"root:sysadm_r:sysadm_t:s0", processA, "process", "transition sigkill", true},
		{processA, unconfined, "fd", "use", true},
		{processA, unconfined, "process", "sigchld", true},
		{processA, unconfined, "fifo_file", "read write", true},
		{processA, unconfined, "fifo_file", "open", false}, // inherited, never found by way of /proc
		{processA, unconfined, "unix_stream_socket", "connectto", false},
		{super, object("shadow_t"), "file", "read write", true},
		{super, object("container_file_t"), "file", "entrypoint", true},
		{"system_u:system_r:container_runtime_t:s0", processA, "process", "transition", true},
	} {
		question.check(t, debianWithContainers(t))
	}
}

func TestContainersDoNothingToTheHost(t *testing.T) {
	policy := debianWithContainers(t)
	const everything = "read write append open"
	for class, types := range map[string]string{
		"file": "shadow_t etc_t user_home_t sshd_key_t var_log_t auditd_log_t selinux_config_t policy_config_t semanage_store_t file_context_t default_context_t modules_object_t " +
			"proc_kcore_t security_t admin_home_t var_lib_t tmp_t boot_t cert_t usr_t bin_t container_var_lib_t container_runtime_exec_t unlabeled_t root_t initrc_exec_t debugfs_t",
		"blk_file":  "fixed_disk_device_t removable_device_t memory_device_t",
		"chr_file":  "memory_device_t fixed_disk_device_t scsi_generic_device_t kmsg_device_t nvram_device_t device_t kvm_device_t",
		"sock_file": "var_run_t container_var_run_t init_runtime_t",
	} {
		for name := range strings.FieldsSeq(types) {
			for _, source := range []string{"container_t", "container_init_t", "container_userns_t"} {
				if !policyHas(policy["onto"], name) {
					if name != "admin_home_t" && name != "init_runtime_t" {
						t.Errorf("the policy has no %s", name)
					}
					continue
				}
				access{"system_u:system_r:" + source + ":s0:c1,c2", object(name), class, everything, false}.check(t, policy)
			}
		}
	}
	for _, host := range []string{"system_u:system_r:init_t:s0", "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", "system_u:system_r:sshd_t:s0", "system_u:system_r:spc_t:s0",
		"system_u:system_r:container_runtime_t:s0", "system_u:system_r:kernel_t:s0"} {
		access{processA, host, "process", "ptrace signal sigkill transition dyntransition setsched getattr", false}.check(t, policy)
		access{processA, host, "file", "read open", false}.check(t, policy)
	}
	access{processA, object("security_t"), "security", "load_policy setenforce setbool compute_av check_context read_policy", false}.check(t, policy)
	access{processA, "system_u:system_r:kernel_t:s0", "system", "module_load module_request syslog_read syslog_mod", false}.check(t, policy)
}

func policyHas(policy *policydb.Policy, name string) bool {
	return slices.ContainsFunc(policy.Types.Entries, func(typ policydb.Type) bool { return typ.Name == name })
}

func TestContainersOnAPolicyThatSharesNothingWithTheReferencePolicy(t *testing.T) {
	policy := plainWithContainers(t)
	const kernel = "system_u:system_r:kernel_t:s0-s0:c0.c4"
	for _, question := range []access{
		{processA, filesA, "file", "create read write execute entrypoint map", true},
		{processA, object("secret_t"), "file", "read write getattr", false},
		{processA, object("root_t"), "file", "read write getattr", false},
		{kernel, processA, "process", "transition sigkill", true},
		{kernel, filesA, "file", "create write execute relabelto", true},
		{filesA, object("tmpfs_t"), "filesystem", "associate", true},
		{processA, kernel, "fd", "use", true},
		{processA, kernel, "process", "sigchld", true},
		{processA, kernel, "process", "ptrace signal", false},
		{"system_u:system_r:spc_t:s0", object("secret_t"), "file", "read write", true},
		{"system_u:system_r:svirt_t:s0:c1,c2", "system_u:object_r:svirt_image_t:s0:c1,c2", "file", "read write", true},
		{kernel, "system_u:system_r:svirt_t:s0:c1,c2", "process", "transition", true},
	} {
		question.check(t, policy)
	}
}

func TestBooleansOfContainersSwitchWhatTheySay(t *testing.T) {
	for boolean, test := range map[string]struct {
		off bool // what is switched off when the boolean is; else on
		access
	}{
		"container_manage_cgroup":        {access: access{processA, object("cgroup_t"), "dir", "create write rmdir", true}},
		"container_use_devices":          {access: access{processA, filesA, "blk_file", "open read write ioctl", true}},
		"container_use_all_capabilities": {access: access{processA, processA, "capability", "sys_admin net_admin sys_ptrace", true}},
		"container_use_execmem":          {off: true, access: access{processA, processA, "process", "execmem execstack", true}},
	} {
		for name, policy := range debianWithContainers(t) {
			for _, state := range []bool{!test.off, test.off} { // the second is the default
				if err := policy.SetBooleans(map[string]bool{boolean: state}); err != nil {
					t.Fatal(err)
				}
				test.access.allowed = state
				test.ask(t, fmt.Sprintf("%s, %s %v", name, boolean, state), policy)
			}
		}
	}
	for _, policy := range debianWithContainers(t) {
		if err := policy.SetBooleans(map[string]bool{"container_use_all_capabilities": true}); err != nil {
			t.Fatal(err)
		}
		access{processA, processA, "capability", "sys_module", false}.ask(t, "all capabilities", policy)
		access{processA, processA, "capability2", "mac_admin mac_override", false}.ask(t, "all capabilities", policy)
		if err := policy.SetBooleans(map[string]bool{"container_use_all_capabilities": false}); err != nil {
			t.Fatal(err)
		}
	}
}

// What a container makes in memory belongs to it.
func TestMemoryFilesGetTheContainersType(t *testing.T) {
	policy := debianWithContainers(t)["onto"]
	class, err := policy.Class("file")
	if err != nil {
		t.Fatal(err)
	}
	made, err := policy.Compute(policydb.Transition, contextOf(t, policy, processA), contextOf(t, policy, object("tmpfs_t")), class.Value, "")
	if err != nil || policy.FormatContext(made) != filesA {
		t.Errorf("got %v, %v", made, err)
	}
}

func TestGeneratedDomainsMayDoWhatTheirNeedsSay(t *testing.T) {
	needs := container.Needs{Name: "web", Origin: "a test", Ports: []container.Port{{Number: 80, Protocol: "tcp"}}, Capabilities: []string{"chown", "net_raw", "net_admin"}, WritableCgroup: true,
		Mounts: []container.Mount{{Source: "/srv/www", Destination: "/www", Class: "dir", Label: object("httpd_sys_content_t"), ReadOnly: true},
			{Source: "/srv/db", Destination: "/db", Class: "dir", Label: object("mysqld_db_t")}, {Source: "/dev/dri/card0", Destination: "/dev/dri/card0", Class: "chr_file", Label: object("dri_device_t")}},
		Devices: []container.Device{{Path: "/dev/loop0", Block: true}}}
	base := debianWithContainers(t)["onto"]
	domain, err := container.Generate(base, needs, false)
	if err != nil {
		t.Fatal(err)
	}
	if remains, err := container.Verify(base, needs, false); err != nil || remains != "" {
		t.Errorf("remains %q, %v", remains, err)
	}
	result, err := cil.Compile([]cil.Source{{Name: "web.cil", Text: domain.Text}}, cil.Options{Onto: base})
	if err != nil {
		t.Fatal(err)
	}
	policy := map[string]*policydb.Policy{"onto": result.Policy}
	const process = "system_u:system_r:web.process:s0:c1,c2"
	for _, question := range []access{
		{process, object("http_port_t"), "tcp_socket", "name_bind name_connect", true},
		{process, object("ssh_port_t"), "tcp_socket", "name_bind", false},
		{process, object("ssh_port_t"), "tcp_socket", "name_connect", true},
		{process, process, "capability", "chown net_raw net_admin", true},
		{process, process, "capability", "setuid mknod sys_admin net_bind_service", false},
		{process, process, "packet_socket", "create", true},
		{process, object("httpd_sys_content_t"), "file", "read open map", true},
		{process, object("httpd_sys_content_t"), "file", "write append execute unlink", false},
		{process, object("mysqld_db_t"), "file", "read write create unlink", true},
		{process, object("mysqld_db_t"), "file", "execute", false},
		{process, object("dri_device_t"), "chr_file", "read write open", true},
		{process, object("cgroup_t"), "file", "write", true},
		{process, filesA, "blk_file", "read write open", true},
		{process, filesA, "file", "read write execute entrypoint", true},
		{process, object("shadow_t"), "file", "getattr read", false},
		{"unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", process, "process", "transition sigkill", true},
	} {
		question.check(t, policy)
	}
	for _, target := range []string{"system_u:system_r:web.process:s0:c3,c4", "system_u:system_r:container_t:s0:c3,c4", "system_u:object_r:container_file_t:s0:c3,c4"} {
		for _, access := range result.Policy.Residue(contextOf(t, result.Policy, process), contextOf(t, result.Policy, target)) {
			if access.Allowed != 0 {
				t.Errorf("%s: %s %s", target, access.Class.Name, result.Policy.FormatPermissions(access.Class, access.Allowed))
			}
		}
	}
}

// The rules of secrets.cil hold for whatever a module of somebody's own says, as long as it is compiled together with them.
func TestNoModuleGivesAContainerTheHostsSecrets(t *testing.T) {
	directory, err := Debian()
	if err != nil {
		t.Fatal(err)
	}
	base, err := readPolicy(filepath.Join(directory, "policy.33"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := container.Sources(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"(allow container_t shadow_t (file (read)))", "(allow container_domain fixed_disk_device_t (blk_file (read)))", "(allow container_t security_t (security (load_policy)))",
		"(allow container_t init_t (process (ptrace)))", "(allow container_t self (capability (sys_module)))", "(allow container_t kernel_t (system (module_load)))", "(allow container_domain file_type (file (read)))",
		"(boolean x false) (booleanif x (true (allow container_t memory_device_t (chr_file (write)))))", "(block b (type t) (typeattributeset container_domain (t)) (allow t shadow_t (file (getattr))))"} {
		_, err := cil.Compile(append(slices.Clone(sources), cil.Source{Name: "bad.cil", Text: []byte(rule + "\n")}), cil.Options{Onto: base})
		if err == nil || !strings.Contains(err.Error(), "bad.cil:1") {
			t.Errorf("%s is not refused: %v", rule, err)
		}
	}
}
