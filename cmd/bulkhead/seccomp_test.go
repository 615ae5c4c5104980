// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// seccompVerb runs `bulkhead seccomp ARG...` and returns what it prints and its exit status.
func seccompVerb(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, warnings bytes.Buffer
	command := seccompCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetOut(&out)
	command.SetErr(&warnings)
	command.SetArgs(args)
	err := command.Execute()
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
	case errors.As(err, &code):
		status = int(code)
	case errors.As(err, &usage):
		status = report(&warnings, err, exitFailed)
		status = exitUsage
	default:
		status = report(&warnings, err, exitFailed)
	}
	return out.String(), warnings.String(), status
}

// profiles writes files that verbs are asked about, and changes into their directory.
func profiles(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	filter, _, status := seccompVerb(t, "compile", "docker", "--arch", "amd64", "-o", "-")
	if status != 0 {
		t.Fatal(status)
	}
	for name, text := range map[string]string{
		"allow.json":      `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}]}`,
		"lockout.json":    `{"defaultAction": "SCMP_ACT_ERRNO"}`,
		"noexit.json":     `{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}`,
		"warning.json":    "{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscalls\": [{\"names\": [\"no_such_call\"], \"action\": \"SCMP_ACT_ERRNO\"}]}",
		"fault.json":      "{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscalls\": 7}",
		"empty":           "",
		"garbage":         "\x01\x02\x03\x00\xff\xfe\x00\x01",
		"odd":             "\x06\x00\x00\x00\x00\x00\xff\x7f\x06",
		"endless.bpf":     "\x20\x00\x00\x00\x00\x00\x00\x00",
		"docker.bpf":      filter,
		"docker.bpf.huge": strings.Repeat("\x06\x00\x00\x00\x00\x00\xff\x7f", 600_000),
		"huge":            strings.Repeat(" ", 5_000_000),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("directory", 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSeccompVerbs(t *testing.T) {
	profiles(t)
	for _, test := range []struct {
		name, command  string
		status         int
		stdout, stderr string // begin so
	}{
		{"CompileDefault", "compile --default docker --arch amd64", 0, "224 instructions, proved; default errno EPERM\nx86_64: the kernel lets 306 calls pass without running the filter\nx86: the kernel lets 357", ""},
		{"CompileByName", "compile bulkhead --arch amd64", 0, "", ""},
		{"CompileFile", "compile allow.json --arch x86_64", 0, "11 instructions, proved; default allow\n", ""},
		{"CompileRaw", "compile docker.bpf", 0, "224 instructions\n", ""},
		{"CompileForBigEndian", "compile allow.json --arch s390x", 0, "12 instructions, proved", ""},
		{"CompileWarns", "compile warning.json", 0, "", "bulkhead: warning: warning.json: 2:"},
		{"CompileLockout", "compile lockout.json", exitRefused, "", "bulkhead: error: lockout.json: it answers execve with errno EPERM: no program could start or end\nbulkhead: hint: allow execve"},
		{"CompileWithoutExit", "compile noexit.json", exitRefused, "", "bulkhead: error: noexit.json: it answers exit_group with kill thread"},
		{"CompileForced", "compile lockout.json --force", 0, "", ""},
		{"CompileNothing", "compile", exitUsage, "", "bulkhead: error: which profile?"},
		{"CompileTwo", "compile --default docker allow.json", exitUsage, "", `bulkhead: error: unexpected argument "allow.json"`},
		{"CompileOtherDefault", "compile --default podman", exitUsage, "", `bulkhead: error: --default "podman": docker or bulkhead`},
		{"CompileForNoMachine", "compile docker --arch vax", exitUsage, "", `bulkhead: error: --arch "vax"`},
		{"CompileForNoKernel", "compile docker --kernel six", exitUsage, "", `bulkhead: error: kernel release "six"`},
		{"CompileForNoCapability", "compile docker --cap-add FLY", exitUsage, "", `bulkhead: error: --cap-add: unknown capability "FLY"`},
		{"CompileBothToStdout", "compile docker --json -o -", exitUsage, "", "bulkhead: error: --output - and --json"},
		{"CompileIntoNowhere", "compile docker -o no/such/file", exitFailed, "", "bulkhead: error: open no/such/file: no such file"},
		{"Empty", "compile empty", exitFailed, "", "bulkhead: error: empty: the profile is empty"},
		{"Garbage", "compile garbage", exitFailed, "", "bulkhead: error: garbage: instruction 0"},
		{"HalfAnInstruction", "compile odd", exitFailed, "", "bulkhead: error: odd: program of 9 bytes"},
		{"WithoutReturn", "compile endless.bpf", exitFailed, "", "bulkhead: error: endless.bpf: "},
		{"Huge", "compile huge", exitFailed, "", "bulkhead: error: huge: more than 4194304 bytes"},
		{"HugeFilter", "compile docker.bpf.huge", exitFailed, "", "bulkhead: error: docker.bpf.huge: more than"},
		{"Directory", "compile directory", exitFailed, "", "bulkhead: error: read directory: is a directory"},
		{"Missing", "compile missing", exitFailed, "", "bulkhead: error: open missing: no such file"},
		{"Fault", "compile fault.json", exitFailed, "", "bulkhead: error: fault.json: 2:14: "},
		{"ProcessOfNoNumber", "compile pid:x", exitUsage, "", "bulkhead: error: pid:x: pid:PID or pid:PID:N is expected"},
		{"ProcessMissing", "compile pid:999999999", exitFailed, "", "bulkhead: error: pid:999999999: process 999999999: "},
		{"ShowCalls", "show docker --arch amd64 --calls", 0, "x86_64: 385 calls: 306 allow, 3 arguments decide, 7 errno ENOSYS, 69 errno EPERM\n", ""},
		{"ShowProgram", "show allow.json --arch amd64 --program", 0, " 0: A = arch\n", ""},
		{"ShowLockout", "show lockout.json --program", 0, "0: A = arch\n", ""},
		{"ShowRaw", "show docker.bpf --calls --arch amd64", 0, "x86_64: 385 calls: 306 allow, 3 arguments decide,", ""},
		{"ShowHalvesTwice", "show docker --calls --program", exitUsage, "", "bulkhead: error: --calls and --program"},
		{"DecideAllow", "decide --default docker --arch amd64 read 0 1 2", 0, "allow (the rule of read)\n", ""},
		{"DecideErrno", "decide docker --arch amd64 socket 40 1 0", 0, "errno EPERM (no rule of socket holds", ""},
		{"DecideKill", "decide docker --arch amd64 --abi aarch64 read", 0, "kill thread (the profile has no calls of aarch64)", ""},
		{"DecideHexadecimal", "decide docker --arch amd64 personality 0xffffffff", 0, "allow (the rule of personality, with arg0 == 4294967295 (32 bits))", ""},
		{"DecideNegative", "decide docker --arch amd64 personality -1", 0, "allow (the rule of personality", ""},
		{"DecideHighBits", "decide docker --arch amd64 socket 0x100000028 1 0", 0, "errno EPERM", ""},
		{"DecideOptionsAfter", "decide docker socket -2 -0x3 --arch amd64 --abi x86", 0, "", ""},
		{"DecideNumber", "decide docker 9999 --arch amd64", 0, "errno ENOSYS (9999 is no call of x86_64", ""},
		{"DecidePlace", "decide allow.json socket 40", 0, "errno EPERM (the rule at 1:", ""},
		{"DecideRaw", "decide docker.bpf --arch amd64 socket 2", 0, "allow (the filter returns it after ", ""},
		{"DecideNothing", "decide --default docker", exitUsage, "", "bulkhead: error: which call?"},
		{"DecideOfNothing", "decide", exitUsage, "", "bulkhead: error: which profile?"},
		{"DecideNoCall", "decide docker fly", exitUsage, "", `bulkhead: error: "fly" is no call`},
		{"DecideNoCallThere", "decide docker --arch arm64 open", exitUsage, "", "bulkhead: error: aarch64 has no call open"},
		{"DecideTooMany", "decide docker read 1 2 3 4 5 6 7", exitUsage, "", "bulkhead: error: 7 arguments"},
		{"DecideNoNumber", "decide docker read one", exitUsage, "", `bulkhead: error: argument 0: "one" is no number`},
		{"DecideTooGreat", "decide docker read 0x10000000000000000", exitUsage, "", "bulkhead: error: argument 0"},
		{"DecideNoOption", "decide docker read --fly", exitUsage, "", "bulkhead: error: unknown flag: --fly"},
		{"DecideHelp", "decide --help", 0, "Say what a profile does with a call", ""},
		{"DecideNoABI", "decide docker --abi vax read", exitUsage, "", `bulkhead: error: --abi "vax"`},
		{"DiffEqual", "diff docker docker.bpf --arch amd64", 0, "equal\n", ""},
		{"DiffOtherWay", "diff docker.bpf docker --arch amd64", 0, "equal\n", ""},
		{"DiffDiffers", "diff docker bulkhead --arch amd64", exitFailed, "ABI", ""},
		{"DiffOne", "diff docker", exitUsage, "", "bulkhead: error: "},
		{"DiffOfAFault", "diff docker fault.json", exitFailed, "", "bulkhead: error: fault.json: 2:14"},
		{"FromNoELF", "from-elf allow.json --root .", exitFailed, "", "bulkhead: error: "},
		{"FromELFWithoutFormat", "from-elf x --format yaml", exitUsage, "", "bulkhead: error: --format"},
		{"FromNothing", "from-elf", exitUsage, "", "bulkhead: error: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, status := seccompVerb(t, strings.Fields(test.command)...)
			if status != test.status || !strings.HasPrefix(stdout, test.stdout) || !strings.HasPrefix(stderr, test.stderr) || (stderr == "") != (test.stderr == "") {
				t.Errorf("status %d\nstdout: %.300s\nstderr: %.300s", status, stdout, stderr)
			}
			if errors := strings.Count(stderr, "bulkhead: error:"); status != 0 && test.stderr != "" && (errors != 1 || stdout != "") {
				t.Errorf("%d error lines, and on stdout %.200q", errors, stdout)
			}
		})
	}
}

// document runs a verb with --json and reads what it prints.
func document(t *testing.T, to any, args ...string) {
	t.Helper()
	stdout, stderr, status := seccompVerb(t, append(args, "--json")...)
	if status > exitFailed {
		t.Fatalf("%v: status %d, %s", args, status, stderr)
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		t.Fatalf("%v: %v in %s", args, err, stdout)
	}
}

func TestSeccompJSON(t *testing.T) {
	profiles(t)
	var c compiled
	document(t, &c, "compile", "--default", "docker", "--arch", "amd64")
	if c.Instructions != 224 || !c.Proved || strings.Join(c.ABIs, " ") != "x86_64 x86 x32" || len(c.Cached) != 3 || c.Cached[2] != 0 || len(c.SHA256) != 64 {
		t.Errorf("compile: %+v", c)
	}
	c = compiled{}
	if document(t, &c, "compile", "warning.json"); len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "2:") {
		t.Errorf("warnings: %+v", c)
	}
	c = compiled{}
	if document(t, &c, "compile", "docker.bpf"); c.Proved || c.Instructions != 224 {
		t.Errorf("a raw filter: %+v", c)
	}
	var answer struct {
		ABI, Call, Action, Because string
		Number                     uint32
		Arguments                  [6]uint64
		Instructions               int
		Cached                     bool
	}
	document(t, &answer, "decide", "docker", "--arch", "amd64", "socket", "-1", "0x10")
	if answer.ABI != "x86_64" || answer.Call != "socket" || answer.Number != 41 || answer.Arguments != [6]uint64{1<<64 - 1, 16} || answer.Action != "errno EPERM" && answer.Action != "allow" || answer.Cached {
		t.Errorf("decide: %+v", answer)
	}
	var differences struct {
		Equal       bool
		Differences []difference
		More        int
	}
	if document(t, &differences, "diff", "docker", "docker.bpf", "--arch", "amd64"); !differences.Equal || differences.Differences == nil {
		t.Errorf("equal: %+v", differences)
	}
	if document(t, &differences, "diff", "docker", "bulkhead", "--arch", "amd64"); differences.Equal || len(differences.Differences) == 0 {
		t.Errorf("different: %+v", differences)
	}
	var s shown
	if document(t, &s, "show", "docker", "--arch", "amd64"); len(s.Calls) != 3 || s.Calls[0].Counts["allow"] != 306 || len(s.Program) != 224 || s.Instructions != 224 {
		t.Errorf("show: %d ABIs, %d instructions", len(s.Calls), len(s.Program))
	}
}

func TestCompiledFiltersAreRawInstructions(t *testing.T) {
	profiles(t)
	for arch, order := range map[string]bpf.Order{"amd64": bpf.LittleEndian, "s390x": bpf.BigEndian} {
		path := filepath.Join(t.TempDir(), "filter")
		if _, stderr, status := seccompVerb(t, "compile", "docker", "--arch", arch, "-o", path); status != 0 {
			t.Fatal(stderr)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		program, err := bpf.Decode(order, raw)
		if err != nil || bpf.Check(program) != nil || len(raw) != 8*len(program) {
			t.Errorf("%s: %v, %v", arch, err, bpf.Check(program))
		}
	}
}

func TestDifferencesAreReal(t *testing.T) {
	profiles(t)
	var differences struct {
		Equal       bool
		Differences []difference
		More        int
	}
	document(t, &differences, "diff", "docker", "allow.json", "--arch", "amd64")
	if len(differences.Differences) == 0 {
		t.Fatal("none")
	}
	for _, d := range differences.Differences[:min(20, len(differences.Differences))] {
		if d.A == d.B || d.ABI == "" {
			t.Errorf("%+v", d)
		}
	}
}
