// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

const capability = "security.capability"

func checkXattr(name string) error {
	if name == "" || len(name) > MaximumName || strings.ContainsRune(name, 0) {
		return ErrAttributeName
	}
	return nil
}

// parts is how many values of the store an extended attribute of that length takes.
func parts(length int) int { return (4 + length + partSize - 1) / partSize }

// Xattr returns the value of an extended attribute.
func (v *Volume) Xattr(inode uint64, name string) ([]byte, error) {
	if err := checkXattr(name); err != nil {
		return nil, err
	}
	n, err := v.shared(inode)
	if err != nil {
		return nil, err
	}
	defer v.releaseShared(n)
	return v.xattr(&n.inode, inode, name)
}

func (v *Volume) xattr(i *inode, number uint64, name string) ([]byte, error) {
	if i.flags&flagXattrs == 0 {
		return nil, ErrNoAttribute
	}
	var from, to keyBuffer
	var whole []byte
	found, count := false, 0
	end := to.xattr(number, name, 0)
	end[len(end)-2] = 1
	err := v.store.Scan(from.xattr(number, name, 0), end, func(_, part []byte) bool {
		found = true
		whole = append(whole, part...)
		count++
		return len(whole) <= 4+MaximumXattr
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, ErrNoAttribute
	case len(whole) < 4 || uint64(binary.BigEndian.Uint32(whole)) != uint64(len(whole)-4) || count != parts(len(whole)-4):
		return nil, fmt.Errorf("inode %d: extended attribute %q of %d bytes in %d parts: %w", number, name, len(whole), count, ErrCorrupt)
	}
	return whole[4:], nil
}

// SetXattr sets an extended attribute: with XattrCreate only a new one, with XattrReplace only one that is there.
func (v *Volume) SetXattr(inode uint64, name string, value []byte, flags uint32) error {
	if err := checkXattr(name); err != nil {
		return err
	}
	switch {
	case flags&^(XattrCreate|XattrReplace) != 0:
		return ErrInvalid
	case len(value) > MaximumXattr:
		return ErrAttributeTooBig
	}
	n, err := v.exclusive(inode)
	if err != nil {
		return err
	}
	defer v.release(n)
	old, err := v.xattr(&n.inode, inode, name)
	switch {
	case err != nil && err != ErrNoAttribute:
		return err
	case err == nil && flags&XattrCreate != 0:
		return ErrExist
	case err != nil && flags&XattrReplace != 0:
		return err
	}
	b := v.batch()
	defer v.done(b)
	var key keyBuffer
	count := parts(len(value))
	if err == nil {
		for part := count; part < parts(len(old)); part++ {
			b.Delete(key.xattr(inode, name, part))
		}
	}
	whole := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), uint32(len(value))), value...)
	for part := range count {
		b.Put(key.xattr(inode, name, part), whole[part*partSize:min((part+1)*partSize, len(whole))])
	}
	next := n.inode
	next.changed = v.now()
	next.flags |= flagXattrs
	if name == capability {
		next.flags |= flagCapability
	}
	return v.commit(b, n, &next)
}

// RemoveXattr removes an extended attribute.
func (v *Volume) RemoveXattr(inode uint64, name string) error {
	if err := checkXattr(name); err != nil {
		return err
	}
	n, err := v.exclusive(inode)
	if err != nil {
		return err
	}
	defer v.release(n)
	b := v.batch()
	defer v.done(b)
	next := n.inode
	next.changed = v.now()
	if err := v.removeXattr(b, inode, &next, name); err != nil {
		return err
	}
	return v.commit(b, n, &next)
}

func (v *Volume) removeXattr(b *store.Batch, number uint64, next *inode, name string) error {
	value, err := v.xattr(next, number, name)
	if err != nil {
		return err
	}
	var key keyBuffer
	for part := range parts(len(value)) {
		b.Delete(key.xattr(number, name, part))
	}
	if name == capability {
		next.flags &^= flagCapability
	}
	return nil
}

// dropCapability removes security.capability, if there is one.
func (v *Volume) dropCapability(b *store.Batch, number uint64, next *inode) error {
	if next.flags&flagCapability == 0 {
		return nil
	}
	return v.removeXattr(b, number, next, capability)
}

// ListXattrs returns the names of the extended attributes, sorted.
func (v *Volume) ListXattrs(inode uint64) ([]string, error) {
	n, err := v.shared(inode)
	if err != nil {
		return nil, err
	}
	defer v.releaseShared(n)
	if n.flags&flagXattrs == 0 {
		return nil, nil
	}
	var names []string
	var from, to keyBuffer
	var fault error
	err = v.store.Scan(from.numbers(kindXattr, inode), to.numbers(kindXattr, inode+1), func(key, _ []byte) bool {
		name, part, ok := bytes.Cut(key[9:], []byte{0})
		if !ok || len(name) == 0 || len(part) != 1 {
			fault = fmt.Errorf("inode %d: extended attribute with a key of %d bytes: %w", inode, len(key), ErrCorrupt)
			return false
		}
		if part[0] == 0 {
			names = append(names, string(name))
		}
		return true
	})
	if err == nil {
		err = fault
	}
	return names, err
}
