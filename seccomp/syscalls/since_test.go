// SPDX-License-Identifier: Apache-2.0

package syscalls

import "testing"

func TestSinceIsTheFirstKernel(t *testing.T) {
	for name, want := range map[string]Version{
		"read": {}, "accept4": {}, "create_module": {}, "setns": {3, 0}, "seccomp": {3, 17}, "membarrier": {4, 3}, "pkey_alloc": {4, 9}, "statx": {4, 11}, "rseq": {4, 18},
		"futex_time64": {5, 1}, "clone3": {5, 3}, "openat2": {5, 6}, "faccessat2": {5, 8}, "landlock_add_rule": {5, 13}, "futex_waitv": {5, 16}, "cachestat": {6, 5},
		"fchmodat2": {6, 6}, "futex_wait": {6, 7}, "statmount": {6, 8}, "mseal": {6, 10}, "uretprobe": {6, 11}, "setxattrat": {6, 13}, "open_tree_attr": {6, 15},
		"file_getattr": {6, 17}, "uprobe": {6, 18}, "listns": {6, 19}, "rseq_slice_yield": {7, 0}, "socket": {}, // x86 has had it by its own number from 4.3 only
	} {
		c, ok := Lookup(name)
		if got := c.Since(); !ok || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := Call(Count + 1).Since(); got != (Version{}) {
		t.Errorf("what is no call is there since %v", got)
	}
}

// Numbers are given out one after the other, so that a greater one is never older: a check of the table from another side. Two came later than
// their numbers were taken: close_range was merged after its successors, quotactl_fd replaced quotactl_path, which never was released.
func TestSinceGrowsWithTheNumbers(t *testing.T) {
	for _, want := range []struct {
		abi         string
		first, last uint32
	}{
		{"x86_64", 310, 334}, {"x86_64", 424, 471}, {"x86", 337, 358}, {"x86", 374, 383}, {"x86", 403, 471}, {"arm", 365, 398}, {"aarch64", 262, 293}, {"mips64", 5309, 5328},
	} {
		a, last, count := ByName(want.abi), Version{}, 0
		for number := want.first; number <= want.last; number++ {
			c, ok := a.Call(number)
			if !ok || c.String() == "close_range" || c.String() == "quotactl_fd" {
				continue
			}
			if since := c.Since(); since.Before(last) {
				t.Errorf("%s: %s, %d, is there since %v, but a lower number since %v", want.abi, c, number, since, last)
			} else {
				last, count = since, count+1
			}
		}
		if count < 7 {
			t.Errorf("%s: only %d calls from %d to %d", want.abi, count, want.first, want.last)
		}
	}
}

// The kernel gives every architecture the same number from 424 on, so that a call from there on came everywhere at once.
func TestCallsSince5_1HaveOneNumber(t *testing.T) {
	for _, a := range ABIs() {
		for number, c := range a.Numbers() {
			n := number - a.Base
			if a.Name == "x32" && n >= 512 || n >= privateBase {
				continue
			}
			newer := !c.Since().Before(Version{5, 1}) // 403 to 423 are those with 64-bit times on 32-bit ABIs
			if newer != (n >= 403) && c.String() != "uretprobe" && c.String() != "uprobe" && c.String() != "riscv_hwprobe" {
				t.Errorf("%s: %s is %d and there since %v", a.Name, c, n, c.Since())
			}
		}
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	for _, want := range []struct {
		v, w   Version
		before bool
	}{{Version{5, 9}, Version{5, 10}, true}, {Version{5, 10}, Version{5, 9}, false}, {Version{5, 19}, Version{6, 0}, true}, {Version{}, Version{3, 0}, true}, {Version{7, 0}, Version{7, 0}, false}} {
		if want.v.Before(want.w) != want.before {
			t.Errorf("%v before %v: %t", want.v, want.w, !want.before)
		}
	}
}
