// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"errors"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"

	"github.com/bulkhead-project/bulkhead/shield/volume"
)

// entry answers a request that names an inode.
func (s *Server) entry(operation Operation, parent uint64, a volume.Attributes, err error, out *gofuse.EntryOut) gofuse.Status {
	if err == nil {
		err = s.remember(a, out)
	}
	return s.status(operation, parent, err)
}

// Lookup answers for an absent name with inode 0, which the kernel remembers too.
func (s *Server) Lookup(_ <-chan struct{}, header *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	s.counts.add(Lookup)
	a, err := s.volume.Lookup(header.NodeId, name)
	if errors.Is(err, volume.ErrNotExist) {
		out.SetEntryTimeout(validity)
		return gofuse.OK
	}
	return s.entry(Lookup, header.NodeId, a, err, out)
}

// Mknod makes files of every kind but directories and symbolic links: without CREATE, open(2) with O_CREAT comes here too. The kernel has applied the
// caller's file mode creation mask.
func (s *Server) Mknod(_ <-chan struct{}, in *gofuse.MknodIn, name string, out *gofuse.EntryOut) gofuse.Status {
	s.counts.add(Make)
	a, err := s.volume.Make(in.NodeId, name, in.Mode, in.Rdev, caller(&in.InHeader))
	return s.entry(Make, in.NodeId, a, err, out)
}

func (s *Server) Mkdir(_ <-chan struct{}, in *gofuse.MkdirIn, name string, out *gofuse.EntryOut) gofuse.Status {
	s.counts.add(MakeDirectory)
	a, err := s.volume.Make(in.NodeId, name, in.Mode&0o7777|modeDirectory, 0, caller(&in.InHeader))
	return s.entry(MakeDirectory, in.NodeId, a, err, out)
}

// Tmpfile makes a file without a name (O_TMPFILE). It is the one request that opens a file, by handle 0 as the kernel does without OPEN.
func (s *Server) Tmpfile(_ <-chan struct{}, in *gofuse.CreateIn, out *gofuse.CreateOut) gofuse.Status {
	s.counts.add(TemporaryFile)
	a, err := s.volume.MakeTemporary(in.NodeId, in.Mode, caller(&in.InHeader))
	out.OpenFlags = gofuse.FOPEN_KEEP_CACHE
	return s.entry(TemporaryFile, in.NodeId, a, err, &out.EntryOut)
}

func (s *Server) Symlink(_ <-chan struct{}, header *gofuse.InHeader, target, name string, out *gofuse.EntryOut) gofuse.Status {
	s.counts.add(Symlink)
	a, err := s.volume.Symlink(header.NodeId, name, target, caller(header))
	return s.entry(Symlink, header.NodeId, a, err, out)
}

func (s *Server) Link(_ <-chan struct{}, in *gofuse.LinkIn, name string, out *gofuse.EntryOut) gofuse.Status {
	s.counts.add(Link)
	a, err := s.volume.Link(in.Oldnodeid, in.NodeId, name)
	return s.entry(Link, in.NodeId, a, err, out)
}

func (s *Server) Readlink(_ <-chan struct{}, header *gofuse.InHeader) ([]byte, gofuse.Status) {
	s.counts.add(Readlink)
	target, err := s.volume.Readlink(header.NodeId)
	return []byte(target), s.status(Readlink, header.NodeId, err)
}

func (s *Server) Unlink(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	s.counts.add(Unlink)
	return s.status(Unlink, header.NodeId, s.volume.Unlink(header.NodeId, name))
}

func (s *Server) Rmdir(_ <-chan struct{}, header *gofuse.InHeader, name string) gofuse.Status {
	s.counts.add(RemoveDirectory)
	return s.status(RemoveDirectory, header.NodeId, s.volume.RemoveDirectory(header.NodeId, name))
}

func (s *Server) Rename(_ <-chan struct{}, in *gofuse.RenameIn, from, to string) gofuse.Status {
	s.counts.add(Rename)
	return s.status(Rename, in.NodeId, s.volume.Rename(in.NodeId, from, in.Newdir, to, in.Flags))
}

func caller(header *gofuse.InHeader) volume.Credentials {
	return volume.Credentials{UID: header.Uid, GID: header.Gid}
}

// ReadDir lists names without attributes.
func (s *Server) ReadDir(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	s.counts.add(ReadDirectory)
	return s.list(ReadDirectory, in, func(entry gofuse.DirEntry) bool { return out.AddDirEntry(entry) })
}

// ReadDirPlus lists names with what Lookup would answer for each, so that `ls -l` and a walk ask once for many names.
func (s *Server) ReadDirPlus(_ <-chan struct{}, in *gofuse.ReadIn, out *gofuse.DirEntryList) gofuse.Status {
	s.counts.add(ReadDirectoryPlus)
	var failed error
	status := s.list(ReadDirectoryPlus, in, func(entry gofuse.DirEntry) bool {
		slot := out.AddDirLookupEntry(entry)
		if slot == nil || entry.Name == "." || entry.Name == ".." { // for these two the kernel expects no answer, and does not forget it
			return slot != nil
		}
		a, err := s.volume.Attributes(entry.Ino)
		if err == nil {
			err = s.remember(a, slot)
		}
		if errors.Is(err, volume.ErrNotExist) {
			err = nil // removed meanwhile: inode 0 has the kernel look it up
		}
		failed = err
		return failed == nil
	})
	if failed != nil {
		return s.status(ReadDirectoryPlus, in.NodeId, failed)
	}
	return status
}

// list gives the entries after in.Offset: 0 before ".", 1 before "..", and 2 and more for the volume's own cookies.
func (s *Server) list(operation Operation, in *gofuse.ReadIn, add func(gofuse.DirEntry) bool) gofuse.Status {
	if in.Offset < 1 && !add(gofuse.DirEntry{Name: ".", Ino: in.NodeId, Mode: modeDirectory, Off: 1}) {
		return gofuse.OK
	}
	if in.Offset < 2 {
		parent, err := s.volume.Parent(in.NodeId)
		if err != nil {
			return s.status(operation, in.NodeId, err)
		}
		if !add(gofuse.DirEntry{Name: "..", Ino: parent, Mode: modeDirectory, Off: 2}) {
			return gofuse.OK
		}
	}
	// Collected first: the volume's lock must not be held while attributes are asked for.
	var entries []volume.Entry
	room := int(in.Size)
	err := s.volume.Directory(in.NodeId, max(in.Offset, 2)-2, func(entry volume.Entry) bool {
		entries = append(entries, entry)
		room -= direntSize + len(entry.Name)
		return room > 0
	})
	if err != nil {
		return s.status(operation, in.NodeId, err)
	}
	for _, entry := range entries {
		if !add(gofuse.DirEntry{Name: entry.Name, Ino: entry.Inode, Mode: entry.Mode, Off: entry.Cookie + 2}) {
			break
		}
	}
	return gofuse.OK
}

// direntSize is that of struct fuse_dirent without the name.
const direntSize = 24

// modeDirectory is S_IFDIR.
const modeDirectory = 0o040000
