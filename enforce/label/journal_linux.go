// SPDX-License-Identifier: Apache-2.0

package label

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// book is the journal of one tree as a file. Whoever has it open holds its lock.
type book struct {
	path  string
	begin begin

	file     *os.File // nil: there is none, or not yet
	made     bool     // by this call
	found    []span   // of transactions that were there
	start    int64    // where this call's begins
	recorder *recorder
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
	found, end, err := transactions(b.file)
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	b.found, b.start = found, end
	return b.file.Truncate(end)
}

func (b *book) close() {
	if b.file != nil {
		b.file.Close()
	}
}

// add writes what files of a directory have. The journal is made with the first.
func (b *book) add(directory string, files []entry) error {
	if b.file == nil {
		if err := b.open(os.O_CREATE); err != nil {
			return err
		}
		b.made = b.start == 0
	}
	if b.recorder == nil {
		if _, err := b.file.Seek(b.start, io.SeekStart); err != nil {
			return err
		}
		b.recorder = newRecorder(b.file, b.begin)
		if b.start == 0 {
			b.recorder.out.WriteString(magic)
			b.start = int64(len(magic))
		}
	}
	if err := b.recorder.add(directory, files); err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	return nil
}

// commit returns when the transaction is on the disk: first what it holds, and then that it is whole.
func (b *book) commit() error {
	err := b.recorder.out.Flush()
	if err == nil {
		err = unix.Fdatasync(int(b.file.Fd()))
	}
	if err == nil {
		err = b.recorder.commit()
	}
	if err == nil {
		err = unix.Fdatasync(int(b.file.Fd()))
	}
	if err == nil && b.made {
		err = syncDirectory(filepath.Dir(b.path))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	return nil
}

// syncDirectory puts the name of a new file on the disk.
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
	case b.recorder == nil:
		return nil
	case b.made:
		return b.remove()
	default:
		return b.file.Truncate(b.start)
	}
}

// putBack undoes this call's transaction. If that fails, too, the journal keeps it for Undo.
func (b *book) putBack(t *tree) error {
	back := &pass{tree: t, each: (*tree).restore}
	if err := back.run(b.section(b.start)); err != nil {
		return fmt.Errorf("putting back: %w", err)
	}
	return b.discard()
}

// section reads from a transaction on.
func (b *book) section(start int64) io.Reader {
	return io.NewSectionReader(b.file, start, math.MaxInt64-start)
}

// remove removes the journal, with the lock held: who waits for it sees that it is gone.
func (b *book) remove() error { return os.Remove(b.path) }
