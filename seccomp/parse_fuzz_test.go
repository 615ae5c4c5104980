// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// FuzzProfile: whatever the text, Parse ends, with errors that have places or with a profile that can be resolved, written in the OCI form, and
// read back as the same.
func FuzzProfile(f *testing.F) {
	for _, test := range malformed {
		if len(test.text) < 1000 {
			f.Add([]byte(test.text))
		}
	}
	texts := corpus(f)
	for i := range 40 {
		f.Add(texts[fmt.Sprintf("%03d.json", i)])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		profile, err := Parse(text)
		if err != nil {
			var first *Error
			if !errors.As(err, &first) || first.Place == (Place{}) && len(text) > 0 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for _, container := range []Target{dockerTarget, {Architecture: "mips64le"}, {Architecture: "s390x", Kernel: Version{Major: 255}}} {
			policy, warnings, err := profile.Resolve(container)
			if err != nil || len(warnings) > 2*maximumReports+2 || len(policy.Rules) > maximumRules {
				t.Fatalf("%d rules, %d warnings, %v", len(policy.Rules), len(warnings), err)
			}
			policy.LocksOut()
			written, err := json.Marshal(policy.OCI())
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(policy.Rules, hasWidth) {
				continue
			}
			again, _ := resolved(t, string(written), container)
			if !reflect.DeepEqual(flattened(again), flattened(policy)) {
				t.Fatalf("%s reads back as %+v, want %+v", written, flattened(again), flattened(policy))
			}
		}
	})
}

// TestHugeProfilesTakeNoSecond has profiles of the greatest size that ask for as much work as the parser lets them.
func TestHugeProfilesTakeNoSecond(t *testing.T) {
	var names []string
	for call := range syscalls.Calls() {
		names = append(names, call.String())
	}
	every := `"names": ` + array(quotedAll(names)...)
	fill := func(start, piece, end string) string {
		times := (MaximumProfile - len(start) - len(end)) / (len(piece) + 1)
		return start + strings.Repeat(piece+",", times-1) + piece + end
	}
	const start = `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [`
	conditions := func(op string, count int) string {
		var list []string
		for i := range count {
			list = append(list, fmt.Sprintf(`{"index": %d, "value": %d, "op": "SCMP_CMP_%s"}`, i%6, i, op))
		}
		return array(list...)
	}
	for name, text := range map[string]string{
		"UnknownNames":       fill(start+`{"action": "SCMP_ACT_ALLOW", "names": [`, `"x"`, `]}]}`),
		"SameName":           fill(start+`{"action": "SCMP_ACT_ALLOW", "names": [`, `"arm_sync_file_range"`, `]}]}`),
		"UnknownFields":      fill(start[:1], `"nothing_here": 0`, `, "defaultAction": "SCMP_ACT_ALLOW"}`),
		"MisspeltFields":     fill(start[:1], `"syscall": 0`, `}`),
		"BadNumbers":         fill(`{"defaultAction": "SCMP_ACT_ALLOW", "flags": [`, `0`, `]}`),
		"EmptyEntries":       fill(start, `{}`, `]}`),
		"Nested":             `{"x": ` + strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000) + fill(`, "y": [`, `0`, `]}`)[:MaximumProfile-30000] + "0]}",
		"NotEqualToMany":     fill(start, `{`+every+`, "action": "SCMP_ACT_ALLOW", "args": `+conditions("NE", maximumArguments)+`}`, `]}`),
		"MaskedByMany":       fill(start, `{`+every+`, "action": "SCMP_ACT_ALLOW", "args": `+conditions("MASKED_EQ", maximumArguments)+`}`, `]}`),
		"Alternatives":       fill(start, `{`+every+`, "action": "SCMP_ACT_ALLOW", "args": `+conditions("EQ", 12)+`}`, `]}`),
		"Contradictions":     fill(start, `{`+every+`, "action": "SCMP_ACT_ALLOW"}, {`+every+`, "action": "SCMP_ACT_LOG"}`, `]}`),
		"ConditionsOfOneArg": fill(start, `{"name": "read", "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}]}`, `]}`),
		"Capabilities":       fill(start+`{"name": "read", "action": "SCMP_ACT_TRAP", "excludes": {"caps": [`, `"CAP_NOBODY"`, `]}}]}`),
		"OneString":          `{"defaultAction": "` + strings.Repeat("x", MaximumProfile-30) + `"}`,
		"OneEscapedString":   `{"defaultAction": "` + strings.Repeat(`\u0061`, (MaximumProfile-30)/6) + `"}`,
		"Lines":              strings.Repeat("\n", MaximumProfile-40) + `{"defaultAction": "SCMP_ACT_ERRN"}`,
	} {
		if len(text) > MaximumProfile || len(text) < MaximumProfile/2 {
			t.Errorf("%s: %d bytes", name, len(text))
		}
		before := cpuTime(t)
		profile, err := Parse([]byte(text))
		if err == nil {
			_, _, err = profile.Resolve(dockerTarget)
		}
		if took := cpuTime(t) - before; took > time.Second {
			t.Errorf("%s: %v of processor time, and %.100v", name, took, err)
		}
	}
}

// cpuTime returns what this process has used of the processors.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
