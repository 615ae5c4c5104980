// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// FormatCIL writes the policy as one CIL module, the same bytes for every order of the same policy: by and large the text of libsepol's sepol_kernel_policydb_to_cil
// (`checkpolicy -b -C`). It differs in what that text loses: file names of transitions are quoted, names that a constraint has without having kept how they were
// written are written out (before version 29), as are bounds of users, commons that no class has, and types that are never audited. What CIL cannot say is an error;
// it has no word for the dominance of roles, which nothing but constraints asks about, nor for the contexts of fscon, which the kernel does not ask for.
func (p *Policy) FormatCIL(out io.Writer) error {
	d := &decompiler{policy: p, names: p.names(), permissions: map[uint64]string{}}
	for _, t := range d.names.types {
		d.typeNames = append(d.typeNames, d.symbol(t.Name))
	}
	d.declarations()
	d.types()
	d.rules()
	d.conditions()
	d.roles()
	d.users()
	d.text(d.plain)
	d.text(d.plainTransitions)
	d.objects()
	if d.err != nil {
		return d.err
	}
	_, err := out.Write(d.out)
	return err
}

// systemLow is the level that CIL asks for where the policy has none, as libsepol calls it.
const systemLow = "systemlow"

// decompiler collects the text. The constraints that compare levels come early, the others late.
type decompiler struct {
	policy                  *Policy
	names                   *names
	out                     []byte
	typeNames               []string          // by value less 1
	permissions             map[uint64]string // by class<<32 | vector
	plain, plainTransitions []string
	err                     error
}

func (d *decompiler) fail(format string, arguments ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("CIL cannot say "+format, arguments...)
	}
}

// line writes one line.
func (d *decompiler) line(parts ...string) {
	for _, part := range parts {
		d.out = append(d.out, part...)
	}
	d.out = append(d.out, '\n')
}

// text writes whole lines.
func (d *decompiler) text(lines []string) {
	for _, line := range lines {
		d.out = append(d.out, line...)
	}
}

// sorted sorts the lines that write makes, by bytes.
func (d *decompiler) sorted(write func()) {
	start := len(d.out)
	write()
	lines := bytes.SplitAfter(d.out[start:], []byte{'\n'})
	slices.SortFunc(lines, bytes.Compare)
	copy(d.out[start:], bytes.Join(lines, nil))
}

// symbol is a name that CIL can read back.
func (d *decompiler) symbol(name string) string {
	const special = "[].@=/*-_$%+!|&^:~`#{}'<>?,"
	for i := range len(name) {
		if c := name[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(special, c) >= 0) {
			d.fail("the name %q", name)
		}
	}
	if name == "" {
		d.fail("an empty name")
	}
	return name
}

// quoted is a string that CIL can read back.
func (d *decompiler) quoted(text string) string {
	if strings.ContainsAny(text, "\"\n\x00") {
		d.fail("the string %q", text)
	}
	return `"` + text + `"`
}

func (d *decompiler) typ(value uint32) string  { return d.typeNames[value-1] }
func (d *decompiler) role(value uint32) string { return d.symbol(d.names.roles[value-1].Name) }
func (d *decompiler) user(value uint32) string { return d.symbol(d.names.users[value-1].Name) }

// sortedNames is the names of a set in the order of the alphabet.
func sortedNames(set Bitmap, name func(value uint32) string) []string {
	var words []string
	for bit := range set.All() {
		words = append(words, name(bit+1))
	}
	slices.Sort(words)
	return words
}

