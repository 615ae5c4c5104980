// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// narrow lets processes do everything to files but ioctl, which is allowed at random, and narrowed by extended rules at random. It leaves out bounds, which would
// take from the child what the test needs.
func narrow(t *testing.T, policy *policydb.Policy, random *rand.Rand) {
	t.Helper()
	e := &extender{Rand: random, p: policy}
	values := map[string]uint32{}
	for i := range policy.Types.Entries {
		entry := &policy.Types.Entries[i]
		entry.Bounds = 0
		values[entry.Name] = entry.Value
		if entry.Properties == policydb.TypePrimary && entry.Name != "kernel_t" {
			e.types = append(e.types, entry.Value)
		}
	}
	allow := func(source, target, class string, vector uint32) {
		policy.Rules = slices.DeleteFunc(policy.Rules, func(rule policydb.Rule) bool {
			return uint32(rule.Source) == values[source] && uint32(rule.Target) == values[target] && uint32(rule.Class) == classOf(policy, class).Value
		})
		policy.Rules = append(policy.Rules, policydb.Rule{Source: uint16(values[source]), Target: uint16(values[target]), Class: uint16(classOf(policy, class).Value),
			Kind: policydb.RuleAllow, Data: vector})
	}
	ioctl, err := policy.Permission(classOf(policy, "file"), policydb.PermissionIoctl)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"dir", "lnk_file", "chr_file", "fifo_file", "process", "fd", "filesystem"} {
		allow("domain", "everything", class, ^uint32(0))
	}
	allow("domain", "file_type", "file", ^ioctl)
	for _, target := range []string{"data_t", "secret_t", "tmp_t", "log_t", "shared_t"} {
		allow("container", target, "file", ioctl)
	}
	file := uint16(classOf(policy, "file").Value)
	for _, kind := range []uint16{policydb.RuleAllowExtended, policydb.RuleAllowExtended, policydb.RuleAllowExtended, policydb.RuleAuditExtended, policydb.RuleSilentExtended} {
		policy.Rules = append(policy.Rules, e.ioctlRule(kind, values, file))
	}
	audit := e.ioctlRule(policydb.RuleAuditAllow, values, file)
	audit.Extended, audit.Data = nil, ioctl
	policy.Rules = append(policy.Rules, audit)
}

func classOf(policy *policydb.Policy, name string) *policydb.Class {
	at := slices.IndexFunc(policy.Classes.Entries, func(class policydb.Class) bool { return class.Name == name })
	return &policy.Classes.Entries[at]
}

// targets are the types of the files that commands are tried on.
var targets = []string{"data_t", "secret_t", "tmp_t", "log_t", "bin_t"}

// drivers are those whose commands are tried; the last in no rule but by chance.
var drivers = []uint8{0x71, 0x72, 0x73, 0x74}

func (e *extender) ioctlRule(kind uint16, values map[string]uint32, class uint16) policydb.Rule {
	rule := policydb.Rule{Source: uint16(values[among(e.Rand, []string{"app_t", "container", "domain"})]), Class: class, Kind: kind,
		Target: uint16(values[among(e.Rand, []string{"data_t", "secret_t", "tmp_t", "file_type", "everything"})])}
	rule.Extended = &policydb.Extended{Kind: 1, Driver: among(e.Rand, drivers[:3])}
	for i := range rule.Extended.Bits {
		rule.Extended.Bits[i] = e.Uint32()
	}
	if e.IntN(3) == 0 { // whole drivers
		rule.Extended = &policydb.Extended{Kind: 2}
		rule.Extended.Bits[0x70/32] = e.Uint32() & 0x1e0000
	}
	return rule
}

// What a process in an enforcing domain really meets, and what is logged of it.
func TestKernelRefusesIoctlsAsExtendedRulesSay(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	allowed, refused := 0, 0
	for number := range uint64(12) {
		random := rand.New(rand.NewPCG(*seed, number))
		policy := compile(t, "base.cil")
		narrow(t, policy, random)
		a, r := ioctls(t, load(t, encode(t, policy)), random)
		allowed, refused = allowed+a, refused+r
	}
	t.Logf("seed %d: %d commands allowed, %d refused", *seed, allowed, refused)
	if allowed < 100 || refused < 100 {
		t.Error("the policies ask little")
	}
}

// ioctls has a process try random commands on a file of each type, and compares what it meets.
func ioctls(t *testing.T, policy *policydb.Policy, random *rand.Rand) (allowed, refused int) {
	t.Helper()
	const process = "system_u:system_r:app_t:s0"
	source, err := policy.ParseContext(process)
	if err != nil {
		t.Fatal(err)
	}
	var commands []uint16
	for range 40 {
		commands = append(commands, uint16(among(random, drivers))<<8|uint16(random.IntN(256)))
	}
	slices.Sort(commands)
	commands = slices.Compact(commands)
	watch := vmtest.WatchAVCs(t)
	answers := inDomain(t, process, errand{Commands: commands}, openTargets(t)...)
	logged := map[string]int{} // by target
	for _, record := range watch.Records() {
		if record.Source == process && slices.Equal(record.Permissions, []string{policydb.PermissionIoctl}) {
			logged[record.Target]++
		}
	}
	for i, name := range targets {
		text := "system_u:object_r:" + name + ":s0"
		target, err := policy.ParseContext(text)
		if err != nil {
			t.Fatal(err)
		}
		for j, command := range commands {
			x, err := policy.ExplainExtended(source, target, classOf(policy, "file").Value, policydb.PermissionIoctl, command)
			if err != nil || x.Allowed == answers[i][j] {
				t.Errorf("ioctl %#x of %s: refused %t, policydb says %s, %v", command, name, answers[i][j], x.Cause, err)
			}
			if x.Logged {
				logged[text]--
			}
			if x.Allowed {
				allowed++
			} else {
				refused++
			}
		}
	}
	for target, left := range logged {
		if left != 0 {
			t.Errorf("%s: the kernel logged %d more than policydb says", target, left)
		}
	}
	return allowed, refused
}

// tryCommands says for each inherited file which commands the kernel refused for want of permission. To a file of tmpfs all of them are unknown.
func tryCommands(commands []uint16) [][]bool {
	refused := make([][]bool, len(targets))
	for file := range refused {
		answers := make([]bool, len(commands))
		for i, command := range commands {
			if i%16 == 0 {
				time.Sleep(5 * time.Millisecond) // the kernel keeps 64 records for the log, and loses what is more
			}
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(3+file), uintptr(command), 0)
			if answers[i] = errno == unix.EACCES; !answers[i] && errno != unix.ENOTTY {
				panic(fmt.Sprintf("ioctl %#x: %v", command, errno))
			}
		}
		refused[file] = answers
	}
	return refused
}

// openTargets opens a file of each type.
func openTargets(t *testing.T) []*os.File {
	t.Helper()
	directory := t.TempDir()
	var files []*os.File
	for _, name := range targets {
		files = append(files, labelled(t, filepath.Join(directory, name), "system_u:object_r:"+name+":s0"))
	}
	return files
}
