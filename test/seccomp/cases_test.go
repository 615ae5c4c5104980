// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

const (
	kill  = 0x00000000
	eperm = 0x00050001
	errno = 0x00050000
	allow = 0x7fff0000
)

// cases has a minimal case of each class; those with a 1 of index and a 2 of args are what tells a merge apart from a choice.
var cases = []struct {
	class   string
	profile string // entries, for architectures and a default of ERRNO(EPERM)
	also    string // a second architecture
	by      string // whose call it is
	call    string
	number  uint32 // instead of call
	args    [6]uint64
	ours    uint32
	theirs  uint32
}{
	{class: "number -1, by which a tracer skips a call, is answered otherwise",
		profile: `{"names":["read"],"action":"SCMP_ACT_ALLOW"}`, number: 0xffffffff, ours: errno | 38, theirs: eperm},
	{class: "default action for calls that the profile does not know, where we answer ENOSYS",
		profile: `{"names":["read"],"action":"SCMP_ACT_ALLOW"}`, call: "clone3", ours: errno | 38, theirs: eperm},
	{class: "the library's table is older or has another number",
		profile: `{"names":["mseal"],"action":"SCMP_ACT_ALLOW"}`, call: "mseal", ours: allow, theirs: eperm},
	{class: "multiplexers are opened or closed by other rules", also: "SCMP_ARCH_X86", by: "SCMP_ARCH_X86",
		profile: `{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}`,
		call:    "socketcall", args: [6]uint64{1}, ours: eperm, theirs: allow},
	{class: "conditions on one argument are alternatives, whatever else they demand",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":2,"op":"SCMP_CMP_GE"},{"index":1,"value":4,"op":"SCMP_CMP_LE"}]}`,
		call:    "mmap", args: [6]uint64{0, 9}, ours: eperm, theirs: allow},
	{class: "bits that the kernel does not read are compared",
		profile: `{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}`,
		call:    "socket", args: [6]uint64{40 | 1<<32}, ours: eperm, theirs: allow},
	{class: "values are cut to 32 bits on ABIs of 32 bits, and on x32 and n32, whose registers have 64, arguments too", also: "SCMP_ARCH_X86", by: "SCMP_ARCH_X86",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4294967298,"op":"SCMP_CMP_EQ"}]}`,
		call:    "mmap", args: [6]uint64{2}, ours: eperm, theirs: allow},
	{class: "a rule with the default action is dropped",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW"},{"names":["mmap"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`,
		call:    "mmap", args: [6]uint64{2}, ours: eperm, theirs: allow},
	{class: "a rule is refused, because the call has another with these conditions",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},` +
			`{"names":["mmap"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`,
		call: "mmap", args: [6]uint64{2}, ours: kill, theirs: allow},
	{class: "an unconditional rule drops those with conditions",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW"},{"names":["mmap"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`,
		call:    "mmap", args: [6]uint64{2}, ours: kill, theirs: allow},
	{class: "of two rules that hold not the strictest counts",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":3,"op":"SCMP_CMP_LE"}]},` +
			`{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`,
		call: "mmap", args: [6]uint64{2}, ours: kill, theirs: allow},
	{class: "several rules of one call are merged wrongly",
		profile: `{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":3,"op":"SCMP_CMP_LE"},{"index":1,"value":1000,"op":"SCMP_CMP_LT"}]},` +
			`{"names":["mmap"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_GT"}]}`,
		call: "mmap", args: [6]uint64{0, 2000}, ours: eperm, theirs: allow},
}

// TestEachClassHasACase also holds the table of classes: who adds one adds a case.
func TestEachClassHasACase(t *testing.T) {
	compiler := newCompiler(t)
	seen := map[string]bool{hangs: true} // TestOursEndsWhereLibseccompDoesNot
	for _, c := range cases {
		t.Run(c.class, func(t *testing.T) {
			seen[c.class] = true
			p := &meaning.Profile{Native: "SCMP_ARCH_X86_64", DefaultAction: "SCMP_ACT_ERRNO"}
			if err := json.Unmarshal([]byte("["+c.profile+"]"), &p.Syscalls); err != nil {
				t.Fatal(err)
			}
			if c.also != "" {
				p.Architectures = []string{p.Native, c.also}
			}
			data := bpf.Data{Number: c.number, Args: c.args}
			abi := syscalls.ByOCI(p.Native)
			if c.by != "" {
				abi = syscalls.ByOCI(c.by)
			}
			if data.Arch = abi.Audit; c.call != "" {
				call, _ := syscalls.Lookup(c.call)
				data.Number, _ = abi.Number(call)
			}
			if got, _ := bpf.Execute(bpf.LittleEndian, subject.Compile(t, p), &data); got != c.ours {
				t.Errorf("our filter: %#08x, want %#08x", got, c.ours)
			}
			rules, result, program := compileBoth(t, compiler, p)
			d := newDisagreement(p, rules, result, program, data)
			if d == nil {
				t.Log("this libseccomp agrees")
				return
			}
			if d.want != c.ours || d.got != c.theirs || d.class() != c.class {
				t.Errorf("%v\nis %q; want libseccomp %#08x, ours %#08x", d, d.class(), c.theirs, c.ours)
			}
		})
	}
	for _, c := range classes {
		if !seen[c.name] {
			t.Errorf("no case of %q", c.name)
		}
	}
}

func TestOursEndsWhereLibseccompDoesNot(t *testing.T) {
	p := &meaning.Profile{Native: "SCMP_ARCH_X86_64", DefaultAction: "SCMP_ACT_ERRNO", Syscalls: []meaning.Entry{
		{Names: []string{"mmap"}, Action: "SCMP_ACT_ALLOW", Args: []meaning.Arg{{Index: 1, Value: 1<<32 | 1, Op: "SCMP_CMP_NE"}, {Index: 2, Value: 1<<32 | 4, Op: "SCMP_CMP_GE"}}},
		{Names: []string{"mmap"}, Action: "SCMP_ACT_ALLOW", Args: []meaning.Arg{{Index: 1, Value: 1<<32 | 1, Op: "SCMP_CMP_NE"}, {Index: 2, Value: 52210, Op: "SCMP_CMP_LE"}}},
	}}
	start := time.Now()
	subject.Compile(t, p)
	if spent := time.Since(start); spent > compileTime {
		t.Errorf("took %v", spent)
	}
	if _, result, _ := compileBoth(t, newCompiler(t), p); !result.Hung {
		t.Log("this libseccomp ends")
	}
}
