// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// parsed returns the profile of a text that has to be right.
func parsed(t testing.TB, text string) *Profile {
	t.Helper()
	profile, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return profile
}

// resolved returns what a text means on a machine with Docker's capabilities, and the warnings, a line each.
func resolved(t testing.TB, text string, container Target) (*Policy, string) {
	t.Helper()
	policy, warnings, err := parsed(t, text).Resolve(container)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	return policy, strings.Join(lines, "\n")
}

func TestWhatIsHardlyMeantIsWarnedAbout(t *testing.T) {
	two := func(first, second string) string {
		return "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [\n{" + first + "},\n{" + second + "}]}"
	}
	for name, test := range map[string]struct{ text, want string }{
		"Nothing":              {entry(allowed), ""},
		"UnknownField":         {"{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n \"x-made-by\": {\"a\": [1]}}", `2:2: profile: unknown field "x-made-by" is ignored, expected one of defaultAction, defaultErrnoRet, defaultErrno, architectures, archMap, flags, listenerPath, listenerMetadata, syscalls`},
		"FieldOnPurpose":       {entry(allowed + `, "_comment": "x"`), `3:48: syscalls: unknown field "_comment" is ignored, expected one of names, action, args, errnoRet, errno, includes, excludes, comment, name`},
		"UnknownCall":          {entry(`"names": ["read", "raed"], "action": "SCMP_ACT_ALLOW"`), `3:19: name: no kernel has a call "raed", ignored`},
		"CallOfAnotherMachine": {entry(`"names": ["s390_runtime_instr"], "action": "SCMP_ACT_ALLOW"`), ""},
		"NoNames":              {entry(`"names": [], "action": "SCMP_ACT_ALLOW"`), "3:10: names: empty, so that the entry means nothing"},
		"ArchitectureTwice":    {`{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X86"]}`, "1:72: architectures: SCMP_ARCH_X86 is there twice"},
		"ErrnosDiffer":         {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "ENOSYS"`), "3:72: action: errno 1 is not ENOSYS, which is what counts"},
		"UnknownCapability":    {entry(allowed + `, "excludes": {"caps": ["CAP_SYSADMIN"]}`), "3:70: caps: no kernel has a capability CAP_SYSADMIN"},
		"SecondValue":          {condition(`"index": 0, "value": 2, "valueTwo": 7, "op": "SCMP_CMP_EQ"`), "3:37: valueTwo: 7 is ignored, expected it with SCMP_CMP_MASKED_EQ only"},
		"MaskOfNothing":        {condition(`"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"`), "2:1: args: a mask (value) of 0 hides all of the argument, so that the condition always holds"},
		"BitsBesideTheMask":    {condition(`"index": 0, "value": 15, "valueTwo": 31, "op": "SCMP_CMP_MASKED_EQ"`), "2:1: args: valueTwo 0x1f has bits that the mask (value) 0xf hides, ignored"},
		"Alternatives":         {condition(`"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"`), "2:1: args: conditions on argument 0 contradict each other, taken as alternatives"},
		"TooLargeForAnInt":     {condition(`"index": 0, "value": 4294967296, "op": "SCMP_CMP_EQ"`), "2:1: socket: SCMP_CMP_EQ 4294967296 never holds of argument 0, as the kernel reads it"},
		"AlwaysOfAnInt":        {condition(`"index": 0, "value": 4294967296, "op": "SCMP_CMP_LT"`), "2:1: socket: SCMP_CMP_LT 4294967296 always holds of argument 0, as the kernel reads it"},
		"AllBits":              {condition(`"index": 0, "value": 4294967296, "op": "SCMP_CMP_EQ", "width": 64`), ""},
		"MinusOne":             {condition(`"index": 0, "value": 4294967295, "op": "SCMP_CMP_EQ"`), ""},
		"MinusOneIn64Bits":     {condition(`"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"`), ""},
		"Contradiction":        {two(`"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"`, `"names": ["open", "write"], "action": "SCMP_ACT_LOG"`), "3:1: write: SCMP_ACT_LOG here, SCMP_ACT_ALLOW at 2:1 for the same arguments; SCMP_ACT_ALLOW counts"},
		"OtherErrno":           {two(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2`, `"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3`), "3:1: read: SCMP_ACT_ERRNO(3) here, SCMP_ACT_ERRNO(2) at 2:1 for the same arguments; SCMP_ACT_ERRNO(2) counts"},
		"SameConditions": {two(`"names": ["dup3"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]`,
			`"names": ["dup3"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]`), "3:1: dup3: SCMP_ACT_KILL_THREAD here, SCMP_ACT_ALLOW at 2:1 for the same arguments; SCMP_ACT_KILL_THREAD counts"},
		"OtherConditions": {two(`"names": ["dup3"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]`,
			`"names": ["dup3"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]`), ""},
		"SaidTwice":              {two(allowed, allowed), ""},
		"DefaultAction":          {entry(`"names": ["read", "write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1`), "2:1: read, write: SCMP_ACT_ERRNO(1) is the default action"},
		"DefaultActionOverAnoth": {two(allowed, `"names": ["read"], "action": "SCMP_ACT_ERRNO"`), "3:1: read: SCMP_ACT_ERRNO(1) here, SCMP_ACT_ALLOW at 2:1 for the same arguments; SCMP_ACT_ALLOW counts"},
	} {
		if _, got := resolved(t, test.text, dockerTarget); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

func TestWarningsAreCounted(t *testing.T) {
	_, got := resolved(t, entry(`"names": [`+strings.Repeat(`"none",`, 59)+`"none"], "action": "SCMP_ACT_ALLOW"`), dockerTarget)
	if lines := strings.Split(got, "\n"); len(lines) != maximumReports+1 || lines[maximumReports] != "10 more warnings" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

// TestConditionsOfEntries is what includes and excludes mean.
func TestConditionsOfEntries(t *testing.T) {
	machine := func(architecture string, major uint8, capabilities ...string) Target {
		return Target{architecture, capabilities, Version{Major: major, Minor: 8}}
	}
	for name, test := range map[string]struct {
		condition string
		container Target
		applies   bool
	}{
		"None":               {`"includes": {}, "excludes": {}`, machine("amd64", 5), true},
		"Null":               {`"includes": null, "excludes": {"caps": null, "arches": [], "minKernel": ""}`, machine("amd64", 5), true},
		"HasIt":              {`"includes": {"caps": ["CAP_BPF"]}`, machine("amd64", 5, "CAP_KILL", "CAP_BPF"), true},
		"HasItNot":           {`"includes": {"caps": ["CAP_BPF"]}`, machine("amd64", 5, "CAP_KILL"), false},
		"HasBoth":            {`"includes": {"caps": ["CAP_BPF", "CAP_KILL"]}`, machine("amd64", 5, "CAP_KILL", "CAP_BPF"), true},
		"HasOneOfBoth":       {`"includes": {"caps": ["CAP_BPF", "CAP_KILL"]}`, machine("amd64", 5, "CAP_KILL"), false},
		"IsExcluded":         {`"excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}`, machine("amd64", 5, "CAP_KILL"), false},
		"IsNotExcluded":      {`"excludes": {"caps": ["CAP_BPF"]}`, machine("amd64", 5, "CAP_KILL"), true},
		"InAndOut":           {`"includes": {"caps": ["CAP_KILL"]}, "excludes": {"arches": ["amd64"]}`, machine("amd64", 5, "CAP_KILL"), false},
		"ThisMachine":        {`"includes": {"arches": ["arm64", "amd64"]}`, machine("amd64", 5), true},
		"AnotherMachine":     {`"includes": {"arches": ["arm64"]}`, machine("amd64", 5), false},
		"X32IsNotAMachine":   {`"includes": {"arches": ["x32"]}`, machine("amd64", 5), false},
		"MachineExcluded":    {`"excludes": {"arches": ["s390", "s390x"]}`, machine("s390x", 5), false},
		"LoongAsGoHasIt":     {`"includes": {"arches": ["loong64"]}`, machine("loong64", 5), true},
		"LoongAsDockerHasIt": {`"includes": {"arches": ["loongarch64"]}`, machine("loong64", 5), true},
		"386AsGoHasIt":       {`"includes": {"arches": ["386"]}`, machine("386", 5), true},
		"386AsDockerHasIt":   {`"includes": {"arches": ["x86"]}`, machine("386", 5), true},
		"MipsAsDockerHasIt":  {`"includes": {"arches": ["mipsel64"]}`, machine("mips64le", 5), true},
		"KernelIsOlder":      {`"includes": {"minKernel": "5.9"}`, machine("amd64", 5), false},
		"KernelIsThat":       {`"includes": {"minKernel": "5.8"}`, machine("amd64", 5), true},
		"KernelIsNewer":      {`"includes": {"minKernel": "5.10"}`, machine("amd64", 6), true},
		"NewKernelExcluded":  {`"excludes": {"minKernel": "5.8"}`, machine("amd64", 5), false},
		"OldKernelIsNot":     {`"excludes": {"minKernel": "5.9"}`, machine("amd64", 5), true},
	} {
		if policy, _ := resolved(t, entry(allowed+", "+test.condition), test.container); len(policy.Rules) == 1 != test.applies {
			t.Errorf("%s: %d rules", name, len(policy.Rules))
		}
	}
}

func TestArchitecturesOfAMachine(t *testing.T) {
	const architectures = `"architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64", "SCMP_ARCH_ARM"]`
	const archMap = `"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32", "SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_LOONGARCH64", "subArchitectures": null}, {"architecture": "SCMP_ARCH_MIPSEL64", "subArchitectures": ["SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPSEL64N32"]}]`
	for name, test := range map[string]struct{ field, machine, want string }{
		"NoneIsNative":            {`"architectures": []`, "amd64", "x86_64"},
		"NativeComesFirst":        {architectures, "amd64", "x86_64 x86"},
		"OnlyThatMachines":        {architectures, "arm64", "aarch64 arm"},
		"NativeIsAdded":           {architectures, "riscv64", "riscv64"},
		"MapOfTheMachine":         {archMap, "amd64", "x86_64 x32 x86"},
		"MapWithoutTheMachine":    {archMap, "arm64", "aarch64"},
		"MapWithoutOthers":        {archMap, "loong64", "loongarch64"},
		"OtherByteOrderIsLeftOut": {archMap, "mips64le", "mipsel64 mipsel mipsel64n32"},
		"ByLibseccompsName":       {archMap, "mipsel64", "mipsel64 mipsel mipsel64n32"},
	} {
		policy, _ := resolved(t, `{"defaultAction": "SCMP_ACT_ERRNO", `+test.field+`}`, Target{Architecture: test.machine})
		var names []string
		for _, abi := range policy.ABIs {
			names = append(names, abi.Name)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, _, err := parsed(t, `{"defaultAction": "SCMP_ACT_ERRNO"}`).Resolve(Target{Architecture: "vax"}); err == nil || err.Error() != `architecture "vax": no table of its calls` {
		t.Errorf("vax: %v", err)
	}
}

func TestActionsHaveTheirData(t *testing.T) {
	for name, test := range map[string]struct {
		fields, machine string
		want            Action
	}{
		"Allow":             {`"action": "SCMP_ACT_ALLOW"`, "amd64", Allow},
		"Kill":              {`"action": "SCMP_ACT_KILL"`, "amd64", KillThread},
		"KillThread":        {`"action": "SCMP_ACT_KILL_THREAD"`, "amd64", KillThread},
		"KillProcess":       {`"action": "SCMP_ACT_KILL_PROCESS"`, "amd64", KillProcess},
		"Trap":              {`"action": "SCMP_ACT_TRAP"`, "amd64", Trap},
		"Log":               {`"action": "SCMP_ACT_LOG"`, "amd64", Log},
		"Notify":            {`"action": "SCMP_ACT_NOTIFY"`, "amd64", Notify},
		"ErrnoIsEPERM":      {`"action": "SCMP_ACT_ERRNO"`, "amd64", Errno | 1},
		"NullIsEPERM":       {`"action": "SCMP_ACT_ERRNO", "errnoRet": null, "errno": ""`, "amd64", Errno | 1},
		"TraceIsEPERM":      {`"action": "SCMP_ACT_TRACE"`, "amd64", Trace | 1},
		"Errno":             {`"action": "SCMP_ACT_ERRNO", "errnoRet": 4095`, "amd64", Errno | 4095},
		"ErrnoOfNothing":    {`"action": "SCMP_ACT_ERRNO", "errnoRet": 0`, "amd64", Errno},
		"TraceMessage":      {`"errnoRet": 65535, "action": "SCMP_ACT_TRACE"`, "amd64", Trace | 0xffff},
		"ByName":            {`"action": "SCMP_ACT_ERRNO", "errno": "ENOSYS"`, "amd64", Errno | 38},
		"ByNameOnMIPS":      {`"action": "SCMP_ACT_ERRNO", "errnoRet": 38, "errno": "ENOSYS"`, "mips64le", Errno | 89},
		"ByNameOnPARISC":    {`"action": "SCMP_ACT_ERRNO", "errno": "ENOSYS"`, "parisc", Errno | 251},
		"ByNameOnPowerPC":   {`"action": "SCMP_ACT_ERRNO", "errno": "EDEADLOCK"`, "ppc64le", Errno | 58},
		"ByNumber":          {`"action": "SCMP_ACT_ERRNO", "errno": "38"`, "mips64le", Errno | 38},
		"NameBeforeANumber": {`"action": "SCMP_ACT_ERRNO", "errno": "EINVAL", "errnoRet": 22`, "amd64", Errno | 22},
	} {
		policy, _ := resolved(t, `{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{"names": ["read"], `+test.fields+`}]}`, Target{Architecture: test.machine})
		if got := policy.Rules[0].Action; got != test.want {
			t.Errorf("%s: %s", name, got)
		}
		policy, _ = resolved(t, `{`+strings.NewReplacer("action", "defaultAction", "errnoRet", "defaultErrnoRet", `"errno"`, `"defaultErrno"`, "NOTIFY", "LOG").Replace(test.fields)+`}`, Target{Architecture: test.machine})
		if want := test.want; policy.Default != want && want != Notify {
			t.Errorf("%s: as the default %s", name, policy.Default)
		}
	}
}

func TestFlags(t *testing.T) {
	const notify = `, "syscalls": [{"names": ["bind"], "action": "SCMP_ACT_NOTIFY", "includes": {"caps": ["CAP_KILL"]}}]`
	for name, test := range map[string]struct {
		fields string
		want   Flags
	}{
		"NotGiven":         {``, FlagSpecAllow},
		"Null":             {`, "flags": null`, FlagSpecAllow},
		"None":             {`, "flags": []`, 0},
		"Log":              {`, "flags": ["SECCOMP_FILTER_FLAG_LOG"]`, FlagLog},
		"All":              {`, "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]` + notify, FlagLog | FlagSync | FlagSpecAllow | FlagWaitKillableRecv | FlagNewListener},
		"Notify":           {`, "flags": []` + notify, FlagNewListener},
		"NotifyIsLeftOut":  {`, "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]` + strings.Replace(notify, "CAP_KILL", "CAP_BPF", 1), 0},
		"FlagsAfterNotify": {notify + `, "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]`, FlagWaitKillableRecv | FlagNewListener},
	} {
		if policy, _ := resolved(t, `{"defaultAction": "SCMP_ACT_ERRNO"`+test.fields+`}`, dockerTarget); policy.Flags != test.want {
			t.Errorf("%s: %#x", name, policy.Flags)
		}
	}
}

func TestNewestCountsGroupsThatDoNotApply(t *testing.T) {
	policy, _ := resolved(t, `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["landlock_add_rule"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}]}`, dockerTarget)
	if policy.Newest != (Version{Major: 5, Minor: 13}) || len(policy.Rules) != 1 {
		t.Errorf("newest %v, %d rules", policy.Newest, len(policy.Rules))
	}
}

func TestPlaces(t *testing.T) {
	policy, _ := resolved(t, "{\"syscalls\": [\n {\"name\": \"read\", \"action\": \"SCMP_ACT_ALLOW\"}, {\"name\": \"write\",\n\"action\": \"SCMP_ACT_ALLOW\"},\n\n\t{\"name\": \"close\", \"action\": \"SCMP_ACT_ALLOW\"}], \"defaultAction\": \"SCMP_ACT_ERRNO\"}", dockerTarget)
	var got []Place
	for _, rule := range policy.Rules {
		got = append(got, rule.Place)
	}
	if want := []Place{{2, 2}, {2, 48}, {5, 2}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c := cursor{text: "a\nbc\n\nd"}
	for _, step := range []struct {
		offset int
		want   Place
	}{{0, Place{1, 1}}, {3, Place{2, 2}}, {6, Place{4, 1}}, {2, Place{2, 1}}, {4, Place{2, 3}}, {5, Place{3, 1}}, {99, Place{4, 2}}} {
		if got := c.place(step.offset); got != step.want {
			t.Errorf("offset %d is %v, want %v", step.offset, got, step.want)
		}
	}
}

func TestKernelVersions(t *testing.T) {
	for release, want := range map[string]string{"6.18.44": "6.18", "3.12-1-amd64": "3.12", "5.10": "5.10", "6.1.0-rc5+": "6.1"} {
		if got, err := KernelVersion(release); fmt.Sprintf("%d.%d", got.Major, got.Minor) != want || err != nil {
			t.Errorf("%s: %v, %v", release, got, err)
		}
	}
	for _, release := range []string{"", "6", "6.", ".18", "x.1", "6.x", "300.1", "6.300"} {
		if got, err := KernelVersion(release); err == nil {
			t.Errorf("%q is %v", release, got)
		}
	}
}

// library is what Docker's own library makes of a profile. It asks the running program for its architecture, so other machines are had by
// giving this one's names to the other in the text.
func library(t *testing.T, text, machine string, bounding []string) *specs.LinuxSeccomp {
	t.Helper()
	if machine != runtime.GOARCH {
		there, here := dockerNames[machine], dockerNames[runtime.GOARCH]
		text = strings.NewReplacer(`"`+there[0]+`"`, `"`+here[0]+`"`, `"`+here[0]+`"`, `"vax"`, `"architecture": "`+there[1]+`"`, `"architecture": "`+here[1]+`"`, `"architecture": "`+here[1]+`"`, `"architecture": "SCMP_ARCH_VAX"`).Replace(text)
	}
	out, err := moby.LoadProfile(text, &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}}})
	if err != nil {
		t.Fatal(err)
	}
	if machine != runtime.GOARCH && len(out.Architectures) > 0 {
		out.Architectures[0] = specs.Arch(dockerNames[machine][1])
	}
	return out
}

// dockerNames are the names of machines in Docker's profiles: in arches and in archMap. Docker's library has no archMap for loong64 machines,
// because it looks them up by another name; ours has.
var dockerNames = map[string][2]string{
	"amd64": {"amd64", "SCMP_ARCH_X86_64"}, "arm64": {"arm64", "SCMP_ARCH_AARCH64"}, "s390x": {"s390x", "SCMP_ARCH_S390X"},
	"ppc64le": {"ppc64le", "SCMP_ARCH_PPC64LE"}, "riscv64": {"riscv64", "SCMP_ARCH_RISCV64"}, "loong64": {"loongarch64", "SCMP_ARCH_LOONGARCH64"},
	"mips64": {"mips64", "SCMP_ARCH_MIPS64"}, "mips64le": {"mipsel64", "SCMP_ARCH_MIPSEL64"}, "arm": {"arm", "SCMP_ARCH_ARM"}, "386": {"x86", "SCMP_ARCH_X86"},
}

// thisKernel is the running kernel, which Docker's library asks for.
func thisKernel(t *testing.T) Version {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	version, err := KernelVersion(unix.ByteSliceToString(name.Release[:]))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// boundingSets returns none, all, each alone and all but each of the capabilities that the profile asks for, and random sets of them.
func boundingSets(text string) [][]string {
	var all []string
	for _, name := range strings.Fields(knownCapabilities) {
		if strings.Contains(text, `"CAP_`+name+`"`) {
			all = append(all, "CAP_"+name)
		}
	}
	sets := [][]string{nil, all, dockerCapabilities}
	for i := range all {
		sets = append(sets, all[i:i+1], slices.Concat(all[:i], all[i+1:]))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		sets = append(sets, slices.DeleteFunc(slices.Clone(all), func(string) bool { return random.IntN(2) == 0 }))
	}
	return sets
}

// sameOCI compares what Docker's library and Resolve make of a profile.
func sameOCI(t *testing.T, what string, theirs, ours *specs.LinuxSeccomp) {
	t.Helper()
	for i := range theirs.Syscalls { // both have EPERM where nothing is said
		if rule := &theirs.Syscalls[i]; rule.Action == specs.ActErrno && rule.ErrnoRet == nil {
			rule.ErrnoRet = ours.DefaultErrnoRet
		}
		if len(theirs.Syscalls[i].Args) == 0 {
			theirs.Syscalls[i].Args = nil
		}
	}
	if len(theirs.Architectures) == 0 {
		theirs.Architectures = ours.Architectures[:1]
	}
	theirs.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow}
	if !reflect.DeepEqual(theirs, ours) {
		a, _ := json.Marshal(theirs)
		b, _ := json.Marshal(ours)
		same := 0
		for same < min(len(a), len(b)) && a[same] == b[same] {
			same++
		}
		from := max(0, same-100)
		t.Fatalf("%s: Docker has\n%.400s\nand we have\n%.400s", what, a[from:], b[from:])
	}
}

func TestDockersProfileIsFlattenedAsDockerDoes(t *testing.T) {
	text := string(dockerJSON(t))
	kernel := thisKernel(t)
	profile, fromLibrary := parsed(t, text), Docker()
	for machine := range dockerNames {
		for _, bounding := range boundingSets(text) {
			container := Target{machine, bounding, kernel}
			policy, warnings, err := profile.Resolve(container)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%s: %v, %v", machine, err, warnings)
			}
			sameOCI(t, fmt.Sprint(machine, bounding), library(t, text, machine, bounding), policy.OCI())
			again, _, err := fromLibrary.Resolve(container)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(machine, "mips") { // ENOSYS has its number there, which the file has not
				continue
			}
			for i := range policy.Rules {
				policy.Rules[i].Place = Place{}
			}
			if !reflect.DeepEqual(policy, again) {
				t.Fatalf("%s, %v: Docker() is not the file:\n%+v\n%+v", machine, bounding, again, policy)
			}
		}
	}
}

func TestErrnosAreTheKernels(t *testing.T) {
	native := syscalls.ByName("x86_64")
	alias := []string{"EDEADLOCK", "EWOULDBLOCK", "EOPNOTSUPP", "EUCLEAN"}
	later := []string{"EFSCORRUPTED", "EFTYPE"} // than Linux 6.18
	for _, e := range errnos {
		if got := unix.ErrnoName(unix.Errno(e.generic)); got != e.name && !slices.Contains(alias, e.name) {
			t.Errorf("%d is %s, the table has %s", e.generic, got, e.name)
		}
		if got := errnoName(e.generic, native); findErrno(got) == nil || findErrno(got).generic != e.generic {
			t.Errorf("%d is %s", e.generic, got)
		}
	}
	if !slices.IsSortedFunc(errnos[:], func(a, b errno) int { return strings.Compare(a.name, b.name) }) || errnoName(0, native) != "" || errnoName(4000, native) != "" {
		t.Error("the table is not in order")
	}
	for number := 1; number < 200; number++ {
		if name := unix.ErrnoName(unix.Errno(number)); name != "" && findErrno(name) == nil && !slices.Contains(later, name) {
			t.Errorf("%s is missing", name)
		}
	}
}
