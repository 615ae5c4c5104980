// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func sortedKeys[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }

func (d *decompiler) roles() {
	roles := slices.SortedFunc(slices.Values(d.names.roles), func(a, b *Role) int { return strings.Compare(a.Name, b.Name) })
	for _, role := range roles {
		d.line("(role ", d.role(role.Value), ")")
	}
	for _, role := range roles {
		if role.Bounds != 0 {
			d.line("(rolebounds ", d.role(role.Bounds), " ", role.Name, ")")
		}
	}
	for _, role := range roles {
		for _, typ := range sortedNames(role.Types, d.typ) {
			d.line("(roletype ", role.Name, " ", typ, ")")
		}
	}
	d.eachType(func(t *Type) { d.line("(roletype object_r ", t.Name, ")") })
	d.sorted(func() {
		for _, change := range d.policy.RoleChanges {
			d.line("(roletransition ", d.role(change.Role), " ", d.typ(change.Type), " ", d.policy.changedClass(change), " ", d.role(change.NewRole), ")")
		}
	})
	d.sorted(func() {
		for _, allow := range d.policy.RoleAllows {
			d.line("(roleallow ", d.role(allow.Role), " ", d.role(allow.NewRole), ")")
		}
	})
}

// changedClass is the class of a role transition.
func (p *Policy) changedClass(change RoleTransition) string {
	if p.Version >= versionRoleTransitionClass {
		return p.names().classes[change.Class-1].Name
	}
	return "process"
}

func (d *decompiler) users() {
	users := slices.SortedFunc(slices.Values(d.names.users), func(a, b *User) int { return strings.Compare(a.Name, b.Name) })
	for _, user := range users {
		d.line("(user ", d.user(user.Value), ")")
	}
	for _, user := range users {
		if user.Bounds != 0 {
			d.line("(userbounds ", d.user(user.Bounds), " ", user.Name, ")")
		}
	}
	for _, user := range users {
		roles := sortedNames(user.Roles, d.role)
		if at, there := slices.BinarySearch(roles, "object_r"); len(roles) > 0 && !there {
			roles = slices.Insert(roles, at, "object_r")
		}
		for _, role := range roles {
			d.line("(userrole ", user.Name, " ", role, ")")
		}
	}
	for _, user := range users {
		if d.policy.MLS {
			d.line("(userlevel ", user.Name, " ", d.level(&user.Default), ")")
		} else {
			d.line("(userlevel ", user.Name, " ", systemLow, ")")
		}
	}
	for _, user := range users {
		d.line("(userrange ", user.Name, " ", d.levelRange(&user.Range), ")")
	}
}

var (
	behaviors = map[uint32]string{1: "xattr", 2: "trans", 3: "task"}
	protocols = map[uint32]string{6: "tcp", 17: "udp", 33: "dccp", 132: "sctp"} // IPPROTO_*
	fileTypes = map[string]string{"file": "file", "dir": "dir", "chr_file": "char", "blk_file": "block", "sock_file": "socket", "fifo_file": "pipe", "lnk_file": "symlink"}
)

// word is what CIL calls a number.
func (d *decompiler) word(what string, words map[uint32]string, number uint32) string {
	word, known := words[number]
	if !known {
		d.fail("%s %d", what, number)
	}
	return word
}

