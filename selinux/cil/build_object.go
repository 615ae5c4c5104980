// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// context is a context in the policy's values, with the checks of cil_verify.c.
func (b *builder) context(c *context) policydb.Context {
	b.checkContext(c)
	return policydb.Context{User: c.user.value, Role: c.role.value, Type: c.types.value, Range: b.rangeOf(c.at, &c.levels)}
}

func (b *builder) checkContext(c *context) {
	if !b.given(&c.user.named, "user") || !b.given(&c.role.named, "role") || !b.isThere(c.types) {
		return
	}
	if roles := b.userRoles[c.user.value]; roles == nil || !roles.has(c.role.value-1) {
		b.fail(c.at, "user %s does not go with role %s (userrole)", c.user.name, c.role.name)
	}
	if types := b.typesOfRole(c.role.value); !types.has(c.types.number) {
		b.fail(c.at, "role %s does not go with type %s (roletype)", c.role.name, c.types.name)
	}
	low, high := c.levels.low.sensitivity.value, c.levels.high.sensitivity.value
	if within := b.userRanges[c.user.value]; low < within[0] || high > within[1] {
		b.fail(c.at, "the range is not within that of user %s", c.user.name)
	}
}

// said is an object's context and where it is said.
type said[T any] struct {
	at     place
	object T
}

// objectList sorts the objects of a kind as libsepol does, and puts them among those of the policy compiled onto. Which comes first is the first to be found by the
// kernel. What is said twice is left out with a warning, unless it is said differently.
func objectList[T any](b *builder, kind string, list []T, added []said[T], compare func(x, y *T) int, same func(x, y *T) bool) []T {
	if len(added) == 0 {
		return list
	}
	slices.SortStableFunc(added, func(x, y said[T]) int { return compare(&x.object, &y.object) })
	var kept []T
	for i := range added {
		x := &added[i]
		if i > 0 && compare(&added[i-1].object, &x.object) == 0 {
			b.twice(x.at, kind, added[i-1].at.String(), same(&added[i-1].object, &x.object))
			continue
		}
		if there := slices.IndexFunc(list, func(y T) bool { return compare(&x.object, &y) == 0 }); there >= 0 {
			b.twice(x.at, kind, "in the policy that this is compiled onto", same(&list[there], &x.object))
			continue
		}
		kept = append(kept, x.object)
	}
	if len(list) == 0 {
		return kept
	}
	var merged []T
	for i := range list {
		for len(kept) > 0 && compare(&kept[0], &list[i]) < 0 {
			merged, kept = append(merged, kept[0]), kept[1:]
		}
		merged = append(merged, list[i])
	}
	return append(merged, kept...)
}

func (b *builder) twice(at place, kind, where string, same bool) {
	if same {
		b.warn(at, "this %s is said already, %s", kind, where)
	} else {
		b.fail(at, "this %s is said otherwise, %s", kind, where)
	}
}

func sameContext(x, y *policydb.Context) bool {
	return x.User == y.User && x.Role == y.Role && x.Type == y.Type && x.Range.Low.Equal(&y.Range.Low) && x.Range.High.Equal(&y.Range.High)
}

// objects writes the contexts of what the kernel names.
func (b *builder) objects() {
	b.initialSIDs()
	o := &b.policy.Objects
	b.ports(o)
	b.interfaces(o)
	b.nodes(o)
	b.filesystemUses(o)
	b.infiniband(o)
	b.genericFilesystems()
	for i := range b.model.namedContexts {
		b.checkContext(&b.model.namedContexts[i])
	}
}

// initialSIDs are numbered in their order, those without a context too.
func (b *builder) initialSIDs() {
	if b.base != nil {
		for _, s := range b.model.sids {
			if s.value == 0 {
				b.fail(s.declared, "initial SID %s is not one of the policy that this is compiled onto", s.name)
			}
		}
	}
	contexts := map[*sid]*sidContext{}
	for i := range b.model.sidContexts {
		said := &b.model.sidContexts[i]
		if earlier := contexts[said.sid]; earlier != nil || b.base != nil {
			b.fail(said.at, "initial SID %s has a context already", said.sid.name)
		}
		contexts[said.sid] = said
		if !slices.Contains(b.model.sids, said.sid) {
			b.given(&said.sid.named, "sid")
		}
	}
	for i, s := range b.model.sids {
		if said := contexts[s]; said != nil && b.base == nil {
			b.policy.Objects.Initial = append(b.policy.Objects.Initial, policydb.InitialSID{SID: uint32(i) + 1, Context: b.context(&said.context)})
		}
	}
}

