// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/source"
)

const policyHelp = `A POLICY is a text in the language of apparmor.d(5), which is compiled first; or compiled policy, from this program or from apparmor_parser; or the
name of a profile that is loaded, where the kernel exports what it has; or bulkhead-default or docker-default, whose text is built in.`

func apparmorCommand() *cobra.Command {
	command := &cobra.Command{Use: "apparmor COMMAND", Short: "compile, show, question, compare and load AppArmor profiles", Args: arguments(cobra.NoArgs),
		Long: "Compile AppArmor profiles for a kernel, without apparmor_parser, say what they allow, and load them. Under the name apparmor_parser, or as\n" +
			"`bulkhead apparmor parser`, this program takes the options of that one.",
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() }}
	command.AddCommand(apparmorCompile(), apparmorShow(), apparmorDecide(), apparmorDiff(), apparmorLoad(), apparmorUnload(), apparmorUndo(), apparmorLs(), apparmorFeatures(), apparmorParser())
	for _, verb := range command.Commands() {
		verb.DisableFlagsInUseLine = true
	}
	return command
}

// policyFlags say how texts are compiled.
type policyFlags struct {
	kernel, abi, base, namespace string
	include                      []string
	strict, complain             bool

	cache syntax.Cache // of included files
}

func (f *policyFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.kernel, "kernel", "host", "for which kernel: host, a `RELEASE` whose features are built in ("+strings.Join(apparmor.Kernels(), ", ")+"), or a features file")
	flags.StringVar(&f.abi, "abi", "", "features `FILE` that policy without an abi rule was written for; those of the kernel if not given")
	flags.StringVarP(&f.base, "base", "b", "/etc/apparmor.d", "directory of relative includes")
	flags.StringArrayVarP(&f.include, "include", "I", nil, "further `DIR`ectory for includes as <FILE>")
	flags.BoolVar(&f.strict, "strict", f.strict, "fail if the kernel cannot enforce a rule")
}

func (f *policyFlags) addOutput(command *cobra.Command) {
	command.Flags().BoolVar(&f.complain, "complain", false, "compile the profiles to complain only")
	command.Flags().StringVar(&f.namespace, "namespace", "", "put the profiles into this namespace")
}

// features returns those of the kernel that is meant.
func (f *policyFlags) features() (apparmor.Features, error) {
	if f.kernel == "host" {
		features, err := apparmor.HostFeatures()
		if errors.Is(err, apparmor.ErrNoFeatures) {
			err = &plan.UnavailableError{Layer: "apparmor", Reason: err.Error(), Hint: "say for which kernel: --kernel " + strings.Join(apparmor.Kernels(), ", ") + ", or a features file"}
		}
		return features, err
	}
	if features, ok := apparmor.KernelFeatures(f.kernel); ok {
		return features, nil
	}
	features, err := readFeatures(f.kernel)
	if errors.Is(err, fs.ErrNotExist) {
		return features, usageError{fmt.Errorf("--kernel %q: neither host, nor one of %s, nor a file", f.kernel, strings.Join(apparmor.Kernels(), ", "))}
	}
	return features, err
}

