// SPDX-License-Identifier: Apache-2.0

package landlock

import (
	"strings"
	"testing"
)

func TestContainerByABI(t *testing.T) {
	const abi1 = Execute | WriteFile | ReadFile | ReadDir | RemoveDir | RemoveFile | MakeChar | MakeDir | MakeRegular | MakeSocket | MakeFIFO | MakeBlock | MakeSymlink
	for _, test := range []struct {
		abi                  int
		hostPID, hostNetwork bool
		handled              AccessFS
		scoped               Scope
		missing              []string // the start of each
	}{
		{0, false, false, abi1, 0, []string{"truncate", "ioctl"}},
		{1, false, false, abi1, 0, []string{"truncate", "ioctl"}},
		{2, false, false, abi1 | Refer, 0, []string{"truncate", "ioctl"}},
		{3, false, false, abi1 | Refer | Truncate, 0, []string{"ioctl"}},
		{4, false, false, abi1 | Refer | Truncate, 0, []string{"ioctl"}},
		{4, true, false, abi1 | Refer | Truncate, 0, []string{"ioctl", "signals"}},
		{5, false, false, abi1 | Refer | Truncate | IoctlDev, 0, nil},
		{5, true, true, abi1 | Refer | Truncate | IoctlDev, 0, []string{"signals", "abstract sockets"}},
		{6, false, false, abi1 | Refer | Truncate | IoctlDev, 0, nil},
		{6, true, false, abi1 | Refer | Truncate | IoctlDev, ScopeSignal, nil},
		{6, false, true, abi1 | Refer | Truncate | IoctlDev, ScopeAbstractSocket, nil},
		{7, true, true, abi1 | Refer | Truncate | IoctlDev, ScopeSignal | ScopeAbstractSocket, nil},
		{8, true, true, abi1 | Refer | Truncate | IoctlDev, ScopeSignal | ScopeAbstractSocket, nil},
		{9, false, false, abi1 | Refer | Truncate | IoctlDev, 0, nil},
	} {
		rules, missing := Container(test.abi, test.hostPID, test.hostNetwork)
		if rules != (Ruleset{test.abi, test.handled, test.scoped}) {
			t.Errorf("ABI %d, host PID %v, host network %v: got %+v", test.abi, test.hostPID, test.hostNetwork, rules)
		}
		if len(missing) != len(test.missing) {
			t.Errorf("ABI %d: missing %q", test.abi, missing)
			continue
		}
		for i, clause := range missing {
			if !strings.HasPrefix(clause, test.missing[i]) {
				t.Errorf("ABI %d: missing %q, want %q", test.abi, clause, test.missing[i])
			}
		}
	}
}

func TestRightsAreTheKernelsBits(t *testing.T) {
	for right, bit := range map[AccessFS]int{Execute: 0, WriteFile: 1, ReadFile: 2, ReadDir: 3, MakeSymlink: 12, Refer: 13, Truncate: 14, IoctlDev: 15} {
		if right != 1<<bit {
			t.Errorf("%#x is not bit %d", right, bit)
		}
	}
	if ScopeAbstractSocket != 1 || ScopeSignal != 2 {
		t.Errorf("scopes %d and %d", ScopeAbstractSocket, ScopeSignal)
	}
}

func TestNewerKernelsHandleNoLess(t *testing.T) {
	for abi := range 12 {
		older, newer := handled(abi), handled(abi+1)
		if older&^newer != 0 {
			t.Errorf("ABI %d gives up %#x", abi+1, older&^newer)
		}
	}
	if all := handled(MinimumABI) | Truncate | IoctlDev; File&^all != 0 {
		t.Errorf("a rule on a file carries %#x, which nothing handles", File&^all)
	}
}
