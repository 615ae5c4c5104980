// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/source"
)

// Limits of what variables can become.
const (
	maximumValues = 1 << 16  // of a variable, or strings of a word
	maximumWord   = 4 << 20  // bytes of all of them
	maximumChain  = 1000     // variables within variables
	maximumWork   = 64 << 20 // bytes that one Expander puts together
)

// Variables that the profile sets itself.
const (
	profileNameVariable = "profile_name"
	attachPathVariable  = "attach_path"
	execPathVariable    = "exec_path"
)

// variable finds a variable by where it is used: in the profile, in those around it, in the file.
func (p *Policy) variable(profile *Profile, name string) *Variable {
	for ; profile != nil; profile = profile.Parent {
		if found := profile.Variables[name]; found != nil {
			return found
		}
	}
	return p.Variables[name]
}

// Expander replaces the variables in the words of one profile. It remembers what they stand for, so one is made for a profile and kept while
// the policy does not change. It is not for several goroutines at once.
//
// The values of a variable are the cross product of what its definition mentions, put together as they are. In a word a variable of one value
// is that value. One of several becomes an alternation {a,b}, and there the slashes of values at a seam that has one are left out: @{HOME}/x
// with /home/*/ and /root/ is {/home/*,/root}/x. That is what apparmor_parser does, and it is more than a matter of taste: * before a comma
// may match nothing where * before a slash must match something.
type Expander struct {
	policy  *Policy
	profile *Profile
	known   map[string][]string
	open    []string // variables that are being expanded
	name    string
	budget  *int // bytes that may still be put together
}

// Expander returns what expands the words of a profile; of the policy outside of profiles for nil.
func (p *Policy) Expander(profile *Profile) *Expander {
	budget := maximumWork
	return &Expander{policy: p, profile: profile, known: map[string][]string{}, budget: &budget}
}

// Pattern returns the word as one pattern without variables. Slashes that stand twice within it are still there: where the word is a path,
// CollapseSlashes takes them out, and what reads path globs does.
func (e *Expander) Pattern(word Word) (string, error) {
	if !strings.Contains(word.Text, "@{") {
		return word.Text, nil
	}
	var b strings.Builder
	for at := 0; ; {
		start, end, name := nextVariable(word.Text, at)
		if name == "" {
			b.WriteString(word.Text[at:])
			return b.String(), e.spend(b.Len(), word)
		}
		values, err := e.values(name, word.Position)
		if err != nil {
			return "", err
		}
		b.WriteString(word.Text[at:start])
		if len(values) == 1 {
			b.WriteString(values[0])
		} else {
			alternatives(&b, values, strings.HasSuffix(b.String(), "/"), strings.HasPrefix(word.Text[end:], "/"))
		}
		if b.Len() > maximumWord {
			return "", fault(word.Position, "%q stands for more than %d bytes", word.Text, maximumWord)
		}
		at = end
	}
}

// alternatives writes {a,b}, without the leading or trailing slashes of the values where there is one already.
func alternatives(b *strings.Builder, values []string, leading, trailing bool) {
	for i, value := range values {
		b.WriteByte("{,"[min(i, 1)])
		if leading {
			value = strings.TrimLeft(value, "/")
		}
		if trailing {
			value = strings.TrimRight(value, "/")
		}
		b.WriteString(value)
	}
	b.WriteByte('}')
}

// spend counts bytes that were put together.
func (e *Expander) spend(bytes int, word Word) error {
	if *e.budget -= bytes; *e.budget < 0 {
		return fault(word.Position, "the variables stand for too much text, here in %q", word.Text)
	}
	return nil
}

// Strings returns each string that the word stands for, a cross product, without alternations other than those that are written.
func (e *Expander) Strings(word Word) ([]string, error) {
	return e.product(word)
}

// Name returns the profile's name as the kernel and rules have it, with those of its parents before it and "//" between them. It is the
// pattern where variables give several.
func (e *Expander) Name() (string, error) {
	if e.profile == nil || e.name != "" {
		return e.name, nil
	}
	name, err := e.Pattern(e.profile.Name)
	if err != nil {
		return "", err
	}
	if e.profile.Parent != nil {
		above := e.policy.Expander(e.profile.Parent)
		above.budget = e.budget
		parent, err := above.Name()
		if err != nil {
			return "", err
		}
		name = parent + "//" + name
	}
	e.name = name
	return name, nil
}

