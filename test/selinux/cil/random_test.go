// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator writes random CIL on top of base.cil. Most of what it writes is right; in optionals names are missing now and then, and some words anywhere are not what
// they should be, so that refusals are compared too.
type generator struct {
	*rand.Rand
	out    strings.Builder
	later  bool // also what secilc 3.4 does not know
	serial int
	macros []generatedMacro
	blocks []string // paths, with all their types
	types  []string // by their paths from the root
	groups []string // attributes
	bools  []string
	perms  []string // classpermissions
	roles  []string
	users  []string
	loose  []string // types that optionals declare, which may not be there
	order  []string // classes beyond the base's
}

type generatedMacro struct {
	name  string
	kinds []string
}

// where is the place of a statement: what it sees and may be.
type where struct {
	path       string            // of the block, "a.b."
	local      []string          // types that can be named without a path
	parameters map[string]string // of a macro, by kind
	depth      int
	missing    bool // in an optional that may fail
	macro      bool
}

// generated returns a policy text for a seed.
func generated(seed uint64, later bool) string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 5)), later: later}
	g.types = []string{"one_t", "two_t", "three_t", "data_t", "etc_t", "tmp_t", "exec_t", "kernel_t"}
	g.groups = []string{"domain", "files"}
	g.roles = []string{"system_r", "user_r"}
	g.users = []string{"system_u", "user_u"}
	for range 2 + g.IntN(4) {
		g.group()
	}
	for range g.IntN(4) {
		name := g.name("b")
		g.bools = append(g.bools, name)
		g.line("(boolean %s %t)", name, g.IntN(2) == 0)
	}
	root := where{}
	for range 10 + g.IntN(30) {
		g.statement(root)
	}
	return g.out.String()
}

func (g *generator) line(format string, arguments ...any) {
	fmt.Fprintf(&g.out, format+"\n", arguments...)
}

func (g *generator) name(prefix string) string {
	g.serial++
	return fmt.Sprintf("%s%d", prefix, g.serial)
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

// typeName is a type or an attribute that can be seen from the place.
func (g *generator) typeName(w where) string {
	switch {
	case w.missing && g.chance(12):
		return "missing_t"
	case w.missing && len(g.loose) > 0 && g.chance(5):
		return pick(g, g.loose)
	case w.parameters["type"] != "" && g.chance(2):
		return w.parameters["type"]
	case len(w.local) > 0 && g.chance(2):
		return pick(g, w.local)
	case g.chance(3):
		return pick(g, g.groups)
	}
	return pick(g, g.types)
}

// single is a type, no attribute.
func (g *generator) single(w where) string {
	if len(w.local) > 0 && g.chance(3) {
		return pick(g, w.local)
	}
	return pick(g, g.types)
}

func (g *generator) group() {
	name := g.name("attr")
	if g.chance(4) {
		name = g.name("x_typeattr_")
	}
	g.line("(typeattribute %s)", name)
	for range g.IntN(3) {
		g.line("(typeattributeset %s %s)", name, g.typeSet(2)) // over the groups before it, or it would have itself
	}
	if g.chance(6) {
		g.line("(expandtypeattribute %s %t)", name, g.IntN(2) == 0)
	}
	g.groups = append(g.groups, name)
}

// typeSet is an expression over types.
func (g *generator) typeSet(depth int) string {
	one := func() string {
		if depth > 0 && g.chance(2) {
			return g.typeSet(depth - 1)
		}
		if g.chance(2) {
			return pick(g, g.groups)
		}
		return pick(g, g.types)
	}
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("(and %s %s)", one(), one())
	case 1:
		return fmt.Sprintf("(not %s)", one())
	case 2:
		return fmt.Sprintf("(xor %s %s)", one(), one())
	case 3:
		return fmt.Sprintf("(or %s %s)", one(), one())
	case 4:
		if g.chance(4) {
			return "(all)"
		}
	}
	list := pick(g, g.types)
	for range g.IntN(4) {
		list += " " + pick(g, g.types)
	}
	return "(" + list + ")"
}

