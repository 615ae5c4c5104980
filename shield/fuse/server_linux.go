// SPDX-License-Identifier: Apache-2.0

// Package fuse serves a shielded volume to the kernel as a file system, and makes mounts of it.
//
// The server is the only one who changes the volume, and all changes come through this one mount. So the kernel may believe what it was told for as long
// as it likes: names, attributes, absent names and data stay in its caches, data that programs write is collected there (FUSE_WRITEBACK_CACHE), and a read of
// what is cached never leaves the kernel. Files are not opened at the server (ENOSYS to OPEN, OPENDIR and CREATE, which the kernel takes as "never ask again"): an inode
// is in use from the first answer that names it until the kernel's FORGET, which comes only after the last close, so that a file without a name lives that long.
//
// What is left out, and why:
//   - SEEK_DATA and SEEK_HOLE: the kernel does not write dirty pages out before it asks, so that an honest answer would call unwritten data a hole. It then takes
//     files for all data.
//   - Access times move when the server is asked to read, not at reads from the kernel's cache.
//   - POSIX ACLs are refused: the kernel would not enforce them here.
//   - sync(2) and syncfs(2) write the kernel's dirty pages out, but the kernel does not ask the server to make them durable; fsync(2) does.
//
// Source: include/uapi/linux/fuse.h and fs/fuse of Linux; github.com/hanwen/go-fuse/v2 speaks the protocol.
package fuse

import (
	"fmt"
	"os"
	"runtime"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/bulkhead-project/bulkhead/shield/volume"
)

const (
	// validity is how long the kernel may believe names and attributes without asking: nobody else changes them.
	validity = 24 * time.Hour
	// transfer is the largest read or write, in bytes: the kernel's limit (FUSE_MAX_MAX_PAGES of 4096 bytes).
	transfer = 1 << 20
	// background is how many requests that no program waits for (writing back, reading ahead) the kernel may have under way.
	background = 64
	// requestMemory bounds what requests under way may take, in bytes. Programs that wait for a turn wait in the kernel.
	requestMemory = 64 << 20
)

// capabilities are what the kernel is asked for beside what go-fuse asks for: see the package comment. HANDLE_KILLPRIV_V2 spares a question for file
// capabilities at each write; the server clears set-user-ID bits when it is told to.
const capabilities = gofuse.CAP_WRITEBACK_CACHE | gofuse.CAP_HANDLE_KILLPRIV_V2 | gofuse.CAP_NO_OPENDIR_SUPPORT | gofuse.CAP_READDIRPLUS_AUTO

// Server answers the kernel's requests about one volume.
type Server struct {
	gofuse.RawFileSystem // ENOSYS for what is not here
	volume               *volume.Volume
	protocol             *gofuse.Server
	counts               counters
	failures             failures

	known known
}

// NewServer takes over the device of a mount and negotiates with the kernel. device is closed when the server ends, also on an error.
func NewServer(device *os.File, v *volume.Volume) (*Server, error) {
	s := &Server{RawFileSystem: gofuse.NewDefaultRawFileSystem(), volume: v}
	descriptor, err := detachDescriptor(device)
	if err != nil {
		return nil, err
	}
	s.protocol, err = gofuse.NewServer(s, fmt.Sprintf("/dev/fd/%d", descriptor), &gofuse.MountOptions{
		Name: FileSystem, MaxWrite: transfer, MaxBackground: background, MaxInflightRequestBytes: requestMemory, DisableSplice: true,
		ExplicitDataCacheControl: true, EnableSymlinkCaching: true, ExtraCapabilities: capabilities,
		// A panic may have left a lock held: the process ends, and programs get ENOTCONN instead of waiting for ever.
		PanicHandler: func(reason any) gofuse.Status { panic(reason) },
	})
	if err != nil {
		return nil, fmt.Errorf("FUSE: %w", err)
	}
	if missing := s.missing(); missing != "" {
		return nil, fmt.Errorf("FUSE: this kernel has no %s", missing)
	}
	return s, nil
}

// missing names what the kernel lacks and the server cannot do without. Linux has had all of it since 5.12.
func (s *Server) missing() string {
	offered := s.protocol.KernelSettings().Flags64()
	for _, needed := range []struct {
		flag uint64
		name string
	}{{gofuse.CAP_WRITEBACK_CACHE, "FUSE_WRITEBACK_CACHE"}, {gofuse.CAP_NO_OPEN_SUPPORT, "FUSE_NO_OPEN_SUPPORT"},
		{gofuse.CAP_NO_OPENDIR_SUPPORT, "FUSE_NO_OPENDIR_SUPPORT"}, {gofuse.CAP_HANDLE_KILLPRIV_V2, "FUSE_HANDLE_KILLPRIV_V2"}} {
		if offered&needed.flag == 0 {
			return needed.name
		}
	}
	return ""
}

// Serve answers requests until the file system is unmounted everywhere or the connection is aborted. The volume stays open.
func (s *Server) Serve() {
	s.protocol.Serve()
	runtime.KeepAlive(s)
}

// String is the name that go-fuse knows the file system by.
func (s *Server) String() string { return FileSystem }

// remember counts that the kernel was told of an inode, and makes the answer that tells it. An inode that lost its last name meanwhile is volume.ErrNotExist.
func (s *Server) remember(a volume.Attributes, out *gofuse.EntryOut) error {
	if !s.known.again(a.Inode) {
		if err := s.volume.Opened(a.Inode); err != nil {
			return err
		}
		if !s.known.tell(a.Inode) { // told twice at the same time: the volume counts one
			if err := s.volume.Forgotten(a.Inode); err != nil {
				return err
			}
		}
	}
	out.NodeId, out.Generation = a.Inode, 1 // inode numbers are never used again
	out.SetEntryTimeout(validity)
	out.SetAttrTimeout(validity)
	fill(&out.Attr, a)
	return nil
}

// Forget takes back what remember counted.
func (s *Server) Forget(inode, count uint64) {
	s.counts.add(Forget)
	if s.known.forget(inode, count) {
		s.status(Forget, inode, s.volume.Forgotten(inode)) // nobody is answered; a failure is kept
	}
}

func fill(out *gofuse.Attr, a volume.Attributes) {
	out.Ino, out.Size, out.Blocks, out.Blksize = a.Inode, a.Size, a.Blocks, 4096
	out.Mode, out.Nlink, out.Uid, out.Gid, out.Rdev = a.Mode, a.Links, a.UID, a.GID, a.Device
	out.Atime, out.Atimensec = uint64(a.Accessed.Seconds), a.Accessed.Nanoseconds
	out.Mtime, out.Mtimensec = uint64(a.Modified.Seconds), a.Modified.Nanoseconds
	out.Ctime, out.Ctimensec = uint64(a.Changed.Seconds), a.Changed.Nanoseconds
}
