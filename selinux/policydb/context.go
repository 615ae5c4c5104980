// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"fmt"
	"strings"
)

// ContextError is a context that the policy does not take.
type ContextError struct{ Context, Reason string }

func (e *ContextError) Error() string { return fmt.Sprintf("context %q: %s", e.Context, e.Reason) }

// ParseContext reads user:role:type[:range] by the policy's own names, aliases too, and checks that the policy takes it (security_context_to_sid).
// Errors are *ContextError.
func (p *Policy) ParseContext(text string) (*Context, error) {
	context, err := p.readContext(text)
	if err == nil {
		err = p.CheckContext(context)
	}
	if err != nil {
		return nil, &ContextError{text, err.Error()}
	}
	return context, nil
}

func (p *Policy) readContext(text string) (*Context, error) {
	fields, names := strings.SplitN(text, ":", 4), p.names()
	if len(fields) < 3 {
		return nil, fmt.Errorf("fewer than three fields (user:role:type)")
	}
	user, role, typ := names.userNames[fields[0]], names.roleNames[fields[1]], names.typeNames[fields[2]]
	switch {
	case user == nil:
		return nil, &UnknownError{"user", fields[0]}
	case role == nil:
		return nil, &UnknownError{"role", fields[1]}
	case typ == nil || typ.Properties&TypeAttribute != 0:
		return nil, &UnknownError{"type", fields[2]}
	}
	context := &Context{User: user.Value, Role: role.Value, Type: typ.Value}
	switch {
	case p.MLS && len(fields) == 3:
		return nil, fmt.Errorf("no range, which a policy with MLS or MCS asks for")
	case !p.MLS && len(fields) == 4:
		return nil, fmt.Errorf("a range, which a policy without MLS has not")
	case !p.MLS:
		return context, nil
	}
	var err error
	context.Range, err = p.ParseRange(fields[3])
	return context, err
}

// ParseRange reads LOW or LOW-HIGH, a level being SENSITIVITY[:CATEGORIES], by the policy's names.
func (p *Policy) ParseRange(text string) (Range, error) {
	low, high, two := strings.Cut(text, "-")
	var r Range
	var err error
	if r.Low, err = p.parseLevel(low); err != nil || !two {
		r.High, r.Single = r.Low, true
		return r, err
	}
	r.High, err = p.parseLevel(high)
	return r, err
}

func (p *Policy) parseLevel(text string) (Level, error) {
	name, categories, some := strings.Cut(text, ":")
	sensitivity := p.names().levels[name]
	if sensitivity == nil {
		return Level{}, &UnknownError{"sensitivity", name}
	}
	level := Level{Sensitivity: sensitivity.Level.Sensitivity}
	if !some {
		return level, nil
	}
	for item := range strings.SplitSeq(categories, ",") {
		first, last, run := strings.Cut(item, ".")
		low, high := p.names().categories[first], p.names().categories[first]
		if run {
			high = p.names().categories[last]
		}
		switch {
		case low == nil:
			return Level{}, &UnknownError{"category", first}
		case high == nil:
			return Level{}, &UnknownError{"category", last}
		case run && low.Value >= high.Value:
			return Level{}, fmt.Errorf("run %q does not rise", item)
		}
		for value := low.Value; value <= high.Value; value++ {
			level.Categories.set(value - 1)
		}
	}
	return level, nil
}

// CheckContext reports why the policy does not take a context: policydb_context_isvalid and mls_context_isvalid of the kernel.
func (p *Policy) CheckContext(c *Context) error {
	names := p.names()
	if c.User == 0 || c.User > uint32(len(names.users)) || c.Role == 0 || c.Role > uint32(len(names.roles)) || c.Type == 0 || c.Type > uint32(len(names.types)) {
		return fmt.Errorf("a user, role or type that is not there")
	}
	user, role, typ := names.users[c.User-1], names.roles[c.Role-1], names.types[c.Type-1]
	if user == nil || role == nil || typ == nil {
		return fmt.Errorf("a user, role or type that is not there")
	}
	if c.Role != roleObject {
		if !role.Types.Has(c.Type - 1) {
			return fmt.Errorf("role %s does not go with type %s", role.Name, typ.Name)
		}
		if !user.Roles.Has(c.Role - 1) {
			return fmt.Errorf("user %s does not go with role %s", user.Name, role.Name)
		}
	}
	if !p.MLS {
		return nil
	}
	if err := p.checkRange(&c.Range); err != nil {
		return err
	}
	if c.Role != roleObject && !user.Range.Contains(&c.Range) {
		return fmt.Errorf("the range is not within that of user %s, %s", user.Name, p.FormatRange(&user.Range))
	}
	return nil
}

func (p *Policy) checkRange(r *Range) error {
	for _, level := range []*Level{&r.Low, &r.High} {
		sensitivity := p.sensitivity(level.Sensitivity)
		if sensitivity == nil {
			return fmt.Errorf("sensitivity %d is not there", level.Sensitivity)
		}
		if !sensitivity.Level.Categories.Contains(level.Categories) {
			return fmt.Errorf("sensitivity %s does not go with all of the categories", sensitivity.Name)
		}
	}
	if !r.High.Dominates(&r.Low) {
		return fmt.Errorf("the high level does not dominate the low one")
	}
	return nil
}

// sensitivity finds a sensitivity by its value, nil where there is none.
func (p *Policy) sensitivity(value uint32) *Sensitivity {
	for i := range p.Levels.Entries {
		if entry := &p.Levels.Entries[i]; entry.Level.Sensitivity == value && entry.Alias == 0 {
			return entry
		}
	}
	return nil
}

// FormatContext writes a valid context as the kernel does.
func (p *Policy) FormatContext(c *Context) string {
	names := p.names()
	text := names.users[c.User-1].Name + ":" + names.roles[c.Role-1].Name + ":" + names.types[c.Type-1].Name
	if p.MLS {
		text += ":" + p.FormatRange(&c.Range)
	}
	return text
}

// FormatRange writes one level, or two where they differ.
func (p *Policy) FormatRange(r *Range) string {
	low := p.FormatLevel(&r.Low)
	if r.Low.Equal(&r.High) {
		return low
	}
	return low + "-" + p.FormatLevel(&r.High)
}

// FormatLevel writes a level; runs of categories are c1.c5, and those of two c1,c2.
func (p *Policy) FormatLevel(l *Level) string {
	text, separator := p.sensitivity(l.Sensitivity).Name, ":"
	for bit := uint32(0); bit < l.Categories.highBit(); bit++ {
		if !l.Categories.Has(bit) {
			continue
		}
		first := bit
		for l.Categories.Has(bit + 1) {
			bit++
		}
		text += separator + p.categoryName(first)
		separator = ","
		switch {
		case bit-first > 1:
			text += "." + p.categoryName(bit)
		case bit > first:
			text += "," + p.categoryName(bit)
		}
	}
	return text
}

func (p *Policy) categoryName(bit uint32) string {
	for i := range p.Categories.Entries {
		if entry := &p.Categories.Entries[i]; entry.Value == bit+1 && entry.Alias == 0 {
			return entry.Name
		}
	}
	return fmt.Sprintf("category %d", bit+1)
}
