// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/container"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
)

// debianMachine is one on which an administrator is logged in by way of sshd, under Debian's policy.
func debianMachine() modules.Machine {
	const administrator = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
	object := func(typ string) string { return "system_u:object_r:" + typ + ":s0" }
	return modules.Machine{Caller: 40, Shell: object("shell_exec_t"), Processes: []modules.Process{
		{PID: 1, Command: "systemd", Context: "system_u:system_r:init_t:s0", Executable: object("init_exec_t")},
		{PID: 2, Command: "kthreadd", Context: "system_u:system_r:kernel_t:s0"},
		{PID: 20, Parent: 1, Command: "sshd", Context: "system_u:system_r:sshd_t:s0-s0:c0.c1023", Executable: object("sshd_exec_t")},
		{PID: 30, Parent: 20, Command: "bash", Context: administrator, Executable: object("shell_exec_t")},
		{PID: 40, Parent: 30, Command: "bulkhead", Context: administrator, Executable: object("bin_t")},
	}}
}

func TestWhatLocksADebianMachineOutIsFound(t *testing.T) {
	_, before := debian(t)
	for name, test := range map[string]struct{ module, want string }{
		"nothing":                                {"; nothing", ""},
		"a small module":                         {"(type small_t) (typeattributeset domain (small_t)) (allow small_t etc_t (file (read)))", ""},
		"something of the web server's":          {"(constrain (tcp_socket (name_bind)) (neq t1 httpd_t))", ""},
		"the administrator may not load":         {"(constrain (security (load_policy)) (neq t1 unconfined_t))", "control: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023 would lose { load_policy }"},
		"init may not load":                      {"(constrain (security (load_policy)) (eq t1 unconfined_t))", "control: system_u:system_r:init_t:s0 would lose { load_policy }"},
		"no way to a login":                      {"(constrain (process (transition)) (neq t1 sshd_t))", "way: system_u:system_r:sshd_t:s0-s0:c0.c1023 would lose { transition } on process unconfined_u"},
		"a shell of the administrator's is none": {"(typetransition unconfined_t shell_exec_t process httpd_t)", "way: unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023 would start a shell as nothing that is valid"},
		"kernel and init may not use themselves": {"(constrain (process (fork)) (eq t1 unconfined_t))", "self: system_u:system_r:kernel_t:s0 would lose { fork }"},
	} {
		result, err := cil.Compile([]cil.Source{{Name: "module", Text: []byte(test.module)}}, cil.Options{Onto: before})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var found []string
		for _, violation := range modules.LockOut(before, result.Policy, debianMachine()) {
			found = append(found, fmt.Sprintf("%s: %v", violation.Invariant, violation))
		}
		if test.want == "" && len(found) > 0 || test.want != "" && !slices.ContainsFunc(found, func(text string) bool { return strings.HasPrefix(text, test.want) }) {
			t.Errorf("%s: %q, want %q", name, found, test.want)
		}
	}
}

func TestTheContainerPolicyLocksNobodyOut(t *testing.T) {
	_, before := debian(t)
	sources, err := container.Sources(before, "unconfined_t")
	if err != nil {
		t.Fatal(err)
	}
	var texts []cil.Source
	for _, source := range sources {
		texts = append(texts, cil.Source{Name: source.Name, Text: source.Text})
	}
	result, err := cil.Compile(texts, cil.Options{Onto: before})
	if err != nil {
		t.Fatal(err)
	}
	if found := modules.LockOut(before, result.Policy, debianMachine()); len(found) > 0 {
		t.Errorf("%v", found)
	}
}
