// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp"
)

// Filters keeps compiled filters in files of a directory, named by the digest of all that they are made of: policy, kernel and compiler. What
// is read is used only if it is this user's alone, as it was written, for this policy, and a program that the kernel takes.
type Filters struct {
	Directory string // made where it is missing
	Kernel    string // release
}

// A file is a head, the program, and the SHA-256 of both.
type filterHead struct {
	Key       [sha256.Size]byte
	Flags     uint32
	BigEndian bool
}

const (
	filterMode     = 0o600
	maximumFilter  = 1 << 16 // bytes of a file; a program has 32768 at most
	maximumFilters = 256     // files; over it the oldest half goes
)

// Compile returns the kept filter of the policy, or compiles and keeps it. That it cannot be kept is no error: it is compiled again then.
func (f Filters) Compile(policy *seccomp.Policy) (*seccomp.Filter, error) {
	key, err := f.key(policy)
	if err != nil {
		return seccomp.Compile(policy)
	}
	path := filepath.Join(f.Directory, hex.EncodeToString(key[:]))
	if filter, err := readFilter(path, key); err == nil {
		return filter, nil
	}
	filter, err := seccomp.Compile(policy)
	if err == nil && f.write(path, key, filter) == nil {
		f.prune()
	}
	return filter, err
}

// key names the filter. The compiler is this executable, which its file tells apart from those before and after it.
func (f Filters) key(policy *seccomp.Policy) (key [sha256.Size]byte, err error) {
	var self unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &self); err != nil {
		return key, err
	}
	text := append([]byte(f.Kernel), 0)
	for _, number := range []uint64{uint64(self.Dev), self.Ino, uint64(self.Size), uint64(self.Mtim.Nano()), uint64(self.Ctim.Nano())} {
		text = binary.BigEndian.AppendUint64(text, number)
	}
	if text, err = policy.AppendBinary(text); err != nil {
		return key, err
	}
	return sha256.Sum256(text), nil
}

// readFilter reads a kept filter.
func readFilter(path string, key [sha256.Size]byte) (*seccomp.Filter, error) {
	descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(descriptor), path)
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return nil, err
	}
	if stat.Mode != unix.S_IFREG|filterMode || stat.Uid != uint32(os.Geteuid()) {
		return nil, errors.New("not this user's alone")
	}
	content, err := io.ReadAll(io.LimitReader(file, maximumFilter))
	if err != nil {
		return nil, err
	}
	var head filterHead
	size, end := binary.Size(head), len(content)-sha256.Size
	if end < size {
		return nil, io.ErrUnexpectedEOF
	}
	if sum := sha256.Sum256(content[:end]); !bytes.Equal(sum[:], content[end:]) {
		return nil, errors.New("not as it was written")
	}
	if _, err := binary.Decode(content, binary.BigEndian, &head); err != nil {
		return nil, err
	}
	if head.Key != key {
		return nil, errors.New("another filter")
	}
	return seccomp.DecodeFilter(content[size:end], head.BigEndian, seccomp.Flags(head.Flags))
}

// write puts the file there in one step.
func (f Filters) write(path string, key [sha256.Size]byte, filter *seccomp.Filter) error {
	content, err := binary.Append(nil, binary.BigEndian, filterHead{key, uint32(filter.Flags), filter.BigEndian})
	if err != nil {
		return err
	}
	content = append(content, filter.Bytes()...)
	sum := sha256.Sum256(content)
	if err := os.MkdirAll(f.Directory, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(f.Directory, ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(content, sum[:]...))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// prune keeps the directory from growing without end, with what killed processes left in it.
func (f Filters) prune() {
	entries, err := os.ReadDir(f.Directory)
	if err != nil || len(entries) <= maximumFilters {
		return
	}
	type aged struct {
		name    string
		written int64
	}
	var files []aged
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			files = append(files, aged{entry.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(files, func(a, b aged) int { return cmp.Compare(a.written, b.written) })
	for _, file := range files[:len(files)/2] {
		os.Remove(filepath.Join(f.Directory, file.name))
	}
}
