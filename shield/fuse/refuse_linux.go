// SPDX-License-Identifier: Apache-2.0

package fuse

import gofuse "github.com/hanwen/go-fuse/v2/fuse"

// ENOSYS to these requests has the kernel do without them for as long as the file system is mounted; see the package comment.

func (s *Server) Open(<-chan struct{}, *gofuse.OpenIn, *gofuse.OpenOut) gofuse.Status {
	return s.refuse()
}

func (s *Server) OpenDir(<-chan struct{}, *gofuse.OpenIn, *gofuse.OpenOut) gofuse.Status {
	return s.refuse()
}

// Create would open a file too, and each would have to be released; the kernel sends MKNOD instead.
func (s *Server) Create(<-chan struct{}, *gofuse.CreateIn, string, *gofuse.CreateOut) gofuse.Status {
	return s.refuse()
}

func (s *Server) Flush(<-chan struct{}, *gofuse.FlushIn) gofuse.Status { return s.refuse() }

func (s *Server) Access(<-chan struct{}, *gofuse.AccessIn) gofuse.Status { return s.refuse() }

func (s *Server) Lseek(<-chan struct{}, *gofuse.LseekIn, *gofuse.LseekOut) gofuse.Status {
	return s.refuse()
}

func (s *Server) refuse() gofuse.Status {
	s.counts.add(Refused)
	return gofuse.ENOSYS
}
