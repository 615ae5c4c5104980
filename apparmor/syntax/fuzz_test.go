// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// FuzzParse wants no panic, no hang, only diagnostics with places, and texts that are read to come back from Format as the same tree.
func FuzzParse(f *testing.F) {
	f.Add(everyRule)
	for _, text := range []string{
		"include <self>\ninclude <twice>\nprofile p { include <rules> include if exists <none> }",
		"$A=true\nprofile p { if $A and not (defined @{B} or $A) { /a r, } else if $A { } else { /b w, } }",
		"profile p { /a\\ b\\,c r, \"/\\\"\" w, /{a,b}[^c]** ix, }",
		"profile p {{{{", "}}}}", "@{A}=@{A}\nprofile @{A} { /@{A} r, }", "/a { owner { deny { /b x, } } }",
	} {
		f.Add(text)
	}
	files := fstest.MapFS{
		"etc/apparmor.d/self":  {Data: []byte("include <self>\n@{S}=a b\n")},
		"etc/apparmor.d/rules": {Data: []byte("/r r,\ninclude <rules>\n/s w,")},
		"etc/apparmor.d/twice": {Data: []byte("include <self>\ninclude <self>\n")},
	}
	options := syntax.Options{Files: files, Cache: &syntax.Cache{}}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "include") > 8 {
			t.Skip("long includes are a test of their own")
		}
		policy, err := syntax.Parse("fuzz", text, options)
		if err != nil {
			var found source.Diagnostics
			if !errors.As(err, &found) || len(found) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			for _, one := range found {
				if one.Position.Line < 1 || one.Position.Column < 1 || one.Message == "" {
					t.Fatalf("%#v", one)
				}
			}
			return
		}
		sameAgain(t, policy, options)
	})
}
