// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const parserHelp = `Usage: apparmor_parser [OPTIONS] [PROFILE...]

Bulkhead in the place of apparmor_parser(8): compiles and loads profiles, from files, directories or standard input.

  -a, --add                  load profiles, none of which may be loaded already (what is done if no action is given)
  -r, --replace              load profiles, in the place of those of the same names
  -R, --remove               remove the profiles
  -B, --binary               the files are compiled policy
  -N, --names                print the names of the profiles
  -S, --stdout               write compiled policy to standard output
  -o, --ofile FILE           write compiled policy to a file
  -p, --preprocess           print the text with its includes
  -Q, --skip-kernel-load     do all but load
  -C, --Complain             have the profiles complain only
  -b, --base DIR             directory of relative includes
  -I, --Include DIR          further directory for includes
  -f, --subdomainfs DIR      the kernel's AppArmor directory
  -M, --features-file FILE   features of kernel and policy
      --kernel-features FILE, --policy-features FILE, --override-policy-abi FILE
  -n, --namespace NAME       put the profiles into a namespace
  -X, --readimpliesX         r is mr
  -K, --skip-cache           no cache;  -T, --skip-read-cache  do not read it;  -W, --write-cache  write it
  -L, --cache-loc DIR,...    where the cache is
  -k, --show-cache           say what is found in it
      --purge-cache          empty it;  --print-cache-dir  say where it is;  --skip-bad-cache  leave one of other features alone
      --skip-bad-cache-rebuild  do not compile what the kernel refuses from the cache
  -q, --quiet                no warnings;  -v, --verbose  say what was done
      --warn NAME, --Werror[=NAME]  see --help=warn
  -D, --dump NAME            see --help=dump
  -O, --Optimize NAME        see --help=optimize
  -d, --debug                check the profiles and print them as they are understood
  -j, --jobs N               how many are compiled at once (0, N, auto, xN);  --max-jobs N
      --abort-on-error       stop at the first error
      --config-file FILE     in the place of /etc/apparmor/parser.conf;  --print-config-file
  -V, --version;  -h, --help[=warn|dump|optimize]
