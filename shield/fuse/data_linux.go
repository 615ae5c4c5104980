// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/bulkhead-project/bulkhead/shield/volume"
)

func (s *Server) Read(_ <-chan struct{}, in *gofuse.ReadIn, buffer []byte) (gofuse.ReadResult, gofuse.Status) {
	s.counts.add(Read)
	count, err := s.volume.Read(in.NodeId, int64(in.Offset), buffer)
	if err != nil {
		return nil, s.status(Read, in.NodeId, err)
	}
	return gofuse.ReadResultData(buffer[:count]), gofuse.OK
}

// Write takes what the kernel writes back, and what programs write to set-user-ID files, whose bits go with the first byte.
func (s *Server) Write(_ <-chan struct{}, in *gofuse.WriteIn, data []byte) (uint32, gofuse.Status) {
	s.counts.add(Write)
	var how volume.WriteFlags
	if in.WriteFlags&gofuse.WRITE_CACHE != 0 {
		how |= volume.FromCache
	}
	if in.WriteFlags&gofuse.WRITE_KILL_SUIDGID != 0 {
		how |= volume.DropSetID
	}
	count, err := s.volume.Write(in.NodeId, int64(in.Offset), data, how)
	return uint32(count), s.status(Write, in.NodeId, err)
}

// Fsync makes everything durable that was answered before it.
func (s *Server) Fsync(_ <-chan struct{}, in *gofuse.FsyncIn) gofuse.Status {
	s.counts.add(Sync)
	return s.status(Sync, in.NodeId, s.volume.Sync(in.NodeId, in.FsyncFlags&1 != 0))
}

func (s *Server) FsyncDir(_ <-chan struct{}, in *gofuse.FsyncIn) gofuse.Status {
	s.counts.add(SyncDirectory)
	return s.status(SyncDirectory, in.NodeId, s.volume.Sync(in.NodeId, in.FsyncFlags&1 != 0))
}

// Fallocate and CopyFileRange do not say who asks, so that set-user-ID bits go whoever it is.
func (s *Server) Fallocate(_ <-chan struct{}, in *gofuse.FallocateIn) gofuse.Status {
	s.counts.add(Allocate)
	return s.status(Allocate, in.NodeId, s.volume.Allocate(in.NodeId, in.Mode, int64(in.Offset), int64(in.Length), volume.DropSetID))
}

// copied is how much is copied at one request, in bytes: a program can be interrupted between two.
const copied = 16 << 20

// CopyFileRange copies within the volume. The kernel has written both files out before it asks.
func (s *Server) CopyFileRange(_ <-chan struct{}, in *gofuse.CopyFileRangeIn) (uint32, gofuse.Status) {
	s.counts.add(Copy)
	count, err := s.volume.Copy(in.NodeId, int64(in.OffIn), in.NodeIdOut, int64(in.OffOut), int64(min(in.Len, copied)), volume.DropSetID)
	return uint32(count), s.status(Copy, in.NodeIdOut, err)
}
