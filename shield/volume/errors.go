// SPDX-License-Identifier: Apache-2.0

package volume

import "errors"

// What an operation refuses, each the error of the system call that it names. Errors of the store come through as they are.
var (
	ErrNotExist        = errors.New("no such file or directory")              // ENOENT
	ErrExist           = errors.New("file exists")                            // EEXIST
	ErrNotEmpty        = errors.New("directory not empty")                    // ENOTEMPTY
	ErrNotDirectory    = errors.New("not a directory")                        // ENOTDIR
	ErrIsDirectory     = errors.New("is a directory")                         // EISDIR
	ErrNotPermitted    = errors.New("operation not permitted")                // EPERM
	ErrNameTooLong     = errors.New("name longer than 255 bytes")             // ENAMETOOLONG
	ErrNoSpace         = errors.New("no space left in the volume")            // ENOSPC
	ErrInvalid         = errors.New("invalid argument")                       // EINVAL
	ErrFileTooBig      = errors.New("file larger than a volume can hold")     // EFBIG
	ErrTooManyLinks    = errors.New("too many links")                         // EMLINK
	ErrNoAttribute     = errors.New("no such extended attribute")             // ENODATA
	ErrAttributeTooBig = errors.New("extended attribute longer than 64 KiB")  // E2BIG
	ErrAttributeName   = errors.New("extended attribute's name out of range") // ERANGE
	ErrBeyondEnd       = errors.New("no data or hole at or after the offset") // ENXIO
	ErrNotSupported    = errors.New("operation not supported")                // EOPNOTSUPP

	// ErrCorrupt is authentic bytes that no volume has: a fault of this program or of another version of it, not of the storage (EIO).
	ErrCorrupt = errors.New("contradicts itself")
)
