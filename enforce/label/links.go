// SPDX-License-Identifier: Apache-2.0

package label

// maximumLinks is how many files with several hard links are counted at once.
const maximumLinks = 1 << 18

type inode struct{ device, number uint64 }

// linkTable counts how many hard links of each file a walk has met. Where there are too many files at once it goes on with half of them, by a
// bit of their hash, and leaves the other half to another walk: so it takes memory for maximumLinks, and time for the rest.
type linkTable struct {
	maximum int
	missing map[inode]uint32 // links not met yet; a file whose links were all met is taken out
	share   linkShare
	left    []linkShare
}

// linkShare is the files whose hash ends in some bits.
type linkShare struct{ mask, bits uint64 }

func newLinkTable(maximum int) linkTable {
	return linkTable{maximum: maximum, missing: map[inode]uint32{}}
}

func (s linkShare) has(file inode) bool { return file.hash()&s.mask == s.bits }

// hash is one to one for the files of a device, so that shares can always be halved. It is the end of MurmurHash3, which is in the public domain.
func (i inode) hash() uint64 {
	h := i.number ^ i.device<<32
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// see counts one link of a file that has so many in all.
func (t *linkTable) see(file inode, links uint32) {
	if !t.share.has(file) {
		return
	}
	missing, met := t.missing[file]
	if !met {
		missing = links
	}
	if missing <= 1 {
		delete(t.missing, file)
		return
	}
	t.missing[file] = missing - 1
	for len(t.missing) > t.maximum {
		t.halve()
	}
}

func (t *linkTable) halve() {
	bit := t.share.mask + 1
	if bit == 0 {
		return // no two files are alike in all bits
	}
	t.left = append(t.left, linkShare{t.share.mask | bit, t.share.bits | bit})
	t.share.mask |= bit
	for file := range t.missing {
		if !t.share.has(file) {
			delete(t.missing, file)
		}
	}
}

// next turns to a share that was left, and says whether there was one. It is called when all links of the last are met.
func (t *linkTable) next() bool {
	if len(t.left) == 0 {
		return false
	}
	last := len(t.left) - 1
	t.share, t.left = t.left[last], t.left[:last]
	return true
}
