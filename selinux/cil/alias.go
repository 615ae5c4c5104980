// SPDX-License-Identifier: Apache-2.0

package cil

// aliasKeywords are other names of types, sensitivities and categories, and what says of which.
var aliasKeywords = map[string]*keyword{
	"typealias":              {declare: declareAlias(kindType)},
	"sensitivityalias":       {declare: declareAlias(kindSensitivity)},
	"categoryalias":          {declare: declareAlias(kindCategory)},
	"typealiasactual":        {check: checkAliasActual},
	"sensitivityaliasactual": {check: checkAliasActual},
	"categoryaliasactual":    {check: checkAliasActual},
}

func declareAlias(kind symbolKind) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		if err := d.wordsOnly(s, 2); err != nil {
			return err
		}
		alias := &alias{}
		d.aliases = append(d.aliases, alias)
		return d.declare(s, kind, s.node.Child(1), alias)
	}
}

func checkAliasActual(d *declarer, s statement) error { return d.wordsOnly(s, 3) }

// aliasKind is the kind that an alias statement is about; actual tells the one that says what the alias stands for.
func aliasKind(keyword string) (kind symbolKind, actual, ok bool) {
	switch keyword {
	case "typealias", "typealiasactual":
		return kindType, keyword == "typealiasactual", true
	case "sensitivityalias", "sensitivityaliasactual":
		return kindSensitivity, keyword == "sensitivityaliasactual", true
	case "categoryalias", "categoryaliasactual":
		return kindCategory, keyword == "categoryaliasactual", true
	}
	return 0, false, false
}

// linkAlias takes an alias to what an actual statement says, which may be an alias.
func (r *resolver) linkAlias(in *scope, c *child) error {
	kind, actual, ok := aliasKind(c.node.Keyword())
	if !ok || !actual {
		return nil
	}
	s := statement{c.node, in}
	name, target := c.node.Child(1), c.node.Child(2)
	found, err := r.lookupAlias(in, kind, name)
	if err != nil {
		return err
	}
	link, ok := found.(*alias)
	if !ok {
		return r.fail(s, name, "%s is not an alias", name.Word())
	}
	of, err := r.lookup(in, kind, target)
	if err != nil {
		return err
	}
	switch of := of.(type) {
	case *sensitivity, *category, *alias:
	case *typ:
		if of.attribute {
			return r.fail(s, target, "%s is an attribute and cannot have an alias", target.Word())
		}
	default:
		return r.fail(s, target, "%s cannot have an alias", target.Word())
	}
	if link.of != nil {
		return r.fail(s, name, "%s is an alias of %s already", name.Word(), link.of.symbol().name)
	}
	link.of = of
	return nil
}

// followAlias takes an alias of an alias to what is behind it.
func (r *resolver) followAlias(in *scope, c *child) error {
	kind, actual, ok := aliasKind(c.node.Keyword())
	if !ok || actual {
		return nil
	}
	name := c.node.Child(1)
	link := in.home.names[keyOf(kind, name.ID())].(*alias)
	of := link.of
	for steps := 0; ; steps++ {
		next, ok := of.(*alias)
		switch {
		case of == nil:
			return r.fail(statement{c.node, in}, name, "alias %s stands for nothing: there is no %sactual for it", name.Word(), c.node.Keyword())
		case !ok:
			link.of = of
			return nil
		case steps > len(r.aliases):
			return r.fail(statement{c.node, in}, name, "alias %s stands for itself", name.Word())
		}
		of = next.of
	}
}
