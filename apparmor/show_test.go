// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// featuresOf61 are those that the binaries in testdata/decide were compiled for.
func featuresOf61(t testing.TB) Features {
	t.Helper()
	text, err := os.ReadFile("testdata/decide/features")
	if err != nil {
		t.Fatal(err)
	}
	features, err := ParseFeatures(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return features
}

// checkShown compiles what is shown of a policy again, and compares.
func checkShown(t *testing.T, policy *binary.Policy) string {
	t.Helper()
	shown, err := Show(t.Context(), policy)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := syntax.Parse("shown", shown, syntax.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	compiled, err := Compile(t.Context(), tree, Options{Features: featuresOf61(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	differences, err := Diff(policy, compiled.Policy, DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differences {
		t.Errorf("%s", difference)
	}
	if t.Failed() {
		t.Log(shown)
	}
	return shown
}

func TestShownRulesMeanWhatTheTablesMean(t *testing.T) {
	for _, name := range []string{"docker-default", "questions"} {
		t.Run(name, func(t *testing.T) { checkShown(t, reference(t, name)) })
	}
}

func TestDockerDefaultIsReadable(t *testing.T) {
	shown := checkShown(t, reference(t, "docker-default"))
	if lines := strings.Count(shown, "\n"); lines > 36 {
		t.Errorf("%d lines", lines)
	}
	for _, rule := range []string{
		"capability,", "network,", "file,", "umount,", "deny mount,", "signal receive peer=unconfined,", "signal peer=docker-default,", "ptrace peer=docker-default,",
		"deny /proc/* w,", "deny /proc/[^1-9]/** w,", "deny /proc/kcore rklx,", "deny /sys/[^f]*/** wklx,", "deny /sys/fs/cg[^r]*/** wklx,", "deny /proc/sys/kernel/[^s][^h][^m]** w,",
	} {
		if !strings.Contains(shown, "\n  "+rule+"\n") {
			t.Errorf("%s is missing in\n%s", rule, shown)
		}
	}
}

func TestWhatIsNotShownIsNamed(t *testing.T) {
	policy := reference(t, "docker-default")
	policy.Profiles[0].XAttrs, policy.Profiles[0].KillSignal = []string{"user.tag"}, 15
	shown, err := Show(t.Context(), policy)
	if err != nil || !strings.Contains(shown, "\n  # the profile has more, which is not shown: xattrs user.tag, kill signal 15\n") {
		t.Errorf("%v\n%s", err, shown)
	}
}

func TestNetworkRulesOfOlderKernelsAreShown(t *testing.T) {
	features, err := ParseFeatures("network {af_mask {unix inet\n}\n}\nfile {mask {read\n}\n}\npolicy {versions {v7 {yes\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	const rules = "  network inet stream,\n  deny network inet6,\n  network netlink raw,\n"
	tree, err := syntax.Parse("network", "profile network {\n"+rules+"}\n", syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := Compile(t.Context(), tree, Options{Features: features})
	if err != nil {
		t.Fatal(err)
	}
	text, err := Show(t.Context(), compiled.Policy)
	if err != nil || !strings.Contains(text, rules) {
		t.Errorf("%v\n%s", err, text)
	}
	checkAnswers(t, compiled.Policy.Profiles[0], features, [][2]string{
		{"network inet stream", "allow"}, {"network inet dgram", "deny (logged)"}, {"network inet6 stream", "deny (not logged)"}, {"unix create type=stream", "deny (logged)"},
	})
}

func TestRulesForUnixSocketsAreShown(t *testing.T) {
	features, err := ParseFeatures("network {af_unix {yes\n}\naf_mask {unix inet\n}\n}\nfile {mask {read\n}\n}\npolicy {versions {v7 {yes\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	for rule, shown := range map[string]string{"unix,": "\n  unix,\n", "unix bind type=stream addr=@a,": "# no rule of the language: class 4"} {
		tree, err := syntax.Parse("unix", "profile unix {\n"+rule+"\n}\n", syntax.Options{})
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := Compile(t.Context(), tree, Options{Features: features})
		if err != nil {
			t.Fatal(err)
		}
		text, err := Show(t.Context(), compiled.Policy)
		if err != nil || !strings.Contains(text, shown) {
			t.Errorf("%s: %v\n%s", rule, err, text)
		}
	}
}

// TestShownProfilesOfTheSystem shows what apparmor_parser makes of the profiles of a directory: APPARMOR_BINARIES names one with its output for
// testdata/decide/features.
func TestShownProfilesOfTheSystem(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("APPARMOR_BINARIES"), "*.bin"))
	if os.Getenv("APPARMOR_BINARIES") == "" || err != nil || len(files) == 0 {
		t.Skip("APPARMOR_BINARIES names no compiled profiles")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			stream, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			policy, err := binary.Decode(stream)
			if err != nil {
				t.Fatal(err)
			}
			if shown := checkShown(t, policy); strings.Contains(shown, "more than can be shown") {
				t.Log("not shown as rules")
			}
		})
	}
}

// What has no rule in the text is said, so that nobody takes the text for the whole.
func TestRulesThatAreNotShownAreNamed(t *testing.T) {
	var rules []dfa.Rule
	for _, text := range []string{"\x0e", "\x0e\x00\x01\x00\x01", "\x0e\x00\x01\x00\x01\x00\x00address", "\x12name", "\x63x", "4\x001"} {
		rules = append(rules, dfa.Rule{Pattern: dfa.Literal(text)})
	}
	automaton, err := dfa.Compile(t.Context(), rules, func([]int) (dfa.Accept, error) { return dfa.Accept{One: 0x4}, nil }, dfa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := Show(t.Context(), &binary.Policy{Profiles: []*binary.Profile{{Name: "p", PolicyDB: &binary.Rules{Automaton: automaton}, File: &binary.Rules{Automaton: automaton}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# rules about the addresses and labels of unix sockets are not shown\n", "# class 99 is mediated, and its rules are not shown\n", "# no rule of the language: class 18 name"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "class 52") {
		t.Errorf("apparmor_parser's stray string is shown:\n%s", text)
	}
}
