// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floors are loops of bare system calls over names that are known and directories that are open: nothing is looked for, compared, written down
// or undone. What labels and remembers cannot take less on this kernel and file system.
var floors = []string{"floor: setxattrat", "floor: getxattrat, setxattrat", "floor: statx, getxattrat; openat2, fstat, fsetxattr, close"}

// open is a directory with the names of its files.
type open struct {
	descriptor int
	names      [][]byte // with a zero byte at the end
}

// workFloor runs a loop, with a thread for each processor, and prints what it took.
func workFloor(which, context, tree string) error {
	directories, err := openAll(tree)
	if err != nil {
		return err
	}
	calls := &bare{value: append([]byte(context), 0)}
	passes := map[string][]func(*room, int, []byte) error{
		floors[0]: {calls.setByName},
		floors[1]: {func(r *room, directory int, name []byte) error {
			if err := calls.getByName(r, directory, name); err != nil {
				return err
			}
			return calls.setByName(r, directory, name)
		}},
		floors[2]: {calls.look, calls.setPinned},
	}[which]
	started, before := time.Now(), usedCPU()
	for _, pass := range passes {
		if err := forAll(directories, pass); err != nil {
			return err
		}
	}
	fmt.Println(time.Since(started).Nanoseconds(), (usedCPU() - before).Nanoseconds())
	return nil
}

func openAll(tree string) ([]open, error) {
	var directories []open
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			last := &directories[len(directories)-1]
			last.names = append(last.names, append([]byte(entry.Name()), 0))
			return nil
		}
		descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		directories = append(directories, open{descriptor, [][]byte{{'.', 0}}})
		return err
	})
	return directories, err
}

func usedCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// room is what the kernel writes to.
type room struct {
	label     [256]byte
	statx     unix.Statx_t
	stat      unix.Stat_t
	arguments struct {
		value uint64
		size  uint32
		flags uint32
	}
}

func forAll(directories []open, call func(*room, int, []byte) error) error {
	var (
		next  atomic.Int64
		group sync.WaitGroup
		lock  sync.Mutex
		found error
	)
	for range runtime.NumCPU() {
		group.Go(func() {
			into := &room{}
			for i := next.Add(1) - 1; int(i) < len(directories); i = next.Add(1) - 1 {
				for _, name := range directories[i].names {
					if err := call(into, directories[i].descriptor, name); err != nil {
						lock.Lock()
						found = fmt.Errorf("%s: %w", name[:len(name)-1], err)
						lock.Unlock()
					}
				}
			}
		})
	}
	group.Wait()
	return found
}

// bare makes the calls. For the place of a tree's attributes see Attribute of enforce/label.
type bare struct{ value []byte }

var attribute = []byte("security.selinux\x00")

func call(number uintptr, arguments ...uintptr) (uintptr, error) {
	var six [6]uintptr
	copy(six[:], arguments)
	result, _, errno := unix.RawSyscall6(number, six[0], six[1], six[2], six[3], six[4], six[5])
	if errno != 0 {
		return 0, os.NewSyscallError(fmt.Sprint("system call ", number), errno)
	}
	return result, nil
}

func at[T any](pointer *T) uintptr { return uintptr(unsafe.Pointer(pointer)) }

func (b *bare) setByName(r *room, directory int, name []byte) error {
	r.arguments.value, r.arguments.size = uint64(at(&b.value[0])), uint32(len(b.value))
	_, err := call(unix.SYS_SETXATTRAT, uintptr(directory), at(&name[0]), unix.AT_SYMLINK_NOFOLLOW, at(&attribute[0]), at(&r.arguments), unsafe.Sizeof(r.arguments))
	return err
}

func (b *bare) getByName(r *room, directory int, name []byte) error {
	r.arguments.value, r.arguments.size = uint64(at(&r.label[0])), uint32(len(r.label))
	_, err := call(unix.SYS_GETXATTRAT, uintptr(directory), at(&name[0]), unix.AT_SYMLINK_NOFOLLOW, at(&attribute[0]), at(&r.arguments), unsafe.Sizeof(r.arguments))
	return err
}

func (b *bare) look(r *room, directory int, name []byte) error {
	const mask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	if _, err := call(unix.SYS_STATX, uintptr(directory), at(&name[0]), unix.AT_SYMLINK_NOFOLLOW, mask, at(&r.statx)); err != nil {
		return err
	}
	return b.getByName(r, directory, name)
}

func (b *bare) setPinned(r *room, directory int, name []byte) error {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	descriptor, err := call(unix.SYS_OPENAT2, uintptr(directory), at(&name[0]), at(&how), unsafe.Sizeof(how))
	if err != nil {
		return err
	}
	_, err = call(unix.SYS_FSTAT, descriptor, at(&r.stat))
	if err == nil {
		_, err = call(unix.SYS_FSETXATTR, descriptor, at(&attribute[0]), at(&b.value[0]), uintptr(len(b.value)), 0)
	}
	if err == nil {
		_, err = call(unix.SYS_CLOSE, descriptor)
	}
	return err
}
