// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"strings"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/bulkhead-project/bulkhead/shield/volume"
)

func (s *Server) GetAttr(_ <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	s.counts.add(GetAttributes)
	a, err := s.volume.Attributes(in.NodeId)
	return s.attributes(GetAttributes, in.NodeId, a, err, out)
}

func (s *Server) attributes(operation Operation, inode uint64, a volume.Attributes, err error, out *gofuse.AttrOut) gofuse.Status {
	if err != nil {
		return s.status(operation, inode, err)
	}
	out.SetTimeout(validity)
	fill(&out.Attr, a)
	return gofuse.OK
}

// Statx is asked for a file's time of birth, and only then.
func (s *Server) Statx(_ <-chan struct{}, in *gofuse.StatxIn, out *gofuse.StatxOut) gofuse.Status {
	s.counts.add(GetAttributes)
	a, err := s.volume.Attributes(in.NodeId)
	if err != nil {
		return s.status(GetAttributes, in.NodeId, err)
	}
	const basicAndBirth = 0x7ff | 0x800 // STATX_BASIC_STATS | STATX_BTIME
	out.SetTimeout(validity)
	out.Statx = gofuse.Statx{Mask: basicAndBirth, Blksize: 4096, Nlink: a.Links, Uid: a.UID, Gid: a.GID, Mode: uint16(a.Mode), Ino: a.Inode, Size: a.Size, Blocks: a.Blocks,
		Atime: statxTime(a.Accessed), Mtime: statxTime(a.Modified), Ctime: statxTime(a.Changed), Btime: statxTime(a.Created),
		RdevMajor: a.Device >> 8 & 0xfff, RdevMinor: a.Device&0xff | a.Device>>12&0xfff00} // the kernel's new_encode_dev
	return gofuse.OK
}

func statxTime(t volume.Time) gofuse.SxTime {
	return gofuse.SxTime{Sec: uint64(t.Seconds), Nsec: t.Nanoseconds}
}

// setAttributes pairs the protocol's bits with the volume's.
var setAttributes = [...]struct {
	fuse   uint32
	volume volume.Change
}{
	{gofuse.FATTR_MODE, volume.ChangeMode}, {gofuse.FATTR_UID, volume.ChangeUID}, {gofuse.FATTR_GID, volume.ChangeGID}, {gofuse.FATTR_SIZE, volume.ChangeSize},
	{gofuse.FATTR_ATIME, volume.ChangeAccessed}, {gofuse.FATTR_MTIME, volume.ChangeModified}, {gofuse.FATTR_CTIME, volume.ChangeChanged},
	{gofuse.FATTR_ATIME_NOW, volume.ChangeAccessedNow}, {gofuse.FATTR_MTIME_NOW, volume.ChangeModifiedNow}, {gofuse.FATTR_KILL_SUIDGID, volume.ChangeDropSetID},
}

func (s *Server) SetAttr(_ <-chan struct{}, in *gofuse.SetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	s.counts.add(SetAttributes)
	changes := volume.Changes{Mode: in.Mode, UID: in.Uid, GID: in.Gid, Size: in.Size, Accessed: volume.Time{Seconds: int64(in.Atime), Nanoseconds: in.Atimensec},
		Modified: volume.Time{Seconds: int64(in.Mtime), Nanoseconds: in.Mtimensec}, Changed: volume.Time{Seconds: int64(in.Ctime), Nanoseconds: in.Ctimensec}}
	for _, pair := range setAttributes {
		if in.Valid&pair.fuse != 0 {
			changes.Valid |= pair.volume
		}
	}
	a, err := s.volume.Change(in.NodeId, changes)
	return s.attributes(SetAttributes, in.NodeId, a, err, out)
}

// StatFs tells how much room there is.
func (s *Server) StatFs(_ <-chan struct{}, header *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	s.counts.add(StatFileSystem)
	statistics := s.volume.Statistics()
	*out = gofuse.StatfsOut{Blocks: statistics.Blocks, Bfree: statistics.Free, Bavail: statistics.Free, Files: statistics.InodesMaximum, Ffree: statistics.InodesFree,
		Bsize: statistics.BlockSize, Frsize: statistics.BlockSize, NameLen: volume.MaximumName}
	return gofuse.OK
}

// aclPrefix begins the names of POSIX access control lists.
const aclPrefix = "system.posix_acl_"

func (s *Server) GetXAttr(_ <-chan struct{}, header *gofuse.InHeader, name string, into []byte) (uint32, gofuse.Status) {
	s.counts.add(GetXattr)
	if strings.HasPrefix(name, aclPrefix) {
		return 0, gofuse.Status(operationNotSupported)
	}
	value, err := s.volume.Xattr(header.NodeId, name)
	if err != nil {
		return 0, s.status(GetXattr, header.NodeId, err)
	}
	return give(into, value)
}

func (s *Server) ListXAttr(_ <-chan struct{}, header *gofuse.InHeader, into []byte) (uint32, gofuse.Status) {
	s.counts.add(ListXattrs)
	names, err := s.volume.ListXattrs(header.NodeId)
	if err != nil {
		return 0, s.status(ListXattrs, header.NodeId, err)
	}
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	return give(into, list)
}

// give copies a value, or tells how large it is where there is no room.
func give(into, value []byte) (uint32, gofuse.Status) {
	if len(value) > len(into) {
		return uint32(len(value)), gofuse.ERANGE
	}
	return uint32(copy(into, value)), gofuse.OK
}

func (s *Server) SetXAttr(_ <-chan struct{}, in *gofuse.SetXAttrIn, name string, value []byte) gofuse.Status {
	s.counts.add(SetXattr)
	if strings.HasPrefix(name, aclPrefix) {
		return gofuse.Status(operationNotSupported)
	}
	return s.status(SetXattr, in.NodeId, s.volume.SetXattr(in.NodeId, name, value, in.Flags))
}

func (s *Server) RemoveXAttr(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	s.counts.add(RemoveXattr)
	if strings.HasPrefix(name, aclPrefix) {
		return gofuse.Status(operationNotSupported)
	}
	return s.status(RemoveXattr, header.NodeId, s.volume.RemoveXattr(header.NodeId, name))
}
