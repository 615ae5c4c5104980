// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// entry is a profile of one entry on lines 2 to 4, whose line 3 is given.
func entry(line string) string {
	return "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [\n{\n" + line + "\n}]}"
}

// condition is a profile whose line 3 is an element of args.
func condition(line string) string {
	return "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [\n{\n" + line + "\n}]}]}"
}

const (
	allowed    = `"names": ["read"], "action": "SCMP_ACT_ALLOW"`
	actions    = "SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_LOG, SCMP_ACT_NOTIFY"
	operators  = "SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ"
	knownFlags = "SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
)

// malformed has every way in which a profile can be wrong, with what is said of it.
var malformed = map[string]struct{ text, want string }{
	// The text.
	"Empty":             {"", "the profile is empty, expected JSON"},
	"Blank":             {" \n ", "2:2: the text ends here, and the profile does not"},
	"CutOff":            {"{\n \"defaultAction\": ", "2:19: the text ends here, and the profile does not"},
	"CutOffInAString":   {"{\n \"defaultAct", "2:13: the text ends here, and the profile does not"},
	"NotJSON":           {"{\n defaultAction}", "2:2: not JSON: invalid character 'd' at start of value"},
	"MissingComma":      {`{"defaultAction": "SCMP_ACT_ALLOW" "syscalls": []}`, `1:36: not JSON: invalid character '"' after object value (expecting ',' or '}')`},
	"BadNumber":         {condition(`"index": 01`), "3:11: not JSON: invalid character '1' after object value (expecting ',' or '}')"},
	"BadUTF8":           {"{\"defaultAction\": \"\xff\"}", "1:20: not JSON: invalid UTF-8"},
	"BadEscape":         {`{"defaultAction": "\ud800"}`, "1:20: not JSON: invalid surrogate pair `\\ud800\"}` in string"},
	"Unbalanced":        {`{"syscalls": [}`, "1:15: not JSON: invalid character '}' at start of value"},
	"MoreAfterwards":    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\"}\n x", `2:2: "x" comes after the profile, expected nothing`},
	"TwoProfiles":       {`{"defaultAction": "SCMP_ACT_ALLOW"} {}`, `1:37: "{}" comes after the profile, expected nothing`},
	"TooLarge":          {strings.Repeat(" ", MaximumProfile+1), "the profile has 4194305 bytes, expected at most 4194304"},
	"TooDeep":           {`{"later": ` + strings.Repeat("[", 100000), "1:10010: not JSON: exceeded max depth"},
	"Null":              {" null", "1:2: profile: got null, expected an object"},
	"Array":             {"[]", "1:1: profile: got an array, expected an object"},
	"FieldTwice":        {"{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"defaultAction\": \"SCMP_ACT_ALLOW\"}", `2:1: profile: "defaultAction" is there twice, expected once`},
	"OtherCase":         {`{"DefaultAction": "SCMP_ACT_ALLOW"}`, "1:2: profile: unknown field \"DefaultAction\", expected \"defaultAction\"\n1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO"},
	"TopFieldMisspelt":  {`{"defaultAction": "SCMP_ACT_ALLOW", "architecture": []}`, `1:37: profile: unknown field "architecture", expected "architectures"`},
	"SeveralAtOnce":     {entry(`"names": [7], "action": "ALLOW", "args": {}`), "3:11: names: got a number, expected a string\n3:25: action: unknown action \"ALLOW\", expected " + actions + "\n3:42: args: got an object, expected an array"},
	"EverythingIsWrong": {`{"defaultAction": [` + strings.Repeat("1,", 59) + `1], "flags": [` + strings.Repeat("1,", 59) + `1]}`, ""},

	// The profile.
	"NoDefault":            {`{"syscalls": []}`, "1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO"},
	"NullDefault":          {`{"defaultAction": null}`, "1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO"},
	"DefaultIsANumber":     {`{"defaultAction": 7}`, "1:19: defaultAction: got a number, expected a string\n1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO"},
	"UnknownDefault":       {`{"defaultAction": "allow"}`, `1:19: defaultAction: unknown action "allow", expected ` + actions},
	"DefaultNotifies":      {`{"defaultAction": "SCMP_ACT_NOTIFY"}`, "1:19: defaultAction: SCMP_ACT_NOTIFY would ask about the calls that answer, too; expected it in syscalls"},
	"DefaultErrnoOfAllow":  {`{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}`, "1:56: defaultAction: SCMP_ACT_ALLOW has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"},
	"DefaultErrnoTooLarge": {`{"defaultErrnoRet": 4096, "defaultAction": "SCMP_ACT_ERRNO"}`, "1:21: defaultAction: errno 4096, expected at most 4095"},
	"DefaultErrnoNegative": {`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}`, "1:56: defaultErrnoRet: got -1, expected an integer from 0 to 65535"},
	"DefaultErrnoIsAName":  {`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "EPERM"}`, "1:56: defaultErrnoRet: got a string, expected a number"},
	"DefaultErrnoUnknown":  {`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EPREM"}`, `1:53: defaultErrno: unknown error "EPREM", expected a name such as EPERM`},
	"DefaultErrnoIsNumber": {`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": 1}`, "1:53: defaultErrno: got a number, expected a string"},
	"ArchitecturesString":  {`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": "SCMP_ARCH_X86_64"}`, "1:54: architectures: got a string, expected an array"},
	"ArchitectureUnknown":  {`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["amd64"]}`, `1:55: architectures: unknown architecture "amd64", expected a name such as SCMP_ARCH_X86_64`},
	"ArchitectureNull":     {`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": [null]}`, "1:55: architectures: got null, expected a string"},
	"BothArchitectures":    {"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"architectures\": [\"SCMP_ARCH_X86\"],\n\"archMap\": [{\"architecture\": \"SCMP_ARCH_X86_64\"}]}", "2:12: profile: both architectures and archMap, expected one of them"},
	"ArchMapIsAnObject":    {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": {}}`, "1:48: archMap: got an object, expected an array"},
	"MachineIsAString":     {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": ["x"]}`, "1:49: archMap: got a string, expected an object"},
	"MachineIsNull":        {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [null]}`, "1:49: archMap: got null, expected an object"},
	"MachineNameIsNull":    {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": null}]}`, "1:49: archMap: no architecture, expected one, such as SCMP_ARCH_X86_64"},
	"MachineHasNoName":     {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"subArchitectures": ["SCMP_ARCH_X86"]}]}`, "1:49: archMap: no architecture, expected one, such as SCMP_ARCH_X86_64"},
	"MachineUnknown":       {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_VAX"}]}`, `1:66: architecture: unknown architecture "SCMP_ARCH_VAX", expected a name such as SCMP_ARCH_X86_64`},
	"MachineTwice":         {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86"}, {"architecture": "SCMP_ARCH_X86"}]}`, "1:84: archMap: SCMP_ARCH_X86 is there twice, expected once"},
	"SubUnknown":           {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86", "subArchitectures": ["x"]}]}`, `1:104: subArchitectures: unknown architecture "x", expected a name such as SCMP_ARCH_X86_64`},
	"MachineMisspelt":      {`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86", "subArchitecture": []}]}`, `1:83: archMap: unknown field "subArchitecture", expected "subArchitectures"`},
	"FlagsIsAString":       {`{"defaultAction": "SCMP_ACT_ALLOW", "flags": "SECCOMP_FILTER_FLAG_LOG"}`, "1:46: flags: got a string, expected an array"},
	"FlagUnknown":          {`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}`, `1:47: flags: unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER", expected ` + knownFlags},
	"FlagNull":             {`{"defaultAction": "SCMP_ACT_ALLOW", "flags": [null]}`, "1:47: flags: got null, expected a string"},
	"WaitWithoutNotify":    {`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`, "1:46: flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and no SCMP_ACT_NOTIFY in syscalls, without which the kernel refuses it"},
	"ListenerIsANumber":    {`{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": 7}`, "1:53: listenerPath: got a number, expected a string"},
	"MetadataIsAnObject":   {`{"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": {}}`, "1:57: listenerMetadata: got an object, expected a string"},
	"MetadataAlone":        {`{"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}`, "1:57: listenerMetadata: no listenerPath to send it to, expected one"},
	"SyscallsIsAnObject":   {`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}`, "1:49: syscalls: got an object, expected an array"},

	// An entry of syscalls.
	"EntryIsAString":      {`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["read"]}`, "1:50: syscalls: got a string, expected an object"},
	"EntryIsNull":         {`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [null]}`, "1:50: syscalls: got null, expected an object"},
	"NoNames":             {entry(`"action": "SCMP_ACT_ALLOW"`), "2:1: syscalls: no names, expected those of the calls that are meant"},
	"NullNames":           {entry(`"names": null, "action": "SCMP_ACT_ALLOW"`), "2:1: syscalls: no names, expected those of the calls that are meant"},
	"NamesIsAString":      {entry(`"names": "read", "action": "SCMP_ACT_ALLOW"`), "3:10: names: got a string, expected an array\n2:1: syscalls: no names, expected those of the calls that are meant"},
	"NamesTwice":          {entry(`"names": ["read"], "names": ["write"], "action": "SCMP_ACT_ALLOW"`), `3:20: syscalls: "names" is there twice, expected once`},
	"NameIsANumber":       {entry(`"names": [0], "action": "SCMP_ACT_ALLOW"`), "3:11: names: got a number, expected a string"},
	"NameIsNull":          {entry(`"names": [null], "action": "SCMP_ACT_ALLOW"`), "3:11: names: got null, expected a string"},
	"NameIsEmpty":         {entry(`"names": ["", "read"], "action": "SCMP_ACT_ALLOW"`), "3:11: name: empty, expected the name of a call"},
	"BothNames":           {entry(`"name": "read", "names": ["write"], "action": "SCMP_ACT_ALLOW"`), "2:1: syscalls: both name and names, expected one of them"},
	"NamesMisspelt":       {entry(`"Names": ["read"], "action": "SCMP_ACT_ALLOW"`), "3:1: syscalls: unknown field \"Names\", expected \"names\"\n2:1: syscalls: no names, expected those of the calls that are meant"},
	"ArgsMisspelt":        {entry(allowed + `, "arg": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]`), `3:48: syscalls: unknown field "arg", expected "args"`},
	"IncludesMisspelt":    {entry(allowed + `, "include": {"caps": ["CAP_BPF"]}`), `3:48: syscalls: unknown field "include", expected "includes"`},
	"NoAction":            {entry(`"names": ["read"]`), "2:1: syscalls: no action, expected one, such as SCMP_ACT_ALLOW"},
	"ActionUnknown":       {entry(`"names": ["read"], "action": "SCMP_ACT_ALOW"`), `3:30: action: unknown action "SCMP_ACT_ALOW", expected ` + actions},
	"ActionIsABoolean":    {entry(`"names": ["read"], "action": true`), "3:30: action: got a boolean, expected a string\n2:1: syscalls: no action, expected one, such as SCMP_ACT_ALLOW"},
	"ErrnoOfAllow":        {entry(allowed + `, "errnoRet": 1`), "3:60: action: SCMP_ACT_ALLOW has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"},
	"ErrnoOfKill":         {entry(`"errnoRet": 1, "names": ["read"], "action": "SCMP_ACT_KILL"`), "3:13: action: SCMP_ACT_KILL_THREAD has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"},
	"ErrnoOfNotify":       {entry(`"errno": "EPERM", "names": ["read"], "action": "SCMP_ACT_NOTIFY"`), "3:10: action: SCMP_ACT_NOTIFY has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"},
	"ErrnoTooLarge":       {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096`), "3:60: action: errno 4096, expected at most 4095"},
	"TraceDataTooLarge":   {entry(`"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536`), "3:60: errnoRet: got 65536, expected an integer from 0 to 65535"},
	"ErrnoIsAFraction":    {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1.0`), "3:60: errnoRet: got 1.0, expected an integer from 0 to 65535"},
	"ErrnoHasAnExponent":  {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1e0`), "3:60: errnoRet: got 1e0, expected an integer from 0 to 65535"},
	"ErrnoUnknown":        {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "eperm"`), `3:57: errno: unknown error "eperm", expected a name such as EPERM`},
	"ErrnoNumberTooLarge": {entry(`"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "4096"`), "3:57: action: errno 4096, expected at most 4095"},
	"TooManyEntries":      {`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [` + strings.Repeat(`{"name": "read", "action": "SCMP_ACT_ALLOW"},`, 4097) + `{"name": "read", "action": "SCMP_ACT_ALLOW"}]}`, "1:184370: syscalls: an entry more than 4096"},
	"TooManyRules":        {manyAlternates(65), "67:2: syscalls: more than 4096 rules, where contradicting conditions make several of one entry"},

	// An element of args.
	"ArgsIsAnObject":     {entry(allowed + `, "args": {"index": 0}`), "3:56: args: got an object, expected an array"},
	"ArgIsANumber":       {entry(allowed + `, "args": [1]`), "3:57: args: got a number, expected an object"},
	"ArgIsNull":          {entry(allowed + `, "args": [null]`), "3:57: args: got null, expected an object"},
	"NoIndex":            {condition(`"value": 1, "op": "SCMP_CMP_EQ"`), "2:1: args: no index, expected index, value and op"},
	"NoValue":            {condition(`"index": 1, "op": "SCMP_CMP_EQ"`), "2:1: args: no value, expected index, value and op"},
	"NoOperator":         {condition(`"index": 1, "value": 1`), "2:1: args: no op, expected index, value and op"},
	"NullIndex":          {condition(`"index": null, "value": 1, "op": "SCMP_CMP_EQ"`), "2:1: args: no index, expected index, value and op"},
	"NullValue":          {condition(`"index": 1, "value": null, "op": "SCMP_CMP_EQ"`), "2:1: args: no value, expected index, value and op"},
	"NullOperator":       {condition(`"index": 1, "value": 1, "op": null`), "2:1: args: no op, expected index, value and op"},
	"IndexTooLarge":      {condition(`"index": 6, "value": 1, "op": "SCMP_CMP_EQ"`), "3:10: index: got 6, expected an integer from 0 to 5"},
	"IndexNegative":      {condition(`"index": -1, "value": 1, "op": "SCMP_CMP_EQ"`), "3:10: index: got -1, expected an integer from 0 to 5"},
	"IndexIsAString":     {condition(`"index": "0", "value": 1, "op": "SCMP_CMP_EQ"`), "3:10: index: got a string, expected a number"},
	"ValueTooLarge":      {condition(`"index": 0, "value": 18446744073709551616, "op": "SCMP_CMP_EQ"`), "3:22: value: got 18446744073709551616, expected an integer from 0 to 18446744073709551615"},
	"ValueIsNegative":    {condition(`"index": 0, "value": -1, "op": "SCMP_CMP_EQ"`), "3:22: value: got -1, expected an integer from 0 to 18446744073709551615"},
	"ValueIsHexadecimal": {condition(`"index": 0, "value": "0x10", "op": "SCMP_CMP_EQ"`), "3:22: value: got a string, expected a number"},
	"ValueIsVeryLong":    {condition(`"index": 0, "value": ` + strings.Repeat("9", 100) + `, "op": "SCMP_CMP_EQ"`), "3:22: value: got " + strings.Repeat("9", 40) + "..., expected an integer from 0 to 18446744073709551615"},
	"ValueTwoIsNegative": {condition(`"index": 0, "value": 1, "valueTwo": -1, "op": "SCMP_CMP_MASKED_EQ"`), "3:37: valueTwo: got -1, expected an integer from 0 to 18446744073709551615"},
	"OperatorUnknown":    {condition(`"index": 0, "value": 1, "op": "=="`), `3:31: op: unknown operator "==", expected ` + operators},
	"OperatorIsANumber":  {condition(`"index": 0, "value": 1, "op": 1`), "3:31: op: got a number, expected a string"},
	"WidthUnknown":       {condition(`"index": 0, "value": 1, "op": "SCMP_CMP_EQ", "width": 16`), "3:55: width: got 16, expected 32 or 64"},
	"WidthIsAString":     {condition(`"index": 0, "value": 1, "op": "SCMP_CMP_EQ", "width": "64"`), "3:55: width: got a string, expected a number"},
	"ValueTwoMisspelt":   {condition(`"index": 0, "value": 1, "valuetwo": 1, "op": "SCMP_CMP_MASKED_EQ"`), `3:25: args: unknown field "valuetwo", expected "valueTwo"`},
	"IndexTwice":         {condition(`"index": 0, "index": 1, "value": 1, "op": "SCMP_CMP_EQ"`), `3:13: args: "index" is there twice, expected once`},
	"TooManyConditions":  {manyConditions(257, 0), "1:106: args: 257 conditions, expected at most 256"},
	"TooManyAlternates":  {manyConditions(9, 8), "1:521: args: conditions on argument 1 that contradict each other, in more than 64 combinations"},

	// includes and excludes.
	"IncludesIsAnArray":  {entry(allowed + `, "includes": []`), "3:60: includes: got an array, expected an object"},
	"CapsIsAString":      {entry(allowed + `, "includes": {"caps": "CAP_BPF"}`), "3:69: caps: got a string, expected an array"},
	"CapIsANumber":       {entry(allowed + `, "includes": {"caps": [1]}`), "3:70: caps: got a number, expected a string"},
	"CapWithoutPrefix":   {entry(allowed + `, "excludes": {"caps": ["SYS_ADMIN"]}`), `3:70: caps: got "SYS_ADMIN", expected a name such as CAP_SYS_ADMIN`},
	"CapInLowerCase":     {entry(allowed + `, "excludes": {"caps": ["CAP_sys_admin"]}`), `3:70: caps: got "CAP_sys_admin", expected a name such as CAP_SYS_ADMIN`},
	"CapIsEmpty":         {entry(allowed + `, "excludes": {"caps": ["CAP_"]}`), `3:70: caps: got "CAP_", expected a name such as CAP_SYS_ADMIN`},
	"ArchUnknown":        {entry(allowed + `, "excludes": {"arches": ["amd46"]}`), `3:72: arches: unknown architecture "amd46", expected a name such as amd64`},
	"ArchIsNull":         {entry(allowed + `, "excludes": {"arches": [null]}`), "3:72: arches: got null, expected a string"},
	"KernelIsANumber":    {entry(allowed + `, "includes": {"minKernel": 4.8}`), "3:74: minKernel: got a number, expected a string"},
	"KernelHasNoMinor":   {entry(allowed + `, "includes": {"minKernel": "4"}`), `3:74: minKernel: got "4", expected MAJOR.MINOR, such as 4.8`},
	"KernelHasAPatch":    {entry(allowed + `, "includes": {"minKernel": "4.8.1"}`), `3:74: minKernel: got "4.8.1", expected MAJOR.MINOR, such as 4.8`},
	"KernelIsZero":       {entry(allowed + `, "includes": {"minKernel": "0.0"}`), `3:74: minKernel: got "0.0", expected MAJOR.MINOR, such as 4.8`},
	"KernelTooLarge":     {entry(allowed + `, "includes": {"minKernel": "256.0"}`), `3:74: minKernel: got "256.0", expected MAJOR.MINOR, such as 4.8`},
	"FilterMisspelt":     {entry(allowed + `, "excludes": {"cap": ["CAP_BPF"]}`), `3:61: excludes: unknown field "cap", expected "caps"`},
	"FilterFieldIsTwice": {entry(allowed + `, "excludes": {"caps": ["CAP_BPF"], "caps": []}`), `3:82: excludes: "caps" is there twice, expected once`},
}

// manyConditions is a profile with so many contradicting conditions on arguments 0 and 1.
func manyConditions(first, second int) string {
	var args []string
	for index, count := range []int{first, second} {
		for value := range count {
			args = append(args, fmt.Sprintf(`{"index": %d, "value": %d, "op": "SCMP_CMP_EQ"}`, index, value))
		}
	}
	return `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [` + strings.Join(args, ",") + `]}]}`
}

// manyAlternates is a profile of so many entries, a line each, of 64 rules each.
func manyAlternates(entries int) string {
	whole := manyConditions(8, 8)
	start := strings.Index(whole, "[")
	one := whole[start+1 : len(whole)-2]
	return whole[:start] + "[\n" + strings.Repeat("\n "+one+",", entries)[:entries*(len(one)+3)-1] + "]}"
}

func TestMalformedProfilesAreRefused(t *testing.T) {
	for name, test := range malformed {
		profile, err := Parse([]byte(test.text))
		switch {
		case err == nil:
			t.Errorf("%s: %+v is taken", name, profile)
		case test.want != "" && err.Error() != test.want:
			t.Errorf("%s: got\n%s\nwant\n%s", name, err, test.want)
		}
	}
}

func TestErrorsAreCounted(t *testing.T) {
	_, err := Parse([]byte(`{"defaultAction": "SCMP_ACT_ALLOW", "flags": [` + strings.Repeat("1,", 59) + `1]}`))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maximumReports+1 || lines[maximumReports] != "10 more errors" || lines[1] != "1:49: flags: got a number, expected a string" {
		t.Errorf("%d lines, the last %q, the second %q", len(lines), lines[len(lines)-1], lines[1])
	}
	var first *Error
	if !errors.As(err, &first) || first.Place != (Place{1, 47}) {
		t.Errorf("the first error is %+v", first)
	}
}