// protocolRank is the order of protocols (cil_internal.h): UDP, TCP, DCCP, SCTP.
func protocolRank(protocol uint32) int { return slices.Index([]uint32{17, 6, 33, 132}, protocol) }

func (b *builder) ports(o *policydb.ObjectContexts) {
	var added []said[policydb.Port]
	for i := range b.model.ports {
		p := &b.model.ports[i]
		added = append(added, said[policydb.Port]{p.at, policydb.Port{Protocol: p.protocol, Low: p.low, High: p.high, Context: b.context(&p.context)}})
	}
	o.Ports = objectList(b, "port", o.Ports, added, func(x, y *policydb.Port) int {
		return cmp.Or(cmp.Compare(x.High-x.Low, y.High-y.Low), cmp.Compare(x.Low, y.Low), protocolRank(x.Protocol)-protocolRank(y.Protocol))
	}, func(x, y *policydb.Port) bool { return sameContext(&x.Context, &y.Context) })
}

func (b *builder) interfaces(o *policydb.ObjectContexts) {
	var added []said[policydb.NamedContexts]
	for i := range b.model.interfaces {
		n := &b.model.interfaces[i]
		added = append(added, said[policydb.NamedContexts]{n.at, policydb.NamedContexts{Name: n.name, First: b.context(&n.interfaces), Second: b.context(&n.packet)}})
	}
	o.Interfaces = objectList(b, "network interface", o.Interfaces, added, func(x, y *policydb.NamedContexts) int { return cmp.Compare(x.Name, y.Name) },
		func(x, y *policydb.NamedContexts) bool {
			return sameContext(&x.First, &y.First) && sameContext(&x.Second, &y.Second)
		})
}

// nodes come with the narrowest network first.
func (b *builder) nodes(o *policydb.ObjectContexts) {
	var added []said[policydb.Node]
	var added6 []said[policydb.Node6]
	for i := range b.model.nodes {
		n := &b.model.nodes[i]
		context := b.context(&n.context)
		if len(n.address) == 4 {
			added = append(added, said[policydb.Node]{n.at, policydb.Node{Address: networkWord(n.address), Mask: networkWord(n.mask), Context: context}})
		} else {
			added6 = append(added6, said[policydb.Node6]{n.at, policydb.Node6{Address: networkWords(n.address), Mask: networkWords(n.mask), Context: context}})
		}
	}
	o.Nodes = objectList(b, "network", o.Nodes, added, func(x, y *policydb.Node) int {
		return cmp.Or(bytes.Compare(asBytes(y.Mask), asBytes(x.Mask)), bytes.Compare(asBytes(x.Address), asBytes(y.Address)))
	}, func(x, y *policydb.Node) bool { return sameContext(&x.Context, &y.Context) })
	o.Nodes6 = objectList(b, "network", o.Nodes6, added6, func(x, y *policydb.Node6) int {
		return cmp.Or(bytes.Compare(asBytes(y.Mask[:]...), asBytes(x.Mask[:]...)), bytes.Compare(asBytes(x.Address[:]...), asBytes(y.Address[:]...)))
	}, func(x, y *policydb.Node6) bool { return sameContext(&x.Context, &y.Context) })
}

// networkWord is four bytes of an address as policies have them: in the order of the network, read as if it were little endian.
func networkWord(address []byte) uint32 { return binary.LittleEndian.Uint32(address) }

func networkWords(address []byte) (made [4]uint32) {
	for i := range made {
		made[i] = networkWord(address[4*i:])
	}
	return made
}

func asBytes(words ...uint32) []byte {
	var made []byte
	for _, word := range words {
		made = binary.LittleEndian.AppendUint32(made, word)
	}
	return made
}

func (b *builder) filesystemUses(o *policydb.ObjectContexts) {
	var added []said[policydb.FilesystemUse]
	for i := range b.model.uses {
		u := &b.model.uses[i]
		added = append(added, said[policydb.FilesystemUse]{u.at, policydb.FilesystemUse{Behavior: u.behavior, Name: u.filesystem, Context: b.context(&u.context)}})
	}
	o.FilesystemUses = objectList(b, "fsuse", o.FilesystemUses, added, func(x, y *policydb.FilesystemUse) int {
		return cmp.Or(cmp.Compare(x.Behavior, y.Behavior), cmp.Compare(x.Name, y.Name))
	}, func(x, y *policydb.FilesystemUse) bool { return sameContext(&x.Context, &y.Context) })
}