var generatedClasses = map[string][]string{
	"file": {"read", "write", "append", "ioctl", "execute", "getattr"}, "dir": {"search", "read", "add_name", "ioctl"}, "lnk_file": {"read", "write"},
	"process": {"signal", "fork", "transition", "sigkill"}, "chr_file": {"ioctl", "read"},
}

func (g *generator) class() string {
	return pick(g, []string{"file", "file", "dir", "lnk_file", "process", "chr_file"})
}

// permissions are a class with an expression, or a named set.
func (g *generator) permissions(w where) string {
	if w.parameters["classpermission"] != "" && g.chance(2) {
		return w.parameters["classpermission"]
	}
	if len(g.perms) > 0 && g.chance(6) {
		return pick(g, g.perms)
	}
	class := g.class()
	one := func() string { return pick(g, generatedClasses[class]) }
	switch g.IntN(8) {
	case 0:
		return fmt.Sprintf("(%s (all))", class)
	case 1:
		return fmt.Sprintf("(%s (not (%s %s)))", class, one(), one())
	case 2:
		return fmt.Sprintf("(%s (and (%s %s) (%s)))", class, one(), one(), one())
	case 3:
		return fmt.Sprintf("(%s (xor (%s) (%s %s)))", class, one(), one(), one())
	}
	list := one()
	for range g.IntN(3) {
		list += " " + one()
	}
	return fmt.Sprintf("(%s (%s))", class, list)
}

// statement writes one statement of those that may stand at the place.
func (g *generator) statement(w where) {
	switch g.IntN(30) {
	case 0, 1, 2, 3, 4, 5:
		g.access(w)
	case 6, 7:
		g.typeRule(w)
	case 8:
		g.line("(typetransition %s %s %s %q %s)", g.typeName(w), g.typeName(w), g.class(), pick(g, []string{"a", "b", "long.name", "x y"}), g.result(w))
	case 9:
		g.extended(w)
	case 10:
		g.condition(w)
	case 11:
		g.constraint()
	case 12:
		g.roleStatement(w)
	case 13:
		g.level()
	case 14, 15:
		g.declareType(w)
	case 16, 17:
		g.block(w)
	case 18:
		g.macro(w)
	case 19, 20:
		g.call(w)
	case 21, 22:
		g.optional(w)
	case 23:
		if !w.macro {
			g.insertion(w)
		}
	case 24:
		g.classStatement(w)
	case 25:
		if w.depth == 0 { // copies of blocks and macros would have each context twice, which releases from 3.5 on refuse
			g.contextStatement()
		}
	case 26:
		g.line("(typeattributeset %s (%s %s))", pick(g, g.groups), g.single(w), g.single(w))
	case 27:
		if w.depth == 0 {
			g.group()
		}
	case 28:
		switch {
		case g.later && g.chance(2):
			g.line("(deny %s %s (file (%s)))", g.typeName(w), pick(g, []string{g.typeName(w), g.typeName(w), "self", "notself", "other"}),
				pick(g, []string{"read", "read write", "write append getattr"})) // no expressions: differs.cil
		case g.chance(3):
			g.line("(neverallow %s %s %s)", pick(g, g.types), pick(g, g.types), g.permissions(where{}))
		}
	case 29:
		g.line("(typepermissive %s)", g.single(w))
	}
}

func (g *generator) access(w where) {
	target := g.typeName(w)
	if g.chance(6) {
		target = "self"
		if g.later && g.chance(3) {
			target = pick(g, []string{"notself", "other"})
		}
	}
	g.line("(%s %s %s %s)", pick(g, []string{"allow", "allow", "allow", "auditallow", "dontaudit"}), g.typeName(w), target, g.permissions(w))
}

