// SPDX-License-Identifier: Apache-2.0

package policydb

func (c *codec) rule(rule *Rule) {
	c.u16(&rule.Source)
	c.u16(&rule.Target)
	c.u16(&rule.Class)
	c.u16(&rule.Kind)
	if rule.Kind&ruleExtended == 0 {
		c.u32(&rule.Data)
		return
	}
	if rule.Extended == nil {
		rule.Extended = &Extended{}
	}
	c.u8(&rule.Extended.Kind)
	c.u8(&rule.Extended.Driver)
	for i := range rule.Extended.Bits {
		c.u32(&rule.Extended.Bits[i])
	}
}

func (c *codec) condition(condition *Condition) {
	c.u32(&condition.State)
	list(c, &condition.Expression, 8, func(term *ConditionTerm) { c.u32(&term.Kind, &term.Boolean) })
	list(c, &condition.True, 12, c.rule)
	list(c, &condition.False, 12, c.rule)
}

// roleTransition is for processes alone before the version that gave it a class.
func (c *codec) roleTransition(transition *RoleTransition) {
	c.u32(&transition.Role, &transition.Type, &transition.NewRole)
	if c.version >= versionRoleTransitionClass {
		c.u32(&transition.Class)
	}
}

func (c *codec) filenames(transitions *[]FilenameTransition) {
	if c.version >= versionCompressedFilenames {
		list(c, transitions, 16, c.filename)
		return
	}
	list(c, transitions, 20, c.plainFilename)
}

func (c *codec) filename(transition *FilenameTransition) {
	length := c.length(transition.Name)
	c.string(&transition.Name, length)
	c.u32(&transition.Target, &transition.Class)
	list(c, &transition.Results, 16, func(result *FilenameResult) {
		c.bitmap(&result.Sources)
		c.u32(&result.Type)
	})
}

// plainFilename is the form before version 33, of one source each.
func (c *codec) plainFilename(transition *FilenameTransition) {
	length := c.length(transition.Name)
	c.string(&transition.Name, length)
	var source uint32
	if !c.reading {
		for bit := range transition.Results[0].Sources.All() {
			source = bit + 1
		}
	} else {
		transition.Results = make([]FilenameResult, 1)
	}
	c.u32(&source, &transition.Target, &transition.Class, &transition.Results[0].Type)
	if c.reading {
		if source == 0 || source > 1<<16 {
			c.fail("a file name transition of type %d", source)
			return
		}
		transition.Results[0].Sources = c.room(int((source-1)/wordBits) + 1)
		transition.Results[0].Sources[(source-1)/wordBits] = 1 << ((source - 1) % wordBits)
	}
}

func (c *codec) rangeTransition(transition *RangeTransition) {
	c.u32(&transition.Source, &transition.Target, &transition.Class)
	c.rangeOf(&transition.Range)
}
