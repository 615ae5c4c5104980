// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

const (
	// DefaultMaxEntries and DefaultMaxBytes bound one layer, so that a small download cannot use up all inodes or space.
	// The largest images in use (machine-learning ones) stay some tens of GiB and a few million files below.
	DefaultMaxEntries = 10_000_000
	DefaultMaxBytes   = 256 << 30

	lockSuffix = ".lock"
	lockPoll   = 50 * time.Millisecond
)

// Store keeps unpacked layers:
//
//	Dir/layers/sha256/CHAINID    complete and verified; overlayfs's form
//	Dir/unpacking/CHAINID        being unpacked, while CHAINID.lock is locked
//
// Any number of processes may use one store. Dir is made if it is missing; it must belong to the caller and be closed to
// others, since the layers hold set-ID programs and device nodes.
type Store struct {
	Dir        string
	MaxEntries int64       // files and directories in one layer; 0: DefaultMaxEntries
	MaxBytes   int64       // of one layer's tar, and of its files; 0: DefaultMaxBytes
	Progress   func(Event) // called from Layers's goroutine; nil: nobody wants to know
}

// Event says how far a layer has come. The first for a layer has Done 0, the last Done equal to Total.
type Event struct {
	Layer         string // digest, as the image's manifest names it
	Number, Count int    // 1 is the lowest layer
	Waiting       bool   // another process is unpacking it
	Done, Total   int64  // bytes of the layer as it is stored or transferred
}

// Unpacked is an image whose layers are all in the store.
type Unpacked struct {
	Digest string
	Config v1.Config
	Layers []string // directories, lowest first, for overlayfs's lowerdir (which wants the topmost first)
}

// Layers unpacks the layers that are missing. On an error nothing of the layer at fault is left behind; the complete
// ones below it are kept.
func (s Store) Layers(ctx context.Context, of *Image) (Unpacked, error) {
	if err := s.prepare(); err != nil {
		return Unpacked{}, err
	}
	if err := s.Sweep(); err != nil {
		return Unpacked{}, err
	}
	directories := make([]string, 0, len(of.layers))
	var chain v1.Hash
	for i, l := range of.layers {
		var err error
		if chain, err = extend(chain, l.diffID); err != nil {
			return Unpacked{}, err
		}
		below := slices.Clone(directories)
		slices.Reverse(below)
		report := s.reporter(Event{Layer: l.digest().String(), Number: i + 1, Count: len(of.layers), Total: l.size})
		if err := s.ensure(ctx, chain.Hex, l, below, report); err != nil {
			return Unpacked{}, fmt.Errorf("layer %s: %w", l.digest(), err)
		}
		directories = append(directories, s.layer(chain.Hex))
	}
	visible, err := cutBelowOpaque(directories)
	return Unpacked{Digest: of.Digest, Config: of.Config, Layers: visible}, err
}

// extend computes a chain ID as the OCI image configuration defines it.
func extend(chain, diffID v1.Hash) (v1.Hash, error) {
	if chain == (v1.Hash{}) {
		return diffID, nil
	}
	extended, _, err := v1.SHA256(strings.NewReader(chain.String() + " " + diffID.String()))
	return extended, err
}

// cutBelowOpaque drops the layers below one whose root is opaque: overlayfs does not look at a root's own attribute.
func cutBelowOpaque(directories []string) ([]string, error) {
	for i := len(directories) - 1; i > 0; i-- {
		root, err := os.Open(directories[i])
		if err != nil {
			return nil, err
		}
		hides, err := isOpaque(root)
		root.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", directories[i], err)
		}
		if hides {
			return directories[i:], nil
		}
	}
	return directories, nil
}

func (s Store) reporter(event Event) func(done int64, waiting bool) {
	return func(done int64, waiting bool) {
		if s.Progress != nil {
			event.Done, event.Waiting = done, waiting
			s.Progress(event)
		}
	}
}

func (s Store) layer(chain string) string { return filepath.Join(s.Dir, "layers", "sha256", chain) }

func (s Store) temporary(chain string) string { return filepath.Join(s.Dir, "unpacking", chain) }

// prepare makes the store's directories and checks that nobody else can reach into them.
func (s Store) prepare() error {
	if !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("store %q: is not an absolute path", s.Dir)
	}
	for _, directory := range []string{s.Dir, filepath.Join(s.Dir, "layers", "sha256"), filepath.Join(s.Dir, "unpacking")} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return err
		}
	}
	var status unix.Stat_t
	if err := unix.Stat(s.Dir, &status); err != nil {
		return &fs.PathError{Op: "stat", Path: s.Dir, Err: err}
	}
	if mode := status.Mode & 0o7777; mode&0o077 != 0 || int(status.Uid) != os.Geteuid() {
		return fmt.Errorf("store %s: has owner %d and mode %#o; must be user %d's own and 0700", s.Dir, status.Uid, mode, os.Geteuid())
	}
	return nil
}

// ensure returns when the layer is complete, whoever unpacked it.
func (s Store) ensure(ctx context.Context, chain string, l layer, below []string, report func(int64, bool)) error {
	report(0, false)
	if exists(s.layer(chain)) {
		report(l.size, false)
		return nil
	}
	held, err := s.lock(ctx, chain, func() { report(0, true) })
	if err != nil {
		return err
	}
	defer s.unlock(chain, held)
	if !exists(s.layer(chain)) {
		if err := s.fill(ctx, chain, l, below, report); err != nil {
			return err
		}
	}
	report(l.size, false)
	return nil
}

func exists(directory string) bool {
	_, err := os.Lstat(directory)
	return err == nil
}

// fill unpacks beside the layer's place and moves the result there. The caller holds the lock.
func (s Store) fill(ctx context.Context, chain string, l layer, below []string, report func(int64, bool)) (err error) {
	temporary := s.temporary(chain)
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	if err := describeRoot(temporary); err != nil {
		return err
	}
	if err := s.receive(ctx, l, temporary, below, report); err != nil {
		return err
	}
	if err := flush(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.layer(chain)); err != nil {
		return err
	}
	return flush(filepath.Dir(s.layer(chain)))
}

// describeRoot sets what the root of a layer has that does not list it.
func describeRoot(directory string) error {
	if err := os.Chmod(directory, 0o755); err != nil {
		return err
	}
	return os.Chtimes(directory, time.Unix(0, 0), time.Unix(0, 0))
}

// receive unpacks a layer and verifies it.
func (s Store) receive(ctx context.Context, l layer, into string, below []string, report func(int64, bool)) error {
	source, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	maxEntries, maxBytes := s.limits()
	content, err := newStream(ctx, source, l, maxBytes, func(done int64) { report(done, false) })
	if err != nil {
		return cut(err)
	}
	defer content.close()
	if err := unpack(ctx, content, into, below, maxEntries, maxBytes); err != nil {
		return err
	}
	return content.finish()
}

func (s Store) limits() (entries, bytes int64) {
	entries, bytes = s.MaxEntries, s.MaxBytes
	if entries == 0 {
		entries = DefaultMaxEntries
	}
	if bytes == 0 {
		bytes = DefaultMaxBytes
	}
	return entries, bytes
}

// flush makes everything on the file system of path durable. One call for the whole of it is far quicker than one for
// each of thousands of files.
func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Syncfs(int(file.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: path, Err: err}
	}
	return nil
}
