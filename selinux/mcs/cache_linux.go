// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cacheName holds the pairs of the files that Elsewhere has read, by what tells a file from every other and from itself after a change.
//
// What it says is never older than the file. Directories are listed and every file's status is read each time; the pairs are the cache's only where
// device, inode, birth, size and status change time are those of the file that was read. The last of these is set by the kernel alone, at every write,
// rename and change of owner or mode, to the time of that. A file is kept only if it had not changed for settled when it was read, so that whatever
// changes it afterwards gives it a later time, however coarse the file system's clock is; and the cache is dropped when the clock was set back, and with
// the boot, after which device numbers may mean others. Of file systems whose status another machine or program answers for, nothing is kept.
//
// One thing is taken for granted: that who replaces a file's content in place ends doing so within settled of beginning. Engines and libvirt rename a
// whole file to the name; containerd writes its own once, before the container is there.
//
// It is written with one write and no lock. Half of one, or a mixture of two, has not the digest that it names, and is no cache.
const cacheName = ".elsewhere"

const (
	settled = 5 * time.Second
	// setBack is how far the clock may be set back unnoticed; with what passes between two looks at clocks it stays well below settled.
	setBack = time.Second
)

// cache is what was read of the file, and what is to be written to it.
type cache struct {
	directory *directory // nil: nothing is kept
	header    cacheHeader
	known     map[fileState][]Pair
	used      []cached // of this time
	learned   bool     // some of them are not in the file
}

type cached struct {
	fileState
	pairs []Pair
}

// fileState is what a file is told by.
type fileState struct {
	Format             uint64
	Device, Inode      uint64
	Size               uint64
	Born, StatusChange int64 // ns since 1970; Born is 0 where the file system does not say
}

// cacheHeader says of what boot the entries are, and of what clock: the wall's less that since the boot, in ns, which only setting the clock changes.
type cacheHeader struct {
	Boot  [36]byte
	Clock int64
}

// openCache reads the cache of a directory; an empty one where there is none that can be trusted.
func openCache(path string) *cache {
	c := &cache{}
	if path == "" {
		return c
	}
	boot, err := readBootID("/proc")
	if err != nil || copy(c.header.Boot[:], boot) != len(boot) {
		return c
	}
	if c.directory, err = openDirectory(path, false); err != nil {
		c.directory = nil
		return c
	}
	c.header.Clock = clock()
	header, entries := c.load()
	if header.Boot == c.header.Boot && c.header.Clock >= header.Clock-int64(setBack) {
		c.known, c.header.Clock = entries, max(c.header.Clock, header.Clock)
	}
	return c
}

func clock() int64 {
	var wall, boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return wall.Nano() - boot.Nano()
}

func (c *cache) load() (cacheHeader, map[fileState][]Pair) {
	file, err := c.directory.open(cacheName, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return cacheHeader{}, nil
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxState))
	if err != nil {
		return cacheHeader{}, nil
	}
	header, entries, _ := decodeCache(data)
	return header, entries
}

// keep writes what was learned and closes the cache. That it could not be written costs time and nothing else.
func (c *cache) keep() {
	if c.directory == nil {
		return
	}
	defer c.directory.close()
	if !c.learned {
		return
	}
	if file, err := c.directory.open(cacheName, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK); err == nil {
		defer file.Close()
		file.WriteAt(encodeCache(c.header, c.used), 0)
	}
}

// pairs returns the pairs of a file, once each; none where it is not there.
func (c *cache) pairs(path string, format format) ([]Pair, error) {
	state, err := stateOf(unix.AT_FDCWD, path, format)
	if absent(err) {
		return nil, nil
	}
	if pairs, ok := c.known[state]; ok && err == nil {
		c.used = append(c.used, cached{state, pairs})
		return pairs, nil
	}
	return c.read(path, format)
}

func (c *cache) read(path string, format format) ([]Pair, error) {
	found, err := read(path, format)
	if err != nil {
		return nil, err
	}
	var pairs []Pair
	for _, use := range found.uses {
		if !slices.Contains(pairs, use.Pair) {
			pairs = append(pairs, use.Pair)
		}
	}
	if c.directory != nil && found.quiet {
		c.used, c.learned = append(c.used, cached{found.state, pairs}), true
	}
	return pairs, nil
}

