// SPDX-License-Identifier: Apache-2.0

package policydb

// objectKinds is how many kinds of object contexts a version has.
func objectKinds(version uint32) uint32 {
	if version >= versionInfiniband {
		return 9
	}
	return 7
}

func (o *ObjectContexts) through(c *codec) {
	list(c, &o.Initial, 16, func(initial *InitialSID) {
		c.u32(&initial.SID)
		c.context(&initial.Context)
	})
	list(c, &o.Filesystems, 28, c.namedContexts)
	list(c, &o.Ports, 24, func(port *Port) {
		c.u32(&port.Protocol, &port.Low, &port.High)
		c.context(&port.Context)
	})
	list(c, &o.Interfaces, 28, c.namedContexts)
	list(c, &o.Nodes, 20, func(node *Node) {
		c.u32(&node.Address, &node.Mask)
		c.context(&node.Context)
	})
	list(c, &o.FilesystemUses, 20, func(use *FilesystemUse) {
		c.u32(&use.Behavior)
		length := c.length(use.Name)
		c.string(&use.Name, length)
		c.context(&use.Context)
	})
	list(c, &o.Nodes6, 44, func(node *Node6) {
		c.u32(&node.Address[0], &node.Address[1], &node.Address[2], &node.Address[3])
		c.u32(&node.Mask[0], &node.Mask[1], &node.Mask[2], &node.Mask[3])
		c.context(&node.Context)
	})
	if c.version < versionInfiniband {
		return
	}
	list(c, &o.InfinibandKeys, 28, func(key *InfinibandKey) {
		c.u64(&key.Prefix)
		c.u32(&key.Low, &key.High)
		c.context(&key.Context)
	})
	list(c, &o.InfinibandPorts, 20, func(port *InfinibandPort) {
		length := c.length(port.Device)
		c.u32(&port.Port)
		c.string(&port.Device, length)
		c.context(&port.Context)
	})
}

func (c *codec) namedContexts(named *NamedContexts) {
	length := c.length(named.Name)
	c.string(&named.Name, length)
	c.context(&named.First)
	c.context(&named.Second)
}

func (c *codec) genericFilesystem(filesystem *GenericFilesystem) {
	length := c.length(filesystem.Name)
	c.string(&filesystem.Name, length)
	list(c, &filesystem.Paths, 20, func(path *GenericPath) {
		length := c.length(path.Path)
		c.string(&path.Path, length)
		c.u32(&path.Class)
		c.context(&path.Context)
	})
}