`

// parserVersion begins as engines expect it, who take the last word of the first line for the version of the language.
const parserVersion = "AppArmor parser version 4.1.0\nBulkhead %s, in its place\n"

// parserRun is one run under the name apparmor_parser.
type parserRun struct {
	options  parserOptions
	in       io.Reader
	out, err io.Writer

	features apparmor.Features  // of the kernel
	text     string             // the same as a file has it
	abi      *apparmor.Features // of policy that has no abi rule
	known    bool               // the features were given, or a kernel has them
	host     *apparmor.Host     // nil: nothing is loaded
	includes *syntax.Cache
	cache    policyCache

	status int // of the last error
}

// apparmorParser is the same as a verb.
func apparmorParser() *cobra.Command {
	return &cobra.Command{Use: "parser [OPTIONS] [PROFILE...]", Short: "take the options of apparmor_parser(8)", DisableFlagParsing: true, Long: parserHelp,
		RunE: func(command *cobra.Command, args []string) error {
			if status := parserMain(args, command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr()); status != 0 {
				return exitCode(status)
			}
			return nil
		}}
}

// parserMain is apparmor_parser(8).
func parserMain(args []string, in io.Reader, out, errors io.Writer) int {
	options, err := parseParserOptions(args)
	if err != nil {
		fmt.Fprintf(errors, "apparmor_parser: %v\n", err)
		return 1
	}
	run := &parserRun{options: options, in: in, out: out, err: errors, includes: &syntax.Cache{}}
	if done := run.tell(); done {
		return 0
	}
	if err := run.prepare(); err != nil {
		fmt.Fprintf(errors, "apparmor_parser: %v\n", err)
		return 1
	}
	switch {
	case options.printing:
		for _, directory := range run.cache.directories {
			fmt.Fprintln(out, directory)
		}
		return 0
	case options.purge:
		if err := run.cache.purge(); err != nil {
			fmt.Fprintf(errors, "apparmor_parser: %v\n", err)
			return 1
		}
		return 0
	}
	if status := run.openKernel(); status != 0 {
		return status
	}
	run.all(context.Background())
	return run.status
}

// tell answers what needs no profile.
func (r *parserRun) tell() bool {
	switch o := r.options; {
	case o.version:
		fmt.Fprintf(r.out, parserVersion, version)
	case o.showHelp:
		lists := map[string][]string{"warn": parserWarnings(), "Werror": parserWarnings(), "dump": parserDumps(), "optimize": parserOptimizations(), "O": parserOptimizations()}
		if names, ok := lists[o.help]; ok {
			fmt.Fprintf(r.out, "show\n[no-]%s\n", strings.Join(names, "\n[no-]"))
			break
		}
		fmt.Fprint(r.out, parserHelp)
	case o.printConfig:
		fmt.Fprintln(r.out, o.configFile)
	default:
		for name, set := range map[string]map[string]bool{"warn": o.warnings, "Werror": o.errors, "Dump": o.dump} {
			if set["show"] {
				fmt.Fprintf(r.err, "%s=%s\n", name, strings.Join(chosen(set), ", "))
			}
		}
		return false
	}
	return true
}

func chosen(set map[string]bool) []string {
	var names []string
	for _, name := range slices.Concat(parserWarnings(), parserDumps()) {
		if set[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// prepare reads the features of kernel and policy, and finds the cache.
func (r *parserRun) prepare() error {
	o := &r.options
	var err error
	switch {
	case o.matchString != "" && o.kernel == "":
		r.text, r.known = o.matchString, true
		r.features, err = apparmor.ParseFeatures(o.matchString)
	case o.kernel != "":
		r.features, r.text, err = featuresText(o.kernel)
		r.known = true
	default:
		r.features, err = apparmor.HostFeatures()
		r.text, r.known = r.features.String(), true
		if errors.Is(err, apparmor.ErrNoFeatures) {
			// Nothing can be loaded then; what is compiled all the same mediates as much as a new kernel can.
			if r.known = false; !o.quiet {
				fmt.Fprintln(r.err, "Cache read/write disabled: interface file missing. (Kernel needs AppArmor 2.4 compatibility patch.)")
			}
			names := apparmor.Kernels()
			r.features, _ = apparmor.KernelFeatures(names[len(names)-1])
			o.skipCache, err = true, nil
		}
	}
	if err != nil {
		return err
	}
	for _, path := range []string{o.policy, o.overrideABI} {
		if path == "" {
			continue
		}
		abi, _, err := featuresText(path)
		if err != nil {
			return err
		}
		r.abi = &abi
	}
	r.cache, err = openCache(o.cache, r.text)
	return err
}

// featuresText reads a features file, and its text.
func featuresText(path string) (apparmor.Features, string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return apparmor.Features{}, "", err
	}
	features, err := apparmor.ParseFeatures(string(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return features, string(text), err
}

// openKernel finds where policy is loaded.
func (r *parserRun) openKernel() int {
	if !r.options.load {
		return 0
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(r.err, "apparmor_parser: Sorry. You need root privileges to run this program.")
		return 1
	}
	host, err := apparmor.OpenHost(r.options.securityfs)
	if err != nil {
		fmt.Fprint(r.err, "Warning: unable to find a suitable fs in /proc/mounts, is it mounted?\nUse --subdomainfs to override.\n")
		return 1
	}
	r.host = host
	return 0
}

// profileFile is one file to be processed.
type profileFile struct {
	path     string // "" for the standard input
	argument string // as the command line named it, or the directory that it is in
	failed   string // what is said instead
	status   int
}

// files lists what the command line names, directories by what is in them.
func (r *parserRun) files() []profileFile {
	if len(r.options.files) == 0 {
		return []profileFile{{}}
	}
	var files []profileFile
	for _, argument := range r.options.files {
		info, err := os.Stat(argument)
		switch {
		case err != nil:
			files = append(files, profileFile{failed: fmt.Sprintf("File %s not found, skipping...\n", argument), status: int(unix.ENOENT)})
		case info.IsDir():
			files = append(files, directoryFiles(argument)...)
		default:
			files = append(files, profileFile{path: argument, argument: argument})
		}
	}
	return files
}

func directoryFiles(directory string) []profileFile {
	fault := profileFile{failed: fmt.Sprintf("There was an error while loading profiles from %s\n", directory), status: 1}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return []profileFile{fault}
	}
	var files []profileFile
	broken := false
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		if leftover(entry.Name()) {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			broken = true
		case info.Mode().IsRegular():
			files = append(files, profileFile{path: path, argument: directory})
		}
	}
	if broken {
		files = append(files, fault)
	}
	return files
}

// all processes the files: as many as there are jobs are compiled at once, and what comes of them is dealt with in their order.
func (r *parserRun) all(ctx context.Context) {
	if r.options.output != "" {
		if err := os.WriteFile(r.options.output, nil, 0o644); err != nil {
			fmt.Fprintf(r.err, "apparmor_parser: %v\n", err)
			r.status = 1
			return
		}
	}
	files := r.files()
	results := make([]chan *parsedFile, len(files))
	slots := make(chan struct{}, max(1, r.options.jobs))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range files {
		results[i] = make(chan *parsedFile, 1)
	}
	go func() {
		for i, file := range files {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				results[i] <- r.process(ctx, file)
				<-slots
			}()
		}
	}()
	for _, result := range results {
		r.finish(ctx, <-result)
		if r.status != 0 && r.options.abort {
			return
		}
	}
}