// objects writes the contexts, of each kind in the order that it is sorted into by libsepol: those that the kernel should ask first come first.
func (d *decompiler) objects() {
	o := &d.policy.Objects
	for _, sid := range sortedBy(o.Initial, func(a, b *InitialSID) int { return cmp.Compare(a.SID, b.SID) }) {
		d.line("(sidcontext ", InitialSIDName(sid.SID), " ", d.context(&sid.Context), ")")
	}
	for _, use := range sortedBy(o.FilesystemUses, func(a, b *FilesystemUse) int {
		return cmp.Or(cmp.Compare(a.Behavior, b.Behavior), strings.Compare(a.Name, b.Name))
	}) {
		d.line("(fsuse ", d.word("fs_use of kind", behaviors, use.Behavior), " ", d.symbol(use.Name), " ", d.context(&use.Context), ")")
	}
	d.sorted(d.genericFilesystems)
	for _, port := range sortedBy(o.Ports, func(a, b *Port) int {
		return cmp.Or(cmp.Compare(a.High-a.Low, b.High-b.Low), cmp.Compare(a.Low, b.Low), cmp.Compare(a.Protocol, b.Protocol))
	}) {
		d.line("(portcon ", d.word("portcon of protocol", protocols, port.Protocol), " ", span(port.Low, port.High), " ", d.context(&port.Context), ")")
	}
	for _, named := range sortedBy(o.Interfaces, func(a, b *NamedContexts) int { return strings.Compare(a.Name, b.Name) }) {
		d.line("(netifcon ", d.symbol(named.Name), " ", d.context(&named.First), " ", d.context(&named.Second), ")")
	}
	for _, node := range sortedBy(o.Nodes, func(a, b *Node) int {
		return cmp.Or(bytes.Compare(network(b.Mask), network(a.Mask)), bytes.Compare(network(a.Address), network(b.Address)))
	}) {
		d.line("(nodecon (", addressText(network(node.Address)), ") (", addressText(network(node.Mask)), ") ", d.context(&node.Context), ")")
	}
	for _, node := range sortedBy(o.Nodes6, func(a, b *Node6) int {
		return cmp.Or(bytes.Compare(network(b.Mask[:]...), network(a.Mask[:]...)), bytes.Compare(network(a.Address[:]...), network(b.Address[:]...)))
	}) {
		d.line("(nodecon (", addressText(network(node.Address[:]...)), ") (", addressText(network(node.Mask[:]...)), ") ", d.context(&node.Context), ")")
	}
	for _, key := range sortedBy(o.InfinibandKeys, func(a, b *InfinibandKey) int {
		return cmp.Or(cmp.Compare(a.Prefix, b.Prefix), cmp.Compare(a.High-a.Low, b.High-b.Low), cmp.Compare(a.Low, b.Low))
	}) {
		d.line("(ibpkeycon ", key.prefix(), " ", span(key.Low, key.High), " ", d.context(&key.Context), ")")
	}
	for _, port := range sortedBy(o.InfinibandPorts, func(a, b *InfinibandPort) int {
		return cmp.Or(strings.Compare(a.Device, b.Device), cmp.Compare(a.Port, b.Port))
	}) {
		d.line("(ibendportcon ", d.symbol(port.Device), " ", strconv.Itoa(int(port.Port)), " ", d.context(&port.Context), ")")
	}
}

func (d *decompiler) genericFilesystems() {
	for i := range d.policy.Filesystems {
		filesystem := &d.policy.Filesystems[i]
		for j := range filesystem.Paths {
			path := &filesystem.Paths[j]
			kind := ""
			if path.Class != 0 {
				class := d.names.classes[path.Class-1].Name
				if kind = fileTypes[class] + " "; kind == " " {
					d.fail("genfscon %s %s of class %s", filesystem.Name, path.Path, class)
				}
			}
			d.line("(genfscon ", d.symbol(filesystem.Name), " ", d.quoted(path.Path), " ", kind, d.context(&path.Context), ")")
		}
	}
}

func sortedBy[T any](list []T, compare func(a, b *T) int) []*T {
	sorted := make([]*T, len(list))
	for i := range list {
		sorted[i] = &list[i]
	}
	slices.SortStableFunc(sorted, compare)
	return sorted
}

// span is one number, or two in parentheses.
func span(low, high uint32) string {
	if low == high {
		return strconv.Itoa(int(low))
	}
	return "(" + strconv.Itoa(int(low)) + " " + strconv.Itoa(int(high)) + ")"
}

// network are the bytes of words that the policy has in the byte order of the network.
func network(words ...uint32) []byte {
	var raw []byte
	for _, word := range words {
		raw = binary.LittleEndian.AppendUint32(raw, word)
	}
	return raw
}

func (k *InfinibandKey) prefix() string {
	return addressText(append(binary.LittleEndian.AppendUint64(nil, k.Prefix), 0, 0, 0, 0, 0, 0, 0, 0))
}

// addressText writes an IPv4 or IPv6 address as inet_ntop does, which has IPv4 addresses within IPv6 in decimal also without ffff before them.
func addressText(raw []byte) string {
	address, _ := netip.AddrFromSlice(raw)
	if len(raw) == 16 && !slices.ContainsFunc(raw[:12], func(b byte) bool { return b != 0 }) && (raw[12] != 0 || raw[13] != 0) {
		embedded, _ := netip.AddrFromSlice(raw[12:])
		return "::" + embedded.String()
	}
	return address.String()
}
