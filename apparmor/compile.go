// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// Compile makes the binary policy of the profiles of one file, in their order, each before its children. Errors are source.Diagnostics where they are
// about the text. Without the target's features it is an error, never policy that leaves something out.
func Compile(ctx context.Context, policy *syntax.Policy, options Options) (*Compiled, error) {
	if options.Features.Empty() {
		return nil, errors.New("no features of a kernel to compile for")
	}
	units := makeUnits(policy, &options)
	profiles, err := compileUnits(ctx, units, options.Workers)
	if err != nil {
		return nil, err
	}
	compiled := &Compiled{
		Policy: &binary.Policy{Profiles: profiles}, Map: Map{Profiles: map[string]ProfileMap{}},
		Warnings: append(source.Diagnostics(nil), policy.Warnings...),
	}
	var faults source.Diagnostics
	defined := map[string]source.Position{}
	for _, u := range units {
		faults = append(faults, u.faults...)
		compiled.Warnings = append(compiled.Warnings, u.warnings...)
		compiled.Unenforced = append(compiled.Unenforced, u.unenforced...)
		full := u.fullName()
		if first, ok := defined[full]; ok {
			faults.Add(u.profile.Position, "profile %s is defined twice, at %s before", full, first)
		}
		defined[full] = u.profile.Position
		compiled.Map.Profiles[full] = mapRules(policy, u.profile)
	}
	if options.Strict {
		faults = append(faults, compiled.Unenforced...)
	}
	if err := faults.Sorted(); err != nil {
		return nil, err
	}
	stream, err := binary.Encode(compiled.Policy)
	if err != nil {
		return nil, err
	}
	compiled.Map.Digest = digest(stream)
	return compiled, nil
}

// shared is what the units of one run have in common. It is safe for use by several at once.
type shared struct {
	nul       dfa.Pattern
	anyTarget dfa.Pattern // of links: a NUL and a path, but not // which no path begins with
	mutex     sync.Mutex
	globs     map[globKey]globbed
}

type globKey struct {
	text string
	kind dfa.GlobKind
}

type globbed struct {
	pattern dfa.Pattern
	err     error
}

func newShared() *shared {
	anyByte := func(byte) bool { return true }
	return &shared{
		nul:       dfa.Literal("\x00"),
		anyTarget: dfa.Concat(dfa.Literal("\x00/"), dfa.OneOf(func(b byte) bool { return b != '/' }), dfa.Star(dfa.OneOf(anyByte))),
		globs:     map[globKey]globbed{},
	}
}

// glob reads a glob once for all profiles: abstractions bring the same ones again and again.
func (s *shared) glob(text string, kind dfa.GlobKind) (dfa.Pattern, error) {
	key := globKey{text, kind}
	s.mutex.Lock()
	known, ok := s.globs[key]
	s.mutex.Unlock()
	if ok {
		return known.pattern, known.err
	}
	known.pattern, known.err = dfa.Glob(text, kind)
	s.mutex.Lock()
	s.globs[key] = known
	s.mutex.Unlock()
	return known.pattern, known.err
}

// glob is the pattern of a text of a rule. What cannot be read is reported.
func (u *unit) glob(rule syntax.Rule, text string, kind dfa.GlobKind) (dfa.Pattern, bool) {
	pattern, err := u.shared.glob(text, kind)
	if err != nil {
		u.report(rule, "pattern %q: %v", text, err)
		return dfa.None(), false
	}
	return pattern, true
}