func readFeatures(path string) (apparmor.Features, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return apparmor.Features{}, err
	}
	features, err := apparmor.ParseFeatures(string(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return features, err
}

// options returns what Compile is told.
func (f *policyFlags) options() (apparmor.Options, error) {
	features, err := f.features()
	options := apparmor.Options{Features: features, Strict: f.strict, Complain: f.complain, Namespace: f.namespace}
	if err != nil || f.abi == "" {
		return options, err
	}
	abi, err := readFeatures(f.abi)
	options.ABI = &abi
	return options, err
}

// sources says where included files are.
func (f *policyFlags) sources() (syntax.Options, error) {
	from := syntax.Options{Files: os.DirFS("/"), Cache: &f.cache}
	var err error
	if from.Base, err = filepath.Abs(f.base); err != nil {
		return from, err
	}
	for _, directory := range f.include {
		if directory, err = filepath.Abs(directory); err != nil {
			return from, err
		}
		from.Include = append(from.Include, directory)
	}
	return from, nil
}

// readText reads a file, "-" being the standard input.
func readText(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}

// compile compiles one text.
func (f *policyFlags) compile(ctx context.Context, name, text string, options apparmor.Options) (*apparmor.Compiled, error) {
	from, err := f.sources()
	if err != nil {
		return nil, err
	}
	compiled, _, err := apparmor.CompileText(ctx, name, text, from, options)
	return compiled, err
}

// compileAll compiles files at the same time, each by one processor if there are several, and puts them together in their order.
func (f *policyFlags) compileAll(ctx context.Context, paths []string) (*apparmor.Compiled, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(paths))
	for i, path := range paths {
		text, err := readText(path)
		if err != nil {
			return nil, err
		}
		texts[i] = string(text)
	}
	if len(paths) > 1 {
		options.Workers = 1
	}
	results, failures := make([]*apparmor.Compiled, len(paths)), make([]error, len(paths))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for i := range paths {
		slots <- struct{}{}
		group.Go(func() {
			results[i], failures[i] = f.compile(ctx, paths[i], texts[i], options)
			<-slots
		})
	}
	group.Wait()
	if err := joinFailures(failures); err != nil {
		return nil, err
	}
	return merge(results)
}

// joinFailures returns what was wrong with the texts as one list, or the first error that is not about a text.
func joinFailures(failures []error) error {
	var all source.Diagnostics
	for _, err := range failures {
		var some source.Diagnostics
		switch {
		case errors.As(err, &some):
			all = append(all, some...)
		case err != nil:
			return err
		}
	}
	return all.Sorted()
}

// merge puts the policies of several files into one.
func merge(parts []*apparmor.Compiled) (*apparmor.Compiled, error) {
	whole := &apparmor.Compiled{Policy: &binary.Policy{}, Map: apparmor.Map{Profiles: map[string]apparmor.ProfileMap{}}}
	seen := map[[2]string]bool{}
	for _, part := range parts {
		for _, profile := range part.Policy.Profiles {
			key := [2]string{profile.Namespace, profile.Name}
			if seen[key] {
				return nil, fmt.Errorf("profile %s is in two of the files", profile.Name)
			}
			seen[key] = true
		}
		whole.Policy.Profiles = append(whole.Policy.Profiles, part.Policy.Profiles...)
		for name, rules := range part.Map.Profiles {
			whole.Map.Profiles[name] = rules
		}
		whole.Warnings = append(whole.Warnings, part.Warnings...)
		whole.Unenforced = append(whole.Unenforced, part.Unenforced...)
	}
	return whole, nil
}

// mapSuffix is that of the file beside compiled policy that says where its rules are.
const mapSuffix = ".map"

func apparmorCompile() *cobra.Command {
	var flags policyFlags
	var out string
	var asJSON bool
	command := &cobra.Command{Use: "compile [OPTIONS] FILE...", Short: "compile profiles for a kernel", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Compile texts in the language of apparmor.d(5) to what the kernel loads, all in one stream. Beside OUT is then OUT.map, from which `bulkhead apparmor\n" +
			"decide` and `show` know the lines of the rules. Rules that the kernel cannot enforce are listed on stderr, and under --strict are errors."}
	flags.add(command)
	flags.addOutput(command)
	command.Flags().StringVarP(&out, "output", "o", "", "file for the compiled policy; - for standard output, without a map")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		if out == "-" && asJSON {
			return usageError{errors.New("--output - and --json both write to standard output")}
		}
		compiled, err := flags.compileAll(command.Context(), args)
		if err != nil {
			return err
		}
		stream, err := binary.Encode(compiled.Policy)
		if err != nil {
			return err
		}
		compiled.Map.Digest = fmt.Sprintf("%x", sha256.Sum256(stream))
		warn(command.ErrOrStderr(), compiled)
		if out != "" {
			if err := writeCompiled(command.OutOrStdout(), out, stream, compiled.Map); err != nil {
				return err
			}
		}
		if out == "-" {
			return nil
		}
		return printCompiled(command.OutOrStdout(), compiled, len(stream), asJSON)
	}
	return command
}

