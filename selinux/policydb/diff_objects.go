// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"cmp"
	"fmt"
	"strconv"
)

// labeled is what has contexts, by a name that says all of it but these.
type labeled struct{ name, context string }

// label compares what has contexts. Of two of the same name the kernel takes the first.
func (c *comparison) label(of func(*side) []labeled) {
	c.items(func(s *side) map[string]item {
		found := map[string]item{}
		for _, one := range of(s) {
			if _, there := found[one.name]; !there {
				found[one.name] = item{text: one.name + " " + one.context, properties: []property{{one: one.context}}}
			}
		}
		return found
	})
}

// order reports that the kernel, which takes the first that matches, takes another one than before: two that both policies have, that overlap and differ, and come
// the other way round.
func (c *comparison) order(of func(*side) []labeled, overlap func(s *side, i, j int) bool) {
	a, b := of(c.sides[0]), of(c.sides[1])
	place := map[string]int{}
	for i := len(b) - 1; i >= 0; i-- {
		place[b[i].name] = i
	}
	for i := range a {
		at, there := place[a[i].name]
		if !there {
			continue
		}
		for j := i + 1; j < len(a); j++ {
			if other, there := place[a[j].name]; there && other < at && a[i].context != a[j].context && overlap(c.sides[0], i, j) {
				c.emit(Modified, c.kind+" order", "+ "+a[j].name+" before "+a[i].name, "- "+a[i].name+" before "+a[j].name)
				return
			}
		}
	}
}

func (c *comparison) initialSIDs() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.Initial {
			found = append(found, labeled{"sid " + InitialSIDName(s.Objects.Initial[i].SID), s.FormatContext(&s.Objects.Initial[i].Context)})
		}
		return found
	})
}

func (c *comparison) filesystemUses() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.FilesystemUses {
			use := &s.Objects.FilesystemUses[i]
			word := cmp.Or(behaviors[use.Behavior], strconv.Itoa(int(use.Behavior)))
			found = append(found, labeled{"fs_use_" + word + " " + use.Name, s.FormatContext(&use.Context) + ";"})
		}
		return found
	})
}

func (s *side) pair(named *NamedContexts) string {
	return s.FormatContext(&named.First) + " " + s.FormatContext(&named.Second)
}

func (c *comparison) filesystems() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.Filesystems {
			found = append(found, labeled{"fscon " + s.Objects.Filesystems[i].Name, s.pair(&s.Objects.Filesystems[i])})
		}
		return found
	})
}

func (c *comparison) interfaces() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.Interfaces {
			found = append(found, labeled{"netifcon " + s.Objects.Interfaces[i].Name, s.pair(&s.Objects.Interfaces[i])})
		}
		return found
	})
}

// fileTypeLetters are how genfscon and file_contexts(5) write the types of files.
var fileTypeLetters = map[string]string{"file": "--", "dir": "-d", "chr_file": "-c", "blk_file": "-b", "sock_file": "-s", "fifo_file": "-p", "lnk_file": "-l"}

func (c *comparison) genericFilesystems() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Filesystems {
			for j := range s.Filesystems[i].Paths {
				path := &s.Filesystems[i].Paths[j]
				kind := ""
				if path.Class != 0 {
					kind = " " + cmp.Or(fileTypeLetters[s.class(path.Class)], s.class(path.Class))
				}
				found = append(found, labeled{"genfscon " + s.Filesystems[i].Name + " " + path.Path + kind, s.FormatContext(&path.Context)})
			}
		}
		return found
	})
}

// runOf is one number, or LOW-HIGH.
func runOf(format string, low, high uint32) string {
	if low == high {
		return fmt.Sprintf(format, low)
	}
	return fmt.Sprintf(format+"-"+format, low, high)
}

func (c *comparison) ports() {
	list := func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.Ports {
			port := &s.Objects.Ports[i]
			word := cmp.Or(protocols[port.Protocol], strconv.Itoa(int(port.Protocol)))
			found = append(found, labeled{"portcon " + word + " " + runOf("%d", port.Low, port.High), s.FormatContext(&port.Context)})
		}
		return found
	}
	c.label(list)
	c.order(list, func(s *side, i, j int) bool {
		a, b := &s.Objects.Ports[i], &s.Objects.Ports[j]
		return a.Protocol == b.Protocol && a.Low <= b.High && b.Low <= a.High
	})
}

func (c *comparison) nodes() {
	list := func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.Nodes {
			node := &s.Objects.Nodes[i]
			found = append(found, labeled{"nodecon " + addressText(network(node.Address)) + " " + addressText(network(node.Mask)), s.FormatContext(&node.Context)})
		}
		return found
	}
	c.label(func(s *side) []labeled { return append(list(s), list6(s)...) })
	c.order(list, func(s *side, i, j int) bool {
		a, b := &s.Objects.Nodes[i], &s.Objects.Nodes[j]
		return (a.Address^b.Address)&a.Mask&b.Mask == 0
	})
	c.order(list6, func(s *side, i, j int) bool {
		a, b := &s.Objects.Nodes6[i], &s.Objects.Nodes6[j]
		for word := range a.Address {
			if (a.Address[word]^b.Address[word])&a.Mask[word]&b.Mask[word] != 0 {
				return false
			}
		}
		return true
	})
}

func list6(s *side) []labeled {
	var found []labeled
	for i := range s.Objects.Nodes6 {
		node := &s.Objects.Nodes6[i]
		found = append(found, labeled{"nodecon " + addressText(network(node.Address[:]...)) + " " + addressText(network(node.Mask[:]...)), s.FormatContext(&node.Context)})
	}
	return found
}

func (c *comparison) infinibandKeys() {
	list := func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.InfinibandKeys {
			key := &s.Objects.InfinibandKeys[i]
			found = append(found, labeled{"ibpkeycon " + key.prefix() + " " + runOf("%#x", key.Low, key.High), s.FormatContext(&key.Context)})
		}
		return found
	}
	c.label(list)
	c.order(list, func(s *side, i, j int) bool {
		a, b := &s.Objects.InfinibandKeys[i], &s.Objects.InfinibandKeys[j]
		return a.Prefix == b.Prefix && a.Low <= b.High && b.Low <= a.High
	})
}

func (c *comparison) infinibandPorts() {
	c.label(func(s *side) []labeled {
		var found []labeled
		for i := range s.Objects.InfinibandPorts {
			port := &s.Objects.InfinibandPorts[i]
			found = append(found, labeled{"ibendportcon " + port.Device + " " + strconv.Itoa(int(port.Port)), s.FormatContext(&port.Context)})
		}
		return found
	})
}
