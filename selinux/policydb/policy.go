// SPDX-License-Identifier: Apache-2.0

package policydb

import "fmt"

// The header's words.
const (
	magic       = 0xf97cff8c
	magicText   = "SE Linux"
	configMLS   = 1
	symbolKinds = 8
)

// Decode reads a policy and checks that everything in it refers to something that is there, as the kernel does when it loads one. Errors are *FormatError,
// or *ReferenceError for what the format allows and the kernel refuses.
func Decode(data []byte) (*Policy, error) {
	c := &codec{reading: true, data: data, text: string(data)}
	p := &Policy{}
	p.through(c)
	if c.err == nil && c.offset != len(data) {
		c.fail("%d bytes behind the end of the policy", len(data)-c.offset)
	}
	if c.err != nil {
		return nil, c.err
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Encode writes the policy. What its version has no room for is an error.
func (p *Policy) Encode() ([]byte, error) {
	if err := p.fits(); err != nil {
		return nil, err
	}
	c := &codec{out: make([]byte, 0, 1<<20)}
	p.through(c)
	return c.out, c.err
}

// through goes through the whole policy, in either direction.
func (p *Policy) through(c *codec) {
	p.header(c)
	p.symbolTables(c)
	list(c, &p.Rules, 12, c.rule)
	list(c, &p.Conditions, 16, c.condition)
	list(c, &p.RoleChanges, 12, c.roleTransition)
	list(c, &p.RoleAllows, 8, func(allow *RoleAllow) { c.u32(&allow.Role, &allow.NewRole) })
	if c.version >= versionFilenameTransitions {
		c.filenames(&p.Filenames)
	}
	p.Objects.through(c)
	list(c, &p.Filesystems, 8, c.genericFilesystem)
	list(c, &p.RangeRules, 20, c.rangeTransition)
	elements(c, &p.Attributes, p.Types.Primary, 12, c.bitmap)
}

func (p *Policy) header(c *codec) {
	c.constant(magic, "the magic number")
	c.constant(uint32(len(magicText)), "the length of the policy's string")
	text := magicText
	c.string(&text, uint32(len(magicText)))
	if text != magicText {
		c.fail("the policy's string is %q, expected %q", text, magicText)
	}
	c.u32(&p.Version)
	if p.Version < MinimumVersion || p.Version > MaximumVersion {
		c.fail("version %d, expected %d to %d", p.Version, MinimumVersion, MaximumVersion)
	}
	config := uint32(p.Unknown)
	if p.MLS {
		config |= configMLS
	}
	c.u32(&config)
	p.MLS, p.Unknown = config&configMLS != 0, UnknownPermissions(config&^configMLS)
	if p.Unknown != DenyUnknown && p.Unknown != RejectUnknown && p.Unknown != AllowUnknown {
		c.fail("configuration %#x", config)
	}
	c.version = p.Version
	c.constant(symbolKinds, "the number of symbol tables")
	c.constant(objectKinds(p.Version), "the number of kinds of object contexts")
	c.bitmap(&p.Capabilities)
	c.bitmap(&p.Permissive)
	if p.Version >= versionNeverAudit {
		c.bitmap(&p.NeverAudit)
	}
}

func (p *Policy) symbolTables(c *codec) {
	symbols(c, &p.Commons, 16, c.common)
	symbols(c, &p.Classes, 28, c.class)
	symbols(c, &p.Roles, 36, c.role)
	symbols(c, &p.Types, 16, c.typ)
	symbols(c, &p.Users, 24, c.user)
	symbols(c, &p.Booleans, 12, c.boolean)
	symbols(c, &p.Levels, 24, c.sensitivity)
	symbols(c, &p.Categories, 12, c.category)
}

// fits looks for what the version cannot say.
func (p *Policy) fits() error {
	lost := func(what string, since int) error {
		return fmt.Errorf("policy version %d cannot have %s: version %d can", p.Version, what, since)
	}
	switch {
	case p.Version < MinimumVersion || p.Version > MaximumVersion:
		return fmt.Errorf("policy version %d, expected %d to %d", p.Version, MinimumVersion, MaximumVersion)
	case p.Version < versionFilenameTransitions && len(p.Filenames) > 0:
		return lost("file name transitions", versionFilenameTransitions)
	case p.Version < versionInfiniband && len(p.Objects.InfinibandKeys)+len(p.Objects.InfinibandPorts) > 0:
		return lost("contexts of InfiniBand", versionInfiniband)
	case p.Version < versionNeverAudit && len(p.NeverAudit) > 0:
		return lost("types that are never audited", versionNeverAudit)
	case uint32(len(p.Attributes)) != p.Types.Primary:
		return fmt.Errorf("policy: %d sets of attributes for %d types", len(p.Attributes), p.Types.Primary)
	}
	if p.Version < versionCompressedFilenames {
		for _, transition := range p.Filenames {
			if len(transition.Results) != 1 || transition.Results[0].Sources.Len() != 1 {
				return lost("a file name transition of several sources", versionCompressedFilenames)
			}
		}
	}
	return nil
}