func (g *generator) typeRule(w where) {
	g.line("(%s %s %s %s %s)", pick(g, []string{"typetransition", "typechange", "typemember"}), g.single(w), g.single(w), g.class(), g.result(w))
}

// result is a type that rules result in: mostly one and the same, or nearly all policies would have conflicts.
func (g *generator) result(w where) string {
	if g.chance(20) {
		return g.single(w)
	}
	return "tmp_t"
}

func (g *generator) extended(w where) {
	number := func() int { return g.IntN(4)<<8 | g.IntN(4) }
	text := fmt.Sprintf("0x%x", number())
	for range g.IntN(3) {
		low := number()
		text += fmt.Sprintf(" (range 0x%x 0x%x)", low, low+g.IntN(700))
	}
	target := g.typeName(w)
	if g.chance(5) {
		target = "self"
	}
	g.line("(%s %s %s (ioctl %s (%s)))", pick(g, []string{"allowx", "allowx", "auditallowx", "dontauditx"}), g.typeName(w), target, pick(g, []string{"file", "dir", "chr_file"}), text)
}

func (g *generator) test(depth int) string {
	if depth == 0 || g.chance(3) {
		return pick(g, g.bools)
	}
	if g.chance(4) {
		return fmt.Sprintf("(not %s)", g.test(depth-1))
	}
	return fmt.Sprintf("(%s %s %s)", pick(g, []string{"and", "or", "xor", "eq", "neq"}), g.test(depth-1), g.test(depth-1))
}

// risingBooleans gives the booleans of an expression their places by name. The reference takes expressions for one that are alike with their booleans exchanged
// (differs.cil), which these then are not.
func risingBooleans(test string) string {
	var seen []string
	tokens := token.FindAllString(test, -1)
	for _, token := range tokens {
		if strings.HasPrefix(token, "b") && !slices.Contains(seen, token) {
			seen = append(seen, token)
		}
	}
	sorted := slices.Sorted(slices.Values(seen))
	for i, token := range tokens {
		if at := slices.Index(seen, token); at >= 0 {
			tokens[i] = sorted[at]
		}
	}
	return strings.Join(tokens, " ")
}

func (g *generator) condition(w where) {
	if len(g.bools) == 0 {
		return
	}
	g.line("(booleanif %s", risingBooleans(g.test(2)))
	for _, branch := range pick(g, [][]string{{"true"}, {"false"}, {"true", "false"}, {"false", "true"}}) {
		g.line("(%s", branch)
		for range 1 + g.IntN(3) {
			if g.chance(5) {
				g.typeRule(w)
			} else {
				g.access(w)
			}
		}
		g.line(")")
	}
	g.line(")")
}

func (g *generator) constraint() {
	user := func() string {
		return pick(g, []string{"(eq u1 u2)", "(neq u1 system_u)", "(eq u2 (system_u user_u))"})
	}
	role := func() string { return pick(g, []string{"(eq r1 r2)", "(dom r1 r2)", "(neq r2 (system_r user_r))"}) }
	types := func() string {
		return pick(g, []string{"(eq t1 t2)", fmt.Sprintf("(eq t1 %s)", pick(g, g.groups)), fmt.Sprintf("(neq t2 (%s %s))", pick(g, g.types), pick(g, g.groups))})
	}
	levels := func() string {
		return pick(g, []string{"(dom l1 l2)", "(eq h1 h2)", "(domby l1 h2)", "(incomp h1 l2)", "(neq l1 h1)"})
	}
	two := func(leaf func() string) string {
		return fmt.Sprintf("(%s %s %s)", pick(g, []string{"and", "or"}), leaf(), pick(g, []string{user(), role(), types(), "(not " + types() + ")"}))
	}
	switch g.IntN(4) {
	case 0:
		g.line("(constrain %s %s)", g.permissions(where{}), two(user))
	case 1:
		g.line("(mlsconstrain %s %s)", g.permissions(where{}), two(levels))
	case 2:
		g.line("(validatetrans %s %s)", g.class(), two(types))
	case 3:
		g.line("(mlsvalidatetrans %s %s)", g.class(), two(levels))
	}
}

