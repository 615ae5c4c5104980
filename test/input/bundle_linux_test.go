// SPDX-License-Identifier: Apache-2.0

//go:build linux

package input

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

const configHint = "bulkhead: hint: a bundle's config.json is one OCI runtime configuration, such as `runc spec` writes\n"

func TestBundlesThatAreRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	whole, err := os.ReadFile(filepath.Join(harness.Bundle(t, root, "true", nil), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		config string
		want   refusal
	}{
		"Truncated":       {string(whole[:500]), refusal{1, "bulkhead: error: config.json: 1:500: ends in the middle\n" + configHint}},
		"Empty":           {"", refusal{1, "bulkhead: error: config.json: empty\n" + configHint}},
		"Null":            {"null", refusal{1, "bulkhead: error: config.json: null is not a configuration\n" + configHint}},
		"List":            {"[]", refusal{1, "bulkhead: error: config.json: 1:1: json: cannot unmarshal array into Go value of type map[string]interface {}\n" + configHint}},
		"NoProcess":       {`{"ociVersion": "1.0.2", "root": {"path": "rootfs"}}`, refusal{1, "bulkhead: error: config.json: no process\n" + configHint}},
		"NoArguments":     {`{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"cwd": "/"}}`, refusal{1, "bulkhead: error: config.json: process.args is empty\n" + configHint}},
		"NoRoot":          {`{"ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["true"]}}`, refusal{1, "bulkhead: error: config.json: no root.path\n" + configHint}},
		"WrongKind":       {"{\n  \"process\": {\"args\": \"true\"}\n}", refusal{1, "bulkhead: error: config.json: 2:28: json: cannot unmarshal string into Go struct field Process.process.args of type []string\n" + configHint}},
		"TwoValues":       {string(whole) + "{}", refusal{1, "bulkhead: error: config.json: something follows the value\n" + configHint}},
		"UnreadableLabel": {strings.Replace(string(whole), `"process":{`, `"process":{"selinuxLabel":"nonsense",`, 1), refusal{2, "bulkhead: error: process.selinuxLabel: context \"nonsense\": fewer than three fields (user:role:type)\n"}},
		"DeeplyNested":    {strings.Repeat(`{"process":`, 100_000), refusal{1, "bulkhead: error: config.json: 1:110001: invalid character '{' exceeded max depth\n" + configHint}},
	} {
		t.Run(name, func(t *testing.T) {
			bundle := t.TempDir()
			if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(row.config), 0o644); err != nil {
				t.Fatal(err)
			}
			refused(t, exec.Command(harness.Runtime(t), "--root", t.TempDir(), "run", "--bundle", bundle, "input"), bundle, row.want)
		})
	}
}

func TestRuntimeCommandLinesThatAreRefused(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	bundle := harness.Bundle(t, root, "true", nil)
	for name, row := range map[string]struct {
		args string
		want refusal
	}{
		"UnknownOption":       {"run --bogus --bundle $BUNDLE input", refusal{2, "bulkhead: error: run: unknown option \"--bogus\"\nbulkhead: hint: an option that is not understood could undo the confinement, so it is refused\n"}},
		"UnknownGlobalOption": {"--bogus run --bundle $BUNDLE input", refusal{2, "bulkhead: error: unknown option \"--bogus\"\nbulkhead: hint: an option that is not understood could undo the confinement, so it is refused\n"}},
		"OptionWithoutValue":  {"run --bundle", refusal{2, "bulkhead: error: run: option \"--bundle\" needs a value\nbulkhead: hint: give one: --bundle VALUE\n"}},
		"NoID":                {"run --bundle $BUNDLE", refusal{2, "bulkhead: error: run: no container ID\nbulkhead: hint: the form is: run [OPTIONS] CONTAINER\n"}},
		"HostileID":           {"run --bundle $BUNDLE ../../escape", refusal{2, "bulkhead: error: container ID \"../../escape\"\nbulkhead: hint: letters, digits and _ + . - only, no - in front, at most 240 of them\n"}},
		"MissingBundle":       {"run --bundle $DIR/nothing input", refusal{1, "bulkhead: error: open $DIR/nothing/config.json: no such file or directory\nbulkhead: hint: a bundle is a directory with config.json and the root file system that it names\n"}},
		"BundleWithoutConfig": {"run --bundle $DIR input", refusal{1, "bulkhead: error: open $DIR/config.json: no such file or directory\nbulkhead: hint: a bundle is a directory with config.json and the root file system that it names\n"}},
		"ExecUnknown":         {"exec nothing true", refusal{1, "bulkhead: error: container nothing: no such container\nbulkhead: hint: only what bulkhead-runtime created under the same --root is known\n"}},
		"StartUnknown":        {"start nothing", refusal{1, "bulkhead: error: container nothing: no such container\nbulkhead: hint: only what bulkhead-runtime created under the same --root is known\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			args := strings.Fields(strings.NewReplacer("$DIR", directory, "$BUNDLE", bundle).Replace(row.args))
			refused(t, exec.Command(harness.Runtime(t), args...), directory, row.want)
		})
	}
}

// A config.json of 100 MB is refused at once, and is not read into memory.
func TestHugeConfigurationIsRefusedQuickly(t *testing.T) {
	root := harness.RootFS(t)
	furnish(t, root)
	bundle, filled := t.TempDir(), 0
	file, err := os.Create(filepath.Join(bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	// In pieces: a child's peak of memory starts at what its parent has.
	for piece := bytes.Repeat([]byte(" "), 1<<20); err == nil && filled < 100; filled++ {
		_, err = file.Write(piece)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	command := exec.Command(harness.Runtime(t), "--root", t.TempDir(), "run", "--bundle", bundle, "input")
	refused(t, command, bundle, refusal{1, "bulkhead: error: config.json: larger than 8388608 bytes\n" + configHint})
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%s, %d MiB", time.Since(started), usage.Maxrss>>10)
	if spent := command.ProcessState.UserTime() + command.ProcessState.SystemTime(); spent > 2*time.Second {
		t.Errorf("%s of CPU time", spent)
	}
	if usage.Maxrss>>10 > 64 { // in KiB
		t.Errorf("%d MiB of memory", usage.Maxrss>>10)
	}
}
