// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bufio"
	"errors"
	"hash/maphash"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// settled is how long a directory must have been as it is to be trusted where the file system's clock is coarse: ext4 with small inodes counts seconds.
const settled = 2 * time.Second

func stampsPath(journal string) string    { return journal + ".stamps" }
func newStampsPath(journal string) string { return journal + ".stamps.new" }

// stamper writes stamps. The zero one writes none, and so does one that met an error: stamps only save time.
type stamper struct {
	journal string
	started time.Time

	lock  sync.Mutex
	file  *os.File
	out   *bufio.Writer
	body  []byte
	count uint64
}

// startStamps starts to write stamps of a tree, where its file system is one that is known to change a directory's time with what it holds.
func startStamps(t *tree, journal string, what begin) *stamper {
	s := &stamper{journal: journal, started: time.Now()}
	number, known, _ := t.fileSystem()
	if !known || what.crossed {
		return s
	}
	os.Remove(newStampsPath(journal)) // of another that was killed, or that goes on without
	file, err := os.OpenFile(newStampsPath(journal), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return s
	}
	s.file, s.out = file, bufio.NewWriterSize(file, window)
	s.out.Write(encodeStamps(number, what))
	return s
}

// fileSystem returns the number of the tree's file system, which stays the same as long as it is mounted or longer; whether it is known to change a
// directory's time with what it holds; and whether it does so by the directory's own clock: tmpfs gives a directory the time of a file that is
// linked into it, which can be the directory's last time where that was a moment ago.
func (t *tree) fileSystem() (number uint64, known, own bool) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(t.root, &stat); err != nil {
		return 0, false, false
	}
	const ext4, xfs, btrfs, tmpfs, f2fs = 0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010
	own = slices.Contains([]int64{ext4, xfs, btrfs}, int64(stat.Type))
	return uint64(uint32(stat.Fsid.Val[0]))<<32 | uint64(uint32(stat.Fsid.Val[1])), own || stat.Type == tmpfs || stat.Type == f2fs, own
}

func (s *stamper) add(stamp stamp) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.file == nil {
		return
	}
	s.body, s.count = stamp.append(s.body), s.count+1
	if len(s.body) >= fullStamps {
		s.out.Write(appendRecord(nil, kindDirectory, s.body))
		s.body = s.body[:0]
	}
	if s.count > maximumStamps {
		s.abandonLocked()
	}
}

// addRead adds a directory that was read with that state before.
func (s *stamper) addRead(directory string, before *unix.Statx_t, files int, asAsked bool) {
	changed := time.Unix(before.Ctime.Sec, int64(before.Ctime.Nsec))
	s.add(stamp{directory, before.Ino, uint64(before.Ctime.Sec), uint64(before.Ctime.Nsec), files, asAsked && changed.Before(s.started.Add(-settled))})
}

// finish puts the stamps in their place. That fails where somebody began to change labels since startStamps, who took the file away.
func (s *stamper) finish() {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.file == nil {
		return
	}
	text := appendRecord(nil, kindDirectory, s.body)
	s.out.Write(appendRecord(text, kindStamped, appendIntegers(nil, s.count)))
	err := errors.Join(s.out.Flush(), s.file.Close())
	s.file = nil
	if err == nil {
		err = os.Rename(newStampsPath(s.journal), stampsPath(s.journal))
	}
	if err != nil {
		os.Remove(newStampsPath(s.journal))
	}
}

func (s *stamper) abandon() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.abandonLocked()
}

func (s *stamper) abandonLocked() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
		os.Remove(newStampsPath(s.journal))
	}
}

// dropStamps removes the stamps of a tree and of all that it is in, by whatever path these are reached, and those that are being made of what it
// is in. It is called before labels change and after that, so that no stamps can hide a change that was made meanwhile.
func dropStamps(path, journal string) error {
	journals := []string{journal}
	mounts, err := ReadMounts()
	if err != nil {
		return err
	}
	for _, alias := range append(mounts.Aliases(path), path) {
		for above := alias; ; above = filepath.Dir(above) {
			journals = append(journals, filepath.Join(filepath.Dir(journal), filepath.Base(JournalPath("", above))))
			if above == filepath.Dir(above) {
				break
			}
		}
	}
	dropped := false
	for _, above := range journals {
		for _, stamps := range []string{stampsPath(above), newStampsPath(above)} {
			if stamps == newStampsPath(journal) {
				continue
			}
			err := os.Remove(stamps)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			dropped = dropped || err == nil
		}
	}
	if dropped {
		return syncDirectory(filepath.Dir(journal))
	}
	return nil
}

