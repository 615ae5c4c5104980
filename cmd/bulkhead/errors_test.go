// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/source"
	"github.com/bulkhead-project/bulkhead/standalone"
)

func TestExitStatusOfEveryKindOfError(t *testing.T) {
	const failed = 77
	for name, test := range map[string]struct {
		err    error
		status int
		hint   string // a part of it
	}{
		"Unavailable":           {&plan.UnavailableError{Layer: "selinux", Reason: "r", Hint: "h1"}, exitUnavailable, "h1"},
		"NotSupported":          {&kernel.NotSupportedError{Layer: "selinux"}, exitUnavailable, "bulkhead check"},
		"Mismatch":              {&container.MismatchError{ID: "c"}, exitUnavailable, "nothing runs"},
		"Refused":               {&plan.RefusedError{Subject: "s", Reason: "r", Hint: "h2"}, exitRefused, "h2"},
		"SecurityOption":        {&plan.OptionError{Option: "o", Hint: "h3"}, exitUsage, "h3"},
		"RunOption":             {&standalone.UsageError{Option: "o", Hint: "h4"}, exitUsage, "h4"},
		"RuntimeCommandLine":    {&oci.UsageError{Reason: "r", Hint: "h5"}, exitUsage, "h5"},
		"Label":                 {&selinux.ParseError{What: "level", Hint: "s0:c110"}, exitUsage, "s0:c110"},
		"NoInnerRuntime":        {&oci.InnerError{Reasons: []string{"runc is not installed"}}, failed, "apt-get install runc"},
		"Image":                 {&standalone.ImageError{Hint: "h6"}, failed, "h6"},
		"Hinted":                {hinted{errors.New("x"), "h7"}, failed, "h7"},
		"EtcdLost":              {fmt.Errorf("mcs: %w", &mcs.ClusterError{Node: "a", Err: errors.New("no answer in time")}), exitUnavailable, "containers that run go on"},
		"NodesConflict":         {&mcs.ConflictError{Holder: "web"}, exitUnavailable, "remove the container here"},
		"Permission":            {fmt.Errorf("open: %w", fs.ErrPermission), failed, "run as root"},
		"HintedPermission":      {hinted{fs.ErrPermission, "h8"}, failed, "h8"},
		"Other":                 {errors.New("x"), failed, ""},
		"UnavailableInHinted":   {hinted{&plan.UnavailableError{Hint: "h9"}, "other"}, exitUnavailable, "h9"},
		"WrappedAndJoined":      {fmt.Errorf("container c: %w", errors.Join(errors.New("cleaning up"), &plan.RefusedError{Hint: "h10"})), exitRefused, "h10"},
		"MismatchAndFailedKill": {errors.Join(&container.MismatchError{}, errors.New("kill")), exitUnavailable, "nothing runs"},
	} {
		status, hint := classify(test.err, failed)
		if status != test.status || !strings.Contains(hint, test.hint) || test.hint == "" && hint != "" {
			t.Errorf("%s: status %d, hint %q", name, status, hint)
		}
	}
}

func TestErrorsTakeTwoLines(t *testing.T) {
	var out bytes.Buffer
	if status := report(&out, hinted{errors.New("one\ntwo\n"), "do this"}, 1); status != 1 || out.String() != "bulkhead: error: one; two\nbulkhead: hint: do this\n" {
		t.Errorf("%d: %q", status, out.String())
	}
	out.Reset()
	findings := source.Diagnostics{{Position: source.Position{File: "f", Line: 1, Column: 2}, Message: "a"}, {Message: "b", Expected: "c"}}
	for want, err := range map[string]error{
		"bulkhead: error: f:1:2: a\nbulkhead: error: b, expected c\n": findings,
		"bulkhead: error: while: f:1:2: a; b, expected c\n":           fmt.Errorf("while: %w", findings),
	} {
		if out.Reset(); report(&out, err, 1) != 1 || out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
	out.Reset()
	if report(&out, errors.New("x"), 125); out.String() != "bulkhead: error: x\n" {
		t.Errorf("%q", out.String())
	}
}

func TestCheckPrintsEveryLayer(t *testing.T) {
	var out bytes.Buffer
	command := checkCommand()
	command.SetOut(&out)
	command.SetArgs([]string{"--json"})
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out.Bytes()))
	decoder.DisallowUnknownFields()
	var document struct {
		Kernel string       `json:"kernel"`
		LSMs   []string     `json:"lsms"`
		Layers []kernel.Row `json:"layers"`
	}
	if err := decoder.Decode(&document); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	facts := kernel.Probe()
	if document.Kernel != facts.Release || !reflect.DeepEqual(document.LSMs, facts.LSMs) || !reflect.DeepEqual(document.Layers, facts.Report()) {
		t.Errorf("got %s", out.String())
	}

	out.Reset()
	command = checkCommand()
	command.SetOut(&out)
	command.SetArgs(nil)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1+len(kernel.LayerNames()) || !strings.HasPrefix(lines[0], "LAYER") {
		t.Errorf("got %s", out.String())
	}
	for i, name := range kernel.LayerNames() {
		if !strings.HasPrefix(lines[i+1], name+" ") {
			t.Errorf("line %d: %q", i+1, lines[i+1])
		}
	}
}

func TestRequiredLayersDecideTheStatus(t *testing.T) {
	facts := kernel.Probe()
	for _, row := range facts.Report() {
		want := 0
		if !row.Present() {
			want = exitUnavailable
		}
		if got := cliMain([]string{"check", "--json", "--require", row.Layer}); got != want {
			t.Errorf("--require %s: status %d, want %d", row.Layer, got, want)
		}
	}
	for _, args := range [][]string{{"check", "--require", "selinus"}, {"check", "extra"}, {"check", "--jsn"}, {"chekc"}} {
		if got := cliMain(args); got != exitUsage {
			t.Errorf("%q: status %d", args, got)
		}
	}
}

func TestEnginesReadErrorsFromTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.json")
	refused := &plan.RefusedError{Subject: "volume /etc", Reason: "no", Hint: "another"}
	if err := appendLog(path, "json", refused); err != nil {
		t.Fatal(err)
	}
	if err := appendLog(path, "json", errors.New("a\nb \"q\"")); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	for _, want := range []string{"bulkhead: volume /etc: no (hint: another)", `bulkhead: a; b "q"`} {
		var line struct{ Level, Msg, Time string }
		if err := decoder.Decode(&line); err != nil || line.Level != "error" || line.Msg != want || line.Time == "" {
			t.Errorf("got %+v, %v", line, err)
		}
	}
	text := filepath.Join(t.TempDir(), "log")
	if err := appendLog(text, "text", refused); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(text); err != nil || !strings.Contains(string(content), `level=error msg="bulkhead: volume /etc: no`) {
		t.Errorf("%q, %v", content, err)
	}
	if err := appendLog(filepath.Join(path, "x"), "json", refused); err == nil {
		t.Error("a log that cannot be written is no error")
	}
}

func TestConfigurationsAreReadUpToTheLimit(t *testing.T) {
	directory := t.TempDir()
	_, err := readConfig(filepath.Join(directory, "config.json"))
	if _, hint := classify(err, 1); err == nil || !strings.Contains(hint, "bundle") {
		t.Errorf("no file: %v, %q", err, hint)
	}
	path := filepath.Join(directory, "large")
	file, err := os.Create(path)
	if err == nil {
		err = errors.Join(file.Truncate(100<<20), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := readConfig(path)
	if err != nil || len(data) != oci.MaximumConfig+1 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if _, err := oci.Parse(data); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}