func (g *generator) roleStatement(w where) {
	switch g.IntN(6) {
	case 0:
		name := g.name("r")
		g.line("(role %s)\n(userrole %s %s)", name, pick(g, g.users), name)
		if w.depth == 0 {
			g.roles = append(g.roles, name)
		}
	case 1:
		name := g.name("ra")
		g.line("(roleattribute %s)\n(roleattributeset %s (%s))\n(roletype %s %s)", name, name, pick(g, g.roles), name, g.typeName(w))
	case 2:
		g.line("(roleallow %s %s)", pick(g, g.roles), pick(g, g.roles))
	case 3:
		g.line("(roletransition %s %s process %s)", pick(g, g.roles), g.single(w), pick(g, g.roles))
	case 4:
		g.line("(roletype %s %s)", pick(g, g.roles), g.typeName(w))
	case 5:
		name := g.name("u")
		g.line("(user %s)\n(userrole %s %s)\n(userlevel %s low)\n(userrange %s all)", name, name, pick(g, g.roles), name, name)
	}
}

func (g *generator) level() {
	low := g.IntN(3)
	g.line("(rangetransition %s %s %s ((s0 (c%d)) (s1 (range c%d c%d))))", pick(g, g.types), pick(g, g.types), g.class(), low, low, low+1+g.IntN(3))
}

func (g *generator) declareType(w where) {
	name := g.name("t")
	if w.depth > 0 && g.chance(3) {
		name = pick(g, []string{"one_t", "data_t", "t"}) // hides the root's
		for _, local := range w.local {
			if local == name {
				return
			}
		}
	}
	g.line("(type %s)", name)
	if g.chance(2) {
		g.line("(roletype object_r %s)", name)
	}
	if g.chance(4) {
		alias := g.name("al")
		g.line("(typealias %s)\n(typealiasactual %s %s)", alias, alias, name)
	}
	switch {
	case w.depth == 0 && !w.missing:
		g.types = append(g.types, name)
	case w.path == "" && !w.macro && w.missing && name[0] == 't' && name != "t":
		g.loose = append(g.loose, name)
	}
}

func (g *generator) block(w where) {
	if w.depth > 2 || w.macro || w.missing {
		return
	}
	name := g.name("k")
	inner := where{path: w.path + name + ".", depth: w.depth + 1}
	g.line("(block %s", name)
	abstract := g.chance(4)
	if abstract {
		g.line("(blockabstract %s)", name)
	}
	if len(g.blocks) > 0 && g.chance(2) {
		g.line("(blockinherit %s)", pick(g, g.blocks))
	}
	for range 1 + g.IntN(2) {
		local := g.name("t")
		g.line("(type %s)", local)
		inner.local = append(inner.local, local)
		if !abstract {
			defer func() { g.types = append(g.types, inner.path+local) }()
		}
	}
	for range 1 + g.IntN(6) {
		g.statement(inner)
	}
	g.line(")")
	g.blocks = append(g.blocks, strings.TrimSuffix(inner.path, "."))
}

func (g *generator) macro(w where) {
	if w.macro || w.depth > 0 {
		return
	}
	name := g.name("m")
	made := generatedMacro{name: name}
	inner := where{depth: w.depth + 1, macro: true, parameters: map[string]string{}}
	g.line("(macro %s (", name)
	for _, kind := range []string{"type", "classpermission", "type"} {
		if g.chance(2) {
			parameter := g.name("p")
			inner.parameters[kind] = parameter
			made.kinds = append(made.kinds, kind)
			g.line("(%s %s)", kind, parameter)
		}
	}
	g.line(")")
	for range 1 + g.IntN(4) {
		g.statement(inner)
	}
	g.line("(allow one_t data_t (file (read))))")
	g.macros = append(g.macros, made)
}

