// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// seen is what Check finds out about an inode.
type seen struct {
	inode
	names, subdirectories, blocks uint64 // names of it; directories in it; blocks that are no holes
	entries, places, digest       uint64 // names in it; cookies in it; a sum over names less that over cookies: 0 if they are the same
	parent                        uint64 // the directory that holds its last name
	note, xattrs                  bool
}

// checker compares what the keys of a volume say of each other.
type checker struct {
	inodes map[uint64]*seen
	visit  func(finding string)
}

func (c *checker) say(format string, arguments ...any) { c.visit(fmt.Sprintf(format, arguments...)) }

// Check compares what inodes, names and blocks of the volume say of each other, and calls visit for each contradiction; a volume that was closed, or that nobody uses and
// changes meanwhile, has none. That the bytes are authentic is the store's to check.
func (v *Volume) Check(visit func(finding string)) error {
	c := checker{make(map[uint64]*seen), visit}
	for _, part := range [...]struct {
		kind  byte
		check func(key, value []byte)
	}{{kindInode, c.inodeKey}, {kindCookie, c.cookieKey}, {kindName, c.nameKey}, {kindOrphan, c.noteKey}, {kindBlocks, c.blocksKey}, {kindXattr, c.xattrKey}} {
		err := v.store.Scan([]byte{part.kind}, []byte{part.kind + 1}, func(key, value []byte) bool {
			if len(key) < 9 {
				c.say("key %q is too short", key)
			} else {
				part.check(key, value)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	v.counters.Lock()
	next, inodes := v.next, v.inodes
	v.counters.Unlock()
	if uint64(len(c.inodes)) != inodes {
		c.say("%d inodes, of which the counter says %d", len(c.inodes), inodes)
	}
	for _, number := range slices.Sorted(maps.Keys(c.inodes)) {
		if number >= next {
			c.say("inode %d, though the next one is %d", number, next)
		}
		c.compare(number, c.inodes[number])
	}
	return nil
}

func (c *checker) inodeKey(key, value []byte) {
	number := binary.BigEndian.Uint64(key[1:])
	i, err := decodeInode(value)
	if err != nil {
		c.say("inode %d: %v", number, err)
		return
	}
	i.inline = nil
	c.inodes[number] = &seen{inode: i}
}

// of returns what was seen of the inode that a key begins with.
func (c *checker) of(key []byte) (uint64, *seen) {
	number := binary.BigEndian.Uint64(key[1:])
	s := c.inodes[number]
	if s == nil {
		c.say("key %q belongs to no inode", key)
	}
	return number, s
}

// cookieKey counts the places in a directory.
func (c *checker) cookieKey(key, value []byte) {
	_, directory := c.of(key)
	if directory == nil {
		return
	}
	e, err := decodeCookie(key, value)
	if err != nil {
		c.say("key %q: %v", key, err)
	} else if e.Cookie > directory.cookie {
		c.say("key %q: the last cookie is %d", key, directory.cookie)
	}
	directory.places++
	directory.digest -= digest(e)
}

// digest is a number of what a name means.
func digest(e Entry) uint64 {
	hash := fnv.New64a()
	fmt.Fprint(hash, e.Inode, e.Mode, e.Cookie, e.Name)
	return hash.Sum64()
}

// nameKey counts names, of which there have to be as many as places.
func (c *checker) nameKey(key, value []byte) {
	number, directory := c.of(key)
	e, err := decodeName(value)
	if err != nil || directory == nil {
		c.say("key %q: %v", key, err)
		return
	}
	directory.entries++
	directory.digest += digest(Entry{string(key[9:]), e.inode, e.mode, e.cookie})
	target := c.inodes[e.inode]
	if target == nil || target.mode&ModeType != e.mode {
		c.say("directory %d: %q is inode %d of type %#o, which is not there", number, key[9:], e.inode, e.mode)
		return
	}
	target.names++
	if target.isDirectory() {
		directory.subdirectories++
		target.parent = number
	}
}

func (c *checker) blocksKey(key, value []byte) {
	number, s := c.of(key)
	if s == nil {
		return
	}
	Blocks(key, value, func(at store.Location, _ store.Pointer) {
		if at.Index >= s.held() && !s.note {
			c.say("inode %d: block %d beyond its %d bytes", number, at.Index, s.size)
		}
		s.blocks++
	})
}

func (c *checker) xattrKey(key, _ []byte) {
	if number, s := c.of(key); s != nil && s.flags&flagXattrs == 0 {
		c.say("inode %d: extended attribute %q, though it has none", number, key[9:])
	}
}

func (c *checker) noteKey(key, value []byte) {
	if _, _, err := decodeNote(key, value); err != nil {
		c.say("key %q: %v", key, err)
	} else if _, s := c.of(key); s != nil {
		s.note = true
	}
}

// compare holds an inode against what was seen of it.
func (c *checker) compare(number uint64, s *seen) {
	links := s.names
	if s.isDirectory() {
		if links = 2 + s.subdirectories; s.names == 0 && number != RootInode {
			links = 0
		}
		if s.entries != s.size || s.places != s.size || s.digest != 0 {
			c.say("directory %d: %d names and %d cookies, which should be the same %d", number, s.entries, s.places, s.size)
		}
		if number == RootInode {
			s.parent, s.names = RootInode, s.names+1
		}
		if s.names > 1 || s.names == 1 && s.inode.parent != s.parent {
			c.say("directory %d: %d names, the last in %d, where it says %d", number, s.names, s.parent, s.inode.parent)
		}
	}
	if links != uint64(s.links) {
		c.say("inode %d: %d links, where it says %d", number, links, s.links)
	}
	if s.blocks != s.inode.blocks {
		c.say("inode %d: %d blocks, where it says %d", number, s.blocks, s.inode.blocks)
	}
	if s.links == 0 && !s.note {
		c.say("inode %d: without a name, and without the note of that", number)
	}
}
