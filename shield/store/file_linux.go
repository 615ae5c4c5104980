// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// File is an image in a file, locked against every other opening by flock(2). The lock belongs to the open file description, so that a child
// which inherits the descriptor holds it too.
type File struct {
	file     *os.File
	readOnly bool
	early    early
}

const (
	earlyLeast = 64 << 10 // bytes of a write that counts: a smaller one is of the log or a page, which a sync follows at once, or random
	earlyMost  = 4 << 20  // bytes written before the kernel is told to begin
)

// early is what was written and the kernel was not told to write back: a sync of much data then finds most of it on storage, and the storage works while the
// next blocks are encrypted.
type early struct {
	mutex    sync.Mutex
	from, to int64 // bytes of the image: where it lies, with what is between
	bytes    int64
}

// wrote notes a write, and returns the range that is to be written back now, or an empty one.
func (e *early) wrote(offset, length int64) (from, count int64) {
	if length < earlyLeast {
		return 0, 0
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.bytes == 0 {
		e.from, e.to = offset, offset
	}
	e.from, e.to, e.bytes = min(e.from, offset), max(e.to, offset+length), e.bytes+length
	if e.bytes < earlyMost {
		return 0, 0
	}
	e.bytes = 0
	return e.from, e.to - e.from
}

// OpenFile opens and locks the image at path. Where another process has it, the error is Busy and names the process.
func OpenFile(path string, readOnly bool) (*File, error) {
	flags := unix.O_RDWR
	if readOnly {
		flags = unix.O_RDONLY
	}
	return lock(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, readOnly) // a FIFO in its place would wait for ever
}

// CreateFile makes an empty image at path, readable by its owner only, and locks it.
func CreateFile(path string) (*File, error) {
	return lock(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, false)
}

func lock(path string, flags int, readOnly bool) (*File, error) {
	f, err := os.OpenFile(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, lost(path, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &Error{Kind: Format, Place: path, What: "is no regular file", Err: err}
	}
	b, err := NewFile(f, readOnly)
	if err != nil {
		_ = f.Close()
	}
	return b, err
}

// NewFile takes over a file that is open already, such as an inherited one, and locks it if its description does not hold the lock.
func NewFile(f *os.File, readOnly bool) (*File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, lost(f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &Error{Kind: Format, Place: f.Name(), What: "is not a regular file"}
	}
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &Error{Kind: Busy, Place: f.Name(), What: "is in use" + holder(&st), Hint: "a volume has one server at a time: stop the container or unmount the volume that has it"}
	}
	if err != nil {
		return nil, lost(f.Name(), err)
	}
	return &File{file: f, readOnly: readOnly}, nil
}

// holder names the process with the lock, as far as /proc/locks (proc_locks(5)) shows it: device numbers in hexadecimal, then the inode.
func holder(st *unix.Stat_t) string {
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) >= 6 && words[1] == "FLOCK" && words[5] == inode {
			if pid, err := strconv.Atoi(words[4]); err == nil && pid > 0 {
				return fmt.Sprintf(" by process %d", pid)
			}
		}
	}
	return ""
}

// ReadAt is that of io.ReaderAt.
func (f *File) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.file.ReadAt(p, offset)
	if err == io.EOF {
		return n, io.EOF
	}
	return n, kinded(err)
}

// WriteAt is that of io.WriterAt.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.file.WriteAt(p, offset)
	if from, count := f.early.wrote(offset, int64(n)); count > 0 {
		// Only a hint, which some file systems refuse. What fails of the writing back is reported by Sync: without a WAIT flag nothing of it is taken here.
		_ = unix.SyncFileRange(int(f.file.Fd()), from, count, unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, kinded(err)
}

// Sync is fdatasync(2), which writes the size too where it has changed.
func (f *File) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.file.Fd())); err != unix.EINTR {
			return kinded(err)
		}
	}
}

// Size is in bytes.
func (f *File) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Resize has space set aside for what is new (fallocate(2)), so that no write into it finds a full disk; where the file system cannot do that
// the file grows with a hole.
func (f *File) Resize(size int64) error {
	old, err := f.Size()
	if err != nil {
		return err
	}
	if size <= old {
		return kinded(unix.Ftruncate(int(f.file.Fd()), size))
	}
	for {
		err = unix.Fallocate(int(f.file.Fd()), 0, old, size-old)
		if err != unix.EINTR {
			break
		}
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = unix.Ftruncate(int(f.file.Fd()), size)
	}
	if err != nil {
		_ = unix.Ftruncate(int(f.file.Fd()), old) // some file systems keep what they had set aside before they found no more
	}
	return kinded(err)
}

// Available is what the file system has free for its users, in bytes.
func (f *File) Available() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.file.Fd()), &st); err != nil {
		return 0, kinded(err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Close ends the lock, unless another process inherited it.
func (f *File) Close() error { return f.file.Close() }

// kinded gives the errors of a full file system their kind.
func kinded(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &Error{Kind: Full, Place: "the file system of the volume", Err: err, Hint: "free space there"}
	}
	return err
}
