// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Change changes attributes: chmod, chown, truncate, utimens. A new owner or group ends set-user-ID, and set-group-ID where the group may execute; a new size moves
// the times of modification and change, if it differs.
func (v *Volume) Change(inode uint64, c Changes) (Attributes, error) {
	n, err := v.exclusive(inode)
	if err != nil {
		return Attributes{}, err
	}
	defer v.release(n)
	if c.Valid&^ChangeDropSetID == 0 {
		return n.attributes(inode), nil
	}
	if err := c.fault(n); err != nil {
		return Attributes{}, err
	}
	t, b := v.transfer(), v.batch()
	defer v.finish(t)
	defer v.done(b)
	t.fresh = t.fresh[:0]
	if err := v.change(b, n, t, c); err != nil {
		if n.fault == nil {
			v.abandon(t.fresh)
		}
		return Attributes{}, err
	}
	return n.attributes(inode), nil
}

// fault says what is refused before anything is done.
func (c *Changes) fault(n *node) error {
	for _, t := range [...]struct {
		valid Change
		time  Time
	}{{ChangeAccessed, c.Accessed}, {ChangeModified, c.Modified}, {ChangeChanged, c.Changed}} {
		if c.Valid&t.valid != 0 && t.time.Nanoseconds >= nanosPerSecond {
			return ErrInvalid
		}
	}
	if c.Valid&ChangeSize != 0 {
		if c.Size > MaximumSize {
			return ErrFileTooBig
		}
		return n.writable()
	}
	return nil
}

func (v *Volume) change(b *store.Batch, n *node, t *transfer, c Changes) error {
	next := n.inode
	now := v.now()
	var freed span
	moved := c.Valid&^(ChangeSize|ChangeDropSetID) != 0 || c.Size != n.size
	if c.Valid&ChangeSize != 0 {
		if c.Valid&ChangeDropSetID != 0 {
			next.dropPrivileges()
		}
		if err := v.dropCapability(b, n.number, &next); err != nil {
			return err
		}
		if c.Size != n.size {
			var err error
			if freed, err = v.resize(b, n, &next, t, c.Size); err != nil {
				return err
			}
			next.modified = now
		}
	}
	if c.Valid&(ChangeUID|ChangeGID) != 0 {
		next.dropPrivileges()
		if err := v.dropCapability(b, n.number, &next); err != nil {
			return err
		}
	}
	c.set(&next, now)
	if moved && c.Valid&ChangeChanged == 0 {
		next.changed = now
	}
	return v.commitFreeing(b, n, &next, freed)
}

// set sets what is given.
func (c *Changes) set(i *inode, now Time) {
	if c.Valid&ChangeMode != 0 {
		i.mode = i.mode&ModeType | c.Mode&ModePermissions
	}
	if c.Valid&ChangeUID != 0 {
		i.uid = c.UID
	}
	if c.Valid&ChangeGID != 0 {
		i.gid = c.GID
	}
	for _, t := range [...]struct {
		given, now Change
		to         *Time
		time       Time
	}{{ChangeAccessed, ChangeAccessedNow, &i.accessed, c.Accessed}, {ChangeModified, ChangeModifiedNow, &i.modified, c.Modified}, {ChangeChanged, 0, &i.changed, c.Changed}} {
		switch {
		case c.Valid&t.now != 0:
			*t.to = now
		case c.Valid&t.given != 0:
			*t.to = t.time
		}
	}
}