func (g *generator) call(w where) {
	if len(g.macros) == 0 {
		return
	}
	macro := pick(g, g.macros)
	arguments := make([]string, len(macro.kinds))
	for i, kind := range macro.kinds {
		if arguments[i] = g.typeName(w); kind == "classpermission" {
			arguments[i] = g.permissions(w)
		}
	}
	if len(arguments) == 0 {
		g.line("(call %s)", macro.name)
		return
	}
	g.line("(call %s (%s))", macro.name, strings.Join(arguments, " "))
}

func (g *generator) optional(w where) {
	if w.depth > 3 {
		return
	}
	inner := w
	inner.depth++
	inner.missing = true
	g.line("(optional %s", g.name("o"))
	for range 1 + g.IntN(5) {
		g.statement(inner)
	}
	g.line(")")
}

func (g *generator) insertion(w where) {
	if len(g.blocks) == 0 || w.depth > 0 {
		return
	}
	g.line("(in %s", pick(g, g.blocks))
	inner := where{depth: 1}
	for range 1 + g.IntN(3) {
		g.access(inner)
	}
	if g.chance(3) {
		g.line("(type %s)", g.name("t"))
	}
	g.line(")")
}

func (g *generator) classStatement(w where) {
	if w.depth > 0 {
		return
	}
	switch g.IntN(4) {
	case 0:
		name := g.name("cp")
		g.line("(classpermission %s)\n(classpermissionset %s %s)", name, name, g.permissions(where{}))
		if g.chance(2) {
			g.line("(classpermissionset %s %s)", name, g.permissions(where{}))
		}
		g.perms = append(g.perms, name)
	case 1:
		name := g.name("map")
		g.line("(classmap %s (z a))\n(classmapping %s z %s)\n(classmapping %s a %s)", name, name, g.permissions(where{}), name, g.permissions(where{}))
		g.line("(allow %s %s (%s (%s)))", pick(g, g.types), pick(g, g.groups), name, pick(g, []string{"z", "a", "z a", "all", "not a"}))
		g.line("(constrain (%s (a)) (eq u1 u2))", name)
	case 2:
		name := g.name("c")
		g.line("(class %s (p1 p2))\n(classorder (%s %s))", name, pick(g, append([]string{"passwd"}, g.order...)), name)
		g.line("(allow %s %s (%s (p2)))", pick(g, g.types), pick(g, g.types), name)
		g.order = append(g.order, name)
	case 3:
		g.line("(defaultuser %s %s)", g.class(), pick(g, []string{"source", "target"}))
	}
}

func (g *generator) contextStatement() {
	context := fmt.Sprintf("(system_u object_r %s single)", pick(g, g.types[3:7]))
	switch g.IntN(6) {
	case 0:
		low := g.IntN(2000)
		g.line("(portcon %s (%d %d) %s)", pick(g, []string{"tcp", "udp"}), low, low+g.IntN(100), context)
	case 1:
		g.line("(genfscon %s %q %s)", pick(g, []string{"proc", "sysfs"}), "/"+g.name("p"), context)
	case 2:
		g.line("(filecon %q %s %s)", pick(g, []string{"/a/", "/b", "/usr(/.*)?", "/x\\.y", "/z[0-9]+"})+g.name("f"), pick(g, []string{"any", "file", "dir", "char"}), context)
	case 3:
		g.line("(nodecon (10.%d.0.0) (255.%d.0.0) %s)", g.IntN(256), pick(g, []int{0, 255, 254}), context)
	case 4:
		g.line("(fsuse %s %s %s)", pick(g, []string{"xattr", "trans", "task"}), g.name("fs"), context)
	case 5:
		g.line("(netifcon %s %s %s)", g.name("eth"), context, context)
	}
}
