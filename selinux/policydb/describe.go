// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Component is one kind of what a policy has besides rules, by the words of seinfo(1).
type Component struct {
	Kind  string // its option
	Title string
	list  func(p *Policy, name string) ([]component, error)
}

// component is one of them: how it is listed, and how it is written in the policy language. Both are the same for what has no name.
type component struct{ name, statement string }

// Components are the kinds in seinfo's order.
func Components() []Component { return slices.Clone(components) }

var components = []Component{
	{"bool", "Booleans", (*Policy).listBooleans}, {"category", "Categories", (*Policy).listCategories}, {"class", "Classes", (*Policy).listClasses},
	{"common", "Commons", (*Policy).listCommons}, {"constrain", "Constraints", (*Policy).listConstraints}, {"default", "Default rules", (*Policy).listDefaults},
	{"fs_use", "Fs_use", (*Policy).listFilesystemUses}, {"genfscon", "Genfscon", (*Policy).listGenericFilesystems},
	{"ibendportcon", "Ibendportcon", (*Policy).listInfinibandPorts}, {"ibpkeycon", "Ibpkeycon", (*Policy).listInfinibandKeys},
	{"initialsid", "Initial SIDs", (*Policy).listInitialSIDs}, {"netifcon", "Netifcon", (*Policy).listInterfaces}, {"nodecon", "Nodecon", (*Policy).listNodes},
	{"permissive", "Permissive Types", (*Policy).listPermissive}, {"polcap", "Polcap", (*Policy).listCapabilities}, {"portcon", "Portcon", (*Policy).listPorts},
	{"role", "Roles", (*Policy).listRoles}, {"sensitivity", "Sensitivities", (*Policy).listSensitivities}, {"typebounds", "Typebounds", (*Policy).listBounds},
	{"type", "Types", (*Policy).listTypes}, {"attribute", "Type Attributes", (*Policy).listAttributes}, {"user", "Users", (*Policy).listUsers},
	{"validatetrans", "Validatetrans", (*Policy).listValidations},
}

