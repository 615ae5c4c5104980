// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// parserOptions are those of apparmor_parser(8).
type parserOptions struct {
	action   string // add, replace, remove; "": add
	names    bool   // -N
	stdout   bool   // -S
	output   string // -o
	binary   bool   // -B
	print    bool   // -p
	complain bool
	load     bool // into the kernel

	base, namespace, securityfs    string
	baseGiven                      bool
	include                        []string
	policy, kernel                 string // features files
	overrideABI                    string
	matchString                    string
	readImpliesExec                bool
	quiet, verbose, showCache      bool
	skipCache, skipRead, write     bool
	skipBadCache, purge, printing  bool
	skipRebuild                    bool
	cache                          []string
	debug                          int
	dump, warnings, errors         map[string]bool
	jobs                           int
	abort                          bool
	configFile                     string
	printConfig, version, showHelp bool
	help                           string
	files                          []string

	changed string // the option that chose the action
}

// needs says whether an option has a value.
type needs int

const (
	noValue needs = iota
	value
	maybeValue // only as --name=value, or written to the short option
)

// parserOption is one option: as it is written, and what it does.
type parserOption struct {
	short byte // 0: none
	long  string
	needs needs
	set   func(o *parserOptions, value string) error
}

func flag(set func(o *parserOptions)) func(*parserOptions, string) error {
	return func(o *parserOptions, _ string) error { set(o); return nil }
}

func text(set func(o *parserOptions, value string)) func(*parserOptions, string) error {
	return func(o *parserOptions, value string) error { set(o, value); return nil }
}

// act returns what -a, -r, -R and the like do: one of them, once.
func act(name string) func(*parserOptions, string) error {
	return func(o *parserOptions, _ string) error {
		if o.changed != "" && o.changed != name {
			return parserUsage("Too many actions given on the command line.")
		}
		o.action, o.changed = name, name
		return nil
	}
}

// parserUsage is a fault of the command line, in the reference's words where scripts look for them.
type parserUsage string

func (u parserUsage) Error() string { return string(u) }

// parserOptionTable has every option of apparmor_parser 4.1, under each name that it goes by.
func parserOptionTable() []parserOption {
	return slices.Concat(parserActions(), parserPlaces(), parserCacheOptions(), parserTalk())
}

func parserActions() []parserOption {
	return []parserOption{
		{'a', "add", noValue, act("add")},
		{'r', "replace", noValue, act("replace")},
		{'R', "remove", noValue, act("remove")},
		{'B', "binary", noValue, flag(func(o *parserOptions) { o.binary, o.skipCache = true, true })},
		{'C', "Complain", noValue, flag(func(o *parserOptions) { o.complain, o.skipCache = true, true })},
		{'N', "names", noValue, flag(func(o *parserOptions) { o.names, o.load, o.skipCache = true, false, true })},
		{'S', "stdout", noValue, flag(func(o *parserOptions) { o.stdout, o.load, o.skipCache = true, false, true })},
		{'o', "ofile", value, text(func(o *parserOptions, v string) { o.output, o.load, o.skipCache = v, false, true })},
		{'p', "preprocess", noValue, flag(func(o *parserOptions) { o.print, o.load, o.skipCache = true, false, true })},
		{'Q', "skip-kernel-load", noValue, flag(func(o *parserOptions) { o.load = false })},
		{'V', "version", noValue, flag(func(o *parserOptions) { o.version = true })},
		{'h', "help", maybeValue, text(func(o *parserOptions, v string) { o.showHelp, o.help = true, v })},
		{'d', "debug", maybeValue, func(o *parserOptions, v string) error {
			if v != "" {
				return o.addDump(v)
			}
			o.debug, o.load, o.skipCache = o.debug+1, false, true
			return nil
		}},
		{'D', "dump", value, (*parserOptions).addDump},
		{'O', "Optimize", value, (*parserOptions).addOptimize},
		{0, "optimize", value, (*parserOptions).addOptimize},
		{'j', "jobs", value, func(o *parserOptions, v string) (err error) { o.jobs, err = parseJobs(v); return err }},
		{0, "max-jobs", value, func(_ *parserOptions, v string) error { _, err := parseJobs(v); return err }},
		{0, "abort-on-error", noValue, flag(func(o *parserOptions) { o.abort = true })},
		{0, "estimated-compile-size", value, text(func(*parserOptions, string) {})},
	}
}

