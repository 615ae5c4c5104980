// SPDX-License-Identifier: Apache-2.0

package fuse

import "sync/atomic"

// Operation is a kind of request that the kernel makes.
type Operation int

// Operations, by what they ask for. Forget alone is no round trip: nobody waits for it and it is not answered; it is counted by inode.
const (
	Lookup Operation = iota
	Forget
	GetAttributes
	SetAttributes
	Readlink
	Symlink
	Make
	MakeDirectory
	Unlink
	RemoveDirectory
	Rename
	Link
	Read
	Write
	StatFileSystem
	Sync
	SetXattr
	GetXattr
	ListXattrs
	RemoveXattr
	ReadDirectory
	ReadDirectoryPlus
	SyncDirectory
	Allocate
	Copy
	TemporaryFile
	Refused // OPEN, OPENDIR, CREATE, FLUSH, LSEEK...: asked once each, and never again
	operations
)

// names are the kernel's own, as in enum fuse_opcode.
var names = [operations]string{"LOOKUP", "FORGET", "GETATTR", "SETATTR", "READLINK", "SYMLINK", "MKNOD", "MKDIR", "UNLINK", "RMDIR", "RENAME", "LINK", "READ", "WRITE",
	"STATFS", "FSYNC", "SETXATTR", "GETXATTR", "LISTXATTR", "REMOVEXATTR", "READDIR", "READDIRPLUS", "FSYNCDIR", "FALLOCATE", "COPY_FILE_RANGE", "TMPFILE", "REFUSED"}

func (o Operation) String() string { return names[o] }

type counters [operations]atomic.Uint64

func (c *counters) add(o Operation) { c[o].Add(1) }

// Counts returns how many requests of each kind were served, without kinds that never came.
func (s *Server) Counts() map[string]uint64 {
	counts := map[string]uint64{}
	for operation := range s.counts {
		if count := s.counts[operation].Load(); count != 0 {
			counts[Operation(operation).String()] = count
		}
	}
	return counts
}

// RoundTrips sums the requests that were answered.
func RoundTrips(counts map[string]uint64) (sum uint64) {
	for name, count := range counts {
		if name != Forget.String() {
			sum += count
		}
	}
	return sum
}

// Answered is RoundTrips of Counts.
func (s *Server) Answered() uint64 { return RoundTrips(s.Counts()) }