func (d *decompiler) declarations() {
	p := d.policy
	d.line("(handleunknown ", p.Unknown.String(), ")")
	d.classes()
	d.initialSIDs()
	d.defaults()
	d.levels()
	var levels, levelTransitions []string
	for _, class := range d.names.classes {
		for i := range class.Constraints {
			constraint := &class.Constraints[i]
			if constraint.Permissions == 0 {
				continue
			}
			text := " (" + class.Name + " (" + d.access(uint16(class.Value), constraint.Permissions) + ")) " + d.expression(constraint.Expression) + ")\n"
			if constraint.comparesLevels() {
				levels = append(levels, "(mlsconstrain"+text)
			} else {
				d.plain = append(d.plain, "(constrain"+text)
			}
		}
		for i := range class.Transitions {
			text := " " + class.Name + " " + d.expression(class.Transitions[i].Expression) + ")\n"
			if class.Transitions[i].comparesLevels() {
				levelTransitions = append(levelTransitions, "(mlsvalidatetrans"+text)
			} else {
				d.plainTransitions = append(d.plainTransitions, "(validatetrans"+text)
			}
		}
	}
	for _, lines := range [][]string{levels, levelTransitions, d.plain, d.plainTransitions} {
		slices.Sort(lines)
	}
	d.text(levels)
	d.text(levelTransitions)
	d.sorted(func() {
		for number := range p.Capabilities.All() {
			name := CapabilityName(number)
			if name == "" {
				d.fail("policy capability %d, whose name is not known", number)
			}
			d.line("(policycap ", name, ")")
		}
	})
}

func (d *decompiler) classes() {
	var order, commons []string
	for _, class := range d.names.classes {
		d.line("(class ", d.symbol(class.Name), " (", d.permissionList(class.Permissions), "))")
		order = append(order, class.Name)
	}
	d.line("(classorder (", strings.Join(order, " "), "))")
	for _, class := range d.names.classes {
		if class.Common != "" {
			d.line("(classcommon ", class.Name, " ", class.Common, ")")
			commons = append(commons, class.Common)
		}
	}
	for _, common := range slices.SortedFunc(slices.Values(d.policy.Commons.Entries), func(a, b Common) int { return cmp.Compare(a.Value, b.Value) }) {
		commons = append(commons, common.Name)
	}
	written := map[string]bool{}
	for _, name := range commons {
		if !written[name] {
			d.line("(common ", d.symbol(name), " (", d.permissionList(d.names.commons[name].Permissions), "))")
		}
		written[name] = true
	}
}

// permissionList is the permissions of one table by their values.
func (d *decompiler) permissionList(table Symbols[Permission]) string {
	entries := slices.SortedFunc(slices.Values(table.Entries), func(a, b Permission) int { return cmp.Compare(a.Value, b.Value) })
	var words []string
	for _, permission := range entries {
		words = append(words, d.symbol(permission.Name))
	}
	return strings.Join(words, " ")
}

// access is the permissions of a vector in the order of their bits.
func (d *decompiler) access(class uint16, vector uint32) string {
	key := uint64(class)<<32 | uint64(vector)
	text, known := d.permissions[key]
	if !known {
		text = strings.Join(d.policy.PermissionNames(d.names.classes[class-1], vector), " ")
		d.permissions[key] = text
	}
	if text == "" {
		d.fail("a rule or constraint of class %s without a permission that is there", d.names.classes[class-1].Name)
	}
	return text
}

func (d *decompiler) initialSIDs() {
	initial := slices.SortedFunc(slices.Values(d.policy.Objects.Initial), func(a, b InitialSID) int { return cmp.Compare(a.SID, b.SID) })
	var order []string
	for _, sid := range initial {
		d.line("(sid ", InitialSIDName(sid.SID), ")")
		order = append(order, InitialSIDName(sid.SID))
	}
	d.line("(sidorder (", strings.Join(order, " "), "))")
}

// The words of default_* statements by their values.
var (
	defaultWords = map[uint32]string{defaultSource: "source", defaultTarget: "target"}
	rangeWords   = map[uint32]string{rangeSourceLow: "source low", rangeSourceHigh: "source high", rangeSource: "source low-high",
		rangeTargetLow: "target low", rangeTargetHigh: "target high", rangeTarget: "target low-high", rangeCommon: "glblub"}
)

func (d *decompiler) defaults() {
	for _, kind := range []struct {
		word  string
		of    func(*Class) uint32
		words map[uint32]string
	}{
		{"(defaultuser ", func(c *Class) uint32 { return c.DefaultUser }, defaultWords}, {"(defaultrole ", func(c *Class) uint32 { return c.DefaultRole }, defaultWords},
		{"(defaulttype ", func(c *Class) uint32 { return c.DefaultType }, defaultWords}, {"(defaultrange ", func(c *Class) uint32 { return c.DefaultRange }, rangeWords},
	} {
		for _, class := range d.names.classes {
			if value := kind.of(class); value != 0 && (d.policy.MLS || kind.word != "(defaultrange ") {
				d.line(kind.word, class.Name, " ", kind.words[value], ")")
			}
		}
	}
}

