// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"errors"
	"sync"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/store"
	"github.com/bulkhead-project/bulkhead/shield/volume"
)

const operationNotSupported = unix.EOPNOTSUPP

// statuses are the errors that file systems give as a matter of course.
var statuses = [...]struct {
	err    error
	status syscall.Errno
}{
	{volume.ErrNotExist, unix.ENOENT}, {volume.ErrExist, unix.EEXIST}, {volume.ErrNotEmpty, unix.ENOTEMPTY}, {volume.ErrNotDirectory, unix.ENOTDIR},
	{volume.ErrIsDirectory, unix.EISDIR}, {volume.ErrNotPermitted, unix.EPERM}, {volume.ErrNameTooLong, unix.ENAMETOOLONG}, {volume.ErrNoSpace, unix.ENOSPC},
	{volume.ErrInvalid, unix.EINVAL}, {volume.ErrFileTooBig, unix.EFBIG}, {volume.ErrTooManyLinks, unix.EMLINK}, {volume.ErrNoAttribute, unix.ENODATA},
	{volume.ErrAttributeTooBig, unix.E2BIG}, {volume.ErrAttributeName, unix.ERANGE}, {volume.ErrBeyondEnd, unix.ENXIO}, {volume.ErrNotSupported, unix.EOPNOTSUPP},
}

// status is the answer to a request that ended so. What is no ordinary error of a file system is EIO to the program, and its reason is kept.
func (s *Server) status(operation Operation, inode uint64, err error) gofuse.Status {
	if err == nil {
		return gofuse.OK
	}
	for _, known := range statuses {
		if errors.Is(err, known.err) {
			return gofuse.Status(known.status)
		}
	}
	switch store.KindOf(err) {
	case store.Full:
		return gofuse.Status(unix.ENOSPC)
	case store.ReadOnly:
		return gofuse.EROFS
	}
	s.failures.add(process.Failure{Time: time.Now().UTC(), Operation: operation.String(), Inode: inode, Reason: err.Error()})
	return gofuse.EIO
}

// keptFailures is how many of the first failures are kept: what comes first says what happened.
const keptFailures = 16

type failures struct {
	mutex sync.Mutex
	first []process.Failure
	count uint64
}

func (f *failures) add(failure process.Failure) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.count++
	if len(f.first) < keptFailures {
		f.first = append(f.first, failure)
	}
}

// Failures returns the first requests that failed, and how many did.
func (s *Server) Failures() (first []process.Failure, count uint64) {
	s.failures.mutex.Lock()
	defer s.failures.mutex.Unlock()
	return append([]process.Failure(nil), s.failures.first...), s.failures.count
}
