// SPDX-License-Identifier: Apache-2.0

package policydb

// symbols is a symbol table: the highest value, then the entries.
func symbols[T any](c *codec, table *Symbols[T], size int, each func(*T)) {
	c.u32(&table.Primary)
	list(c, &table.Entries, size, each)
}

func (c *codec) permission(p *Permission) {
	length := c.length(p.Name)
	c.u32(&p.Value)
	c.string(&p.Name, length)
}

func (c *codec) common(common *Common) {
	length := c.length(common.Name)
	count := uint32(len(common.Permissions.Entries))
	c.u32(&common.Value, &common.Permissions.Primary, &count)
	c.string(&common.Name, length)
	elements(c, &common.Permissions.Entries, count, 8, c.permission)
}

func (c *codec) class(class *Class) {
	length, lengthCommon := c.length(class.Name), c.length(class.Common)
	count, constraints := uint32(len(class.Permissions.Entries)), uint32(len(class.Constraints))
	c.u32(&class.Value, &class.Permissions.Primary, &count, &constraints)
	c.string(&class.Name, length)
	c.string(&class.Common, lengthCommon)
	elements(c, &class.Permissions.Entries, count, 8, c.permission)
	elements(c, &class.Constraints, constraints, 8, c.constraint)
	list(c, &class.Transitions, 8, c.constraint)
	if c.version >= versionObjectDefaults {
		c.u32(&class.DefaultUser, &class.DefaultRole, &class.DefaultRange)
	}
	if c.version >= versionTypeDefault {
		c.u32(&class.DefaultType)
	}
}

func (c *codec) constraint(constraint *Constraint) {
	c.u32(&constraint.Permissions)
	list(c, &constraint.Expression, 12, c.term)
}

func (c *codec) term(term *Term) {
	c.u32(&term.Kind, &term.Attribute, &term.Operator)
	if term.Kind != TermNames {
		return
	}
	c.bitmap(&term.Names)
	if c.version >= versionConstraintNames {
		c.bitmap(&term.Types.Types)
		c.bitmap(&term.Types.Negated)
		c.u32(&term.Types.Flags)
	}
}

func (c *codec) role(role *Role) {
	length := c.length(role.Name)
	c.u32(&role.Value, &role.Bounds)
	c.string(&role.Name, length)
	c.bitmap(&role.Dominates)
	c.bitmap(&role.Types)
}

func (c *codec) typ(t *Type) {
	length := c.length(t.Name)
	c.u32(&t.Value, &t.Properties, &t.Bounds)
	c.string(&t.Name, length)
}

func (c *codec) user(user *User) {
	length := c.length(user.Name)
	c.u32(&user.Value, &user.Bounds)
	c.string(&user.Name, length)
	c.bitmap(&user.Roles)
	c.rangeOf(&user.Range)
	c.level(&user.Default)
}

func (c *codec) boolean(boolean *Boolean) {
	c.u32(&boolean.Value, &boolean.State)
	length := c.length(boolean.Name)
	c.string(&boolean.Name, length)
}

func (c *codec) sensitivity(sensitivity *Sensitivity) {
	length := c.length(sensitivity.Name)
	c.u32(&sensitivity.Alias)
	c.string(&sensitivity.Name, length)
	c.level(&sensitivity.Level)
}

func (c *codec) category(category *Category) {
	length := c.length(category.Name)
	c.u32(&category.Value, &category.Alias)
	c.string(&category.Name, length)
}

func (c *codec) level(level *Level) {
	c.u32(&level.Sensitivity)
	c.bitmap(&level.Categories)
}

// rangeOf is one level for both or two: the sensitivities come first, then the categories.
func (c *codec) rangeOf(r *Range) {
	count := uint32(2)
	if r.Single {
		count = 1
	}
	c.u32(&count)
	if c.reading && count != 1 && count != 2 {
		c.fail("a range of %d levels, expected 1 or 2", count)
		return
	}
	if r.Single = count == 1; r.Single {
		c.level(&r.Low)
		r.High = r.Low
		return
	}
	c.u32(&r.Low.Sensitivity, &r.High.Sensitivity)
	c.bitmap(&r.Low.Categories)
	c.bitmap(&r.High.Categories)
}

func (c *codec) context(context *Context) {
	c.u32(&context.User, &context.Role, &context.Type)
	c.rangeOf(&context.Range)
}