// Describe lists a kind in the order of the alphabet, all of it or what has the name (for ports a number or LOW-HIGH, within the port's, for nodes an address or a network);
// expanded as statements. A name that is no number where one is expected is an error, one that the policy does not have gives an empty list.
func (p *Policy) Describe(kind Component, name string, expanded bool) ([]string, error) {
	found, err := kind.list(p, name)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, one := range found {
		if expanded {
			lines = append(lines, one.statement)
		} else {
			lines = append(lines, one.name)
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// listing keeps what has the name that is looked for.
func listing[T any](entries []T, name string, of func(*T) (names []string, one component)) ([]component, error) {
	var found []component
	for i := range entries {
		if names, one := of(&entries[i]); names != nil && (name == "" || slices.Contains(names, name)) {
			found = append(found, one)
		}
	}
	return found, nil
}

// unnamed is what is listed as it is written.
func unnamed(statement string) component { return component{statement, statement} }

// group is one word, or any other number in braces, as setools writes sets.
func group(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, " ") + " }"
}

func (p *Policy) listBooleans(name string) ([]component, error) {
	return listing(p.Booleans.Entries, name, func(b *Boolean) ([]string, component) {
		return []string{b.Name}, component{b.Name, fmt.Sprintf("bool %s %t;", b.Name, b.State != 0)}
	})
}

// ranked are sensitivities or categories with their aliases, any of which is their name.
func ranked(word, name string, names []string, aliases map[string]string) ([]component, error) {
	others := map[string][]string{}
	for _, alias := range sortedKeys(aliases) {
		others[aliases[alias]] = append(others[aliases[alias]], alias)
	}
	return listing(names, name, func(one *string) ([]string, component) {
		statement := word + " " + *one
		if aliases := others[*one]; len(aliases) > 0 {
			statement += " alias " + group(aliases)
		}
		return append([]string{*one}, others[*one]...), component{*one, statement + ";"}
	})
}

func (p *Policy) listCategories(name string) ([]component, error) {
	names, aliases := p.categoryNames()
	return ranked("category", name, names, aliases)
}

func (p *Policy) listSensitivities(name string) ([]component, error) {
	names, aliases := p.sensitivityNames()
	return ranked("sensitivity", name, names, aliases)
}

// block is a list of permissions, one to a line.
func block(head string, permissions Symbols[Permission]) string {
	if len(permissions.Entries) == 0 {
		return head
	}
	return head + "\n{\n\t" + strings.Join(permissionNames(permissions), "\n\t") + "\n}"
}

func (p *Policy) listClasses(name string) ([]component, error) {
	return listing(p.Classes.Entries, name, func(c *Class) ([]string, component) {
		head := "class " + c.Name
		if c.Common != "" {
			head += "\ninherits " + c.Common
		}
		return []string{c.Name}, component{c.Name, block(head, c.Permissions)}
	})
}

func (p *Policy) listCommons(name string) ([]component, error) {
	return listing(p.Commons.Entries, name, func(c *Common) ([]string, component) {
		return []string{c.Name}, component{c.Name, block("common "+c.Name, c.Permissions)}
	})
}

func (p *Policy) listConstraints(name string) ([]component, error) {
	var found []component
	for _, class := range p.names().classes {
		for i := range class.Constraints {
			constraint := &class.Constraints[i]
			word := map[bool]string{false: "constrain ", true: "mlsconstrain "}[constraint.comparesLevels()]
			if name == "" || name == class.Name {
				found = append(found, unnamed(word+class.Name+" "+p.FormatPermissions(class, constraint.Permissions)+" "+p.FormatExpression(constraint.Expression)+";"))
			}
		}
	}
	return found, nil
}

func (p *Policy) listValidations(name string) ([]component, error) {
	var found []component
	for _, class := range p.names().classes {
		for i := range class.Transitions {
			word := map[bool]string{false: "validatetrans ", true: "mlsvalidatetrans "}[class.Transitions[i].comparesLevels()]
			if name == "" || name == class.Name {
				found = append(found, unnamed(word+class.Name+" "+p.FormatExpression(class.Transitions[i].Expression)+";"))
			}
		}
	}
	return found, nil
}

func (p *Policy) listDefaults(name string) ([]component, error) {
	var found []component
	for _, class := range p.names().classes {
		for _, one := range []struct{ word, value string }{{"default_user ", defaultWords[class.DefaultUser]}, {"default_role ", defaultWords[class.DefaultRole]},
			{"default_type ", defaultWords[class.DefaultType]}, {"default_range ", rangeWords[class.DefaultRange]}} {
			if one.value != "" && (name == "" || name == class.Name) {
				found = append(found, unnamed(one.word+class.Name+" "+one.value+";"))
			}
		}
	}
	return found, nil
}

func (p *Policy) listFilesystemUses(name string) ([]component, error) {
	return listing(p.Objects.FilesystemUses, name, func(u *FilesystemUse) ([]string, component) {
		return []string{u.Name}, unnamed("fs_use_" + cmp.Or(behaviors[u.Behavior], strconv.Itoa(int(u.Behavior))) + " " + u.Name + " " + p.FormatContext(&u.Context) + ";")
	})
}

func (p *Policy) listGenericFilesystems(name string) ([]component, error) {
	var found []component
	for i := range p.Filesystems {
		more, _ := listing(p.Filesystems[i].Paths, name, func(path *GenericPath) ([]string, component) {
			kind := ""
			if path.Class != 0 {
				class := p.names().classes[path.Class-1].Name
				kind = cmp.Or(fileTypeLetters[class], class) + " "
			}
			return []string{p.Filesystems[i].Name}, unnamed("genfscon " + p.Filesystems[i].Name + " " + path.Path + " " + kind + p.FormatContext(&path.Context))
		})
		found = append(found, more...)
	}
	return found, nil
}

func (p *Policy) listInitialSIDs(name string) ([]component, error) {
	return listing(p.Objects.Initial, name, func(s *InitialSID) ([]string, component) {
		word := InitialSIDName(s.SID)
		return []string{word}, component{word, "sid " + word + " " + p.FormatContext(&s.Context)}
	})
}

func (p *Policy) listInterfaces(name string) ([]component, error) {
	return listing(p.Objects.Interfaces, name, func(n *NamedContexts) ([]string, component) {
		return []string{n.Name}, unnamed("netifcon " + n.Name + " " + p.FormatContext(&n.First) + " " + p.FormatContext(&n.Second))
	})
}

func (p *Policy) listInfinibandPorts(name string) ([]component, error) {
	return listing(p.Objects.InfinibandPorts, name, func(i *InfinibandPort) ([]string, component) {
		return []string{i.Device}, unnamed("ibendportcon " + i.Device + " " + strconv.Itoa(int(i.Port)) + " " + p.FormatContext(&i.Context))
	})
}

// numbers reads N or LOW-HIGH.
func numbers(text string, base int) (low, high uint32, err error) {
	first, last, run := strings.Cut(text, "-")
	if !run {
		last = first
	}
	from, err := strconv.ParseUint(first, base, 16)
	if err == nil {
		var to uint64
		if to, err = strconv.ParseUint(last, base, 16); err == nil && from <= to {
			return uint32(from), uint32(to), nil
		}
	}
	return 0, 0, fmt.Errorf("%q: expected a number or LOW-HIGH of 16 bits", text)
}

func (p *Policy) listInfinibandKeys(name string) ([]component, error) {
	low, high, err := uint32(0), uint32(0), error(nil)
	if name != "" {
		low, high, err = numbers(name, 0)
	}
	if err != nil {
		return nil, err
	}
	return listing(p.Objects.InfinibandKeys, "", func(k *InfinibandKey) ([]string, component) {
		if name != "" && (k.Low != low || k.High != high) {
			return nil, component{}
		}
		return []string{name}, unnamed("ibpkeycon " + k.prefix() + " " + runOf("%#x", k.Low, k.High) + " " + p.FormatContext(&k.Context))
	})
}

func (p *Policy) listPorts(name string) ([]component, error) {
	low, high, err := uint32(0), uint32(0), error(nil)
	if name != "" {
		low, high, err = numbers(name, 10)
	}
	if err != nil {
		return nil, err
	}
	return listing(p.Objects.Ports, "", func(port *Port) ([]string, component) {
		if name != "" && (port.Low > low || high > port.High) {
			return nil, component{}
		}
		word := cmp.Or(protocols[port.Protocol], strconv.Itoa(int(port.Protocol)))
		return []string{name}, unnamed("portcon " + word + " " + runOf("%d", port.Low, port.High) + " " + p.FormatContext(&port.Context))
	})
}

func (p *Policy) listNodes(name string) ([]component, error) {
	wanted, err := networkOf(name)
	if err != nil {
		return nil, err
	}
	var found []component
	add := func(address, mask []byte, context *Context) {
		if name == "" || wanted == addressText(address)+" "+addressText(mask) {
			found = append(found, unnamed("nodecon "+addressText(address)+" "+addressText(mask)+" "+p.FormatContext(context)))
		}
	}
	for i := range p.Objects.Nodes {
		node := &p.Objects.Nodes[i]
		add(network(node.Address), network(node.Mask), &node.Context)
	}
	for i := range p.Objects.Nodes6 {
		node := &p.Objects.Nodes6[i]
		add(network(node.Address[:]...), network(node.Mask[:]...), &node.Context)
	}
	return found, nil
}

// networkOf is an address or a network, as ADDRESS MASK.
func networkOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return "", err
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	mask := make([]byte, prefix.Addr().BitLen()/8)
	for bit := range prefix.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return addressText(prefix.Masked().Addr().AsSlice()) + " " + addressText(mask), nil
}

func (p *Policy) listCapabilities(name string) ([]component, error) {
	var found []component
	for number := range p.Capabilities.All() {
		if word := cmp.Or(CapabilityName(number), strconv.Itoa(int(number))); name == "" || name == word {
			found = append(found, component{word, "policycap " + word + ";"})
		}
	}
	return found, nil
}
