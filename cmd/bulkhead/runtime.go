// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/enforce"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/seccomp"
)

// version is set by the linker.
var version = "0.1.0-dev"

// stdio are the engine's descriptors.
var stdio = [3]*os.File{os.Stdin, os.Stdout, os.Stderr}

// runtimeMain is the OCI runtime's command line. What Bulkhead has no part in goes to the OCI runtime word for word.
func runtimeMain(args []string) int {
	// A runtime lives for milliseconds: collecting garbage costs it more CPU than the memory is worth.
	debug.SetGCPercent(800)
	runtime.GOMAXPROCS(1) // it waits more than it works: threads that look for work cost more than they find
	slack := slowMonitor()
	command, err := oci.ParseCommand(args)
	if err != nil {
		return runtimeReport(command, err)
	}
	status, err := runtimeVerb(command, slack)
	if err != nil {
		return runtimeReport(command, err)
	}
	return status
}

func runtimeVerb(command oci.Command, slack int) (int, error) {
	host, err := openHost()
	if err != nil {
		return 0, err
	}
	host.TimerSlack = slack
	if err := serveCluster(host, command.Verb); err != nil {
		return 0, err
	}
	inner, err := innerFor(host, command)
	if err != nil {
		return 0, err
	}
	switch command.Verb {
	case "create", "run", "start", "exec", "delete":
		host.Signals = container.Signals()
	}
	switch {
	case command.Globals.Has("version"):
		return 0, printVersion(os.Stdout, inner)
	case command.Verb == "features":
		return 0, printFeatures(os.Stdout, inner, command)
	case command.Verb == "state":
		return printState(os.Stdout, host, inner, command)
	case command.Verb == "create" || command.Verb == "run":
		return create(host, inner, command)
	case command.Verb == "start":
		return host.Start(command, inner, stdio)
	case command.Verb == "exec":
		return host.Exec(container.Execution{Command: command, Stdio: stdio}, inner)
	case command.Verb == "delete":
		return host.Delete(command, inner, stdio)
	case command.Verb == "restore":
		return 0, &plan.UnavailableError{Layer: "landlock", Reason: "a process restored by CRIU comes back without its Landlock domain", Hint: "start the container anew"}
	default:
		return 0, unix.Exec(inner.Path, append([]string{inner.Path}, command.Args()...), os.Environ())
	}
}

// innerFor returns the OCI runtime that a container was created with, and for others the one that is chosen here.
func innerFor(host *container.Host, command oci.Command) (oci.Inner, error) {
	for _, argument := range command.Arguments { // the ID may stand behind options that are not Bulkhead's
		if oci.CheckID(argument) != nil {
			continue
		}
		if record, err := host.OpenFor(command, argument); err == nil {
			return oci.Inner{Path: record.Inner}, nil
		}
	}
	return oci.FindInner(host.Config.Runtime)
}

func create(host *container.Host, inner oci.Inner, command oci.Command) (int, error) {
	if err := enforce.RequireRoot(); err != nil {
		return 0, hinted{err, "run as root: labels, profiles and namespaces of containers need it"}
	}
	directory, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	bundle := command.BundleOf(directory)
	asked, err := readConfig(filepath.Join(bundle, "config.json"))
	if err != nil {
		return 0, err
	}
	if _, err := host.SweepSometimes(); err != nil {
		fmt.Fprintln(os.Stderr, "bulkhead: warning: sweep:", oneLine(err.Error()))
	}
	return host.Create(container.Job{Command: command, Inner: inner, Bundle: bundle, Asked: asked, Stdio: stdio, Notice: notice})
}

// notice prints what the user must know of a container that starts all the same.
func notice(line string) { fmt.Fprintln(os.Stderr, "bulkhead: notice:", line) }

// readConfig reads a config.json, at most as much of it as is allowed.
func readConfig(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hinted{err, "a bundle is a directory with config.json and the root file system that it names"}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, oci.MaximumConfig+1))
}

// runtimeReport tells of an error on stderr, and in the file from which engines read it.
func runtimeReport(command oci.Command, err error) int {
	status := report(os.Stderr, err, exitFailed)
	if path := command.Globals.Get("log"); path != "" {
		if logErr := appendLog(path, command.Globals.Get("log-format"), err); logErr != nil {
			fmt.Fprintln(os.Stderr, "bulkhead: error: log:", logErr)
		}
	}
	return status
}

func appendLog(path, format string, err error) error {
	file, openErr := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if openErr != nil {
		return openErr
	}
	defer file.Close()
	message, now := "bulkhead: "+oneLine(err.Error()), time.Now().Format(time.RFC3339)
	if _, hint := classify(err, exitFailed); hint != "" {
		message += " (hint: " + hint + ")"
	}
	if format == "json" {
		return json.NewEncoder(file).Encode(map[string]string{"level": "error", "msg": message, "time": now})
	}
	_, writeErr := fmt.Fprintf(file, "time=%q level=error msg=%q\n", now, message)
	return writeErr
}

// printState prints the OCI runtime's state with the bundle that the engine knows, not the copy that the OCI runtime was given.
func printState(out io.Writer, host *container.Host, inner oci.Inner, command oci.Command) (int, error) {
	below := exec.Command(inner.Path, command.Args()...)
	below.Stderr = os.Stderr
	text, err := below.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	state := map[string]any{}
	if err := decoder.Decode(&state); err != nil {
		return 0, fmt.Errorf("%s state: %w", inner.Path, err)
	}
	if id, ok := state["id"].(string); ok {
		if record, err := host.OpenFor(command, id); err == nil {
			state["bundle"] = record.Bundle
		}
	}
	return 0, printJSON(out, state)
}

// printJSON writes one indented document.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printVersion prints Bulkhead's version and the OCI runtime's, in the form that engines read.
func printVersion(out io.Writer, inner oci.Inner) error {
	below, err := exec.Command(inner.Path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", inner.Path, err)
	}
	_, err = fmt.Fprintf(out, "bulkhead-runtime version %s\n%s", version, below)
	return err
}

// printFeatures prints the OCI runtime's features with Bulkhead's filters and annotations of our own.
func printFeatures(out io.Writer, inner oci.Inner, command oci.Command) error {
	below, err := exec.Command(inner.Path, command.Args()...).Output()
	if err != nil {
		return fmt.Errorf("%s features: %w", inner.Path, err)
	}
	features := map[string]any{}
	if err := json.Unmarshal(below, &features); err != nil {
		return fmt.Errorf("%s features: %w", inner.Path, err)
	}
	annotations, ok := features["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		features["annotations"] = annotations
	}
	annotations["org.bulkhead.version"] = version
	annotations["org.bulkhead.runtime"] = inner.Path
	// Filters are Bulkhead's own, whatever the OCI runtime was built with.
	delete(annotations, "io.github.seccomp.libseccomp.version")
	linux, ok := features["linux"].(map[string]any)
	if !ok {
		linux = map[string]any{}
		features["linux"] = linux
	}
	linux["seccomp"] = seccomp.Features(kernel.Probe().Seccomp.Flags)
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "    ")
	return encoder.Encode(features)
}