func (d *decompiler) levels() {
	p := d.policy
	if !p.MLS {
		d.line("(mls false)\n(sensitivity s0)\n(sensitivityorder (s0))\n(level ", systemLow, " (s0))")
		return
	}
	d.line("(mls true)")
	sensitivities, aliases := p.sensitivityNames()
	d.ordered("sensitivity", sensitivities, aliases)
	categories, aliases := p.categoryNames()
	d.ordered("category", categories, aliases)
	for value, name := range sensitivities {
		if set := p.sensitivity(uint32(value + 1)).Level.Categories; len(set) > 0 {
			d.line("(sensitivitycategory ", name, " ", d.categories(set), ")")
		}
	}
}

// sensitivityNames are the names in their order, and what each alias stands for.
func (p *Policy) sensitivityNames() (names []string, aliases map[string]string) {
	return inOrder(p.Levels, func(s *Sensitivity) (string, uint32, bool) { return s.Name, s.Level.Sensitivity, s.Alias != 0 })
}

// categoryNames are the names in their order, and what each alias stands for.
func (p *Policy) categoryNames() (names []string, aliases map[string]string) {
	return inOrder(p.Categories, func(c *Category) (string, uint32, bool) { return c.Name, c.Value, c.Alias != 0 })
}

func inOrder[T any](table Symbols[T], of func(*T) (name string, value uint32, alias bool)) (names []string, aliases map[string]string) {
	names, aliases = make([]string, table.Primary), map[string]string{}
	for i := range table.Entries {
		if name, value, alias := of(&table.Entries[i]); !alias {
			names[value-1] = name
		}
	}
	for i := range table.Entries {
		if name, value, alias := of(&table.Entries[i]); alias {
			aliases[name] = names[value-1]
		}
	}
	return names, aliases
}

// ordered declares sensitivities or categories, whose order is theirs, and their aliases.
func (d *decompiler) ordered(word string, names []string, aliases map[string]string) {
	for _, name := range names {
		d.line("(", word, " ", d.symbol(name), ")")
	}
	d.line("(", word, "order (", strings.Join(names, " "), "))")
	d.aliases(word, aliases)
}

func (d *decompiler) aliases(word string, aliases map[string]string) {
	d.sorted(func() {
		for alias := range aliases {
			d.line("(", word, "alias ", d.symbol(alias), ")")
		}
	})
	d.sorted(func() {
		for alias, actual := range aliases {
			d.line("(", word, "aliasactual ", alias, " ", actual, ")")
		}
	})
}

// categories is a set in parentheses, runs of three and more as ranges.
func (d *decompiler) categories(set Bitmap) string {
	var words []string
	for bit := uint32(0); bit < set.highBit(); bit++ {
		if !set.Has(bit) {
			continue
		}
		first := bit
		for set.Has(bit + 1) {
			bit++
		}
		switch low, high := d.symbol(d.policy.categoryName(first)), d.symbol(d.policy.categoryName(bit)); bit - first {
		case 0:
			words = append(words, low)
		case 1:
			words = append(words, low, high)
		default:
			words = append(words, "(range "+low+" "+high+")")
		}
	}
	return "(" + strings.Join(words, " ") + ")"
}

func (d *decompiler) level(level *Level) string {
	sensitivity := d.policy.sensitivity(level.Sensitivity)
	if sensitivity == nil {
		d.fail("a level of sensitivity %d, which is not there", level.Sensitivity)
		return ""
	}
	name := sensitivity.Name
	if len(level.Categories) == 0 {
		return "(" + name + ")"
	}
	return "(" + name + " " + d.categories(level.Categories) + ")"
}

func (d *decompiler) levelRange(r *Range) string {
	if !d.policy.MLS {
		return "(" + systemLow + " " + systemLow + ")"
	}
	return "(" + d.level(&r.Low) + " " + d.level(&r.High) + ")"
}

func (d *decompiler) context(c *Context) string {
	return "(" + d.user(c.User) + " " + d.role(c.Role) + " " + d.typ(c.Type) + " " + d.levelRange(&c.Range) + ")"
}
