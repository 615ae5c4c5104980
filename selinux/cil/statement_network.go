// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// protocols by their numbers (IPPROTO_*).
var protocols = map[string]uint32{"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132}

// address is an IPv4 or IPv6 address.
func address(node syntax.Node) error {
	_, err := parseAddress(node)
	return err
}

func parseAddress(node syntax.Node) ([]byte, error) {
	parsed, err := netip.ParseAddr(node.Word())
	if node.IsList() || err != nil || parsed.Zone() != "" {
		return nil, expected(node, "an IPv4 or IPv6 address")
	}
	return parsed.AsSlice(), nil
}

// written tells an address from a name of one.
func written(word string) bool {
	return strings.ContainsRune(word, ':') || strings.ContainsRune(word, '.') && word[0] >= '0' && word[0] <= '9'
}

// addressOperand is an address, alone or in brackets, or a name of one.
func addressOperand(name string) operand {
	inBrackets := listOf("(address)", false, address)
	return operand{name: name, shape: func(node syntax.Node) error {
		switch {
		case node.IsList():
			return inBrackets(node)
		case written(node.Word()):
			return address(node)
		}
		return nil
	}}
}

func (r *resolver) address(scope *scope, node syntax.Node) ([]byte, error) {
	switch {
	case node.IsList():
		return parseAddress(node.First())
	case written(node.Word()):
		return parseAddress(node)
	}
	found, err := find[*definition](r, scope, kindAddress, node)
	if err != nil {
		return nil, err
	}
	parsed, err := parseAddress(found.contents)
	if err != nil {
		err = shapeError(found.declared.scope, "argument: ", err)
	}
	return parsed, err
}

func resolveNode(r *resolver, s statement) (item, error) {
	node := &nodeContext{at: s.place()}
	var err error
	if node.address, err = r.address(s.scope, s.operand(1)); err != nil {
		return nil, err
	}
	if node.mask, err = r.address(s.scope, s.operand(2)); err != nil {
		return nil, err
	}
	if len(node.address) != len(node.mask) {
		return nil, r.fail(s, s.operand(2), "the address and its mask are not of one kind: IPv4 and IPv6")
	}
	node.context, err = r.context(s.scope, s.operand(3))
	return node, err
}

func (c *nodeContext) addTo(m *model) { m.nodes = append(m.nodes, *c) }

// numberRange is a range of numbers as statements have it: one number, or (low high). Its shape is that of numbers.
func numberRange(node syntax.Node, base, bits int) (low, high uint32, err error) {
	first, last := node, node
	if node.IsList() {
		first, last = node.First(), node.Child(1)
	}
	from, err := number(first, base, bits)
	if err != nil {
		return 0, 0, err
	}
	to, err := number(last, base, bits)
	return uint32(from), uint32(to), err
}

func resolvePort(r *resolver, s statement) (item, error) {
	low, high, err := numberRange(s.operand(2), 10, 16)
	if err != nil {
		return nil, err
	}
	found, err := r.context(s.scope, s.operand(3))
	return &portContext{s.place(), protocols[s.operand(1).Word()], low, high, found}, err
}

func (c *portContext) addTo(m *model) { m.ports = append(m.ports, *c) }

func resolveInterface(r *resolver, s statement) (item, error) {
	device, err := r.context(s.scope, s.operand(2))
	if err != nil {
		return nil, err
	}
	packet, err := r.context(s.scope, s.operand(3))
	return &interfaceContext{s.place(), s.operand(1).Word(), device, packet}, err
}

func (c *interfaceContext) addTo(m *model) { m.interfaces = append(m.interfaces, *c) }

func resolveInfinibandKey(r *resolver, s statement) (item, error) {
	subnet, err := parseAddress(s.operand(1))
	if err != nil || len(subnet) != 16 {
		return nil, r.fail(s, s.operand(1), "the subnet prefix %s is not an IPv6 address", s.operand(1).Word())
	}
	low, high, err := numberRange(s.operand(2), 0, 16)
	if err != nil {
		return nil, err
	}
	found, err := r.context(s.scope, s.operand(3))
	return &infinibandKeyContext{s.place(), binary.BigEndian.Uint64(subnet), low, high, found}, err
}

func (c *infinibandKeyContext) addTo(m *model) { m.infinibandKeys = append(m.infinibandKeys, *c) }

func resolveInfinibandPort(r *resolver, s statement) (item, error) {
	port, err := number(s.operand(2), 10, 8)
	if err != nil {
		return nil, err
	}
	found, err := r.context(s.scope, s.operand(3))
	return &infinibandPortContext{s.place(), s.operand(1).Word(), uint32(port), found}, err
}

func (c *infinibandPortContext) addTo(m *model) { m.infinibandPorts = append(m.infinibandPorts, *c) }
