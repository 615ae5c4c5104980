// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestEntryPointsAreFound(t *testing.T) {
	for name, want := range map[string]struct{ text, entry, prototype string }{
		"Macro":             {"SYSCALL_DEFINE2(open, const char __user *, name,\n\t\tint, flags)\n{", "sys_open", "const char *name, int flags"},
		"NoParameters":      {"SYSCALL_DEFINE0(fork)\n{", "sys_fork", ""},
		"Compat":            {"COMPAT_SYSCALL_DEFINE1(times, struct compat_tms __user *, tbuf)", "compat_sys_times", "struct compat_tms *tbuf"},
		"PairOfRegisters":   {"COMPAT_SYSCALL_DEFINE3(truncate64, const char __user *, path, compat_arg_u64_dual(length))", "compat_sys_truncate64", "const char *path, u32 length_lo, u32 length_hi"},
		"PointerToPointer":  {"SYSCALL_DEFINE1(execve, const char __user *const __user *, argv)", "sys_execve", "const char *const *argv"},
		"CommentInside":     {"SYSCALL_DEFINE1(close, unsigned int /* number, of a file */, fd)", "sys_close", "unsigned int fd"},
		"Function":          {"asmlinkage long sys_mmap2(unsigned long addr, int fd)\n{", "sys_mmap2", "unsigned long addr, int fd"},
		"FunctionWithArray": {"asmlinkage int sys_pipe(int fds[2]);", "sys_pipe", "int *fds"},
		"FunctionOfNothing": {"asmlinkage long sys_fork(void);", "sys_fork", ""},
		"UnnamedParameters": {"asmlinkage long sys_x(int, const char __user *, unsigned int);", "sys_x", "int, const char *, unsigned int"},
		"OtherReturnType":   {"asmlinkage ssize_t parisc_pread64(unsigned int fd, char __user *buf)\n{", "parisc_pread64", "unsigned int fd, char *buf"},
	} {
		found := prototypes{}
		if err := found.scan("kernel/x.c", want.text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(found[want.entry]) != 1 || found[want.entry][0].prototype.String() != want.prototype {
			t.Errorf("%s: %v, want %s(%s)", name, found, want.entry, want.prototype)
		}
	}
}

func TestBrokenMacrosAreErrors(t *testing.T) {
	for _, text := range []string{"SYSCALL_DEFINE1(x, int)", "SYSCALL_DEFINE1(x, int, a", "SYSCALL_DEFINE2(x, int, a; int, b)"} {
		if err := (prototypes{}).scan("kernel/x.c", text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add("SYSCALL_DEFINE2(open, const char __user *, name, int, flags)\n{}")
	f.Add("asmlinkage long sys_x(int, const char __user *, unsigned int);")
	f.Fuzz(func(t *testing.T, text string) {
		found := prototypes{}
		if found.scan("kernel/x.c", text) == nil {
			for _, definitions := range found {
				_ = definitions[0].prototype.String()
			}
		}
	})
}

func TestWidthsAreThoseOfC(t *testing.T) {
	for ctype, want := range map[string][2]width{ // on 64 and 32 bits
		"int": {{32, true}, {32, true}}, "unsigned long": {{64, false}, {32, false}}, "long": {{64, true}, {32, true}}, "umode_t": {{16, false}, {16, false}},
		"const char *": {{64, false}, {32, false}}, "loff_t": {{64, true}, {64, true}}, "unsigned long:32": {{32, false}, {32, false}}, "const clockid_t": {{32, true}, {32, true}},
	} {
		for i, long := range []int{64, 32} {
			if got, err := widthOf(ctype, long); err != nil || got != want[i] {
				t.Errorf("%s: %v, %v, want %v", ctype, got, err, want[i])
			}
		}
	}
	for _, ctype := range []string{"struct pt_regs", "", "no_such_t", "int:x"} {
		if _, err := widthOf(ctype, 64); err == nil {
			t.Errorf("%q has a width", ctype)
		}
	}
}

func TestLongValuesTakeTwoRegisters(t *testing.T) {
	p := prototype{{"int", "fd"}, {"loff_t", "offset"}, {"loff_t", "length"}}
	for _, want := range []struct {
		abi  abi
		text string
	}{
		{abi{arch: "x86", word: 64}, "int fd, loff_t offset, loff_t length"},
		{abi{arch: "x86", word: 32}, "int fd, u32 offset_lo, u32 offset_hi, u32 length_lo, u32 length_hi"},
		{abi{arch: "arm", word: 32}, "int fd, u32 unused, u32 offset_lo, u32 offset_hi, u32 length_lo, u32 length_hi"},
		{abi{arch: "s390", word: 32, bigEndian: true}, "int fd, u32 offset_hi, u32 offset_lo, u32 length_hi, u32 length_lo"},
	} {
		got, err := p.registers(&want.abi)
		if err != nil || got.String() != want.text {
			t.Errorf("%s: %s, %v, want %s", want.abi.arch, got, err, want.text)
		}
	}
}

func TestADefinitionThatIsNearerIsUsed(t *testing.T) {
	of := func(file string, declared bool) definition {
		return definition{prototype{{"int", file}}, file, declared}
	}
	all := []definition{of("include/linux/syscalls.h", true), of("kernel/x.c", false), of("arch/mips/x.c", false), of("arch/arm/x.c", false)}
	for arch, want := range map[string]string{"arm": "arch/arm/x.c", "mips": "arch/mips/x.c", "x86": "kernel/x.c"} {
		if left := nearest(all, arch); len(left) != 1 || left[0].file != want {
			t.Errorf("%s: %v", arch, left)
		}
	}
	if left := nearest(all[:1], "x86"); len(left) != 1 {
		t.Errorf("a declaration is left out: %v", left)
	}
	long := definition{prototype{{"long", "x"}}, "kernel/y.c", false}
	if _, err := same([]definition{of("kernel/x.c", false), long}, &abi{word: 64}); err == nil {
		t.Error("definitions that differ are taken for the same")
	}
}

func TestSpoiltRecordsNameTheirLine(t *testing.T) {
	if _, err := records("# comment\n\n1 2 3\n4 5\n", 3); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("%v", err)
	}
	all, err := records("1 2 the rest of it\n", 3)
	if err != nil || len(all) != 1 || all[0][2] != "the rest of it" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestEveryNameGetsASlotOfItsOwn(t *testing.T) {
	tables := &tables{calls: map[string]int{}}
	for i := range 500 {
		name := strings.Repeat("x", i%30) + string(rune('a'+i%26)) + string(rune('a'+i/26))
		if tables.calls[name] == 0 {
			tables.names = append(tables.names, name)
			tables.calls[name] = len(tables.names)
		}
	}
	if err := tables.findHash(); err != nil {
		t.Fatal(err)
	}
	for _, name := range tables.names {
		h := hash(name)
		if got := tables.slots[slot(h, tables.seeds[h%hashBuckets])]; int(got) != tables.calls[name] {
			t.Errorf("%s: %d, want %d", name, got, tables.calls[name])
		}
	}
}