// stamped is what stamps say of a tree now.
type stamped struct {
	files   int                 // in directories that did not change
	known   map[uint64]struct{} // hashes of the paths of directories that have stamps and are there
	seed    maphash.Seed
	changed []string // of these the ones to be read again, sorted
}

func (s *stamped) has(directory string) bool {
	_, known := s.known[maphash.String(s.seed, directory)]
	return known
}

// checkStamps compares the stamps of a change with the tree, and writes those that still hold to into. It returns nil where there are none.
func checkStamps(t *tree, journal string, what begin, into *stamper) *stamped {
	number, known, _ := t.fileSystem()
	file, err := os.Open(stampsPath(journal))
	if err != nil || !known || what.crossed || t.mountedBeneath() {
		return nil
	}
	defer file.Close()
	found := &stamped{known: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	var lock sync.Mutex
	bodies := make(chan []byte, workers())
	var group sync.WaitGroup
	for range workers() {
		group.Go(func() {
			for body := range bodies {
				t.checkBody(body, func(stamp stamp, there, same bool) {
					lock.Lock()
					defer lock.Unlock()
					if there {
						found.known[maphash.String(found.seed, stamp.directory)] = struct{}{}
					}
					if same {
						found.files += stamp.files
						into.add(stamp)
					} else if there {
						found.changed = append(found.changed, stamp.directory)
					}
				})
			}
		})
	}
	err = readStamps(newReader(file, 0), number, what, func(body []byte) { bodies <- body })
	close(bodies)
	group.Wait()
	if err != nil || !found.has("") {
		return nil
	}
	slices.Sort(found.changed)
	return found
}

// checkBody looks whether directories are still there, and the same. A path that leads through a symbolic link now leads through a directory that has
// changed, which will be read.
func (t *tree) checkBody(body []byte, say func(stamp stamp, there, same bool)) {
	var stat unix.Statx_t
	for len(body) > 0 {
		path := body
		stamp, rest, err := nextStamp(body)
		if err != nil {
			return // readStamps has decoded them all
		}
		body = rest
		if stamp.directory == "" {
			err = statxDescriptor(t.root, &stat)
		} else {
			err = statx(t.root, path, &stat)
		}
		there := err == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
		same := stamp.inode == stat.Ino && stamp.seconds == uint64(stat.Ctime.Sec) && stamp.nanoseconds == uint64(stat.Ctime.Nsec)
		say(stamp, there, there && same && stamp.trusted)
	}
}

// mountedBeneath reports whether there is a mount beneath the tree, or this cannot be known. That changes no directory's time.
func (t *tree) mountedBeneath() bool {
	path, err := os.Readlink(handle(t.root))
	if err != nil || !strings.HasPrefix(path, "/") {
		return true
	}
	mounts, err := ReadMounts()
	if err != nil {
		return true
	}
	for _, mount := range mounts {
		if rest, ok := below(mount.path, path); ok && rest != "" {
			return true
		}
	}
	return false
}

// clock is whether a directory that changed a moment ago can be trusted.
type clock struct{ state atomic.Int32 }

const (
	clockUnknown = iota
	clockFine
	clockCoarse
)

// fine reports whether two changes have two times, however close to each other they are, where somebody has asked for the time between them. That is so
// on most file systems since Linux 6.13. It is tried out on a directory that was just given a label, by that label without its zero byte, which means the same, and again
// with it.
func (c *clock) fine(t *tree, directory pinned, value []byte) bool {
	for range 4 {
		if state := c.state.Load(); state != clockUnknown {
			return state == clockFine
		}
		if _, _, own := t.fileSystem(); !own {
			c.state.Store(clockCoarse)
			continue
		}
		var first, second unix.Statx_t
		tick := coarseTime()
		err := directory.setLabel(value[:len(value)-1])
		if err == nil {
			err = statxDescriptor(directory.descriptor, &first)
		}
		if err == nil {
			err = directory.setLabel(value)
		}
		if err == nil {
			err = statxDescriptor(directory.descriptor, &second)
		}
		switch {
		case err == nil && tick != coarseTime(): // they may differ for that alone
		case err == nil && first.Ctime != second.Ctime:
			c.state.Store(clockFine)
		default:
			c.state.Store(clockCoarse)
		}
	}
	return false
}

// coarseTime is the time of the kernel's last tick, by which file systems with a coarse clock count.
func coarseTime() unix.Timespec {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return unix.Timespec{Sec: math.MinInt64}
	}
	return now
}
