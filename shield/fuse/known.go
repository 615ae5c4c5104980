// SPDX-License-Identifier: Apache-2.0

package fuse

import "sync"

// known counts how often the kernel was told of each inode, less what it has forgotten.
type known struct {
	mutex  sync.Mutex
	counts map[uint64]uint64
}

// again counts an inode that the kernel knows. It reports whether it does.
func (k *known) again(inode uint64) bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.counts[inode] == 0 {
		return false
	}
	k.counts[inode]++
	return true
}

// tell counts an inode, and reports whether the kernel did not know it.
func (k *known) tell(inode uint64) (first bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.counts == nil {
		k.counts = map[uint64]uint64{}
	}
	k.counts[inode]++
	return k.counts[inode] == 1
}

// forget takes back so many, and reports whether the kernel no longer knows the inode.
func (k *known) forget(inode, count uint64) (last bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	before := k.counts[inode]
	if before > count {
		k.counts[inode] = before - count
		return false
	}
	delete(k.counts, inode)
	return before > 0
}