func parserPlaces() []parserOption {
	securityfs := text(func(o *parserOptions, v string) { o.securityfs = v })
	namespace := text(func(o *parserOptions, v string) { o.namespace = v })
	features := text(func(o *parserOptions, v string) { o.kernel, o.policy = v, v })
	return []parserOption{
		{'b', "base", value, text(func(o *parserOptions, v string) { o.base, o.baseGiven = v, true })},
		{'I', "Include", value, text(func(o *parserOptions, v string) { o.include = append(o.include, v) })},
		{'f', "subdomainfs", value, securityfs},
		{0, "apparmorfs", value, securityfs},
		{'m', "match-string", value, text(func(o *parserOptions, v string) { o.matchString = v })},
		{'M', "features-file", value, features},
		{0, "policy-features", value, text(func(o *parserOptions, v string) { o.policy = v })},
		{0, "override-policy-abi", value, text(func(o *parserOptions, v string) { o.overrideABI = v })},
		{0, "kernel-features", value, text(func(o *parserOptions, v string) { o.kernel = v })},
		{'n', "namespace", value, namespace},
		{0, "namespace-string", value, namespace},
		{'X', "readimpliesX", noValue, flag(func(o *parserOptions) { o.readImpliesExec = true })},
		{0, "config-file", value, text(func(o *parserOptions, v string) { o.configFile = v })},
		{0, "print-config-file", noValue, flag(func(o *parserOptions) { o.printConfig = true })},
	}
}

func parserCacheOptions() []parserOption {
	return []parserOption{
		{'k', "show-cache", noValue, flag(func(o *parserOptions) { o.showCache = true })},
		{'K', "skip-cache", noValue, flag(func(o *parserOptions) { o.skipCache = true })},
		{'T', "skip-read-cache", noValue, flag(func(o *parserOptions) { o.skipRead = true })},
		{'W', "write-cache", noValue, flag(func(o *parserOptions) { o.write = true })},
		{0, "skip-bad-cache", noValue, flag(func(o *parserOptions) { o.skipBadCache = true })},
		{0, "skip-bad-cache-rebuild", noValue, flag(func(o *parserOptions) { o.skipRebuild = true })},
		{0, "purge-cache", noValue, flag(func(o *parserOptions) { o.purge = true })},
		{0, "create-cache-dir", noValue, flag(func(*parserOptions) {})},
		{0, "print-cache-dir", noValue, flag(func(o *parserOptions) { o.printing = true })},
		{0, "debug-cache", noValue, flag(func(o *parserOptions) { o.showCache = true })},
		{'L', "cache-loc", value, text(func(o *parserOptions, v string) { o.cache = splitLocations(v) })},
	}
}

func parserTalk() []parserOption {
	return []parserOption{
		{'q', "quiet", noValue, flag(func(o *parserOptions) {
			o.quiet, o.verbose = true, false
			clear(o.warnings)
		})},
		{'v', "verbose", noValue, flag(func(o *parserOptions) { o.verbose, o.quiet = true, false })},
		{0, "warn", value, func(o *parserOptions, v string) error { return choose("warn", parserWarnings(), o.warnings, v) }},
		{0, "Werror", maybeValue, func(o *parserOptions, v string) error {
			if v == "" {
				v = "all"
			}
			if err := choose("Werror", parserWarnings(), o.errors, v); err != nil {
				return err
			}
			return choose("Werror", parserWarnings(), o.warnings, v)
		}},
	}
}

// The names that options take.
func parserWarnings() []string {
	return []string{"rule-not-enforced", "rule-downgraded", "abi", "deprecated", "config", "cache", "debug-cache", "jobs", "dangerous", "unexpected", "format", "missing",
		"override", "dev", "pound-include", "all"}
}

func parserDumps() []string {
	return []string{"variables", "expanded-variables", "rule-exprs", "expr-stats", "expr-tree", "expr-simplified", "stats", "progress", "dfa-progress", "dfa-stats", "dfa-states",
		"dfa-compressed-states", "dfa-states-initial", "dfa-states-post-filter", "dfa-states-post-minimize", "dfa-states-post-unreachable", "dfa-perms-build", "dfa-graph",
		"dfa-minimize", "dfa-unreachable", "dfa-node-map", "dfa-uniq-perms", "dfa-minimize-uniq-perms", "dfa-minimize-partitions", "compress-progress", "compress-stats",
		"compressed-dfa", "equiv-stats", "equiv", "diff-encode", "diff-stats", "diff-progress", "rule-merge", "state32", "flags_table"}
}

func parserOptimizations() []string {
	return []string{"0", "equiv", "expr-normalize", "expr-simplify", "expr-left-simplify", "expr-right-simplify", "minimize", "filter-deny", "remove-unreachable", "compress-small",
		"compress-fast", "diff-encode", "rule-merge", "state32", "flags-table"}
}

// choose sets or clears one of the names, NAME or no-NAME.
func choose(option string, known []string, set map[string]bool, name string) error {
	plain, off := strings.CutPrefix(name, "no-")
	if name == "show" {
		set["show"] = true
		return nil
	}
	if !slices.Contains(known, plain) {
		return parserUsage(fmt.Sprintf("Invalid --%s option %s", option, name))
	}
	names := []string{plain}
	if plain == "all" {
		names = known
	}
	for _, one := range names {
		set[one] = !off
	}
	return nil
}

func (o *parserOptions) addDump(name string) error {
	return choose("Dump", parserDumps(), o.dump, name)
}

// addOptimize checks the name: there is nothing to choose, what is compiled is always minimal.
func (o *parserOptions) addOptimize(name string) error {
	return choose("Optimize", parserOptimizations(), map[string]bool{}, name)
}