func makeUnits(policy *syntax.Policy, options *Options) []*unit {
	features := options.Features
	if options.ABI != nil {
		features = features.Intersect(*options.ABI)
	}
	common := newShared()
	var units []*unit
	var add func(profile *syntax.Profile, parent *unit)
	add = func(profile *syntax.Profile, parent *unit) {
		u := &unit{profile: profile, kernel: options.Features, features: features, classes: mediated(features), options: options, shared: common}
		expander := policy.Expander(profile)
		u.expand = func(word syntax.Word) []string {
			text, err := expander.Pattern(word)
			if err != nil {
				u.fault(word.Position, err)
				return nil
			}
			return []string{text}
		}
		u.expandNames = func(word syntax.Word) []string {
			texts, err := expander.Strings(word)
			if err != nil {
				u.fault(word.Position, err)
			}
			return texts
		}
		u.aliases = policy.Aliases
		u.report = func(rule syntax.Rule, format string, arguments ...any) {
			u.reportAt(rule.Head().Position, format, arguments...)
		}
		u.warn = func(rule syntax.Rule, format string, arguments ...any) {
			u.warnings.Add(rule.Head().Position, format, arguments...)
		}
		u.lack = func(rule syntax.Rule, format string, arguments ...any) {
			u.lackAt(rule.Head().Position, format, arguments...)
		}
		u.setName(expander, parent)
		units = append(units, u)
		for _, child := range profile.Children {
			add(child, u)
		}
	}
	for _, profile := range policy.Profiles {
		add(profile, nil)
	}
	return units
}

// setName makes the name that the kernel knows the profile by. Of a name that its variables make several of, all are its name, as alternatives.
func (u *unit) setName(expander *syntax.Expander, parent *unit) {
	name, err := expander.Name()
	if err != nil {
		u.fault(u.profile.Name.Position, err)
	}
	u.name, u.namespace = name, u.profile.Namespace
	if parent != nil {
		u.namespace = parent.namespace
	}
	if u.options.Namespace != "" {
		u.namespace = u.options.Namespace
	}
}

// expandPath is expand for paths that the policy's aliases are for: it returns what they map the path to, too.
func (u *unit) expandPath(word syntax.Word) []string {
	texts := u.expand(word)
	for _, text := range texts {
		for i := range u.aliases {
			if other, ok := applyAlias(&u.aliases[i], text); ok {
				texts = append(texts, other)
			}
		}
	}
	return texts
}

func applyAlias(alias *syntax.Alias, path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, alias.From)
	return alias.To + rest, ok
}

// fullName is the name with the namespace, as :namespace:name.
func (u *unit) fullName() string {
	if u.namespace == "" {
		return u.name
	}
	return ":" + u.namespace + ":" + u.name
}

func (u *unit) reportAt(place source.Position, format string, arguments ...any) {
	u.faults.Add(place, format, arguments...)
}

// fault reports an error that may be a diagnostic with a place of its own.
func (u *unit) fault(place source.Position, err error) {
	var diagnostic source.Diagnostic
	if !errors.As(err, &diagnostic) {
		diagnostic = source.Diagnostic{Position: place, Message: err.Error()}
	}
	u.faults = append(u.faults, diagnostic)
}

func (u *unit) lackAt(place source.Position, format string, arguments ...any) {
	u.unenforced.Add(place, format, arguments...)
}

// compileUnits compiles each unit, several at once. The profiles are in the units' order, and so is the error that is returned: the first unit's that has one.
func compileUnits(ctx context.Context, units []*unit, workers int) ([]*binary.Profile, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	profiles, failures := make([]*binary.Profile, len(units)), make([]error, len(units))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(workers, len(units)) {
		group.Go(func() {
			for i := range next {
				if failures[i] = ctx.Err(); failures[i] == nil {
					profiles[i], failures[i] = units[i].compile(ctx)
				}
			}
		})
	}
	for i := range units {
		next <- i
	}
	close(next)
	group.Wait()
	for i, err := range failures {
		if err != nil {
			return nil, fmt.Errorf("%s: profile %s: %w", units[i].profile.Position, units[i].fullName(), err)
		}
	}
	return profiles, nil
}