// warn lists what compiling found, on standard error.
func warn(stderr io.Writer, compiled *apparmor.Compiled) {
	for _, one := range compiled.Warnings {
		fmt.Fprintln(stderr, "bulkhead: warning:", one)
	}
	for _, one := range compiled.Unenforced {
		fmt.Fprintln(stderr, "bulkhead: warning: not enforced:", one)
	}
}

// writeCompiled writes the stream, and the map beside a file.
func writeCompiled(stdout io.Writer, path string, stream []byte, places apparmor.Map) error {
	if err := writeOutput(stdout, path, stream); err != nil || path == "-" {
		return err
	}
	text, err := json.Marshal(places)
	if err != nil {
		return err
	}
	return os.WriteFile(path+mapSuffix, append(text, '\n'), 0o644)
}

// compiledPolicy is what `bulkhead apparmor compile --json` prints.
type compiledPolicy struct {
	Bytes      int                `json:"bytes"`
	SHA256     string             `json:"sha256"`
	Profiles   []compiledProfile  `json:"profiles"`
	Warnings   source.Diagnostics `json:"warnings,omitempty"`
	Unenforced source.Diagnostics `json:"unenforced,omitempty"` // rules that the kernel cannot enforce
}

type compiledProfile struct {
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	Attachment string `json:"attachment,omitempty"`
	Mode       string `json:"mode"`
	Rules      int    `json:"rules"`
	Version    int    `json:"version"` // of the format
	States     int    `json:"states"`  // of the automaton of files
}

// modeNames are the kernel's words for the modes.
func modeName(mode uint32) string {
	names := []string{"enforce", "complain", "kill", "unconfined", "user"}
	if int(mode) < len(names) {
		return names[mode]
	}
	return fmt.Sprint(mode)
}