// parseJobs reads N, auto or xN.
func parseJobs(value string) (int, error) {
	processors := runtime.NumCPU()
	if value == "auto" {
		return processors, nil
	}
	text, scaled := strings.CutPrefix(value, "x")
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 {
		return 0, parserUsage(fmt.Sprintf("Invalid option jobs=%s", value))
	}
	if scaled {
		number *= processors
	}
	return min(number, 8*processors), nil
}

// splitLocations reads a list of directories, in which \, is a comma of a name.
func splitLocations(list string) []string {
	var locations []string
	var one strings.Builder
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && i+1 < len(list) && list[i+1] == ',':
			one.WriteByte(',')
			i++
		case list[i] == ',':
			locations = append(locations, one.String())
			one.Reset()
		default:
			one.WriteByte(list[i])
		}
	}
	return append(locations, one.String())
}

// parserDefaults are the options before any is read.
func parserDefaults() parserOptions {
	return parserOptions{load: true, base: "/etc/apparmor.d", cache: []string{"/var/cache/apparmor"}, jobs: runtime.NumCPU(), configFile: "/etc/apparmor/parser.conf",
		dump: map[string]bool{}, errors: map[string]bool{},
		warnings: map[string]bool{"config": true, "cache": true, "jobs": true, "unexpected": true, "override": true}}
}

// parseParserOptions reads the configuration file, which the command line names, and then the command line.
func parseParserOptions(args []string) (parserOptions, error) {
	first := parserDefaults()
	if err := first.parse(args); err != nil {
		return first, err
	}
	o := parserDefaults()
	o.configFile = first.configFile
	if err := o.readConfig(o.configFile); err != nil {
		return o, err
	}
	o.changed = ""
	return o, o.parse(args)
}

// readConfig reads lines of options in their long form, without --.
func (o *parserOptions) readConfig(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil // there need not be one
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, setting, given := strings.Cut(line, "=")
		if !given {
			name, setting, _ = strings.Cut(line, " ")
		}
		option, err := findLong(strings.TrimSpace(name))
		if err != nil {
			return parserUsage(fmt.Sprintf("%s: %v", path, err))
		}
		if err := option.set(o, strings.TrimSpace(setting)); err != nil {
			return parserUsage(fmt.Sprintf("%s: %v", path, err))
		}
	}
	return nil
}

// findLong finds an option by its long name, or by what begins that of one option only.
func findLong(name string) (parserOption, error) {
	var found []parserOption
	for _, option := range parserOptionTable() {
		if option.long == name {
			return option, nil
		}
		if strings.HasPrefix(option.long, name) {
			found = append(found, option)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return parserOption{}, parserUsage(fmt.Sprintf("option '--%s' is ambiguous", name))
	}
	return parserOption{}, parserUsage(fmt.Sprintf("unrecognized option '--%s'", name))
}

// parse reads arguments as getopt_long(3) does: options may stand among the files, short ones together, long ones abbreviated.
func (o *parserOptions) parse(args []string) error {
	for i := 0; i < len(args); i++ {
		argument := args[i]
		next := func() (string, bool) {
			if i+1 >= len(args) {
				return "", false
			}
			i++
			return args[i], true
		}
		var err error
		switch {
		case argument == "--":
			o.files = append(o.files, args[i+1:]...)
			return nil
		case strings.HasPrefix(argument, "--"):
			err = o.parseLong(argument[2:], next)
		case len(argument) > 1 && argument[0] == '-':
			err = o.parseShort(argument[1:], next)
		default:
			o.files = append(o.files, argument)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *parserOptions) parseLong(argument string, next func() (string, bool)) error {
	name, setting, given := strings.Cut(argument, "=")
	option, err := findLong(name)
	if err != nil {
		return err
	}
	switch {
	case option.needs == noValue && given:
		return parserUsage(fmt.Sprintf("option '--%s' doesn't allow an argument", option.long))
	case option.needs == value && !given:
		if setting, given = next(); !given {
			return parserUsage(fmt.Sprintf("option '--%s' requires an argument", option.long))
		}
	}
	return option.set(o, setting)
}

func (o *parserOptions) parseShort(letters string, next func() (string, bool)) error {
	for at := 0; at < len(letters); at++ {
		i := slices.IndexFunc(parserOptionTable(), func(option parserOption) bool { return option.short == letters[at] })
		if i < 0 {
			return parserUsage(fmt.Sprintf("invalid option -- '%c'", letters[at]))
		}
		option := parserOptionTable()[i]
		if option.needs == noValue {
			if err := option.set(o, ""); err != nil {
				return err
			}
			continue
		}
		setting := letters[at+1:]
		if setting == "" && option.needs == value {
			given := false
			if setting, given = next(); !given {
				return parserUsage(fmt.Sprintf("option requires an argument -- '%c'", option.short))
			}
		}
		return option.set(o, strings.TrimPrefix(setting, "="))
	}
	return nil
}