func (u *unit) compile(ctx context.Context) (*binary.Profile, error) {
	p, err := u.header(ctx)
	if err != nil {
		return nil, err
	}
	var files, policy []entry
	for _, rule := range u.profile.Rules {
		files = append(files, u.fileEntries(rule)...)
		policy = append(policy, u.policyEntries(rule)...)
		if len(files)+len(policy) > maximumEntries {
			u.report(rule, "profile %s has more than %d patterns", u.name, maximumEntries)
			return p, nil
		}
	}
	files = append(files, u.implicitFiles()...)
	policy = append(policy, u.mediates()...)
	p.Capabilities, p.Rlimits, p.NetworkAllowed = u.capabilities(), u.rlimits(), u.networkAllowed(u.profile.Rules)
	if len(u.faults) > 0 {
		return p, nil
	}
	if p.File, err = u.rules(ctx, files, true); err != nil {
		return nil, err
	}
	if p.File != nil {
		p.File.Targets = u.targets.names
	}
	p.PolicyDB, err = u.rules(ctx, policy, false)
	return p, err
}

// maximumEntries bounds what aliases and families of addresses can make of a text.
const maximumEntries = 1 << 19

// rules makes the automaton of entries; exec says that some are about how programs are executed. Without entries there is none.
func (u *unit) rules(ctx context.Context, entries []entry, exec bool) (*binary.Rules, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var known meanings
	patterns := make([]dfa.Rule, len(entries))
	for i := range entries {
		patterns[i] = dfa.Rule{Pattern: entries[i].pattern, Tag: known.number(entries[i].class())}
	}
	automaton, err := dfa.Compile(ctx, patterns, func(tags []int) (dfa.Accept, error) { return known.combine(tags, exec) }, u.options.Limits)
	var clash *conflict
	if errors.As(err, &clash) {
		u.reportConflict(ctx, entries, patterns, clash)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if exec {
		u.targets.renumber(automaton)
	}
	return tables(automaton)
}

// tables are encoded here, where other profiles are on the way at the same time.
func tables(automaton *dfa.Automaton) (*binary.Rules, error) {
	raw, err := automaton.Encode()
	if err != nil {
		return nil, err
	}
	return &binary.Rules{Automaton: automaton, Raw: raw}, nil
}

// ruleText is a rule as it is quoted, without the comma that ends it.
func ruleText(rule syntax.Rule) string { return strings.TrimSuffix(syntax.FormatRule(rule), ",") }

// maximumPairs is how many pairs of rules are looked at for the two that contradict each other, and pairStates how many states a pair may take: the
// message is not worth more.
const (
	maximumPairs = 1000
	pairStates   = 1 << 12
)

// reportConflict finds two rules of the clashing classes that match a string both.
func (u *unit) reportConflict(ctx context.Context, entries []entry, patterns []dfa.Rule, clash *conflict) {
	errBoth := errors.New("both")
	pairs := 0
	for i := range entries {
		for j := range entries {
			if patterns[i].Tag != clash.a || patterns[j].Tag != clash.b {
				continue
			}
			if pairs++; pairs > maximumPairs {
				u.reportAt(u.profile.Position, "two rules of profile %s have conflicting x modifiers", u.name)
				return
			}
			pair := []dfa.Rule{{Pattern: patterns[i].Pattern, Tag: 0}, {Pattern: patterns[j].Pattern, Tag: 1}}
			_, err := dfa.Compile(ctx, pair, func(tags []int) (dfa.Accept, error) {
				if len(tags) == 2 {
					return dfa.Accept{}, errBoth
				}
				return dfa.Accept{One: 1}, nil
			}, dfa.Limits{States: pairStates, Memory: 16 << 20})
			if errors.Is(err, errBoth) {
				first, second := entries[i].rule, entries[j].rule
				if second.Head().Position.Compare(first.Head().Position) < 0 {
					first, second = second, first
				}
				u.report(second, "conflicting x modifiers: %q and, at %s, %q match the same program", ruleText(second), first.Head().Position, ruleText(first))
				return
			}
		}
	}
	u.reportAt(u.profile.Position, "two rules of profile %s have conflicting x modifiers", u.name)
}
