// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/seccomp/reach"
)

func seccompFromELF() *cobra.Command {
	var root, format string
	var options reach.Options
	command := &cobra.Command{Use: "from-elf [OPTIONS] PROGRAM", Short: "find the calls that a program and its libraries can reach", Args: arguments(cobra.ExactArgs(1)),
		Long: "Find the system calls that a program and its shared libraries can reach, and mark what cannot be resolved. --format profile prints a profile that\n" +
			"allows them; where something is unresolved, what the program loads at run time or starts is missing in it, which is said on stderr."}
	command.Flags().StringVar(&root, "root", "/", "directory that is the program's root, such as an unpacked image")
	command.Flags().StringVar(&format, "format", "table", "table, json or profile")
	command.Flags().StringArrayVar(&options.Libraries, "library", nil, "library that the program loads at run time, by its path under the root")
	command.Flags().BoolVar(&options.Limits.Whole, "whole", false, "take every function of every object for reachable")
	command.RunE = func(command *cobra.Command, args []string) error {
		if format != "table" && format != "json" && format != "profile" {
			return usageError{fmt.Errorf("--format %q: table, json or profile", format)}
		}
		tree, err := os.OpenRoot(root)
		if err != nil {
			return err
		}
		defer tree.Close()
		open, path, err := openerOf(tree, args[0])
		if err != nil {
			return err
		}
		result, err := reach.Program(open, path, options)
		if err != nil {
			return err
		}
		out := command.OutOrStdout()
		switch format {
		case "json":
			return printJSON(out, reachedDocument(result))
		case "profile":
			return printReachedProfile(out, command.ErrOrStderr(), result)
		}
		return printReached(out, result)
	}
	return command
}

// openerOf returns a function that opens files of the tree, and the program's path in it. Absolute symbolic links mean the tree's root.
func openerOf(tree *os.Root, program string) (reach.Opener, string, error) {
	path, err := resolveIn(tree, program)
	if err != nil {
		return nil, "", err
	}
	return func(name string) (io.ReaderAt, error) {
		resolved, err := resolveIn(tree, name)
		if err != nil {
			return nil, err
		}
		file, err := tree.Open(strings.TrimPrefix(resolved, "/"))
		if err != nil {
			return nil, err
		}
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
			file.Close()
			return nil, &fs.PathError{Op: "open", Path: name, Err: errors.Join(err, errors.New("not a regular file"))}
		}
		return file, nil
	}, path, nil
}

// maximumLinks is the kernel's limit of symbolic links in a path.
const maximumLinks = 40

// resolveIn follows the symbolic links of a path as a process with the tree for its root would.
func resolveIn(tree *os.Root, name string) (string, error) {
	done, rest := "/", strings.Split(filepath.Clean("/"+name), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, part)
		info, err := tree.Lstat(strings.TrimPrefix(next, "/"))
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maximumLinks {
			return "", fmt.Errorf("%s: too many symbolic links", name)
		}
		target, err := tree.Readlink(strings.TrimPrefix(next, "/"))
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			done = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

func site(s reach.Site) string {
	text := fmt.Sprintf("%s+%#x", s.Object, s.Address)
	if s.Function != "" {
		text += " (" + s.Function + ")"
	}
	return text
}

// reached is what `bulkhead seccomp from-elf --format json` prints.
type reached struct {
	ABI        string        `json:"abi"`
	Objects    []string      `json:"objects"`
	Calls      []reachedCall `json:"calls"`
	Unresolved []string      `json:"unresolved"`
	Missing    []string      `json:"missing"` // libraries and symbols
	Loads      []string      `json:"loads"`   // functions by which more code may be loaded at run time
}

type reachedCall struct {
	ABI    string   `json:"abi"`
	Call   string   `json:"call"`
	Number uint32   `json:"number"`
	Sites  []string `json:"sites"`
}

func reachedDocument(result *reach.Result) reached {
	document := reached{ABI: result.ABI.Name, Objects: result.Objects, Calls: []reachedCall{}, Unresolved: []string{}, Missing: []string{}, Loads: []string{}}
	for _, call := range result.Calls {
		entry := reachedCall{ABI: call.ABI.Name, Call: call.Call.String(), Number: call.Number}
		for _, place := range call.Sites {
			entry.Sites = append(entry.Sites, site(place))
		}
		document.Calls = append(document.Calls, entry)
	}
	for _, place := range result.Unresolved {
		document.Unresolved = append(document.Unresolved, site(place)+": "+place.Why)
	}
	for _, missing := range append(result.Missing, result.Undefined...) {
		document.Missing = append(document.Missing, missing.Name+" of "+missing.By)
	}
	for _, load := range result.Loads {
		document.Loads = append(document.Loads, load.Name+" by "+load.By)
	}
	return document
}

// doubts are what the list of calls may lack.
func doubts(d reached) (lines []string) {
	for _, list := range []struct {
		what  string
		lines []string
	}{{"not resolved", d.Unresolved}, {"missing", d.Missing}, {"may load more code", d.Loads}} {
		for _, line := range list.lines {
			lines = append(lines, list.what+": "+line)
		}
	}
	return lines
}

func printReached(out io.Writer, result *reach.Result) error {
	document := reachedDocument(result)
	var rows [][]string
	for _, call := range document.Calls {
		where := call.Sites[0]
		if more := len(call.Sites) - 1; more > 0 {
			where += fmt.Sprintf(" and %d more", more)
		}
		rows = append(rows, []string{call.ABI, fmt.Sprint(call.Number), call.Call, where})
	}
	if err := printTable(out, []string{"ABI", "NUMBER", "CALL", "AT"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d calls, in %d objects\n", len(document.Calls), len(document.Objects))
	for _, line := range doubts(document) {
		fmt.Fprintln(out, line)
	}
	return nil
}

func printReachedProfile(out, stderr io.Writer, result *reach.Result) error {
	for _, line := range doubts(reachedDocument(result)) {
		fmt.Fprintln(stderr, "bulkhead: warning:", line)
	}
	eperm := uint(1)
	profile := specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm, Architectures: []specs.Arch{specs.Arch(result.ABI.OCI)},
		Syscalls: []specs.LinuxSyscall{{Names: result.Names(), Action: specs.ActAllow}}}
	for _, call := range result.Calls {
		if arch := specs.Arch(call.ABI.OCI); !slices.Contains(profile.Architectures, arch) {
			profile.Architectures = append(profile.Architectures, arch)
		}
	}
	for _, name := range []string{"execve", "exit_group"} { // the filter is there when the program is started, and programs end
		if !slices.Contains(profile.Syscalls[0].Names, name) {
			profile.Syscalls[0].Names = append(profile.Syscalls[0].Names, name)
		}
	}
	return printJSON(out, profile)
}
