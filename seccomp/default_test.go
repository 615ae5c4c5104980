// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// golden compares a text with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		a, b := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("%s, line %d: got\n%s\nwant\n%s", path, i+1, a[i], strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
			}
		}
		t.Fatalf("%s: %d lines are missing", path, len(b)-len(a))
	}
}

// census counts the calls of an ABI by what becomes of them: allowed or denied whatever the arguments, or dependent on them.
func census(policy *Policy, abi *syscalls.ABI) string {
	decider := NewDecider(policy)
	by := map[string][]string{}
	allowed := 0
	for _, call := range abi.Numbers() {
		o := decider.outcome(abi, call)
		switch action, ok := o.constant(); {
		case !ok:
			by["by argument"] = append(by["by argument"], call.String())
		case action == Allow:
			allowed++
		default:
			by[action.String()] = append(by[action.String()], call.String())
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "  %d allowed\n", allowed)
	for _, what := range []string{"by argument", "SCMP_ACT_ERRNO(1)", "SCMP_ACT_ERRNO(38)"} { // ENOSYS: newer than the profile, and clone3
		slices.Sort(by[what])
		fmt.Fprintf(&text, "  %d %s: %s\n", len(by[what]), what, strings.Join(by[what], " "))
		delete(by, what)
	}
	for what, names := range by {
		fmt.Fprintf(&text, "  %d %s, which is not expected: %s\n", len(names), what, names)
	}
	return text.String()
}

// TestHowManyCallsTheDefaultsDeny is a list to be read when the kernel's tables or Docker's profile change.
func TestHowManyCallsTheDefaultsDeny(t *testing.T) {
	var text bytes.Buffer
	for _, profile := range []struct {
		name string
		*Profile
	}{{"docker-default", Docker()}, {"bulkhead-default", Bulkhead()}} {
		for _, machine := range []string{"amd64", "arm64"} {
			policy, warnings, err := profile.Resolve(Target{machine, dockerCapabilities, Version{Major: 6, Minor: 18}})
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%s: %v, %v", profile.name, err, warnings)
			}
			for _, abi := range policy.ABIs {
				if abi.Name != "x32" {
					fmt.Fprintf(&text, "%s, %s:\n%s", profile.name, abi.Name, census(policy, abi))
				}
			}
		}
	}
	golden(t, "default-calls.txt", text.Bytes())
}

// TestBulkheadIsNowhereWiderThanDocker compares the two on every call of every ABI, with arguments at which any rule changes its mind.
func TestBulkheadIsNowhereWiderThanDocker(t *testing.T) {
	text := string(dockerJSON(t))
	for _, bounding := range boundingSets(text) {
		container := Target{"amd64", bounding, Version{Major: 6, Minor: 18}}
		ours, warnings, err := Bulkhead().Resolve(container)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v: %v, %v", bounding, err, warnings)
		}
		theirs, _, err := Docker().Resolve(container)
		if err != nil {
			t.Fatal(err)
		}
		stricter, looser := NewDecider(ours), NewDecider(theirs)
		for _, abi := range theirs.ABIs {
			for number, call := range abi.Numbers() {
				arguments := []uint64{0}
				if o := looser.outcome(abi, call); len(o.rules) > 1 || len(o.rules) == 1 && len(o.rules[0].Conditions) > 0 || call.String() == "socket" {
					arguments = []uint64{0, 1, 2, 8, 9, 10, 16, 17, 29, 38, 39, 40, 41, 44, 45, 46, 0x20000, 0x20008, 0xffffffff, 0x7e020000, 0x20000000, 1<<32 | 40}
				}
				for _, first := range arguments {
					for _, third := range []uint64{0, 9} {
						data := bpf.Data{Number: number, Arch: abi.Audit, Args: [6]uint64{first, first, third}}
						a, b := stricter.Decide(data).Action, looser.Decide(data).Action
						if a != b && !(a.Stricter(b) || a.Kind() == Errno && b.Kind() == Errno) {
							t.Fatalf("%v: %s %s(%d): %s, Docker's has %s", bounding, abi.Name, call, first, a, b)
						}
					}
				}
			}
		}
	}
}