// values returns what a variable stands for.
func (e *Expander) values(name string, place source.Position) ([]string, error) {
	if values, ok := e.known[name]; ok {
		return values, nil
	}
	if len(e.open) > maximumChain {
		return nil, fault(place, "more than %d variables are defined by one another", maximumChain)
	}
	if slices.Contains(e.open, name) {
		return nil, fault(place, "@{%s} is defined by itself", name)
	}
	e.open = append(e.open, name)
	defer func() { e.open = e.open[:len(e.open)-1] }()
	definition := e.policy.variable(e.profile, name)
	if definition == nil {
		values, err := e.own(name, place)
		if err == nil {
			e.known[name] = values
		}
		return values, err
	}
	var all []string
	size := 0
	for _, word := range definition.Values {
		values, err := e.product(word)
		if err != nil {
			return nil, err
		}
		all = append(all, values...)
		for _, value := range values {
			size += len(value)
		}
		if len(all) > maximumValues || size > maximumWord {
			return nil, fault(definition.Position, "@{%s} has more than %d values or %d bytes", name, maximumValues, maximumWord)
		}
	}
	e.known[name] = all
	return all, nil
}

// own returns the variables that a profile has by itself.
func (e *Expander) own(name string, place source.Position) ([]string, error) {
	if e.profile != nil {
		switch name {
		case profileNameVariable:
			own, err := e.Name()
			return []string{escapeGlobs(own)}, err
		case attachPathVariable, execPathVariable:
			if attachment := e.profile.attachment(); attachment != nil {
				return e.product(*attachment)
			}
		}
	}
	return nil, fault(place, "the variable @{%s} is not set", name)
}

// attachment is the word by which the profile attaches to programs, nil for none.
func (p *Profile) attachment() *Word {
	if p.Attachment != nil {
		return p.Attachment
	}
	if strings.HasPrefix(p.Name.Text, "/") {
		return &p.Name
	}
	return nil
}

// product returns the cross product of the values of the word's variables, put together as they are.
func (e *Expander) product(word Word) ([]string, error) {
	results, at := []string{""}, 0
	for {
		start, end, name := nextVariable(word.Text, at)
		if name == "" {
			break
		}
		values, err := e.values(name, word.Position)
		if err != nil {
			return nil, err
		}
		if len(results)*len(values) > maximumValues {
			return nil, fault(word.Position, "%q stands for more than %d strings", word.Text, maximumValues)
		}
		literal := word.Text[at:start]
		next := make([]string, 0, len(results)*len(values))
		size := 0
		for _, before := range results {
			for _, value := range values {
				if size += len(before) + len(literal) + len(value); size > maximumWord {
					return nil, fault(word.Position, "%q stands for more than %d bytes", word.Text, maximumWord)
				}
				next = append(next, before+literal+value)
			}
		}
		if err := e.spend(size, word); err != nil {
			return nil, err
		}
		results, at = next, end
	}
	for i := range results {
		results[i] += word.Text[at:]
	}
	return results, nil
}

// nextVariable finds @{name} in the text from an offset on; name is "" where there is none. A backslash before it makes it plain text.
func nextVariable(text string, from int) (start, end int, name string) {
	for i := from; i+1 < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '@' && text[i+1] == '{':
			end = i + 2
			for end < len(text) && isName(text[end]) {
				end++
			}
			if end < len(text) && text[end] == '}' && isLetter(text[i+2]) {
				return i, end + 1, text[i+2 : end]
			}
		}
	}
	return 0, 0, ""
}

// escapeGlobs writes a name so that a pattern matches it and nothing else.
func escapeGlobs(name string) string {
	if !strings.ContainsAny(name, globBytes) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if strings.IndexByte(globBytes, name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

const globBytes = `*?[]{}^\,"!`

// CollapseSlashes makes one slash of several in a path, but leaves exactly two at the beginning, which have a meaning of their own in POSIX.
func CollapseSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	result := make([]byte, 0, len(path))
	if strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///") {
		result = append(result, '/')
		path = path[1:]
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			result = append(result, path[i])
		}
	}
	return string(result)
}

func fault(place source.Position, format string, arguments ...any) error {
	return source.Diagnostic{Position: place, Message: fmt.Sprintf(format, arguments...)}
}
