// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// occupiedName is a table of one byte for each pair, in row Low and column High, not 0 where the pair is taken: so the last free pair is found
// without listing half a million files. It is a hint, and the files are the truth: a pair that it shows as free is tried, and before it is believed
// that none is free the directory is listed and the table written anew.
//
// One byte is one write, so that processes need no lock to set theirs. Bytes are cleared under the lock, after the file is gone. What a process killed
// between the two, a power cut or a rewrite at the same moment leaves wrong is therefore either free and shown as taken, which the listing mends, or
// taken and shown as free, which the try finds out.
const occupiedName = ".occupied"

// occupied is the table: 1 MiB, of which the half above the diagonal is used.
type occupied []byte

const occupiedSize = selinux.MaxCategories * selinux.MaxCategories

func (p Pair) cell() int { return int(p.Low)*selinux.MaxCategories + int(p.High) }

// mark notes that the pair is taken or free. A table that cannot be written costs time later and nothing else, so that no error is worth failing for.
func (d *directory) mark(pair Pair, taken byte) {
	file, err := d.open(occupiedName, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK)
	if err != nil {
		return
	}
	defer file.Close()
	file.WriteAt([]byte{taken}, int64(pair.cell()))
}

// readOccupied reads the table; where there is none, or none that can be read, every pair is shown as taken.
func (d *directory) readOccupied() occupied {
	table := make(occupied, occupiedSize)
	file, err := d.open(occupiedName, unix.O_RDONLY|unix.O_NONBLOCK)
	if err == nil {
		defer file.Close()
		_, err = file.ReadAt(table, 0)
	}
	if err != nil && err != io.EOF { // what was never written is free
		return bytes.Repeat(occupied{1}, occupiedSize)
	}
	return table
}

// recount makes the table anew from a listing. Under the lock, so that nothing is removed meanwhile.
func (d *directory) recount() (occupied, error) {
	release, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer release()
	table := make(occupied, occupiedSize)
	if err := d.pairs(func(pair Pair) { table[pair.cell()] = 1 }); err != nil {
		return nil, err
	}
	if file, err := d.open(occupiedName, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK); err == nil {
		defer file.Close()
		file.WriteAt(table, 0)
	}
	return table, nil
}

// free lists the pairs of a range that are neither shown as taken nor to be avoided.
func (t occupied) free(low, high uint16, avoid *pairSet) []Pair {
	var free []Pair
	for a := low; a < high; a++ {
		for b := a + 1; b <= high; b++ {
			next := bytes.IndexByte(t[Pair{a, b}.cell():Pair{a, high}.cell()+1], 0)
			if next < 0 {
				break
			}
			b += uint16(next)
			if pair := (Pair{a, b}); !avoid.has(pair) {
				free = append(free, pair)
			}
		}
	}
	return free
}
