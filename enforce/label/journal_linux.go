// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// book is the journal of one tree as a file. Whoever has it open holds its lock.
type book struct {
	path  string
	begin begin

	file  *os.File // nil: there is none, or not yet
	made  bool     // by this call
	found []span   // of transactions that were there
	slot  slot
	start int64 // where this call's begins
	out   *bufio.Writer
	size  int64 // what was written to out
}

// openExisting opens and reads the journal where there is one, and cuts off what a writer that was killed left at its end.
func (b *book) openExisting() error {
	err := b.open(0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *book) open(flags int) error {
	for {
		file, err := os.OpenFile(b.path, os.O_RDWR|flags, 0o600)
		if err != nil {
			return err
		}
		if err := flock(file); err != nil {
			file.Close()
			return fmt.Errorf("%s: %w", b.path, err)
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &stat); err != nil || stat.Nlink > 0 {
			b.file = file
			return errors.Join(err, b.index())
		}
		file.Close() // who had it removed it
	}
}

func flock(file *os.File) error {
	for {
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (b *book) index() error {
	made, err := transactions(b.file)
	if err == nil {
		b.found, b.start, b.slot = made.found, made.end, made.slot
		err = b.file.Truncate(made.end)
	}
	if err == nil && made.end > headerSize && made.slot.end != made.end { // who committed it was killed before it could say so
		err = b.writeSlot(made.end)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	return nil
}

func (b *book) close() {
	if b.file != nil {
		b.file.Close()
	}
}

// add writes records of this call's transaction. The journal is made, and the transaction begins, with the first.
func (b *book) add(records []byte) error {
	if b.out == nil {
		if err := b.beginTransaction(); err != nil {
			return err
		}
	}
	b.size += int64(len(records))
	if _, err := b.out.Write(records); err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	return nil
}

func (b *book) beginTransaction() error {
	if b.file == nil {
		if err := b.open(os.O_CREATE); err != nil {
			return err
		}
	}
	b.made = b.start == 0
	if b.made {
		header := make([]byte, headerSize)
		copy(header, magic)
		if _, err := b.file.WriteAt(header, 0); err != nil {
			return err
		}
		b.start = headerSize
	}
	if _, err := b.file.Seek(b.start, io.SeekStart); err != nil {
		return err
	}
	b.out = bufio.NewWriterSize(b.file, fullBody)
	return b.add(appendRecord(nil, kindBegin, b.begin.encode(nil)))
}

// commit returns when the transaction is on the disk: first what it holds, and then that it is whole.
func (b *book) commit() error {
	err := b.out.Flush()
	if err == nil {
		err = unix.Fdatasync(int(b.file.Fd()))
	}
	if err == nil {
		err = b.add(commitRecord())
	}
	if err == nil {
		err = b.out.Flush()
	}
	if err == nil {
		err = unix.Fdatasync(int(b.file.Fd()))
	}
	if err == nil && b.made {
		err = syncDirectory(filepath.Dir(b.path))
	}
	if err == nil {
		err = b.writeSlot(b.start + b.size) // which reaches the disk some time after
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	return nil
}

// writeSlot has the older of the two slots say where the journal ends.
func (b *book) writeSlot(end int64) error {
	b.slot = slot{b.slot.number + 1, end}
	_, err := b.file.WriteAt(b.slot.encode(), slotPlaces()[b.slot.number%2])
	return err
}

// cut takes committed transactions off the end. That they are gone is on the disk before they are.
func (b *book) cut(start int64) error {
	err := b.writeSlot(start)
	if err == nil {
		err = unix.Fdatasync(int(b.file.Fd()))
	}
	if err == nil {
		err = b.file.Truncate(start)
	}
	return err
}

// syncDirectory puts the names of a directory on the disk.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

// discard takes this call's transaction away, of which nothing was done, or everything was undone.
func (b *book) discard() error {
	switch {
	case b.out == nil:
		return nil
	case b.made:
		return b.remove()
	default:
		return b.cut(b.start)
	}
}

// putBack undoes this call's transaction. If that fails, too, the journal keeps it for Undo.
func (b *book) putBack(t *tree) error {
	back := &pass{tree: t, each: (*tree).restore}
	if err := back.run(b.file, b.start); err != nil {
		return fmt.Errorf("putting back: %w", err)
	}
	return b.discard()
}

// remove removes the journal, with the lock held: who waits for it sees that it is gone.
func (b *book) remove() error { return os.Remove(b.path) }