func printCompiled(out io.Writer, compiled *apparmor.Compiled, size int, asJSON bool) error {
	shown := compiledPolicy{Bytes: size, SHA256: compiled.Map.Digest, Warnings: compiled.Warnings, Unenforced: compiled.Unenforced}
	for _, profile := range compiled.Policy.Profiles {
		one := compiledProfile{Namespace: profile.Namespace, Name: profile.Name, Attachment: profile.Attachment, Mode: modeName(profile.Mode),
			Rules: len(compiled.Map.Profiles[mapKey(profile)].Rules), Version: profile.Version.Kernel}
		if profile.File != nil && profile.File.Automaton != nil {
			one.States = len(profile.File.Automaton.Accept)
		}
		shown.Profiles = append(shown.Profiles, one)
	}
	if asJSON {
		return printJSON(out, shown)
	}
	var rows [][]string
	for _, one := range shown.Profiles {
		rows = append(rows, []string{qualified(one.Namespace, one.Name), one.Mode, fmt.Sprint(one.Rules), fmt.Sprint(one.States)})
	}
	if err := printTable(out, []string{"PROFILE", "MODE", "RULES", "STATES"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d bytes, sha256 %s\n", shown.Bytes, shown.SHA256)
	return err
}

// mapKey is the name under which a map has a profile.
func mapKey(profile *binary.Profile) string {
	if profile.Namespace == "" {
		return profile.Name
	}
	return ":" + profile.Namespace + ":" + profile.Name
}

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return ":" + namespace + "://" + name
}

// compiledSubject is a policy that a verb is asked about.
type compiledSubject struct {
	name   string
	policy *binary.Policy
	places *apparmor.Map // nil: where the rules are is not known
}

// magicVersion is how every stream of compiled policy begins: the name "version" of the first item.
var magicVersion = []byte("\x04\x08\x00version\x00")

// subject reads a policy by what the command line calls it: a file of either kind, or a loaded profile.
func (f *policyFlags) subject(ctx context.Context, name string) (*compiledSubject, error) {
	content, err := readText(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(name, os.PathSeparator) || err == nil && name != "-" && isDirectory(name) {
		return f.named(ctx, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if loaded, loadedErr := f.named(ctx, name); loadedErr == nil {
			return loaded, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(content, magicVersion) {
		return decodeSubject(name, content, readMap(name+mapSuffix, content))
	}
	return f.compileSubject(ctx, name, string(content))
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (f *policyFlags) compileSubject(ctx context.Context, name, text string) (*compiledSubject, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	compiled, err := f.compile(ctx, name, text, options)
	if err != nil {
		return nil, err
	}
	return &compiledSubject{name, compiled.Policy, &compiled.Map}, nil
}

func decodeSubject(name string, stream []byte, places *apparmor.Map) (*compiledSubject, error) {
	policy, err := binary.Decode(stream)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &compiledSubject{name, policy, places}, nil
}

// readMap reads the map of a policy; nil where it has none, or one of another policy.
func readMap(path string, stream []byte) *apparmor.Map {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var places apparmor.Map
	if json.Unmarshal(text, &places) != nil || places.Digest != fmt.Sprintf("%x", sha256.Sum256(stream)) {
		return nil
	}
	return &places
}

// named is subject of a profile whose name is known: a built-in text, or what the kernel has.
func (f *policyFlags) named(ctx context.Context, name string) (*compiledSubject, error) {
	host, err := apparmor.OpenHost("")
	if err == nil {
		var raw []byte
		namespace, profile := splitName(name)
		if raw, err = host.Raw(profile, namespace); err == nil {
			s, err := decodeSubject(name, raw, nil)
			if err == nil {
				s.policy.Profiles = slices.DeleteFunc(s.policy.Profiles, func(p *binary.Profile) bool { return p.Name != profile && !strings.HasPrefix(p.Name, profile+"//") })
			}
			return s, err
		}
	}
	if text, ok := f.builtin(name); ok {
		return f.compileSubject(ctx, name, text)
	}
	return nil, fmt.Errorf("%s: neither a file nor a loaded profile: %w", name, err)
}

// builtin returns the text of a profile that is built in.
func (f *policyFlags) builtin(name string) (string, bool) {
	switch name {
	case apparmor.DefaultName:
		features, err := f.features()
		return apparmor.Default(apparmor.DefaultOptions{Features: features}), err == nil
	case apparmor.DockerDefaultName:
		return apparmor.DockerDefault(name, apparmor.DockerFacts{}), true
	}
	return "", false
}

// splitName parts :namespace://name.
func splitName(name string) (namespace, profile string) {
	rest, ok := strings.CutPrefix(name, ":")
	if !ok {
		return "", name
	}
	namespace, profile, ok = strings.Cut(rest, ":")
	if !ok {
		return "", name
	}
	return namespace, strings.TrimPrefix(profile, "//")
}

// find returns the profile of that name.
func (s *compiledSubject) find(name string) (*binary.Profile, *apparmor.ProfileMap, error) {
	namespace, plain := splitName(name)
	var names []string
	for _, profile := range s.policy.Profiles {
		if profile.Name == plain && (namespace == "" || profile.Namespace == namespace) {
			if s.places == nil {
				return profile, nil, nil
			}
			rules, ok := s.places.Profiles[mapKey(profile)]
			if !ok {
				return profile, nil, nil
			}
			return profile, &rules, nil
		}
		names = append(names, profile.Name)
	}
	return nil, nil, usageError{fmt.Errorf("%s has no profile %q: it has %s", s.name, name, shortened(names))}
}

// shortened lists names, the first ten of them.
func shortened(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "none"
	}
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
