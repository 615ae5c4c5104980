// SPDX-License-Identifier: Apache-2.0

//go:build linux

package input

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// rule is a profile that allows everything but for one element of syscalls.
func rule(element string) string {
	return `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + element + `]}`
}

// badProfiles are profiles of which none starts a container, with what is said of them.
var badProfiles = map[string]struct {
	text   string
	status int
	want   string
	hint   string
}{
	"NotJSON":            {"{\n  defaultAction", 125, "2:3: not JSON: invalid character 'd' at start of value", ""},
	"Empty":              {"", 125, "the profile is empty, expected JSON", ""},
	"List":               {"[]", 125, "1:1: profile: got an array, expected an object", ""},
	"Truncated":          {`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"`, 125, "1:63: the text ends here, and the profile does not", ""},
	"SomethingFollows":   {`{"defaultAction":"SCMP_ACT_ALLOW"} {}`, 125, "1:36: \"{}\" comes after the profile, expected nothing", ""},
	"FieldTwice":         {`{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_ERRNO"}`, 125, "1:35: profile: \"defaultAction\" is there twice, expected once", ""},
	"FieldMisspelt":      {`{"defaultActoin":"SCMP_ACT_ALLOW"}`, 125, "1:2: profile: unknown field \"defaultActoin\", expected \"defaultAction\"; 1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO", ""},
	"NoDefault":          {`{"syscalls":[]}`, 125, "1:1: profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO", ""},
	"DefaultNoAction":    {`{"defaultAction":"ALLOW"}`, 125, "1:18: defaultAction: unknown action \"ALLOW\", expected SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_LOG, SCMP_ACT_NOTIFY", ""},
	"DefaultNotify":      {`{"defaultAction":"SCMP_ACT_NOTIFY"}`, 125, "1:18: defaultAction: SCMP_ACT_NOTIFY would ask about the calls that answer, too; expected it in syscalls", ""},
	"DefaultErrnoKind":   {`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":"x"}`, 125, "1:53: defaultErrnoRet: got a string, expected a number", ""},
	"DefaultErrnoRange":  {`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`, 125, "1:53: defaultAction: errno 4096, expected at most 4095", ""},
	"Architecture":       {`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["x86_64"]}`, 125, "1:52: architectures: unknown architecture \"x86_64\", expected a name such as SCMP_ARCH_X86_64", ""},
	"ArchitectureKind":   {`{"defaultAction":"SCMP_ACT_ALLOW","architectures":"SCMP_ARCH_X86_64"}`, 125, "1:51: architectures: got a string, expected an array", ""},
	"ArchMapBoth":        {`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}`, 125, "1:79: profile: both architectures and archMap, expected one of them", ""},
	"ArchMapKind":        {`{"defaultAction":"SCMP_ACT_ALLOW","archMap":{}}`, 125, "1:45: archMap: got an object, expected an array", ""},
	"Flag":               {`{"defaultAction":"SCMP_ACT_ALLOW","flags":["LOG"]}`, 125, "1:44: flags: unknown flag \"LOG\", expected SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", ""},
	"FlagWithoutNotify":  {`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`, 125, "1:43: flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and no SCMP_ACT_NOTIFY in syscalls, without which the kernel refuses it", ""},
	"MetadataAlone":      {`{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}`, 125, "1:54: listenerMetadata: no listenerPath to send it to, expected one", ""},
	"ListenerKind":       {`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":7}`, 125, "1:50: listenerPath: got a number, expected a string", ""},
	"SyscallsKind":       {`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}`, 125, "1:46: syscalls: got an object, expected an array", ""},
	"Names":              {rule(`{"names":"read","action":"SCMP_ACT_ERRNO"}`), 125, "1:56: names: got a string, expected an array; 1:47: syscalls: no names, expected those of the calls that are meant", ""},
	"NoNames":            {rule(`{"action":"SCMP_ACT_ERRNO"}`), 125, "1:47: syscalls: no names, expected those of the calls that are meant", ""},
	"NameAndNames":       {rule(`{"name":"read","names":["write"],"action":"SCMP_ACT_ERRNO"}`), 125, "1:47: syscalls: both name and names, expected one of them", ""},
	"NoAction":           {rule(`{"names":["read"]}`), 125, "1:47: syscalls: no action, expected one, such as SCMP_ACT_ALLOW", ""},
	"Action":             {rule(`{"names":["read"],"action":"SCMP_ACT_DENY"}`), 125, "1:74: action: unknown action \"SCMP_ACT_DENY\", expected SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_LOG, SCMP_ACT_NOTIFY", ""},
	"ErrnoOfAllow":       {rule(`{"names":["read"],"action":"SCMP_ACT_ALLOW","errnoRet":1}`), 125, "1:102: action: SCMP_ACT_ALLOW has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only", ""},
	"ErrnoRange":         {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":5000}`), 125, "1:102: action: errno 5000, expected at most 4095", ""},
	"ErrnoFraction":      {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":1.5}`), 125, "1:102: errnoRet: got 1.5, expected an integer from 0 to 65535", ""},
	"ArgumentIndex":      {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}`), 125, "1:108: index: got 6, expected an integer from 0 to 5", ""},
	"ArgumentOperator":   {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"=="}]}`), 125, "1:125: op: unknown operator \"==\", expected SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ", ""},
	"ArgumentNoOperator": {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1}]}`), 125, "1:99: args: no op, expected index, value and op", ""},
	"ArgumentValue":      {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}`), 125, "1:118: value: got -1, expected an integer from 0 to 18446744073709551615", ""},
	"ArgumentLarge":      {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}]}`), 125, "1:118: value: got 18446744073709551616, expected an integer from 0 to 18446744073709551615", ""},
	"ArgumentWidth":      {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ","width":16}]}`), 125, "1:147: width: got 16, expected 32 or 64", ""},
	"IncludesKind":       {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","includes":[]}`), 125, "1:102: includes: got an array, expected an object", ""},
	"IncludesCapability": {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["SYS_ADMIN"]}}`), 125, "1:111: caps: got \"SYS_ADMIN\", expected a name such as CAP_SYS_ADMIN", ""},
	"ExcludesArch":       {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","excludes":{"arches":["vax"]}}`), 125, "1:113: arches: unknown architecture \"vax\", expected a name such as amd64", ""},
	"MinKernel":          {rule(`{"names":["read"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"new"}}`), 125, "1:115: minKernel: got \"new\", expected MAJOR.MINOR, such as 4.8", ""},
	"NoExecve":           {rule(`{"names":["execve"],"action":"SCMP_ACT_ERRNO"}`), 4, "it answers execve with SCMP_ACT_ERRNO(1): no program could start and end under it", "bulkhead: hint: allow the call; or insist with --security-opt seccomp-force, or with the annotation org.bulkhead.seccomp-force=true in a config.json\n"},
	"NoEnd":              {rule(`{"names":["exit_group"],"action":"SCMP_ACT_KILL_PROCESS"}`), 4, "it answers exit_group with SCMP_ACT_KILL_PROCESS: no program could start and end under it", "bulkhead: hint: allow the call; or insist with --security-opt seccomp-force, or with the annotation org.bulkhead.seccomp-force=true in a config.json\n"},
	"NobodyAnswers":      {rule(`{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}`), 4, "SCMP_ACT_NOTIFY without a listenerPath: nobody would answer the calls", "bulkhead: hint: name the UNIX socket of the program that answers as listenerPath\n"},
	"RelativeAgent":      {`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"agent","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`, 4, "listenerPath \"agent\" is not absolute", "bulkhead: hint: name the UNIX socket by its whole path on the host\n"},
}

func TestProfilesThatAreRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	for name, row := range badProfiles {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			if err := os.WriteFile(filepath.Join(directory, "p.json"), []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.Command(harness.Binary(t), "run", "--rm", "--rootfs", root, "--security-opt", "seccomp="+filepath.Join(directory, "p.json"), "/bin/true")
			refused(t, command, directory, refusal{row.status, "bulkhead: error: seccomp profile $DIR/p.json: " + row.want + "\n" + row.hint})
		})
	}
}

// The linux.seccomp object of a config.json has its places in that file.
func TestFiltersOfBundlesThatAreRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	const process = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"cwd":"/","args":["true"]},`
	for name, row := range map[string]struct {
		rest string
		want refusal
	}{
		"Action":       {"\n\"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_DENY\"}}}", refusal{1, "bulkhead: error: config.json: linux.seccomp: 2:40: defaultAction: unknown action \"SCMP_ACT_DENY\", expected SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_KILL, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_LOG, SCMP_ACT_NOTIFY\n"}},
		"NoExecve":     {`"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}}`, refusal{4, "bulkhead: error: seccomp profile config.json: it answers execve with SCMP_ACT_ERRNO(1): no program could start and end under it\n" + forceHint}},
		"ForcedByHalf": {`"annotations":{"org.bulkhead.seccomp-force":"yes"},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}}`, refusal{1, "bulkhead: error: annotation org.bulkhead.seccomp-force: \"yes\" is neither true nor false\n"}},
		"WrongKind":    {`"linux":{"seccomp":[]}}`, refusal{1, "bulkhead: error: config.json: 1:105: json: cannot unmarshal array into Go struct field Linux.linux.seccomp of type specs.LinuxSeccomp\n" + configHint}},
	} {
		t.Run(name, func(t *testing.T) {
			bundle := t.TempDir()
			if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(process+row.rest), 0o644); err != nil {
				t.Fatal(err)
			}
			refused(t, exec.Command(harness.Runtime(t), "--root", t.TempDir(), "run", "--bundle", bundle, "input"), bundle, row.want)
		})
	}
}

const forceHint = "bulkhead: hint: allow the call; or insist with --security-opt seccomp-force, or with the annotation org.bulkhead.seccomp-force=true in a config.json\n"

// Whoever insists gets the filter, and sees what it does.
func TestForcedProfileIsInstalled(t *testing.T) {
	root := harness.RootFS(t)
	for name, row := range map[string]struct {
		element string
		status  int
		stderr  string
	}{
		"NoExecve": {`{"names":["execve"],"action":"SCMP_ACT_ERRNO","errnoRet":33}`, 126, "bulkhead: error: exec /bin/true: numerical argument out of domain\n"},
		"NoEnd":    {`{"names":["exit_group"],"action":"SCMP_ACT_KILL_PROCESS"}`, 128 + 31, ""},
	} {
		path := filepath.Join(t.TempDir(), "p.json")
		if err := os.WriteFile(path, []byte(rule(row.element)), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		command := exec.Command(harness.Binary(t), "run", "--rm", "--rootfs", root, "--security-opt", "seccomp="+path, "--security-opt", "seccomp-force", "/bin/true")
		command.Stderr = &stderr
		command.Run()
		if status := command.ProcessState.ExitCode(); status != row.status || withoutNotices(stderr.String()) != row.stderr {
			t.Errorf("%s: exit status %d, want %d: %s", name, status, row.status, &stderr)
		}
	}
}
