// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// leftover reports whether a file of a directory is none of its profiles: hidden, or what editors and package managers leave behind.
func leftover(name string) bool {
	return strings.HasPrefix(name, ".") || slices.ContainsFunc([]string{".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-bak", ".dpkg-remove", ".pacsave", ".pacnew", ".rpmnew",
		".rpmsave", ".orig", ".rej", "~"}, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// parsedFile is what has become of one file before the kernel is asked.
type parsedFile struct {
	profileFile
	text     string
	complain bool
	skipped  string // disabled: a line that says so
	errors   bytes.Buffer
	output   bytes.Buffer
	policy   *syntax.Policy
	from     syntax.Options
	newest   time.Time
	cached   string // path of what was found in the cache
	stream   []byte // of the cache, of -B, or compiled
	compiled *binary.Policy
}

func (p *parsedFile) fail(status int, format string, arguments ...any) {
	p.status = status
	fmt.Fprintf(&p.errors, format+"\n", arguments...)
}

// base is the name under which links disable a profile, and under which it is cached; "" for the standard input.
func (p *parsedFile) base() string {
	if p.path == "" {
		return ""
	}
	return filepath.Base(p.path)
}

// process reads, checks and compiles one file.
func (r *parserRun) process(ctx context.Context, file profileFile) *parsedFile {
	p := &parsedFile{profileFile: file, complain: r.options.complain}
	if p.failed != "" {
		p.errors.WriteString(p.failed)
		return p
	}
	if r.linked(p, "disable") {
		p.skipped = fmt.Sprintf("Skipping profile in %s/disable: %s\n", r.options.base, p.base())
		return p
	}
	if r.linked(p, "force-complain") {
		if p.complain = true; !r.options.quiet {
			fmt.Fprintf(&p.errors, "Warning: found %s in %s/force-complain, forcing complain mode\n", p.base(), r.options.base)
		}
	}
	content, err := r.read(p)
	if err != nil {
		p.fail(1, "apparmor_parser: %v", err)
		return p
	}
	if r.options.binary {
		r.takeBinary(p, content)
		return p
	}
	p.text = string(content)
	if r.parse(p) && !r.describe(p) && !r.lookUp(p) {
		r.compile(ctx, p)
	}
	return p
}

// takeBinary takes compiled policy, which -C has complain.
func (r *parserRun) takeBinary(p *parsedFile, content []byte) {
	if p.stream = content; !p.complain {
		return
	}
	policy, err := binary.Decode(content)
	if err == nil {
		for _, profile := range policy.Profiles {
			profile.Version.ForceComplain = true
		}
		p.stream, err = binary.Encode(policy)
	}
	if err != nil {
		p.fail(1, "apparmor_parser: %s: %v", cmp.Or(p.path, "stdin"), err)
	}
}

// linked reports whether a directory beneath the base has the profile's name.
func (r *parserRun) linked(p *parsedFile, directory string) bool {
	if p.base() == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(r.options.base, directory, p.base()))
	return err == nil
}

func (r *parserRun) read(p *parsedFile) ([]byte, error) {
	if p.path == "" {
		return io.ReadAll(r.in)
	}
	return os.ReadFile(p.path)
}

// parse reads the text. What is wrong is said in the reference's words, which scripts look for.
func (r *parserRun) parse(p *parsedFile) bool {
	name := p.path
	if name == "" {
		name = "stdin"
	}
	flags := policyFlags{base: r.options.base, include: r.options.include}
	from, err := flags.sources()
	if err != nil {
		p.fail(1, "apparmor_parser: %v", err)
		return false
	}
	from.Cache = r.includes
	if from.Directory = from.Base; !r.options.baseGiven {
		if from.Directory, err = os.Getwd(); err != nil {
			p.fail(1, "apparmor_parser: %v", err)
			return false
		}
	}
	p.from = from
	p.policy, err = syntax.Parse(name, p.text, from)
	if err != nil {
		r.complainOf(p, err)
		return false
	}
	if r.options.readImpliesExec {
		for _, profile := range p.policy.Profiles {
			mapReadable(profile)
		}
	}
	if r.options.overrideABI != "" {
		p.policy.ABI = nil
	}
	return true
}

// mapReadable gives m where r is given.
func mapReadable(profile *syntax.Profile) {
	for _, rule := range profile.Rules {
		if file, ok := rule.(*syntax.FileRule); ok && file.Permissions.Read {
			file.Permissions.Map = true
		}
	}
	for _, child := range profile.Children {
		mapReadable(child)
	}
}

// complainOf prints errors of the text.
func (r *parserRun) complainOf(p *parsedFile, err error) {
	p.status = 1
	var faults source.Diagnostics
	if !errors.As(err, &faults) {
		fmt.Fprintf(&p.errors, "apparmor_parser: %v\n", err)
		return
	}
	for _, fault := range faults {
		p.errors.WriteString("AppArmor parser error")
		if p.path != "" {
			fmt.Fprintf(&p.errors, " for %s in profile %s", p.argument, r.spelled(fault.Position.File))
		} else if fault.Position.File != "stdin" {
			fmt.Fprintf(&p.errors, " in profile %s", r.spelled(fault.Position.File))
		}
		if fault.Position.Line > 0 {
			fmt.Fprintf(&p.errors, " at line %d", fault.Position.Line)
		}
		fmt.Fprintf(&p.errors, ": %s\n", source.Diagnostic{Message: referenceMessage(fault.Message), Expected: fault.Expected})
	}
}

// referenceMessage says that an included file is not there as the reference does.
func referenceMessage(message string) string {
	if rest, ok := strings.CutPrefix(message, "include "); ok {
		if quoted, err := strconv.QuotedPrefix(rest); err == nil && strings.HasSuffix(message, ": no such file or directory") {
			name, _ := strconv.Unquote(quoted)
			return "Could not open '" + name + "'"
		}
	}
	return message
}

// spelled is a path as it would be found by the directories that the command line names.
func (r *parserRun) spelled(path string) string {
	for _, directory := range append([]string{r.options.base}, r.options.include...) {
		absolute, err := filepath.Abs(directory)
		if err != nil || absolute == directory {
			continue
		}
		if rest, ok := strings.CutPrefix(path, absolute+"/"); ok {
			return strings.TrimSuffix(directory, "/") + "/" + rest
		}
	}
	return path
}

// describe prints what -N, -p and -d ask for, and reports whether that is all.
func (r *parserRun) describe(p *parsedFile) bool {
	o := r.options
	switch {
	case o.names:
		for _, name := range allNames(p.policy) {
			fmt.Fprintln(&p.output, name)
		}
	case o.print:
		r.flatten(&p.output, p.from, p.text, 0)
	case o.debug > 0:
		p.output.WriteString(syntax.Format(p.policy))
	}
	return o.names || o.print || o.debug > 0
}

// allNames returns the full names of all profiles, by namespace and name, children behind their parents.
func allNames(policy *syntax.Policy) []string {
	type named struct{ namespace, name string }
	var list []named
	var add func(parent string, namespace string, profiles []*syntax.Profile)
	add = func(parent, namespace string, profiles []*syntax.Profile) {
		for _, profile := range profiles {
			name := profile.Name.Text
			if words, err := policy.Expander(profile).Name(); err == nil {
				name = words
			}
			if parent == "" {
				namespace = profile.Namespace
			} else {
				name = parent + "//" + strings.TrimPrefix(name, parent+"//")
			}
			list = append(list, named{namespace, name})
			add(name, namespace, profile.Children)
		}
	}
	add("", "", policy.Profiles)
	slices.SortStableFunc(list, func(a, b named) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, one := range list {
		names = append(names, qualified(one.namespace, one.name))
	}
	return names
}

// flatten prints a text with its includes in their places.
func (r *parserRun) flatten(out *bytes.Buffer, from syntax.Options, text string, depth int) {
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		if len(words) == 0 || words[0] != "include" || depth > 32 {
			out.WriteString(line)
			continue
		}
		name := words[len(words)-1]
		inner := strings.Trim(name, `<>"`)
		places := []string{inner}
		if !filepath.IsAbs(inner) {
			places = []string{filepath.Join(from.Base, inner)}
			for _, directory := range from.Include {
				places = append(places, filepath.Join(directory, inner))
			}
		}
		fmt.Fprintf(out, "\n##included %s\n", name)
		for _, place := range places {
			if r.flattenPlace(out, from, place, depth) {
				break
			}
		}
	}
}

// flattenPlace prints a file, or those of a directory.
func (r *parserRun) flattenPlace(out *bytes.Buffer, from syntax.Options, place string, depth int) bool {
	if entries, err := os.ReadDir(place); err == nil {
		for _, entry := range entries {
			if !leftover(entry.Name()) && !entry.IsDir() {
				r.flattenPlace(out, from, filepath.Join(place, entry.Name()), depth)
			}
		}
		return true
	}
	content, err := os.ReadFile(place)
	if err != nil {
		return false
	}
	r.flatten(out, from, string(content), depth+1)
	out.WriteString("\n")
	return true
}

// lookUp looks for the profile in the cache, by the time of the newest of its texts.
func (r *parserRun) lookUp(p *parsedFile) bool {
	o := r.options
	if o.skipCache || p.base() == "" || o.action == "remove" {
		return false
	}
	for _, path := range append([]string{p.path}, p.policy.Files...) {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(p.newest) {
			p.newest = info.ModTime()
		}
	}
	if p.complain || o.skipRead {
		return false
	}
	path, stream := r.cache.find(p.base(), p.newest)
	if stream == nil {
		if o.showCache {
			fmt.Fprintf(&p.errors, "Cache miss: %s\n", p.path)
		}
		return false
	}
	if _, err := binary.Decode(stream); err != nil {
		fmt.Fprintf(&p.errors, "Cache miss: %s: %v\n", path, err)
		return false
	}
	if o.showCache {
		fmt.Fprintf(&p.errors, "Cache hit: %s\n", path)
	}
	p.cached, p.stream = path, stream
	return true
}

// compile compiles the file, and says what it finds as far as it is asked for.
func (r *parserRun) compile(ctx context.Context, p *parsedFile) {
	options := apparmor.Options{Features: r.features, ABI: r.abi, Complain: p.complain, Namespace: r.options.namespace, Workers: max(1, r.options.jobs)}
	compiled, err := apparmor.CompilePolicy(ctx, p.policy, p.from, options)
	if err != nil {
		r.complainOf(p, err)
		return
	}
	if p.policy.ABI == nil && r.abi == nil {
		r.warning(p, "abi", source.Diagnostic{Position: source.Position{File: p.path, Line: 1},
			Message: fmt.Sprintf("apparmor_parser: File '%s' missing feature abi, falling back to the features of the kernel", p.base())})
	}
	for _, profile := range p.policy.Profiles {
		if strings.HasPrefix(profile.Name.Text, "/") {
			place := source.Position{File: profile.Position.File, Line: profile.Position.Line}
			if place.File == cmp.Or(p.path, "stdin") {
				place.Line = closingLine(p.text, profile.Position.Line)
			}
			r.warning(p, "deprecated", source.Diagnostic{Position: place, Message: "The use of file paths as profile names is deprecated. See man apparmor.d for more information"})
		}
	}
	for _, one := range compiled.Warnings {
		r.warning(p, warningClass(one), one)
	}
	for _, one := range compiled.Unenforced {
		class := "rule-not-enforced"
		if strings.Contains(one.Message, "downgrad") {
			class = "rule-downgraded"
		}
		r.warning(p, class, one)
	}
	r.dumpStates(p, compiled.Policy)
	p.compiled = compiled.Policy
	if p.stream, err = binary.Encode(compiled.Policy); err != nil {
		p.fail(1, "apparmor_parser: %v", err)
	}
}

// warningClass is the name by which --warn knows a warning.
func warningClass(warning source.Diagnostic) string {
	for _, class := range []struct{ word, name string }{{"deprecated", "deprecated"}, {"dangerous", "dangerous"}, {"unconfined", "dangerous"}, {"abi", "abi"}} {
		if strings.Contains(warning.Message, class.word) {
			return class.name
		}
	}
	return "unexpected"
}

func (r *parserRun) warning(p *parsedFile, class string, one source.Diagnostic) {
	if r.options.errors[class] {
		p.fail(1, "Warning converted to Error")
	} else if !r.options.warnings[class] || r.options.quiet {
		return
	}
	name := cmp.Or(p.path, "stdin")
	fmt.Fprintf(&p.errors, "Warning from %s (%s line %d): %s\n", name, r.spelled(cmp.Or(one.Position.File, name)), one.Position.Line,
		source.Diagnostic{Message: one.Message, Expected: one.Expected})
}

// closingLine is the line of the brace that ends the profile that begins in a line.
func closingLine(text string, begin int) int {
	number, depth := 0, 0
	for line := range strings.Lines(text) {
		if number++; number < begin {
			continue
		}
		code, _, _ := strings.Cut(line, "#")
		for i, b := range []byte(code) {
			switch {
			case b == '{' && (i == 0 || strings.IndexByte(" \t", code[i-1]) >= 0):
				depth++
			case b == '}' && (i == 0 || strings.IndexByte(" \t", code[i-1]) >= 0):
				if depth--; depth == 0 {
					return number
				}
			}
		}
	}
	return begin
}
