// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const smallFeatures = `mount {mask {mount umount
}
}
domain {change_hat {yes
}
version {1.2
}
}
`

func parsedFeatures(t *testing.T, text string) Features {
	t.Helper()
	features, err := ParseFeatures(text)
	if err != nil {
		t.Fatal(err)
	}
	return features
}

func TestFeaturesAreReadFromTheirText(t *testing.T) {
	features := parsedFeatures(t, smallFeatures)
	for path, want := range map[string]bool{"mount": true, "mount/mask": true, "domain/version": true, "mount/mask/mount": false, "moun": false, "signal": false, "": false} {
		if features.Has(path) != want {
			t.Errorf("Has(%q) is %t", path, !want)
		}
	}
	if !features.Lists("mount/mask", "umount") || features.Lists("mount/mask", "mou") || !features.Yes("domain/change_hat") || features.Yes("domain/version") {
		t.Errorf("values of %v", features)
	}
	if value, ok := features.Value("domain/version"); !ok || value != "1.2" {
		t.Errorf("the version is %q", value)
	}
	if again := parsedFeatures(t, features.String()); again.String() != features.String() {
		t.Errorf("%q is read back as %q", features, again)
	}
}

func TestBadFeaturesAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"Empty":          "",
		"NothingInside":  "mount {mask {\n}\n}\n",
		"NotClosed":      "mount {mask {mount\n}\n",
		"WordsOutside":   "mount {mask {mount\n}\n}\nmore\n",
		"NoName":         "{yes\n}\n",
		"TwoNames":       "a b {yes\n}\n",
		"PathAsName":     "a/b {yes\n}\n",
		"NestedTooDeep":  strings.Repeat("a {", 20) + "yes" + strings.Repeat("}", 20),
		"LargerThanAny":  "a {" + strings.Repeat("x ", maximumFeatures) + "}",
		"ProfileInstead": "profile p { /a r, }\n",
	} {
		if features, err := ParseFeatures(text); err == nil {
			t.Errorf("%s: read as %v", name, features)
		}
	}
}

func TestOneBraceTooManyIsForgiven(t *testing.T) {
	features := parsedFeatures(t, "mount {mask {mount\n}\n}}\nfile {mask {read\n}\n}\n") // abi/kernel-5.4-vanilla has it
	if !features.Has("mount/mask") || !features.Has("file/mask") {
		t.Errorf("read as %v", features)
	}
}

func TestIntersectionHasWhatBothHave(t *testing.T) {
	kernel := parsedFeatures(t, "signal {mask {hup int kill\n}\n}\nptrace {mask {read\n}\n}\nx {yes\n}\nversion {1.2\n}\n")
	policy := parsedFeatures(t, "signal {mask {kill quit hup\n}\n}\nx {no\n}\nversion {1.1\n}\ndbus {mask {send\n}\n}\n")
	both := kernel.Intersect(policy)
	want := "signal {mask {hup kill\n}\n}\nversion {1.1\n}\nx {no\n}\n"
	if both.String() != want {
		t.Errorf("both have %q, not %q", both, want)
	}
	if !(Features{}).Empty() || both.Empty() {
		t.Error("Empty is wrong")
	}
}

func TestKernelsOfTheTableSayWhatTheyCan(t *testing.T) {
	first := map[string]string{ // feature: the first kernel that has it
		"mount/mask": "6.1", "policy/versions/v7": "6.1", "network_v8/af_mask": "6.1", "io_uring/mask": "6.12", "domain/disconnected.path": "6.12",
		"namespaces/mask": "6.12", "dbus/mask": "7.2", "network_v9/af_unix": "7.2", "caps/extended": "7.2", "domain/kill.signal": "7.2",
	}
	if got := strings.Join(Kernels(), " "); got != "6.1 6.12 7.2" {
		t.Fatalf("the table has %s", got)
	}
	for feature, since := range first {
		have := false
		for _, kernel := range Kernels() {
			features, ok := KernelFeatures(kernel)
			if have = have || kernel == since; !ok || features.Has(feature) != have {
				t.Errorf("kernel %s: %s is %t", kernel, feature, !have)
			}
		}
	}
	if _, ok := KernelFeatures("5"); ok {
		t.Error("a kernel that is not in the table is known")
	}
}

func TestABIIsReadWhereIncludesAre(t *testing.T) {
	files := fstest.MapFS{
		"etc/apparmor.d/abi/3.0": {Data: []byte(smallFeatures)},
		"more/abi/4.0":           {Data: []byte("signal {mask {hup\n}\n}\n")},
		"here/bad":               {Data: []byte("mount {")},
	}
	options := syntax.Options{Files: files, Include: []string{"/more"}, Directory: "/here"}
	load := func(rule *syntax.Reference) (*Features, error) { return LoadABI(&syntax.Policy{ABI: rule}, options) }
	for name, row := range map[string]struct {
		rule *syntax.Reference
		has  string
	}{
		"OfTheBase":     {&syntax.Reference{Path: "abi/3.0", Magic: true}, "mount"},
		"OfAnInclude":   {&syntax.Reference{Path: "abi/4.0", Magic: true}, "signal"},
		"Absolute":      {&syntax.Reference{Path: "/more/abi/4.0"}, "signal"},
		"Relative":      {&syntax.Reference{Path: "../more/abi/4.0"}, "signal"},
		"NoRule":        {nil, ""},
		"OfTheKernel":   {&syntax.Reference{Path: "kernel"}, ""},
		"NotThere":      {&syntax.Reference{Path: "abi/9", Magic: true}, "error"},
		"NotFeatures":   {&syntax.Reference{Path: "bad"}, "error"},
		"ADirectory":    {&syntax.Reference{Path: "/more/abi"}, "error"},
		"OutsideOfRoot": {&syntax.Reference{Path: "../../../../x"}, "error"},
	} {
		features, err := load(row.rule)
		switch {
		case row.has == "error":
			if err == nil {
				t.Errorf("%s: read as %v", name, features)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case row.has == "":
			if features != nil {
				t.Errorf("%s: read as %v", name, features)
			}
		case features == nil || !features.Has(row.has):
			t.Errorf("%s: read as %v", name, features)
		}
	}
}

func FuzzParseFeatures(f *testing.F) {
	for _, kernel := range Kernels() {
		features, _ := KernelFeatures(kernel)
		f.Add(features.String())
	}
	for _, text := range []string{smallFeatures, "", "a {b {c}d {e}}", "a {b}a {c {d}}", "}}{{", "a {b {c\n}\n}\n}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		features, err := ParseFeatures(text)
		if err != nil {
			return
		}
		again, err := ParseFeatures(features.String())
		if err != nil || again.String() != features.String() {
			t.Errorf("%q is written as %q and read back as %q, %v", text, features, again, err)
		}
	})
}