func (b *builder) infiniband(o *policydb.ObjectContexts) {
	const since = 31 // POLICYDB_VERSION_INFINIBAND
	if count := len(b.model.infinibandKeys) + len(b.model.infinibandPorts); count > 0 && b.policy.Version < since {
		b.warn(place{}, "policy version %d has no contexts of InfiniBand, %d are left out", b.policy.Version, count)
		return
	}
	var keys []said[policydb.InfinibandKey]
	for i := range b.model.infinibandKeys {
		k := &b.model.infinibandKeys[i]
		keys = append(keys, said[policydb.InfinibandKey]{k.at, policydb.InfinibandKey{Prefix: reversed(k.prefix), Low: k.low, High: k.high, Context: b.context(&k.context)}})
	}
	o.InfinibandKeys = objectList(b, "InfiniBand partition key", o.InfinibandKeys, keys, func(x, y *policydb.InfinibandKey) int {
		return cmp.Or(cmp.Compare(reversed(x.Prefix), reversed(y.Prefix)), cmp.Compare(x.High-x.Low, y.High-y.Low), cmp.Compare(x.Low, y.Low))
	}, func(x, y *policydb.InfinibandKey) bool { return sameContext(&x.Context, &y.Context) })
	var ports []said[policydb.InfinibandPort]
	for i := range b.model.infinibandPorts {
		p := &b.model.infinibandPorts[i]
		ports = append(ports, said[policydb.InfinibandPort]{p.at, policydb.InfinibandPort{Device: p.device, Port: p.port, Context: b.context(&p.context)}})
	}
	o.InfinibandPorts = objectList(b, "InfiniBand port", o.InfinibandPorts, ports, func(x, y *policydb.InfinibandPort) int {
		return cmp.Or(cmp.Compare(x.Device, y.Device), cmp.Compare(x.Port, y.Port))
	}, func(x, y *policydb.InfinibandPort) bool { return sameContext(&x.Context, &y.Context) })
}

// reversed has the bytes in the other order: the file has those of the address as they come, and is read with the lowest first.
func reversed(prefix uint64) uint64 {
	return binary.BigEndian.Uint64(binary.LittleEndian.AppendUint64(nil, prefix))
}

// classesOfFiles are the classes of the kinds of files, for genfscon.
var classesOfFiles = map[fileKind]string{
	fileRegular: "file", fileDirectory: "dir", fileCharacter: "chr_file", fileBlock: "blk_file", fileSocket: "sock_file", filePipe: "fifo_file", fileSymlink: "lnk_file",
}

// genericPath is a genfscon with its file system.
type genericPath struct {
	filesystem string
	policydb.GenericPath
}

// genericFilesystems come in the order of the alphabet, as do the paths of each.
func (b *builder) genericFilesystems() {
	var added []said[genericPath]
	for i := range b.model.filesystems {
		g := &b.model.filesystems[i]
		path := policydb.GenericPath{Path: g.path, Context: b.context(&g.context)}
		if g.kind != fileAny {
			at := slices.IndexFunc(b.policy.Classes.Entries, func(c policydb.Class) bool { return c.Name == classesOfFiles[g.kind] })
			if at < 0 {
				b.fail(g.at, "the policy has no class %s", classesOfFiles[g.kind])
				continue
			}
			path.Class = b.policy.Classes.Entries[at].Value
		}
		added = append(added, said[genericPath]{g.at, genericPath{g.filesystem, path}})
	}
	if len(added) == 0 {
		return
	}
	var list []genericPath
	for _, filesystem := range b.policy.Filesystems {
		for _, path := range filesystem.Paths {
			list = append(list, genericPath{filesystem.Name, path})
		}
	}
	list = objectList(b, "genfscon", list, added, func(x, y *genericPath) int {
		return cmp.Or(cmp.Compare(x.filesystem, y.filesystem), cmp.Compare(x.Path, y.Path))
	}, func(x, y *genericPath) bool { return x.Class == y.Class && sameContext(&x.Context, &y.Context) })
	b.policy.Filesystems = nil
	index := map[string]int{}
	for i := range list {
		name := list[i].filesystem
		at, known := index[name]
		if !known {
			at = len(b.policy.Filesystems)
			index[name] = at
			b.policy.Filesystems = append(b.policy.Filesystems, policydb.GenericFilesystem{Name: name})
		}
		b.policy.Filesystems[at].Paths = append(b.policy.Filesystems[at].Paths, list[i].GenericPath)
	}
}