// TestBulkheadDenies has each change to Docker's profile, and what it must not touch.
func TestBulkheadDenies(t *testing.T) {
	const noFamily, noProtocol = Errno | 97, Errno | 93
	container := func(capabilities ...string) Target {
		return Target{"amd64", append(slices.Clone(dockerCapabilities), capabilities...), Version{Major: 6, Minor: 18}}
	}
	plain := container()
	for name, test := range map[string]struct {
		container Target
		abi, call string
		args      [6]uint64
		want      Action
	}{
		"Unix":                   {plain, "x86_64", "socket", [6]uint64{1}, Allow},
		"Internet":               {plain, "x86_64", "socket", [6]uint64{2}, Allow},
		"Internet6":              {plain, "x86_64", "socket", [6]uint64{10}, Allow},
		"Packet":                 {plain, "x86_64", "socket", [6]uint64{17}, Allow},
		"CAN":                    {plain, "x86_64", "socket", [6]uint64{29}, Allow},
		"NetlinkRoute":           {plain, "x86_64", "socket", [6]uint64{16, 3, 0}, Allow},
		"NetlinkAudit":           {plain, "x86_64", "socket", [6]uint64{16, 3, 9}, noProtocol},
		"NetlinkAuditHighBits":   {plain, "x86_64", "socket", [6]uint64{1<<32 | 16, 3, 1<<32 | 9}, noProtocol},
		"ProtocolNineOfInternet": {plain, "x86_64", "socket", [6]uint64{2, 3, 9}, Allow},
		"AuditReader":            {container("CAP_AUDIT_READ"), "x86_64", "socket", [6]uint64{16, 3, 9}, Allow},
		"AuditController":        {container("CAP_AUDIT_CONTROL"), "x86_64", "socket", [6]uint64{16, 3, 9}, Allow},
		"ALG":                    {plain, "x86_64", "socket", [6]uint64{38}, noFamily},
		"ALGHighBits":            {plain, "x86_64", "socket", [6]uint64{1<<32 | 38}, noFamily},
		"ALGOfAdministrators":    {container("CAP_NET_ADMIN", "CAP_SYS_ADMIN"), "x86_64", "socket", [6]uint64{38}, noFamily},
		"VSOCK":                  {plain, "x86_64", "socket", [6]uint64{40}, noFamily},
		"VSOCKHighBits":          {plain, "x86_64", "socket", [6]uint64{1<<32 | 40}, noFamily},
		"VSOCK32":                {plain, "x86", "socket", [6]uint64{40}, noFamily},
		"SocketBySocketcall":     {plain, "x86", "socketcall", [6]uint64{1}, Errno | 1},
		"ConnectBySocketcall":    {plain, "x86", "socketcall", [6]uint64{3}, Allow},
		"SendBySocketcall":       {plain, "x86", "socketcall", [6]uint64{9}, Allow},
		"NothingBySocketcall":    {plain, "x86", "socketcall", [6]uint64{99}, Errno | 1},
		"XDP":                    {plain, "x86_64", "socket", [6]uint64{44}, noFamily},
		"XDPOfAdministrators":    {container("CAP_NET_ADMIN"), "x86_64", "socket", [6]uint64{44}, Allow},
		"TIPC":                   {plain, "x86_64", "socket", [6]uint64{30}, noFamily},
		"Bluetooth":              {plain, "x86_64", "socket", [6]uint64{31}, Allow},
		"RemapFilePages":         {plain, "x86_64", "remap_file_pages", [6]uint64{}, Errno | 1},
		"Vmsplice":               {plain, "x86_64", "vmsplice", [6]uint64{}, Errno | 1},
		"Splice":                 {plain, "x86_64", "splice", [6]uint64{}, Allow},
		"X32":                    {plain, "x32", "read", [6]uint64{}, KillThread},
		"Read":                   {plain, "x86_64", "read", [6]uint64{}, Allow},
		"Read32":                 {plain, "x86", "read", [6]uint64{}, Allow},
	} {
		policy, _, err := Bulkhead().Resolve(test.container)
		if err != nil {
			t.Fatal(err)
		}
		abi := syscalls.ByName(test.abi)
		call, _ := syscalls.Lookup(test.call)
		number, ok := abi.Number(call)
		if got := NewDecider(policy).Decide(bpf.Data{Number: number, Arch: abi.Audit, Args: test.args}).Action; got != test.want || !ok {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
