// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockedMemory maps whole pages for length bytes: of memfd_secret(2), which the kernel itself does not map, where it has that; else locked ones.
func lockedMemory(length int) ([]byte, error) {
	page := os.Getpagesize()
	size := (length + page - 1) / page * page
	if memory, err := secretMemory(size); err == nil {
		return memory, nil
	}
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	if err := unix.Mlock(memory); err != nil {
		unix.Munmap(memory)
		return nil, fmt.Errorf("mlock of %d bytes, see `ulimit -l`: %w", size, err)
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK} {
		if err := unix.Madvise(memory, advice); err != nil {
			unix.Munmap(memory)
			return nil, fmt.Errorf("madvise %d: %w", advice, err)
		}
	}
	return memory, nil
}

func secretMemory(size int) ([]byte, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// unlockMemory unmaps what was wiped. It cannot fail for a mapping of lockedMemory's.
func unlockMemory(memory []byte) { unix.Munmap(memory) }
