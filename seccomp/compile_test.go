// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

var dockerCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}

func tempPolicy(t testing.TB, archs ...string) *Policy {
	spec, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: dockerCaps}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{Default: Errno | 1, Newest: syscalls.Version{Major: 6, Minor: 16}}
	for _, a := range archs {
		p.ABIs = append(p.ABIs, syscalls.ByOCI(a))
	}
	ops := map[specs.LinuxSeccompOperator]Operator{specs.OpNotEqual: NotEqual, specs.OpLessThan: Less, specs.OpLessEqual: LessEqual, specs.OpEqualTo: Equal, specs.OpGreaterEqual: GreaterEqual, specs.OpGreaterThan: Greater, specs.OpMaskedEqual: MaskedEqual}
	for _, s := range spec.Syscalls {
		r := Rule{Names: s.Names, Action: Allow}
		if s.Action == specs.ActErrno {
			r.Action = Errno | Action(*s.ErrnoRet)
		}
		for _, a := range s.Args {
			c := Condition{Index: int(a.Index), Op: ops[a.Op], Value: a.Value}
			if c.Op == MaskedEqual {
				c.Mask, c.Value = a.Value, a.ValueTwo
			}
			r.Conditions = append(r.Conditions, c)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

func TestTemp(t *testing.T) {
	for _, archs := range [][]string{{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}, {"SCMP_ARCH_X86_64"}, {"SCMP_ARCH_X86"}, {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}} {
		p := tempPolicy(t, archs...)
		f, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		total, uncached, n, u, cached := 0, 0, 0, 0, 0
		for nr, call := range p.ABIs[0].Numbers() {
			d := bpf.Data{Number: nr, Arch: p.ABIs[0].Audit}
			switch call.String() {
			case "clone":
				d.Args[0] = 0x1200011
			case "socket":
				d.Args[0] = 2
			case "personality":
				d.Args[0] = 0xffffffff
			}
			_, steps := bpf.Execute(bpf.LittleEndian, f.Program, &d)
			total += steps
			n++
			if bpf.Constant(f.Program, d.Arch, nr) {
				cached++
			} else {
				uncached += steps
				u++
			}
		}
		t.Logf("%v: %d instructions, mean %.2f over %d, uncached %.2f over %d, cached %d", archs, len(f.Program), float64(total)/float64(n), n, float64(uncached)/float64(u), u, cached)
	}
}

func BenchmarkTemp(b *testing.B) {
	p := tempPolicy(b, "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(p); err != nil {
			b.Fatal(err)
		}
	}
}
