// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// FuzzCompile: whatever the text, it is compiled to policy that the kernel's checks take, or refused for a reason.
func FuzzCompile(f *testing.F) {
	for _, rules := range []string{
		"mount options=(ro,bind) options in (rw,rslave) fstype=(ext*,\"a b\") /{a,b}/** -> /**/,", "remount /a,", "umount fstype=x /[^a]/?,", "pivot_root oldroot=/a/ /b/ -> c,",
		"network (send,receive) inet6 stream ip=::1 peer=(port=1-2),", "deny network netlink raw,", "unix (bind,listen) type=stream addr=@a\\000* peer=(label=b),",
		"signal send set=(hup,rtmin+3,exists) peer=@{profile_name},", "audit deny ptrace readby peer=:ns:a//&b,", "dbus send bus=session path=/a/** peer=(name=n label=l),",
		"priority=5 mqueue (read,create) type=sysv label=l 7,", "io_uring override_creds label=a,", "userns create,", "all,", "quiet capability net_raw bpf,", "kill signal,",
		"set rlimit nice <= -5,\nset rlimit as <= 3G,", "prompt /a r,\n/** Pix -> b,", "/a rwlkm,\nlink subset /a/** -> /b/**,", "change_profile unsafe /a -> {b,c},",
	} {
		f.Add(rules)
	}
	var targets []Features
	for _, text := range []string{featuresUbuntu, featuresOld} {
		target, err := ParseFeatures(text)
		if err != nil {
			f.Fatal(err)
		}
		targets = append(targets, target)
	}
	f.Fuzz(func(t *testing.T, rules string) {
		policy, err := syntax.Parse("rules", "profile p {\n"+rules+"\n}\n", syntax.Options{})
		if err != nil {
			return
		}
		for _, target := range targets {
			compiled, err := Compile(t.Context(), policy, Options{Features: target, Limits: dfa.Limits{States: 1 << 12, Memory: 16 << 20}, Workers: 1})
			var limit *dfa.LimitError
			var faults source.Diagnostics
			switch {
			case errors.As(err, &limit) || errors.As(err, &faults):
				continue
			case err != nil:
				t.Fatalf("%q: %v", rules, err)
			}
			stream, err := binary.Encode(compiled.Policy)
			if err != nil {
				t.Fatalf("%q: %v", rules, err)
			}
			if _, err := binary.Decode(stream); err != nil {
				t.Fatalf("%q: its own policy is refused: %v", rules, err)
			}
		}
	})
}
