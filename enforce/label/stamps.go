// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Stamps are kept beside the journal when all of a tree was found or made as asked: for each directory its inode and the time of its last change.
// What is added to a directory, taken from it, renamed in it or moved into it changes that time, and so does another label of the directory
// itself. So with Options.Quick only directories with another time are read again. What a stamp does not show is that somebody
// relabelled or chowned a file in its place.
//
// Their file has records as the journal has, after stampMagic:
//
//	stamps       number of the file system (8 bytes), then as in begin
//	directories  for each: path and a zero byte, inode, seconds, nanoseconds, files in it with itself, 1 if it can be trusted
//	stamped      how many directories there are; last
const (
	stampMagic    = "bhstamp\x01"
	kindStamps    = 'S'
	kindDirectory = 'D'
	kindStamped   = 'E'

	fullStamps    = 1 << 14 // a record of directories is ended beyond this
	maximumStamps = 1 << 18 // of a larger tree none are kept
)

// stamp is a directory as it was when all that it holds was as asked.
type stamp struct {
	directory            string // relative to the tree
	inode                uint64
	seconds, nanoseconds uint64 // of its last change
	files                int
	// trusted: every later change has another time.
	trusted bool
}

func (s *stamp) append(to []byte) []byte {
	to = append(append(to, s.directory...), 0)
	return appendIntegers(to, s.inode, s.seconds, s.nanoseconds, uint64(s.files), one(s.trusted))
}

// nextStamp takes the first stamp off the body of a record.
func nextStamp(body []byte) (found stamp, rest []byte, err error) {
	directory, rest, ok := bytes.Cut(body, []byte{0})
	if !ok {
		return stamp{}, nil, errTorn
	}
	var files, trusted uint64
	found.directory = string(directory)
	rest, err = integers(rest, &found.inode, &found.seconds, &found.nanoseconds, &files, &trusted)
	found.files, found.trusted = int(uint32(files)), trusted == 1
	return found, rest, err
}

func encodeStamps(fileSystem uint64, what begin) []byte {
	return appendRecord([]byte(stampMagic), kindStamps, what.encode(binary.LittleEndian.AppendUint64(nil, fileSystem)))
}

// readStamps calls visit with bodies of directories, which stay as they are. An error says that there are no stamps for this change, whole.
func readStamps(r *reader, fileSystem uint64, what begin, visit func(body []byte)) error {
	start := make([]byte, len(encodeStamps(fileSystem, what)))
	for i := range start {
		b, err := r.ReadByte()
		if err != nil {
			return torn(err)
		}
		start[i] = b
	}
	if !bytes.Equal(start, encodeStamps(fileSystem, what)) {
		return errors.New("stamps of another labelling")
	}
	for read := uint64(0); ; {
		kind, body, err := r.next()
		if err != nil {
			return torn(err)
		}
		switch kind {
		case kindDirectory:
			for rest := body; len(rest) > 0; read++ {
				if _, rest, err = nextStamp(rest); err != nil {
					return err
				}
			}
			if read > maximumStamps {
				return errTorn
			}
			visit(bytes.Clone(body))
		case kindStamped:
			var count uint64
			if rest, err := integers(body, &count); err != nil || len(rest) > 0 || count != read {
				return errTorn
			}
			return nil
		default:
			return errTorn
		}
	}
}
