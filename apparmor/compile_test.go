// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// compileFor compiles a policy for a kernel of the table.
func compileFor(t *testing.T, text, kernel string, change func(*Options)) (*Compiled, error) {
	t.Helper()
	policy, err := syntax.Parse("text", text, syntax.Options{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	features, ok := KernelFeatures(kernel)
	if !ok {
		t.Fatalf("no kernel %s", kernel)
	}
	options := Options{Features: features}
	if change != nil {
		change(&options)
	}
	return Compile(context.Background(), policy, options)
}

func mustCompile(t *testing.T, text string) []*binary.Profile {
	t.Helper()
	compiled, err := compileFor(t, text, "6.1", nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return compiled.Policy.Profiles
}

// accepts is what the automaton says of a string, "\xff" standing for what is out of band.
func accepts(rules *binary.Rules, text string) dfa.Accept {
	if rules == nil {
		return dfa.Accept{}
	}
	state := uint32(dfa.Start)
	for i := range len(text) {
		if text[i] == 0xff {
			state = rules.Automaton.StepOutOfBand(state)
			continue
		}
		state = rules.Automaton.Step(state, text[i])
	}
	return rules.Automaton.Accept[state]
}

// The words are those of apparmor_parser 3.0.8, of 4.1.0 where there are priorities.
func TestRulesOfFilesBecomeTheBitsOfTheReference(t *testing.T) {
	for name, row := range map[string]struct {
		rules, text string
		want        dfa.Accept
	}{
		"Read":                           {"/a r,", "/a", dfa.Accept{One: 0x10004}},
		"WriteIsAppendToo":               {"/a w,", "/a", dfa.Accept{One: 0x2800a}},
		"Append":                         {"/a a,", "/a", dfa.Accept{One: 0x20008}},
		"Lock":                           {"/a k,", "/a", dfa.Accept{One: 0x80020}},
		"Map":                            {"/a m,", "/a", dfa.Accept{One: 0x100040}},
		"Owner":                          {"owner /a w,", "/a", dfa.Accept{One: 0xa}},
		"Other":                          {"other /a r,", "/a", dfa.Accept{One: 0x10000}},
		"AnotherPath":                    {"/a r,", "/b", dfa.Accept{}},
		"Everything":                     {"file,", "/x/y", dfa.Accept{One: 0x9fc27f}},
		"EverythingAudited":              {"audit file,", "/", dfa.Accept{One: 0x9fc27f, Two: 0x1fc07f}},
		"LinkIsAPair":                    {"/a l,", "/a\x00/b", dfa.Accept{One: 0x40030}},
		"LinkItself":                     {"/a l,", "/a", dfa.Accept{One: 0x40010}},
		"LinkNamesItsTarget":             {"link /a -> /b,", "/a\x00/c", dfa.Accept{}},
		"LinkToItsTarget":                {"link /a -> /b,", "/a\x00/b", dfa.Accept{One: 0x40010}},
		"LinkSubset":                     {"link subset /a -> /b,", "/a\x00/b", dfa.Accept{One: 0x40030}},
		"LinkOfTheOwner":                 {"owner /a l,", "/a\x00/b", dfa.Accept{One: 0x30}},
		"DeniedLinkLeavesTheName":        {"deny /a l, /a l,", "/a", dfa.Accept{One: 0x40010}},
		"DeniedLinkIsThePair":            {"deny /a l, /a l,", "/a\x00/b", dfa.Accept{Two: 0x40010 << 7}},
		"AuditedPair":                    {"audit /a l,", "/a\x00/b", dfa.Accept{One: 0x40030, Two: 0x40010}},
		"Inherit":                        {"/a ix,", "/a", dfa.Accept{One: 0x904241}},
		"Profile":                        {"/a px,", "/a", dfa.Accept{One: 0x2404901}},
		"ProfileScrubbed":                {"/a Px,", "/a", dfa.Accept{One: 0x2004801}},
		"ChildScrubbed":                  {"/a Cx,", "/a", dfa.Accept{One: 0x3004c01}},
		"Unconfined":                     {"/a ux,", "/a", dfa.Accept{One: 0x1404501}},
		"UnconfinedScrubbed":             {"/a Ux,", "/a", dfa.Accept{One: 0x1004401}},
		"ProfileOrInherit":               {"/a pix,", "/a", dfa.Accept{One: 0x2d04b41}},
		"ProfileOrUnconfinedScrubbed":    {"/a Pux,", "/a", dfa.Accept{One: 0x2204881}},
		"ChildOrUnconfined":              {"/a cux,", "/a", dfa.Accept{One: 0x3604d81}},
		"ExecOfTheOwner":                 {"owner /a px,", "/a", dfa.Accept{One: 0x901}},
		"AuditedExec":                    {"audit /a px,", "/a", dfa.Accept{One: 0x2404901, Two: 0x4001}},
		"ExactExecWins":                  {"/a* px, /a ix,", "/a", dfa.Accept{One: 0x904241}},
		"AlternativesAreExact":           {"/{a,b} ix, /* px,", "/b", dfa.Accept{One: 0x904241}},
		"SetsWinOverPatterns":            {"/[ab] px, /* ix,", "/a", dfa.Accept{One: 0x2504941}},
		"ExactExecWinsOverSets":          {"/[ab] px, /a ix,", "/a", dfa.Accept{One: 0x904241}},
		"ExactExecWinsForItsHalf":        {"owner /a ix, /a* px,", "/a", dfa.Accept{One: 0x2404241}},
		"MapOfThePatternStays":           {"owner /a* ix, /a px,", "/a", dfa.Accept{One: 0x2404941}},
		"DeniedExec":                     {"deny /a* x, /a px,", "/a", dfa.Accept{Two: 0x4001 << 7}},
		"DeniedExecOfTheOwner":           {"deny owner /a x, /a px,", "/a", dfa.Accept{One: 0x2404000, Two: 1 << 7}},
		"Denied":                         {"deny /a w, /a rw,", "/a", dfa.Accept{One: 0x10004, Two: 0x2800a << 7}},
		"DeniedLoudly":                   {"audit deny /a w, /a rw,", "/a", dfa.Accept{One: 0x10004}},
		"DeniedBothWaysIsQuiet":          {"audit deny /a w, deny /a w,", "/a", dfa.Accept{Two: 0x2800a << 7}},
		"KilledForIsDenied":              {"kill /a r, /a rw,", "/a", dfa.Accept{One: 0x2800a}},
		"QuietIsDenied":                  {"quiet /a r, /a rw,", "/a", dfa.Accept{One: 0x2800a, Two: 0x10004 << 7}},
		"AuditedAndDenied":               {"audit /a w, deny /a w,", "/a", dfa.Accept{Two: 0x2800a | 0x2800a<<7}},
		"ChangeProfile":                  {"change_profile -> b,", "b", dfa.Accept{One: 0xc0000000}},
		"ChangeProfileOfAnyProgram":      {"change_profile -> b,", "/x\x00b", dfa.Accept{One: 0x40000000}},
		"ChangeProfileAtExec":            {"change_profile /x -> b,", "/x\x00b", dfa.Accept{One: 0x40004001}},
		"ChangeProfileAtExecUnsafe":      {"change_profile unsafe /x -> b,", "/x\x00b", dfa.Accept{One: 0x40404101}},
		"ChangeProfileInANamespace":      {"change_profile -> :n:b,", ":n:b", dfa.Accept{One: 0xc0000000}},
		"ChangeProfileOpensItsFile":      {"change_profile /x -> b,", "/proc/1/attr/exec", dfa.Accept{One: 2}},
		"HatsOpenTheirFile":              {"^h { }", "/proc/1/attr/apparmor/current", dfa.Accept{One: 2}},
		"NothingOpensItOtherwise":        {"/a r,", "/proc/1/attr/current", dfa.Accept{}},
		"PriorityAllowsWhatIsDenied":     {"deny /a r, priority=1 /a rw,", "/a", dfa.Accept{One: 0x3800e}},
		"PriorityDenies":                 {"priority=1 deny /a r, /a rw,", "/a", dfa.Accept{One: 0x2800a, Two: 0x10004 << 7}},
		"PriorityIsOfItsBits":            {"deny /a r, priority=1 audit /a w,", "/a", dfa.Accept{One: 0x2800a, Two: 0x2800a | 0x10004<<7}},
		"PriorityTakesTheMapOfInherit":   {"priority=1 /a px, /a ix,", "/a", dfa.Accept{One: 0x2404901}},
		"PriorityOfTheOwner":             {"priority=1 owner /a px, /a ix,", "/a", dfa.Accept{One: 0x904901}},
		"PriorityLeavesOtherMaps":        {"priority=5 /a px, priority=4 /a* ix, priority=3 /** m,", "/a", dfa.Accept{One: 0x2504941}},
		"PriorityDeniesExec":             {"priority=1 deny /a x, /a ix,", "/a", dfa.Accept{One: 0x100040, Two: 0x4001 << 7}},
		"PriorityOverExactness":          {"priority=1 /a* px, /a ix,", "/a", dfa.Accept{One: 0x2404901}},
		"PriorityIsNotLessThanTheOthers": {"priority=1 /a r, priority=-1 audit /a rw, audit deny /a r,", "/a", dfa.Accept{One: 0x3800e, Two: 0x2800a}},
		"AllGivesWayInExec":              {"all, /a px,", "/a", dfa.Accept{One: 0x25fc97f}},
	} {
		profiles := mustCompile(t, "profile p {\n"+row.rules+"\n}")
		if got := accepts(profiles[0].File, row.text); got != row.want {
			t.Errorf("%s: %q is %#x %#x, not %#x %#x", name, row.text, got.One, got.Two, row.want.One, row.want.Two)
		}
	}
}

func TestConflictsNameBothRules(t *testing.T) {
	for name, row := range map[string]struct {
		rules  string
		places []string
	}{
		"OfOnePath":          {"/a px,\n/a ix,", []string{"text:2:1", "text:3:1"}},
		"OfPatterns":         {"/b r,\n/a* px,\n/?b ix,", []string{"text:3:1", "text:4:1"}},
		"UnderAnExactOne":    {"/a* px,\n/?b ix,\n/ab ux,", []string{"text:2:1", "text:3:1"}},
		"Denied":             {"/a* px,\n/?b ix,\ndeny /** x,", []string{"text:2:1", "text:3:1"}},
		"Scrubbing":          {"/a px,\n/a Px,", []string{"text:2:1", "text:3:1"}},
		"Targets":            {"/a px -> b,\n/a px -> c,", []string{"text:2:1", "text:3:1"}},
		"OfTheOwner":         {"owner /a px,\n/a ix,", []string{"text:2:1", "text:3:1"}},
		"ChangeProfileAtAll": {"change_profile /x -> b,\nchange_profile unsafe /x -> b,", []string{"text:2:1", "text:3:1"}},
	} {
		_, err := compileFor(t, "profile p {\n"+row.rules+"\n}", "6.1", nil)
		if err == nil || !strings.Contains(err.Error(), "conflicting x modifiers") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, place := range row.places {
			if !strings.Contains(err.Error(), place) {
				t.Errorf("%s: %v, without %s", name, err, place)
			}
		}
	}
}

func TestTransitionsGoToTheirTargets(t *testing.T) {
	for name, row := range map[string]struct {
		text, path, want string
	}{
		"Name":          {"profile p { /a px -> b, }", "/a", "b"},
		"Child":         {"profile p { /a cx -> b, }", "/a", "p//b"},
		"ChildOfAHat":   {"profile p { ^h { /a cx -> b, } }", "/a", "p//h//b"},
		"Namespace":     {"profile p { /a px -> :n:b, }", "/a", ":n\x00b"},
		"Stack":         {"profile p { /a px -> b//&c, }", "/a", "b//&c"},
		"OntoItself":    {"profile p { /a px -> &b, }", "/a", "&b"},
		"Variable":      {"@{v}=b\nprofile p { /a px -> x@{v}, }", "/a", "xb"},
		"SecondOfTwo":   {"profile p { /a px -> b, /c px -> d, }", "/c", "d"},
		"OfTheOverride": {"profile p { /a* px -> b, /a px -> c, }", "/a", "c"},
	} {
		profiles := mustCompile(t, row.text)
		file := profiles[len(profiles)-1].File
		index := int(accepts(file, row.path).One >> execIndexShift & 0xf)
		if index < indexTable || index-indexTable >= len(file.Targets) {
			t.Errorf("%s: the index is %d of %q", name, index, file.Targets)
		} else if got := file.Targets[index-indexTable]; got != row.want {
			t.Errorf("%s: to %q, not %q", name, got, row.want)
		}
	}
}

func TestTargetsHaveABound(t *testing.T) {
	rules := func(count int) string {
		var text strings.Builder
		for i := range count {
			fmt.Fprintf(&text, "/a%d px -> b%d,\n/c%d px -> b%d,\n", i, i, i, i)
		}
		return "profile p {\n" + text.String() + "}"
	}
	if file := mustCompile(t, rules(maximumTargets))[0].File; len(file.Targets) != maximumTargets {
		t.Errorf("%d targets", len(file.Targets))
	}
	if _, err := compileFor(t, rules(maximumTargets+1), "6.1", nil); err == nil || !strings.Contains(err.Error(), "text:26:1") {
		t.Errorf("one target too many: %v", err)
	}
}

func TestAttachmentsMatchTheirPrograms(t *testing.T) {
	for name, row := range map[string]struct {
		text   string
		length uint32
		in     []string
		out    []string
	}{
		"OfItsOwn":      {"profile p /bin/a { }", 6, []string{"/bin/a"}, []string{"/bin/b", "p"}},
		"NameWithGlob":  {"/bin/* { }", 6, []string{"/bin/a"}, []string{"/bin/", "/bin/a/b"}},
		"Alternatives":  {"profile p /bin/{a,bcd}* { }", 6, []string{"/bin/a", "/bin/bcde"}, []string{"/bin/bc"}},
		"Values":        {"@{v}=/a /bb\nprofile p @{v}/z { }", 4, []string{"/a/z", "/bb/z"}, []string{"/z"}},
		"Alias":         {"alias /usr/ -> /mnt/,\n/usr/a { }", 6, []string{"/usr/a", "/mnt/a"}, []string{"/mnt/usr/a"}},
		"XAttr":         {"profile p /bin/a xattrs=(user.x=\"y*\") { }", 6, []string{"/bin/a", "/bin/a\xff\x00yz"}, []string{"/bin/a\x00y", "/bin/a\xff\x00z"}},
		"XAttrIsThere":  {"profile p /bin/a xattrs=(user.x) { }", 6, []string{"/bin/a\xff\x00", "/bin/a\xff\x00a/b"}, []string{"/bin/a\xff"}},
		"TwoXAttrs":     {"profile p /bin/a xattrs=(user.x=y user.z=w) { }", 6, []string{"/bin/a\xff\x00w", "/bin/a\xff\x00w\xff\x00y"}, []string{"/bin/a\xff\x00y"}},
		"ChildByItsOwn": {"profile p//b* { }", 1, []string{"bc"}, []string{"p//bc"}},
	} {
		p := mustCompile(t, row.text)[0]
		if p.XMatch == nil || p.XMatchLength != row.length {
			t.Errorf("%s: length %d of %v", name, p.XMatchLength, p.XMatch)
			continue
		}
		for _, text := range row.in {
			if accepts(p.XMatch, text).One != permExec {
				t.Errorf("%s does not match %q", name, text)
			}
		}
		for _, text := range row.out {
			if accepts(p.XMatch, text).One != 0 {
				t.Errorf("%s matches %q", name, text)
			}
		}
	}
	for name, text := range map[string]string{"Path": "/bin/a { }", "Name": "profile p { }", "PathWithKeyword": "profile /bin/a { }"} {
		if p := mustCompile(t, text)[0]; p.XMatch != nil {
			t.Errorf("%s has an automaton though its name is enough", name)
		}
	}
}

func TestFixedLengthEndsAtTheFirstLongWildcard(t *testing.T) {
	for glob, want := range map[string]uint32{
		"/**": 2, "/a[bc]d*": 4, "/a?c*": 3, "/{a*,bbbb}/foo": 2, "/{a,bbbb}/foo": 6, "/{a,bbbb}/foo*/x": 6, `/a\*b*`: 4, "/a[^/]b**": 3, "/{,a}b*": 2,
		"/{a*,b}c*": 2, "/{a,b*}c": 2, "/bin/{a,b}": 6, "/a{b{c,d*},e}f*g": 3, "/*": 2, "/a**": 2, "/a**/": 2, "/{a/,b}*": 2, "/*b": 1, "/bin/*/y": 6, "": 0, "{": 0, "{a": 1, "[": 1, `\`: 1,
	} {
		if got := fixedLength(glob); got != want {
			t.Errorf("%q has %d, not %d", glob, got, want)
		}
	}
}

func TestHeadersSayWhatFlagsSay(t *testing.T) {
	type header struct {
		mode, path uint32
		audit      bool
		other      string
	}
	for flags, want := range map[string]header{
		"enforce": {}, "complain": {mode: 1}, "kill": {mode: 2}, "unconfined": {mode: 3}, "default_allow": {mode: 3}, "prompt": {},
		"audit": {audit: true}, "attach_disconnected": {path: 4}, "mediate_deleted": {path: 0x10000}, "chroot_relative": {path: 8}, "chroot_attach": {path: 0x10},
		"attach_disconnected.path=/x/": {path: 4, other: "/x"}, "attach_disconnected, mediate_deleted, complain": {mode: 1, path: 0x10004},
	} {
		p := mustCompile(t, "profile p flags=("+flags+") { }")[0]
		if got := (header{p.Mode, p.PathFlags, p.Audit, p.Disconnected}); got != want {
			t.Errorf("%s: %+v, not %+v", flags, got, want)
		}
	}
}

func TestPromptIsAModeOfKernelsThatKnowIt(t *testing.T) {
	for kernel, want := range map[string]uint32{"6.1": binary.ModeEnforce, "6.12": binary.ModeUser, "7.2": binary.ModeUser} {
		compiled, err := compileFor(t, "profile p flags=(prompt) { }", kernel, nil)
		if err != nil || compiled.Policy.Profiles[0].Mode != want {
			t.Errorf("%s: %v, %v", kernel, compiled, err)
		}
	}
}

func TestHatsAndChildrenAreProfilesOfTheirOwn(t *testing.T) {
	profiles := mustCompile(t, "profile a { profile b { ^c { } } ^d { } }\nprofile :n:e { ^f { } }")
	var got []string
	for _, p := range profiles {
		got = append(got, fmt.Sprintf("%s|%s|%t", p.Namespace, p.Name, p.Hat))
	}
	want := []string{"|a|false", "|a//b|false", "|a//b//c|true", "|a//d|true", "n|e|false", "n|e//f|true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

const manyProfiles = `@{v}=/x /y
profile a /bin/a* { /etc/** r, @{v}/z px -> q, /bin/* cx -> k, profile k { /b rwkl, } ^h { capability chown, } }
profile b { file, deny /proc/** w, change_profile -> c, signal, }
profile c /c/{d,e} { /c/** mr, owner /home/*/ rw, network inet, }
`

func TestOutputDependsOnNothingButTheText(t *testing.T) {
	streams := map[string]bool{}
	for _, workers := range []int{1, 2, 8, 0} {
		compiled, err := compileFor(t, manyProfiles, "6.12", func(o *Options) { o.Workers = workers })
		if err != nil {
			t.Fatal(err)
		}
		stream, err := binary.Encode(compiled.Policy)
		if err != nil {
			t.Fatal(err)
		}
		streams[string(stream)] = true
		if compiled.Map.Digest != digest(stream) {
			t.Error("the map is of another stream")
		}
	}
	if len(streams) != 1 {
		t.Errorf("%d different streams", len(streams))
	}
}

func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	encode := func(text string) []byte {
		compiled, err := compileFor(t, text, "6.1", nil)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := binary.Encode(compiled.Policy)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	one := encode("profile p { /a* px -> b, /c px -> d, deny /e w, audit /e* rw, owner /f r, }")
	other := encode("profile p { owner /f r, audit /e* rw, deny /e w, /c px -> d, /a* px -> b, /c px -> d, }")
	if !bytes.Equal(one, other) {
		t.Error("the streams differ")
	}
}

func TestMapHasTheRulesWithTheirPlaces(t *testing.T) {
	compiled, err := compileFor(t, "profile p {\n  /a   rw,\n  deny\n    /b x,\n ^h {\n /c r,\n }\n}", "6.1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(compiled.Map.Profiles)); !slices.Equal(names, []string{"p", "p//h"}) {
		t.Errorf("the profiles are %q", names)
	}
	rules := compiled.Map.Profiles["p"].Rules
	if len(rules) != 2 || rules[0].Position.String() != "text:2:3" || rules[0].Text != "/a rw," || rules[1].Position.Line != 3 {
		t.Errorf("the rules are %+v", rules)
	}
}

func TestWhatCannotBeCompiledIsAnError(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	policy, err := syntax.Parse("text", manyProfiles, syntax.Options{})
	if err != nil {
		t.Fatal(err)
	}
	features, _ := KernelFeatures("6.1")
	if _, err := Compile(canceled, policy, Options{Features: features}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the caller: %v", err)
	}
	if _, err := Compile(context.Background(), policy, Options{}); err == nil {
		t.Error("without features it is compiled")
	}
	var limit *dfa.LimitError
	if _, err := Compile(context.Background(), policy, Options{Features: features, Limits: dfa.Limits{States: 3, Memory: 1 << 20}}); !errors.As(err, &limit) {
		t.Errorf("over the limit: %v", err)
	}
	for name, row := range map[string]struct{ text, want string }{
		"TwiceTheSame":     {"profile p { }\nprofile p { }", "text:2:1"},
		"TargetsOfTwo":     {"@{v}=a b\nprofile p {\n/a px -> @{v},\n}", "text:3:1"},
		"UnknownVariable":  {"profile p {\n/a@{v} r,\n}", "@{v}"},
		"UnreadablePath":   {"profile p {\n/a{b r,\n}", "text:2:"},
		"SeveralPathFlags": {"@{v}=/a /b\nprofile p flags=(attach_disconnected.path=@{v}) { }", "one absolute path"},
	} {
		policy, err := syntax.Parse("text", row.text, syntax.Options{})
		if err == nil {
			_, err = Compile(context.Background(), policy, Options{Features: features})
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, without %q", name, err, row.want)
		}
	}
}

func TestWhatTheTargetCannotEnforceIsSaid(t *testing.T) {
	for name, row := range map[string]struct{ text, kernel, want string }{
		"KillSignal":       {"profile p flags=(kill, kill.signal=hup) { }", "6.12", "kill.signal="},
		"Error":            {"profile p flags=(error=EPERM) { }", "7.2", "error="},
		"Prompt":           {"profile p flags=(prompt) { }", "7.2", "prompt"},
		"DisconnectedPath": {"profile p flags=(attach_disconnected.path=/x) { }", "6.1", "attach_disconnected.path="},
		"DenialByDefault":  {"profile p flags=(default_allow) { /a r,\ndeny /b w, }", "7.2", "text:2:1"},
		"PromptingRule":    {"profile p { prompt /a r, }", "7.2", "text:1:13"},
	} {
		compiled, err := compileFor(t, row.text, row.kernel, nil)
		if err != nil || len(compiled.Unenforced) != 1 || !strings.Contains(compiled.Unenforced[0].Error(), row.want) {
			t.Errorf("%s: %v, %v", name, compiled, err)
		}
		if _, err := compileFor(t, row.text, row.kernel, func(o *Options) { o.Strict = true }); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s, strictly: %v", name, err)
		}
	}
	compiled, err := compileFor(t, "profile p flags=(kill, kill.signal=hup, attach_disconnected.path=/x) { }", "7.2", func(o *Options) { o.Strict = true })
	if err != nil || compiled.Policy.Profiles[0].KillSignal != 1 {
		t.Errorf("a kernel that takes the flags: %v", err)
	}
}

func TestOptionsChangeEveryProfile(t *testing.T) {
	compiled, err := compileFor(t, "profile a { ^h { } }\nprofile :n:b flags=(kill) { }", "6.1", func(o *Options) { o.Complain, o.Namespace = true, "m" })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range compiled.Policy.Profiles {
		if p.Mode != binary.ModeComplain || p.Namespace != "m" {
			t.Errorf("%s has mode %d, namespace %q", p.Name, p.Mode, p.Namespace)
		}
	}
}
