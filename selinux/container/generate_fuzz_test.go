// SPDX-License-Identifier: Apache-2.0

package container

import (
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// Whatever a configuration says, the text is one block of the statements that the needs stand for: nothing of it leaves its comment.
func FuzzGenerate(f *testing.F) {
	f.Add("/srv/data", "/data", "a bundle", "dir", true)
	f.Add("/x\n(allow process shadow_t (file (read)))", "/y)\r\n(block b", "o\n)(type t)", "file", false)
	f.Add("/\"", ";", "\x00\x7f\u2028", "sock_file", false)
	f.Fuzz(func(t *testing.T, source, destination, origin, class string, readOnly bool) {
		plain := Needs{Name: "x", Origin: "o", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: class, Label: labelOf("var_lib_t"), ReadOnly: readOnly}}, Devices: []Device{{Path: "/d"}}}
		hostile := plain
		hostile.Origin, hostile.Devices = origin, []Device{{Path: source}}
		hostile.Mounts = []Mount{{Source: source, Destination: destination, Class: class, Label: labelOf("var_lib_t"), ReadOnly: readOnly}}
		want, err := Generate(domainPolicy(), plain, true)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Generate(domainPolicy(), hostile, true)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := shapeOf(t, want.Text), shapeOf(t, got.Text); a != b {
			t.Errorf("%d words, want %d:\n%s", b, a, got.Text)
		}
	})
}

// shapeOf counts the words and lists of a text that is one statement.
func shapeOf(t *testing.T, text []byte) int {
	tree, err := syntax.Parse("generated.cil", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if tree.Root().Len() != 1 {
		t.Fatalf("%d statements\n%s", tree.Root().Len(), text)
	}
	return tree.Root().First().Size()
}
