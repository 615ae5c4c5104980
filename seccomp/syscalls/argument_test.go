// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"os"
	"strings"
	"testing"
)

// types writes what a call reads: "s32 u64".
func types(a *ABI, c Call) string {
	var words []string
	for i := range 6 {
		t := a.Argument(c, i)
		if t.Bits == 0 {
			break
		}
		words = append(words, map[bool]string{true: "s", false: "u"}[t.Signed]+map[uint8]string{8: "8", 16: "16", 32: "32", 64: "64"}[t.Bits])
	}
	return strings.Join(words, " ")
}

func TestArgumentsAreReadAsTheKernelDeclaresThem(t *testing.T) {
	for _, want := range []struct{ abi, call, types string }{
		{"x86_64", "socket", "s32 s32 s32"},
		{"x86_64", "socketpair", "s32 s32 s32 u64"},
		{"x86_64", "personality", "u32"},
		{"x86_64", "clone", "u32 u64 u64 u64 u64"},
		{"s390x", "clone", "u64 u32 u64 u64 u64"}, // flags come second
		{"x86_64", "unshare", "u64"},
		{"x86_64", "ioctl", "u32 u32 u64"},
		{"x86_64", "prctl", "s32 u64 u64 u64 u64"},
		{"x86_64", "keyctl", "s32 u64 u64 u64 u64"},
		{"x86_64", "open", "u64 s32 u16"},
		{"x86_64", "chown", "u64 u32 u32"},
		{"x86_64", "kill", "s32 s32"},
		{"x86_64", "lseek", "u32 s64 u32"},
		{"x86_64", "mmap", "u64 u64 u64 u64 u64 u64"},
		{"x86_64", "rt_sigreturn", ""},
		{"x86_64", "create_module", ""}, // gone with 2.6
		{"x86_64", "sendfile", "s32 s32 u64 u64"},
		{"x86_64", "open_tree_attr", "s32 u64 u32 u64 u64"},
		{"x32", "ioctl", "u32 u32 u32"}, // 514, a compat entry
		{"x32", "fcntl", "u32 u32 u64"}, // a native one
		{"x32", "ptrace", "s32 s32 s32 s32"},
		{"x86", "chown", "u32 u16 u16"},
		{"x86", "chown32", "u32 u32 u32"},
		{"x86", "socketcall", "s32 u32"},
		{"x86", "ipc", "u32 s32 s32 u32 u32 u32"},
		{"x86", "mmap", "u32"}, // a struct
		{"x86", "mmap2", "u32 u32 u32 u32 u32 u32"},
		{"x86", "clone", "u32 u32 u32 u32 u32"},
		{"x86", "fanotify_mark", "s32 u32 u32 u32 s32 u32"}, // the mask in two registers
		{"x86", "pread64", "u32 u32 u32 u32 u32"},
		{"arm", "pread64", "u32 u32 u32 u32 u32 u32"}, // one is left out, that the offset starts at an even one
		{"arm", "ftruncate64", "u32 u32 u32 u32"},
		{"arm", "cacheflush", "u32 u32 s32"},
		{"arm", "set_tls", "u32"},
		{"aarch64", "socket", "s32 s32 s32"},
		{"aarch64", "clone", "u32 u64 u64 u64 u64"},
		{"aarch64", "personality", "u32"},
		{"aarch64", "openat", "s32 u64 s32 u16"},
		{"aarch64", "mmap", "u64 u64 u64 u64 u64 u64"},
		{"aarch64", "fadvise64", "s32 s64 s64 s32"},
		{"riscv64", "riscv_flush_icache", "u64 u64 u64"},
		{"s390x", "mmap", "u64"},
		{"ppc64le", "personality", "u32"},
		{"mips64n32", "personality", "u32"},
		{"mips", "fadvise64", "s32 s32 u32 u32 u32 u32"}, // a seventh is on the stack
	} {
		c, ok := Lookup(want.call)
		if !ok {
			t.Fatalf("no call %s", want.call)
		}
		if got := types(ByName(want.abi), c); got != want.types {
			t.Errorf("%s on %s reads %q, want %q", want.call, want.abi, got, want.types)
		}
	}
}

func TestArgumentsFitTheRegisters(t *testing.T) {
	for _, a := range ABIs() {
		unknown := 0
		for _, c := range a.Numbers() {
			if strings.HasSuffix(a.Prototype(c), "(...)") {
				unknown++
			}
			ended := false
			for i := range 6 {
				switch typ := a.Argument(c, i); {
				case typ.Bits == 0:
					ended = true
				case ended:
					t.Errorf("%s: %s reads argument %d, but not the one before", a.Name, c, i)
				case int(typ.Bits) > a.Word:
					t.Errorf("%s: %s reads %d bits of argument %d", a.Name, c, typ.Bits, i)
				}
			}
		}
		if unknown > 31 { // powerpc has kept the most names of calls that are gone
			t.Errorf("%s: %d calls without a prototype", a.Name, unknown)
		}
		for _, c := range []Call{0, Count + 1, 65535} {
			if typ := a.Argument(c, 0); typ != (Type{}) {
				t.Errorf("%s: what is no call reads %v", a.Name, typ)
			}
		}
		for _, i := range []int{-1, 6, 1 << 40} {
			if typ := a.Argument(socketcall+1, i); typ != (Type{}) {
				t.Errorf("%s: argument %d is %v", a.Name, i, typ)
			}
		}
	}
}

// Only what no kernel of today implements is without a prototype on the ABIs that most machines have.
func TestImplementedCallsHavePrototypes(t *testing.T) {
	gone := map[string]bool{}
	for name := range strings.FieldsSeq(`_sysctl afs_syscall bdflush break create_module epoll_ctl_old epoll_wait_old ftime get_kernel_syms getpmsg gtty idle lock
		lookup_dcookie mpx nfsservctl prof profil putpmsg query_module security stty tuxcall ulimit vserver`) {
		gone[name] = true
	}
	for _, name := range []string{"x86_64", "x32", "x86", "aarch64", "arm", "riscv64", "loongarch64"} {
		a := ByName(name)
		for _, c := range a.Numbers() {
			if unknown := strings.HasSuffix(a.Prototype(c), "(...)"); unknown != gone[c.String()] && (unknown || name == "x86_64") {
				t.Errorf("%s: %s", name, a.Prototype(c))
			}
		}
	}
}

// A running kernel states its prototypes itself, two years after the source that ours were read from.
func TestPrototypesAreThoseOfARunningKernel(t *testing.T) {
	text, err := os.ReadFile("testdata/tracefs-6.18-x86_64.txt")
	if err != nil {
		t.Fatal(err)
	}
	a, count := ByName("x86_64"), 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		count++
		name, _, _ := strings.Cut(line, "(")
		c, _ := Lookup(name)
		if got := a.Prototype(c); got != line {
			t.Errorf("%s, the kernel says %s", got, line)
		}
	}
	if count < 350 {
		t.Errorf("only %d prototypes", count)
	}
}

func TestPrototypeOfWhatIsNotThere(t *testing.T) {
	a := ByName("aarch64")
	open, _ := Lookup("open")
	if got := a.Prototype(open); got != "open(...)" {
		t.Errorf("%q", got)
	}
	if got := a.Prototype(0) + a.Prototype(Count+1); got != "" {
		t.Errorf("%q", got)
	}
}
