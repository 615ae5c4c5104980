// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// FuzzPolicies wants of every text with its headers an error or a stream that the kernel's checks take, in bounded time.
func FuzzPolicies(f *testing.F) {
	for _, text := range []string{
		manyProfiles,
		"profile p { all, }",
		"alias /a -> /b,\n@{v}=/a /b\nprofile p @{v}/x xattrs=(user.a=\"b*\" user.c) flags=(complain, attach_disconnected.path=/d) { @{v}/** rwlkmpix -> :n:t//&u, }",
		"profile p { priority=2 deny owner /a{b,[^c]?} wx, link subset /a/** -> /b*, change_profile unsafe /x -> &q, audit file, }",
		"profile p { mount options=(ro, bind) /a -> /b/, network inet stream, signal (send) set=(hup) peer=q, ptrace, unix addr=@a*, dbus bus=system, set rlimit nofile <= 3, }",
	} {
		f.Add(text)
	}
	features, _ := KernelFeatures("7.2")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		policy, err := syntax.Parse("text", text, syntax.Options{})
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		compiled, err := Compile(ctx, policy, Options{Features: features, Limits: dfa.Limits{States: 1 << 12, Memory: 32 << 20}, Workers: 1})
		if err != nil {
			return
		}
		for _, part := range compiled.Policy.Split() {
			stream, err := binary.Encode(part)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if _, err := binary.Decode(stream); err != nil {
				t.Errorf("%q: our own check refuses it: %v", text, err)
			}
		}
	})
}