func stateOf(descriptor int, path string, format format) (fileState, error) {
	flags := unix.AT_STATX_SYNC_AS_STAT
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var stat unix.Statx_t
	if err := unix.Statx(descriptor, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stat); err != nil {
		return fileState{}, err
	}
	state := fileState{Format: uint64(format), Device: unix.Mkdev(stat.Dev_major, stat.Dev_minor), Inode: stat.Ino, Size: stat.Size,
		StatusChange: nanoseconds(stat.Ctime)}
	if stat.Mask&unix.STATX_BTIME != 0 {
		state.Born = nanoseconds(stat.Btime)
	}
	return state, nil
}

func nanoseconds(time unix.StatxTimestamp) int64 { return time.Sec*1e9 + int64(time.Nsec) }

// tellsChanges reports whether this kernel itself keeps the file's times: neither a server nor a program that the file system asks.
func tellsChanges(descriptor int) bool {
	const zfs = 0x2fc12fc1 // ZFS_SUPER_MAGIC of OpenZFS
	var stat unix.Statfs_t
	err := unix.Fstatfs(descriptor, &stat)
	return err == nil && slices.Contains([]int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, zfs}, int64(stat.Type))
}

// The file is the digest of what follows, the length of that as 8 bytes, the header, and each entry: state, number of pairs as 8 bytes, and pairs, in the
// byte order of the machine. What lies behind is of an earlier, longer one.
func encodeCache(header cacheHeader, entries []cached) []byte {
	data := make([]byte, sha256.Size+8)
	data, _ = binary.Append(data, binary.NativeEndian, header)
	for _, entry := range entries {
		data, _ = binary.Append(data, binary.NativeEndian, entry.fileState)
		data = binary.NativeEndian.AppendUint64(data, uint64(len(entry.pairs)))
		for _, pair := range entry.pairs {
			data = binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(data, pair.Low), pair.High)
		}
	}
	binary.NativeEndian.PutUint64(data[sha256.Size:], uint64(len(data)-sha256.Size-8))
	digest := sha256.Sum256(data[sha256.Size:])
	copy(data, digest[:])
	return data
}

var errNoCache = errors.New("no cache of pairs")

func decodeCache(data []byte) (cacheHeader, map[fileState][]Pair, error) {
	var header cacheHeader
	digest, rest, err := cut(data, sha256.Size)
	if err != nil || len(rest) < 8 {
		return cacheHeader{}, nil, errNoCache
	}
	length := binary.NativeEndian.Uint64(rest)
	if length > uint64(len(rest)-8) {
		return cacheHeader{}, nil, errNoCache
	}
	rest = rest[:8+length]
	if sum := sha256.Sum256(rest); !bytes.Equal(sum[:], digest) {
		return cacheHeader{}, nil, errNoCache
	}
	size, err := binary.Decode(rest[8:], binary.NativeEndian, &header)
	if err != nil {
		return cacheHeader{}, nil, errNoCache
	}
	entries := map[fileState][]Pair{}
	for rest = rest[8+size:]; len(rest) > 0; {
		var entry cached
		if entry, rest, err = decodeCached(rest); err != nil {
			return cacheHeader{}, nil, err
		}
		entries[entry.fileState] = entry.pairs
	}
	return header, entries, nil
}

func decodeCached(data []byte) (cached, []byte, error) {
	var entry cached
	size, err := binary.Decode(data, binary.NativeEndian, &entry.fileState)
	if err != nil || len(data)-size < 8 {
		return cached{}, nil, errNoCache
	}
	count := binary.NativeEndian.Uint64(data[size:])
	if data = data[size+8:]; count > uint64(len(data)/4) {
		return cached{}, nil, errNoCache
	}
	for range count {
		pair := Pair{binary.NativeEndian.Uint16(data), binary.NativeEndian.Uint16(data[2:])}
		if pair.check() != nil {
			return cached{}, nil, errNoCache
		}
		entry.pairs, data = append(entry.pairs, pair), data[4:]
	}
	return entry, data, nil
}

func cut(data []byte, length int) (head, tail []byte, err error) {
	if len(data) < length {
		return nil, nil, errNoCache
	}
	return data[:length], data[length:], nil
}
